/* Editing text: a path becomes one change of the document, that becomes one
 * splice of the text, and what comes out is parsed again and held against what
 * was meant. So a result either is right or is not given. */
#include "edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "edit_op.h"

#define DEPTH_MAX (DOC_MAX_DEPTH + 2)

struct editor {
	const struct edit_text *in;
	struct arena *arena;
	struct diag_list *diags;
	const struct doc_node *root; /* NULL: the file is empty */
	/* The nodes on the way: steps[i].parent's child at steps[i].index is named by path[i]. */
	struct {
		const struct doc_node *parent;
		uint32_t index;
	} steps[DEPTH_MAX];
	size_t found;   /* steps that exist */
	size_t wanted;  /* names in the path */
};

/* name, in quotes, completes the sentence; NULL: none. */
static int refuse(struct editor *editor, const struct doc_node *node, const char *sentence, const char *name)
{
	struct origin at = node ? node->at : (struct origin){.file = editor->in->file};
	if (name)
		diag_add(editor->diags, DIAG_ERROR, at, NULL, "%s \"%.*s\"", sentence, bytes_shown(name), name);
	else
		diag_add(editor->diags, DIAG_ERROR, at, NULL, "%s", sentence);
	return -EINVAL;
}

static int parse(struct editor *editor, const char *file, const char *text, size_t length, struct doc_node **ret_root)
{
	size_t errors = editor->diags->errors;
	int r = doc_parse(editor->arena, file, text, length, editor->diags, ret_root);
	return r == 0 && editor->diags->errors > errors ? -EINVAL : r;
}

/* The child that a path's name means: a key, an entry's "name:", or "[number]". */
static bool find_child(const struct doc_node *node, const char *name, uint32_t *ret_index)
{
	for (uint32_t i = 0; i < node->count; i++) {
		const struct doc_node *label = NULL;
		if (node->kind == DOC_MAPPING)
			label = &node->keys[i];
		else if (node->children[i].kind == DOC_MAPPING)
			label = doc_get(&node->children[i], "name");
		if (label && label->kind == DOC_SCALAR && strcmp(label->text, name) == 0) {
			*ret_index = i;
			return true;
		}
	}
	size_t length = strlen(name);
	if (node->kind != DOC_SEQUENCE || length < 3 || name[0] != '[' || name[length - 1] != ']')
		return false;
	char *end;
	unsigned long number = strtoul(name + 1, &end, 10);
	if (*end != ']' || name[1] < '0' || name[1] > '9' || number >= node->count)
		return false;
	*ret_index = (uint32_t)number;
	return true;
}

/* Go along path as far as it exists. */
static int walk(struct editor *editor, const char *const *path)
{
	const struct doc_node *node = editor->root;
	while (path[editor->wanted])
		editor->wanted++;
	if (editor->wanted == 0 || editor->wanted > DOC_MAX_DEPTH)
		return refuse(editor, node, "the path is empty or too long", NULL);
	for (size_t i = 0; path[i] && node && !doc_is_empty(node); i++) {
		if (node->kind == DOC_SCALAR)
			return refuse(editor, node, "a single value stands here, which has no", path[i]);
		uint32_t index;
		if (!find_child(node, path[i], &index))
			break;
		editor->steps[i].parent = node;
		editor->steps[i].index = index;
		editor->found = i + 1;
		node = &node->children[index];
	}
	return 0;
}

/* What the steps lead to. */
static const struct doc_node *reached(const struct editor *editor)
{
	if (editor->found == 0)
		return editor->root;
	return &editor->steps[editor->found - 1].parent->children[editor->steps[editor->found - 1].index];
}

static int open_editor(struct editor *editor, const struct edit_text *in, const char *const *path, struct arena *arena,
		       struct diag_list *diags)
{
	*editor = (struct editor){.in = in, .arena = arena, .diags = diags};
	struct doc_node *root = NULL;
	int r = in->root ? 0 : parse(editor, in->file, in->text, in->length, &root);
	editor->root = in->root ? in->root : root;
	return r < 0 ? r : walk(editor, path);
}

static int parse_value(struct editor *editor, const char *value, struct doc_node **ret_value)
{
	struct doc_node *node = NULL;
	int r = parse(editor, "value", value, strlen(value), &node);
	if (r < 0)
		return r;
	if (!node)
		return refuse(editor, NULL, "the new value is empty", NULL);
	*ret_value = node;
	return 0;
}

static struct doc_node *name_node(struct arena *arena, const char *name)
{
	struct doc_node *node = arena_new_of(arena, struct doc_node);
	if (node)
		*node = (struct doc_node){.text = name, .length = (uint32_t)strlen(name)};
	return node;
}

