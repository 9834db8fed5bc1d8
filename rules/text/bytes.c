/* The bytes of a text file: whether they are text at all, and which offset, line
 * and column a character has. Knows nothing of YAML; never allocates but for the
 * index of a text that is not plain ASCII. */
#include "bytes.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define MARK_EVERY 64u
#define SHOWN_MAX 60u

static bool is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0u) == 0x80u;
}

/* The code point at text and its length in bytes; length 0 when it is not UTF-8 (RFC 3629). */
static size_t decode(const char *text, size_t left, uint32_t *ret_point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char lead = (unsigned char)text[0];
	size_t size = lead < 0x80 ? 1 : lead >= 0xf0 && lead < 0xf8 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
	if (size == 0 || size > left || lead >= 0xf8)
		return 0;
	uint32_t point = size == 1 ? lead : lead & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if (!is_continuation(text[i]))
			return 0;
		point = point << 6 | ((unsigned char)text[i] & 0x3fu);
	}
	if (point < least[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
		return 0;
	*ret_point = point;
	return size;
}

/* NULL when the code point may stand in a file. */
static const char *refuse(uint32_t point)
{
	if (point == 0)
		return "a NUL byte (this has to be a text file)";
	if ((point < 0x20 && point != '\t' && point != '\n' && point != '\r') || (point >= 0x7f && point < 0xa0))
		return "a control character (remove it)";
	if (point == 0x2028 || point == 0x2029)
		return "a Unicode line separator (end lines with LF)";
	/* Not ZERO WIDTH JOINER and NON-JOINER, without which some scripts cannot be written. */
	if (point == 0xad || point == 0x61c || point == 0x180e || point == 0x200b || point == 0x200e || point == 0x200f ||
	    (point >= 0x202a && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f) ||
	    (point >= 0xfff9 && point <= 0xfffb) || (point >= 0xe0000 && point <= 0xe007f))
		return "an invisible character, or one that changes the direction of the text (remove it)";
	if (point == 0xfeff)
		return "a byte order mark (save the file as UTF-8 without one)";
	if ((point & 0xfffe) == 0xfffe)
		return "not a character (remove it)";
	return NULL;
}

int bytes_check(const char *text, size_t length, size_t *ret_offset, const char **ret_why)
{
	const char *why = NULL;
	size_t at = 0;
	while (at < length) {
		uint32_t point = 0;
		size_t size = decode(text + at, length - at, &point);
		if (size == 0)
			why = "not UTF-8 (save the file as UTF-8)";
		else if (point == '\r' && (at + 1 == length || text[at + 1] != '\n'))
			why = "a carriage return without a line feed (end lines with LF)";
		else if (point < 0x20 || point >= 0x7f)
			why = refuse(point);
		if (why) {
			*ret_offset = at;
			*ret_why = why;
			return -EINVAL;
		}
		at += size;
	}
	return 0;
}

int bytes_shown(const char *text)
{
	size_t length = strnlen(text, SHOWN_MAX + 1);
	if (length > SHOWN_MAX)
		for (length = SHOWN_MAX; length > 0 && is_continuation(text[length]);)
			length--;
	return (int)length;
}

int bytes_index_init(struct bytes_index *index, struct arena *arena, const char *text, size_t length)
{
	size_t characters = 0;
	for (size_t i = 0; i < length; i++)
		characters += !is_continuation(text[i]);
	*index = (struct bytes_index){.text = text, .length = length, .line = 1};
	if (characters == length)
		return 0;
	index->marks = arena_array(arena, characters / MARK_EVERY + 1, uint32_t);
	if (!index->marks)
		return -ENOMEM;
	size_t seen = 0;
	for (size_t i = 0; i < length; i++)
		if (!is_continuation(text[i]) && seen++ % MARK_EVERY == 0)
			index->marks[index->mark_count++] = (uint32_t)i;
	return 0;
}

size_t bytes_offset(const struct bytes_index *index, size_t character)
{
	if (!index->marks)
		return character < index->length ? character : index->length;
	if (character / MARK_EVERY >= index->mark_count)
		return index->length;
	size_t at = index->marks[character / MARK_EVERY];
	for (size_t left = character % MARK_EVERY; left > 0 && at < index->length; left--)
		do
			at++;
		while (at < index->length && is_continuation(index->text[at]));
	return at;
}

void bytes_place(struct bytes_index *index, size_t offset, uint32_t *ret_line, uint32_t *ret_column)
{
	if (offset < index->line_start) {
		index->line_start = index->scanned = 0;
		index->line = 1;
	}
	while (index->scanned < offset) {
		const char *feed = memchr(index->text + index->scanned, '\n', offset - index->scanned);
		if (!feed) {
			index->scanned = offset;
			break;
		}
		index->line_start = index->scanned = (size_t)(feed - index->text) + 1;
		index->line++;
	}
	*ret_line = index->line;
	*ret_column = (uint32_t)(offset - index->line_start) + 1;
}
