/* The kernel's own structs, as far as the programs read them. Only names and
 * types count: CO-RE finds the offsets in the running kernel's BTF (or in that
 * of its module nf_conntrack), so that one object serves 6.1 to 6.18. */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sk_buff {
	unsigned long _nfct; /* struct nf_conn, and enum ip_conntrack_info in the lowest three bits */
	__u8 ip_summed : 2;
};

union nf_inet_addr {
	__u32 all[4];
};

union nf_conntrack_man_proto {
	__be16 all;
};

struct nf_conntrack_man {
	union nf_inet_addr u3;
	union nf_conntrack_man_proto u;
	__u16 l3num;
};

struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			__be16 all;
		} u;
	} dst;
};

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};

struct ip_ct_tcp_state {
	__u32 td_end;
};

struct ip_ct_tcp {
	struct ip_ct_tcp_state seen[2];
	__u8 state;
};

union nf_conntrack_proto {
	struct ip_ct_tcp tcp;
};

struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2];
	__u32 mark;
	union nf_conntrack_proto proto;
};

#pragma clang attribute pop

#define CONNTRACK_MASK 7UL        /* include/linux/skbuff.h: NFCT_INFOMASK */
#define CONNTRACK_LAST_ORIGINAL 2 /* IP_CT_ESTABLISHED, IP_CT_RELATED, IP_CT_NEW; then the reply direction */
#define CONNTRACK_REPLY 1         /* IP_CT_DIR_REPLY */
#define CHECKSUM_PARTIAL 3        /* include/linux/skbuff.h */
#define FAMILY_INET 2

/* enum tcp_conntrack */
#define STATE_SYN_RECV 2
#define STATE_ESTABLISHED 3
#define STATE_SYN_SENT2 9

/* net/netfilter/nf_conntrack_bpf.c; 12 bytes is what all kernels since 5.18 take. */
struct bpf_ct_opts {
	__s32 netns_id; /* -1: that of the packet's device */
	__s32 error;
	__u8 l4proto;
	__u8 dir; /* out: of the tuple that was found */
	__u8 reserved[2];
};

extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple__sz,
					 struct bpf_ct_opts *opts, __u32 opts__sz) __ksym;
extern void bpf_ct_release(struct nf_conn *ct) __ksym;
