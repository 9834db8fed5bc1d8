/* The TC programs that put a PROXY header in front of a TCP stream which the
 * kernel forwards: on egress towards a node (after SNAT) and on ingress from it
 * (before conntrack). Flows are chosen by their conntrack mark, never by an
 * address. A header is a segment of its own; segments with data are only
 * renumbered, so that offloads stay valid. What should carry the header or a
 * shift and cannot is dropped and counted. docs/header.md has the hard cases. */
#include "write.h"

#define ANSWER_EVERY 20000000ULL /* ns: a lost header is sent again at a node's bare ACK, so often at most */
#define PAST (1u << 20)
#define TIMESTAMP_ALONE 0x0101080au /* two NOPs and RFC 7323's timestamps: what nearly every segment has */

char _license[] SEC("license") = "GPL";

/* What is true of a segment at ISN + 1 while the header is not acknowledged. */
static __always_inline void header_sent(struct flow *flow)
{
	count(FLOW_SENT);
	if (flow->sent)
		count(FLOW_AGAIN);
	flow->sent = 1;
}

/* The SYN: Fast Open's and MPTCP's options go, and its data, which the client sends again. */
WIRE_CALL int syn_write(struct __sk_buff *skb, const struct segment *s, struct work *work)
{
	if (!s || !work || tcp_load(skb, s, work))
		return drop(FLOW_DROP_SHAPE);
	int blanked = s->options ? options_blank_syn(&work->options, s->options) : 0;
	if (!blanked && !s->payload)
		return TC_ACT_OK;
	return segment_write(skb, s, work, 0) ? drop(FLOW_DROP_SHAPE) : TC_ACT_OK;
}

/* A bare ACK grows at its tail; so does the copy of a segment with data, once that is cut off. */
WIRE_CALL int header_write(struct __sk_buff *skb, const struct segment *s, struct work *work)
{
	if (!s || !work || tcp_load(skb, s, work))
		return -1;
	work->tcp.flags = TCP_ACK | TCP_PSH;
	work->tcp.urgent = 0;
	return segment_write(skb, s, work, work->header.length);
}

static __always_inline int header_build(struct work *work, const struct flow *flow)
{
	wire_put_header(&work->header, &work->origin.ends, work->origin.mark, flow->id);
	return work->header.length == flow->length ? 0 : -1;
}

/* A segment with data, FIN or RST at ISN + 1, and the header ahead of it: at once if it was never sent, or if the
 * segment comes again. */
static __always_inline int header_ahead(struct __sk_buff *skb, const struct segment *s, struct work *work,
					struct flow *flow)
{
	if (flow->sent && !flow->data && !(s->flags & TCP_RST))
		return 0;
	if (s->fragment)
		return flow->sent ? 0 : -1;
	if (header_build(work, flow))
		return -1;
	work->mode = WORK_CLONE;
	long failed = bpf_clone_redirect(skb, skb->ifindex, 0);
	work->mode = WORK_NONE;
	if (failed)
		return -1;
	header_sent(flow);
	return 0;
}

/* Before the header is acknowledged. */
WIRE_CALL int client_early(struct __sk_buff *skb, const struct segment *s, struct work *work, struct flow *flow)
{
	if (!s || !work || !flow)
		return TC_ACT_SHOT;
	__u32 length = flow->length, ahead = s->seq - (flow->isn + 1);
	/* A keep-alive probe: its number, and its one byte, must not reach into the header. */
	if ((__s32)ahead < 0)
		return TC_ACT_OK;
	__u32 end = ahead + s->payload + (s->flags & TCP_FIN ? 1 : 0);
	if (end > flow->end)
		flow->end = end;
	if (ahead)
		return number_write(skb, s->tcp, TCP_SEQ, s->seq, s->seq + length);
	if ((s->flags & (TCP_RST | TCP_ACK)) == TCP_RST)
		return flow->sent ? number_write(skb, s->tcp, TCP_SEQ, s->seq, s->seq + length) : TC_ACT_OK;
	flow->ack = s->ack;
	flow->window = s->window;
	if (segment_bare(s)) {
		if (header_build(work, flow) || header_write(skb, s, work))
			return drop(FLOW_DROP_SHAPE);
		header_sent(flow);
		return TC_ACT_OK;
	}
	if (header_ahead(skb, s, work, flow))
		return drop(FLOW_DROP_SHAPE);
	flow->data = 1;
	return number_write(skb, s->tcp, TCP_SEQ, s->seq, s->seq + length);
}

