/* Values as YAML text, in brackets on one line or as blocks. Only what is new is
 * written this way; what stands in the file already is never touched. */
#include <string.h>

#include "edit_op.h"

/* True when no YAML parser takes the text for anything but this text. */
static bool is_plain(const char *text, bool in_flow)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_";
	size_t length = strlen(text);
	if (length == 0 || !strchr(first, text[0]) || text[length - 1] == ':' || text[length - 1] == ' ')
		return false;
	/* "..." ends a document. */
	if (strncmp(text, "...", 3) == 0 || strstr(text, ": ") || strstr(text, " #") || strpbrk(text, "\t\n"))
		return false;
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			return false;
	return !in_flow || !strpbrk(text, ",[]{}");
}

static char *quote(struct arena *arena, const char *text)
{
	char *quoted = arena_alloc(arena, strlen(text) * 4 + 3);
	if (!quoted)
		return NULL;
	char *out = quoted;
	*out++ = '"';
	for (; *text; text++) {
		static const char named[] = "\"\\\n\t\r", escapes[] = "\"\\ntr";
		unsigned char c = (unsigned char)*text;
		const char *found = strchr(named, c);
		if (found) {
			*out++ = '\\';
			*out++ = escapes[found - named];
		} else if (c < 0x20 || c == 0x7f) {
			static const char digits[] = "0123456789abcdef";
			*out++ = '\\';
			*out++ = 'x';
			*out++ = digits[c >> 4];
			*out++ = digits[c & 15];
		} else {
			*out++ = (char)c;
		}
	}
	*out++ = '"';
	return quoted;
}

static char *render_scalar(struct arena *arena, const struct doc_node *node, bool in_flow)
{
	if (doc_is_empty(node) || (!node->quoted && is_plain(node->text, in_flow)))
		return arena_strdup(arena, node->text);
	return quote(arena, node->text);
}

/* Text that grows in the arena. */
struct out {
	struct arena *arena;
	char *text;
	size_t length, capacity;
	bool failed;
};

static void put(struct out *out, const char *text)
{
	size_t length = text ? strlen(text) : 0;
	if (!text)
		out->failed = true;
	if (!out->text || out->capacity - out->length <= length) {
		size_t capacity = (out->length + length) * 2 + 64;
		char *grown = arena_alloc(out->arena, capacity);
		if (!grown) {
			out->failed = true;
			return;
		}
		if (out->length)
			memcpy(grown, out->text, out->length);
		out->text = grown;
		out->capacity = capacity;
	}
	if (length)
		memcpy(out->text + out->length, text, length);
	out->length += length;
	out->text[out->length] = '\0';
}

static void put_flow(struct out *out, const struct doc_node *node)
{
	if (node->kind == DOC_SCALAR) {
		put(out, render_scalar(out->arena, node, true));
		return;
	}
	bool mapping = node->kind == DOC_MAPPING;
	if (node->count == 0) {
		put(out, mapping ? "{}" : "[]");
		return;
	}
	put(out, mapping ? "{ " : "[");
	for (uint32_t i = 0; i < node->count; i++) {
		if (i)
			put(out, ", ");
		if (mapping) {
			put(out, render_scalar(out->arena, &node->keys[i], true));
			put(out, doc_is_empty(&node->children[i]) ? ":" : ": ");
		}
		put_flow(out, &node->children[i]);
	}
	put(out, mapping ? " }" : "]");
}

char *edit_render_flow(struct arena *arena, const struct doc_node *node, bool in_flow)
{
	if (node->kind == DOC_SCALAR)
		return render_scalar(arena, node, in_flow);
	struct out out = {.arena = arena};
	put_flow(&out, node);
	return out.failed ? NULL : out.text;
}

static void put_line_start(struct out *out, const struct edit_style *style, unsigned indent)
{
	put(out, style->newline);
	for (unsigned i = 0; i < indent; i++)
		put(out, " ");
}

static bool on_one_line(const struct doc_node *node)
{
	return node->kind == DOC_SCALAR || node->flow || node->count == 0;
}

static void put_block(struct out *out, const struct edit_style *style, const struct doc_node *node, unsigned indent);

static void put_entry(struct out *out, const struct edit_style *style, const struct doc_node *key,
		      const struct doc_node *value, unsigned indent)
{
	put(out, render_scalar(out->arena, key, false));
	put(out, ":");
	if (on_one_line(value)) {
		if (!doc_is_empty(value))
			put(out, " ");
		put(out, edit_render_flow(out->arena, value, false));
		return;
	}
	unsigned inner = indent + (value->kind == DOC_MAPPING ? style->step : style->list_step);
	put_line_start(out, style, inner);
	put_block(out, style, value, inner);
}

static void put_block(struct out *out, const struct edit_style *style, const struct doc_node *node, unsigned indent)
{
	if (on_one_line(node)) {
		put(out, edit_render_flow(out->arena, node, false));
		return;
	}
	for (uint32_t i = 0; i < node->count; i++) {
		if (i)
			put_line_start(out, style, indent);
		if (node->kind == DOC_MAPPING) {
			put_entry(out, style, &node->keys[i], &node->children[i], indent);
		} else {
			put(out, "- ");
			put_block(out, style, &node->children[i], indent + 2);
		}
	}
}

char *edit_render_block(struct arena *arena, const struct edit_style *style, const struct doc_node *node,
			unsigned indent)
{
	struct out out = {.arena = arena};
	put_block(&out, style, node, indent);
	return out.failed ? NULL : out.text;
}

char *edit_render_entry(struct arena *arena, const struct edit_style *style, const struct doc_node *key,
			const struct doc_node *value, unsigned indent)
{
	struct out out = {.arena = arena};
	put_entry(&out, style, key, value, indent);
	return out.failed ? NULL : out.text;
}
