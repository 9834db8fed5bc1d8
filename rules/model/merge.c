/* Joining the files of one configuration: lists are put behind each other,
 * mappings are joined, and the same name twice is an error that names both
 * places. Works on documents, along the schema; reads no value. */
#include <errno.h>
#include <string.h>

#include "reader.h"

/* What stands under one key in all files. */
struct slot {
	struct doc_node key;
	const struct doc_node **values;
	size_t count, capacity;
};

static int join(struct reader *reader, const struct where *where, const struct section *section, bool list,
		const struct doc_node **nodes, size_t count, struct doc_node *ret_node);

static int join_lists(struct reader *reader, const struct doc_node **nodes, size_t count, struct doc_node *ret_node)
{
	struct doc_node joined = *nodes[0];
	joined.kind = DOC_SEQUENCE;
	joined.count = 0;
	for (size_t i = 0; i < count; i++)
		joined.count += nodes[i]->kind == DOC_SEQUENCE ? nodes[i]->count : 1;
	joined.children = arena_array(reader->scratch, joined.count, struct doc_node);
	if (!joined.children)
		return -ENOMEM;
	struct doc_node *next = joined.children;
	for (size_t i = 0; i < count; i++) {
		bool single = nodes[i]->kind != DOC_SEQUENCE;
		for (uint32_t j = 0; j < (single ? 1 : nodes[i]->count); j++)
			*next++ = single ? *nodes[i] : nodes[i]->children[j];
	}
	*ret_node = joined;
	return 0;
}

/* True when the key may stand in several files: sections, and lists of values. */
static bool may_repeat(const struct section *section, const struct key *key, const struct doc_node *first,
		       const struct doc_node *value)
{
	if (!key)
		return false;
	if (key->section)
		return section == &schema_root;
	/* version: each file may say the same. */
	bool same = first->kind == DOC_SCALAR && value->kind == DOC_SCALAR && strcmp(first->text, value->text) == 0;
	return key->type->list || (section == &schema_root && same);
}

static int add_value(struct reader *reader, const struct where *up, const struct section *section, struct slot *slot,
		     const struct doc_node *key, const struct doc_node *value)
{
	if (slot->count > 0) {
		const struct key *known =
			section && section->shape == SHAPE_PART ? schema_key(section, key->text) : NULL;
		struct where where = {.up = up, .name = key->text};
		if (key->at.file == slot->key.at.file)
			return 0; /* reported by the document */
		if (!may_repeat(section, known, slot->values[0], value)) {
			reader_error(reader, &where, key->at,
				     "this stands in %s:%u already (each name once in all files)", slot->key.at.file,
				     slot->key.at.line);
			return 0;
		}
		if (known->type && !known->type->list)
			return 0;
	}
	const struct doc_node **values =
		arena_grow(reader->scratch, slot->values, slot->count, sizeof(*values), &slot->capacity);
	if (!values)
		return -ENOMEM;
	values[slot->count++] = value;
	slot->values = values;
	return 0;
}

/* The keys of all nodes, in order; *ret_slots has one for each name. */
static int collect(struct reader *reader, const struct where *where, const struct section *section,
		   const struct doc_node **nodes, size_t count, struct slot **ret_slots, size_t *ret_count)
{
	size_t total = 0, used = 0;
	for (size_t i = 0; i < count; i++)
		total += nodes[i]->count;
	struct slot *slots = arena_array(reader->scratch, total, struct slot);
	struct strmap *names = strmap_new(reader->scratch);
	if (!slots || !names)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		for (uint32_t j = 0; j < nodes[i]->count; j++) {
			const struct doc_node *key = &nodes[i]->keys[j];
			struct slot *slot = strmap_get(names, key->text);
			if (!slot) {
				slot = &slots[used++];
				slot->key = *key;
				if (strmap_put(names, key->text, slot) < 0)
					return -ENOMEM;
			}
			int r = add_value(reader, where, section, slot, key, &nodes[i]->children[j]);
			if (r < 0)
				return r;
		}
	}
	*ret_slots = slots;
	*ret_count = used;
	return 0;
}

static int join_mappings(struct reader *reader, const struct where *up, const struct section *section,
			 const struct doc_node **nodes, size_t count, struct doc_node *ret_node)
{
	struct slot *slots;
	size_t used;
	int r = collect(reader, up, section, nodes, count, &slots, &used);
	if (r < 0)
		return r;
	struct doc_node joined = *nodes[0];
	joined.count = (uint32_t)used;
	joined.keys = arena_array(reader->scratch, used, struct doc_node);
	joined.children = arena_array(reader->scratch, used, struct doc_node);
	if (!joined.keys || !joined.children)
		return -ENOMEM;
	for (size_t i = 0; i < used; i++) {
		joined.keys[i] = slots[i].key;
		joined.children[i] = *slots[i].values[0];
		if (slots[i].count == 1)
			continue;
		/* Only keys of the schema have more than one value here. */
		struct where where = {.up = up, .name = slots[i].key.text};
		const struct key *known = schema_key(section, slots[i].key.text);
		bool list = known->section ? known->section->shape == SHAPE_LIST : known->type->list;
		r = join(reader, &where, known->section, list, slots[i].values, slots[i].count, &joined.children[i]);
		if (r < 0)
			return r;
	}
	*ret_node = joined;
	return 0;
}

/* Join what can be joined with the first node that holds something; report the others. */
static int join(struct reader *reader, const struct where *where, const struct section *section, bool list,
		const struct doc_node **nodes, size_t count, struct doc_node *ret_node)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		if (doc_is_empty(nodes[i]))
			continue;
		if (list ? nodes[i]->kind != DOC_MAPPING : nodes[i]->kind == DOC_MAPPING) {
			nodes[kept++] = nodes[i];
			continue;
		}
		reader_error(reader, where, nodes[i]->at, "%s is expected here, as in %s:%u",
			     list ? "a list" : "a mapping", nodes[0]->at.file, nodes[0]->at.line);
	}
	if (kept == 0)
		return 0;
	if (kept == 1) {
		*ret_node = *nodes[0];
		return 0;
	}
	return list ? join_lists(reader, nodes, kept, ret_node)
		    : join_mappings(reader, where, section, nodes, kept, ret_node);
}

int merge_documents(struct reader *reader, struct doc_node *const *roots, size_t count,
		    const struct doc_node **ret_root)
{
	const struct doc_node **nodes = arena_array(reader->scratch, count, const struct doc_node *);
	struct doc_node *all = arena_new_of(reader->scratch, struct doc_node);
	if (!nodes || !all)
		return -ENOMEM;
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (roots[i])
			nodes[kept++] = roots[i];
	if (kept == 0) {
		*ret_root = NULL;
		return 0;
	}
	*all = *nodes[0];
	/* One file is left as it stands: whether it is a mapping is for the reader to say. */
	int r = kept == 1 ? 0 : join(reader, NULL, &schema_root, false, nodes, kept, all);
	if (r == 0)
		*ret_root = all;
	return r;
}
