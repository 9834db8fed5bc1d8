/* What the programs and role main share: the layout of the maps. Both sides
 * include it, so nothing here needs a header of either. A change of a layout
 * here makes the loader start with empty maps: see docs/header.md, "an entry
 * is lost". */
#pragma once

#include "../../rules/state/marks.h"

#include <linux/types.h>

#define FLOW_LAYOUT "2" /* in the names of the pinned maps: a new one with each change of a struct here */

/* A flow by the addresses that it has towards the node, network byte order; IPv4 as ::ffff:a.b.c.d, which adds
 * nothing to a ones' complement sum. */
struct flow_key {
	__u32 node[4], peer[4];
	__u16 node_port, peer_port;
};

struct flow {
	__u64 id;      /* of the flow, unique on this machine: nanoseconds since 1970, the CPU in the lowest bits */
	__u64 answered_at; /* nanoseconds since boot: the last header that a bare ACK of the node asked for */
	__u32 isn;     /* the client's initial sequence number */
	__u32 ack;     /* what the client acknowledged, and its window, with the last segment at ISN + 1 */
	__u32 end;     /* behind the last byte that the client sent, from ISN + 1; until the header is acknowledged */
	__u16 window;
	__u16 length;  /* of the header */
	__u8 dead;     /* the flow is gone, and another one that has no header has its addresses */
	__u8 sent;     /* the header was sent at least once */
	__u8 data;     /* data (or FIN) at ISN + 1 was seen */
	__u8 acked;    /* the node has acknowledged the header */
	__u8 past;     /* and so much more that comparisons with the ISN mean nothing any more */
	__u8 derived;  /* made from conntrack: isn, ack, window and id are not known */
	__u8 held;     /* one reset was held back */
	__u8 unused;
};

/* As enum headers_counter in daemon/kernel/header.h. */
/* Indices of the map usage. */
enum flow_usage {
	FLOW_ENTRIES,
	FLOW_ROOM,
	FLOW_SUSPECT, /* entries may be missing: look for each in conntrack */
	FLOW_USAGES
};

enum flow_counter {
	FLOW_SENT,
	FLOW_AGAIN,
	FLOW_FLOWS,
	FLOW_EXPIRED,
	FLOW_DERIVED,
	FLOW_RESET_HELD,
	FLOW_ICMP,
	FLOW_DROP_FULL,
	FLOW_DROP_STATE,
	FLOW_DROP_SHAPE,
	FLOW_COUNTERS
};
