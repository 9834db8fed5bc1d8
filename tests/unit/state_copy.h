/* Deep copies and full comparison of states, for fakes and tests. */
#pragma once

#include "../../rules/state/state.h"

#include <stdbool.h>

/* A copy that shares nothing with state; aborts when out of memory. Its arrays have
 * room for the next power of two items. */
struct state *state_copy(const struct state *state);
/* The same into an arena: single objects. */
const char *copy_text(struct arena *arena, const char *text);
struct rule_state copy_rule(struct arena *arena, const struct rule_state *rule);
struct element copy_element(struct arena *arena, const struct element *element);
/* Definition only: no rules, no elements, no ranges. */
struct chain copy_chain_head(struct arena *arena, const struct chain *chain);
struct set copy_set_head(struct arena *arena, const struct set *set);

/* NULL when both hold the same (handles, origins and the content of dynamic sets apart; a set whose content
 * was not read is compared by its hash); else what differs first. */
const char *state_difference(const struct state *a, const struct state *b, struct arena *arena);
