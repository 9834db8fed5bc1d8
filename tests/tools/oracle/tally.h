/* Tally: what all packets of a run together must have done: the counters by
 * name, and the spread over the nodes. */
#pragma once

#include "judge.h"

#include "../../../daemon/kernel/kernel.h"

/* Hold the kernel's counters against the answers: returns how many differ (each is printed), or -errno. */
int tally_counters(const struct judge *judge, struct kernel *kernel, const struct case_record *records, size_t count);
/* round_robin: nodes get equally much; source: a source keeps its node. Returns how many forwards break it. */
int tally_balance(const struct judge *judge, const struct case_record *records, size_t count);
