/* YAML text -> document: places, what is refused, and the bounds. Every message
 * is compared whole, with line and column, since that is what people get to
 * see. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../rules/text/doc.h"

struct fixture {
	struct arena *arena;
	struct diag_list diags;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	fixture->arena = arena_new();
	diag_init(&fixture->diags, fixture->arena);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	arena_free(&fixture->arena);
	free(fixture);
	return 0;
}

static int parse(struct fixture *fixture, const char *text, struct doc_node **ret_root)
{
	return doc_parse(fixture->arena, "f", text, strlen(text), &fixture->diags, ret_root);
}

static void positions(void **state)
{
	struct doc_node *root;
	const char *text = "a: 1\nb:\n  - x   # note\n  - { c: \"q\" }\n\n# end\n";
	assert_int_equal(parse(*state, text, &root), 0);
	assert_int_equal(root->count, 2);
	const struct doc_node *b = doc_get(root, "b");
	assert_int_equal(b->at.line, 3);
	assert_int_equal(b->at.column, 3);
	assert_int_equal(b->count, 2);
	assert_int_equal(b->end, strstr(text, "\n\n#") - text);
	const struct doc_node *c = doc_get(&b->children[1], "c");
	assert_string_equal(c->text, "q");
	assert_true(c->quoted);
	assert_memory_equal(text + c->start, "\"q\"", c->end - c->start);
	assert_true(b->children[1].flow);
	assert_null(doc_get(root, "z"));
}

static void columns_are_bytes(void **state)
{
	struct doc_node *root;
	const char *text = "a: ö # äöü\nb: [ö, x]\n";
	assert_int_equal(parse(*state, text, &root), 0);
	const struct doc_node *x = &doc_get(root, "b")->children[1];
	assert_int_equal(x->at.line, 2);
	assert_int_equal(x->at.column, 9);
	assert_memory_equal(text + x->start, "x]", 2);
}

static void empty_files(void **state)
{
	static const char *const texts[] = {"", "\n", "# only a note\n", "---\n", "---\n...\n"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct doc_node other, *root = &other;
		assert_int_equal(parse(*state, texts[i], &root), 0);
		assert_null(root);
	}
}

struct refusal {
	const char *text, *message;
};

/* Each text gives exactly this one error. */
static const struct refusal refusals[] = {
	{"a: &x 1\n", "f:1:4: anchors are not allowed (remove \"&x\")"},
	{"a: *x\n", "f:1:4: aliases are not allowed (write the value out instead of \"*x\")"},
	{"a: !!int 1\n", "f:1:4: tags are not allowed (remove the \"!...\")"},
	{"a: ! 1\n", "f:1:4: tags are not allowed (remove the \"!...\")"},
	{"a: !x [1]\n", "f:1:4: tags are not allowed (remove the \"!...\")"},
	{"%YAML 1.1\n---\na: 1\n", "f:1:1: directives are not allowed (remove the lines that start with \"%\")"},
	{"a: 1\nb: 2\na: 3\n", "f:3:1: the key \"a\" stands here a second time (first in line 1)"},
	{"a: 1\n---\nb: 2\n", "f:2:1: a second document starts here (one per file: remove the \"---\", or use a file "
			      "in conf.d)"},
	{"[a]: 1\n", "f:1:1: a list or mapping cannot be a key (write a plain name)"},
	{"a: \"x\\0y\"\n", "f:1:4: a text with a NUL character (remove the \"\\0\")"},
	{"a: b: c\n", "f:1:5: a \":\" stands where no value can begin (check the indentation; a text that contains \": "
		      "\" needs quotes)"},
	{"a: [1, 2\nb: 3\n", "f:2:2: a \",\" or \"]\" is missing before this (the bracket was opened in line 1)"},
	{"a: {b: 1\n", "f:2:1: a \",\" or \"}\" is missing before this (the bracket was opened in line 1)"},
	{"a:\n\tb: 1\n", "f:2:1: a tab in the indentation (use spaces)"},
	{"a: @x\n", "f:1:4: \"@\" cannot start a value (put the value in quotes)"},
	{"a: \"x\n\n", "f:1:4: the quotes around this text are never closed"},
	{"a: 1\n b: 2\n", "f:2:3: a \":\" stands where no value can begin (check the indentation; a text that contains "
			  "\": \" needs quotes)"},
	{"a: 1\nb\n", "f:2:1: a key without a value (write \"key: value\")"},
	{"a: [::1]:80\n", "f:1:5: brackets make a list here (an IPv6 address with a port needs quotes: "
			  "\"[2001:db8::1]:443\")"},
	{"a: \xff\n", "f:1:4: not UTF-8 (save the file as UTF-8)"},
	{"a: \xc0\x80\n", "f:1:4: not UTF-8 (save the file as UTF-8)"},
	{"\xef\xbb\xbf"
	 "a: 1\n",
	 "f:1:1: a byte order mark (save the file as UTF-8 without one)"},
	{"a: 1\rb: 2\n", "f:1:5: a carriage return without a line feed (end lines with LF)"},
	{"a: 1\nb: \x1b[0m\n", "f:2:4: a control character (remove it)"},
	{"a: x\xe2\x80\xa8y\n", "f:1:5: a Unicode line separator (end lines with LF)"},
};

