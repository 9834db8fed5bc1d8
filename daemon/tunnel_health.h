/* Health of a tunnel's peer, from what is observed of it: pure, no clock.
 * How old a handshake is the wall clock tells, which may jump; how long nothing
 * came the one since boot, so that a jump alone makes no peer dead or alive.
 *
 * Something is sent into the tunnel at every look, so a peer that lives has to
 * answer: with an ICMP error, or, when it keeps silent, with WireGuard's own
 * keepalive after 10 seconds (KEEPALIVE_TIMEOUT, WireGuard paper section 6.5).
 * A peer is down, or up again, only after several looks in a row say so. */
#pragma once

#include "../rules/state/tunnel.h"

#define TUNNEL_HEALTH_WHY 120

/* What the probes inside the tunnel saw (tunnel_probe.h). */
struct tunnel_path {
	uint32_t small_answered, small_missed; /* missed: in a row */
	uint32_t full_answered, full_missed;
};

void tunnel_path_count(struct tunnel_path *path, bool full, bool answered);

struct tunnel_health {
	bool up, known;
	uint64_t received;     /* at the last progress */
	uint64_t progress_at;  /* seconds since boot */
	bool progressed;       /* it was seen to, and not only taken for the first look */
	uint64_t first_at;     /* the first look, seconds since boot */
	bool was_up;
	bool hopeful;          /* new: there was no time for a handshake yet. Not up, and no reason to refuse clients */
	unsigned against;      /* looks in a row that say otherwise */
	const char *failed;    /* the check that fails: "device", "handshake", "receive", "path_mtu"; NULL: none */
	char why[TUNNEL_HEALTH_WHY];
};

/* seen NULL: the device or the peer is not there. now: seconds since the epoch; uptime: since boot. True when up has
 * changed. */
bool tunnel_health_look(struct tunnel_health *health, const struct tunnel_peer *seen, const struct tunnel_path *path,
			uint32_t mtu, uint64_t now, uint64_t uptime);
