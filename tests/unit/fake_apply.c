/* What one step does to a state, and when it must be refused: what is not there,
 * what is there already, what is still referred to, references to nothing. */
#include "fake_apply.h"
#include "state_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Make room for one item at index in an array of an arena. Arrays have room for
 * a power of two items, so one that has just so many is full. */
static void *insert(struct arena *arena, void *items, size_t count, size_t size, size_t index)
{
	char *room = items;
	if ((count & (count - 1)) == 0) {
		room = arena_calloc(arena, count ? count * 2 : 1, size);
		if (!room)
			abort();
		if (count)
			memcpy(room, items, count * size);
	}
	memmove(room + (index + 1) * size, room + index * size, (count - index) * size);
	memset(room + index * size, 0, size);
	return room;
}

static void erase(void *items, size_t count, size_t size, size_t index)
{
	memmove((char *)items + index * size, (char *)items + (index + 1) * size, (count - index - 1) * size);
}

static struct chain *find_chain(struct state *state, const char *name)
{
	return (struct chain *)(uintptr_t)state_chain(state, name);
}

static struct set *find_set(struct state *state, const char *name)
{
	return (struct set *)(uintptr_t)state_set(state, name);
}

static size_t counter_index(const struct state *state, const char *name)
{
	size_t i = 0;
	while (i < state->counter_count && strcmp(state->counters[i].name, name) < 0)
		i++;
	return i;
}

static bool has_counter(const struct state *state, const char *name)
{
	size_t i = counter_index(state, name);
	return i < state->counter_count && strcmp(state->counters[i].name, name) == 0;
}

static bool jumps(enum verdict_kind kind)
{
	return kind == VERDICT_JUMP || kind == VERDICT_GOTO;
}

static const char *referred(const struct expr *expr, enum expr_kind *ret_what)
{
	*ret_what = expr->kind;
	if (expr->kind == EXPR_DYNSET)
		*ret_what = EXPR_LOOKUP;
	return expr->kind == EXPR_LOOKUP    ? expr->lookup.set
	       : expr->kind == EXPR_DYNSET  ? expr->dynset.set
	       : expr->kind == EXPR_COUNTER ? expr->counter.name
	       : expr->kind == EXPR_VERDICT && jumps(expr->verdict.kind) ? expr->verdict.chain
									 : NULL;
}

/* Does some rule or element refer to the set (EXPR_LOOKUP), counter or chain (EXPR_VERDICT) of this name? */
static bool in_use(const struct state *state, enum expr_kind what, const char *name)
{
	for (size_t c = 0; c < state->chain_count; c++) {
		for (size_t r = 0; r < state->chains[c].rule_count; r++) {
			const struct rule_state *rule = &state->chains[c].rules[r];
			for (size_t e = 0; e < rule->expr_count; e++) {
				enum expr_kind kind;
				const char *refers = referred(&rule->exprs[e], &kind);
				if (refers && kind == what && strcmp(refers, name) == 0)
					return true;
			}
		}
	}
	for (size_t s = 0; what == EXPR_VERDICT && s < state->set_count; s++) {
		const struct set *set = &state->sets[s];
		for (size_t e = 0; set->data == FIELD_VERDICT && e < set->element_count; e++) {
			if (jumps(set->elements[e].verdict) && strcmp(set->elements[e].chain, name) == 0)
				return true;
		}
	}
	return false;
}

static int jump_target(struct state *state, const char *name)
{
	const struct chain *chain = name ? find_chain(state, name) : NULL;
	if (!chain)
		return -ENOENT;
	return chain->type == CHAIN_REGULAR ? 0 : -EOPNOTSUPP;
}

static int check_expr(struct state *state, const struct expr *expr)
{
	enum expr_kind what;
	const char *name = referred(expr, &what);
	if (!name)
		return 0;
	if (what == EXPR_COUNTER)
		return has_counter(state, name) ? 0 : -ENOENT;
	if (what == EXPR_VERDICT)
		return jump_target(state, name);
	const struct set *set = find_set(state, name);
	if (!set)
		return -ENOENT;
	if (expr->kind == EXPR_DYNSET)
		return set->dynamic ? 0 : -EOPNOTSUPP;
	if (expr->lookup.has_data != (set->data != 0) || expr->lookup.to_verdict != (set->data == FIELD_VERDICT))
		return -EINVAL;
	return 0;
}

