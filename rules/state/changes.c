/* What changed between two models, in lines for people. Works along the schema
 * tables, so that a new key shows up by itself; entries are paired by name, and
 * values are compared as the texts that they are printed as. */
#include "changes.h"

#include "../base/sequence.h"
#include "../base/strmap.h"
#include "../model/schema.h"

#include <errno.h>
#include <string.h>

struct lines {
	struct arena *arena;   /* the result's */
	struct arena *scratch; /* everything else's */
	const char **items;
	size_t count, capacity;
};

/* A key that has a value, by its path in the entry ("limits.ban"). */
struct property {
	const char *label, *value;
};

struct properties {
	struct property *items;
	size_t count, capacity;
};

static int add_line(struct lines *lines, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int add_line(struct lines *lines, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	const char *line = arena_vprintf(lines->arena, format, args);
	va_end(args);
	const char **items = arena_grow(lines->arena, lines->items, lines->count, sizeof(*items), &lines->capacity);
	if (!line || !items)
		return -ENOMEM;
	lines->items = items;
	items[lines->count++] = line;
	return 0;
}

static int add_property(struct lines *lines, struct properties *list, const char *label, const char *value)
{
	struct property *items = arena_grow(lines->scratch, list->items, list->count, sizeof(*items), &list->capacity);
	if (!items || !label || !value)
		return -ENOMEM;
	list->items = items;
	items[list->count++] = (struct property){.label = label, .value = value};
	return 0;
}

/* The quotes are YAML's, not the reader's. */
static char *unquoted(char *value)
{
	size_t length = strlen(value);
	if (length < 2 || value[0] != '"' || value[length - 1] != '"' || memchr(value + 1, '"', length - 2))
		return value;
	value[length - 1] = '\0';
	return value + 1;
}

static int collect(struct lines *lines, const struct section *section, const char *path, const void *entry,
		   struct properties *list)
{
	if (section->present_offset != NO_OFFSET && !*(const bool *)((const char *)entry + section->present_offset))
		return 0;
	int r = 0;
	for (const struct key *key = section->keys; key->name && r == 0; key++) {
		const char *label = *path ? arena_printf(lines->scratch, "%s.%s", path, key->name) : key->name;
		char *value = NULL;
		if (!label)
			return -ENOMEM;
		if (key->section && key->section->shape == SHAPE_PART)
			r = collect(lines, key->section, label, (const char *)entry + key->offset, list);
		else if (!key->section)
			r = key->type->print(lines->scratch, key, entry, &value);
		if (r == 0 && value)
			r = add_property(lines, list, label, unquoted(value));
	}
	return r;
}

/* A blocklist is its content as well. */
static int collect_content(struct lines *lines, const struct blocklist *blocklist, struct properties *list)
{
	const uint8_t *h = blocklist->hash;
	int r = add_property(lines, list, "entries", arena_printf(lines->scratch, "%zu", blocklist->range_count));
	return r < 0 ? r
		     : add_property(lines, list, "content",
				    arena_printf(lines->scratch, "%02x%02x%02x%02x%02x%02x", h[0], h[1], h[2], h[3], h[4],
						 h[5]));
}

static int properties_of(struct lines *lines, const struct section *section, const void *entry,
			 struct properties *ret_list)
{
	*ret_list = (struct properties){0};
	int r = collect(lines, section, "", entry, ret_list);
	if (r == 0 && section == schema_kinds[KIND_BLOCKLIST])
		r = collect_content(lines, entry, ret_list);
	return r;
}

static const char *value_of(const struct properties *list, const char *label)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i].label, label) == 0)
			return list->items[i].value;
	}
	return NULL;
}

/* What stands behind "+ forward https: ": the values of these keys, each behind its word. */
struct word {
	const char *before, *label;
};

