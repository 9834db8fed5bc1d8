/* Whether a document is what one change makes of another: compares the trees
 * without building the one that is expected. */
#include <string.h>

#include "edit_op.h"

static bool scalars_equal(const struct doc_node *a, const struct doc_node *b)
{
	return a->length == b->length && memcmp(a->text, b->text, a->length) == 0 && doc_is_empty(a) == doc_is_empty(b);
}

static bool same_as(const struct doc_node *old, const struct edit_op *op, const struct doc_node *result);

/* Child i of old, and child j of result, with their keys. */
static bool members_equal(const struct doc_node *old, uint32_t i, const struct edit_op *op,
			  const struct doc_node *result, uint32_t j)
{
	if (old->kind == DOC_MAPPING && !scalars_equal(&old->keys[i], &result->keys[j]))
		return false;
	if (op && op->kind == EDIT_REPLACE && old == op->parent && i == op->index)
		return edit_nodes_equal(op->value, &result->children[j]);
	return same_as(&old->children[i], op, &result->children[j]);
}

static bool same_as(const struct doc_node *old, const struct edit_op *op, const struct doc_node *result)
{
	if (old->kind != result->kind)
		return false;
	if (old->kind == DOC_SCALAR)
		return scalars_equal(old, result);
	bool insert = op && op->kind == EDIT_INSERT && old == op->parent;
	bool gone = op && op->kind == EDIT_REMOVE && old == op->parent;
	if (result->count + (gone ? 1 : 0) != old->count + (insert ? 1 : 0))
		return false;
	uint32_t j = 0;
	for (uint32_t i = 0; i <= old->count; i++) {
		if (insert && i == op->index) {
			if (op->key && !scalars_equal(op->key, &result->keys[j]))
				return false;
			if (!edit_nodes_equal(op->value, &result->children[j++]))
				return false;
		}
		if (i < old->count && !(gone && i == op->index) && !members_equal(old, i, op, result, j++))
			return false;
	}
	return true;
}

bool edit_nodes_equal(const struct doc_node *a, const struct doc_node *b)
{
	return same_as(a, NULL, b);
}

bool edit_is_result(const struct doc_node *root, const struct edit_op *op, const struct doc_node *result)
{
	if (op->kind == EDIT_ROOT)
		return result && edit_nodes_equal(op->value, result);
	if (!result)
		return op->kind == EDIT_REMOVE && op->parent == root && root->count == 1;
	return same_as(root, op, result);
}