static int add_rule(struct state *state, const struct step *step, uint64_t *last_handle)
{
	struct chain *chain = find_chain(state, step->chain->name);
	if (!chain)
		return -ENOENT;
	for (size_t i = 0; i < step->rule->expr_count; i++) {
		int r = check_expr(state, &step->rule->exprs[i]);
		if (r < 0)
			return r;
	}
	size_t index = 0;
	while (index < chain->rule_count && (!step->before || chain->rules[index].handle != step->before))
		index++;
	if (step->before && index == chain->rule_count)
		return -ENOENT;
	struct rule_state *rules =
		insert(state->arena, (void *)(uintptr_t)chain->rules, chain->rule_count, sizeof(*rules), index);
	rules[index] = copy_rule(state->arena, step->rule);
	rules[index].handle = ++*last_handle;
	chain->rules = rules;
	chain->rule_count++;
	return 0;
}

static int delete_rule(struct state *state, const struct step *step)
{
	struct chain *chain = find_chain(state, step->chain->name);
	for (size_t i = 0; chain && i < chain->rule_count; i++) {
		if (chain->rules[i].handle != step->rule->handle)
			continue;
		erase((void *)(uintptr_t)chain->rules, chain->rule_count--, sizeof(*chain->rules), i);
		return 0;
	}
	return -ENOENT;
}

static int add_chain(struct state *state, const struct chain *chain, uint64_t *last_handle)
{
	if (find_chain(state, chain->name))
		return -EEXIST;
	size_t index = 0;
	while (index < state->chain_count && strcmp(state->chains[index].name, chain->name) < 0)
		index++;
	state->chains = insert(state->arena, state->chains, state->chain_count++, sizeof(*state->chains), index);
	state->chains[index] = copy_chain_head(state->arena, chain);
	state->chains[index].handle = ++*last_handle;
	return 0;
}

static int set_chain(struct state *state, const struct chain *chain)
{
	struct chain *held = find_chain(state, chain->name);
	if (!held)
		return -ENOENT;
	struct chain like = *held;
	like.policy_drop = chain->policy_drop;
	if (!chain_definition_equal(&like, chain))
		return -EEXIST;
	held->policy_drop = chain->policy_drop;
	return 0;
}

static int delete_chain(struct state *state, const struct chain *chain)
{
	struct chain *held = find_chain(state, chain->name);
	if (!held)
		return -ENOENT;
	if (held->rule_count || in_use(state, EXPR_VERDICT, chain->name))
		return -EBUSY;
	erase(state->chains, state->chain_count--, sizeof(*held), (size_t)(held - state->chains));
	return 0;
}

static int add_set(struct state *state, const struct set *set, uint64_t *last_handle)
{
	if (find_set(state, set->name))
		return -EEXIST;
	size_t index = 0;
	while (index < state->set_count && strcmp(state->sets[index].name, set->name) < 0)
		index++;
	state->sets = insert(state->arena, state->sets, state->set_count++, sizeof(*state->sets), index);
	state->sets[index] = copy_set_head(state->arena, set);
	state->sets[index].handle = ++*last_handle;
	return 0;
}

bool fake_has_hash(const struct set *set)
{
	static const uint8_t none[sizeof(set->hash)];
	return memcmp(set->hash, none, sizeof(none)) != 0;
}

static int delete_set(struct state *state, const struct step *step)
{
	struct set *held = find_set(state, step->set->name);
	if (!held)
		return -ENOENT;
	if (in_use(state, EXPR_LOOKUP, held->name))
		return -EBUSY;
	if (step->had_hash != fake_has_hash(held))
		return step->had_hash ? -ENOENT : -EBUSY;
	erase(state->sets, state->set_count--, sizeof(*held), (size_t)(held - state->sets));
	return 0;
}

static int set_hash(struct state *state, const struct step *step)
{
	struct set *held = find_set(state, step->set->name);
	if (!held)
		return -ENOENT;
	if (step->had_hash != fake_has_hash(held))
		return step->had_hash ? -ENOENT : -EEXIST;
	memcpy(held->hash, step->set->hash, sizeof(held->hash));
	return 0;
}

