/* Deep copies of states, and a comparison that does not use the diff: what the
 * diff is tested with must not trust it. */
#include "state_copy.h"

#include <stdlib.h>
#include <string.h>

static void *must(void *pointer)
{
	if (!pointer)
		abort();
	return pointer;
}

/* Room for a power of two items: see insert() of the fake kernel. */
static size_t room(size_t count)
{
	size_t items = 1;
	while (items < count)
		items *= 2;
	return items;
}

const char *copy_text(struct arena *arena, const char *text)
{
	return text ? must(arena_strdup(arena, text)) : NULL;
}

static void copy_expr_text(struct arena *arena, struct expr *expr)
{
	if (expr->kind == EXPR_LOOKUP)
		expr->lookup.set = copy_text(arena, expr->lookup.set);
	else if (expr->kind == EXPR_DYNSET)
		expr->dynset.set = copy_text(arena, expr->dynset.set);
	else if (expr->kind == EXPR_COUNTER)
		expr->counter.name = copy_text(arena, expr->counter.name);
	else if (expr->kind == EXPR_LOG)
		expr->log.prefix = copy_text(arena, expr->log.prefix);
	else if (expr->kind == EXPR_VERDICT)
		expr->verdict.chain = copy_text(arena, expr->verdict.chain);
}

struct rule_state copy_rule(struct arena *arena, const struct rule_state *rule)
{
	struct rule_state copy = *rule;
	struct expr *exprs = must(arena_array(arena, rule->expr_count, struct expr));
	for (size_t i = 0; i < rule->expr_count; i++) {
		exprs[i] = rule->exprs[i];
		copy_expr_text(arena, &exprs[i]);
	}
	copy.exprs = exprs;
	copy.comment = copy_text(arena, rule->comment);
	copy.at.file = NULL;
	return copy;
}

struct element copy_element(struct arena *arena, const struct element *element)
{
	struct element copy = *element;
	copy.chain = copy_text(arena, element->chain);
	return copy;
}

struct chain copy_chain_head(struct arena *arena, const struct chain *chain)
{
	struct chain copy = *chain;
	copy.name = copy_text(arena, chain->name);
	copy.rules = NULL;
	copy.rule_count = 0;
	copy.at.file = NULL;
	return copy;
}

struct set copy_set_head(struct arena *arena, const struct set *set)
{
	struct set copy = *set;
	copy.name = copy_text(arena, set->name);
	copy.comment = copy_text(arena, set->comment);
	copy.elements = NULL;
	copy.element_count = 0;
	copy.ranges = NULL;
	copy.range_count = 0;
	copy.at.file = NULL;
	return copy;
}

static struct chain copy_chain(struct arena *arena, const struct chain *chain)
{
	struct chain copy = copy_chain_head(arena, chain);
	struct rule_state *rules = must(arena_array(arena, room(chain->rule_count), struct rule_state));
	for (size_t i = 0; i < chain->rule_count; i++)
		rules[i] = copy_rule(arena, &chain->rules[i]);
	copy.rules = rules;
	copy.rule_count = chain->rule_count;
	return copy;
}

static struct set copy_set(struct arena *arena, const struct set *set)
{
	struct set copy = copy_set_head(arena, set);
	struct element *elements = must(arena_array(arena, room(set->element_count), struct element));
	for (size_t i = 0; i < set->element_count; i++)
		elements[i] = copy_element(arena, &set->elements[i]);
	copy.elements = elements;
	copy.element_count = set->element_count;
	copy.ranges = must(arena_memdup(arena, set->ranges, set->range_count * sizeof(*set->ranges)));
	copy.range_count = set->range_count;
	return copy;
}

struct state *state_copy(const struct state *state)
{
	struct state *copy = must(state_new());
	struct arena *arena = copy->arena;
	*copy = *state;
	copy->arena = arena;
	copy->chains = must(arena_array(arena, room(state->chain_count), struct chain));
	for (size_t i = 0; i < state->chain_count; i++)
		copy->chains[i] = copy_chain(arena, &state->chains[i]);
	copy->sets = must(arena_array(arena, room(state->set_count), struct set));
	for (size_t i = 0; i < state->set_count; i++)
		copy->sets[i] = copy_set(arena, &state->sets[i]);
	copy->counters = must(arena_array(arena, room(state->counter_count), struct counter));
	for (size_t i = 0; i < state->counter_count; i++)
		copy->counters[i] = (struct counter){.name = copy_text(arena, state->counters[i].name),
						     .handle = state->counters[i].handle};
	copy->sysctls = must(arena_array(arena, room(state->sysctl_count), struct sysctl));
	for (size_t i = 0; i < state->sysctl_count; i++)
		copy->sysctls[i] = (struct sysctl){.name = copy_text(arena, state->sysctls[i].name),
						   .value = copy_text(arena, state->sysctls[i].value)};
	return copy;
}

