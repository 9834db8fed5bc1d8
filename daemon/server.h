/* Server: role main. The event loop that ties together the engine, the history,
 * the other roles and the clock. */
#pragma once

#include "options.h"

/* Runs until SIGTERM or SIGINT. 0, or -errno after the reason was logged. */
int server_main(const struct options *options);
/* One-shot, for a pending confirmation that is overdue while no edged runs: bring
 * back the committed revision. 0 also when another edged holds the lock. */
int server_expire(const struct options *options);
