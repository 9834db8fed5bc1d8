/* Text bytes: what is refused as no UTF-8 text, and that the numbers of
 * characters become the right offsets, lines and columns, in any order of
 * asking. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../rules/text/bytes.h"

static void refused(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t length, offset;
	} cases[] = {
		{"a\0b", 3, 1},
		{"ab\x80", 3, 2},
		{"\xc3", 1, 0},
		{"\xc1\x81", 2, 0},
		{"\xe0\x80\x80", 3, 0},
		{"\xed\xa0\x80", 3, 0},
		{"\xf4\x90\x80\x80", 4, 0},
		{"\xf8\x88\x80\x80\x80", 5, 0},
		{"a\rb", 3, 1},
		{"a\r", 2, 1},
		{"\x7f", 1, 0},
		{"\xc2\x85", 2, 0},
		{"\xef\xbf\xbf", 3, 0},
		{"\xf0\x9f\xbf\xbe", 4, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t offset = 99;
		const char *why = NULL;
		assert_int_equal(bytes_check(cases[i].text, cases[i].length, &offset, &why), -EINVAL);
		assert_int_equal(offset, cases[i].offset);
		assert_non_null(why);
	}
	static const char fine[] = "a\tb\r\n\xc3\xb6 \xe2\x82\xac \xf0\x9f\x98\x80\n";
	size_t offset;
	const char *why;
	assert_int_equal(bytes_check(fine, sizeof(fine) - 1, &offset, &why), 0);
}

/* The offset of each character, against counting them one by one. */
static void offsets(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	char text[3000];
	size_t length = 0, starts[3000], count = 0;
	while (length < sizeof(text) - 4) {
		static const char *const characters[] = {"a", "\xc3\xb6", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "b"};
		const char *character = characters[count % 5];
		starts[count++] = length;
		memcpy(text + length, character, strlen(character));
		length += strlen(character);
	}
	struct bytes_index index;
	assert_int_equal(bytes_index_init(&index, arena, text, length), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(bytes_offset(&index, i), starts[i]);
	assert_int_equal(bytes_offset(&index, count), length);
	assert_int_equal(bytes_offset(&index, count + 1000), length);
}

static void places(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	static const char text[] = "ab\n\ncd";
	static const uint32_t lines[] = {1, 1, 1, 2, 3, 3, 3}, columns[] = {1, 2, 3, 1, 1, 2, 3};
	struct bytes_index index;
	uint32_t line, column;
	assert_int_equal(bytes_index_init(&index, arena, text, 6), 0);
	for (size_t round = 0; round < 2; round++)
		for (size_t i = 0; i <= 6; i++) {
			size_t at = round ? 6 - i : i;
			bytes_place(&index, at, &line, &column);
			assert_int_equal(line, lines[at]);
			assert_int_equal(column, columns[at]);
		}
}

static void shown(void **state)
{
	(void)state;
	char text[200];
	memset(text, 'a', sizeof(text));
	text[199] = '\0';
	assert_int_equal(bytes_shown(text), 60);
	memcpy(text + 59, "\xc3\xb6", 2);
	assert_int_equal(bytes_shown(text), 59);
	assert_int_equal(bytes_shown("abc"), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(offsets),
		cmocka_unit_test(places),
		cmocka_unit_test(shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
