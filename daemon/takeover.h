/* Takeover: forwarder workers outlive a main that was killed. Main writes down
 * who they are; the next main tells them to finish once its own serve. */
#pragma once

#include "role.h"

/* At the start: set the former main's list aside, before ours replaces it. */
void takeover_begin(const char *runtime_dir);
/* Write the pids and start times of the running workers to RUNTIME_DIR/workers. */
void takeover_write(const char *runtime_dir, const struct roles *roles);
/* Send SIGUSR1 (stop accepting, serve what is open) to the workers of a former
 * main. A pid that was reused by another program is recognised by its start time. */
void takeover_finish(const char *runtime_dir);
