/* A long walk from one random ruleset to the next on a real kernel, in a
 * namespace of its own: each commit is all or nothing, what was read back in
 * part is what is there, and a second diff has nothing to do. */
#include "../../daemon/kernel/kernel.h"
#include "state_gen.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WALK 400

static bool isolated;

static int fresh_namespace(void **context)
{
	(void)context;
	isolated = unshare(CLONE_NEWNET) == 0;
	return 0;
}

/* The generator does not know what a kernel takes: no masquerading in a filter chain, no parameters that do not exist,
 * no keys from registers that were not loaded, no dynamic sets without bound; and elements shall outlive the test. */
static struct state *state_for_kernel(const struct genome *genome, bool owner)
{
	struct state *state = genome_state(genome);
	state->sysctl_count = 0;
	state->owner = state->owner && owner;
	for (size_t c = 0; c < state->chain_count; c++) {
		for (size_t r = 0; r < state->chains[c].rule_count; r++) {
			struct expr *exprs = (struct expr *)(uintptr_t)state->chains[c].rules[r].exprs;
			for (size_t e = 0; e < state->chains[c].rules[r].expr_count; e++) {
				if (exprs[e].kind == EXPR_MASQUERADE)
					exprs[e] = (struct expr){.kind = EXPR_META, .meta = {META_L4PROTO, 5}};
				if (exprs[e].kind == EXPR_PAYLOAD)
					exprs[e].payload.length = 8;
			}
		}
	}
	for (size_t s = 0; s < state->set_count; s++) {
		if (state->sets[s].dynamic)
			state->sets[s].size = 1000 + state->sets[s].at.line % 2;
		struct element *elements = (struct element *)(uintptr_t)state->sets[s].elements;
		for (size_t e = 0; e < state->sets[s].element_count; e++)
			elements[e].timeout_ms *= 3600;
	}
	return state;
}

struct walker {
	struct kernel *kernel;
	struct state *applied, *seen; /* what is in force, and what was last read, in parts */
	size_t good, refused;
};

static void assert_same(const struct state *a, const struct state *known, const struct state *b, const char *what)
{
	struct steps steps = {0};
	cleanup_arena struct arena *arena = arena_new();
	assert_int_equal(diff_states(a, known, b, arena, &steps), 0);
	if (steps.count)
		fail_msg("%s:\n%s", what, steps_print(&steps, arena));
}

static struct state *observe(struct walker *walker)
{
	struct state *state;
	assert_int_equal(walker->kernel->ops->observe(walker->kernel, NULL, &state), 0);
	return state;
}

/* The order of rules, and their handles, must be known as well as if all had been read. */
static void assert_seen_is_true(struct walker *walker)
{
	cleanup_state struct state *all = observe(walker);
	assert_int_equal(all->present, walker->seen->present);
	assert_int_equal(all->chain_count, walker->seen->chain_count);
	assert_int_equal(all->set_count, walker->seen->set_count);
	assert_int_equal(all->counter_count, walker->seen->counter_count);
	assert_int_equal(all->owner, walker->seen->owner);
	for (size_t c = 0; c < all->chain_count; c++) {
		const struct chain *a = &all->chains[c], *b = &walker->seen->chains[c];
		assert_true(chain_definition_equal(a, b));
		assert_int_equal(a->rule_count, b->rule_count);
		for (size_t r = 0; r < a->rule_count; r++) {
			assert_int_equal(a->rules[r].handle, b->rules[r].handle);
			assert_true(rule_equal(&a->rules[r], &b->rules[r]));
		}
	}
	assert_same(all, walker->applied, walker->applied, "what is there is not what was applied");
}

static void step_to(struct walker *walker, struct state *desired)
{
	struct steps steps = {0};
	struct commit_error error = {0};
	cleanup_arena struct arena *arena = arena_new();
	assert_int_equal(diff_states(walker->seen, walker->applied, desired, arena, &steps), 0);
	int rc = steps.count ? walker->kernel->ops->commit(walker->kernel, &steps, &error) : 0;
	if (rc < 0) {
		/* Chains that jump to each other through a map: the generator may make those. */
		if (rc != -ELOOP && rc != -EMLINK)
			fail_msg("%d, %s, step %td of %zu, %s", rc, error.what, error.step ? error.step - steps.items : -1,
				 steps.count, error.step ? step_names[error.step->kind] : "none");
		walker->refused++;
		state_free(&desired);
		assert_seen_is_true(walker);
		return;
	}
	walker->good++;
	rc = walker->kernel->ops->observe_touched(walker->kernel, &steps, NULL, &walker->seen);
	assert_true(rc == 0 || rc == -ERESTART);
	if (rc == -ERESTART) {
		state_free(&walker->seen);
		walker->seen = observe(walker);
	}
	assert_same(walker->seen, desired, desired, "what was read in part is not what was applied");
	state_free(&walker->applied);
	walker->applied = desired;
	assert_seen_is_true(walker);
}

static void walks_between_random_rulesets(void **context)
{
	(void)context;
	if (!isolated)
		skip();
	uint64_t seed = 20240229;
	struct walker walker = {.applied = state_new()};
	assert_non_null(walker.applied);
	assert_int_equal(kernel_open(-1, &walker.kernel), 0);
	bool owner = kernel_has_owner_persist(walker.kernel);
	walker.seen = observe(&walker);
	struct genome genome = genome_random(&seed);
	for (int i = 0; i < WALK; i++) {
		if (i % 40 == 39)
			genome = genome_random(&seed);
		else
			genome_mutate(&genome, &seed, 1 + (unsigned)i % 7);
		step_to(&walker, state_for_kernel(&genome, owner));
	}
	print_message("# %zu commits, %zu refused\n", walker.good, walker.refused);
	assert_true(walker.good > WALK / 2);
	state_free(&walker.applied);
	state_free(&walker.seen);
	walker.kernel->ops->close(&walker.kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(walks_between_random_rulesets, fresh_namespace),
	};
	return cmocka_run_group_tests_name("nft_random", tests, NULL, NULL);
}
