/* The header-injection programs, as role main sees them: adopted from where the
 * loader pinned them, attached to the devices that face the nodes.
 *
 * The loader (`edged --role loader --runtime-dir DIR`, as root, once before
 * main) mounts a bpffs of its own at DIR/bpf and pins programs and maps there.
 * So a test, the lab and the machine itself have programs of their own, and
 * nothing depends on /sys, which `ip netns exec` replaces. Main needs no more
 * than CAP_NET_ADMIN: it opens the pins and attaches them by netlink, in the
 * network namespace of the calling thread. Nothing here is undone by a close:
 * what is attached stays so when edged ends.
 *
 * Flows are chosen by the conntrack mark alone (MARK_HEADER_* in
 * rules/state/state.h). A marked flow that leaves by a device without the
 * programs gets no header: a forward is only via kernel while all devices that
 * lead to its nodes are attached. */
#pragma once

#include "../../rules/base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order of enum flow_counter in daemon/bpf/flow.h. */
enum headers_counter {
	HEADERS_SENT,         /* headers sent: with a bare ACK, or ahead of data */
	HEADERS_AGAIN,        /* of these: sent once more */
	HEADERS_FLOWS,        /* flows whose handshake was seen */
	HEADERS_EXPIRED,      /* entries removed since their flow is gone */
	HEADERS_DERIVED,      /* entries that were lost, and made anew from conntrack */
	HEADERS_RESET_HELD,   /* resets of a node that did not know the flow yet (syncookies) */
	HEADERS_ICMP,         /* ICMP errors whose quoted segment was shifted back */
	HEADERS_DROP_FULL,    /* dropped: no room for the flow (the SYN-ACK) */
	HEADERS_DROP_STATE,   /* dropped: a marked flow's segment that no entry and no conntrack state explains */
	HEADERS_DROP_SHAPE,   /* dropped: a segment that cannot be read or written (cut short, fragments of the first) */
	HEADERS_COUNTERS
};
extern const char *const headers_counter_names[HEADERS_COUNTERS]; /* "sent", "again", ... "drop-full", ... */

enum headers_state { HEADERS_WAITING /* not yet sent */, HEADERS_UNACKNOWLEDGED, HEADERS_DELIVERED };
extern const char *const headers_state_names[HEADERS_DELIVERED + 1];

/* One flow, by the addresses it has towards the node (after SNAT). An entry may outlive its flow for a while:
 * only what conntrack lists too is live. */
struct headers_flow {
	struct addr node, peer;
	uint16_t node_port, peer_port; /* host byte order */
	enum headers_state state;
	uint16_t length;  /* bytes of the header */
	bool derived;     /* the entry was lost and made anew: what happened before is not known */
	uint64_t unique_id; /* sent as UNIQUE_ID, 16 hexadecimal digits, where the mark asks for it; 0: not known */
};

struct headers;

/* The loader's whole work: mount, load, pin; an older version's programs are replaced, and its maps kept with their
 * entries where their layout is the same. room: for so many flows; 0: for what conntrack can hold. Logs what it does.
 * 0 or -errno. */
int headers_load(const char *runtime_dir, uint32_t room);
/* Remove pins and mount, for `edgectl flush`; needs the loader's rights. What is still attached works on. */
int headers_unload(const char *runtime_dir);

/* Adopt what the loader pinned. 0, -ENOENT when nothing is pinned there (this kernel has no kernel plane, or the
 * loader did not run), or another -errno. Open it again after the loader has run again (headers_stale). */
int headers_open(const char *runtime_dir, struct headers **ret_headers);
void headers_close(struct headers **headers);
#define cleanup_headers __attribute__((cleanup(headers_close)))
/* True when the loader has pinned other programs since. */
bool headers_stale(const struct headers *headers);

/* Both directions of a device, by clsact with a fixed handle and priority; what is there and right stays untouched, our
 * own older programs are replaced without a gap. 0, -ENODEV, or another -errno. */
int headers_attach(const struct headers *headers, unsigned ifindex);
/* 0: attached and right. -ENOENT: (one of) the filters is not there. -ESTALE: another program sits there. -ENODEV. */
int headers_check(const struct headers *headers, unsigned ifindex);
/* Removes our filters; the clsact qdisc stays, it may be in use by others. 0 also when there were none. */
int headers_detach(unsigned ifindex);

/* Sums over all CPUs, since the maps were made. */
int headers_counters(const struct headers *headers, uint64_t ret_values[HEADERS_COUNTERS]);
/* How many flows the map has room for, and how many entries it has now. */
int headers_usage(const struct headers *headers, uint32_t *ret_entries, uint32_t *ret_room);
/* Fills in what is known of the flow with ret_flow's addresses and ports. 0 or -ENOENT. */
int headers_find(const struct headers *headers, struct headers_flow *ret_flow);
/* All entries, for `show connections`; ret_flows is malloc'd. */
int headers_flows(const struct headers *headers, struct headers_flow **ret_flows, size_t *ret_count);
