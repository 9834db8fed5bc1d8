/* Document: the YAML tree with a place for every node. Bounded in size, depth
 * and number of nodes; anchors, aliases, tags, directives, duplicate keys and
 * more than one document per file are refused. Knows nothing of what the keys
 * mean. */
#pragma once

#include "../base/arena.h"
#include "../base/diag.h"

#include <stddef.h>
#include <stdint.h>

#define DOC_MAX_BYTES (16u << 20)
#define DOC_MAX_DEPTH 16
#define DOC_MAX_NODES 1000000u /* keys included */

enum doc_kind { DOC_SCALAR, DOC_SEQUENCE, DOC_MAPPING };

struct doc_node {
	struct origin at;
	const char *text;          /* DOC_SCALAR: terminated, without a NUL inside; "" where no value was given */
	struct doc_node *keys;     /* DOC_MAPPING: scalars; keys[i] names children[i] */
	struct doc_node *children; /* DOC_SEQUENCE, DOC_MAPPING */
	uint32_t length;           /* DOC_SCALAR: of text */
	uint32_t count;            /* of children */
	uint32_t start, end;       /* the node's bytes in the file; a block ends behind its last node, not its comments */
	enum doc_kind kind;
	bool quoted; /* DOC_SCALAR: in quotes, or a block of text (| or >) */
	bool broken; /* what stood here could not be read and has been reported; an empty scalar */
	bool flow;   /* DOC_SEQUENCE, DOC_MAPPING: in brackets */
};

/* Parse one file. file is the name used in origins; it is kept, not copied, and
 * must outlive them. Returns
 *   0        *ret_root is the tree in arena, or NULL for an empty file. diags may
 *            still hold errors that leave the tree readable (a duplicate key, a
 *            tag, an anchor), so that the reader can report its own as well:
 *            look at diags->errors before using what was read;
 *   -EINVAL  there is no tree; diags says why;
 *   -ENOMEM. */
int doc_parse(struct arena *arena, const char *file, const char *text, size_t length, struct diag_list *diags,
	      struct doc_node **ret_root);

/* The child under key, or NULL. A linear search. */
const struct doc_node *doc_get(const struct doc_node *mapping, const char *key);
/* True for a scalar without a value, as in "key:". */
bool doc_is_empty(const struct doc_node *node);
