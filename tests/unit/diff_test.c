/* The diff's properties, on random states and a strict fake kernel: the steps
 * from a to b give b, none of them breaks a reference on the way, a failure at
 * any step leaves a, what is the same is not touched, and a second diff is
 * empty. Then what random states cannot show: sizes, hashes, table flags. */
#include "../../rules/state/diff.h"
#include "fake_kernel.h"
#include "state_copy.h"
#include "state_gen.h"
#include "hash_ranges.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define cleanup_kernel __attribute__((cleanup(kernel_close)))
#define RANDOM_PAIRS 3000

static void kernel_close(struct kernel **kernel)
{
	if (*kernel)
		(*kernel)->ops->close(kernel);
}

static struct state *observe(struct kernel *kernel, const struct state *like)
{
	struct state *state = NULL;
	assert_int_equal(kernel->ops->observe(kernel, like, &state), 0);
	return state;
}

/* Steps from what kernel holds to desired; states and steps live until the arena goes. */
static struct steps steps_to(struct kernel *kernel, const struct state *known, const struct state *desired,
			     struct state **observed, struct arena *arena)
{
	struct steps steps = {0};
	*observed = observe(kernel, desired);
	assert_int_equal(diff_states(*observed, known, desired, arena, &steps), 0);
	for (size_t i = 1; i < steps.count; i++)
		assert_true(steps.items[i - 1].kind <= steps.items[i].kind);
	return steps;
}

/* Bring kernel to desired; returns how many steps that took. */
static size_t reach(struct kernel *kernel, const struct state *known, const struct state *desired)
{
	cleanup_arena struct arena *arena = arena_new();
	cleanup_state struct state *observed = NULL, *after = NULL;
	struct commit_error error = {0};
	struct steps steps = steps_to(kernel, known, desired, &observed, arena);
	if (kernel->ops->commit(kernel, &steps, &error) < 0) {
		struct steps one = {.items = (struct step *)(uintptr_t)error.step, .count = 1};
		fail_msg("%s: %s", strerror(-error.error), steps_print(&one, arena));
	}
	after = observe(kernel, desired);
	struct state wanted = *desired;
	wanted.owner |= observed->owner && observed->present && desired->present; /* an owner is kept */
	const char *difference = state_difference(after, &wanted, arena);
	if (difference)
		fail_msg("%s\n%s\nis not\n%s\nsteps\n%s", difference, state_print(after, arena),
			 state_print(desired, arena), steps_print(&steps, arena));
	struct steps again = {0};
	assert_int_equal(diff_states(after, known, desired, arena, &again), 0);
	if (again.count)
		fail_msg("not empty the second time:\n%s", steps_print(&again, arena));
	return steps.count;
}

/* Nothing may come of a commit that fails, at whichever step it does. */
static void fail_at_every_step(struct kernel *kernel, const struct state *known, const struct state *desired)
{
	cleanup_arena struct arena *arena = arena_new();
	cleanup_state struct state *observed = NULL, *before = state_copy(fake_kernel_state(kernel));
	struct steps steps = steps_to(kernel, known, desired, &observed, arena);
	for (size_t i = 1; i <= steps.count; i++) {
		struct commit_error error = {0};
		fake_kernel_fail_at(kernel, i, -ENOBUFS);
		assert_int_equal(kernel->ops->commit(kernel, &steps, &error), -ENOBUFS);
		assert_ptr_equal(error.step, &steps.items[i - 1]);
		assert_null(state_difference(fake_kernel_state(kernel), before, arena));
		assert_null(state_difference(before, fake_kernel_state(kernel), arena));
	}
}

static void test_random_pairs(void **unused)
{
	(void)unused;
	uint64_t seed = 20240229;
	size_t steps = 0;
	for (unsigned i = 0; i < RANDOM_PAIRS; i++) {
		cleanup_kernel struct kernel *kernel = fake_kernel_new();
		struct genome genome = genome_random(&seed);
		cleanup_state struct state *a = genome_state(&genome);
		reach(kernel, NULL, a);
		if (i % 3)
			genome_mutate(&genome, &seed, random_next(&seed) % 8);
		else
			genome = genome_random(&seed);
		cleanup_state struct state *b = genome_state(&genome);
		if (i % 8 == 0)
			fail_at_every_step(kernel, a, b);
		/* With and without the ranges of hashed sets, which cannot be read back. */
		steps += reach(kernel, i % 2 ? a : NULL, b);
		assert_int_equal(reach(kernel, b, b), 0);
	}
	assert_true(steps > RANDOM_PAIRS);
}

