/* YAML text -> document, through libyaml's events. Owns the bounds on size,
 * depth and nodes and refuses what a configuration has no use for. Never looks
 * at what a key means, and never keeps anything of libyaml's. */
#include "doc.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "../base/strmap.h"
#include "bytes.h"

#define PAIRWISE_MAX 8 /* keys that are compared with each other; more go through a map */

struct parse {
	struct arena *arena;
	const char *file;
	const char *text;
	size_t length;
	struct diag_list *diags;
	struct bytes_index index;
	yaml_parser_t yaml;
	size_t nodes;
	/* Children of collections that are still open: copied into the arena in their exact number at the end. */
	struct doc_node *stack;
	size_t stack_count, stack_capacity;
};

static struct origin place(struct parse *parse, size_t offset)
{
	struct origin at = {.file = parse->file};
	bytes_place(&parse->index, offset < parse->length ? offset : parse->length, &at.line, &at.column);
	return at;
}

static size_t offset_of(const struct parse *parse, const yaml_mark_t *mark)
{
	return bytes_offset(&parse->index, mark->index);
}

/* libyaml's words, and ours, which say what would be right. */
static const struct {
	const char *problem;
	const char *text;
} problems[] = {
	{"mapping values are not allowed in this context",
	 "a \":\" stands where no value can begin (check the indentation; a text that contains \": \" needs quotes)"},
	{"did not find expected key",
	 "this belongs to nothing above it (check the indentation, and that every bracket is closed)"},
	{"could not find expected ':'", "a key without a value (write \"key: value\")"},
	{"did not find expected '-' indicator",
	 "this is no entry of the list above (start it with \"- \", in the same column as the others)"},
	{"did not find expected ',' or ']'", "a \",\" or \"]\" is missing before this"},
	{"did not find expected ',' or '}'", "a \",\" or \"}\" is missing before this"},
	{"found unexpected end of stream", "the quotes around this text are never closed"},
	{"found unknown escape character", "unknown escape in double quotes (write \\\\ for a backslash)"},
	{"found unexpected document indicator", "the text in quotes is not closed before this"},
	{"block sequence entries are not allowed in this context",
	 "a \"- \" cannot start a list here (put it on a line of its own)"},
	{"did not find expected node content", "a value is missing here"},
	{"did not find expected <document start>",
	 "the text goes on after the end of the document (check the indentation)"},
};

static bool same(const char *a, const char *b)
{
	return a && strcmp(a, b) == 0;
}

/* Where to point: at what was opened and never closed, rather than at where that was noticed. */
static size_t problem_offset(const struct parse *parse)
{
	const yaml_parser_t *yaml = &parse->yaml;
	bool at_context = same(yaml->problem, "found unexpected end of stream") ||
			  same(yaml->problem, "could not find expected ':'");
	return offset_of(parse, at_context ? &yaml->context_mark : &yaml->problem_mark);
}

/* "[2001:db8::1]:443" without quotes is a list to YAML, and what follows it is an error. */
static bool has_bare_ipv6(const struct parse *parse, size_t offset)
{
	const char *line = parse->text + (offset < parse->length ? offset : parse->length), *end = line;
	while (line > parse->text && line[-1] != '\n')
		line--;
	while (end < parse->text + parse->length && *end != '\n')
		end++;
	for (const char *p = line; p + 1 < end; p++)
		if ((p[0] == '[' && p[1] == ':') || (p[0] == ']' && p[1] == ':'))
			return true;
	return false;
}

static const char *translate(const char *problem)
{
	for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++)
		if (strcmp(problem, problems[i].problem) == 0)
			return problems[i].text;
	return NULL;
}

