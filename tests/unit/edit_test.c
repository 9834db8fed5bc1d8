/* Editing YAML in place: single changes as text beside text, and properties
 * over every place of the example. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../rules/text/doc.h"
#include "../../rules/text/edit.h"
#include "model_help.h"

#define PATH_MOST 8

struct change {
	const char *what, *before;
	const char *path[PATH_MOST];
	const char *value; /* NULL: remove; with "+" in front: append; "+X+value": append before X; "*": add */
	const char *after; /* NULL: refused with the result */
	int result;
};

static const struct change changes[] = {
	{"scalar", "a: 1 # one\nb: 2\n", {"a"}, "3", "a: 3 # one\nb: 2\n", 0},
	{"scalar by a mapping", "a: \"1\" # one\n", {"a"}, "x: y", "a: # one\n  x: y\n", 0},
	{"text with a colon", "a: 1\n", {"a"}, "\"x: y\"", "a: \"x: y\"\n", 0},
	{"same value", "a:   1\n", {"a"}, "1", "a:   1\n", 0},
	{"empty value", "a:   # none\nb: 2\n", {"a"}, "1", "a: 1   # none\nb: 2\n", 0},
	{"flow value", "a: { b: 1, c: 2 }\n", {"a", "b"}, "3", "a: { b: 3, c: 2 }\n", 0},
	{"flow value that needs quotes",
	 "a: { b: 1, c: 2 }\n",
	 {"a", "b"},
	 "\"x, y\"",
	 "a: { b: \"x, y\", c: 2 }\n",
	 0},
	{"list by a scalar", "a: [1, 2] # x\n", {"a"}, "3", "a: 3 # x\n", 0},
	{"scalar by a list", "a: 1 # x\n", {"a"}, "[1, 2]", "a: [1, 2] # x\n", 0},
	{"block by a scalar", "a: # x\n  # y\n  b: 1\n  c: 2 # z\nd: 4\n", {"a"}, "3", "a: 3 # x\nd: 4\n", 0},
	{"block by a block",
	 "a:\n  b: 1 # one\n\nd: 4\n",
	 {"a"},
	 "{ c: 2, e: 3 }",
	 "a:\n  c: 2\n  e: 3 # one\n\nd: 4\n",
	 0},
	{"entry of a list",
	 "r:\n  - { name: x, to: a }\n  - { name: y, to: b }\n",
	 {"r", "y", "to"},
	 "c",
	 "r:\n  - { name: x, to: a }\n  - { name: y, to: c }\n",
	 0},
	{"entry by number", "r:\n- a\n- b # x\n", {"r", "[1]"}, "c", "r:\n- a\n- c # x\n", 0},

	{"new key in a block", "a:\n  b: 1 # one\n\nd: 4\n", {"a", "c"}, "2", "a:\n  b: 1 # one\n  c: 2\n\nd: 4\n", 0},
	{"new key in brackets", "a: { b: 1 } # x\n", {"a", "c"}, "2", "a: { b: 1, c: 2 } # x\n", 0},
	{"new key in empty brackets", "a: { b: {} }\n", {"a", "b", "c"}, "2", "a: { b: { c: 2 } }\n", 0},
	{"new entry like its neighbours",
	 "a:\n  b: { x: 1 }\n",
	 {"a", "c"},
	 "x: 2\ny: 3",
	 "a:\n  b: { x: 1 }\n  c: { x: 2, y: 3 }\n",
	 0},
	{"new entry like its block neighbours",
	 "a:\n    b:\n        x: 1\n",
	 {"a", "c"},
	 "{ x: 2, y: [3] }",
	 "a:\n    b:\n        x: 1\n    c:\n        x: 2\n        y: [3]\n",
	 0},
	{"new section", "a: 1\n# end\n", {"f", "x"}, "{ to: y }", "a: 1\nf:\n  x: { to: y }\n# end\n", 0},
	{"new section after blank lines",
	 "a: 1\n\n# b\nb:\n  c: 2",
	 {"f", "x"},
	 "{ to: y }",
	 "a: 1\n\n# b\nb:\n  c: 2\n\nf:\n  x: { to: y }",
	 0},
	{"section without entries",
	 "f: # none yet\ng: 1\n",
	 {"f", "x"},
	 "{ to: y }",
	 "f: # none yet\n  x: { to: y }\ng: 1\n",
	 0},
	{"section in empty brackets",
	 "f: {} # none yet\n",
	 {"f", "x"},
	 "{ to: y }",
	 "f: # none yet\n  x: { to: y }\n",
	 0},
	{"deep and new",
	 "f:\n  x: { to: y }\n",
	 {"f", "x", "limits", "ban"},
	 "10m",
	 "f:\n  x: { to: y, limits: { ban: 10m } }\n",
	 0},
	{"empty file", "", {"f", "x"}, "{ to: y }", "f:\n  x: { to: y }\n", 0},
	{"only comments", "# nothing", {"a"}, "1", "# nothing\na: 1\n", 0},
	{"document start", "---\n", {"a"}, "1", "---\na: 1\n", 0},
	{"no newline at the end", "a: 1", {"b"}, "2", "a: 1\nb: 2", 0},
	{"CR LF", "a: 1\r\nb: 2\r\n", {"c", "d"}, "{ e: 1 }", "a: 1\r\nb: 2\r\nc:\r\n  d: { e: 1 }\r\n", 0},
	{"root in brackets", "{ a: 1 }\n", {"b"}, "2", "{ a: 1, b: 2 }\n", 0},
	{"odd key", "a: 1\n", {"x y: z"}, "2", "a: 1\n\"x y: z\": 2\n", 0},
	{"through a scalar", "a: 1\n", {"a", "b"}, "2", NULL, -EINVAL},
	{"missing entry of a list", "r: [a]\n", {"r", "x", "y"}, "2", NULL, -ENOENT},
	{"no value", "a: 1\n", {"a"}, "", NULL, -EINVAL},
	{"value that is no YAML", "a: 1\n", {"a"}, "[", NULL, -EINVAL},
	{"text that is no YAML", "a: [\n", {"a"}, "1", NULL, -EINVAL},
	{"add what is there", "a: 1\n", {"a"}, "*2", NULL, -EEXIST},
	{"add what is not there", "a: 1\n", {"b"}, "*2", "a: 1\nb: 2\n", 0},

	{"append to a block",
	 "r: # list\n  - { name: x } # one\n\nb: 1\n",
	 {"r"},
	 "+{ name: y }",
	 "r: # list\n  - { name: x } # one\n  - { name: y }\n\nb: 1\n",
	 0},
	{"append a block",
	 "r:\n- name: x\n  to: a\n",
	 {"r"},
	 "+{ name: y, to: b }",
	 "r:\n- name: x\n  to: a\n- name: y\n  to: b\n",
	 0},
	{"append in brackets", "r: [a, b] # x\n", {"r"}, "+c", "r: [a, b, c] # x\n", 0},
	{"append to nothing", "a: 1\n", {"r"}, "+{ name: y }", "a: 1\nr:\n  - { name: y }\n", 0},
	{"append to an empty list", "r: []\n", {"r"}, "+{ name: y }", "r:\n  - { name: y }\n", 0},
	{"append a value to nothing", "a: { b: 1 }\n", {"a", "r"}, "+c", "a: { b: 1, r: [c] }\n", 0},
	{"append to a single value", "r: a # x\n", {"r"}, "+c", "r: [a, c] # x\n", 0},
	{"append to a mapping", "r: { a: 1 }\n", {"r"}, "+c", NULL, -EINVAL},
	{"insert in front",
	 "r:\n  - { name: x }\n  # of y\n  - { name: y }\n",
	 {"r"},
	 "+y+{ name: z }",
	 "r:\n  - { name: x }\n  - { name: z }\n  # of y\n  - { name: y }\n",
	 0},
	{"insert in front in brackets", "r: [a, b]\n", {"r"}, "+[0]+c", "r: [c, a, b]\n", 0},
	{"insert in front of nothing", "r: [a, b]\n", {"r"}, "+x+c", NULL, -ENOENT},

	{"remove a line", "a: 1\n# of b\nb: 2 # two\n# of c\nc: 3\n", {"b"}, NULL, "a: 1\n# of c\nc: 3\n", 0},
	{"remove keeps comments apart", "a: 1\n# apart\n\nb: 2\n", {"b"}, NULL, "a: 1\n# apart\n", 0},
	{"remove a block", "f:\n  # of x\n  x:\n    to: y # why\n  z: 1\n", {"f", "x"}, NULL, "f:\n  z: 1\n", 0},
	{"remove in brackets", "f: { a: 1, b: 2, c: 3 }\n", {"f", "b"}, NULL, "f: { a: 1, c: 3 }\n", 0},
	{"remove the last in brackets", "f: { a: 1, b: 2 }\n", {"f", "b"}, NULL, "f: { a: 1 }\n", 0},
	{"remove the only one",
	 "a: 1\nf:\n  x: { limits: { ban: 1m } }\nb: 2\n",
	 {"f", "x", "limits", "ban"},
	 NULL,
	 "a: 1\nb: 2\n",
	 0},
	{"remove all there is", "# x\n\na: 1\n", {"a"}, NULL, "# x\n", 0},
	{"remove an entry of a list",
	 "r:\n  - { name: x }\n  # of y\n  - { name: y } # y\n  - { name: z }\n",
	 {"r", "y"},
	 NULL,
	 "r:\n  - { name: x }\n  - { name: z }\n",
	 0},
	{"remove a block of a list",
	 "r:\n  - name: x\n    to: a\n  -\n    name: y\n    to: b\n  - name: z\n",
	 {"r", "y"},
	 NULL,
	 "r:\n  - name: x\n    to: a\n  - name: z\n",
	 0},
	{"remove the first key of an entry",
	 "r:\n  - to: a\n    name: x\n",
	 {"r", "x", "to"},
	 NULL,
	 "r:\n  - name: x\n",
	 0},
	{"remove without a newline", "a: 1\nb: 2", {"b"}, NULL, "a: 1\n", 0},
	{"remove what is not there", "a: 1\n", {"b"}, NULL, NULL, -ENOENT},
	{"remove a text block", "a: |\n  x\n  y\nb: 2\n", {"a"}, NULL, "b: 2\n", 0},
};

