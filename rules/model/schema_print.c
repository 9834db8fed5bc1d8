/* The reference of the configuration (docs/configuration.md), made from the
 * schema tables, so that it cannot say anything else than the reader does. */
#include "schema_print.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"
#include "values.h"

static const char intro[] =
	"# Configuration reference\n"
	"\n"
	"Made from the schema tables in `rules/model/schema.c` by `make docs`; change it there.\n"
	"\n"
	"The configuration is `/etc/edged/edged.yaml`. Files in `/etc/edged/conf.d/*.yaml` are read after it, in the "
	"order of\n"
	"their names, and may add to each section: lists are put behind each other, mappings are joined, and the same "
	"name\n"
	"twice is an error that names both places. `edgectl check` reports everything that is wrong in one run, as\n"
	"`file:line:column: path: what is wrong (what would be right)`.\n"
	"\n"
	"The files are plain YAML, in UTF-8, one document each. Anchors, aliases, tags and directives are refused, and "
	"so are\n"
	"keys that are not in this reference. Names are a letter or digit, then letters, digits, `.`, `_` and `-`, at "
	"most 40.\n"
	"\n"
	"## Values\n"
	"\n"
	"| value | how it is written |\n"
	"|---|---|\n"
	"| duration | a whole number and a unit: `250ms`, `2s`, `10m`, `1h`, `30d` |\n"
	"| rate | `50/second burst 100`; `second`, `minute` or `hour`; without `burst` it is the number itself, at "
	"least 5 |\n"
	"| ports | `443`, `8000-8010`, `\"80,443\"` or `[80, 443, 8000-8010]` |\n"
	"| LISTEN | `PORT`, `ADDRESS:PORT` or `\"[IPV6]:PORT\"`, where PORT is as above; `/tcp` (default) or `/udp` "
	"behind it |\n"
	"| address | `192.0.2.1` or `2001:db8::1` |\n"
	"| prefix | `192.0.2.0/24` or `2001:db8::/32`; an address is a prefix of itself |\n"
	"| place | `wan`, `lan`, the name of a tunnel, `self` (this machine), `any`, an address, a prefix, or the name "
	"of a blocklist |\n"
	"| text | one line, at most 200 bytes |\n"
	"\n"
	"A list may be written as a single value when it has only one. IPv6 sources are limited and banned by their "
	"/64.\n";

/* Text that grows; error: out of memory. */
struct page {
	struct arena *scratch;
	char *text;
	size_t length, capacity;
	bool failed;
};

static void put(struct page *page, const char *text)
{
	size_t length = strlen(text);
	if (!page->text || page->capacity - page->length <= length) {
		size_t capacity = (page->length + length) * 2 + 4096;
		char *grown = page->failed ? NULL : realloc(page->text, capacity);
		if (!grown) {
			page->failed = true;
			return;
		}
		page->text = grown;
		page->capacity = capacity;
	}
	memcpy(page->text + page->length, text, length + 1);
	page->length += length;
}

static __attribute__((format(printf, 2, 3))) void putf(struct page *page, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	const char *text = arena_vprintf(page->scratch, format, args);
	va_end(args);
	if (text)
		put(page, text);
	else
		page->failed = true;
}

static void put_type(struct page *page, const struct key *key)
{
	if (key->section) {
		put(page, key->section->shape == SHAPE_LIST ? "list" : "mapping");
		return;
	}
	if (key->words) {
		for (size_t i = 0; key->words[i]; i++)
			putf(page, "%s`%s`", i ? ", " : "", key->words[i]);
		return;
	}
	put(page, key->type->name);
	if (key->type == &number_type)
		putf(page, ", %llu to %llu", (unsigned long long)key->least, (unsigned long long)key->most);
	if (key->type == &duration_type)
		putf(page, ", %s to %s", value_print_duration(page->scratch, key->least),
		     value_print_duration(page->scratch, key->most));
}

static void put_keys(struct page *page, const struct section *section)
{
	put(page, "\n| key | type | default | meaning |\n|---|---|---|---|\n");
	for (const struct key *key = section->keys; key->name; key++) {
		if (section == &schema_root && key->section)
			putf(page, "| [`%s`](#%s) | ", key->name, key->name);
		else
			putf(page, "| `%s` | ", key->name);
		put_type(page, key);
		if (key->required)
			put(page, " | **required** | ");
		else if (key->preset)
			putf(page, " | `%s` | ", key->preset);
		else
			put(page, " | | ");
		putf(page, "%s |\n", key->text);
	}
}

/* Mappings inside an entry get tables of their own, under the path that leads to them. */
static void put_parts(struct page *page, const struct section *section, const char *path)
{
	for (const struct key *key = section->keys; key->name; key++) {
		if (!key->section)
			continue;
		const char *name = key->section->shape == SHAPE_NAMED ? ".NAME" : "";
		const char *inner = arena_printf(page->scratch, "%s.%s%s", path, key->name, name);
		if (!inner) {
			page->failed = true;
			return;
		}
		putf(page, "\n### `%s`\n", inner);
		put_keys(page, key->section);
		put_parts(page, key->section, inner);
	}
}

static void put_section(struct page *page, const struct key *key)
{
	const struct section *section = key->section;
	static const char *const shapes[] = {[SHAPE_PART] = "",
					     [SHAPE_NAMED] = " A mapping of names to entries with these keys:",
					     [SHAPE_LIST] = " A list of entries with these keys:"};
	putf(page, "\n## `%s`\n\n%s%s\n", key->name, section->text, shapes[section->shape]);
	put_keys(page, section);
	const char *name = section->shape == SHAPE_NAMED ? ".NAME" : section->shape == SHAPE_LIST ? "[]" : "";
	const char *path = arena_printf(page->scratch, "%s%s", key->name, name);
	if (path)
		put_parts(page, section, path);
	putf(page, "\n```yaml\n%s```\n", section->example);
}

char *schema_print(struct arena *arena)
{
	cleanup_arena struct arena *scratch = arena_new();
	if (!scratch)
		return NULL;
	struct page page = {.scratch = scratch};
	put(&page, intro);
	put(&page, "\n## The whole file\n");
	put_keys(&page, &schema_root);
	for (const struct key *key = schema_root.keys; key->name; key++)
		if (key->section)
			put_section(&page, key);
	char *text = page.failed ? NULL : arena_strndup(arena, page.text, page.length);
	free(page.text);
	return text;
}
