/* The string map: it keeps the first value of a key, finds nothing in an empty
 * or missing map, and holds on to thousands of names while it grows from its
 * first size. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../rules/base/strmap.h"

static void keeps_the_first(void **state)
{
	(void)state;
	int one, two;
	cleanup_arena struct arena *arena = arena_new();
	struct strmap *map = strmap_new(arena);
	assert_int_equal(strmap_put(map, "a", &one), 0);
	assert_int_equal(strmap_put(map, "a", &two), -EEXIST);
	assert_ptr_equal(strmap_get(map, "a"), &one);
	assert_null(strmap_get(map, "b"));
	assert_null(strmap_get(NULL, "a"));
}

static void grows(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct strmap *map = strmap_new(arena);
	char *names[5000];
	for (int i = 0; i < 5000; i++) {
		names[i] = arena_printf(arena, "name-%d", i);
		assert_int_equal(strmap_put(map, names[i], names[i]), 0);
	}
	for (int i = 0; i < 5000; i++)
		assert_ptr_equal(strmap_get(map, arena_printf(arena, "name-%d", i)), names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_the_first), cmocka_unit_test(grows)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
