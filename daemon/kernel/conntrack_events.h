/* Sees TCP flows come to stand (ctnetlink's group for updates), for the event
 * loop. The kernel only makes these notifications while somebody listens, for
 * flows that began since. In the calling thread's network namespace. */
#pragma once

#include "conntrack.h"

struct conntrack_events;

/* 0 or -errno. */
int conntrack_events_open(struct conntrack_events **ret_events);
void conntrack_events_close(struct conntrack_events **events);
/* Readable when there is something; never write to it. */
int conntrack_events_fd(const struct conntrack_events *events);
/* Shows look each TCP flow with (mark & mask) == mark whose handshake is complete, once. Reads a bounded amount: call again
 * while the descriptor is readable. True when notifications were lost. */
bool conntrack_events_read(struct conntrack_events *events, uint32_t mark, uint32_t mask,
			   void (*look)(void *context, const struct flow *flow), void *context);
