/* World: two network namespaces without names, the edge and everything around
 * it, joined by one veth pair for each of the edge's legs. The process enters
 * them; they vanish with it.
 *
 * Usage: world_open, then apply a ruleset inside (the thread is in the edge
 * then), world_watch, and rounds of world_send, world_settle, world_collect.
 * The process must stay on one CPU: then all packets go through one queue in
 * order, and world_settle knows when it is empty. */
#pragma once

#include "frame.h"
#include "settings.h"

struct leg {
	enum place_kind kind; /* WAN, LAN, TUNNEL; SELF: what the edge has delivered to itself */
	const struct tunnel *tunnel;
	const char *device; /* in the edge */
	int ifindex;        /* of the other end, in the world */
	uint8_t mac[6];     /* of the edge's end */
};

struct world {
	struct leg *legs;
	size_t leg_count;
	int inject, capture, tap_edge, tap_world; /* -1: not open */
	int edge_ns, world_ns;
};

struct captured {
	const struct leg *leg; /* where it came out */
	struct sighting sighting;
};

/* Build both namespaces; on return the thread is in the edge. Legs are in
 * arena. 0 or -errno; what ip(8) says against it goes to standard error. */
int world_open(const struct model *model, const struct settings *settings, struct arena *arena,
	       struct world *ret_world);
void world_close(struct world *world);
/* From now on what passes the edge's input hook comes out at the leg of kind SELF and goes no further. */
int world_watch(void);
const struct leg *world_leg(const struct world *world, enum place_kind kind, const struct tunnel *tunnel);
/* Into the edge, by this leg. */
int world_send(const struct world *world, const struct leg *leg, const uint8_t *frame, size_t length);
/* Wait until the edge has dealt with all that was sent: 0, or -ETIMEDOUT after 10 s. */
int world_settle(const struct world *world);
/* The next thing that came out: 1, 0 when there is nothing more, -EOVERFLOW when the kernel lost some. */
int world_collect(const struct world *world, struct captured *ret_captured);
/* Run a command with text as its standard input, in the thread's namespace: 0 or -EIO. */
int world_run(const char *command, const char *text);
