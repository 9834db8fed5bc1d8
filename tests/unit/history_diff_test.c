/* The unified diff: known cases to the letter, and random texts, where applying
 * the diff to the one side must give the other. */
#include "../../daemon/history_diff.h"
#include "state_gen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *diff_texts(struct arena *arena, const char *from, const char *to)
{
	struct source_file a = {.name = "edged.yaml", .text = from, .length = strlen(from)};
	struct source_file b = {.name = "edged.yaml", .text = to, .length = strlen(to)};
	const char *text = NULL;
	assert_int_equal(history_diff(&a, 1, &b, 1, arena, &text), 0);
	return text;
}

static void test_known(void **unused)
{
	(void)unused;
	cleanup_arena struct arena *arena = arena_new();
	assert_string_equal(diff_texts(arena, "a\nb\n", "a\nb\n"), "");
	assert_string_equal(diff_texts(arena, "a\nb\nc\n", "a\nx\nc\n"),
			    "--- edged.yaml\n+++ edged.yaml\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
	assert_string_equal(diff_texts(arena, "", "a\n"), "--- edged.yaml\n+++ edged.yaml\n@@ -0,0 +1 @@\n+a\n");
	assert_string_equal(diff_texts(arena, "a\n", "a"),
			    "--- edged.yaml\n+++ edged.yaml\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n");
	assert_string_equal(diff_texts(arena, "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\nnew\n6\n7\n8\n9\n"),
			    "--- edged.yaml\n+++ edged.yaml\n@@ -3,6 +3,7 @@\n 3\n 4\n 5\n+new\n 6\n 7\n 8\n");
	/* Two changes far apart are two hunks, near ones are one. */
	assert_string_equal(diff_texts(arena, "a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n"),
			    "--- edged.yaml\n+++ edged.yaml\n@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n"
			    "@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
	assert_string_equal(diff_texts(arena, "a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n"),
			    "--- edged.yaml\n+++ edged.yaml\n@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
}

static void test_files(void **unused)
{
	(void)unused;
	cleanup_arena struct arena *arena = arena_new();
	enum { LARGE = 1100000 };
	char *large = calloc(1, LARGE);
	memset(large, '\n', LARGE);
	struct source_file from[] = {{"edged.yaml", "a\n", 2, NULL}, {"conf.d/1.yaml", "b\n", 2, NULL}, {"same", "x", 1, NULL},
				     {"large", large, LARGE, NULL}, {"binary", "a\0b", 3, NULL}};
	struct source_file to[] = {{"edged.yaml", "a\n", 2, NULL}, {"same", "x", 1, NULL}, {"conf.d/2.yaml", "c\n", 2, NULL},
				   {"large", large, LARGE - 1, NULL}, {"binary", "a\0c", 3, NULL}};
	const char *text = NULL;
	assert_int_equal(history_diff(from, 5, to, 5, arena, &text), 0);
	assert_string_equal(text, "--- conf.d/1.yaml\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n"
				  "large differs (not shown: too large, or no text)\n"
				  "binary differs (not shown: too large, or no text)\n"
				  "--- /dev/null\n+++ conf.d/2.yaml\n@@ -0,0 +1 @@\n+c\n");
	free(large);
}

/* What a patch program does with one file's diff; returns the new text. */
static char *apply(struct arena *arena, const char *from, const char *diff, size_t *ret_changed)
{
	size_t room = strlen(from) + strlen(diff) + 2, length = 0, line = 1;
	char *to = arena_alloc(arena, room);
	*ret_changed = 0;
	while (strncmp(diff, "@@", 2) != 0 && *diff)
		diff = strchr(diff, '\n') + 1;
	while (*diff) {
		size_t next = strlen(diff);
		const char *end = strchr(diff, '\n');
		if (end)
			next = (size_t)(end - diff) + 1;
		if (*diff == '@') {
			size_t start, count = 1;
			assert_true(sscanf(diff, "@@ -%zu,%zu", &start, &count) >= 1);
			start += count == 0; /* an empty range is named by the line before it */
			for (; line < start; line++) {
				size_t keep = strcspn(from, "\n") + 1;
				memcpy(to + length, from, keep);
				length += keep;
				from += keep;
			}
		} else if (*diff == '\\') {
			fail_msg("no such line in this test");
		} else {
			*ret_changed += *diff != ' ';
			if (*diff != '+') {
				assert_memory_equal(from, diff + 1, next - 1);
				from += next - 1;
				line++;
			}
			if (*diff != '-') {
				memcpy(to + length, diff + 1, next - 1);
				length += next - 1;
			}
		}
		diff += next;
	}
	strcpy(to + length, from);
	return to;
}

static char *random_text(struct arena *arena, uint64_t *seed, size_t lines, unsigned alphabet)
{
	char *text = arena_alloc(arena, lines * 4 + 1);
	for (size_t i = 0, at = 0; i < lines; i++)
		at += (size_t)sprintf(text + at, "%u\n", random_next(seed) % alphabet);
	return text;
}

/* The length of the longest common subsequence by the book, for the smallest possible diff. */
static size_t smallest(const char *a, const char *b)
{
	enum { MOST = 64 };
	static size_t table[MOST + 1][MOST + 1];
	const char *x[MOST], *y[MOST];
	size_t n = 0, m = 0;
	for (const char *at = a; *at; at = strchr(at, '\n') + 1)
		x[n++] = at;
	for (const char *at = b; *at; at = strchr(at, '\n') + 1)
		y[m++] = at;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			size_t length = strcspn(x[i - 1], "\n") + 1;
			bool same = strncmp(x[i - 1], y[j - 1], length) == 0;
			size_t skip = table[i - 1][j] > table[i][j - 1] ? table[i - 1][j] : table[i][j - 1];
			table[i][j] = same ? table[i - 1][j - 1] + 1 : skip;
		}
	}
	return n + m - 2 * table[n][m];
}

static void test_random(void **unused)
{
	(void)unused;
	uint64_t seed = 77;
	for (unsigned i = 0; i < 3000; i++) {
		cleanup_arena struct arena *arena = arena_new();
		unsigned alphabet = random_next(&seed) % 12 + 1;
		const char *from = random_text(arena, &seed, random_next(&seed) % 50, alphabet);
		const char *to = random_text(arena, &seed, random_next(&seed) % 50, alphabet);
		size_t changed;
		const char *diff = diff_texts(arena, from, to);
		assert_string_equal(apply(arena, from, diff, &changed), to);
		assert_int_equal(changed, smallest(from, to));
	}
}

/* More differences than are looked at one by one: still right, if not the smallest. */
static void test_bounded(void **unused)
{
	(void)unused;
	uint64_t seed = 78;
	cleanup_arena struct arena *arena = arena_new();
	const char *from = random_text(arena, &seed, 15000, 1000), *to = random_text(arena, &seed, 15000, 1000);
	size_t changed;
	assert_string_equal(apply(arena, from, diff_texts(arena, from, to), &changed), to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
