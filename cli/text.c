/* Text for people. Owns the one rule of what may reach a terminal; knows
 * nothing of commands or of the API. */
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../rules/base/nearest.h"

/* Length of the UTF-8 character at text and its code point; 0 when it is none
 * (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t decode(const unsigned char *text, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char lead = text[0];
	size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
	if (!length)
		return 0;
	uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3fu);
	}
	if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	*ret_code = code;
	return length;
}

/* Characters that move the cursor, change modes or reorder what stands around them. */
static bool is_harmful(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

static bool stays(const unsigned char *text)
{
	return text[0] == '\n' || text[0] == '\t' || (text[0] == '\r' && text[1] == '\n');
}

static char *make_safe(struct arena *arena, const char *text, bool block)
{
	size_t length = strlen(text), room = length + 1, extra = 0;
	const unsigned char *end = (const unsigned char *)text + length;
	/* Once to measure: mostly there is nothing to escape. */
	for (const unsigned char *p = (const unsigned char *)text; p < end;) {
		uint32_t code = 0;
		size_t taken = decode(p, &code);
		if (!taken || (is_harmful(code) && !(block && stays(p))))
			extra += 8;
		p += taken ? taken : 1;
	}
	if (extra > SIZE_MAX - room)
		return NULL;
	char *safe = arena_alloc(arena, room + extra), *out = safe;
	if (!safe)
		return NULL;
	if (!extra)
		return memcpy(safe, text, length);
	for (const unsigned char *p = (const unsigned char *)text; p < end;) {
		uint32_t code = 0;
		size_t taken = decode(p, &code);
		if (taken && (!is_harmful(code) || (block && stays(p)))) {
			out = mempcpy(out, p, taken);
		} else if (!taken || code < 0x80) {
			out += snprintf(out, 5, "\\x%02x", p[0]);
		} else {
			out += snprintf(out, 10, "\\u{%" PRIx32 "}", code);
		}
		p += taken ? taken : 1;
	}
	*out = 0;
	return safe;
}

char *text_line(struct arena *arena, const char *text)
{
	return make_safe(arena, text, false);
}

char *text_block(struct arena *arena, const char *text)
{
	return make_safe(arena, text, true);
}

size_t text_width(const char *text)
{
	size_t width = 0;
	for (const char *p = text; *p; p++)
		width += ((unsigned char)*p & 0xc0) != 0x80;
	return width;
}

bool text_wants_color(FILE *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(fileno(out)) && !(no && *no) && term && *term && strcmp(term, "dumb") != 0;
}

const char *text_tone(bool color, enum tone tone)
{
	if (!color)
		return "";
	switch (tone) {
	case TONE_PLAIN:
		return "";
	case TONE_GOOD:
		return "\033[32m";
	case TONE_BAD:
		return "\033[1;31m";
	case TONE_WARN:
		return "\033[33m";
	case TONE_DIM:
		return "\033[2m";
	case TONE_BOLD:
		return "\033[1m";
	}
	return "";
}

const char *text_plain(bool color, enum tone tone)
{
	return color && tone != TONE_PLAIN ? "\033[0m" : "";
}

char *text_age(struct arena *arena, int64_t seconds)
{
	if (seconds < 0)
		seconds = 0;
	if (seconds < 120)
		return arena_printf(arena, "%" PRId64 " s", seconds);
	if (seconds < 120 * 60)
		return arena_printf(arena, "%" PRId64 " min", seconds / 60);
	if (seconds < 48 * 3600)
		return arena_printf(arena, "%" PRId64 " h", seconds / 3600);
	return arena_printf(arena, "%" PRId64 " days", seconds / 86400);
}

char *text_bytes(struct arena *arena, int64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double amount = bytes < 0 ? 0 : (double)bytes;
	size_t unit = 0;
	while (amount >= 1024 && unit + 1 < sizeof(units) / sizeof(*units)) {
		amount /= 1024;
		unit++;
	}
	return arena_printf(arena, unit ? "%.1f %s" : "%.0f %s", amount, units[unit]);
}

int text_parse_time(const char *text, time_t *ret_time)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!end)
		return -EINVAL;
	if (*end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (strcmp(end, "Z") != 0 && strcmp(end, "+00:00") != 0)
		return -EINVAL;
	*ret_time = timegm(&tm);
	return 0;
}

char *text_time(struct arena *arena, const char *rfc3339)
{
	time_t seconds;
	struct tm tm;
	char out[32];
	if (text_parse_time(rfc3339, &seconds) < 0 || !gmtime_r(&seconds, &tm) ||
	    !strftime(out, sizeof(out), "%Y-%m-%d %H:%M:%S", &tm))
		return text_line(arena, rfc3339);
	return arena_strdup(arena, out);
}

int word_list_add(struct arena *arena, struct word_list *list, const char *word)
{
	const char **words = arena_grow(arena, list->words, list->count, sizeof(*words), &list->capacity);
	if (!words)
		return -ENOMEM;
	list->words = words;
	list->words[list->count++] = word;
	return 0;
}

const char *text_nearest(const char *word, const char *const *words, size_t count)
{
	struct nearest nearest = nearest_to(word);
	const char *begun = NULL;
	/* What was only begun is meant sooner than what has other letters. */
	for (size_t i = 0; strlen(word) > 1 && i < count; i++)
		if (strncmp(words[i], word, strlen(word)) == 0 && (!begun || strlen(words[i]) < strlen(begun)))
			begun = words[i];
	if (begun)
		return begun;
	for (size_t i = 0; i < count; i++)
		nearest_consider(&nearest, words[i]);
	return nearest.name;
}