/* A marked flow without an entry. */
static __always_inline int client_lost(struct __sk_buff *skb, const struct segment *s, struct work *work)
{
	/* Its number is of no flow that we know: an answer to what the node said before a SYN-ACK. */
	if (s->flags & TCP_RST)
		return TC_ACT_OK;
	if (work->origin.state < STATE_SYN_RECV || work->origin.state == STATE_SYN_SENT2)
		return drop(FLOW_DROP_STATE);
	struct flow *flow = flow_derive(skb, work);
	if (!flow)
		return TC_ACT_SHOT;
	return number_write(skb, s->tcp, TCP_SEQ, s->seq, s->seq + flow->length);
}

/* flow: of s->key, as far as it was looked for; NULL for a SYN. */
WIRE_CALL int client_slow(struct __sk_buff *skb, const struct segment *s, __u64 ct, struct flow *flow)
{
	struct work *work = work_here();
	if (!s || !work)
		return TC_ACT_SHOT;
	if (work->mode == WORK_CLONE)
		return header_write(skb, s, work) ? drop(FLOW_DROP_SHAPE) : TC_ACT_OK;
	if (ct && (s->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return syn_write(skb, s, work);
	if (ct)
		origin_read(&work->origin, (const void *)ct);
	else if (!origin_find(skb, &s->key, &work->origin))
		return TC_ACT_OK;
	if (s->flags & TCP_SYN)
		return s->flags & TCP_ACK ? drop(FLOW_DROP_STATE) : syn_write(skb, s, work);
	if (!flow) {
		work->key = s->key;
		return client_lost(skb, s, work);
	}
	if (flow->acked)
		return number_write(skb, s->tcp, TCP_SEQ, s->seq, s->seq + flow->length);
	return client_early(skb, s, work, flow);
}

static __always_inline int to_node(struct __sk_buff *skb, int link)
{
	unsigned long held = skb_conntrack(skb), ct = held & ~CONNTRACK_MASK;
	if (held) {
		if (!ct || (held & CONNTRACK_MASK) > CONNTRACK_LAST_ORIGINAL)
			return TC_ACT_OK;
		if (!(conntrack_mark((const void *)ct) & MARK_HEADER_MASK))
			return TC_ACT_OK;
	} else {
		/* Not seen by conntrack: offloaded by a flowtable, or made here. */
		struct work *work = work_here();
		if (work && work->mode == WORK_READY)
			return TC_ACT_OK;
	}
	struct segment s = {0};
	int kind = segment_read(skb, link, 0, &s);
	if (kind == SEGMENT_BROKEN)
		return held ? drop(FLOW_DROP_SHAPE) : TC_ACT_OK;
	if (kind != SEGMENT_TCP)
		return TC_ACT_OK;
	if (s.flags & TCP_SYN)
		return client_slow(skb, &s, ct, NULL);
	struct flow *flow = flow_find(&s.key);
	if (flow && flow->acked)
		return number_write(skb, s.tcp, TCP_SEQ, s.seq, s.seq + flow->length);
	return client_slow(skb, &s, ct, flow);
}

/* A node's ACK becomes the header of the client: the same segment with its ends exchanged, and its timestamps. */
static __always_inline int turn_around(struct __sk_buff *skb, struct segment *s, struct work *work, int link)
{
	__u8 bytes[32];
	if (link) {
		if (bpf_skb_load_bytes(skb, 0, bytes, 12) || bpf_skb_store_bytes(skb, 0, bytes + 6, 6, 0) ||
		    bpf_skb_store_bytes(skb, 6, bytes, 6, 0))
			return -1;
	}
	__u32 size = s->v6 ? 16 : 4, at = s->ip + (s->v6 ? 8 : 12);
	if (bpf_skb_load_bytes(skb, at, bytes, s->v6 ? 32 : 8) ||
	    bpf_skb_store_bytes(skb, at, bytes + (s->v6 ? 16 : 4), size, 0) ||
	    bpf_skb_store_bytes(skb, at + size, bytes, size, 0))
		return -1;
	__be16 port = work->tcp.source;
	work->tcp.source = work->tcp.destination;
	work->tcp.destination = port;
	__u32 stamps = option_find(&work->options, s->options, OPTION_TIMESTAMP);
	if (stamps + 10 <= s->options) {
		__u32 value = option_number(&work->options, stamps + 2), echo = option_number(&work->options, stamps + 6);
		option_set_number(&work->options, 0, TIMESTAMP_ALONE);
		option_set_number(&work->options, 4, echo);
		option_set_number(&work->options, 8, value);
		s->options = 12;
	} else {
		s->options = 0;
	}
	work->tcp.offset = (__u8)((5 + s->options / 4) << 4);
	return 0;
}

/* The node acknowledges nothing beyond ISN + 1, though the header was sent: it is sent again, in the node's own ACK
 * turned around. The client needs that ACK for nothing. */
WIRE_CALL int header_answer(struct __sk_buff *skb, const struct segment *from, int link)
{
	if (!from)
		return TC_ACT_SHOT;
	struct segment s = *from;
	struct work *work = work_here();
	struct flow *flow = flow_find(&s.key);
	if (!work || !flow || !origin_find(skb, &s.key, &work->origin) || header_build(work, flow) ||
	    tcp_load(skb, &s, work) || turn_around(skb, &s, work, link))
		return TC_ACT_SHOT;
	work->tcp.seq = bpf_htonl(flow->isn + 1);
	work->tcp.ack = bpf_htonl(flow->ack);
	work->tcp.window = flow->window;
	work->tcp.flags = TCP_ACK | TCP_PSH;
	work->tcp.urgent = 0;
	if (segment_write(skb, &s, work, work->header.length))
		return TC_ACT_SHOT;
	work->mode = WORK_READY;
	long failed = bpf_clone_redirect(skb, skb->ifindex, 0);
	work->mode = WORK_NONE;
	if (!failed)
		header_sent(flow);
	return TC_ACT_SHOT;
}

/* With SACK blocks: the whole header is written anew. */
WIRE_CALL int options_write(struct __sk_buff *skb, const struct segment *s, const struct wire_shift *by, __u32 ack)
{
	struct work *work = work_here();
	if (!s || !by)
		return TC_ACT_SHOT;
	__u32 size = s->options;
	struct wire_options *options;
	if (!work || tcp_load(skb, s, work) || size < 4 || size > WIRE_OPTIONS_MAX)
		return drop(FLOW_DROP_SHAPE);
	options = &work->options;
	/* Not on the stack: clang 19 leaves the bound away that its verifier wants to see there. */
	work->before = *options;
	__u32 at = option_find(options, size, OPTION_SACK);
	if (at >= size)
		return number_write(skb, s->tcp, TCP_ACK_NUMBER, s->ack, ack);
	options_shift_sack(options, at, ack, by);
	__s64 change = bpf_csum_diff((__be32 *)work->before.bytes, size & 60, (__be32 *)options->bytes, size & 60, 0);
	if (change < 0 || bpf_l4_csum_replace(skb, s->tcp + TCP_CHECK, 0, (__u32)change, 0) ||
	    bpf_skb_store_bytes(skb, s->tcp + (__u32)sizeof(work->tcp), options->bytes, seen_count(size, 64), 0))
		return drop(FLOW_DROP_SHAPE);
	return number_write(skb, s->tcp, TCP_ACK_NUMBER, s->ack, ack);
}

/* What the node acknowledges. Older than the flow: left alone. */
static __always_inline int node_ack(struct __sk_buff *skb, struct segment *s, struct flow *flow, int link)
{
	struct wire_shift by = {.base = flow->isn + 1, .length = flow->length, .past = flow->past};
	if (!(s->flags & TCP_ACK))
		return TC_ACT_OK;
	if (!by.past) {
		__u32 ahead = s->ack - by.base;
		if ((__s32)ahead < 0)
			return TC_ACT_OK;
		/* Nor can it be of this flow if it acknowledges what was not sent. */
		if (!flow->acked && ahead && (!flow->sent || ahead > by.length + flow->end))
			return TC_ACT_OK;
		if (ahead >= by.length) {
			if (!flow->acked) {
				flow->acked = 1;
				/* It says nothing but that the header arrived: for the client it would be for nothing. */
				if (ahead == by.length && segment_bare(s))
					return TC_ACT_SHOT;
			}
			if (ahead > PAST)
				flow->past = 1;
		} else if (flow->sent && !flow->acked && segment_bare(s)) {
			__u64 now = bpf_ktime_get_ns();
			if (now - flow->answered_at > ANSWER_EVERY) {
				flow->answered_at = now;
				return header_answer(skb, s, link);
			}
		}
	}
	__u32 ack = wire_shift_back(&by, s->ack);
	if (s->options && (s->first != TIMESTAMP_ALONE || s->options > 12))
		return options_write(skb, s, &by, ack);
	return number_write(skb, s->tcp, TCP_ACK_NUMBER, s->ack, ack);
}

/* A reset of the node. Before its SYN-ACK it is of the new flow and needs no shift. One that answers what came before a
 * lost header (a node with SYN cookies knows the flow only by that) is held back once: the client sends again, and
 * the header goes ahead. */
WIRE_CALL int node_reset(struct __sk_buff *skb, const struct segment *s, struct flow *flow)
{
	struct work *work = work_here();
	if (!s || !work || !flow)
		return TC_ACT_SHOT;
	if (origin_find(skb, &s->key, &work->origin) && work->origin.state < STATE_SYN_RECV)
		return 0;
	if (!(s->flags & TCP_ACK) && flow->sent && flow->data && !flow->acked && !flow->held) {
		flow->held = 1;
		return drop(FLOW_RESET_HELD);
	}
	return 1;
}

/* No entry: nothing of ours, or it was lost. Only asked where that can be: a look-up for each segment that has nothing to
 * do with headers is dear, and the client's next segment would find out, too. */
WIRE_CALL int node_unknown(struct __sk_buff *skb, const struct segment *s)
{
	struct work *work = work_here();
	if (!s || !work)
		return TC_ACT_SHOT;
	if (!(s->flags & TCP_ACK) || !origin_find(skb, &s->key, &work->origin) ||
	    work->origin.state < STATE_ESTABLISHED || work->origin.state == STATE_SYN_SENT2)
		return 0;
	work->key = s->key;
	return flow_derive(skb, work) ? 1 : TC_ACT_SHOT;
}

/* An ICMP error that quotes a segment: the client knows it by the number that it sent. */
WIRE_CALL int icmp_write(struct __sk_buff *skb, const struct segment *s)
{
	__u8 head[40] = {0}, type;
	struct flow_key key;
	if (!s)
		return TC_ACT_OK;
	__u32 quoted = s->tcp + 8, ports = 0;
	__be32 number;
	if (bpf_skb_load_bytes(skb, s->tcp, &type, 1))
		return TC_ACT_OK;
	if (s->v6 ? type > 4 : type != 3 && type != 11 && type != 12)
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, quoted, head, s->v6 ? 40 : 20))
		return TC_ACT_OK;
	if (s->v6) {
		if (head[6] != PROTO_TCP)
			return TC_ACT_OK;
		__builtin_memcpy(key.peer, head + 8, 16);
		__builtin_memcpy(key.node, head + 24, 16);
		quoted += 40;
	} else {
		if (head[9] != PROTO_TCP || (head[0] & 15) < 5)
			return TC_ACT_OK;
		v4_mapped(key.peer, *(__u32 *)(head + 12));
		v4_mapped(key.node, *(__u32 *)(head + 16));
		quoted += (head[0] & 15) * 4u;
	}
	if (bpf_skb_load_bytes(skb, quoted, &ports, 4) || bpf_skb_load_bytes(skb, quoted + TCP_SEQ, &number, 4))
		return TC_ACT_OK;
	key.peer_port = (__u16)ports;
	key.node_port = (__u16)(ports >> 16);
	struct flow *flow = flow_find(&key);
	if (!flow)
		return TC_ACT_OK;
	struct wire_shift by = {.base = flow->isn + 1, .length = flow->length, .past = flow->past};
	__u32 seq = bpf_ntohl(number);
	if (!by.past && (__s32)(seq - by.base) < 0)
		return TC_ACT_OK;
	__be32 shifted = bpf_htonl(wire_shift_back(&by, seq));
	if (bpf_l4_csum_replace(skb, s->tcp + 2, number, shifted, sizeof(shifted)) ||
	    bpf_skb_store_bytes(skb, quoted + TCP_SEQ, &shifted, sizeof(shifted), 0))
		return drop(FLOW_DROP_SHAPE);
	count(FLOW_ICMP);
	return TC_ACT_OK;
}