/* Make the change; returns the result. */
static int apply(struct arena *arena, const char *text, const char *const *path, const char *value, char **ret_text)
{
	struct diag_list diags;
	diag_init(&diags, arena);
	struct edit_text in = {.file = "f.yaml", .text = text, .length = strlen(text)};
	if (!value)
		return edit_remove(&in, path, arena, &diags, ret_text);
	if (value[0] == '*')
		return edit_add(&in, path, value + 1, arena, &diags, ret_text);
	if (value[0] != '+')
		return edit_set(&in, path, value, arena, &diags, ret_text);
	const char *plus = strchr(value + 1, '+');
	const char *before = plus ? arena_strndup(arena, value + 1, (size_t)(plus - value) - 1) : NULL;
	return edit_append(&in, path, before, plus ? plus + 1 : value + 1, arena, &diags, ret_text);
}

static void single_changes(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	size_t bad = 0;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const struct change *change = &changes[i];
		char untouched[] = "untouched", *after = untouched;
		int r = apply(arena, change->before, change->path, change->value, &after);
		if (r == change->result && strcmp(after, change->after ? change->after : "untouched") == 0)
			continue;
		print_error("%s: result %d\n--- expected\n%s--- got\n%s", change->what, r,
			    change->after ? change->after : "", after);
		bad++;
	}
	assert_int_equal(bad, 0);
}

