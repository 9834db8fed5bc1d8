/* A state with every kind of expression, set and chain in it, for tests of the kernel's encoder and decoder. */
#pragma once

#include "../../rules/state/state.h"

/* Aborts when out of memory. large: ranges in the set "large" (0: the set is small, without hash). The caller frees it. */
struct state *nft_sample(size_t large);
/* One of every expression kind, several of some; none needs to make sense in a rule. */
const struct expr *nft_sample_exprs(size_t *ret_count);