static const struct word *words_of(const struct section *section)
{
	static const struct word node[] = {{"", "address"}, {" behind ", "tunnel"}, {0}};
	static const struct word pool[] = {{"", "nodes"}, {" ", "balance"}, {0}};
	static const struct word forward[] = {{"", "listen"}, {" -> ", "to"}, {" from ", "from"}, {0}};
	static const struct word snat[] = {{"", "from"}, {" out ", "out"}, {" -> ", "to"}, {0}};
	static const struct word tunnel[] = {{"port ", "listen"}, {" ", "address"}, {0}};
	static const struct word blocklist[] = {{"", "file"}, {", entries: ", "entries"}, {0}};
	static const struct word rule[] = {
		{"", "action"}, {" ", "protocol"}, {" ", "port"}, {" from ", "from"}, {" to ", "to"}, {0}};
	static const struct word peer[] = {{"", "allowed_ips"}, {" at ", "endpoint"}, {0}};
	static const struct word expect[] = {{"", "verdict"}, {" ", "from"},	     {" by ", "in"}, {" to ", "to"},
					     {" forward ", "forward"}, {" rule ", "rule"}, {0}};
	static const struct word *const kinds[KIND_COUNT] = {
		[KIND_NODE] = node,	[KIND_POOL] = pool,	      [KIND_FORWARD] = forward, [KIND_SNAT] = snat,
		[KIND_TUNNEL] = tunnel, [KIND_BLOCKLIST] = blocklist, [KIND_RULE] = rule,
	};
	for (size_t i = 0; i < KIND_COUNT; i++) {
		if (section == schema_kinds[i])
			return kinds[i];
	}
	return section == &schema_peers ? peer : section == &schema_expect ? expect : NULL;
}

/* NULL: out of memory. Without words of its own an entry shows all that it has. */
static const char *describe(struct lines *lines, const struct section *section, const struct properties *list)
{
	const struct word *words = words_of(section);
	const char *text = "";
	for (; words && words->label && text; words++) {
		const char *value = value_of(list, words->label);
		if (value)
			text = arena_printf(lines->scratch, "%s%s%s", text, words->before, value);
	}
	for (size_t i = 0; !words_of(section) && i < list->count && text; i++)
		text = arena_printf(lines->scratch, "%s%s%s %s", text, i ? ", " : "", list->items[i].label,
				    list->items[i].value);
	return text;
}

static const char *join(struct lines *lines, const char *text, const char *more)
{
	return text ? arena_printf(lines->scratch, "%s%s%s", text, *text ? ", " : "", more) : NULL;
}

/* "action drop -> reject, limit none -> 10/second burst 20"; "" when nothing differs; NULL: out of memory. */
static const char *compare(struct lines *lines, const struct properties *before, const struct properties *after)
{
	const char *text = "";
	for (size_t i = 0; i < after->count && text; i++) {
		const struct property *now = &after->items[i];
		const char *old = value_of(before, now->label);
		if (old && strcmp(old, now->value) == 0)
			continue;
		/* The hash says nothing to people, and where the number of entries changed nothing at all. */
		if (strcmp(now->label, "content") == 0)
			text = *text ? text : "content changed";
		else
			text = join(lines, text, arena_printf(lines->scratch, "%s %s -> %s", now->label,
							      old ? old : "none", now->value));
	}
	for (size_t i = 0; i < before->count && text; i++) {
		const struct property *old = &before->items[i];
		if (!value_of(after, old->label))
			text = join(lines, text, arena_printf(lines->scratch, "%s %s -> none", old->label, old->value));
	}
	return text;
}

/* An array of entries in a model, or none. */
struct entries {
	const char *items;
	size_t count;
};

static struct entries entries_of(const struct section *section, const void *holder)
{
	if (!holder)
		return (struct entries){0};
	return (struct entries){
		.items = *(const char *const *)(const void *)((const char *)holder + section->offset),
		.count = *(const size_t *)(const void *)((const char *)holder + section->count_offset),
	};
}

static const void *entry_at(const struct section *section, const struct entries *entries, size_t index)
{
	return entries->items + index * section->size;
}

static const char *name_at(const struct section *section, const struct entries *entries, size_t index)
{
	return *(const char *const *)(const void *)((const char *)entry_at(section, entries, index) + section->name_offset);
}

static const char *place_of(struct lines *lines, const struct section *section, const void *entry)
{
	const struct origin *at = (const void *)((const char *)entry + section->at_offset);
	return section->at_offset != NO_OFFSET && at->line
		       ? arena_printf(lines->scratch, " (%s:%u)", at->file ? at->file : "", at->line)
		       : "";
}