/* Two changes in a row, each on the tree that the one before handed over: the same as without. */
static void trees_are_handed_on(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct diag_list diags;
	const char *const first[] = {"b", "c", NULL}, *const second[] = {"b", "d", NULL}, *const last[] = {"b", NULL};
	const struct doc_node *root = NULL;
	char *text = NULL;
	diag_init(&diags, arena);
	struct edit_text in = {.file = "f.yaml", .text = "a: 1 # one\n", .length = 11, .ret_root = &root};
	assert_int_equal(edit_set(&in, first, "2", arena, &diags, &text), 0);
	assert_non_null(root);
	in = (struct edit_text){
		.file = "f.yaml", .text = text, .length = strlen(text), .root = root, .ret_root = &root};
	assert_int_equal(edit_add(&in, second, "[x, y]", arena, &diags, &text), 0);
	assert_string_equal(text, "a: 1 # one\nb:\n  c: 2\n  d: [x, y]\n");
	/* Nothing to change: text and tree stay. */
	in = (struct edit_text){
		.file = "f.yaml", .text = text, .length = strlen(text), .root = root, .ret_root = &root};
	const struct doc_node *before = root;
	assert_int_equal(edit_set(&in, first, "2", arena, &diags, &text), 0);
	assert_ptr_equal(root, before);
	/* A refusal leaves the tree that was there. */
	assert_int_equal(edit_add(&in, first, "3", arena, &diags, &text), -EEXIST);
	assert_ptr_equal(root, before);
	assert_int_equal(edit_remove(&in, last, arena, &diags, &text), 0);
	assert_string_equal(text, "a: 1 # one\n");
	assert_int_equal(root->count, 1);
}

