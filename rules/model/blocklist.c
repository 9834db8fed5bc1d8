/* Blocklists: a text of addresses and prefixes -> sorted, merged ranges. Made
 * for a million lines: a line parser without copies, a radix sort for IPv4, and
 * contents that later models share as long as the file's bytes are the same.
 * Never opens a file itself. */
#include "blocklist.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../text/bytes.h"
#include "values.h"

#define REPORTED_LINES 20u /* of one file; the rest is counted */
#define BYTES_MAX (256u << 20)

struct blocklist_content {
	atomic_uint references;
	size_t count, v4_count;
	struct addr_range ranges[];
};

/* One IPv4 range in host byte order, first in the upper half: sorts as a number. */
typedef uint64_t packed_range;

struct parse {
	struct reader *reader;
	const struct where *where;
	const char *file;
	packed_range *v4;
	size_t v4_count;
	struct addr_range *v6;
	size_t v6_count, v6_capacity;
	uint32_t line;
	uint32_t bad_lines, unreported_line;
};

void blocklist_content_free(struct blocklist_content **content)
{
	if (content && *content && atomic_fetch_sub(&(*content)->references, 1) == 1)
		free(*content);
	if (content)
		*content = NULL;
}

static void bad_line(struct parse *parse, const char *line, size_t length, const char *wrong, const char *right)
{
	if (parse->bad_lines++ >= REPORTED_LINES) {
		if (parse->bad_lines == REPORTED_LINES + 1)
			parse->unreported_line = parse->line;
		return;
	}
	char shown[64];
	size_t copied = length < sizeof(shown) - 1 ? length : sizeof(shown) - 1;
	memcpy(shown, line, copied);
	shown[copied] = '\0';
	/* Bytes that are no text are not passed on to a terminal. */
	size_t offset;
	const char *why;
	if (bytes_check(shown, (size_t)bytes_shown(shown), &offset, &why) < 0)
		shown[offset] = '\0';
	struct origin at = {.file = parse->file, .line = parse->line, .column = 1};
	reader_error(parse->reader, parse->where, at, "\"%.*s\" %s%s%s", bytes_shown(shown), shown, wrong, right,
		     *right ? ")" : "");
}

static uint32_t v4_number(const struct addr *addr)
{
	return (uint32_t)addr->bytes[0] << 24 | (uint32_t)addr->bytes[1] << 16 | (uint32_t)addr->bytes[2] << 8 |
	       addr->bytes[3];
}

