/* Injection: where the kernel adds PROXY headers. Adopts the header programs
 * (starting the loader when nothing is pinned yet), attaches them to the
 * devices that face the nodes, and tells the run data which devices have them.
 *
 * Nothing here fails an apply: without the programs, forwards are served by
 * the other plane or closed, as their `via:` says, and the run data say why. */
#pragma once

#include "runtime.h"

struct event_base;
struct headers;
struct injection;

/* changed (may be NULL) is called from the event loop when the run data may have changed: look again.
 * base NULL: adopt what is there, start and watch nothing. 0 or -errno. */
int injection_open(struct event_base *base, const char *runtime_dir, struct runtime *runtime,
		   void (*changed)(void *context), void *context, struct injection **ret_injection);
/* What is attached stays so. */
void injection_close(struct injection **injection);
/* Attach to lan and tunnels where a forward of model wants headers, and look where the programs are.
 * 1: the run data have changed; 0; or -ENOMEM. */
int injection_update(struct injection *injection, const struct model *model);
/* True while nothing is pinned: a loader that runs after main (the packaged one does) says nothing when it is done. */
bool injection_waits(const struct injection *injection);
/* Take the programs off everywhere (a flush). */
void injection_remove(struct injection *injection, const struct model *model);
/* The adopted programs, for counters and flows; NULL: none. Good until the event loop goes on. */
const struct headers *injection_headers(const struct injection *injection);
