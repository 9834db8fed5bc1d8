/* The walk over the document along the schema: sections, entries, keys, what is
 * missing and what is unknown. Types read the values themselves; nothing here
 * knows a section by name. */
#include "reader.h"

#include <errno.h>
#include <string.h>

#include "../text/bytes.h"
#include "values.h"

#define PASSES 6u

const char *where_path(struct reader *reader, const struct where *where)
{
	if (!where)
		return "";
	const char *up = where_path(reader, where->up);
	const char *dot = *up ? "." : "";
	const char *path =
		where->name ? arena_printf(reader->scratch, "%s%s%.*s", up, dot, bytes_shown(where->name), where->name)
			    : arena_printf(reader->scratch, "%s[%zu]", up, where->number);
	return path ? path : "";
}

static void report(struct reader *reader, enum diag_severity severity, const struct where *where, struct origin at,
		   const char *format, va_list args)
{
	const char *text = "", *path = "";
	/* What is dropped anyway is not worth the printing. */
	if (reader->diags->count < DIAG_MOST) {
		text = arena_vprintf(reader->scratch, format, args);
		path = where_path(reader, where);
	}
	diag_add(reader->diags, severity, at, path, "%s", text ? text : "out of memory");
}

int reader_error(struct reader *reader, const struct where *where, struct origin at, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	report(reader, DIAG_ERROR, where, at, format, args);
	va_end(args);
	return -EINVAL;
}

void reader_warn(struct reader *reader, const struct where *where, struct origin at, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	report(reader, DIAG_WARNING, where, at, format, args);
	va_end(args);
}

struct origin reader_key_at(const struct reader *reader, enum kind kind, size_t index, const char *key)
{
	const struct doc_node *node = reader->docs[kind][index];
	const struct doc_node *value = key && node->kind == DOC_MAPPING ? doc_get(node, key) : NULL;
	if (value)
		return value->at;
	const struct name_list names = reader_names(reader, kind);
	const char *entry = (const char *)names.items + index * names.stride;
	return *(const struct origin *)(const void *)(entry + schema_kinds[kind]->at_offset);
}

static void report_at(struct reader *reader, enum diag_severity severity, enum kind kind, size_t index, const char *key,
		      const char *format, va_list args)
{
	const struct name_list names = reader_names(reader, kind);
	const char *entry = (const char *)names.items + index * names.stride;
	const struct where section = {.name = schema_kinds[kind]->name};
	const struct where name = {
		.up = &section, .number = index, .name = *(const char *const *)(const void *)(entry + names.offset)};
	const struct where field = {.up = &name, .name = key};
	report(reader, severity, key ? &field : &name, reader_key_at(reader, kind, index, key), format, args);
}

int reader_refuse(struct reader *reader, enum kind kind, size_t index, const char *key, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	report_at(reader, DIAG_ERROR, kind, index, key, format, args);
	va_end(args);
	return -EINVAL;
}

void reader_warn_at(struct reader *reader, enum kind kind, size_t index, const char *key, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	report_at(reader, DIAG_WARNING, kind, index, key, format, args);
	va_end(args);
}

static const char *kind_name(const struct doc_node *node)
{
	if (doc_is_empty(node))
		return "nothing";
	switch (node->kind) {
	case DOC_SCALAR:
		return "a single value";
	case DOC_SEQUENCE:
		return "a list";
	case DOC_MAPPING:
		return "a mapping";
	}
	return "";
}

int expect_scalar(struct reader *reader, const struct where *where, const struct doc_node *node, const char *right)
{
	if (node->broken)
		return -EINVAL;
	if (doc_is_empty(node))
		return reader_error(reader, where, node->at, "the value is missing (%s)", right);
	if (node->kind != DOC_SCALAR)
		return reader_error(reader, where, node->at, "%s stands where one value is expected (%s)",
				    kind_name(node), right);
	return 0;
}

int expect_values(struct reader *reader, const struct where *where, const struct doc_node *node, const struct key *key,
		  const struct doc_node **ret_items, size_t *ret_count)
{
	if (node->broken)
		return -EINVAL;
	if (node->kind == DOC_MAPPING)
		return reader_error(reader, where, node->at,
				    "a mapping stands where values are expected (like [a, b])");
	if (doc_is_empty(node) || (node->kind == DOC_SEQUENCE && node->count == 0))
		return reader_error(reader, where, node->at, "the list is empty (name at least one%s)",
				    key->required ? "" : ", or leave the key out");
	size_t count = node->kind == DOC_SEQUENCE ? node->count : 1;
	if (key->most && count > key->most)
		return reader_error(reader, where, node->at, "%zu values are too many (at most %llu)", count,
				    (unsigned long long)key->most);
	*ret_items = node->kind == DOC_SEQUENCE ? node->children : node;
	*ret_count = count;
	return 0;
}

