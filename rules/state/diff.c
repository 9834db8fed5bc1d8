/* The diff's upper half: which tables, chains, sets, counters and sysctls come,
 * go, stay, or are made anew, and the order of all steps. What happens inside
 * a chain or set that stays is in diff_rules.c and diff_content.c. */
#include "diff.h"

#include "diff_parts.h"

#include <errno.h>
#include <string.h>

int diff_add(struct diff *diff, const struct step *step)
{
	struct steps *steps = &diff->steps;
	struct step *items = arena_grow(diff->arena, steps->items, steps->count, sizeof(*items), &steps->capacity);
	if (!items)
		return -ENOMEM;
	steps->items = items;
	items[steps->count++] = *step;
	return 0;
}

bool diff_set_is_anew(const struct diff *diff, const char *name)
{
	const struct set *set = diff->any_set_anew && name ? state_set(diff->observed, name) : NULL;
	return set && diff->set_anew[set - diff->observed->sets];
}

/* Walks two lists that are sorted by name in step: which side comes next, as strcmp says it. */
static int merge_order(bool has_a, const char *a, bool has_b, const char *b)
{
	if (!has_a)
		return 1;
	if (!has_b)
		return -1;
	return strcmp(a, b);
}

/* A base chain of which only the policy differs need not be made anew. */
static bool chain_can_stay(const struct chain *observed, const struct chain *desired)
{
	struct chain like = *observed;
	like.policy_drop = desired->policy_drop;
	return chain_definition_equal(&like, desired);
}

static int find_anew(struct diff *diff)
{
	const struct state *observed = diff->observed;
	diff->chain_anew = arena_array(diff->arena, observed->chain_count, bool);
	diff->set_anew = arena_array(diff->arena, observed->set_count, bool);
	if (!diff->chain_anew || !diff->set_anew)
		return -ENOMEM;
	for (size_t i = 0; i < observed->chain_count; i++) {
		const struct chain *desired = state_chain(diff->desired, observed->chains[i].name);
		diff->chain_anew[i] = desired && !chain_can_stay(&observed->chains[i], desired);
	}
	for (size_t i = 0; i < observed->set_count; i++) {
		const struct set *desired = state_set(diff->desired, observed->sets[i].name);
		diff->set_anew[i] = desired && !set_definition_equal(&observed->sets[i], desired);
		diff->any_set_anew |= diff->set_anew[i];
	}
	return 0;
}

static int add_chain(struct diff *diff, const struct chain *desired)
{
	int r = diff_add(diff, &(struct step){.kind = STEP_ADD_CHAIN, .chain = desired, .at = desired->at});
	return r < 0 ? r : diff_rules_add_all(diff, desired);
}

static int delete_chain(struct diff *diff, const struct chain *observed, struct origin at)
{
	int r = 0;
	if (observed->rule_count)
		r = diff_add(diff, &(struct step){.kind = STEP_FLUSH_CHAIN, .chain = observed, .at = at});
	return r < 0 ? r : diff_add(diff, &(struct step){.kind = STEP_DELETE_CHAIN, .chain = observed, .at = at});
}

static int keep_chain(struct diff *diff, const struct chain *observed, const struct chain *desired)
{
	if (diff->chain_anew[observed - diff->observed->chains]) {
		int r = delete_chain(diff, observed, desired->at);
		return r < 0 ? r : add_chain(diff, desired);
	}
	if (!chain_definition_equal(observed, desired)) {
		int r = diff_add(diff, &(struct step){.kind = STEP_SET_CHAIN, .chain = desired, .at = desired->at});
		if (r < 0)
			return r;
	}
	return diff_rules(diff, observed, desired);
}

static int diff_chains(struct diff *diff)
{
	const struct state *a = diff->observed, *b = diff->desired;
	int r = 0;
	for (size_t i = 0, j = 0; r == 0 && (i < a->chain_count || j < b->chain_count);) {
		bool has_a = i < a->chain_count, has_b = j < b->chain_count;
		int order = merge_order(has_a, has_a ? a->chains[i].name : NULL, has_b, has_b ? b->chains[j].name : NULL);
		if (order < 0)
			r = delete_chain(diff, &a->chains[i++], (struct origin){0});
		else if (order > 0)
			r = add_chain(diff, &b->chains[j++]);
		else
			r = keep_chain(diff, &a->chains[i++], &b->chains[j++]);
	}
	return r;
}

static bool has_hash(const struct set *set)
{
	static const uint8_t none[sizeof(set->hash)];
	return memcmp(set->hash, none, sizeof(none)) != 0;
}

static int delete_set(struct diff *diff, const struct set *observed, struct origin at)
{
	/* Elements of a verdict map hold their chains until the map itself is gone (older kernels: until the
	 * commit), and chains are deleted before sets. */
	if (observed->data == FIELD_VERDICT && observed->element_count) {
		int r = diff_add(diff, &(struct step){.kind = STEP_FLUSH_SET, .set = observed, .at = at});
		if (r < 0)
			return r;
	}
	struct step step = {.kind = STEP_DELETE_SET, .set = observed, .had_hash = has_hash(observed), .at = at};
	return diff_add(diff, &step);
}

static int add_set(struct diff *diff, const struct set *desired)
{
	int r = diff_add(diff, &(struct step){.kind = STEP_ADD_SET, .set = desired, .at = desired->at});
	return r < 0 ? r : diff_content_add_all(diff, desired);
}