static const char *chain_difference(const struct chain *a, const struct chain *b, struct arena *arena)
{
	if (!chain_definition_equal(a, b))
		return arena_printf(arena, "definition of chains %s and %s", a->name, b->name);
	if (a->rule_count != b->rule_count)
		return arena_printf(arena, "chain %s: %zu and %zu rules", a->name, a->rule_count, b->rule_count);
	for (size_t i = 0; i < a->rule_count; i++) {
		if (!rule_equal(&a->rules[i], &b->rules[i]))
			return arena_printf(arena, "chain %s: rule %zu", a->name, i);
	}
	return NULL;
}

static bool ranges_equal(const struct set *a, const struct set *b)
{
	if (a->range_count != b->range_count)
		return false;
	for (size_t i = 0; i < a->range_count; i++) {
		if (!addr_equal(&a->ranges[i].first, &b->ranges[i].first) ||
		    !addr_equal(&a->ranges[i].last, &b->ranges[i].last))
			return false;
	}
	return true;
}

static const char *set_difference(const struct set *a, const struct set *b, struct arena *arena)
{
	if (!set_definition_equal(a, b))
		return arena_printf(arena, "definition of sets %s and %s", a->name, b->name);
	if (memcmp(a->hash, b->hash, sizeof(a->hash)) != 0)
		return arena_printf(arena, "hash of set %s", a->name);
	static const uint8_t none[sizeof(a->hash)];
	bool unread = memcmp(a->hash, none, sizeof(none)) != 0 && (!a->range_count || !b->range_count);
	if (a->dynamic || unread)
		return NULL;
	if (a->element_count != b->element_count)
		return arena_printf(arena, "set %s: %zu and %zu elements", a->name, a->element_count, b->element_count);
	for (size_t i = 0; i < a->element_count; i++) {
		if (!element_equal(&a->elements[i], &b->elements[i]))
			return arena_printf(arena, "set %s: element %zu", a->name, i);
	}
	if (!ranges_equal(a, b))
		return arena_printf(arena, "set %s: ranges", a->name);
	return NULL;
}

static const char *sysctl_difference(const struct state *a, const struct state *b, struct arena *arena)
{
	for (size_t i = 0; i < b->sysctl_count; i++) {
		size_t j = 0;
		while (j < a->sysctl_count && strcmp(a->sysctls[j].name, b->sysctls[i].name) != 0)
			j++;
		if (j == a->sysctl_count || strcmp(a->sysctls[j].value, b->sysctls[i].value) != 0)
			return arena_printf(arena, "sysctl %s", b->sysctls[i].name);
	}
	return NULL;
}

const char *state_difference(const struct state *a, const struct state *b, struct arena *arena)
{
	const char *difference = sysctl_difference(a, b, arena);
	if (difference)
		return difference;
	if (a->present != b->present || a->owner != b->owner)
		return "table or its flags";
	if (a->chain_count != b->chain_count || a->set_count != b->set_count || a->counter_count != b->counter_count)
		return arena_printf(arena, "%zu and %zu chains, %zu and %zu sets, %zu and %zu counters", a->chain_count,
				    b->chain_count, a->set_count, b->set_count, a->counter_count, b->counter_count);
	for (size_t i = 0; i < a->counter_count && !difference; i++) {
		if (strcmp(a->counters[i].name, b->counters[i].name) != 0)
			difference = arena_printf(arena, "counter %s", a->counters[i].name);
	}
	for (size_t i = 0; i < a->set_count && !difference; i++)
		difference = set_difference(&a->sets[i], &b->sets[i], arena);
	for (size_t i = 0; i < a->chain_count && !difference; i++)
		difference = chain_difference(&a->chains[i], &b->chains[i], arena);
	return difference;
}