static void refused(void **state)
{
	struct fixture *fixture = *state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct doc_node *root;
		diag_init(&fixture->diags, fixture->arena);
		parse(fixture, refusals[i].text, &root);
		assert_int_equal(fixture->diags.errors, 1);
		assert_string_equal(diag_format(fixture->arena, &fixture->diags.items[0]), refusals[i].message);
	}
}

static void nul_byte(void **state)
{
	struct fixture *fixture = *state;
	struct doc_node *root;
	assert_int_equal(doc_parse(fixture->arena, "f", "a: 1\n\0", 6, &fixture->diags, &root), -EINVAL);
	assert_string_equal(diag_format(fixture->arena, &fixture->diags.items[0]), "f:2:1: a NUL byte (this has to be "
										   "a text file)");
}

/* What leaves the tree readable is collected, all in one run. */
static void goes_on(void **state)
{
	struct fixture *fixture = *state;
	struct doc_node *root;
	assert_int_equal(parse(fixture, "a: &x 1\nb: *x\nc: !t 3\na: 4\n", &root), 0);
	assert_int_equal(fixture->diags.errors, 4);
	assert_int_equal(root->count, 4);
}

static void many_duplicates(void **state)
{
	struct fixture *fixture = *state;
	struct doc_node *root;
	assert_int_equal(parse(fixture, "{a,b,c,d,e,f,g,h,i,j,c,a}\n", &root), 0);
	assert_int_equal(fixture->diags.errors, 2);
}

static char *repeat(struct arena *arena, const char *part, size_t times)
{
	size_t length = strlen(part);
	char *text = arena_alloc(arena, length * times + 1);
	for (size_t i = 0; i < times; i++)
		memcpy(text + i * length, part, length);
	return text;
}

static void bounds(void **state)
{
	struct fixture *fixture = *state;
	struct doc_node *root;
	assert_int_equal(parse(fixture, repeat(fixture->arena, "[", 100000), &root), -EINVAL);
	assert_string_equal(fixture->diags.items[0].text, "nested too deeply (at most 16 levels)");
	char *many = repeat(fixture->arena, "- a\n", DOC_MAX_NODES + 1);
	assert_int_equal(parse(fixture, many, &root), -EINVAL);
	assert_string_equal(fixture->diags.items[1].text, "too much in one file (at most 1000000 keys and values)");
	char *large = repeat(fixture->arena, "#", DOC_MAX_BYTES + 1);
	assert_int_equal(parse(fixture, large, &root), -EINVAL);
	assert_string_equal(fixture->diags.items[2].text, "the file is too large: 16777217 bytes (at most 16777216)");
	char *deepest =
		arena_printf(fixture->arena, "%s%s", repeat(fixture->arena, "[", 16), repeat(fixture->arena, "]", 16));
	assert_int_equal(parse(fixture, deepest, &root), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(positions, setup, teardown),
		cmocka_unit_test_setup_teardown(columns_are_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_files, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(nul_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(many_duplicates, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
