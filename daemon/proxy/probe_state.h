/* Rise and fall, and when to probe next. Pure: no clock, no sockets. */
#pragma once

#include "../../rules/model/model.h"

#include <stdbool.h>
#include <stdint.h>

/* up: the adopted state to start from; the rest zero. */
struct probe_state {
	bool up;
	bool proven;    /* rise or fall has been reached once, or the adopted state was confirmed */
	bool announced; /* main has been told once */
	uint32_t successes, failures; /* in a row */
};

/* One result. True when main is to be told the state: it changed, or it is known for the first time.
 * A pair that starts down is announced by its first failure; one that starts up by its first
 * success, or by falling. */
bool probe_state_take(struct probe_state *state, bool success, uint32_t rise, uint32_t fall);

/* The pair's place within its interval: the same on every start, so that probes are spread without chance. */
milliseconds probe_phase(const char *node, uint16_t port, milliseconds interval);
/* When to begin the next probe (monotonic ms), after one that began at begun and ended at now.
 *
 * Regularly: at the next time that is phase modulo interval, at least half an interval after begun.
 * While a pair that is down is unproven: a tenth of the interval later (100 ms to 1 s, never more than the
 * interval), so that a start takes rise tenths, not rise intervals; after fall failures the pair is proven. */
uint64_t probe_next(const struct probe_state *state, milliseconds phase, milliseconds interval, uint64_t begun,
		    uint64_t now);