/* Objects and rules that are in both keep their handles; the content of dynamic sets stays. */
static void test_long_walk(void **unused)
{
	(void)unused;
	uint64_t seed = 42;
	cleanup_kernel struct kernel *kernel = fake_kernel_new();
	struct genome genome = genome_random(&seed);
	genome.present = 1;
	size_t kept = 0, dynamic = 0;
	cleanup_state struct state *known = genome_state(&genome);
	reach(kernel, NULL, known);
	for (unsigned i = 0; i < 1000; i++) {
		struct addr addr = {.family = FAMILY_V4, .bytes = {203, 0, 113, (uint8_t)i}};
		for (size_t s = 0; s < known->set_count; s++) {
			if (known->sets[s].dynamic)
				fake_kernel_packet(kernel, known->sets[s].name, &addr);
		}
		cleanup_state struct state *before = state_copy(fake_kernel_state(kernel));
		genome_mutate(&genome, &seed, 2);
		genome.present = 1;
		genome.owner = 0;
		struct state *desired = genome_state(&genome);
		reach(kernel, known, desired);
		for (size_t s = 0; s < before->set_count; s++) {
			const struct set *was = &before->sets[s], *want = state_set(desired, was->name);
			if (!want || !set_definition_equal(was, want))
				continue;
			const struct set *is = state_set(fake_kernel_state(kernel), was->name);
			assert_int_equal(is->handle, was->handle);
			if (was->dynamic) {
				assert_int_equal(is->element_count, was->element_count);
				dynamic += was->element_count;
			}
		}
		for (size_t c = 0; c < before->chain_count; c++) {
			const struct chain *was = &before->chains[c], *want = state_chain(desired, was->name);
			if (want && chain_definition_equal(was, want)) {
				const struct chain *is = state_chain(fake_kernel_state(kernel), was->name);
				assert_int_equal(is->handle, was->handle);
				kept++;
			}
		}
		state_free(&known);
		known = desired;
	}
	assert_true(kept > 1000);
	assert_true(dynamic > 1000);
}

/* A state with one chain of rules that differ by a number. */
static struct state *numbered(const uint32_t *numbers, size_t count)
{
	struct state *state = state_new();
	struct chain *chain = arena_new_of(state->arena, struct chain);
	struct rule_state *rules = arena_array(state->arena, count, struct rule_state);
	for (size_t i = 0; i < count; i++) {
		struct expr *exprs = arena_array(state->arena, 2, struct expr);
		exprs[0].kind = EXPR_CMP;
		exprs[0].cmp.length = 4;
		memcpy(exprs[0].cmp.data, &numbers[i], 4);
		exprs[1].kind = EXPR_VERDICT;
		rules[i] = (struct rule_state){.exprs = exprs, .expr_count = 2, .comment = ""};
	}
	*chain = (struct chain){.name = "c", .rules = rules, .rule_count = count};
	state->present = true;
	state->chains = chain;
	state->chain_count = 1;
	return state;
}

static size_t count_kind(const struct steps *steps, enum step_kind kind)
{
	size_t count = 0;
	for (size_t i = 0; i < steps->count; i++)
		count += steps->items[i].kind == kind;
	return count;
}

/* From one list of rules to another: so many are added and deleted, no others touched. */
static void check_rules(const uint32_t *from, size_t from_count, const uint32_t *to, size_t to_count, size_t deleted,
			size_t added)
{
	cleanup_kernel struct kernel *kernel = fake_kernel_new();
	cleanup_arena struct arena *arena = arena_new();
	cleanup_state struct state *a = numbered(from, from_count), *b = numbered(to, to_count), *observed = NULL;
	fake_kernel_put(kernel, a);
	struct steps steps = steps_to(kernel, NULL, b, &observed, arena);
	assert_int_equal(count_kind(&steps, STEP_DELETE_RULE), deleted);
	assert_int_equal(count_kind(&steps, STEP_ADD_RULE), added);
	assert_int_equal(steps.count, deleted + added);
	if (to_count <= 5000)
		reach(kernel, NULL, b);
}