static bool elements_clash(const struct set *set, const struct element *a, const struct element *b)
{
	if (!set->interval || set->key[1])
		return memcmp(a->key, b->key, STATE_KEY_MAX) == 0 &&
		       memcmp(a->key_end, b->key_end, STATE_KEY_MAX) == 0;
	return memcmp(a->key, b->key_end, STATE_KEY_MAX) <= 0 && memcmp(b->key, a->key_end, STATE_KEY_MAX) <= 0;
}

static int add_element(struct state *state, struct set *set, const struct element *element)
{
	size_t index = 0;
	for (size_t i = 0; i < set->element_count; i++) {
		if (elements_clash(set, &set->elements[i], element))
			return -EEXIST;
		if (memcmp(set->elements[i].key, element->key, STATE_KEY_MAX) <= 0)
			index = i + 1;
	}
	if (set->data == FIELD_VERDICT && jumps(element->verdict)) {
		int r = jump_target(state, element->chain);
		if (r < 0)
			return r;
	}
	if (set->size && set->element_count >= set->size)
		return -ENFILE;
	struct element *elements = insert(state->arena, (void *)(uintptr_t)set->elements, set->element_count++,
					  sizeof(*elements), index);
	elements[index] = copy_element(state->arena, element);
	set->elements = elements;
	return 0;
}

static int delete_element(struct set *set, const struct element *element)
{
	for (size_t i = 0; i < set->element_count; i++) {
		if (memcmp(set->elements[i].key, element->key, STATE_KEY_MAX) != 0 ||
		    memcmp(set->elements[i].key_end, element->key_end, STATE_KEY_MAX) != 0)
			continue;
		erase((void *)(uintptr_t)set->elements, set->element_count--, sizeof(*element), i);
		return 0;
	}
	return -ENOENT;
}

/* Ranges are merged in one go: there may be a million. */
static int add_ranges(struct state *state, struct set *set, const struct addr_range *ranges, size_t count)
{
	struct addr_range *all = arena_array(state->arena, set->range_count + count, struct addr_range);
	if (!all)
		abort();
	size_t total = 0;
	for (size_t i = 0, j = 0; i < set->range_count || j < count;) {
		bool old = j == count || (i < set->range_count && addr_compare(&set->ranges[i].first, &ranges[j].first) < 0);
		all[total] = old ? set->ranges[i++] : ranges[j++];
		if (total && addr_compare(&all[total - 1].last, &all[total].first) >= 0)
			return -EEXIST;
		total++;
	}
	set->ranges = all;
	set->range_count = total;
	return 0;
}

static int delete_ranges(struct set *set, const struct addr_range *ranges, size_t count)
{
	struct addr_range *held = (void *)(uintptr_t)set->ranges;
	size_t kept = 0, j = 0;
	for (size_t i = 0; i < set->range_count; i++) {
		if (j < count && addr_equal(&held[i].first, &ranges[j].first) && addr_equal(&held[i].last, &ranges[j].last))
			j++;
		else
			held[kept++] = held[i];
	}
	if (j < count)
		return -ENOENT;
	set->range_count = kept;
	return 0;
}

