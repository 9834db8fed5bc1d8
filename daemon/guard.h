/* Guard: the timer of a pending confirmation that lives outside main, so that
 * the old configuration comes back even when edged was killed and nothing
 * starts it again. */
#pragma once

#include "options.h"

/* Start a guard as a process of its own, which outlives this one. 0 or -errno. */
int guard_start(const struct options *options);
/* `edged --expire-pending`: wait for the deadline; then, if no edged runs, go
 * back. 0, or -errno after the reason was logged. */
int guard_main(const struct options *options);