/* A collection of one: { key: value }, or [value] without a key. */
static struct doc_node *wrap(struct arena *arena, const char *key, const struct doc_node *value)
{
	struct doc_node *node = arena_new_of(arena, struct doc_node);
	struct doc_node *child = arena_memdup(arena, value, sizeof(*value));
	struct doc_node *name = key ? name_node(arena, key) : NULL;
	if (!node || !child || (key && !name))
		return NULL;
	*node = (struct doc_node){.kind = key ? DOC_MAPPING : DOC_SEQUENCE, .count = 1, .keys = name, .children = child};
	return node;
}

/* The way the nearest neighbour of the same kind is written; as given where there is none. */
static void follow_neighbours(const struct doc_node *parent, struct doc_node *value)
{
	for (uint32_t i = parent->count; i-- > 0;) {
		const struct doc_node *other = &parent->children[i];
		if (other->kind == value->kind && other->kind != DOC_SCALAR && other->count > 0) {
			value->flow = other->flow;
			return;
		}
	}
}

static int finish(struct editor *editor, const struct edit_op *op, char **ret_text)
{
	struct edit_splice splice;
	int r = edit_splice_for(editor->in, editor->root, op, editor->arena, &splice);
	if (r == -ENOMEM)
		return r;
	char *text = NULL;
	struct doc_node *result = NULL;
	if (r == 0) {
		size_t added = strlen(splice.text), rest = editor->in->length - splice.to;
		text = arena_alloc(editor->arena, splice.from + added + rest + 1);
		if (!text)
			return -ENOMEM;
		if (splice.from)
			memcpy(text, editor->in->text, splice.from);
		memcpy(text + splice.from, splice.text, added);
		if (rest)
			memcpy(text + splice.from + added, editor->in->text + splice.to, rest);
		struct diag_list ignored;
		diag_init(&ignored, editor->arena);
		r = doc_parse(editor->arena, editor->in->file, text, splice.from + added + rest, &ignored, &result);
		if (r == -ENOMEM)
			return r;
		if (ignored.errors > 0 || !edit_is_result(editor->root, op, result))
			r = -EINVAL;
	}
	if (r < 0)
		return refuse(editor, op->parent, "what stands here cannot be changed in place (edit the file by hand)", NULL);
	if (editor->in->ret_root)
		*editor->in->ret_root = result;
	*ret_text = text;
	return 0;
}

static int give_unchanged(struct editor *editor, char **ret_text)
{
	char *text = arena_strndup(editor->arena, editor->in->text, editor->in->length);
	if (!text)
		return -ENOMEM;
	if (editor->in->ret_root)
		*editor->in->ret_root = editor->root;
	*ret_text = text;
	return 0;
}

/* What path leads to is there: put value in its place. */
static int put_instead(struct editor *editor, struct doc_node *value, char **ret_text)
{
	const struct doc_node *old = reached(editor);
	if (edit_nodes_equal(old, value))
		return give_unchanged(editor, ret_text);
	if (old->kind == value->kind && old->kind != DOC_SCALAR && old->count > 0)
		value->flow = old->flow;
	struct edit_op op = {.kind = EDIT_REPLACE,
			     .parent = editor->steps[editor->found - 1].parent,
			     .index = editor->steps[editor->found - 1].index,
			     .value = value};
	return finish(editor, &op, ret_text);
}

/* The way ends at holder, which has no such key: make it, and what is missing below it. */
static int put_new(struct editor *editor, const struct doc_node *holder, const char *const *path, struct doc_node *value,
		   char **ret_text)
{
	if (editor->found + 1 == editor->wanted)
		follow_neighbours(holder, value);
	const struct doc_node *made = value;
	for (size_t i = editor->wanted; i-- > editor->found + 1 && made;)
		made = wrap(editor->arena, path[i], made);
	const struct doc_node *key = name_node(editor->arena, path[editor->found]);
	if (!made || !key)
		return -ENOMEM;
	struct edit_op op = {.kind = EDIT_INSERT, .parent = holder, .index = holder->count, .key = key, .value = made};
	return finish(editor, &op, ret_text);
}

/* The way ends at something empty: a mapping with what is missing takes its place, so that "{}" can become a block. */
static int put_first(struct editor *editor, const struct doc_node *holder, const char *const *path,
		     const struct doc_node *value, char **ret_text)
{
	struct doc_node *made = arena_memdup(editor->arena, value, sizeof(*value));
	for (size_t i = editor->wanted; i-- > editor->found && made;)
		made = wrap(editor->arena, path[i], made);
	if (!made)
		return -ENOMEM;
	struct edit_op op = {.kind = EDIT_ROOT, .value = made};
	if (editor->found > 0)
		op = (struct edit_op){.kind = EDIT_REPLACE,
				      .parent = editor->steps[editor->found - 1].parent,
				      .index = editor->steps[editor->found - 1].index,
				      .value = made};
	else if (holder)
		op = (struct edit_op){.kind = EDIT_INSERT, .parent = holder, .key = made->keys, .value = made->children};
	return finish(editor, &op, ret_text);
}

