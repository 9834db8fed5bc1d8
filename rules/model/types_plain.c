/* Types that stand for themselves: numbers, words, times, rates, ports, texts.
 * Each reads one value of the document into a field of the model and prints it
 * back. Addresses are in types_net.c, names of other entries in types_names.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../text/bytes.h"
#include "types.h"
#include "values.h"

#define TEXT_MOST 200

int type_refuse(struct reader *reader, const struct where *where, const struct doc_node *node, const char *right)
{
	return reader_error(reader, where, node->at, "\"%.*s\" is not %s", bytes_shown(node->text), node->text, right);
}

int type_give(char *text, char **ret_text)
{
	*ret_text = text;
	return text ? 0 : -ENOMEM;
}

int type_unset(char **ret_text)
{
	*ret_text = NULL;
	return 0;
}

static int read_version(struct reader *reader, const struct where *where, const struct key *key,
			const struct doc_node *node, void *entry)
{
	(void)key, (void)entry;
	int r = expect_scalar(reader, where, node, "1");
	if (r == 0 && strcmp(node->text, "1") != 0)
		r = type_refuse(reader, where, node, "a version that is known (1)");
	return r;
}

static int print_version(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	(void)key, (void)entry;
	return type_give(arena_strdup(arena, "1"), ret_text);
}

const struct value_type version_type = {.name = "1", .read = read_version, .print = print_version};

static int read_bool(struct reader *reader, const struct where *where, const struct key *key,
		     const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "true or false");
	if (r < 0)
		return r;
	bool yes = strcmp(node->text, "true") == 0;
	if (!yes && strcmp(node->text, "false") != 0)
		return type_refuse(reader, where, node, "true or false");
	*FIELD(entry, key, bool) = yes;
	return 0;
}

static int print_bool(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	return type_give(arena_strdup(arena, *FIELD_CONST(entry, key, bool) ? "true" : "false"), ret_text);
}

const struct value_type bool_type = {.name = "true or false", .read = read_bool, .print = print_bool};

static int read_number(struct reader *reader, const struct where *where, const struct key *key,
		       const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "a number");
	if (r < 0)
		return r;
	uint32_t number;
	if (value_number(node->text, node->length, &number) < 0)
		return type_refuse(reader, where, node, "a whole number (like 400)");
	if (number < key->least || number > key->most)
		return reader_error(reader, where, node->at, "%u is out of range (%llu to %llu)", number,
				    (unsigned long long)key->least, (unsigned long long)key->most);
	*FIELD(entry, key, uint32_t) = number;
	return 0;
}

static int print_number(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	uint32_t number = *FIELD_CONST(entry, key, uint32_t);
	return number ? type_give(arena_printf(arena, "%u", number), ret_text) : type_unset(ret_text);
}

const struct value_type number_type = {.name = "number", .read = read_number, .print = print_number};

/* What YAML reads as nothing, unless it is in quotes. */
static bool is_null(const char *text)
{
	return strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
	       strcmp(text, "NULL") == 0;
}

/* One line of text, without control characters, that may also be a file's name. */
static int check_text(struct reader *reader, const struct where *where, const struct doc_node *node)
{
	int r = expect_scalar(reader, where, node, "a text");
	if (r < 0)
		return r;
	if (!node->quoted && is_null(node->text))
		return reader_error(reader, where, node->at,
				    "%s is YAML for no value at all (write a text, in quotes if this is it)", node->text);
	if (node->length == 0)
		return reader_error(reader, where, node->at, "the text is empty");
	size_t offset;
	const char *why;
	if (memchr(node->text, '\n', node->length) || memchr(node->text, '\t', node->length) ||
	    bytes_check(node->text, node->length, &offset, &why) < 0)
		return reader_error(reader, where, node->at,
				    "the text has line breaks, control or invisible characters (write one line)");
	if (node->length > TEXT_MOST)
		return reader_error(reader, where, node->at, "the text is too long: %u bytes (at most %d)",
				    node->length, TEXT_MOST);
	return 0;
}

static int read_text(struct reader *reader, const struct where *where, const struct key *key,
		     const struct doc_node *node, void *entry)
{
	int r = check_text(reader, where, node);
	if (r < 0)
		return r;
	char *text = arena_strdup(reader->arena, node->text);
	if (!text)
		return -ENOMEM;
	*FIELD(entry, key, const char *) = text;
	return 0;
}

/* Plain where no YAML parser could take it for anything else, else in double quotes. */
static char *quote(struct arena *arena, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-";
	if (strspn(text, plain) == strlen(text) && strchr(plain, text[0]) < plain + 62 && !is_null(text))
		return arena_strdup(arena, text);
	char *quoted = arena_alloc(arena, strlen(text) * 2 + 3);
	if (!quoted)
		return NULL;
	char *out = quoted;
	*out++ = '"';
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			*out++ = '\\';
		*out++ = *text;
	}
	*out++ = '"';
	return quoted;
}

