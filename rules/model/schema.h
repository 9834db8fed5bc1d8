/* Schema: what the file may hold, as tables. One table per mapping; each key
 * says where it goes in the model, what type it has, and what it is for. The
 * reader, the printer and the reference in docs/ all work from these tables. */
#pragma once

#include "model.h"

#include <stddef.h>
#include <stdint.h>

struct reader;
struct where;
struct doc_node;
struct key;
struct section;

/* How a type goes from the document into the model and back to text. entry is
 * the struct that key->offset counts from. */
struct value_type {
	const char *name; /* for the reference: "duration" */
	bool list;        /* files in conf.d add to it */
	/* 0; -EINVAL: reported; -ENOMEM. */
	int (*read)(struct reader *reader, const struct where *where, const struct key *key, const struct doc_node *node,
		    void *entry);
	/* Flow text of the value in *ret_text, or NULL there when it is not set. 0 or -ENOMEM. */
	int (*print)(struct arena *arena, const struct key *key, const void *entry, char **ret_text);
};

struct key {
	const char *name;
	const struct value_type *type; /* NULL: a mapping of its own, by section */
	const struct section *section;
	size_t offset, count_offset; /* of the field, and for lists of its count */
	uint64_t least, most;        /* numbers, durations (ms), length of texts and lists */
	const char *const *words;    /* word_type, words_type */
	bool required;
	const char *preset; /* the default, as it would stand in the file */
	const char *text;   /* one line for the reference */
};

enum shape {
	SHAPE_PART,  /* a mapping with these keys, part of a larger entry */
	SHAPE_NAMED, /* a mapping of names to entries */
	SHAPE_LIST,  /* a list of entries */
};

#define NO_OFFSET SIZE_MAX

struct section {
	const char *name;  /* "forwards" */
	const char *noun;  /* "forward": in messages; NULL for SHAPE_PART */
	enum shape shape;
	const struct key *keys; /* ends with a key without a name */
	const char *scalar_key; /* a scalar instead of the mapping sets this key; NULL: not allowed */
	/* SHAPE_NAMED, SHAPE_LIST: the array in the model (or in the entry that holds the section). */
	size_t offset, count_offset, size;
	size_t most;
	/* In the entry; NO_OFFSET when it has none. */
	size_t name_offset, at_offset, index_offset, present_offset;
	/* Which are read first: references must point to what has been read. */
	unsigned pass;
	/* Checks on one entry that has been read, and what its keys mean together. 0, -EINVAL (reported), -ENOMEM. */
	int (*finish)(struct reader *reader, const struct where *where, const struct doc_node *node, void *entry);
	const char *text;    /* a paragraph for the reference */
	const char *example; /* YAML */
};

/* Which of the sections an entry belongs to, for look-ups by name. */
enum kind { KIND_NODE, KIND_POOL, KIND_FORWARD, KIND_SNAT, KIND_TUNNEL, KIND_BLOCKLIST, KIND_RULE, KIND_COUNT };

/* The whole file. */
extern const struct section schema_root;
extern const struct section schema_peers;
/* The sections behind KIND_...; expectations have no names. */
extern const struct section *const schema_kinds[KIND_COUNT];
extern const struct section schema_expect;

/* The key called name, or NULL. */
const struct key *schema_key(const struct section *section, const char *name);

/* types_plain.c */
extern const struct value_type version_type, bool_type, number_type, text_type, texts_type, word_type, words_type,
	duration_type, rate_type, ports_type, port_type, address_type, addresses_type, prefixes_type, own_prefixes_type,
	device_type, socket_type, public_key_type, endpoint_type, status_type;
/* types_names.c: those that name other entries */
extern const struct value_type tunnel_type, nodes_type, target_type, listen_type, places_type, leg_type, snat_to_type,
	forward_type, rule_type, expect_from_type, expect_to_type, name_type;