const struct key *schema_key(const struct section *section, const char *name)
{
	for (const struct key *key = section->keys; key->name; key++)
		if (strcmp(key->name, name) == 0)
			return key;
	return NULL;
}

static int read_section(struct reader *reader, const struct where *where, const struct section *section,
			const struct doc_node *node, void *entry);

/* A key that is not in the file: its default, or an error when node (the mapping) is there but lacks it. */
static int read_absent(struct reader *reader, const struct where *up, const struct where *where, const struct key *key,
		       const struct doc_node *node, void *entry)
{
	if (node && key->required)
		return reader_error(reader, up, node->at, "\"%s\" is missing (%s)", key->name, key->text);
	if (key->section)
		return key->section->shape == SHAPE_PART
			       ? read_section(reader, where, key->section, NULL, (char *)entry + key->offset)
			       : 0;
	if (!key->preset)
		return 0;
	struct doc_node preset = {.text = key->preset, .length = (uint32_t)strlen(key->preset)};
	if (node)
		preset.at = node->at;
	return key->type->read(reader, where, key, &preset, entry);
}

static int read_key(struct reader *reader, const struct where *up, const struct key *key, const struct doc_node *node,
		    const struct doc_node *value, void *entry)
{
	struct where where = {.up = up, .name = key->name};
	if (!value)
		return read_absent(reader, up, &where, key, node, entry);
	if (key->section)
		return read_section(reader, &where, key->section, value, (char *)entry + key->offset);
	return key->type->read(reader, &where, key, value, entry);
}

static void refuse_unknown(struct reader *reader, const struct where *where, const struct section *section,
			   const struct doc_node *node)
{
	for (uint32_t i = 0; i < node->count; i++) {
		const struct doc_node *key = &node->keys[i];
		if (!schema_key(section, key->text) && !node->children[i].broken)
			reader_error(reader, where, key->at, "unknown key \"%.*s\" %s", bytes_shown(key->text),
				     key->text, suggest_key(reader, key->text, section));
	}
}

static bool in_pass(const struct section *section, const struct key *key, unsigned pass)
{
	if (section != &schema_root)
		return pass == 0;
	return (key->section ? key->section->pass : 0) == pass;
}

/* The keys of one mapping; node is NULL when only the defaults are wanted. */
static int read_keys(struct reader *reader, const struct where *where, const struct section *section,
		     const struct doc_node *node, void *entry)
{
	struct doc_node single;
	if (node && node->kind == DOC_SCALAR && section->scalar_key && !doc_is_empty(node)) {
		struct doc_node *name = arena_new_of(reader->scratch, struct doc_node);
		struct doc_node *value = arena_memdup(reader->scratch, node, sizeof(*node));
		if (!name || !value)
			return -ENOMEM;
		*name = (struct doc_node){.at = node->at, .text = section->scalar_key};
		single = (struct doc_node){
			.kind = DOC_MAPPING, .at = node->at, .keys = name, .children = value, .count = 1};
		node = &single;
	} else if (node && node->kind != DOC_MAPPING && !doc_is_empty(node)) {
		return reader_error(reader, where, node->at, "%s stands where a mapping is expected (like \"%s: ...\")",
				    kind_name(node), section->keys->name);
	}
	if (node && node->kind == DOC_MAPPING)
		refuse_unknown(reader, where, section, node);
	for (unsigned pass = 0; pass < PASSES; pass++) {
		for (const struct key *key = section->keys; key->name; key++) {
			if (!in_pass(section, key, pass))
				continue;
			const struct doc_node *value = node ? doc_get(node, key->name) : NULL;
			if (read_key(reader, where, key, node, value, entry) == -ENOMEM)
				return -ENOMEM;
		}
		if (section != &schema_root)
			break;
	}
	return 0;
}

static void *field_at(void *entry, size_t offset)
{
	return (char *)entry + offset;
}

static int read_entry(struct reader *reader, const struct where *where, const struct section *section,
		      const struct doc_node *node, void *entry)
{
	if (section->present_offset != NO_OFFSET) {
		if (!node)
			return 0;
		*(bool *)field_at(entry, section->present_offset) = true;
	}
	if (node && section->at_offset != NO_OFFSET && section->shape == SHAPE_PART)
		*(struct origin *)field_at(entry, section->at_offset) = node->at;
	size_t errors = reader->diags->errors;
	int r = read_keys(reader, where, section, node, entry);
	/* What its keys mean together is worth a look only when each of them is right. */
	if (r == 0 && node && section->finish && reader->diags->errors == errors)
		r = section->finish(reader, where, node, entry);
	return r == -ENOMEM ? r : 0;
}