#define CHECK_RULES(from, to, deleted, added) \
	check_rules(from, sizeof(from) / sizeof((from)[0]), to, sizeof(to) / sizeof((to)[0]), deleted, added)

static void test_rules_minimal(void **unused)
{
	(void)unused;
	static const uint32_t abc[] = {1, 2, 3, 4, 5}, changed[] = {1, 2, 9, 4, 5}, inserted[] = {1, 2, 9, 3, 4, 5};
	static const uint32_t deleted[] = {1, 2, 4, 5}, moved_up[] = {5, 1, 2, 3, 4}, moved_down[] = {2, 3, 4, 5, 1};
	static const uint32_t twice[] = {1, 2, 3, 3, 4, 5}, swapped[] = {1, 4, 3, 2, 5}, front[] = {9, 1, 2, 3, 4, 5};
	static const uint32_t same[] = {7, 7, 7, 7}, fewer[] = {7, 7};
	CHECK_RULES(abc, abc, 0, 0);
	CHECK_RULES(abc, changed, 1, 1);
	CHECK_RULES(abc, inserted, 0, 1);
	CHECK_RULES(abc, deleted, 1, 0);
	CHECK_RULES(abc, moved_up, 1, 1);
	CHECK_RULES(abc, moved_down, 1, 1);
	CHECK_RULES(abc, twice, 0, 1);
	CHECK_RULES(twice, abc, 1, 0);
	CHECK_RULES(abc, swapped, 2, 2);
	CHECK_RULES(abc, front, 0, 1);
	CHECK_RULES(same, fewer, 2, 0);
	CHECK_RULES(fewer, same, 0, 2);
}

/* One of five thousand; and fifty thousand in the worst orders, which must not take quadratic time. */
static void test_rules_many(void **unused)
{
	(void)unused;
	enum { MANY = 50000, SOME = 5000 };
	uint32_t *a = calloc(MANY, sizeof(*a)), *b = calloc(MANY, sizeof(*b));
	for (uint32_t i = 0; i < MANY; i++) {
		a[i] = i;
		b[i] = i == SOME / 2 ? MANY : i;
	}
	check_rules(a, SOME, b, SOME, 1, 1);
	for (uint32_t i = 0; i < MANY; i++)
		b[i] = MANY - 1 - i;
	check_rules(a, MANY, b, MANY, MANY - 1, MANY - 1);
	for (uint32_t i = 0; i < MANY; i++) {
		a[i] = 7;
		b[i] = i % 2 ? 7 : 8;
	}
	check_rules(a, MANY, b, MANY, MANY / 2, MANY / 2);
	free(a);
	free(b);
}

/* A state with one interval set of count ranges, each a /32 in front of a gap; skip leaves one out. */
static struct state *blocklist(size_t count, size_t skip, bool hashed)
{
	struct state *state = state_new();
	struct addr_range *ranges = arena_array(state->arena, count, struct addr_range);
	struct set *set = arena_new_of(state->arena, struct set);
	for (size_t i = 0; i < count; i++) {
		if (i == skip)
			continue;
		struct addr addr = {.family = FAMILY_V4,
				    .bytes = {198, (uint8_t)(i >> 15), (uint8_t)(i >> 7), (uint8_t)(i << 1)}};
		ranges[set->range_count++] = (struct addr_range){.first = addr, .last = addr};
	}
	set->name = "blocklist4-abuse";
	set->key[0] = FIELD_IPV4;
	set->interval = true;
	set->ranges = ranges;
	set->comment = "";
	if (hashed)
		hash_ranges(ranges, set->range_count, set->hash);
	state->present = true;
	state->sets = set;
	state->set_count = 1;
	return state;
}