static bool same_place(const struct place *a, const struct place *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case PLACE_ANY:
	case PLACE_WAN:
	case PLACE_LAN:
	case PLACE_SELF:
		return true;
	case PLACE_TUNNEL:
		return strcmp(a->tunnel->name, b->tunnel->name) == 0;
	case PLACE_PREFIX:
		return a->prefix.length == b->prefix.length && addr_equal(&a->prefix.addr, &b->prefix.addr);
	case PLACE_BLOCKLIST:
		return strcmp(a->blocklist->name, b->blocklist->name) == 0;
	}
	return false;
}

static bool same_listen(const struct forward *a, const struct forward *b)
{
	return addr_equal(&a->listen_address, &b->listen_address) && a->protocol == b->protocol &&
	       a->port_count == b->port_count && memcmp(a->ports, b->ports, a->port_count * sizeof(*a->ports)) == 0;
}

static bool same_target(const struct forward *a, const struct forward *b)
{
	return a->target_port == b->target_port && strcmp(a->pool->name, b->pool->name) == 0;
}

/* True when the values are surely the same: printing thousands of them takes too long. */
static bool same_value(const struct key *key, const void *before, const void *after)
{
	const char *a = (const char *)before + key->offset, *b = (const char *)after + key->offset;
	const struct value_type *type = key->type;
	if (type == &bool_type)
		return *a == *b;
	if (type == &number_type || type == &word_type || type == &words_type)
		return memcmp(a, b, sizeof(uint32_t)) == 0;
	if (type == &duration_type)
		return memcmp(a, b, sizeof(milliseconds)) == 0;
	if (type == &rate_type)
		return memcmp(a, b, sizeof(struct rate)) == 0;
	if (type == &text_type || type == &name_type) {
		const char *old = *(const char *const *)(const void *)a, *new = *(const char *const *)(const void *)b;
		return old == new || (old && new && strcmp(old, new) == 0);
	}
	if (type == &listen_type)
		return same_listen(before, after);
	if (type == &target_type)
		return same_target(before, after);
	if (type != &ports_type && type != &places_type)
		return false;
	size_t count = *(const size_t *)(const void *)((const char *)before + key->count_offset);
	if (count != *(const size_t *)(const void *)((const char *)after + key->count_offset))
		return false;
	const void *old = *(const void *const *)(const void *)a, *new = *(const void *const *)(const void *)b;
	if (type == &ports_type)
		return count == 0 || memcmp(old, new, count * sizeof(struct port_range)) == 0;
	for (size_t i = 0; i < count; i++) {
		if (!same_place((const struct place *)old + i, (const struct place *)new + i))
			return false;
	}
	return true;
}

static bool same_entry(const struct section *section, const void *before, const void *after)
{
	if (section == schema_kinds[KIND_BLOCKLIST])
		return false;
	for (const struct key *key = section->keys; key->name; key++) {
		bool part = key->section && key->section->shape == SHAPE_PART;
		if (part ? !same_entry(key->section, (const char *)before + key->offset, (const char *)after + key->offset)
			 : !key->section && !same_value(key, before, after))
			return false;
	}
	return true;
}

/* title: "forward https". */
static int tell_new(struct lines *lines, const struct section *section, const char *title, const void *entry)
{
	struct properties list;
	int r = properties_of(lines, section, entry, &list);
	const char *text = r == 0 ? describe(lines, section, &list) : NULL, *place = place_of(lines, section, entry);
	if (!text || !place)
		return -ENOMEM;
	return add_line(lines, "+ %s%s%s%s", title, *text ? ": " : "", text, place);
}

static int tell_changed(struct lines *lines, const struct section *section, const char *title, const void *before,
			const void *after)
{
	struct properties old, new;
	if (same_entry(section, before, after))
		return 0;
	int r = properties_of(lines, section, before, &old);
	if (r == 0)
		r = properties_of(lines, section, after, &new);
	const char *text = r == 0 ? compare(lines, &old, &new) : NULL;
	if (!text)
		return -ENOMEM;
	return *text ? add_line(lines, "~ %s: %s", title, text) : 0;
}