static int print_text(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const char *text = *FIELD_CONST(entry, key, const char *);
	return text ? type_give(quote(arena, text), ret_text) : type_unset(ret_text);
}

const struct value_type text_type = {.name = "text", .read = read_text, .print = print_text};

static int read_texts(struct reader *reader, const struct where *where, const struct key *key,
		      const struct doc_node *node, void *entry)
{
	const struct doc_node *items;
	size_t count;
	int r = expect_values(reader, where, node, key, &items, &count);
	if (r < 0)
		return r;
	const char **texts = arena_array(reader->arena, count, const char *);
	if (!texts)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct where item = {.up = where, .number = i};
		r = check_text(reader, count > 1 ? &item : where, &items[i]);
		if (r < 0)
			return r;
		texts[i] = arena_strdup(reader->arena, items[i].text);
		if (!texts[i])
			return -ENOMEM;
	}
	*FIELD(entry, key, const char **) = texts;
	*FIELD_COUNT(entry, key) = count;
	return 0;
}

static int print_texts(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const char *const *texts = *FIELD_CONST(entry, key, const char *const *);
	size_t count = *FIELD_COUNT_CONST(entry, key);
	char *text = NULL;
	for (size_t i = 0; i < count; i++) {
		char *quoted = quote(arena, texts[i]);
		text = quoted ? arena_printf(arena, "%s%s%s", text ? text : "[", text ? ", " : "", quoted) : NULL;
		if (!text)
			return -ENOMEM;
	}
	return count ? type_give(arena_printf(arena, "%s]", text), ret_text) : type_unset(ret_text);
}

const struct value_type texts_type = {.name = "list of texts", .list = true, .read = read_texts, .print = print_texts};

/* All enums of the model are unsigned int to the compiler, and start at 0. */
static int read_word(struct reader *reader, const struct where *where, const struct key *key,
		     const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "a word");
	if (r < 0)
		return r;
	for (unsigned i = 0; key->words[i]; i++) {
		if (strcmp(key->words[i], node->text) == 0) {
			*FIELD(entry, key, unsigned) = i;
			return 0;
		}
	}
	return reader_error(reader, where, node->at, "\"%.*s\" is unknown here %s", bytes_shown(node->text), node->text,
			    suggest_word(reader, node->text, key->words));
}

static int print_word(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	return type_give(arena_strdup(arena, key->words[*FIELD_CONST(entry, key, unsigned)]), ret_text);
}

const struct value_type word_type = {.name = "word", .read = read_word, .print = print_word};

/* A list of words as bits of an unsigned int, by their place among key->words. */
static int read_words(struct reader *reader, const struct where *where, const struct key *key,
		      const struct doc_node *node, void *entry)
{
	const struct doc_node *items;
	size_t count;
	int r = expect_values(reader, where, node, key, &items, &count);
	if (r < 0)
		return r;
	unsigned bits = 0;
	for (size_t i = 0; i < count; i++) {
		struct where item = {.up = where, .number = i};
		unsigned word = 0;
		if (expect_scalar(reader, &item, &items[i], "a word") < 0)
			return -EINVAL;
		while (key->words[word] && strcmp(key->words[word], items[i].text) != 0)
			word++;
		if (!key->words[word])
			return reader_error(reader, &item, items[i].at, "\"%.*s\" is unknown here %s",
					    bytes_shown(items[i].text), items[i].text,
					    suggest_word(reader, items[i].text, key->words));
		if (bits & 1u << word)
			return reader_error(reader, &item, items[i].at, "%s is there twice", key->words[word]);
		bits |= 1u << word;
	}
	*FIELD(entry, key, uint32_t) = bits;
	return 0;
}

static int print_words(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	uint32_t bits = *FIELD_CONST(entry, key, uint32_t);
	char *text = NULL;
	for (unsigned i = 0; key->words[i]; i++) {
		if (!(bits & 1u << i))
			continue;
		text = list_add(arena, text, key->words[i]);
		if (!text)
			return -ENOMEM;
	}
	return list_close(arena, text, ret_text);
}

const struct value_type words_type = {.name = "list of words", .list = true, .read = read_words, .print = print_words};