static void test_ranges_and_hash(void **unused)
{
	(void)unused;
	enum { COUNT = 200000 };
	cleanup_kernel struct kernel *kernel = fake_kernel_new();
	cleanup_arena struct arena *arena = arena_new();
	cleanup_state struct state *a = blocklist(COUNT, 1000, true), *b = blocklist(COUNT, 70000, true),
				   *plain = blocklist(50, 7, false), *observed = NULL, *other = NULL;
	reach(kernel, NULL, a);
	assert_int_equal(reach(kernel, NULL, a), 0);
	/* Known content: one entry goes, one comes, and the hash. */
	struct steps steps = steps_to(kernel, a, b, &observed, arena);
	assert_int_equal(steps.count, 3);
	assert_int_equal(steps.items[0].kind, STEP_DELETE_ELEMENTS);
	assert_int_equal(steps.items[0].range_count, 1);
	assert_int_equal(steps.items[1].kind, STEP_SET_HASH);
	assert_int_equal(steps.items[2].kind, STEP_ADD_ELEMENTS);
	assert_int_equal(steps.items[2].range_count, 1);
	/* Known, but of another hash than what is there, or not known: all of it anew. */
	steps = steps_to(kernel, b, b, &other, arena);
	assert_int_equal(count_kind(&steps, STEP_FLUSH_SET), 1);
	assert_int_equal(steps.items[steps.count - 1].range_count, COUNT - 1);
	reach(kernel, a, b);
	reach(kernel, NULL, a);
	/* To a small list without a hash, and back. */
	reach(kernel, NULL, plain);
	reach(kernel, NULL, a);
	reach(kernel, a, plain);
	reach(kernel, plain, b);
}

/* An interval set comes as elements or as ranges, whoever made the state: the same either way. */
static void test_elements_and_ranges(void **unused)
{
	(void)unused;
	cleanup_kernel struct kernel *kernel = fake_kernel_new();
	cleanup_state struct state *ranges = blocklist(50, 7, false), *elements = blocklist(50, 9, false);
	struct element *items = arena_array(elements->arena, 50, struct element);
	for (size_t i = 0; i < elements->sets[0].range_count; i++) {
		/* Not in order, as a hash table gives them. */
		struct element *item = &items[elements->sets[0].range_count - 1 - i];
		memcpy(item->key, elements->sets[0].ranges[i].first.bytes, 16);
		memcpy(item->key_end, elements->sets[0].ranges[i].last.bytes, 16);
	}
	elements->sets[0].elements = items;
	elements->sets[0].element_count = elements->sets[0].range_count;
	elements->sets[0].range_count = 0;
	fake_kernel_put(kernel, elements);
	cleanup_arena struct arena *arena = arena_new();
	cleanup_state struct state *observed = NULL;
	struct steps steps = steps_to(kernel, NULL, ranges, &observed, arena);
	assert_string_equal(steps_print(&steps, arena), "delete elements blocklist4-abuse { 198.0.0.14 }\n"
							"add elements blocklist4-abuse { 198.0.0.18 }\n");
	fake_kernel_put(kernel, ranges);
	state_free(&observed);
	steps = steps_to(kernel, NULL, elements, &observed, arena);
	assert_string_equal(steps_print(&steps, arena), "delete elements blocklist4-abuse { 198.0.0.18 }\n"
							"add elements blocklist4-abuse { 198.0.0.14 }\n");
	/* Hashed ranges that were applied before, and elements now. */
	cleanup_state struct state *hashed = blocklist(50, 7, true);
	fake_kernel_put(kernel, hashed);
	state_free(&observed);
	steps = steps_to(kernel, hashed, elements, &observed, arena);
	assert_int_equal(steps.count, 3);
	assert_int_equal(steps.items[0].element_count, 1);
	assert_int_equal(steps.items[2].element_count, 1);
}

/* Even where somebody read the content of a dynamic set into the state, it is left alone. */
static void test_dynamic_content(void **unused)
{
	(void)unused;
	cleanup_arena struct arena *arena = arena_new();
	struct element element = {.key = {192, 0, 2, 1}};
	struct set filled = {.name = "bans4", .key = {FIELD_IPV4}, .dynamic = true, .comment = ""}, empty = filled;
	filled.elements = &element;
	filled.element_count = 1;
	struct state a = {.present = true, .sets = &filled, .set_count = 1};
	struct state b = {.present = true, .sets = &empty, .set_count = 1};
	struct steps steps = {0};
	assert_int_equal(diff_states(&a, NULL, &b, arena, &steps), 0);
	assert_int_equal(steps.count, 0);
}

