/* Probes inside a tunnel: datagrams to a peer's own address, small and as large
 * as the device takes, without fragments. An answer is the ICMP error of a port
 * that nobody listens on; a peer that gives none is still made to send a
 * keepalive by WireGuard itself. */
#pragma once

#include "tunnel_health.h"

#include "../rules/base/addr.h"

struct tunnel_probe {
	int fd; /* -1: none yet */
	struct addr target;
	bool full, sent; /* what was sent last */
	unsigned turn;
	struct tunnel_path path;
};

#define TUNNEL_PROBE_NONE ((struct tunnel_probe){.fd = -1})

/* Take the answer to the last one, and send the next. Never waits; what fails is a miss. */
void tunnel_probe_step(struct tunnel_probe *probe, const struct addr *target, uint32_t mtu);
void tunnel_probe_close(struct tunnel_probe *probe);
