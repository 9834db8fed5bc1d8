/* edgectl's text, tables and diffs: nothing harmful reaches a terminal, columns
 * stay straight. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../cli/cli.h"
#include "../../cli/line_diff.h"
#include "../../cli/table.h"
#include "../../cli/text.h"

static void escapes_what_a_terminal_obeys(void **state)
{
	(void)state;
	static const struct { const char *in, *line, *block; } cases[] = {
		{"plain text", "plain text", "plain text"},
		{"", "", ""},
		{"\033[2J", "\\x1b[2J", "\\x1b[2J"},
		{"a\nb\tc\r\nd", "a\\x0ab\\x09c\\x0d\\x0ad", "a\nb\tc\r\nd"},
		{"over\rwritten", "over\\x0dwritten", "over\\x0dwritten"},
		{"\x7f\b", "\\x7f\\x08", "\\x7f\\x08"},
		{"Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x94\xa5", "Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x94\xa5",
		 "Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x94\xa5"},
		{"\xc2\x9b" "31m", "\\u{9b}31m", "\\u{9b}31m"},             /* C1 as UTF-8 */
		{"\x9b" "31m", "\\x9b31m", "\\x9b31m"},                     /* C1 as a byte */
		{"\xe2\x80\xaeoiram", "\\u{202e}oiram", "\\u{202e}oiram"},  /* right to left override */
		{"\xc0\xaf", "\\xc0\\xaf", "\\xc0\\xaf"},                   /* overlong */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80"},     /* a surrogate */
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
		{"cut \xe2\x82", "cut \\xe2\\x82", "cut \\xe2\\x82"},
		{"\xff\xfe", "\\xff\\xfe", "\\xff\\xfe"},
	};
	cleanup_arena struct arena *arena = arena_new();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_string_equal(text_line(arena, cases[i].in), cases[i].line);
		assert_string_equal(text_block(arena, cases[i].in), cases[i].block);
	}
}

/* Every text of two bytes: what comes out has no control character and is valid UTF-8, so escaping it again changes nothing. */
static void escapes_every_pair_of_bytes(void **state)
{
	(void)state;
	for (int a = 1; a < 256; a++) {
		cleanup_arena struct arena *arena = arena_new();
		for (int b = 1; b < 256; b++) {
			const char text[] = {(char)a, (char)b, 0};
			char *safe = text_line(arena, text);
			for (const char *p = safe; *p; p++)
				assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
			assert_string_equal(text_line(arena, safe), safe);
		}
	}
}

static void measures_characters(void **state)
{
	(void)state;
	assert_int_equal(text_width(""), 0);
	assert_int_equal(text_width("Gr\xc3\xbc\xc3\x9f" "e"), 5);
	assert_int_equal(text_width("\xf0\x9f\x94\xa5"), 1);
}

