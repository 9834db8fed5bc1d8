/* The fake kernel's rules for single steps. Nobody but fake_kernel.c includes this. */
#pragma once

#include "../../rules/state/diff.h"

/* Apply one step to a state made by state_copy. 0, or the -errno that a kernel
 * would give; state is then half changed and must be thrown away. */
int fake_apply(struct state *state, const struct step *step, uint64_t *last_handle);
/* Add an address to a dynamic set, or delete it. */
int fake_dynamic(struct state *state, const char *name, const struct addr *addr, bool add);
bool fake_has_hash(const struct set *set);
