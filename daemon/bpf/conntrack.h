/* What conntrack says of a flow, and the entries that stand for flows here:
 * made at the SYN-ACK, derived when lost, swept when conntrack has forgotten. */
#pragma once

#include "maps.h"

#include <bpf/bpf_core_read.h>
#include <linux/pkt_cls.h>

#define SWEEP_STEPS 8   /* entries that are looked at for each new one, while they are dead: about as many dead as live stay */
#define SWEEP_FULL 16   /* and when there is no room */
#define STALE_WINDOW 65536u

#define probe(to, from, field) bpf_probe_read_kernel(to, sizeof(*(to)), (const void *)(from) + (field))

/* The conntrack entry that netfilter has attached to the packet: no look-up needed. */
static __always_inline unsigned long skb_conntrack(struct __sk_buff *skb)
{
	unsigned long held = 0;
	probe(&held, skb, bpf_core_field_offset(struct sk_buff, _nfct));
	return held;
}

static __always_inline __u32 conntrack_mark(const void *ct)
{
	__u32 mark = 0;
	probe(&mark, ct, bpf_core_field_offset(struct nf_conn, mark));
	return mark;
}

/* A field of the tuple in a copy of it: where it lies in the copy, CO-RE knows. */
#define tuple_base bpf_core_field_offset(struct nf_conn, tuplehash[0].tuple)
#define tuple_at(copy, field) ((copy) + (bpf_core_field_offset(struct nf_conn, tuplehash[0].tuple.field) - tuple_base))

static __always_inline void origin_address(__u32 *to, const __u32 *words, int v4)
{
	if (v4)
		v4_mapped(to, words[0]);
	else
		__builtin_memcpy(to, words, 16);
}

static __always_inline void origin_read(struct origin *origin, const void *ct)
{
	__u8 *copy = origin->tuple;
	bpf_probe_read_kernel(copy, 40, ct + tuple_base);
	int v4 = *(__u16 *)tuple_at(copy, src.l3num) == FAMILY_INET;
	origin_address(origin->ends.source, (__u32 *)tuple_at(copy, src.u3), v4);
	origin_address(origin->ends.destination, (__u32 *)tuple_at(copy, dst.u3), v4);
	origin->ends.source_port = *(__u16 *)tuple_at(copy, src.u.all);
	origin->ends.destination_port = *(__u16 *)tuple_at(copy, dst.u.all);
	probe(&origin->client_end, ct, bpf_core_field_offset(struct nf_conn, proto.tcp.seen[0].td_end));
	probe(&origin->state, ct, bpf_core_field_offset(struct nf_conn, proto.tcp.state));
	origin->mark = conntrack_mark(ct);
}

/* The flow that a packet from the node with this key would belong to. 1 when there is one and it has a header. */
WIRE_CALL int origin_find(struct __sk_buff *skb, const struct flow_key *key, struct origin *origin)
{
	struct bpf_ct_opts opts = {.netns_id = -1, .l4proto = PROTO_TCP};
	struct bpf_sock_tuple tuple = {0};
	struct nf_conn *ct;
	if (!key || !origin)
		return 0;
	if (wire_is_v4(key->node)) {
		tuple.ipv4.saddr = key->node[3];
		tuple.ipv4.daddr = key->peer[3];
		tuple.ipv4.sport = key->node_port;
		tuple.ipv4.dport = key->peer_port;
		ct = bpf_skb_ct_lookup(skb, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts));
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, key->node, 16);
		__builtin_memcpy(tuple.ipv6.daddr, key->peer, 16);
		tuple.ipv6.sport = key->node_port;
		tuple.ipv6.dport = key->peer_port;
		ct = bpf_skb_ct_lookup(skb, &tuple, sizeof(tuple.ipv6), &opts, sizeof(opts));
	}
	if (!ct)
		return 0;
	origin_read(origin, ct);
	origin->reply = opts.dir == CONNTRACK_REPLY;
	bpf_ct_release(ct);
	return origin->reply && (origin->mark & MARK_HEADER_MASK) != 0;
}

static __always_inline struct flow *flow_find(const struct flow_key *key)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);
	return flow && !flow->dead ? flow : NULL;
}

