/* One change of a document, and how it is made in the text. Internal to
 * rules/text. */
#pragma once

#include "doc.h"
#include "edit.h"

enum edit_kind {
	EDIT_ROOT,    /* the file is empty: value becomes its document */
	EDIT_REPLACE, /* value instead of parent's child at index */
	EDIT_INSERT,  /* value (under key, in a mapping) in front of index, or at the end */
	EDIT_REMOVE,  /* parent's child at index */
};

struct edit_op {
	enum edit_kind kind;
	const struct doc_node *parent;
	uint32_t index;
	const struct doc_node *key;   /* EDIT_INSERT into a mapping */
	const struct doc_node *value; /* a flow collection may be written as a block and the other way round */
};

struct edit_splice {
	size_t from, to; /* bytes that go */
	const char *text;
};

/* Where and what to write for op. 0; -EINVAL: not possible in place; -ENOMEM. */
int edit_splice_for(const struct edit_text *in, const struct doc_node *root, const struct edit_op *op, struct arena *arena,
		    struct edit_splice *ret_splice);

/* True when result is what op makes of root. */
bool edit_is_result(const struct doc_node *root, const struct edit_op *op, const struct doc_node *result);
bool edit_nodes_equal(const struct doc_node *a, const struct doc_node *b);

/* How new text is indented and ended. */
struct edit_style {
	unsigned step;      /* of a mapping inside a mapping */
	unsigned list_step; /* of a list's dashes below their key */
	const char *newline;
};

/* A value on one line; NULL when out of memory. in_flow: it stands in brackets. */
char *edit_render_flow(struct arena *arena, const struct doc_node *node, bool in_flow);
/* A block, its first line without indentation, the others by indent; no newline at
 * the end. Collections that are flow, scalars and empty ones go on one line. */
char *edit_render_block(struct arena *arena, const struct edit_style *style, const struct doc_node *node, unsigned indent);
/* "key: value" in a block mapping with this indentation, the first line without it. */
char *edit_render_entry(struct arena *arena, const struct edit_style *style, const struct doc_node *key,
			const struct doc_node *value, unsigned indent);