static enum kind kind_of(const struct section *section)
{
	enum kind kind = 0;
	while (kind < KIND_COUNT && schema_kinds[kind] != section)
		kind++;
	return kind;
}

static int read_name(struct reader *reader, const struct where *where, const struct section *section, enum kind kind,
		     const struct doc_node *key, void *entry)
{
	char *name = arena_strdup(reader->arena, key->text);
	if (!name)
		return -ENOMEM;
	*(const char **)field_at(entry, section->name_offset) = name;
	if (!value_is_name(key->text, key->length))
		reader_error(
			reader, where, key->at,
			"this is not a name (a letter or digit, then letters, digits, \".\", \"_\", \"-\"; at most %d)",
			MODEL_NAME_MAX);
	if (kind == KIND_COUNT)
		return 0;
	/* The same name twice has been reported already, by the document or where files are joined. */
	return strmap_put(reader->names[kind], name, entry) == -ENOMEM ? -ENOMEM : 0;
}

/* The entry of a list is known by its name, where it has one, as soon as something is said about it. */
static struct where entry_where(const struct where *up, const struct section *section, const struct doc_node *node,
				size_t i)
{
	struct where where = {.up = up, .number = i};
	if (section->name_offset != NO_OFFSET && node->kind == DOC_MAPPING) {
		const struct doc_node *name = doc_get(node, "name");
		if (name && name->kind == DOC_SCALAR && name->length > 0)
			where.name = name->text;
	}
	return where;
}

static void remember_docs(struct reader *reader, const struct section *section, enum kind kind,
			  const struct doc_node *const *docs)
{
	if (kind != KIND_COUNT)
		reader->docs[kind] = docs;
	else if (section == &schema_expect)
		reader->expect_docs = docs;
}

static int read_entries(struct reader *reader, const struct where *up, const struct section *section,
			const struct doc_node *node, void *holder)
{
	enum kind kind = kind_of(section);
	char *items = arena_calloc(reader->arena, node->count, section->size);
	const struct doc_node **docs = arena_array(reader->scratch, node->count, const struct doc_node *);
	if (!items || !docs)
		return -ENOMEM;
	*(void **)field_at(holder, section->offset) = items;
	*(size_t *)field_at(holder, section->count_offset) = node->count;
	remember_docs(reader, section, kind, docs);
	for (uint32_t i = 0; i < node->count; i++) {
		void *entry = items + i * section->size;
		const struct doc_node *value = &node->children[i];
		struct where where = entry_where(up, section, value, i);
		docs[i] = value;
		if (section->index_offset != NO_OFFSET)
			*(size_t *)field_at(entry, section->index_offset) = i;
		*(struct origin *)field_at(entry, section->at_offset) = value->at;
		if (section->shape == SHAPE_NAMED) {
			where.name = node->keys[i].text;
			*(struct origin *)field_at(entry, section->at_offset) = node->keys[i].at;
			if (read_name(reader, &where, section, kind, &node->keys[i], entry) < 0)
				return -ENOMEM;
		}
		int r = read_entry(reader, &where, section, value, entry);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_section(struct reader *reader, const struct where *where, const struct section *section,
			const struct doc_node *node, void *entry)
{
	if (section->shape == SHAPE_PART)
		return read_entry(reader, where, section, node, entry);
	enum doc_kind kind = section->shape == SHAPE_NAMED ? DOC_MAPPING : DOC_SEQUENCE;
	if (doc_is_empty(node))
		return 0;
	if (node->kind != kind)
		return reader_error(reader, where, node->at, "%s stands where %s is expected (like \"%s\")",
				    kind_name(node), section->shape == SHAPE_NAMED ? "a mapping of names" : "a list",
				    section->shape == SHAPE_NAMED ? "NAME: { ... }" : "- { ... }");
	if (node->count > section->most)
		return reader_error(reader, where, node->at, "%u %ss are too many (at most %zu)", node->count,
				    section->noun, section->most);
	return read_entries(reader, where, section, node, entry);
}

int read_root(struct reader *reader, const struct doc_node *root)
{
	return read_entry(reader, NULL, &schema_root, root, reader->model);
}

struct name_list reader_names(const struct reader *reader, enum kind kind)
{
	const struct section *section = schema_kinds[kind];
	const char *model = (const char *)reader->model;
	return (struct name_list){
		.items = *(const void *const *)(const void *)(model + section->offset),
		.count = *(const size_t *)(const void *)(model + section->count_offset),
		.stride = section->size,
		.offset = section->name_offset,
	};
}
