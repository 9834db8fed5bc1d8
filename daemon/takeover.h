/* Takeover: forwarder workers outlive a main that was killed. Main writes down
 * who they are; the next main tells them to finish once its own serve. */
#pragma once

#include "role.h"

#define TAKEOVER_MOST 256

/* Sockets of a former main's workers, where these are the service manager's units. */
struct takeover {
	int sockets[TAKEOVER_MOST];
	size_t count;
};

/* Keep one of them; context is the struct takeover. */
void takeover_inherit(void *context, int fd);
/* At the start: set the former main's list aside, before ours replaces it. */
void takeover_begin(const char *runtime_dir);
/* Write the pids and start times of the running workers to RUNTIME_DIR/workers. */
void takeover_write(const char *runtime_dir, const struct roles *roles);
/* Tell the workers of a former main to stop accepting and to serve what is open: by their sockets, and by SIGUSR1 those
 * that were its children. A pid that was reused by another program is recognised by its start time. */
void takeover_finish(const char *runtime_dir, struct takeover *takeover);