/* One entry: gone when conntrack has forgotten the flow, else at the end of the queue again. Uses work->origin. */
WIRE_CALL int sweep_one(struct __sk_buff *skb)
{
	struct work *work = work_here();
	if (!work || bpf_map_pop_elem(&sweep, &work->swept))
		return 0;
	struct flow *flow = bpf_map_lookup_elem(&flows, &work->swept);
	if (!flow)
		return 0;
	if (!flow->dead && origin_find(skb, &work->swept, &work->origin)) {
		bpf_map_push_elem(&sweep, &work->swept, 0);
		return 0;
	}
	if (!bpf_map_delete_elem(&flows, &work->swept)) {
		usage_add(-1);
		count(FLOW_EXPIRED);
	}
	return 1;
}

/* Enters work->entry under work->key. 0, or -1 when there is no room even after a look around. Spoils work->origin.
 * old: what is there now. */
WIRE_CALL int flow_enter(struct __sk_buff *skb, struct flow *old)
{
	struct work *work = work_here();
	if (!work)
		return -1;
	if (old) {
		*old = work->entry;
		return 0;
	}
	if (bpf_map_update_elem(&flows, &work->key, &work->entry, BPF_ANY)) {
		for (int i = 0; i < SWEEP_FULL; i++)
			sweep_one(skb);
		if (bpf_map_update_elem(&flows, &work->key, &work->entry, BPF_ANY)) {
			count(FLOW_DROP_FULL);
			return -1;
		}
	}
	if (usage_add(1))
		for (int i = 0; i < SWEEP_STEPS && sweep_one(skb); i++)
			;
	if (bpf_map_push_elem(&sweep, &work->key, 0)) {
		/* What the sweep does not know would stay for ever. */
		if (!bpf_map_delete_elem(&flows, &work->key))
			usage_add(-1);
		count(FLOW_DROP_FULL);
		return -1;
	}
	return 0;
}

static __always_inline __u16 header_length(struct work *work)
{
	if ((work->origin.mark & MARK_HEADER_MASK) != MARK_HEADER_V1)
		return wire_v2_length(wire_is_v4(work->origin.ends.source), work->origin.mark);
	wire_put_header(&work->header, &work->origin.ends, work->origin.mark, 0);
	return (__u16)work->header.length;
}

/* The entry of a flow that is established for conntrack is lost: the shift is known from addresses and mark. Whether
 * the node has the header is not; if it has not, it waits for it for ever, since all that follows is shifted.
 * work->key and work->origin are the flow's. */
static __always_inline struct flow *flow_derive(struct __sk_buff *skb, struct work *work)
{
	__builtin_memset(&work->entry, 0, sizeof(work->entry));
	work->entry.acked = work->entry.past = work->entry.derived = work->entry.sent = 1;
	work->entry.length = header_length(work);
	if (flow_enter(skb, bpf_map_lookup_elem(&flows, &work->key)))
		return NULL;
	count(FLOW_DERIVED);
	suspect_all();
	return flow_find(&work->key);
}

/* The SYN-ACK: from here on the flow is known. A flow that conntrack has not marked takes the place of one that it
 * had before. */
WIRE_CALL int flow_begin(struct __sk_buff *skb, const struct segment *s)
{
	struct work *work = work_here();
	if (!work || !s)
		return TC_ACT_SHOT;
	work->key = s->key;
	struct flow *old = bpf_map_lookup_elem(&flows, &work->key);
	if (!origin_find(skb, &work->key, &work->origin)) {
		if (old)
			old->dead = 1;
		return TC_ACT_OK;
	}
	if (old && !old->dead && !old->derived && old->isn == s->ack - 1)
		return TC_ACT_OK;
	/* One of the flow's predecessor: conntrack will judge it. (Data in the SYN is cut off: the node acknowledges less
	 * than conntrack saw.) */
	if (work->origin.client_end - s->ack > STALE_WINDOW)
		return TC_ACT_OK;
	__builtin_memset(&work->entry, 0, sizeof(work->entry));
	work->entry.isn = s->ack - 1;
	work->entry.id = (bpf_ktime_get_tai_ns() & ~63ULL) | (bpf_get_smp_processor_id() & 63);
	work->entry.length = header_length(work);
	if (flow_enter(skb, old))
		return TC_ACT_SHOT;
	count(FLOW_FLOWS);
	return TC_ACT_OK;
}