static int add_range(struct parse *parse, const struct prefix *prefix)
{
	struct addr_range range = prefix_range(prefix);
	if (prefix->addr.family == FAMILY_V4) {
		parse->v4[parse->v4_count++] = (packed_range)v4_number(&range.first) << 32 | v4_number(&range.last);
		return 0;
	}
	if (parse->v6_count == parse->v6_capacity) {
		size_t capacity = parse->v6_capacity ? parse->v6_capacity * 2 : 64;
		struct addr_range *grown = reallocarray(parse->v6, capacity, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		parse->v6 = grown;
		parse->v6_capacity = capacity;
	}
	parse->v6[parse->v6_count++] = range;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* "ADDRESS[/LENGTH] [# comment]", or only a comment, or nothing. */
static int parse_line(struct parse *parse, const char *line, size_t length)
{
	const char *comment = memchr(line, '#', length);
	if (comment)
		length = (size_t)(comment - line);
	while (length > 0 && is_blank(line[length - 1]))
		length--;
	while (length > 0 && is_blank(*line)) {
		line++;
		length--;
	}
	if (length == 0)
		return 0;
	struct prefix prefix;
	int r = prefix_parse(line, length, &prefix);
	if (r == -ERANGE) {
		char right[PREFIX_TEXT_MAX];
		bad_line(parse, line, length, "has bits set behind its length (the network is ",
			 prefix_format(&prefix, right));
		return 0;
	}
	if (r < 0) {
		bad_line(parse, line, length, "is not an address or prefix (like 192.0.2.0/24; \"#\" starts a comment)",
			 "");
		return 0;
	}
	if (prefix.length == 0) {
		bad_line(parse, line, length, "blocks everybody (remove the line)", "");
		return 0;
	}
	return add_range(parse, &prefix);
}

static int parse_lines(struct parse *parse, const char *text, size_t length)
{
	const char *end = text + length;
	while (text < end) {
		const char *feed = memchr(text, '\n', (size_t)(end - text));
		const char *stop = feed ? feed : end;
		parse->line++;
		int r = parse_line(parse, text, (size_t)(stop - text));
		if (r < 0)
			return r;
		text = stop + 1;
	}
	return 0;
}

/* By the upper half, 11 bits at a time; stable. Ranges that share their first address need no order. */
static int sort_v4(packed_range *ranges, size_t count)
{
	packed_range *other = malloc((count ? count : 1) * sizeof(*other));
	if (!other)
		return -ENOMEM;
	packed_range *from = ranges, *to = other;
	for (unsigned shift = 32; shift < 64; shift += 11) {
		size_t starts[2048] = {0}, at = 0;
		for (size_t i = 0; i < count; i++)
			starts[from[i] >> shift & 2047]++;
		for (size_t digit = 0; digit < 2048; digit++) {
			size_t here = starts[digit];
			starts[digit] = at;
			at += here;
		}
		for (size_t i = 0; i < count; i++)
			to[starts[from[i] >> shift & 2047]++] = from[i];
		packed_range *swap = from;
		from = to;
		to = swap;
	}
	/* Three passes: the sorted ones lie in the other array. */
	memcpy(ranges, other, count * sizeof(*ranges));
	free(other);
	return 0;
}

static size_t merge_v4(packed_range *ranges, size_t count)
{
	size_t kept = 0;
	for (size_t i = 1; i < count; i++) {
		uint32_t last = (uint32_t)ranges[kept];
		if (last != UINT32_MAX && ranges[i] >> 32 > (uint64_t)last + 1)
			ranges[++kept] = ranges[i];
		else if ((uint32_t)ranges[i] > last)
			ranges[kept] = (ranges[kept] & ~(packed_range)UINT32_MAX) | (uint32_t)ranges[i];
	}
	return count ? kept + 1 : 0;
}

static struct addr v4_address(uint32_t number)
{
	return (struct addr){
		.family = FAMILY_V4,
		.bytes = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number}};
}

static int finish(struct parse *parse, struct blocklist_content **ret_content)
{
	int r = sort_v4(parse->v4, parse->v4_count);
	if (r < 0)
		return r;
	size_t v4_count = merge_v4(parse->v4, parse->v4_count);
	size_t v6_count = addr_ranges_merge(parse->v6, parse->v6_count);
	struct blocklist_content *content =
		malloc(sizeof(*content) + (v4_count + v6_count) * sizeof(content->ranges[0]));
	if (!content)
		return -ENOMEM;
	atomic_init(&content->references, 1);
	content->v4_count = v4_count;
	content->count = v4_count + v6_count;
	for (size_t i = 0; i < v4_count; i++)
		content->ranges[i] = (struct addr_range){v4_address((uint32_t)(parse->v4[i] >> 32)),
							 v4_address((uint32_t)parse->v4[i])};
	if (v6_count)
		memcpy(content->ranges + v4_count, parse->v6, v6_count * sizeof(content->ranges[0]));
	*ret_content = content;
	return 0;
}

static size_t count_lines(const char *text, size_t length)
{
	size_t lines = 1;
	for (const char *end = text + length; (text = memchr(text, '\n', (size_t)(end - text))); text++)
		lines++;
	return lines;
}

static int parse_text(struct reader *reader, const struct where *where, const char *file, const char *text,
		      size_t length, struct blocklist_content **ret_content)
{
	struct origin at = {.file = file};
	size_t lines = count_lines(text, length);
	if (length > BYTES_MAX || lines > MODEL_MAX_BLOCKLIST_ENTRIES)
		return reader_error(reader, where, at,
				    "the list is too long: %zu lines, %zu bytes (at most %d lines, %u bytes)", lines,
				    length, MODEL_MAX_BLOCKLIST_ENTRIES, BYTES_MAX);
	struct parse parse = {.reader = reader, .where = where, .file = file};
	parse.v4 = malloc(lines * sizeof(*parse.v4));
	int r = parse.v4 ? parse_lines(&parse, text, length) : -ENOMEM;
	at.line = parse.unreported_line;
	if (r == 0 && at.line)
		reader_error(reader, where, at, "%u more lines are wrong from here on",
			     parse.bad_lines - REPORTED_LINES);
	if (r == 0)
		r = parse.bad_lines ? -EINVAL : finish(&parse, ret_content);
	free(parse.v4);
	free(parse.v6);
	return r;
}

static struct blocklist_content *find_same(const struct model *model, const uint8_t hash[32])
{
	for (size_t i = 0; model && i < model->blocklist_count; i++)
		if (model->blocklists[i].content && memcmp(model->blocklists[i].hash, hash, 32) == 0)
			return model->blocklists[i].content;
	return NULL;
}

static int read_content(struct reader *reader, const struct where *where, struct blocklist *list,
			const struct source_file *file)
{
	struct blocklist_content *content = NULL;
	if (file->sha256)
		memcpy(list->hash, file->sha256, sizeof(list->hash));
	else if (EVP_Digest(file->text, file->length, list->hash, NULL, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	content = find_same(reader->model, list->hash);
	if (!content)
		content = find_same(reader->previous, list->hash);
	if (content) {
		atomic_fetch_add(&content->references, 1);
	} else {
		char *name = arena_strdup(reader->arena, list->file);
		int r = name ? parse_text(reader, where, name, file->text, file->length, &content) : -ENOMEM;
		if (r < 0 || !content)
			return r;
	}
	list->content = content;
	list->ranges = content->ranges;
	list->range_count = content->count;
	list->v4_count = content->v4_count;
	return 0;
}

/* A list is a place as well: its name must not be taken for another one. */
static int check_name(struct reader *reader, const struct where *where, const struct blocklist *list)
{
	static const char *const places[] = {"wan", "lan", "self", "any"};
	struct prefix prefix;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (strcmp(list->name, places[i]) == 0)
			return reader_error(reader, where, list->at, "\"%s\" is a place already (choose another name)",
					    list->name);
	if (prefix_parse(list->name, strlen(list->name), &prefix) != -EINVAL)
		return reader_error(reader, where, list->at, "the name reads as an address (choose another one)");
	const struct tunnel *tunnel = strmap_get(reader->names[KIND_TUNNEL], list->name);
	if (tunnel)
		return reader_error(reader, where, list->at,
				    "a tunnel has this name (%s:%u; places are known by their names)", tunnel->at.file,
				    tunnel->at.line);
	return 0;
}

/* The history keeps the file under its name: one spelling for each file, of a length that fits into a file's name even
 * with each slash and each byte that is no letter, digit, ".", "_" or "-" as three. */
static int check_spelling(struct reader *reader, const struct where *where, struct origin at, const char *name)
{
	enum { LONGEST = 240 };
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t length = 0;
	for (const char *c = name; *c; c++)
		length += strchr(plain, *c) ? 1 : 3;
	if (length > LONGEST)
		return reader_error(reader, where, at,
				    "the name is too long (at most %d characters; a slash, a space and each byte beyond ASCII "
				    "count as three)", LONGEST);
	for (const char *part = name; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
		size_t size = strcspn(part, "/");
		if ((size == 0 && part != name) || (size == 1 && part[0] == '.'))
			return reader_error(reader, where, at,
					    "\"%s\" has a part that says nothing (write it as \"lists/known.txt\", without "
					    "\"./\" and \"//\")", name);
	}
	return 0;
}

int blocklist_read(struct reader *reader, const struct where *up, const struct doc_node *node, void *entry)
{
	struct blocklist *list = entry;
	struct where where = {.up = up, .name = "file"};
	struct origin at = doc_get(node, "file")->at;
	struct source_file file = {0};
	check_name(reader, up, list);
	int r = check_spelling(reader, &where, at, list->file);
	if (r < 0)
		return r;
	r = reader->sources->open ? reader->sources->open(reader->sources->context, list->file, &file) : -ENOENT;
	if (r == -ENOMEM)
		return r;
	if (r == -EINVAL)
		return reader_error(reader, &where, at,
				    "\"%s\" is no regular file within the configuration's folder (move the list into it)",
				    list->file);
	if (r == -ENOENT)
		return reader_error(reader, &where, at,
				    "there is no file \"%s\" (names are relative to the configuration's folder)",
				    list->file);
	if (r < 0)
		return reader_error(reader, &where, at, "\"%s\" cannot be read: %s", list->file, strerrordesc_np(-r));
	return read_content(reader, up, list, &file);
}