static int compare_keys(struct lines *lines, const struct section *section, const char *title, const void *before,
			const void *after);

/* Entries of before by name, as index + 1 behind a pointer. */
static int index_names(struct lines *lines, const struct section *section, const struct entries *entries,
		       struct strmap **ret_map)
{
	struct strmap *map = strmap_new(lines->scratch);
	for (size_t i = 0; map && i < entries->count; i++) {
		/* Of two with one name the first counts. */
		if (strmap_put(map, name_at(section, entries, i), (void *)(uintptr_t)(i + 1)) == -ENOMEM)
			return -ENOMEM;
	}
	*ret_map = map;
	return map ? 0 : -ENOMEM;
}

/* Rules whose place among the others changed. */
static int tell_moved(struct lines *lines, const struct section *section, const struct entries *after,
		      const uint32_t *old_index)
{
	bool *stays = arena_array(lines->scratch, after->count, bool);
	int r = stays ? sequence_longest_run(lines->scratch, old_index, after->count, stays) : -ENOMEM;
	for (size_t i = 0; r == 0 && i < after->count; i++) {
		if (stays[i] || old_index[i] == SEQUENCE_NONE)
			continue;
		const char *name = name_at(section, after, i);
		r = i ? add_line(lines, "~ %s %s: moved behind %s", section->noun, name, name_at(section, after, i - 1))
		      : add_line(lines, "~ %s %s: moved to the top", section->noun, name);
	}
	return r;
}

/* Entries with names, in a section of the file or of an entry (up: "tunnel wg0 "). */
static int compare_named(struct lines *lines, const struct section *section, const char *up, const void *before_holder,
			 const void *after_holder)
{
	struct entries before = entries_of(section, before_holder), after = entries_of(section, after_holder);
	struct strmap *old_names = NULL, *new_names = NULL;
	uint32_t *old_index = arena_array(lines->scratch, after.count, uint32_t);
	int r = old_index ? index_names(lines, section, &before, &old_names) : -ENOMEM;
	if (r == 0)
		r = index_names(lines, section, &after, &new_names);
	for (size_t i = 0; r == 0 && i < after.count; i++) {
		const char *name = name_at(section, &after, i);
		const void *entry = entry_at(section, &after, i);
		size_t index = (uintptr_t)strmap_get(old_names, name);
		const void *old = index ? entry_at(section, &before, index - 1) : NULL;
		const char *title = arena_printf(lines->scratch, "%s%s %s", up, section->noun, name);
		old_index[i] = index ? (uint32_t)index - 1 : SEQUENCE_NONE;
		if (!title)
			return -ENOMEM;
		r = old ? tell_changed(lines, section, title, old, entry) : tell_new(lines, section, title, entry);
		if (r == 0)
			r = compare_keys(lines, section, title, old, entry);
	}
	for (size_t i = 0; r == 0 && i < before.count; i++) {
		const char *name = name_at(section, &before, i);
		if (!strmap_get(new_names, name))
			r = add_line(lines, "- %s%s %s", up, section->noun, name);
	}
	if (r == 0 && section->shape == SHAPE_LIST)
		r = tell_moved(lines, section, &after, old_index);
	return r;
}

