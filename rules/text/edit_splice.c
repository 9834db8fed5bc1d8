/* Where a change of the document lies in the text: which bytes go and what is
 * written instead. Knows blocks, brackets, comments and line ends; whether the
 * result means what it should is checked by the caller. */
#include <errno.h>
#include <string.h>

#include "edit_op.h"

struct splicer {
	const char *text;
	size_t length;
	const struct edit_op *op;
	struct arena *arena;
	struct edit_style style;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t line_start(const struct splicer *s, size_t at)
{
	while (at > 0 && s->text[at - 1] != '\n')
		at--;
	return at;
}

/* Before the line's end, CR included. */
static size_t line_end(const struct splicer *s, size_t at)
{
	const char *feed = memchr(s->text + at, '\n', s->length - at);
	size_t end = feed ? (size_t)(feed - s->text) : s->length;
	return end > at && s->text[end - 1] == '\r' ? end - 1 : end;
}

static size_t next_line(const struct splicer *s, size_t at)
{
	const char *feed = memchr(s->text + at, '\n', s->length - at);
	return feed ? (size_t)(feed - s->text) + 1 : s->length;
}

static unsigned column(const struct splicer *s, size_t at)
{
	return (unsigned)(at - line_start(s, at));
}

static bool is_blank(const struct splicer *s, size_t from, size_t to)
{
	while (from < to && is_space(s->text[from]))
		from++;
	return from >= to;
}

/* Behind the colon of a key; behind the key where it has none, as in { a }. */
static size_t colon_end(const struct splicer *s, const struct doc_node *mapping, uint32_t i, bool *ret_colon)
{
	size_t at = mapping->keys[i].end;
	while (at < s->length && is_space(s->text[at]))
		at++;
	bool colon = at < s->length && s->text[at] == ':';
	if (ret_colon)
		*ret_colon = colon;
	return colon ? at + 1 : mapping->keys[i].end;
}

/* Behind the last byte of a child that is not space. A block of text ends with its line. */
static size_t child_end(const struct splicer *s, const struct doc_node *parent, uint32_t i)
{
	const struct doc_node *child = &parent->children[i];
	if (doc_is_empty(child) && parent->kind == DOC_MAPPING)
		return colon_end(s, parent, i, NULL);
	size_t end = child->end;
	while (end > child->start && is_space(s->text[end - 1]))
		end--;
	return end;
}

/* Where an entry begins: its key, or its dash in a block list. */
static size_t entry_start(const struct splicer *s, const struct doc_node *parent, uint32_t i)
{
	if (parent->kind == DOC_MAPPING)
		return parent->keys[i].start;
	if (parent->flow)
		return parent->children[i].start;
	if (i == 0)
		return parent->start;
	/* The first dash in the list's column behind the entry before. */
	unsigned at_column = column(s, parent->start);
	size_t at = next_line(s, child_end(s, parent, i - 1));
	for (; at < parent->children[i].start; at = next_line(s, at))
		if (at + at_column < s->length && s->text[at + at_column] == '-' && is_blank(s, at, at + at_column))
			return at + at_column;
	return parent->children[i].start;
}

/* The start of the comment lines directly above a line that stand in the same column. */
static size_t comments_above(const struct splicer *s, size_t start)
{
	unsigned at_column = column(s, start);
	size_t first = line_start(s, start);
	while (first > 0) {
		size_t above = line_start(s, first - 1);
		size_t mark = above + at_column;
		if (mark >= first || s->text[mark] != '#' || !is_blank(s, above, mark))
			break;
		first = above;
	}
	return first;
}

static bool starts_its_line(const struct splicer *s, size_t at)
{
	return is_blank(s, line_start(s, at), at);
}

static int give(size_t from, size_t to, const char *text, struct edit_splice *ret_splice)
{
	if (!text)
		return -ENOMEM;
	*ret_splice = (struct edit_splice){from, to, text};
	return 0;
}

/* Text of a value that takes the place of a block or begins one. */
static char *block_text(struct splicer *s, const struct doc_node *value, unsigned indent)
{
	return edit_render_block(s->arena, &s->style, value, indent);
}

static bool wants_block(const struct doc_node *value)
{
	return value->kind != DOC_SCALAR && !value->flow && value->count > 0;
}

/* "key:" keeps its comment; the block follows on the next line. */
static int replace_by_block_below(struct splicer *s, struct edit_splice *ret_splice)
{
	const struct edit_op *op = s->op;
	size_t from = colon_end(s, op->parent, op->index, NULL), end = child_end(s, op->parent, op->index);
	size_t stop = line_end(s, end > from ? end : from);
	unsigned indent = column(s, op->parent->keys[op->index].start);
	indent += op->value->kind == DOC_MAPPING ? s->style.step : s->style.list_step;
	const char *comment = s->text + (end > from ? end : from);
	int kept = is_blank(s, (size_t)(comment - s->text), stop) ? 0 : (int)(stop - (size_t)(comment - s->text));
	char *block = block_text(s, op->value, indent);
	if (!block)
		return -ENOMEM;
	return give(from, stop,
		    arena_printf(s->arena, "%.*s%s%*s%s", kept, comment, s->style.newline, (int)indent, "", block),
		    ret_splice);
}

/* The lines below "key:" go, its own line keeps the comment. */
static int replace_block_by_line(struct splicer *s, struct edit_splice *ret_splice)
{
	const struct edit_op *op = s->op;
	size_t from = colon_end(s, op->parent, op->index, NULL), end = child_end(s, op->parent, op->index);
	size_t key_line = line_end(s, from), stop = line_end(s, end);
	if (line_start(s, op->parent->children[op->index].start) <= from)
		return -EINVAL;
	int kept = is_blank(s, from, key_line) ? 0 : (int)(key_line - from);
	char *value = edit_render_flow(s->arena, op->value, false);
	if (!value)
		return -ENOMEM;
	return give(from, stop, arena_printf(s->arena, " %s%.*s", value, kept, s->text + from), ret_splice);
}

static int replace(struct splicer *s, struct edit_splice *ret_splice)
{
	const struct edit_op *op = s->op;
	const struct doc_node *old = &op->parent->children[op->index], *value = op->value;
	bool in_mapping = op->parent->kind == DOC_MAPPING, colon = true;
	bool old_block = old->kind != DOC_SCALAR && !old->flow;
	size_t end = child_end(s, op->parent, op->index);
	if (in_mapping && doc_is_empty(old) && !(wants_block(value) && !op->parent->flow)) {
		size_t at = colon_end(s, op->parent, op->index, &colon);
		char *text = edit_render_flow(s->arena, value, op->parent->flow);
		return give(at, at, text ? arena_printf(s->arena, colon ? " %s" : ": %s", text) : NULL, ret_splice);
	}
	if (!op->parent->flow && wants_block(value)) {
		if (in_mapping && !(old_block && old->kind == value->kind))
			return old_block ? -EINVAL : replace_by_block_below(s, ret_splice);
		unsigned indent = column(s, old->start);
		if (doc_is_empty(old))
			return give(old->start, old->start,
				    arena_printf(s->arena, " %s", block_text(s, value, column(s, old->start) + 1)),
				    ret_splice);
		return give(old->start, end, block_text(s, value, indent), ret_splice);
	}
	if (in_mapping && old_block)
		return replace_block_by_line(s, ret_splice);
	char *text = edit_render_flow(s->arena, value, op->parent->flow);
	if (text && doc_is_empty(old))
		text = arena_printf(s->arena, " %s", text);
	return give(old->start, end, text, ret_splice);
}

static int insert_in_flow(struct splicer *s, struct edit_splice *ret_splice)
{
	const struct edit_op *op = s->op;
	const struct doc_node *parent = op->parent;
	char *text = edit_render_flow(s->arena, op->value, true);
	if (text && op->key) {
		char *key = edit_render_flow(s->arena, op->key, true);
		text = key ? arena_printf(s->arena, "%s: %s", key, text) : NULL;
	}
	if (!text)
		return -ENOMEM;
	if (parent->count == 0) {
		bool empty = is_blank(s, parent->start + 1, parent->end - 1);
		return give(parent->start + 1, empty ? parent->end - 1 : parent->start + 1,
			    arena_printf(s->arena, parent->kind == DOC_MAPPING ? " %s " : "%s", text), ret_splice);
	}
	if (op->index < parent->count) {
		size_t at = entry_start(s, parent, op->index);
		return give(at, at, arena_printf(s->arena, "%s, ", text), ret_splice);
	}
	size_t at = child_end(s, parent, parent->count - 1);
	return give(at, at, arena_printf(s->arena, ", %s", text), ret_splice);
}

/* True when the mapping's entries are set apart by blank lines, as far as the last two show. */
static bool has_blank_lines(const struct splicer *s, const struct doc_node *mapping)
{
	if (mapping->count < 2)
		return false;
	size_t above = comments_above(s, mapping->keys[mapping->count - 1].start);
	return above > 0 && is_blank(s, line_start(s, above - 1), above);
}

static int insert_in_block(struct splicer *s, struct edit_splice *ret_splice)
{
	const struct edit_op *op = s->op;
	const struct doc_node *parent = op->parent;
	unsigned indent = column(s, parent->start);
	char *text;
	if (op->key) {
		text = edit_render_entry(s->arena, &s->style, op->key, op->value, indent);
	} else {
		text = block_text(s, op->value, indent + 2);
		text = text ? arena_printf(s->arena, "- %s", text) : NULL;
	}
	if (!text)
		return -ENOMEM;
	if (op->index < parent->count) {
		size_t start = entry_start(s, parent, op->index);
		if (!starts_its_line(s, start))
			return -EINVAL;
		size_t at = comments_above(s, start);
		return give(at, at, arena_printf(s->arena, "%*s%s%s", (int)indent, "", text, s->style.newline),
			    ret_splice);
	}
	size_t at = line_end(s, child_end(s, parent, parent->count - 1));
	const char *blank = op->key && indent == 0 && has_blank_lines(s, parent) ? s->style.newline : "";
	return give(at, at, arena_printf(s->arena, "%s%s%*s%s", s->style.newline, blank, (int)indent, "", text),
		    ret_splice);
}

static int remove_from_flow(struct splicer *s, struct edit_splice *ret_splice)
{
	const struct doc_node *parent = s->op->parent;
	uint32_t i = s->op->index;
	if (i + 1 < parent->count)
		return give(entry_start(s, parent, i), entry_start(s, parent, i + 1), "", ret_splice);
	if (i > 0)
		return give(child_end(s, parent, i - 1), child_end(s, parent, i), "", ret_splice);
	return give(parent->start + 1, parent->end - 1, "", ret_splice);
}

static int remove_from_block(struct splicer *s, struct edit_splice *ret_splice)
{
	const struct doc_node *parent = s->op->parent;
	uint32_t i = s->op->index;
	size_t start = entry_start(s, parent, i), end = child_end(s, parent, i);
	if (starts_its_line(s, start)) {
		size_t from = comments_above(s, start), to = next_line(s, end);
		/* At the end of the file, the blank lines that set it apart go as well. */
		while (to == s->length && from > 0 && is_blank(s, line_start(s, from - 1), from))
			from = line_start(s, from - 1);
		return give(from, to, "", ret_splice);
	}
	/* The first key behind a dash: the next one takes its place. */
	if (i + 1 >= parent->count)
		return -EINVAL;
	return give(start, entry_start(s, parent, i + 1), "", ret_splice);
}

static int add_root(struct splicer *s, struct edit_splice *ret_splice)
{
	char *text = block_text(s, s->op->value, 0);
	if (!text)
		return -ENOMEM;
	bool ended = s->length == 0 || s->text[s->length - 1] == '\n';
	return give(s->length, s->length,
		    arena_printf(s->arena, "%s%s%s", ended ? "" : s->style.newline, text, s->style.newline),
		    ret_splice);
}

/* The indentation that the file uses already. */
static struct edit_style find_style(const struct splicer *s, const struct doc_node *root)
{
	struct edit_style style = {
		.step = 2, .list_step = 2, .newline = memmem(s->text, s->length, "\r\n", 2) ? "\r\n" : "\n"};
	bool step = false, list_step = false;
	for (uint32_t i = 0; root && root->kind == DOC_MAPPING && !root->flow && i < root->count; i++) {
		const struct doc_node *child = &root->children[i];
		if (child->kind == DOC_SCALAR || child->flow || child->count == 0)
			continue;
		unsigned inner = column(s, child->start);
		if (child->kind == DOC_MAPPING && !step && inner > 0 && inner <= 8) {
			style.step = inner;
			step = true;
		} else if (child->kind == DOC_SEQUENCE && !list_step && inner <= 8) {
			style.list_step = inner;
			list_step = true;
		}
	}
	return style;
}

int edit_splice_for(const struct edit_text *in, const struct doc_node *root, const struct edit_op *op,
		    struct arena *arena, struct edit_splice *ret_splice)
{
	struct splicer s = {.text = in->text, .length = in->length, .op = op, .arena = arena};
	s.style = find_style(&s, root);
	switch (op->kind) {
	case EDIT_ROOT:
		return add_root(&s, ret_splice);
	case EDIT_REPLACE:
		return replace(&s, ret_splice);
	case EDIT_INSERT:
		return op->parent->flow ? insert_in_flow(&s, ret_splice) : insert_in_block(&s, ret_splice);
	case EDIT_REMOVE:
		return op->parent->flow ? remove_from_flow(&s, ret_splice) : remove_from_block(&s, ret_splice);
	}
	return -EINVAL;
}