/* Put value where path leads, which need not exist. */
static int put_value(struct editor *editor, const char *const *path, struct doc_node *value, char **ret_text)
{
	const struct doc_node *holder = reached(editor);
	if (editor->found == editor->wanted)
		return put_instead(editor, value, ret_text);
	if (!holder || doc_is_empty(holder) || (holder->kind == DOC_MAPPING && holder->count == 0))
		return put_first(editor, holder, path, value, ret_text);
	return holder->kind == DOC_MAPPING ? put_new(editor, holder, path, value, ret_text) : -ENOENT;
}

int edit_set(const struct edit_text *in, const char *const *path, const char *value, struct arena *arena,
	     struct diag_list *diags, char **ret_text)
{
	struct editor editor;
	struct doc_node *node = NULL;
	int r = open_editor(&editor, in, path, arena, diags);
	if (r == 0)
		r = parse_value(&editor, value, &node);
	return r < 0 ? r : put_value(&editor, path, node, ret_text);
}

int edit_add(const struct edit_text *in, const char *const *path, const char *value, struct arena *arena,
	     struct diag_list *diags, char **ret_text)
{
	struct editor editor;
	struct doc_node *node = NULL;
	int r = open_editor(&editor, in, path, arena, diags);
	if (r == 0 && editor.found == editor.wanted)
		r = -EEXIST;
	if (r == 0)
		r = parse_value(&editor, value, &node);
	return r < 0 ? r : put_value(&editor, path, node, ret_text);
}

static int append_to(struct editor *editor, const struct doc_node *list, const char *before, struct doc_node *value,
		     char **ret_text)
{
	struct edit_op op = {.kind = EDIT_INSERT, .parent = list, .index = list->count, .value = value};
	if (before && !find_child(list, before, &op.index))
		return -ENOENT;
	follow_neighbours(list, value);
	return finish(editor, &op, ret_text);
}

/* A single value becomes a list of two. */
static int append_to_scalar(struct editor *editor, const char *const *path, const struct doc_node *old,
			    const struct doc_node *value, char **ret_text)
{
	struct doc_node *children = arena_array(editor->arena, 2, struct doc_node);
	struct doc_node *list = arena_new_of(editor->arena, struct doc_node);
	if (!children || !list)
		return -ENOMEM;
	children[0] = *old;
	children[1] = *value;
	*list = (struct doc_node){.kind = DOC_SEQUENCE, .count = 2, .children = children, .flow = true};
	return put_value(editor, path, list, ret_text);
}

int edit_append(const struct edit_text *in, const char *const *path, const char *before, const char *value,
		struct arena *arena, struct diag_list *diags, char **ret_text)
{
	struct editor editor;
	struct doc_node *node = NULL;
	int r = open_editor(&editor, in, path, arena, diags);
	if (r == 0)
		r = parse_value(&editor, value, &node);
	if (r < 0)
		return r;
	const struct doc_node *list = editor.found == editor.wanted ? reached(&editor) : NULL;
	if (list && list->kind == DOC_MAPPING)
		return refuse(&editor, list, "a mapping stands here, which nothing can be appended to", NULL);
	if (list && list->kind == DOC_SEQUENCE && list->count > 0)
		return append_to(&editor, list, before, node, ret_text);
	if (before)
		return -ENOENT;
	if (list && list->kind == DOC_SCALAR && !doc_is_empty(list))
		return append_to_scalar(&editor, path, list, node, ret_text);
	struct doc_node *made = wrap(arena, NULL, node);
	if (!made)
		return -ENOMEM;
	/* A new list of entries is a block, one of values stands in brackets. */
	made->flow = node->kind == DOC_SCALAR;
	return put_value(&editor, path, made, ret_text);
}

int edit_remove(const struct edit_text *in, const char *const *path, struct arena *arena, struct diag_list *diags,
		char **ret_text)
{
	struct editor editor;
	int r = open_editor(&editor, in, path, arena, diags);
	if (r < 0)
		return r;
	if (editor.found < editor.wanted)
		return -ENOENT;
	size_t step = editor.found - 1;
	while (step > 0 && editor.steps[step].parent->count == 1)
		step--;
	struct edit_op op = {
		.kind = EDIT_REMOVE, .parent = editor.steps[step].parent, .index = editor.steps[step].index};
	return finish(&editor, &op, ret_text);
}
