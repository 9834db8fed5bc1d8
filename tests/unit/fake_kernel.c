/* The fake kernel: a working copy of the held state per commit, steps applied
 * to it one by one (fake_apply.c), and the copy takes the place of what was
 * held only when all went well. */
#include "fake_kernel.h"
#include "fake_apply.h"
#include "state_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fake {
	struct kernel kernel; /* first: what others see */
	struct state *held;
	uint64_t last_handle;
	uint32_t generation;
	size_t fail_step, commits, steps;
	int fail_error, fail_observe;
};

static struct fake *fake_of(const struct kernel *kernel)
{
	return (struct fake *)(uintptr_t)kernel;
}

static int fake_commit(struct kernel *kernel, const struct steps *steps, struct commit_error *ret_error)
{
	struct fake *fake = fake_of(kernel);
	cleanup_state struct state *work = state_copy(fake->held);
	size_t fail_step = fake->fail_step;
	fake->fail_step = 0;
	for (size_t i = 0; i < steps->count; i++) {
		int r = i + 1 == fail_step ? fake->fail_error : fake_apply(work, &steps->items[i], &fake->last_handle);
		if (r < 0) {
			*ret_error = (struct commit_error){
				.error = r, .step = &steps->items[i], .what = "the fake kernel refused it"};
			return r;
		}
	}
	state_free(&fake->held);
	fake->held = work;
	work = NULL;
	fake->generation++;
	fake->commits++;
	fake->steps += steps->count;
	return 0;
}

static bool named_by(const struct state *like, const char *sysctl)
{
	for (size_t i = 0; like && i < like->sysctl_count; i++) {
		if (strcmp(like->sysctls[i].name, sysctl) == 0)
			return true;
	}
	return false;
}

static int fake_observe(struct kernel *kernel, const struct state *like, struct state **ret_state)
{
	struct fake *fake = fake_of(kernel);
	int error = fake->fail_observe;
	fake->fail_observe = 0;
	if (error < 0)
		return error;
	struct state *state = state_copy(fake->held);
	size_t kept = 0;
	for (size_t i = 0; i < state->sysctl_count; i++) {
		if (named_by(like, state->sysctls[i].name))
			state->sysctls[kept++] = state->sysctls[i];
	}
	state->sysctl_count = kept;
	for (size_t i = 0; i < state->set_count; i++) {
		if (state->sets[i].dynamic)
			state->sets[i].element_count = 0;
		if (fake_has_hash(&state->sets[i]))
			state->sets[i].range_count = 0;
	}
	*ret_state = state;
	return 0;
}

static int fake_generation(struct kernel *kernel, uint32_t *ret_generation)
{
	*ret_generation = fake_of(kernel)->generation;
	return 0;
}

static int fake_counters(struct kernel *kernel, struct arena *arena, struct counter_value **ret_values, size_t *ret_count)
{
	const struct state *held = fake_of(kernel)->held;
	struct counter_value *values = arena_array(arena, held->counter_count, struct counter_value);
	if (!values)
		return -ENOMEM;
	for (size_t i = 0; i < held->counter_count; i++)
		values[i].name = copy_text(arena, held->counters[i].name);
	*ret_values = values;
	*ret_count = held->counter_count;
	return 0;
}

static struct addr element_addr(const struct set *set, const struct element *element)
{
	struct addr addr = {.family = set->key[0] == FIELD_IPV6 ? FAMILY_V6 : FAMILY_V4};
	memcpy(addr.bytes, element->key, addr_size(addr.family));
	return addr;
}

static int fake_dynamic_elements(struct kernel *kernel, const char *name, struct arena *arena,
				 struct dynamic_element **ret_elements, size_t *ret_count)
{
	const struct set *set = state_set(fake_of(kernel)->held, name);
	if (!set || !set->dynamic)
		return -ENOENT;
	struct dynamic_element *elements = arena_array(arena, set->element_count, struct dynamic_element);
	if (!elements)
		return -ENOMEM;
	for (size_t i = 0; i < set->element_count; i++)
		elements[i] = (struct dynamic_element){.addr = element_addr(set, &set->elements[i]),
						       .expires_ms = set->timeout_ms};
	*ret_elements = elements;
	*ret_count = set->element_count;
	return 0;
}

static int fake_dynamic_remove(struct kernel *kernel, const struct set *set, const struct addr *addr)
{
	return fake_dynamic(fake_of(kernel)->held, set->name, addr, false);
}

static void fake_close(struct kernel **kernel)
{
	if (!kernel || !*kernel)
		return;
	struct fake *fake = fake_of(*kernel);
	state_free(&fake->held);
	free(fake);
	*kernel = NULL;
}

static const struct kernel_ops operations = {
	.observe = fake_observe,
	.commit = fake_commit,
	.generation = fake_generation,
	.counters = fake_counters,
	.dynamic_elements = fake_dynamic_elements,
	.dynamic_remove = fake_dynamic_remove,
	.close = fake_close,
};

struct kernel *fake_kernel_new(void)
{
	struct fake *fake = calloc(1, sizeof(*fake));
	if (!fake || !(fake->held = state_new()))
		abort();
	fake->kernel.ops = &operations;
	return &fake->kernel;
}

const struct state *fake_kernel_state(const struct kernel *kernel)
{
	return fake_of(kernel)->held;
}

void fake_kernel_put(struct kernel *kernel, const struct state *state)
{
	struct fake *fake = fake_of(kernel);
	state_free(&fake->held);
	fake->held = state_copy(state);
	for (size_t i = 0; i < fake->held->chain_count; i++) {
		struct chain *chain = &fake->held->chains[i];
		chain->handle = ++fake->last_handle;
		for (size_t r = 0; r < chain->rule_count; r++)
			((struct rule_state *)(uintptr_t)chain->rules)[r].handle = ++fake->last_handle;
	}
	for (size_t i = 0; i < fake->held->set_count; i++)
		fake->held->sets[i].handle = ++fake->last_handle;
	fake->generation++;
}

void fake_kernel_fail_at(struct kernel *kernel, size_t step, int error)
{
	fake_of(kernel)->fail_step = step;
	fake_of(kernel)->fail_error = error;
}

void fake_kernel_fail_observe(struct kernel *kernel, int error)
{
	fake_of(kernel)->fail_observe = error;
}

int fake_kernel_packet(struct kernel *kernel, const char *name, const struct addr *addr)
{
	return fake_dynamic(fake_of(kernel)->held, name, addr, true);
}

size_t fake_kernel_commits(const struct kernel *kernel)
{
	return fake_of(kernel)->commits;
}

size_t fake_kernel_steps(const struct kernel *kernel)
{
	return fake_of(kernel)->steps;
}
