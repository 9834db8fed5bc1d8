/* Writing packets: a number in place, or a whole segment anew. */
#pragma once

#include "conntrack.h"

#define TCP_SEQ 4
#define TCP_ACK_NUMBER 8
#define TCP_CHECK 16

static __always_inline int drop(__u32 why)
{
	count(why);
	return TC_ACT_SHOT;
}

/* Replaces a number of the TCP header, and the checksum; a partial checksum does not cover it yet, and stays. */
static __always_inline int number_write(struct __sk_buff *skb, __u32 tcp, __u32 field, __u32 before, __u32 after)
{
	__be32 old = bpf_htonl(before), new = bpf_htonl(after);
	if (bpf_l4_csum_replace(skb, tcp + TCP_CHECK, old, new, sizeof(new)) ||
	    bpf_skb_store_bytes(skb, tcp + field, &new, sizeof(new), 0))
		return drop(FLOW_DROP_SHAPE);
	return TC_ACT_OK;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* A count that is 1 to most (a power of two) already, in a way that the verifier of kernel 6.1 sees it, too. */
static __always_inline __u32 seen_count(__u32 count, __u32 most)
{
	count -= 1;
	__asm__ volatile("" : "+r"(count));
	return (count & (most - 1)) + 1;
}

/* The TCP header of the packet into work. */
WIRE_CALL int tcp_load(struct __sk_buff *skb, const struct segment *s, struct work *work)
{
	if (!s || !work)
		return -1;
	__u32 size = s->options;
	if (bpf_skb_load_bytes(skb, s->tcp, &work->tcp, sizeof(work->tcp)))
		return -1;
	if (size > WIRE_OPTIONS_MAX)
		return -1;
	if (size && bpf_skb_load_bytes(skb, s->tcp + (__u32)sizeof(work->tcp), work->options.bytes, seen_count(size, 64)))
		return -1;
	return 0;
}

/* The checksum of work's header, options and what follows (count bytes, zero-padded). A partial one is the sum of the
 * pseudo header alone: the device, or segmentation, adds the rest. */
WIRE_CALL __u16 tcp_check(struct __sk_buff *skb, const struct segment *s, struct work *work, __u32 count)
{
	if (!s || !work)
		return 0;
	struct flow_key ends = s->key;
	__u8 bits = 0;
	if (s->options > WIRE_OPTIONS_MAX || count > WIRE_HEADER_MAX)
		return 0;
	__u64 sum = (__u32)bpf_csum_diff(NULL, 0, ends.node, 32, 0);
	sum += bpf_htons(PROTO_TCP) + bpf_htons((__u16)(sizeof(work->tcp) + s->options + count));
	bits = BPF_CORE_READ_BITFIELD_PROBED((struct sk_buff *)skb, ip_summed);
	if (bits == CHECKSUM_PARTIAL)
		return fold(sum);
	sum += (__u32)bpf_csum_diff(NULL, 0, (__be32 *)&work->tcp, sizeof(work->tcp), 0);
	if (s->options)
		sum += (__u32)bpf_csum_diff(NULL, 0, (__be32 *)work->options.bytes, s->options & 60, 0);
	__u32 padded = (count + 3) & ~3u & 255;
	if (padded && padded <= WIRE_HEADER_MAX)
		sum += (__u32)bpf_csum_diff(NULL, 0, (__be32 *)work->header.bytes, padded, 0);
	return (__u16)~fold(sum);
}

static __always_inline int length_write(struct __sk_buff *skb, const struct segment *s, __u32 end)
{
	__be16 old, new = bpf_htons((__u16)(end - s->ip - (s->v6 ? 40 : 0)));
	__u32 at = s->ip + (s->v6 ? 4 : 2);
	if (bpf_skb_load_bytes(skb, at, &old, sizeof(old)))
		return -1;
	if (!s->v6 && bpf_l3_csum_replace(skb, s->ip + 10, old, new, sizeof(new)))
		return -1;
	return bpf_skb_store_bytes(skb, at, &new, sizeof(new), 0) ? -1 : 0;
}

/* Makes the packet end behind work's TCP header and count bytes of the PROXY header (0: none). */
WIRE_CALL int segment_write(struct __sk_buff *skb, const struct segment *s, struct work *work, __u32 count)
{
	if (!s || !work)
		return -1;
	__u32 body = s->tcp + (__u32)sizeof(work->tcp), size = s->options;
	if (size > WIRE_OPTIONS_MAX || count > WIRE_HEADER_MAX)
		return -1;
	__u32 end = body + size + count;
	if (end != skb->len && bpf_skb_change_tail(skb, end, 0))
		return -1;
	work->tcp.check = 0;
	work->tcp.check = tcp_check(skb, s, work, count);
	if (bpf_skb_store_bytes(skb, s->tcp, &work->tcp, sizeof(work->tcp), BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (size && bpf_skb_store_bytes(skb, body, work->options.bytes, seen_count(size, 64), BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (count && bpf_skb_store_bytes(skb, body + size, work->header.bytes, seen_count(count, 128), BPF_F_RECOMPUTE_CSUM))
		return -1;
	return length_write(skb, s, end);
}