/* Entries without names are what they hold. */
static int compare_nameless(struct lines *lines, const struct section *section, const void *before_holder,
			    const void *after_holder)
{
	struct entries sides[2] = {entries_of(section, before_holder), entries_of(section, after_holder)};
	struct strmap *maps[2] = {strmap_new(lines->scratch), strmap_new(lines->scratch)};
	const char **texts[2];
	for (size_t side = 0; side < 2; side++) {
		texts[side] = arena_array(lines->scratch, sides[side].count, const char *);
		for (size_t i = 0; i < sides[side].count; i++) {
			struct properties list;
			if (!texts[side] || !maps[side] ||
			    properties_of(lines, section, entry_at(section, &sides[side], i), &list) < 0)
				return -ENOMEM;
			texts[side][i] = describe(lines, section, &list);
			if (!texts[side][i] || strmap_put(maps[side], texts[side][i], (void *)(uintptr_t)1) == -ENOMEM)
				return -ENOMEM;
		}
	}
	int r = 0;
	for (size_t i = 0; r == 0 && i < sides[1].count; i++) {
		const char *place = place_of(lines, section, entry_at(section, &sides[1], i));
		if (!strmap_get(maps[0], texts[1][i]))
			r = place ? add_line(lines, "+ %s: %s%s", section->noun, texts[1][i], place) : -ENOMEM;
	}
	for (size_t i = 0; r == 0 && i < sides[0].count; i++) {
		if (!strmap_get(maps[1], texts[0][i]))
			r = add_line(lines, "- %s: %s", section->noun, texts[0][i]);
	}
	return r;
}

/* A part of the file that is there once: management, api, a leg. */
static int compare_part(struct lines *lines, const struct section *section, const char *title, const void *before,
			const void *after)
{
	struct properties old = {0}, new = {0};
	int r = before ? properties_of(lines, section, before, &old) : 0;
	if (r == 0)
		r = properties_of(lines, section, after, &new);
	if (r < 0 || (!old.count && !new.count))
		return r;
	if (old.count && new.count)
		return tell_changed(lines, section, title, before, after);
	return new.count ? tell_new(lines, section, title, after) : add_line(lines, "- %s", title);
}

/* A plain value of the file itself. */
static int compare_value(struct lines *lines, const struct key *key, const void *before, const void *after)
{
	char *old = NULL, *new = NULL;
	int r = before ? key->type->print(lines->scratch, key, before, &old) : 0;
	if (r == 0)
		r = key->type->print(lines->scratch, key, after, &new);
	if (r < 0 || (!old && !new) || (old && new && strcmp(old, new) == 0))
		return r;
	if (!new)
		return add_line(lines, "- %s: %s", key->name, old);
	if (!old && key->preset && strcmp(new, key->preset) == 0)
		return 0;
	return old ? add_line(lines, "~ %s: %s -> %s", key->name, old, new) : add_line(lines, "+ %s: %s", key->name, new);
}

static bool has_parts(const struct section *section)
{
	const struct key *key = section->keys;
	while (key->name && !key->section)
		key++;
	return key->name;
}

/* Sections below this one that lines of their own tell of. In the file itself also its parts and plain values. */
static int compare_keys(struct lines *lines, const struct section *section, const char *title, const void *before,
			const void *after)
{
	bool root = section == &schema_root;
	int r = 0;
	for (const struct key *key = section->keys; key->name && r == 0; key++) {
		const struct section *below = key->section;
		const void *old = before ? (const char *)before + key->offset : NULL;
		const void *new = (const char *)after + key->offset;
		if (!below && !root)
			continue;
		const char *up = *title ? arena_printf(lines->scratch, "%s ", title) : "";
		if (!up)
			return -ENOMEM;
		if (below && below->shape != SHAPE_PART && below->name_offset != NO_OFFSET)
			r = compare_named(lines, below, up, old, new);
		else if (below && below->shape != SHAPE_PART)
			r = compare_nameless(lines, below, old, new);
		else if (below && root && has_parts(below))
			/* The legs: one line each. */
			for (const struct key *leg = below->keys; leg->name && r == 0; leg++)
				r = compare_part(lines, leg->section, leg->name, old ? (const char *)old + leg->offset : NULL,
						 (const char *)new + leg->offset);
		else if (below && root)
			r = compare_part(lines, below, key->name, old, new);
		else if (root && key->type != &version_type)
			r = compare_value(lines, key, before, after);
	}
	return r;
}

int changes_list(const struct model *before, const struct model *after, struct arena *arena, struct changes *ret_changes)
{
	cleanup_arena struct arena *scratch = arena_new();
	struct lines lines = {.arena = arena, .scratch = scratch};
	int r = scratch ? compare_keys(&lines, &schema_root, "", before, after) : -ENOMEM;
	if (r < 0)
		return r;
	*ret_changes = (struct changes){.lines = lines.items, .count = lines.count};
	return 0;
}
