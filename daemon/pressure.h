/* Pressure: which forwards are under a flood of SYNs, measured by the ruleset's
 * counters and by conntrack's half-open flows; what `synproxy: auto` goes by. */
#pragma once

#include "kernel/kernel.h"
#include "runtime.h"

struct pressure;

struct pressure *pressure_new(void);
void pressure_free(struct pressure **pressure);
/* Another configuration is in force: its forwards are looked at anew, what was under pressure still is. */
void pressure_forget(struct pressure *pressure);
/* Once a second: look, and tell the run data. 1: a forward came under pressure, or out of it; 0; or -errno.
 * With thousands of forwards it looks less often, so that it never takes more than a few percent of the time. */
int pressure_look(struct pressure *pressure, struct kernel *kernel, const struct model *model, struct runtime *runtime,
		  uint64_t now);