/* What is done with every node of the example, under its path. */
struct visit {
	struct arena *arena;
	const char *text;
	const char *path[PATH_MOST];
	void (*look)(const struct visit *visit, const struct doc_node *node, size_t depth);
	size_t count;
};

static void walk(struct visit *visit, const struct doc_node *node, size_t depth)
{
	visit->path[depth] = NULL;
	visit->look(visit, node, depth);
	visit->count++;
	for (uint32_t i = 0; i < node->count; i++) {
		visit->path[depth] =
			node->kind == DOC_MAPPING ? node->keys[i].text : arena_printf(visit->arena, "[%u]", i);
		walk(visit, &node->children[i], depth + 1);
	}
	visit->path[depth] = NULL;
}

static void visit_example(void (*look)(const struct visit *, const struct doc_node *, size_t))
{
	cleanup_arena struct arena *arena = arena_new();
	size_t length;
	struct visit visit = {.arena = arena, .look = look};
	struct diag_list diags;
	struct doc_node *root;
	diag_init(&diags, arena);
	visit.text = test_read_file(arena, "examples/edged.yaml", &length);
	assert_int_equal(doc_parse(arena, "f", visit.text, length, &diags, &root), 0);
	walk(&visit, root, 0);
	assert_true(visit.count > 150);
}

static char *must(struct arena *arena, const char *text, const char *const *path, const char *value)
{
	char *after = NULL;
	int r = apply(arena, text, path, value, &after);
	if (r != 0) {
		for (size_t i = 0; path[i]; i++)
			print_error("%s.", path[i]);
		fail_msg("%s: result %d", value ? value : "remove", r);
	}
	return after;
}

/* A scalar that is set to something else, and back, leaves the file as it was. */
static void set_and_back(const struct visit *visit, const struct doc_node *node, size_t depth)
{
	cleanup_arena struct arena *arena = arena_new();
	if (depth == 0 || (node->kind != DOC_SCALAR))
		return;
	char *changed = must(arena, visit->text, visit->path, "zz9");
	assert_string_not_equal(changed, visit->text);
	char *old = arena_strndup(arena, visit->text + node->start, node->end - node->start);
	changed = must(arena, changed, visit->path, "[a, b]");
	assert_string_equal(must(arena, changed, visit->path, old), visit->text);
}

/* A key that is added and removed leaves the file as it was. */
static void add_and_back(const struct visit *visit, const struct doc_node *node, size_t depth)
{
	cleanup_arena struct arena *arena = arena_new();
	if (node->kind != DOC_MAPPING)
		return;
	const char *path[PATH_MOST + 1] = {NULL};
	memcpy(path, visit->path, depth * sizeof(path[0]));
	path[depth] = "zz9";
	static const char *const values[] = {"1", "{ a: 1, b: [x] }", "a:\n  b: 1\n", "- a\n- b: 1\n  c: 2\n"};
	for (size_t i = 0; i < 4; i++) {
		char *changed = must(arena, visit->text, path, arena_printf(arena, "*%s", values[i]));
		assert_string_equal(must(arena, changed, path, NULL), visit->text);
	}
}

