/* Blocklists: lines, merging, sharing between models. Texts are in memory; no
 * file is opened. The large ones are made here, and bound what a load may cost
 * in memory, not in time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model_help.h"

static const char yaml[] = "version: 1\n"
			   "interfaces: { wan: ens3 }\n"
			   "management: { from: 198.51.100.0/24, reason: r }\n"
			   "blocklists: { a: { file: a.txt } }\n";

/* A model with this list; NULL when it was refused, with the diagnostics in *ret_text. */
static struct model *load(struct arena *arena, const char *list, size_t length, const struct model *previous,
			  char **ret_text)
{
	const struct source_file files[] = {{"f.yaml", yaml, sizeof(yaml) - 1, NULL}, {"a.txt", list, length, NULL}};
	struct model *model = NULL;
	test_load(arena, &(struct test_files){.files = files, .main = 1, .count = 2}, previous, ret_text, &model);
	return model;
}

/* The ranges as text: "first-last ...". */
static char *ranges_of(struct arena *arena, const struct model *model)
{
	char *text = arena_strdup(arena, ""), first[ADDR_TEXT_MAX], last[ADDR_TEXT_MAX];
	const struct blocklist *list = &model->blocklists[0];
	for (size_t i = 0; i < list->range_count; i++)
		text = arena_printf(arena, "%s%s%s-%s", text, i ? " " : "", addr_format(&list->ranges[i].first, first),
				    addr_format(&list->ranges[i].last, last));
	return text;
}

static void lines(void **state)
{
	(void)state;
	static const struct {
		const char *list, *ranges;
	} cases[] = {
		{"", ""},
		{"# nothing\n\n   \n\t# at all", ""},
		{"192.0.2.1", "192.0.2.1-192.0.2.1"},
		{"  192.0.2.0/30 # four\r\n192.0.2.9\t\n", "192.0.2.0-192.0.2.3 192.0.2.9-192.0.2.9"},
		{"192.0.2.1\n192.0.2.0\n192.0.2.2/31\n", "192.0.2.0-192.0.2.3"},
		{"192.0.2.128/25\n192.0.2.0/24\n192.0.2.7\n", "192.0.2.0-192.0.2.255"},
		{"192.0.2.0/25\n192.0.2.0/24\n", "192.0.2.0-192.0.2.255"},
		{"255.255.255.255\n255.255.255.254\n0.0.0.0/1\n", "0.0.0.0-127.255.255.255 "
								  "255.255.255.254-255.255.255.255"},
		{"2001:db8::1\n198.51.100.1\n2001:db8::\n", "198.51.100.1-198.51.100.1 2001:db8::-2001:db8::1"},
	};
	cleanup_arena struct arena *arena = arena_new();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text;
		cleanup_model struct model *model = load(arena, cases[i].list, strlen(cases[i].list), NULL, &text);
		assert_non_null(model);
		assert_string_equal(ranges_of(arena, model), cases[i].ranges);
	}
}

/* Bytes that are no text are refused, and not passed on in the message. */
static void hostile_bytes(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	char *text;
	assert_null(load(arena, "192.0.2.1\0\n", 11, NULL, &text));
	assert_non_null(strstr(text, "a.txt:1:1: blocklists.a: \"192.0.2.1\" is not an address"));
	assert_null(load(arena, "\x1b[31m\xff\n", 7, NULL, &text));
	assert_null(strchr(text, '\x1b'));
	assert_null(strchr(text, '\xff'));
}

static int compare(const void *left, const void *right)
{
	const uint32_t *a = left, *b = right;
	return *a < *b ? -1 : *a > *b;
}

/* Many single addresses, against sorting and merging the simple way. */
static void many(void **state)
{
	(void)state;
	enum { COUNT = 50000 };
	cleanup_arena struct arena *arena = arena_new();
	uint32_t *numbers = arena_array(arena, COUNT, uint32_t);
	char *list = arena_alloc(arena, COUNT * 16), *end = list, *text;
	unsigned seed = 1;
	for (size_t i = 0; i < COUNT; i++) {
		/* Few enough values that many are neighbours or the same. */
		uint32_t n = numbers[i] = 0xc6336400u + ((uint32_t)rand_r(&seed) & 0x1ffff) * (i % 3 ? 1 : 65521u);
		end += sprintf(end, "%u.%u.%u.%u\n", n >> 24, n >> 16 & 255, n >> 8 & 255, n & 255);
	}
	cleanup_model struct model *model = load(arena, list, (size_t)(end - list), NULL, &text);
	assert_non_null(model);
	qsort(numbers, COUNT, sizeof(*numbers), compare);
	size_t at = 0;
	for (size_t i = 0; i < model->blocklists[0].range_count; i++) {
		const struct addr_range *range = &model->blocklists[0].ranges[i];
		uint32_t first = numbers[at], last = first;
		while (at < COUNT && numbers[at] <= last + 1)
			last = numbers[at++];
		const uint8_t first_bytes[] = {(uint8_t)(first >> 24), (uint8_t)(first >> 16), (uint8_t)(first >> 8),
					       (uint8_t)first};
		const uint8_t last_bytes[] = {(uint8_t)(last >> 24), (uint8_t)(last >> 16), (uint8_t)(last >> 8),
					      (uint8_t)last};
		assert_memory_equal(range->first.bytes, first_bytes, 4);
		assert_memory_equal(range->last.bytes, last_bytes, 4);
	}
	assert_int_equal(at, COUNT);
}

/* The same bytes are parsed once, and live as long as the last model that has them. */
static void shared(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	static const char list[] = "192.0.2.1\n", other[] = "192.0.2.2\n";
	char *text;
	struct model *first = load(arena, list, sizeof(list) - 1, NULL, &text);
	cleanup_model struct model *second = load(arena, list, sizeof(list) - 1, first, &text);
	cleanup_model struct model *third = load(arena, other, sizeof(other) - 1, second, &text);
	assert_ptr_equal(first->blocklists[0].ranges, second->blocklists[0].ranges);
	assert_ptr_not_equal(second->blocklists[0].ranges, third->blocklists[0].ranges);
	model_free(&first);
	assert_string_equal(ranges_of(arena, second), "192.0.2.1-192.0.2.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(hostile_bytes),
					   cmocka_unit_test(many), cmocka_unit_test(shared)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
