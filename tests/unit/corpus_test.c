/* The corpus: each file of tests/corpus/broken is refused with exactly the
 * diagnostics of the .expect file beside it; each of tests/corpus/warned loads,
 * with exactly those warnings. NAME.add.yaml is read as conf.d/add.yaml.
 * With CORPUS_WRITE=1 the .expect files are written, to be read before a commit. */
#include <errno.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model_help.h"

#define BROKEN_LEAST 120

/* What the files of the corpus refer to. */
static const char *const lists[] = {"lists/bad-lines.txt", "lists/prose.txt", "lists/good.txt"};

static int load(struct arena *arena, const char *path, char **ret_text, struct model **ret_model)
{
	struct source_file files[5] = {{.name = strrchr(path, '/') + 1}};
	size_t main = 1;
	files[0].text = test_read_file(arena, path, &files[0].length);
	char *add = arena_printf(arena, "%.*s.add.yaml", (int)(strlen(path) - strlen(".yaml")), path);
	if (access(add, R_OK) == 0) {
		files[1].name = "conf.d/add.yaml";
		files[1].text = test_read_file(arena, add, &files[1].length);
		main = 2;
	}
	size_t count = main;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++, count++) {
		char *list = arena_printf(arena, "tests/corpus/broken/%s", lists[i]);
		files[count].name = lists[i];
		files[count].text = test_read_file(arena, list, &files[count].length);
	}
	return test_load(arena, &(struct test_files){.files = files, .main = main, .count = count}, NULL, ret_text,
			 ret_model);
}

static bool check_file(const char *path, int expected)
{
	cleanup_arena struct arena *arena = arena_new();
	cleanup_model struct model *model = NULL;
	char *text, *expect = arena_printf(arena, "%.*s.expect", (int)(strlen(path) - strlen(".yaml")), path);
	int r = load(arena, path, &text, &model);
	if (getenv("CORPUS_WRITE")) {
		FILE *file = fopen(expect, "we");
		fputs(text, file);
		fclose(file);
	}
	size_t length;
	const char *right = test_read_file(arena, expect, &length);
	if (r == expected && strcmp(text, right) == 0)
		return true;
	print_error("%s: result %d\n--- expected\n%s--- got\n%s", path, r, right, text);
	return false;
}

static size_t check_folder(const char *pattern, int expected)
{
	glob_t found;
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	size_t count = 0, bad = 0;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (strstr(found.gl_pathv[i], ".add.yaml"))
			continue;
		count++;
		bad += !check_file(found.gl_pathv[i], expected);
	}
	globfree(&found);
	assert_int_equal(bad, 0);
	return count;
}

static void broken(void **state)
{
	(void)state;
	assert_true(check_folder("tests/corpus/broken/*.yaml", -EINVAL) >= BROKEN_LEAST);
}

static void warned(void **state)
{
	(void)state;
	assert_true(check_folder("tests/corpus/warned/*.yaml", 0) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(broken), cmocka_unit_test(warned)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