/* An entry that is appended and removed leaves the file as it was. */
static void append_and_back(const struct visit *visit, const struct doc_node *node, size_t depth)
{
	cleanup_arena struct arena *arena = arena_new();
	if (node->kind != DOC_SEQUENCE)
		return;
	const char *path[PATH_MOST + 1] = {NULL};
	memcpy(path, visit->path, depth * sizeof(path[0]));
	for (size_t i = 0; i < 2; i++) {
		const char *value = i ? "+[0]+{ name: zz9 }" : "+{ name: zz9 }";
		path[depth] = NULL;
		char *changed = must(arena, visit->text, path, value);
		path[depth] = "zz9";
		assert_string_equal(must(arena, changed, path, NULL), visit->text);
	}
}

/* What is removed is one piece; everything around it stays. */
static void remove_one_piece(const struct visit *visit, const struct doc_node *node, size_t depth)
{
	(void)node;
	cleanup_arena struct arena *arena = arena_new();
	if (depth == 0)
		return;
	const char *after = must(arena, visit->text, visit->path, NULL);
	size_t old = strlen(visit->text), new = strlen(after), front = 0, back = 0;
	while (front < new &&after[front] == visit->text[front])
		front++;
	while (back < new - front && after[new - 1 - back] == visit->text[old - 1 - back])
		back++;
	assert_int_equal(front + back, new);
	assert_true(new < old);
}

static void every_scalar(void **state)
{
	(void)state;
	visit_example(set_and_back);
}

static void every_mapping(void **state)
{
	(void)state;
	visit_example(add_and_back);
}

static void every_list(void **state)
{
	(void)state;
	visit_example(append_and_back);
}

static void every_removal(void **state)
{
	(void)state;
	visit_example(remove_one_piece);
}

/* Node number want, counted in file order; its path in path. */
static const struct doc_node *pick(struct arena *arena, const struct doc_node *node, size_t *want, const char **path,
				   size_t depth)
{
	if (*want == 0)
		return node;
	--*want;
	for (uint32_t i = 0; i < node->count; i++) {
		path[depth] = node->kind == DOC_MAPPING ? node->keys[i].text : arena_printf(arena, "[%u]", i);
		const struct doc_node *found = pick(arena, &node->children[i], want, path, depth + 1);
		if (found)
			return found;
	}
	path[depth] = NULL;
	return NULL;
}

/* Hundreds of changes on top of each other: each one is possible, and each result is YAML. */
static void many_changes(void **state)
{
	(void)state;
	static const char *const values[] = {
		"zz9", "[a, b]", "{ a: 1, b: { c: 2 } }", "a:\n  b: 1\nc:\n  - d\n  - e: 1\n", "\"x: #y\"", NULL};
	unsigned seed = 1;
	cleanup_arena struct arena *text_arena = arena_new();
	size_t length;
	char *text = test_read_file(text_arena, "examples/edged.yaml", &length);
	for (size_t i = 0; i < 400; i++) {
		cleanup_arena struct arena *arena = arena_new();
		struct diag_list diags;
		struct doc_node *root = NULL;
		diag_init(&diags, arena);
		assert_int_equal(doc_parse(arena, "f", text, strlen(text), &diags, &root), 0);
		assert_int_equal(diags.errors, 0);
		const char *path[DOC_MAX_DEPTH + 2] = {NULL};
		size_t want = 1 + (size_t)rand_r(&seed) % 150;
		if (!root || !pick(arena, root, &want, path, 0) || !path[0] || (path[6] && i % 6 != 5))
			continue;
		/* Removals less often than additions, or nothing would be left. */
		text = arena_strdup(text_arena, must(arena, text, path, values[(size_t)rand_r(&seed) % 60 / 10]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_changes), cmocka_unit_test(trees_are_handed_on),
		cmocka_unit_test(every_scalar),   cmocka_unit_test(every_mapping),
		cmocka_unit_test(every_list),     cmocka_unit_test(every_removal),
		cmocka_unit_test(many_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
