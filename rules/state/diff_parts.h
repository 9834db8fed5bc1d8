/* What the files of the diff share; nobody else includes this. */
#pragma once

#include "diff.h"

struct diff {
	struct arena *arena;
	const struct state *observed, *known, *desired;
	bool *chain_anew; /* by index in observed: deleted and added again */
	bool *set_anew;   /* likewise */
	bool any_set_anew;
	struct steps steps; /* in any order; diff_states sorts them by kind */
};

/* Append a copy of step. 0 or -ENOMEM. */
int diff_add(struct diff *diff, const struct step *step);
/* True when the set of this name is deleted and added again. (Who asks for chains? Nobody: only regular chains are
 * jumped to, and one that was and stays regular has nothing that could change.) */
bool diff_set_is_anew(const struct diff *diff, const char *name);

/* Tunnels, with all that belongs to them. */
int diff_tunnels(struct diff *diff);
/* Rules of a chain that stays. */
int diff_rules(struct diff *diff, const struct chain *observed, const struct chain *desired);
/* All rules of a chain that is new. */
int diff_rules_add_all(struct diff *diff, const struct chain *desired);
/* Elements or ranges of a set that stays and is not dynamic. */
int diff_content(struct diff *diff, const struct set *observed, const struct set *desired);
/* All content of a set that is new. */
int diff_content_add_all(struct diff *diff, const struct set *desired);