static int change_elements(struct state *state, const struct step *step)
{
	struct set *set = find_set(state, step->set->name);
	if (!set)
		return -ENOENT;
	bool add = step->kind == STEP_ADD_ELEMENTS;
	if (step->range_count)
		return add ? add_ranges(state, set, step->ranges, step->range_count)
			   : delete_ranges(set, step->ranges, step->range_count);
	for (size_t i = 0; i < step->element_count; i++) {
		int r = add ? add_element(state, set, &step->elements[i]) : delete_element(set, &step->elements[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int change_counter(struct state *state, const struct step *step, uint64_t *last_handle)
{
	const char *name = step->counter->name;
	size_t index = counter_index(state, name);
	if (step->kind == STEP_ADD_COUNTER) {
		if (has_counter(state, name))
			return -EEXIST;
		state->counters = insert(state->arena, state->counters, state->counter_count++,
					 sizeof(*state->counters), index);
		state->counters[index] = (struct counter){.name = copy_text(state->arena, name),
							  .handle = ++*last_handle};
		return 0;
	}
	if (!has_counter(state, name))
		return -ENOENT;
	if (in_use(state, EXPR_COUNTER, name))
		return -EBUSY;
	erase(state->counters, state->counter_count--, sizeof(*state->counters), index);
	return 0;
}

static int set_sysctl(struct state *state, const struct sysctl *sysctl)
{
	size_t i = 0;
	while (i < state->sysctl_count && strcmp(state->sysctls[i].name, sysctl->name) < 0)
		i++;
	if (i == state->sysctl_count || strcmp(state->sysctls[i].name, sysctl->name) != 0)
		state->sysctls = insert(state->arena, state->sysctls, state->sysctl_count++, sizeof(*state->sysctls), i);
	state->sysctls[i] = (struct sysctl){.name = copy_text(state->arena, sysctl->name),
					    .value = copy_text(state->arena, sysctl->value)};
	return 0;
}

static int change_table(struct state *state, const struct step *step)
{
	if (step->kind == STEP_ADD_TABLE) {
		if (state->present)
			return -EEXIST;
		state->present = true;
		state->owner = state->persist = step->owner;
		return 0;
	}
	if (!state->present)
		return -ENOENT;
	if (step->kind == STEP_DELETE_TABLE) {
		state->present = state->owner = state->persist = state->dormant = false;
		state->chain_count = state->set_count = state->counter_count = 0;
		return 0;
	}
	if (step->owner ? !state->persist : state->owner)
		return -EOPNOTSUPP;
	state->owner = step->owner;
	state->dormant = false;
	return 0;
}

int fake_apply(struct state *state, const struct step *step, uint64_t *last_handle)
{
	if (step->kind != STEP_SET_SYSCTL && step->kind != STEP_ADD_TABLE && !state->present)
		return -ENOENT;
	struct chain *chain;
	struct set *set;
	switch (step->kind) {
	case STEP_SET_SYSCTL:
		return set_sysctl(state, step->sysctl);
	case STEP_DELETE_TABLE:
	case STEP_ADD_TABLE:
	case STEP_SET_TABLE_FLAGS:
		return change_table(state, step);
	case STEP_DELETE_RULE:
		return delete_rule(state, step);
	case STEP_FLUSH_CHAIN:
		chain = find_chain(state, step->chain->name);
		if (!chain)
			return -ENOENT;
		chain->rule_count = 0;
		return 0;
	case STEP_FLUSH_SET:
		set = find_set(state, step->set->name);
		if (!set)
			return -ENOENT;
		set->element_count = set->range_count = 0;
		return 0;
	case STEP_DELETE_CHAIN:
		return delete_chain(state, step->chain);
	case STEP_DELETE_SET:
		return delete_set(state, step);
	case STEP_DELETE_COUNTER:
	case STEP_ADD_COUNTER:
		return change_counter(state, step, last_handle);
	case STEP_ADD_SET:
		return add_set(state, step->set, last_handle);
	case STEP_SET_CHAIN:
		return set_chain(state, step->chain);
	case STEP_ADD_CHAIN:
		return add_chain(state, step->chain, last_handle);
	case STEP_SET_HASH:
		return set_hash(state, step);
	case STEP_DELETE_ELEMENTS:
	case STEP_ADD_ELEMENTS:
		return change_elements(state, step);
	case STEP_ADD_RULE:
		return add_rule(state, step, last_handle);
	case STEP_DELETE_TUNNEL:
	case STEP_ADD_TUNNEL:
	case STEP_SET_TUNNEL:
	case STEP_DELETE_PEER:
	case STEP_SET_PEER:
	case STEP_DELETE_ROUTE:
	case STEP_DELETE_ADDRESS:
	case STEP_SET_LINK:
	case STEP_ADD_ADDRESS:
	case STEP_ADD_ROUTE:
	case STEP_KINDS:
		break;
	}
	return -EINVAL;
}

int fake_dynamic(struct state *state, const char *name, const struct addr *addr, bool add)
{
	struct set *set = find_set(state, name);
	struct element element = {0};
	memcpy(element.key, addr->bytes, sizeof(addr->bytes));
	if (!set || !set->dynamic)
		return -ENOENT;
	return add ? add_element(state, set, &element) : delete_element(set, &element);
}
