/* The bits of the conntrack mark. The ruleset sets them, the header-injection
 * programs read them (daemon/bpf, which is why nothing is included here), and
 * docs/ruleset.md says when each is set. */
#pragma once

/* The conntrack mark that edged sets on a flow that it has let in. */
#define MARK_ACCEPTED 0x80000000u     /* policy has let this flow in */
#define MARK_HEADER_MASK 0x60000000u  /* PROXY header to be injected by the kernel: */
#define MARK_HEADER_V1 0x20000000u
#define MARK_HEADER_V2 0x40000000u
#define MARK_FORWARD 0x10000000u      /* let in by a forward (else by a rule or management) */
#define MARK_WATCH 0x08000000u        /* counts towards a ban once its handshake completes */
#define MARK_SNAT 0x04000000u         /* towards the node, the source becomes this machine */
#define MARK_SNAT_TUNNEL 0x02000000u  /* the same when the node is behind a tunnel */
#define MARK_PROXY 0x01000000u        /* served by the user-space forwarder: comes to this machine */
#define MARK_HEADER_CRC 0x00800000u   /* version 2 only: with the CRC32C TLV */
#define MARK_HEADER_ID 0x00400000u    /* version 2 only: with the UNIQUE_ID TLV, 16 hexadecimal digits */
#define MARK_SYNPROXY 0x00200000u     /* a SYN that synproxy answers: never of a flow that lives on */
#define MARK_ZONE_MASK 0x000000ffu    /* where it goes: ZONE_* or ZONE_TUNNEL + index of the tunnel */
#define ZONE_SELF 1u
#define ZONE_WAN 2u
#define ZONE_LAN 3u
#define ZONE_GROUP 5u         /* broadcast, multicast, anycast: self to rules, nothing to forwards */
#define ZONE_SELF_MASK 0xfbu  /* under it SELF and GROUP are one, and differ from all others */
#define ZONE_TUNNEL 16u
