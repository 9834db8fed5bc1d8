/* The maps, and what stands in them besides flows. */
#pragma once

#include "kernel_types.h"
#include "options.h"
#include "segment.h"

#define FLOWS_DEFAULT 65536 /* the loader sizes it to the machine's conntrack table */

/* Without BPF_F_NO_PREALLOC it would take its whole memory at once. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOWS_DEFAULT);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* Each key of flows once, in the order in which the sweep comes to them. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, FLOWS_DEFAULT);
	__type(value, struct flow_key);
} sweep SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FLOW_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* enum flow_usage. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_USAGES);
	__type(key, __u32);
	__type(value, __u32);
} usage SEC(".maps");

/* What conntrack knows of a flow, in its original direction. */
struct origin {
	struct wire_ends ends;
	__u32 mark;
	__u32 client_end; /* the sequence number behind the last byte that conntrack saw from the client */
	__u8 tuple[64] __attribute__((aligned(8))); /* a copy of conntrack's, to read these from */
	__u8 state, reply; /* enum tcp_conntrack; reply: the tuple that was looked up is that of the reply direction */
};

enum work_mode {
	WORK_NONE,
	WORK_CLONE, /* the packet under way is a copy, of which only the header is to be sent */
	WORK_READY, /* the packet under way was made by the ingress program: it passes as it is */
};

/* Room to work, one per CPU. A copy that is sent from within a program comes through the same program again, on the
 * same CPU and before the first goes on: mode tells it so. */
struct work {
	struct origin origin;
	struct flow entry;          /* what flow_enter enters, under key */
	struct flow_key key, swept; /* kernel 6.1 wants keys in a map or on the stack, and the stack is short */
	struct wire_bytes header;
	struct tcp_header tcp;
	struct wire_options options, before; /* before: as they were, for the checksum */
	__u32 mode;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct work);
} works SEC(".maps");

static __always_inline struct work *work_here(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&works, &zero);
}

static __always_inline void count(__u32 which)
{
	__u64 *counter = bpf_map_lookup_elem(&counters, &which);
	if (counter)
		*counter += 1;
}

static __always_inline int suspect(void)
{
	__u32 index = FLOW_SUSPECT, *value = bpf_map_lookup_elem(&usage, &index);
	return value && *value;
}

static __always_inline void suspect_all(void)
{
	__u32 index = FLOW_SUSPECT, *value = bpf_map_lookup_elem(&usage, &index);
	if (value && !*value)
		*value = 1;
}

/* True when so many entries are there that it is worth to look for dead ones. */
static __always_inline int usage_add(__s32 number)
{
	__u32 entries = FLOW_ENTRIES, room = FLOW_ROOM;
	__u32 *now = bpf_map_lookup_elem(&usage, &entries), *most = bpf_map_lookup_elem(&usage, &room);
	if (!now || !most)
		return 1;
	return __sync_fetch_and_add(now, (__u32)number) > *most / 8;
}
