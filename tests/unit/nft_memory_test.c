/* Out of memory at every single allocation of an observation and of a commit,
 * libnftnl's own among them: an error, nothing half done, nothing in force.
 * The allocator of the C library is replaced here; the sanitizers replace it
 * too, so in their build there is nothing to do. */
#include "../../daemon/kernel/kernel.h"
#include "nft_sample.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool isolated;

static int fresh_namespace(void **context)
{
	(void)context;
	isolated = unshare(CLONE_NEWNET) == 0;
	return 0;
}

#ifndef __SANITIZE_ADDRESS__
static size_t allocations_left = SIZE_MAX;
static bool failed;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static bool refuse(void)
{
	if (allocations_left == SIZE_MAX || allocations_left-- > 0)
		return false;
	allocations_left = SIZE_MAX; /* this one alone */
	failed = true;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return refuse() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return refuse() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	return refuse() ? NULL : __libc_realloc(memory, size);
}

static bool allocation_fails(size_t number)
{
	allocations_left = number;
	failed = false;
	return true;
}

static bool has_failed(void)
{
	allocations_left = SIZE_MAX;
	return failed;
}
#else
static bool allocation_fails(size_t number)
{
	(void)number;
	return false;
}

static bool has_failed(void)
{
	return false;
}
#endif

static void assert_same(const struct state *observed, const struct state *desired)
{
	struct steps steps = {0};
	cleanup_arena struct arena *arena = arena_new();
	assert_int_equal(diff_states(observed, NULL, desired, arena, &steps), 0);
	if (steps.count)
		fail_msg("the kernel holds something else: %.4000s", steps_print(&steps, arena));
}

static void assert_holds(struct kernel *kernel, const struct state *desired)
{
	cleanup_state struct state *observed = NULL;
	assert_int_equal(kernel->ops->observe(kernel, desired, &observed), 0);
	assert_same(observed, desired);
}

/* Applies desired with the number-th allocation failing, from 0 on, until one apply needs fewer. */
static size_t apply_without_memory(struct kernel *kernel, const struct state *former, const struct state *desired)
{
	cleanup_arena struct arena *arena = arena_new();
	for (size_t number = 0;; number++) {
		struct state *observed;
		struct steps steps = {0};
		struct commit_error error = {0};
		assert_int_equal(kernel->ops->observe(kernel, desired, &observed), 0);
		assert_int_equal(diff_states(observed, NULL, desired, arena, &steps), 0);
		allocation_fails(number);
		int rc = kernel->ops->commit(kernel, &steps, &error);
		bool missed = has_failed();
		state_free(&observed);
		if (!missed) {
			assert_int_equal(rc, 0);
			assert_holds(kernel, desired);
			return number;
		}
		assert_int_equal(rc, -ENOMEM);
		assert_int_equal(error.error, -ENOMEM);
		assert_holds(kernel, former);
	}
}

static void a_commit_without_memory_does_nothing(void **context)
{
	(void)context;
	if (!isolated || !allocation_fails(SIZE_MAX))
		skip();
	struct kernel *kernel;
	assert_int_equal(kernel_open(-1, &kernel), 0);
	struct state *state = nft_sample(STATE_HASHED_ABOVE + 1), *none = state_new();
	assert_true(apply_without_memory(kernel, none, state) > 300);
	assert_true(apply_without_memory(kernel, state, none) > 0);
	state_free(&none);
	state_free(&state);
	kernel->ops->close(&kernel);
}

static void an_observation_without_memory_is_an_error(void **context)
{
	(void)context;
	if (!isolated || !allocation_fails(SIZE_MAX))
		skip();
	struct kernel *kernel;
	assert_int_equal(kernel_open(-1, &kernel), 0);
	struct state *state = nft_sample(500), *none = state_new();
	(void)apply_without_memory(kernel, none, state);
	size_t number = 0, survived = 0;
	for (;; number++) {
		struct state *untouched = state, *observed = untouched;
		allocation_fails(number);
		int rc = kernel->ops->observe(kernel, state, &observed);
		bool missed = has_failed();
		if (rc == 0) { /* qsort does without, for instance; then nothing is missing */
			assert_same(observed, state);
			state_free(&observed);
			survived += missed;
		} else {
			assert_int_equal(rc, -ENOMEM);
			assert_ptr_equal(observed, untouched);
		}
		if (!missed)
			break;
	}
	assert_true(number > 200 && survived < number / 10);
	assert_holds(kernel, state);
	for (number = 0;; number++) {
		struct kernel *second = NULL;
		allocation_fails(number);
		int rc = kernel_open(-1, &second);
		if (!has_failed()) {
			assert_int_equal(rc, 0);
			second->ops->close(&second);
			break;
		}
		assert_int_equal(rc, -ENOMEM);
		assert_null(second);
	}
	state_free(&none);
	state_free(&state);
	kernel->ops->close(&kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_commit_without_memory_does_nothing, fresh_namespace),
		cmocka_unit_test_setup(an_observation_without_memory_is_an_error, fresh_namespace),
	};
	return cmocka_run_group_tests_name("nft_memory", tests, NULL, NULL);
}
