/* Reading a packet: where its headers are, and what its TCP header says. */
#pragma once

#include "wire.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define LINEAR 128 /* bytes that headers may reach: link, IPv6, TCP with its options */
#define EXTENSIONS 4
#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_PSH 8
#define TCP_ACK 16
#define PROTO_TCP 6
#define PROTO_ICMP 1
#define PROTO_ICMPV6 58

enum segment_kind { SEGMENT_OTHER, SEGMENT_TCP, SEGMENT_ICMP, SEGMENT_BROKEN };

struct segment {
	__u32 ip, tcp;   /* offsets of the headers; tcp also of an ICMP header */
	__u32 options;   /* bytes of TCP options */
	__u32 first;     /* the first four bytes of these, host byte order */
	__u32 payload;   /* bytes */
	__u32 seq, ack;  /* host byte order */
	__u16 window;    /* as sent, network byte order */
	__u8 flags, v6, fragment, next;
	__u16 unused;    /* no byte of it is left unwritten: functions of their own may read all */
	struct flow_key key;
};

/* sizeof(struct tcphdr) without its bit fields */
struct tcp_header {
	__be16 source, destination;
	__be32 seq, ack;
	__u8 offset, flags;
	__be16 window, check, urgent;
};

static __always_inline int segment_bare(const struct segment *s)
{
	return !s->payload && !(s->flags & (TCP_SYN | TCP_FIN | TCP_RST));
}

static __always_inline void v4_mapped(__u32 *to, __u32 address)
{
	to[0] = to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = address;
}

/* The protocol above the link, and where it begins. A frame with a VLAN's tag is no packet of this device: it comes
 * through the programs of the VLAN's own, if those have them. VLAN 0 is a priority alone, and the kernel has taken its
 * tag out. */
static __always_inline __be16 link_read(struct __sk_buff *skb, int link, __u32 *ret_ip)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *ether = data;
	*ret_ip = 0;
	if (!link)
		return (__be16)skb->protocol;
	/* Before 6.2 the number of a tag that was taken out stays behind. */
	if ((void *)(ether + 1) > end || (skb->vlan_present && (skb->vlan_tci & 0x0fff)))
		return 0;
	*ret_ip = sizeof(*ether);
	return ether->h_proto;
}

/* IPv6 extension headers up to what is looked for. */
WIRE_CALL int extensions_read(struct __sk_buff *skb, struct segment *s)
{
	if (!s)
		return -1;
	for (int i = 0; i < EXTENSIONS; i++) {
		__u8 head[4];
		if (s->next != IPPROTO_HOPOPTS && s->next != IPPROTO_ROUTING && s->next != IPPROTO_DSTOPTS &&
		    s->next != IPPROTO_FRAGMENT)
			return 0;
		if (bpf_skb_load_bytes(skb, s->tcp, head, sizeof(head)) < 0)
			return -1;
		if (s->next == IPPROTO_FRAGMENT) {
			__u16 place = (__u16)(head[2] << 8 | head[3]);
			if (place >> 3)
				s->fragment = 2;
			else
				s->fragment = 1;
			s->tcp += 8;
		} else {
			s->tcp += 8 + 8 * (__u32)head[1];
		}
		s->next = head[0];
	}
	return 0;
}

/* The network header; from_node: which end is the node. s->tcp and s->next are set, and in payload what follows there. */
static __always_inline int network_read(struct __sk_buff *skb, int link, int from_node, struct segment *s)
{
	__be16 protocol = link_read(skb, link, &s->ip);
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 *source = from_node ? s->key.node : s->key.peer, *destination = from_node ? s->key.peer : s->key.node;
	if (protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + s->ip;
		if ((void *)(ip + 1) > end || ip->ihl < 5)
			return -1;
		s->tcp = s->ip + ip->ihl * 4u;
		s->next = ip->protocol;
		s->payload = (ip->tot_len ? bpf_ntohs(ip->tot_len) : skb->len - s->ip) - ip->ihl * 4u;
		if (ip->frag_off & bpf_htons(0x1fff))
			s->fragment = 2;
		else if (ip->frag_off & bpf_htons(0x2000))
			s->fragment = 1;
		v4_mapped(source, ip->saddr);
		v4_mapped(destination, ip->daddr);
		return 1;
	}
	if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + s->ip;
		if ((void *)(ip + 1) > end)
			return -1;
		s->v6 = 1;
		s->tcp = s->ip + sizeof(*ip);
		s->next = ip->nexthdr;
		__builtin_memcpy(source, &ip->saddr, 16);
		__builtin_memcpy(destination, &ip->daddr, 16);
		/* No length (here and above): a jumbogram, or a GSO packet above 64 KiB. */
		s->payload = ip->payload_len ? bpf_ntohs(ip->payload_len) : skb->len - s->tcp;
		if (s->next != PROTO_TCP && s->next != PROTO_ICMPV6) {
			__u32 before = s->tcp;
			if (extensions_read(skb, s) < 0)
				return -1;
			s->payload -= s->tcp - before;
		}
		return 1;
	}
	return 0;
}

static __always_inline int linear_read(struct __sk_buff *skb, int link, int from_node, struct segment *s)
{
	int found = network_read(skb, link, from_node, s);
	if (found <= 0)
		return found < 0 ? SEGMENT_BROKEN : SEGMENT_OTHER;
	if (s->fragment > 1)
		return SEGMENT_OTHER;
	if (s->next != PROTO_TCP)
		return s->next == (s->v6 ? PROTO_ICMPV6 : PROTO_ICMP) ? SEGMENT_ICMP : SEGMENT_OTHER;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 at = s->tcp;
	if (at > 2 * LINEAR)
		return SEGMENT_BROKEN;
	struct tcp_header *tcp = data + at;
	if ((void *)(tcp + 1) > end)
		return SEGMENT_BROKEN;
	__u32 header = (tcp->offset >> 4) * 4u;
	if (header < sizeof(*tcp) || (!s->fragment && header > s->payload))
		return SEGMENT_BROKEN;
	s->payload -= header;
	s->options = header - (__u32)sizeof(*tcp);
	s->first = 0;
	if (s->options && (void *)(tcp + 1) + 4 <= end)
		s->first = bpf_ntohl(*(__be32 *)(tcp + 1));
	s->seq = bpf_ntohl(tcp->seq);
	s->ack = bpf_ntohl(tcp->ack);
	s->window = tcp->window;
	s->flags = tcp->flags;
	s->key.node_port = from_node ? tcp->source : tcp->destination;
	s->key.peer_port = from_node ? tcp->destination : tcp->source;
	return SEGMENT_TCP;
}

/* Nearly always all headers are in the linear part; only where they are not is more pulled into it, which copies. */
static __always_inline int segment_read(struct __sk_buff *skb, int link, int from_node, struct segment *s)
{
	int kind = linear_read(skb, link, from_node, s);
	if (kind != SEGMENT_BROKEN || skb->data_end - skb->data >= skb->len)
		return kind;
	if (bpf_skb_pull_data(skb, skb->len < LINEAR ? skb->len : LINEAR))
		return kind;
	s->fragment = 0;
	return linear_read(skb, link, from_node, s);
}