static __always_inline int from_node(struct __sk_buff *skb, int link)
{
	struct segment s = {0};
	int kind = segment_read(skb, link, 1, &s);
	if (kind == SEGMENT_ICMP)
		return icmp_write(skb, &s);
	if (kind != SEGMENT_TCP)
		return TC_ACT_OK;
	if (s.flags & TCP_SYN)
		return s.flags & TCP_ACK ? flow_begin(skb, &s) : TC_ACT_OK;
	struct flow *flow = flow_find(&s.key);
	if (!flow) {
		if (!suspect())
			return TC_ACT_OK;
		int found = node_unknown(skb, &s);
		if (found != 1)
			return found;
		flow = flow_find(&s.key);
		if (!flow)
			return TC_ACT_SHOT;
	}
	if (s.flags & TCP_RST) {
		int go_on = node_reset(skb, &s, flow);
		if (go_on != 1)
			return go_on;
	}
	return node_ack(skb, &s, flow, link);
}

SEC("tc")
int to_node_ether(struct __sk_buff *skb)
{
	return to_node(skb, 1);
}

SEC("tc")
int to_node_plain(struct __sk_buff *skb)
{
	return to_node(skb, 0);
}

SEC("tc")
int from_node_ether(struct __sk_buff *skb)
{
	return from_node(skb, 1);
}

SEC("tc")
int from_node_plain(struct __sk_buff *skb)
{
	return from_node(skb, 0);
}