static struct state *with_table(bool owner, bool persist, bool dormant)
{
	static const uint32_t numbers[] = {1, 2, 3};
	struct state *state = numbered(numbers, 3);
	state->owner = owner;
	state->persist = persist;
	state->dormant = dormant;
	return state;
}

static void check_table(bool owner, bool persist, bool dormant, bool want_owner, const char *expected)
{
	cleanup_kernel struct kernel *kernel = fake_kernel_new();
	cleanup_arena struct arena *arena = arena_new();
	cleanup_state struct state *a = with_table(owner, persist, dormant), *b = with_table(want_owner, false, false),
				   *observed = NULL;
	fake_kernel_put(kernel, a);
	struct steps steps = steps_to(kernel, NULL, b, &observed, arena);
	assert_string_equal(steps_print(&steps, arena), expected);
	reach(kernel, NULL, b);
}

static void test_table_flags(void **unused)
{
	(void)unused;
	check_table(false, false, false, false, "");
	check_table(true, true, false, true, "");
	check_table(false, true, false, true, "set table flags owner,persist\n");
	check_table(false, true, true, true, "set table flags owner,persist\n");
	check_table(true, true, true, true, "set table flags owner,persist\n");
	check_table(false, false, true, false, "set table flags\n");
	/* A table that has an owner keeps it. */
	check_table(true, true, false, false, "");
	/* Not persistent: nobody can take it over. */
	check_table(false, false, false, true,
		    "delete table\nadd table owner,persist\nadd chain c { }\n"
		    "add rule c (nothing) 0x01000000 accept\nadd rule c (nothing) 0x02000000 accept\n"
		    "add rule c (nothing) 0x03000000 accept\n");
	cleanup_kernel struct kernel *kernel = fake_kernel_new();
	cleanup_state struct state *a = with_table(true, true, false), *empty = state_new();
	reach(kernel, NULL, empty);
	reach(kernel, NULL, a);
	assert_int_equal(reach(kernel, NULL, empty), 1); /* flush */
}

/* A new policy is one step; a new hook makes the chain anew, and its rules with it. */
static void test_chain_policy(void **unused)
{
	(void)unused;
	static const uint32_t numbers[] = {1, 2};
	cleanup_kernel struct kernel *kernel = fake_kernel_new();
	cleanup_arena struct arena *arena = arena_new();
	cleanup_state struct state *a = numbered(numbers, 2), *b = numbered(numbers, 2), *observed = NULL;
	a->chains[0].type = b->chains[0].type = CHAIN_FILTER;
	a->chains[0].hook = b->chains[0].hook = HOOK_INPUT;
	b->chains[0].policy_drop = true;
	reach(kernel, NULL, a);
	struct steps steps = steps_to(kernel, NULL, b, &observed, arena);
	assert_string_equal(steps_print(&steps, arena),
			    "set chain c { type filter hook input priority 0; policy drop; }\n");
	reach(kernel, NULL, b);
	b->chains[0].hook = HOOK_FORWARD;
	state_free(&observed);
	steps = steps_to(kernel, NULL, b, &observed, arena);
	assert_string_equal(steps_print(&steps, arena),
			    "flush chain c\ndelete chain c\n"
			    "add chain c { type filter hook forward priority 0; policy drop; }\n"
			    "add rule c (nothing) 0x01000000 accept\nadd rule c (nothing) 0x02000000 accept\n");
	reach(kernel, NULL, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_minimal),   cmocka_unit_test(test_rules_many),
		cmocka_unit_test(test_ranges_and_hash), cmocka_unit_test(test_table_flags),
		cmocka_unit_test(test_elements_and_ranges), cmocka_unit_test(test_dynamic_content),
		cmocka_unit_test(test_chain_policy),
		cmocka_unit_test(test_random_pairs),    cmocka_unit_test(test_long_walk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