static void reads_and_prints_times(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	time_t time;
	assert_int_equal(text_parse_time("1970-01-02T00:00:01Z", &time), 0);
	assert_int_equal(time, 86401);
	assert_int_equal(text_parse_time("2025-03-01T12:30:00.123Z", &time), 0);
	assert_int_equal(text_parse_time("2025-03-01T12:30:00+00:00", &time), 0);
	static const char *const wrong[] = {"", "x", "2025-03-01", "2025-03-01T12:30:00", "2025-03-01T12:30:00+01:00",
					    "2025-13-01T12:30:00Z", "2025-03-01T12:30:00Zx"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(text_parse_time(wrong[i], &time), -EINVAL);
	assert_string_equal(text_time(arena, "2025-03-01T12:30:00Z"), "2025-03-01 12:30:00");
	assert_string_equal(text_time(arena, "soon\033"), "soon\\x1b");
	assert_string_equal(text_age(arena, -5), "0 s");
	assert_string_equal(text_age(arena, 119), "119 s");
	assert_string_equal(text_age(arena, 120), "2 min");
	assert_string_equal(text_age(arena, 7200), "2 h");
	assert_string_equal(text_age(arena, 200000), "2 days");
	assert_string_equal(text_age(arena, INT64_MAX), "106751991167300 days");
}

static void prints_bytes(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	assert_string_equal(text_bytes(arena, 0), "0 B");
	assert_string_equal(text_bytes(arena, -1), "0 B");
	assert_string_equal(text_bytes(arena, 1023), "1023 B");
	assert_string_equal(text_bytes(arena, 1536), "1.5 KiB");
	assert_string_equal(text_bytes(arena, INT64_MAX), "8192.0 PiB");
}

static struct cli cli_on(struct arena *arena, FILE *out)
{
	return (struct cli){.arena = arena, .out = out, .err = out};
}

static void aligns_tables(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	struct cli cli = cli_on(arena, out);
	struct table *table = table_new(&cli);
	table_column(table, "name", ALIGN_LEFT);
	table_column(table, "n", ALIGN_RIGHT);
	table_column(table, "why", ALIGN_LEFT);
	table_cell(table, TONE_PLAIN, "\xc3\xbc-web\033");
	table_cellf(table, TONE_PLAIN, "%d", 17);
	table_cell(table, TONE_PLAIN, "");
	table_cell(table, TONE_GOOD, "a");
	table_print(table, "none");
	fclose(out);
	assert_string_equal(text, "name        n  why\n"
				  "\xc3\xbc-web\\x1b  17  -\n"
				  "a           -  -\n");
	free(text);
}

static void colours_do_not_move_columns(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	struct cli cli = cli_on(arena, out);
	cli.color = true;
	struct table *table = table_new(&cli);
	table_column(table, "a", ALIGN_LEFT);
	table_column(table, "b", ALIGN_LEFT);
	table_cell(table, TONE_BAD, "x");
	table_cell(table, TONE_PLAIN, "y");
	table_print(table, "none");
	fclose(out);
	assert_string_equal(text, "\033[1ma\033[0m  \033[1mb\033[0m\n\033[1;31mx\033[0m  y\n");
	free(text);
}

static void says_when_a_table_is_empty(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	struct cli cli = cli_on(arena, out);
	struct table *table = table_new(&cli);
	table_column(table, "a", ALIGN_LEFT);
	table_print(table, "nobody is banned");
	fclose(out);
	assert_string_equal(text, "(nobody is banned)\n");
	free(text);
}

static void diffs_one_place(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	static const char before[] = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
	assert_string_equal(line_diff(arena, "f", before, before), "");
	assert_string_equal(line_diff(arena, "f", before, "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
			    "--- f\n+++ f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
	assert_string_equal(line_diff(arena, "f", "a\n", "a\nb\n"), "--- f\n+++ f\n@@ -1,1 +1,2 @@\n a\n+b\n");
	assert_string_equal(line_diff(arena, "f", "a\nb\n", "b\n"), "--- f\n+++ f\n@@ -1,2 +1,1 @@\n-a\n b\n");
	assert_string_equal(line_diff(arena, "f", "", "a\n"), "--- f\n+++ f\n@@ -0,0 +1,1 @@\n+a\n");
	assert_string_equal(line_diff(arena, "f", "a", "a\n"), "--- f\n+++ f\n@@ -1,1 +1,1 @@\n-a\n+a\n");
	/* The same line twice: head and tail must not count it both times. */
	assert_string_equal(line_diff(arena, "f", "x\n", "x\nx\n"), "--- f\n+++ f\n@@ -1,1 +1,2 @@\n x\n+x\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_what_a_terminal_obeys), cmocka_unit_test(escapes_every_pair_of_bytes),
		cmocka_unit_test(measures_characters), cmocka_unit_test(reads_and_prints_times),
		cmocka_unit_test(prints_bytes), cmocka_unit_test(aligns_tables),
		cmocka_unit_test(colours_do_not_move_columns), cmocka_unit_test(says_when_a_table_is_empty),
		cmocka_unit_test(diffs_one_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