static int read_duration(struct reader *reader, const struct where *where, const struct key *key,
			 const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "a duration like 250ms, 2s, 10m, 1h, 30d");
	if (r < 0)
		return r;
	milliseconds duration;
	if (value_duration(node->text, node->length, &duration) < 0)
		return type_refuse(reader, where, node, "a duration (like 250ms, 2s, 10m, 1h, 30d)");
	if (duration < key->least || duration > key->most) {
		const char *least = value_print_duration(reader->scratch, key->least);
		const char *most = value_print_duration(reader->scratch, key->most);
		return reader_error(reader, where, node->at, "%s is out of range (%s to %s)", node->text,
				    least ? least : "", most ? most : "");
	}
	*FIELD(entry, key, milliseconds) = duration;
	return 0;
}

static int print_duration(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	milliseconds duration = *FIELD_CONST(entry, key, milliseconds);
	return duration ? type_give(value_print_duration(arena, duration), ret_text) : type_unset(ret_text);
}

const struct value_type duration_type = {.name = "duration", .read = read_duration, .print = print_duration};

static int read_rate(struct reader *reader, const struct where *where, const struct key *key,
		     const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "a rate like 50/second burst 100");
	if (r < 0)
		return r;
	if (value_rate(node->text, node->length, FIELD(entry, key, struct rate)) < 0)
		return type_refuse(
			reader, where, node,
			"a rate (like 50/second burst 100; per second, minute or hour; numbers from 1 to 10000000)");
	return 0;
}

static int print_rate(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const struct rate *rate = FIELD_CONST(entry, key, struct rate);
	return rate->count ? type_give(value_print_rate(arena, rate), ret_text) : type_unset(ret_text);
}

const struct value_type rate_type = {.name = "rate", .read = read_rate, .print = print_rate};

static int read_status(struct reader *reader, const struct where *where, const struct key *key,
		       const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "HTTP status codes like 200-399");
	if (r < 0)
		return r;
	struct port_range range;
	if (value_port_range(node->text, node->length, &range) < 0 || range.first < 100 || range.last > 599)
		return type_refuse(reader, where, node, "a range of HTTP status codes (like 200-399; 100 to 599)");
	/* status_last lies right behind status_first. */
	FIELD(entry, key, uint32_t)[0] = range.first;
	FIELD(entry, key, uint32_t)[1] = range.last;
	return 0;
}

_Static_assert(offsetof(struct health, status_last) == offsetof(struct health, status_first) + sizeof(uint32_t),
	       "one pair");

static int print_status(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	/* It is a pointer, which cppcheck does not see through the macro. */
	/* cppcheck-suppress AssignmentIntegerToAddress */
	const uint32_t *status = FIELD_CONST(entry, key, uint32_t);
	struct port_range range = {(uint16_t)status[0], (uint16_t)status[1]};
	return range.first ? type_give(value_print_port_range(arena, &range), ret_text) : type_unset(ret_text);
}

const struct value_type status_type = {.name = "status codes", .read = read_status, .print = print_status};

static int read_device(struct reader *reader, const struct where *where, const struct key *key,
		       const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "a network device's name, like ens3");
	if (r < 0)
		return r;
	if (!value_is_device(node->text, node->length) || strcmp(node->text, "lo") == 0)
		return type_refuse(reader, where, node, "a network device's name (like ens3; at most 15 characters)");
	return read_text(reader, where, key, node, entry);
}

const struct value_type device_type = {.name = "device", .read = read_device, .print = print_text};

static int read_entry_name(struct reader *reader, const struct where *where, const struct key *key,
			   const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "a name");
	if (r < 0)
		return r;
	if (!value_is_name(node->text, node->length))
		return type_refuse(reader, where, node,
				   "a name (a letter or digit, then letters, digits, \".\", \"_\", \"-\"; at most 40)");
	return read_text(reader, where, key, node, entry);
}

const struct value_type name_type = {.name = "name", .read = read_entry_name, .print = print_text};

static int read_public_key(struct reader *reader, const struct where *where, const struct key *key,
			   const struct doc_node *node, void *entry)
{
	static const uint8_t zero[32];
	int r = expect_scalar(reader, where, node, "44 characters of base64");
	if (r < 0)
		return r;
	uint8_t public_key[32];
	if (value_public_key(node->text, node->length, public_key) < 0 || memcmp(public_key, zero, 32) == 0)
		return type_refuse(reader, where, node,
				   "a WireGuard public key (44 characters of base64, as \"wg pubkey\" prints)");
	memcpy(FIELD(entry, key, uint8_t), public_key, sizeof(public_key));
	return 0;
}

static int print_public_key(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	char *text = value_print_public_key(arena, FIELD_CONST(entry, key, uint8_t));
	/* In quotes: it may hold "+" and ends with "=". */
	return text ? type_give(quote(arena, text), ret_text) : -ENOMEM;
}

const struct value_type public_key_type = {.name = "public key", .read = read_public_key, .print = print_public_key};
