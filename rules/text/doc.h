/* Document: the YAML tree with a place for every node. Bounded in size, depth
 * and number of nodes; anchors, aliases, tags, duplicate keys and more than one
 * document per file are refused. Knows nothing of what the keys mean. */
#pragma once

#include "../base/arena.h"
#include "../base/diag.h"

#include <stddef.h>
#include <stdint.h>

#define DOC_MAX_BYTES (16u << 20)
#define DOC_MAX_DEPTH 16
#define DOC_MAX_NODES 1000000u

enum doc_kind { DOC_SCALAR, DOC_SEQUENCE, DOC_MAPPING };

struct doc_node {
	enum doc_kind kind;
	struct origin at;
	/* DOC_SCALAR: the text, terminated; quoted when it stood in quotes. */
	const char *text;
	size_t length;
	bool quoted;
	/* DOC_SEQUENCE, DOC_MAPPING: count children; keys[i] names children[i] in a mapping. */
	size_t count;
	struct doc_node *keys; /* scalars */
	struct doc_node *children;
	size_t size_bytes; /* offset just behind the node in the file: for the editor */
	size_t offset;     /* of its first byte in the file */
};

/* Parse one file. Errors go to diags; returns 0 with *ret_root (in arena; NULL
 * for an empty file), or -EINVAL (see diags) or -ENOMEM. file is the name used
 * in origins; it is copied. */
int doc_parse(struct arena *arena, const char *file, const char *text, size_t length, struct diag_list *diags,
	      struct doc_node **ret_root);

/* The child under key, or NULL. */
const struct doc_node *doc_get(const struct doc_node *mapping, const char *key);