static int keep_set(struct diff *diff, const struct set *observed, const struct set *desired)
{
	if (diff->set_anew[observed - diff->observed->sets]) {
		int r = delete_set(diff, observed, desired->at);
		return r < 0 ? r : add_set(diff, desired);
	}
	return desired->dynamic ? 0 : diff_content(diff, observed, desired);
}

static int diff_sets(struct diff *diff)
{
	const struct state *a = diff->observed, *b = diff->desired;
	int r = 0;
	for (size_t i = 0, j = 0; r == 0 && (i < a->set_count || j < b->set_count);) {
		bool has_a = i < a->set_count, has_b = j < b->set_count;
		int order = merge_order(has_a, has_a ? a->sets[i].name : NULL, has_b, has_b ? b->sets[j].name : NULL);
		if (order < 0)
			r = delete_set(diff, &a->sets[i++], (struct origin){0});
		else if (order > 0)
			r = add_set(diff, &b->sets[j++]);
		else
			r = keep_set(diff, &a->sets[i++], &b->sets[j++]);
	}
	return r;
}

static int diff_counters(struct diff *diff)
{
	const struct state *a = diff->observed, *b = diff->desired;
	int r = 0;
	for (size_t i = 0, j = 0; r == 0 && (i < a->counter_count || j < b->counter_count);) {
		bool has_a = i < a->counter_count, has_b = j < b->counter_count;
		int order = merge_order(has_a, has_a ? a->counters[i].name : NULL, has_b,
					has_b ? b->counters[j].name : NULL);
		const struct counter *old = has_a ? &a->counters[i] : NULL, *new = has_b ? &b->counters[j] : NULL;
		if (order < 0)
			r = diff_add(diff, &(struct step){.kind = STEP_DELETE_COUNTER, .counter = old});
		else if (order > 0)
			r = diff_add(diff, &(struct step){.kind = STEP_ADD_COUNTER, .counter = new, .at = new->at});
		i += order <= 0;
		j += order >= 0;
	}
	return r;
}

/* A sysctl that is no longer wanted keeps its value: nobody knows what it was before. */
static int diff_sysctls(struct diff *diff)
{
	const struct state *a = diff->observed, *b = diff->desired;
	for (size_t i = 0, j = 0; j < b->sysctl_count; j++) {
		while (i < a->sysctl_count && strcmp(a->sysctls[i].name, b->sysctls[j].name) < 0)
			i++;
		if (i < a->sysctl_count && strcmp(a->sysctls[i].name, b->sysctls[j].name) == 0 &&
		    strcmp(a->sysctls[i].value, b->sysctls[j].value) == 0)
			continue;
		int r = diff_add(diff, &(struct step){.kind = STEP_SET_SYSCTL, .sysctl = &b->sysctls[j]});
		if (r < 0)
			return r;
	}
	return 0;
}

/* The table itself. *ret_empty: what was in it is gone or never was. */
static int diff_table(struct diff *diff, bool *ret_empty)
{
	const struct state *a = diff->observed, *b = diff->desired;
	bool adopt = a->present && b->present && b->owner && !a->owner;
	bool anew = adopt && !a->persist;
	int r = 0;
	if (a->present && (!b->present || anew))
		r = diff_add(diff, &(struct step){.kind = STEP_DELETE_TABLE});
	if (r == 0 && b->present && (!a->present || anew))
		r = diff_add(diff, &(struct step){.kind = STEP_ADD_TABLE, .owner = b->owner});
	if (r == 0 && a->present && b->present && !anew && (adopt || a->dormant)) {
		/* An owner keeps what it owns even where desired could do without. */
		struct step step = {.kind = STEP_SET_TABLE_FLAGS, .owner = a->owner || adopt};
		r = diff_add(diff, &step);
	}
	if (r < 0)
		return r;
	*ret_empty = !a->present || !b->present || anew;
	return 0;
}

/* A stable counting sort: within a kind, the order in which steps were found stays. */
static int sort_steps(struct diff *diff, struct steps *ret_steps)
{
	size_t start[STEP_KINDS + 1] = {0};
	const struct steps *found = &diff->steps;
	for (size_t i = 0; i < found->count; i++)
		start[found->items[i].kind + 1]++;
	for (size_t kind = 1; kind <= STEP_KINDS; kind++)
		start[kind] += start[kind - 1];
	struct step *items = arena_array(diff->arena, found->count, struct step);
	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < found->count; i++)
		items[start[found->items[i].kind]++] = found->items[i];
	*ret_steps = (struct steps){.items = items, .count = found->count, .capacity = found->count};
	return 0;
}

int diff_states(const struct state *observed, const struct state *known, const struct state *desired,
		struct arena *arena, struct steps *ret_steps)
{
	struct diff diff = {.arena = arena, .observed = observed, .known = known, .desired = desired};
	bool empty = false;
	int r = diff_sysctls(&diff);
	if (r == 0)
		r = diff_tunnels(&diff);
	if (r == 0)
		r = diff_table(&diff, &empty);
	if (r < 0)
		return r;
	/* With the table everything in it goes, by one step; nothing refers to these two afterwards. */
	const struct state nothing = {0};
	if (empty)
		diff.observed = &nothing;
	if (!desired->present)
		diff.desired = &nothing;
	r = find_anew(&diff);
	if (r == 0)
		r = diff_counters(&diff);
	if (r == 0)
		r = diff_sets(&diff);
	if (r == 0)
		r = diff_chains(&diff);
	return r < 0 ? r : sort_steps(&diff, ret_steps);
}