static int syntax_error(struct parse *parse)
{
	const yaml_parser_t *yaml = &parse->yaml;
	if (yaml->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	const char *problem = yaml->problem ? yaml->problem : "cannot be read";
	size_t offset = problem_offset(parse);
	char found = offset < parse->length ? parse->text[offset] : ' ';
	struct origin at = place(parse, offset);
	const char *text = translate(problem);
	bool in_brackets = same(yaml->context, "while parsing a flow mapping") ||
			   same(yaml->context, "while parsing a flow sequence");
	if (has_bare_ipv6(parse, offset))
		diag_add(parse->diags, DIAG_ERROR, at, NULL,
			 "brackets make a list here (an IPv6 address with a port needs quotes: "
			 "\"[2001:db8::1]:443\")");
	else if (same(problem, "found character that cannot start any token") && found == '\t')
		diag_add(parse->diags, DIAG_ERROR, at, NULL, "a tab in the indentation (use spaces)");
	else if (same(problem, "found character that cannot start any token"))
		diag_add(parse->diags, DIAG_ERROR, at, NULL, "\"%c\" cannot start a value (put the value in quotes)",
			 found);
	else if (text && in_brackets)
		diag_add(parse->diags, DIAG_ERROR, at, NULL, "%s (the bracket was opened in line %zu)", text,
			 yaml->context_mark.line + 1);
	else if (text)
		diag_add(parse->diags, DIAG_ERROR, at, NULL, "%s", text);
	else
		diag_add(parse->diags, DIAG_ERROR, at, NULL, "not YAML: %s", problem);
	return -EINVAL;
}

static int next_event(struct parse *parse, yaml_event_t *ret_event)
{
	return yaml_parser_parse(&parse->yaml, ret_event) ? 0 : syntax_error(parse);
}

static int push(struct parse *parse, const struct doc_node *node)
{
	if (parse->stack_count == parse->stack_capacity) {
		size_t capacity = parse->stack_capacity ? parse->stack_capacity * 2 : 256;
		struct doc_node *grown = reallocarray(parse->stack, capacity, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		parse->stack = grown;
		parse->stack_capacity = capacity;
	}
	parse->stack[parse->stack_count++] = *node;
	return 0;
}

static void refuse_decoration(struct parse *parse, const struct doc_node *node, const yaml_char_t *anchor,
			      const yaml_char_t *tag)
{
	/* libyaml reports the tag "!" as none, so look at the text as well. */
	bool tagged = tag || (node->start < parse->length && parse->text[node->start] == '!');
	if (anchor)
		diag_add(parse->diags, DIAG_ERROR, node->at, NULL, "anchors are not allowed (remove \"&%.*s\")",
			 bytes_shown((const char *)anchor), (const char *)anchor);
	if (tagged)
		diag_add(parse->diags, DIAG_ERROR, node->at, NULL, "tags are not allowed (remove the \"!...\")");
}

static int read_scalar(struct parse *parse, const yaml_event_t *event, struct doc_node *node)
{
	size_t length = event->data.scalar.length;
	const char *value = (const char *)event->data.scalar.value;
	node->kind = DOC_SCALAR;
	node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (memchr(value, '\0', length)) {
		diag_add(parse->diags, DIAG_ERROR, node->at, NULL, "a text with a NUL character (remove the \"\\0\")");
		length = strlen(value);
	}
	node->text = arena_strndup(parse->arena, value, length);
	if (!node->text)
		return -ENOMEM;
	node->length = (uint32_t)length;
	refuse_decoration(parse, node, event->data.scalar.anchor, event->data.scalar.tag);
	return 0;
}

static void report_duplicate(struct parse *parse, const struct doc_node *first, const struct doc_node *second)
{
	diag_add(parse->diags, DIAG_ERROR, second->at, NULL,
		 "the key \"%.*s\" stands here a second time (first in line %u)", bytes_shown(second->text),
		 second->text, first->at.line);
}

static int refuse_duplicates(struct parse *parse, struct doc_node *node)
{
	if (node->count <= PAIRWISE_MAX) {
		for (uint32_t i = 1; i < node->count; i++)
			for (uint32_t j = 0; j < i; j++)
				if (strcmp(node->keys[i].text, node->keys[j].text) == 0) {
					report_duplicate(parse, &node->keys[j], &node->keys[i]);
					break;
				}
		return 0;
	}
	struct strmap *seen = strmap_new(parse->arena);
	if (!seen)
		return -ENOMEM;
	for (uint32_t i = 0; i < node->count; i++) {
		int r = strmap_put(seen, node->keys[i].text, &node->keys[i]);
		if (r == -ENOMEM)
			return r;
		if (r == -EEXIST)
			report_duplicate(parse, strmap_get(seen, node->keys[i].text), &node->keys[i]);
	}
	return 0;
}

static int read_node(struct parse *parse, const yaml_event_t *event, unsigned depth, struct doc_node *ret_node);

/* Read events until the collection ends; its nodes lie on the stack from base on, keys before their values. */
static int read_members(struct parse *parse, yaml_event_type_t end, unsigned depth, size_t *ret_end)
{
	for (bool is_key = true;; is_key = !is_key) {
		yaml_event_t event;
		int r = next_event(parse, &event);
		if (r < 0)
			return r;
		if (event.type == end) {
			*ret_end = offset_of(parse, &event.end_mark);
			yaml_event_delete(&event);
			return 0;
		}
		struct doc_node member;
		bool key = is_key && end == YAML_MAPPING_END_EVENT;
		if (key && event.type != YAML_SCALAR_EVENT && event.type != YAML_ALIAS_EVENT) {
			diag_add(parse->diags, DIAG_ERROR, place(parse, offset_of(parse, &event.start_mark)), NULL,
				 "a list or mapping cannot be a key (write a plain name)");
			r = -EINVAL;
		} else {
			r = read_node(parse, &event, depth, &member);
		}
		yaml_event_delete(&event);
		if (r == 0)
			r = push(parse, &member);
		if (r < 0)
			return r;
	}
}

static int read_collection(struct parse *parse, yaml_event_type_t end, unsigned depth, struct doc_node *node)
{
	size_t base = parse->stack_count, end_offset = 0;
	int r = read_members(parse, end, depth, &end_offset);
	if (r < 0)
		return r;
	size_t members = parse->stack_count - base;
	const struct doc_node *first = members ? parse->stack + base : NULL;
	node->count = (uint32_t)(node->kind == DOC_MAPPING ? members / 2 : members);
	node->children = arena_array(parse->arena, node->count, struct doc_node);
	if (node->kind == DOC_MAPPING)
		node->keys = arena_array(parse->arena, node->count, struct doc_node);
	if (!node->children || (node->kind == DOC_MAPPING && !node->keys))
		return -ENOMEM;
	for (uint32_t i = 0; i < node->count; i++) {
		node->children[i] = node->kind == DOC_MAPPING ? first[2 * i + 1] : first[i];
		if (node->kind == DOC_MAPPING)
			node->keys[i] = first[2 * i];
	}
	/* libyaml ends a block at the next token, behind comments that are not the block's. */
	node->end = node->flow ? (uint32_t)end_offset : node->count ? node->children[node->count - 1].end : node->start;
	parse->stack_count = base;
	return node->kind == DOC_MAPPING ? refuse_duplicates(parse, node) : 0;
}

static int read_node(struct parse *parse, const yaml_event_t *event, unsigned depth, struct doc_node *ret_node)
{
	struct doc_node node = {.start = (uint32_t)offset_of(parse, &event->start_mark),
				.end = (uint32_t)offset_of(parse, &event->end_mark)};
	node.at = place(parse, node.start);
	if (++parse->nodes > DOC_MAX_NODES) {
		diag_add(parse->diags, DIAG_ERROR, node.at, NULL, "too much in one file (at most %u keys and values)",
			 DOC_MAX_NODES);
		return -EINVAL;
	}
	if (depth > DOC_MAX_DEPTH) {
		diag_add(parse->diags, DIAG_ERROR, node.at, NULL, "nested too deeply (at most %u levels)",
			 DOC_MAX_DEPTH);
		return -EINVAL;
	}
	int r = 0;
	if (event->type == YAML_SCALAR_EVENT) {
		r = read_scalar(parse, event, &node);
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		node.kind = DOC_SEQUENCE;
		node.flow = event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
		refuse_decoration(parse, &node, event->data.sequence_start.anchor, event->data.sequence_start.tag);
		r = read_collection(parse, YAML_SEQUENCE_END_EVENT, depth + 1, &node);
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		node.kind = DOC_MAPPING;
		node.flow = event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
		refuse_decoration(parse, &node, event->data.mapping_start.anchor, event->data.mapping_start.tag);
		r = read_collection(parse, YAML_MAPPING_END_EVENT, depth + 1, &node);
	} else { /* YAML_ALIAS_EVENT: nothing else can stand here */
		diag_add(parse->diags, DIAG_ERROR, node.at, NULL,
			 "aliases are not allowed (write the value out instead of \"*%.*s\")",
			 bytes_shown((const char *)event->data.alias.anchor), (const char *)event->data.alias.anchor);
		node.text = "";
		node.broken = true;
	}
	if (r == 0)
		*ret_node = node;
	return r;
}

/* The first event of the document's content; *ret_event has type YAML_NO_EVENT when there is none. */
static int open_document(struct parse *parse, yaml_event_t *ret_event)
{
	yaml_event_t event;
	for (;;) {
		int r = next_event(parse, &event);
		if (r < 0)
			return r;
		if (event.type == YAML_DOCUMENT_START_EVENT) {
			if (event.data.document_start.version_directive ||
			    event.data.document_start.tag_directives.start !=
				    event.data.document_start.tag_directives.end)
				diag_add(parse->diags, DIAG_ERROR, place(parse, offset_of(parse, &event.start_mark)),
					 NULL, "directives are not allowed (remove the lines that start with \"%%\")");
		} else if (event.type == YAML_STREAM_END_EVENT) {
			yaml_event_delete(&event);
			*ret_event = (yaml_event_t){0};
			return 0;
		} else if (event.type != YAML_STREAM_START_EVENT) {
			*ret_event = event;
			return 0;
		}
		yaml_event_delete(&event);
	}
}

/* Behind the content only the end of the document and of the stream may follow. */
static int close_document(struct parse *parse)
{
	for (;;) {
		yaml_event_t event;
		int r = next_event(parse, &event);
		if (r < 0)
			return r;
		yaml_event_type_t type = event.type;
		size_t offset = offset_of(parse, &event.start_mark);
		yaml_event_delete(&event);
		if (type == YAML_STREAM_END_EVENT)
			return 0;
		if (type == YAML_DOCUMENT_START_EVENT) {
			diag_add(parse->diags, DIAG_ERROR, place(parse, offset), NULL,
				 "a second document starts here (one per file: remove the \"---\", or use a file in "
				 "conf.d)");
			return -EINVAL;
		}
	}
}

static int read_document(struct parse *parse, struct doc_node **ret_root)
{
	yaml_event_t event;
	int r = open_document(parse, &event);
	if (r < 0)
		return r;
	if (event.type == YAML_NO_EVENT) {
		*ret_root = NULL;
		return 0;
	}
	struct doc_node *root = arena_new_of(parse->arena, struct doc_node);
	r = root ? read_node(parse, &event, 0, root) : -ENOMEM;
	yaml_event_delete(&event);
	if (r == 0)
		r = close_document(parse);
	if (r == 0)
		*ret_root = doc_is_empty(root) ? NULL : root;
	return r;
}

static int check_text(struct parse *parse)
{
	if (parse->length > DOC_MAX_BYTES) {
		diag_add(parse->diags, DIAG_ERROR, (struct origin){.file = parse->file}, NULL,
			 "the file is too large: %zu bytes (at most %u)", parse->length, DOC_MAX_BYTES);
		return -EINVAL;
	}
	size_t offset;
	const char *why;
	int r = bytes_index_init(&parse->index, parse->arena, parse->text, parse->length);
	if (r < 0)
		return r;
	r = bytes_check(parse->text, parse->length, &offset, &why);
	if (r < 0)
		diag_add(parse->diags, DIAG_ERROR, place(parse, offset), NULL, "%s", why);
	return r;
}

int doc_parse(struct arena *arena, const char *file, const char *text, size_t length, struct diag_list *diags,
	      struct doc_node **ret_root)
{
	struct parse parse = {.arena = arena, .file = file, .text = text, .length = length, .diags = diags};
	int r = check_text(&parse);
	if (r < 0)
		return r;
	if (!yaml_parser_initialize(&parse.yaml))
		return -ENOMEM;
	yaml_parser_set_encoding(&parse.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parse.yaml, (const unsigned char *)text, length);
	r = read_document(&parse, ret_root);
	yaml_parser_delete(&parse.yaml);
	free(parse.stack);
	return r;
}

const struct doc_node *doc_get(const struct doc_node *mapping, const char *key)
{
	for (uint32_t i = 0; i < mapping->count && mapping->kind == DOC_MAPPING; i++)
		if (strcmp(mapping->keys[i].text, key) == 0)
			return &mapping->children[i];
	return NULL;
}

bool doc_is_empty(const struct doc_node *node)
{
	return node->kind == DOC_SCALAR && node->length == 0 && !node->quoted;
}
