/* Out of memory at every allocation of a diff and of printing: an error, and
 * nothing else. The arena is compiled into this program with an allocator that
 * ends; what is put into the arena before moves the end from one allocation to
 * the next. */
#include <stdint.h>
#include <stdlib.h>

static size_t allocations_left = SIZE_MAX;

static void *test_calloc(size_t count, size_t size)
{
	return allocations_left ? allocations_left--, calloc(count, size) : NULL;
}

#define calloc test_calloc
#include "../../rules/base/arena.c"
#undef calloc

#include "../../rules/state/diff.h"
#include "state_gen.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct arena *arena_with_end(size_t used, size_t blocks)
{
	struct arena *arena = arena_new();
	assert_non_null(arena_alloc(arena, used));
	allocations_left = blocks;
	return arena;
}

static void test_no_memory(void **unused)
{
	(void)unused;
	uint64_t seed = 5;
	struct genome genome = genome_random(&seed);
	genome.present = genome.owner = 1;
	cleanup_state struct state *a = genome_state(&genome);
	genome_mutate(&genome, &seed, 40);
	genome.present = 1;
	cleanup_state struct state *b = genome_state(&genome);
	size_t failed = 0, done = 0, unprinted = 0;
	for (size_t blocks = 0; blocks < 6; blocks++) {
		for (size_t used = 0; used < 4096; used += 16) {
			cleanup_arena struct arena *arena = arena_with_end(used, blocks);
			struct steps steps = {.count = 4711};
			int r = diff_states(a, NULL, b, arena, &steps);
			if (r < 0) {
				assert_int_equal(r, -ENOMEM);
				assert_int_equal(steps.count, 4711);
				failed++;
			} else {
				assert_true(steps.count > 10);
				done++;
				unprinted += !steps_print(&steps, arena) || !state_print(b, arena);
			}
			allocations_left = SIZE_MAX;
		}
	}
	assert_true(failed > 300);
	assert_true(done > 100);
	assert_true(unprinted > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_memory)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
