/* The rules of one chain: which stay, which are deleted, which are added where.
 * Common ends are trimmed; in the middle equal rules are paired through their
 * digests, and the longest run of pairs in the same order on both sides stays.
 * A rule that moved against that run is deleted and added. */
#include "diff_parts.h"

#include "../base/sequence.h"

#include <errno.h>

/* A rule that uses a set which is made anew cannot stay. */
static bool uses_anew(const struct diff *diff, const struct rule_state *rule)
{
	if (!diff->any_set_anew)
		return false;
	for (size_t i = 0; i < rule->expr_count; i++) {
		const struct expr *expr = &rule->exprs[i];
		if ((expr->kind == EXPR_LOOKUP && diff_set_is_anew(diff, expr->lookup.set)) ||
		    (expr->kind == EXPR_DYNSET && diff_set_is_anew(diff, expr->dynset.set)) ||
		    (expr->kind == EXPR_FLOW_ADD && diff_set_is_anew(diff, expr->flow.table)))
			return true;
	}
	return false;
}

/* The middle of both lists, and how they pair. Indices count from its start. */
struct matching {
	const struct rule_state *old, *new;
	size_t old_count, new_count;
	uint32_t *pair;  /* of each new rule: the equal old one, or SEQUENCE_NONE */
	bool *old_stays; /* of each old rule: in the run that stays */
};

/* Old rules by digest: an open hash table of list heads, lists in rule order. */
struct digests {
	size_t mask;
	uint64_t *key;  /* of a slot in use */
	uint32_t *head; /* index + 1 of the first old rule that is not paired yet; 0: slot never used */
	bool *used;
	uint32_t *next; /* of each old rule: index + 1 */
};

static size_t find_slot(const struct digests *table, uint64_t digest)
{
	size_t slot = (digest ^ digest >> 32) & table->mask;
	while (table->used[slot] && table->key[slot] != digest)
		slot = (slot + 1) & table->mask;
	return slot;
}

static int digest_old_rules(const struct diff *diff, const struct matching *matching, struct digests *ret_table)
{
	size_t room = 16;
	while (room < matching->old_count * 2)
		room *= 2;
	struct digests table = {
		.mask = room - 1,
		.key = arena_array(diff->arena, room, uint64_t),
		.head = arena_array(diff->arena, room, uint32_t),
		.used = arena_array(diff->arena, room, bool),
		.next = arena_array(diff->arena, matching->old_count, uint32_t),
	};
	if (!table.key || !table.head || !table.used || !table.next)
		return -ENOMEM;
	for (size_t i = matching->old_count; i-- > 0;) {
		if (uses_anew(diff, &matching->old[i]))
			continue;
		uint64_t digest = rule_digest(&matching->old[i]);
		size_t slot = find_slot(&table, digest);
		table.used[slot] = true;
		table.key[slot] = digest;
		table.next[i] = table.head[slot];
		table.head[slot] = (uint32_t)i + 1;
	}
	*ret_table = table;
	return 0;
}

/* Take the first old rule that equals rule out of the table. */
static uint32_t take_equal(struct digests *table, const struct matching *matching, const struct rule_state *rule)
{
	size_t slot = find_slot(table, rule_digest(rule));
	if (!table->used[slot])
		return SEQUENCE_NONE;
	for (uint32_t *link = &table->head[slot]; *link; link = &table->next[*link - 1]) {
		uint32_t index = *link - 1;
		if (!rule_equal(&matching->old[index], rule))
			continue; /* two rules with one digest */
		*link = table->next[index];
		return index;
	}
	return SEQUENCE_NONE;
}

/* The longest run of pairs in the same order on both sides stays, the others are undone. */
static int keep_longest_run(struct arena *arena, struct matching *matching)
{
	bool *stays = arena_array(arena, matching->new_count, bool);
	int r = stays ? sequence_longest_run(arena, matching->pair, matching->new_count, stays) : -ENOMEM;
	for (size_t j = 0; r == 0 && j < matching->new_count; j++) {
		if (stays[j])
			matching->old_stays[matching->pair[j]] = true;
		else
			matching->pair[j] = SEQUENCE_NONE;
	}
	return r;
}

