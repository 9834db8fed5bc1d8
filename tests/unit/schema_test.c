/* The schema: the reference in docs/ is what the tables say, every key has what
 * its type needs, and the examples of all sections together are a configuration
 * that loads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../rules/model/schema.h"
#include "../../rules/model/schema_print.h"
#include "model_help.h"

/* `make docs` when this fails. */
static void reference_is_current(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	size_t length;
	assert_string_equal(test_read_file(arena, "docs/configuration.md", &length), schema_print(arena));
}

static void check_keys(const struct section *section, unsigned depth)
{
	assert_true(depth < 5);
	for (const struct key *key = section->keys; key->name; key++) {
		assert_non_null(key->text);
		assert_true(!key->type != !key->section);
		assert_true(key->type != &word_type || key->words);
		assert_true(key->type != &number_type || key->most > 0);
		assert_true(key->type != &duration_type || key->most > 0);
		assert_false(key->required && key->preset);
		if (key->section)
			check_keys(key->section, depth + 1);
	}
}

static void tables_are_complete(void **state)
{
	(void)state;
	check_keys(&schema_root, 0);
	for (const struct key *key = schema_root.keys; key->name; key++)
		if (key->section) {
			assert_non_null(key->section->text);
			assert_non_null(key->section->example);
		}
}

/* All examples of the reference, put together, are a configuration. */
static void examples_load(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_model struct model *model = NULL;
	const char *text = "version: 1\n";
	for (const struct key *key = schema_root.keys; key->name; key++)
		if (key->section)
			text = arena_printf(arena, "%s%s", text, key->section->example);
	struct source_file files[] = {{"f.yaml", text, strlen(text), NULL}, {"blocklists/abuse.txt", "", 0, NULL}};
	char *diags;
	text = arena_printf(arena, "%s", text);
	int r = test_load(arena, &(struct test_files){.files = files, .main = 1, .count = 2}, NULL, &diags, &model);
	if (r != 0)
		print_message("%s", diags);
	assert_int_equal(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reference_is_current),
		cmocka_unit_test(tables_are_complete),
		cmocka_unit_test(examples_load),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
