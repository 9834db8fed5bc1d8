/* Conntrack: reading and ending flows, by ctnetlink. In the calling thread's
 * network namespace. */
#pragma once

#include "../../rules/base/addr.h"

#include <stdint.h>

struct nlmsghdr;

struct flow_tuple {
	struct addr from, to;
	uint16_t from_port, to_port; /* host byte order; ICMP: 0 */
};

struct flow {
	uint8_t protocol; /* IPPROTO_* */
	struct flow_tuple original, reply;
	uint32_t mark;
	uint32_t status;      /* IPS_* bits */
	const char *state;    /* TCP: "established"...; "" for others. Static. */
	uint64_t packets_in, bytes_in;   /* original direction; 0 without accounting */
	uint64_t packets_out, bytes_out; /* reply direction */
	uint32_t timeout_seconds;
	uint64_t age_seconds; /* 0 when the kernel keeps no time stamps */
	uint32_t id;
};

/* Have the kernel load conntrack where it is a module, by asking for its statistics (nfnetlink loads the subsystem
 * that a request names): its sysctls, which come before the rules, do not exist earlier. -errno: it has none. */
int conntrack_load(void);

/* The flow that a message of ctnetlink speaks of; now_ns: since 1970, for its age. 0, -EBADMSG (also: neither IPv4 nor
 * IPv6), -ENOMEM. */
int conntrack_flow_of(const struct nlmsghdr *message, uint64_t now_ns, struct flow *ret_flow);

/* What to do with a flow that is shown. */
enum flow_verdict { FLOW_KEEP, FLOW_END, FLOW_STOP /* no more, please */ };

/* Show every flow with (mark & mask) == mark to look, both families, and end those that it says to end.
 * Reading is bounded by the kernel's table; what comes and goes meanwhile may be missed, or seen twice.
 * Returns how many were ended, or -errno. */
int conntrack_walk(uint32_t mark, uint32_t mask, enum flow_verdict (*look)(void *context, const struct flow *flow),
		   void *context);