static int match(const struct diff *diff, struct matching *matching)
{
	matching->pair = arena_array(diff->arena, matching->new_count, uint32_t);
	matching->old_stays = arena_array(diff->arena, matching->old_count, bool);
	if (!matching->pair || !matching->old_stays)
		return -ENOMEM;
	struct digests table;
	int r = digest_old_rules(diff, matching, &table);
	if (r < 0)
		return r;
	for (size_t j = 0; j < matching->new_count; j++)
		matching->pair[j] = take_equal(&table, matching, &matching->new[j]);
	return keep_longest_run(diff->arena, matching);
}

static int delete_rules(struct diff *diff, const struct chain *observed, struct origin at,
			const struct matching *matching)
{
	size_t stay = observed->rule_count - matching->old_count;
	for (size_t i = 0; i < matching->old_count; i++)
		stay += matching->old_stays[i];
	if (stay == 0 && observed->rule_count > 1)
		return diff_add(diff, &(struct step){.kind = STEP_FLUSH_CHAIN, .chain = observed, .at = at});
	for (size_t i = 0; i < matching->old_count; i++) {
		if (matching->old_stays[i])
			continue;
		struct step step = {.kind = STEP_DELETE_RULE, .chain = observed, .rule = &matching->old[i], .at = at};
		int r = diff_add(diff, &step);
		if (r < 0)
			return r;
	}
	return 0;
}

/* behind: handle of the first rule of the common end, or 0. */
static int add_rules(struct diff *diff, const struct chain *desired, const struct matching *matching, uint64_t behind)
{
	uint64_t *before = arena_array(diff->arena, matching->new_count, uint64_t);
	if (!before)
		return -ENOMEM;
	for (size_t j = matching->new_count; j-- > 0;) {
		before[j] = behind;
		if (matching->pair[j] != SEQUENCE_NONE)
			behind = matching->old[matching->pair[j]].handle;
	}
	for (size_t j = 0; j < matching->new_count; j++) {
		if (matching->pair[j] != SEQUENCE_NONE)
			continue;
		const struct rule_state *rule = &matching->new[j];
		struct step step = {
			.kind = STEP_ADD_RULE, .chain = desired, .rule = rule, .before = before[j], .at = rule->at};
		int r = diff_add(diff, &step);
		if (r < 0)
			return r;
	}
	return 0;
}

int diff_rules(struct diff *diff, const struct chain *observed, const struct chain *desired)
{
	const struct rule_state *old = observed->rules, *new = desired->rules;
	size_t old_count = observed->rule_count, new_count = desired->rule_count, start = 0;
	while (start < old_count && start < new_count && rule_equal(&old[start], &new[start]) &&
	       !uses_anew(diff, &old[start]))
		start++;
	while (old_count > start && new_count > start && rule_equal(&old[old_count - 1], &new[new_count - 1]) &&
	       !uses_anew(diff, &old[old_count - 1])) {
		old_count--;
		new_count--;
	}
	if (old_count == start && new_count == start)
		return 0;
	struct matching matching = {
		.old = old + start, .new = new + start, .old_count = old_count - start, .new_count = new_count - start};
	int r = match(diff, &matching);
	if (r == 0)
		r = delete_rules(diff, observed, desired->at, &matching);
	if (r == 0)
		r = add_rules(diff, desired, &matching, old_count < observed->rule_count ? old[old_count].handle : 0);
	return r;
}

int diff_rules_add_all(struct diff *diff, const struct chain *desired)
{
	for (size_t i = 0; i < desired->rule_count; i++) {
		const struct rule_state *rule = &desired->rules[i];
		struct step step = {.kind = STEP_ADD_RULE, .chain = desired, .rule = rule, .at = rule->at};
		int r = diff_add(diff, &step);
		if (r < 0)
			return r;
	}
	return 0;
}
