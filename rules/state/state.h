/* State: what the kernel shall hold (desired) or holds (observed), as one type.
 * The same encoder writes it and the same decoder reads it back
 * (daemon/kernel), so the numbers here are this program's own, and never a
 * kernel header's. Pure data; lives in one arena; const once it is built.
 *
 * One nftables table, "inet edged". A rule is a list of small expressions, as
 * nftables' own bytecode is. Registers are the 32-bit slots 0 to 15; a value
 * longer than four bytes takes the next slots too. All packet data, addresses
 * and ports are in network byte order; marks, ct states and other integers of
 * the machine are in host byte order, as in the kernel's registers.
 *
 * Every struct is zeroed before it is filled: equality compares whole structs. */
#pragma once

#include "../base/addr.h"
#include "../base/arena.h"
#include "../base/diag.h"
#include "marks.h"
#include "tunnel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_TABLE "edged"
#define STATE_COMMENT_MAX 120 /* bytes of a comment, without the terminator */
#define STATE_DATA_MAX 16
#define STATE_KEY_MAX 40
#define STATE_HASH_PREFIX "hash-"
#define STATE_HASHED_ABOVE 10000 /* sets with more ranges than this are compared by content hash */

enum expr_kind {
	EXPR_META,      /* reg = packet metadata */
	EXPR_PAYLOAD,   /* reg = bytes of the packet */
	EXPR_CT,        /* reg = conntrack field */
	EXPR_CT_SET,    /* conntrack field = reg */
	EXPR_FIB,       /* reg = answer of a routing look-up */
	EXPR_BITWISE,   /* reg = (reg & mask) ^ xor */
	EXPR_CMP,       /* go on if reg OP data */
	EXPR_RANGE,     /* go on if reg in (or not in) first..last */
	EXPR_LOOKUP,    /* go on if reg in set; of a map: to_reg (or verdict) = its data */
	EXPR_DYNSET,    /* add reg to a set, with a limit of its own; go on if that passes */
	EXPR_LIMIT,     /* go on while under the rate */
	EXPR_COUNTER,   /* count in a named counter */
	EXPR_LOG,       /* nflog */
	EXPR_IMMEDIATE, /* reg = data */
	EXPR_NUMGEN,    /* reg = next number below modulus */
	EXPR_HASH,      /* reg = jhash(reg) % modulus */
	EXPR_NAT,       /* dnat or snat to registers */
	EXPR_REDIRECT,  /* to this machine, to a port in a register or the same */
	EXPR_MASQUERADE,
	EXPR_REJECT,
	EXPR_SYNPROXY, /* answer a SYN in the node's place; on a valid ACK send the SYN on, through the output hooks */
	EXPR_ROUTE_MSS, /* reg = largest TCP segment that the routes of both directions take, two bytes, host order */
	EXPR_NETWORK16, /* reg = the same two bytes in network order */
	EXPR_SET_MSS,   /* the SYN's segment size = reg, if that is smaller */
	EXPR_STRIP_OPTION, /* the TCP option becomes NOPs */
	EXPR_FLOW_ADD, /* the flow goes into the flowtable */
	EXPR_VERDICT,   /* the rule's end */
	EXPR_KINDS
};

enum meta_key { META_PROTOCOL_FAMILY /* nfproto: 2 or 10 */, META_L4PROTO, META_IIFNAME, META_OIFNAME, META_IIFTYPE,
		META_MARK, META_IIF, META_OIF /* indexes: a device made anew is another */ };
enum payload_base { PAYLOAD_NETWORK, PAYLOAD_TRANSPORT };
enum ct_key { CT_STATE, CT_STATUS, CT_MARK, CT_DIRECTION /* one byte: 0 original, 1 reply */ };
/* Bits of CT_STATE, as in the kernel's NF_CT_STATE_BIT. */
#define CT_STATE_INVALID 1u
#define CT_STATE_ESTABLISHED 2u
#define CT_STATE_RELATED 4u
#define CT_STATE_NEW 8u
#define CT_STATE_UNTRACKED 64u
/* Bits of CT_STATUS. */
#define CT_STATUS_SNAT 16u
#define CT_STATUS_DNAT 32u

#define TCP_OPTION_TIMESTAMP 8u /* RFC 7323 */

enum fib_result { FIB_OIF, FIB_OIFNAME, FIB_ADDRTYPE };
#define FIB_SADDR 1u
#define FIB_DADDR 2u
#define FIB_IIF 8u
#define FIB_PRESENT 32u /* with FIB_OIF: one byte, 1 when there is a route */
/* Values of FIB_ADDRTYPE (RTN_*). */
#define FIB_TYPE_LOCAL 2u
#define FIB_TYPE_BROADCAST 3u
#define FIB_TYPE_MULTICAST 5u

enum compare_op { COMPARE_EQ, COMPARE_NE, COMPARE_LT, COMPARE_LE, COMPARE_GT, COMPARE_GE };
enum dynset_op { DYNSET_ADD, DYNSET_UPDATE /* and start its timeout anew */, DYNSET_DELETE };
enum dynset_with { DYNSET_PLAIN, DYNSET_LIMIT, DYNSET_CONNLIMIT };
enum reject_with { REJECT_TCP_RESET, REJECT_ADMIN_PROHIBITED, REJECT_PORT_UNREACHABLE };
enum verdict_kind { VERDICT_ACCEPT, VERDICT_DROP, VERDICT_JUMP, VERDICT_GOTO, VERDICT_RETURN };

/* Packets per unit; "over" inverts it: go on when the rate is exceeded. */
struct limit_spec {
	uint32_t count;
	uint32_t per_seconds; /* 1, 60, 3600 */
	uint32_t burst;
	bool over;
};

struct expr {
	enum expr_kind kind;
	union {
		struct { enum meta_key key; uint8_t reg; } meta;
		struct { enum payload_base base; uint8_t offset, length, reg; } payload;
		struct { enum ct_key key; uint8_t reg; } ct; /* EXPR_CT and EXPR_CT_SET */
		struct { enum fib_result result; uint32_t flags; uint8_t reg; } fib;
		struct { uint8_t from_reg, to_reg, length; uint8_t mask[STATE_DATA_MAX], xor[STATE_DATA_MAX]; } bitwise;
		struct { enum compare_op op; uint8_t reg, length; uint8_t data[STATE_DATA_MAX]; } cmp;
		struct { bool invert; uint8_t reg, length; uint8_t first[STATE_DATA_MAX], last[STATE_DATA_MAX]; } range;
		/* has_data: the set is a map; to_verdict: its data is the verdict (has_data is set too, to_reg is 0) */
		struct { const char *set; uint8_t reg; bool invert, has_data, to_verdict; uint8_t to_reg; } lookup;
		struct {
			const char *set;
			enum dynset_op op;
			uint8_t reg;
			bool invert; /* go on only if the element is not there and could not be added (the set is full) */
			uint64_t timeout_ms; /* 0: the set's own */
			enum dynset_with with;
			struct limit_spec limit; /* DYNSET_LIMIT */
			uint32_t connections;    /* DYNSET_CONNLIMIT: go on while at most this many are open */
		} dynset;
		struct limit_spec limit;
		struct { const char *name; } counter;
		struct { uint16_t group; uint32_t snaplen; const char *prefix; } log;
		struct { uint8_t reg, length; uint8_t data[STATE_DATA_MAX]; } immediate;
		struct { bool random; uint32_t modulus, offset; uint8_t reg; } numgen;
		struct { uint8_t from_reg, length, to_reg; uint32_t modulus, seed, offset; } hash;
		struct { bool source; enum family family; bool has_port; uint8_t addr_reg, port_reg; } nat;
		struct { bool has_port; uint8_t port_reg; } redirect;
		struct { bool fully_random; } masquerade;
		struct { enum reject_with with; } reject;
		struct { uint16_t mss; uint8_t wscale; bool timestamp, sack; } synproxy; /* what is offered to clients */
		struct { uint8_t reg; } mss; /* EXPR_ROUTE_MSS, EXPR_NETWORK16, EXPR_SET_MSS */
		struct { uint8_t kind; } option; /* EXPR_STRIP_OPTION: IANA's number of it */
		struct { const char *table; } flow; /* EXPR_FLOW_ADD */
		struct { enum verdict_kind kind; const char *chain; } verdict;
	};
};

/* comment is shown by `nft list ruleset`, and with the chain is what the rule
 * is known by to people; two rules may share one. */
struct rule_state {
	const struct expr *exprs;
	size_t expr_count;
	const char *comment; /* "" when none */
	struct origin at;    /* the YAML line that caused it; not compared */
	uint64_t handle;     /* observed: the kernel's; 0 in desired; not compared */
};

enum chain_type { CHAIN_REGULAR, CHAIN_FILTER, CHAIN_NAT, CHAIN_ROUTE };
enum hook { HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING,
	    HOOK_INGRESS /* of the chain's devices */ };

struct chain {
	const char *name;
	enum chain_type type;
	enum hook hook;    /* base chains */
	int32_t priority;  /* base chains */
	bool policy_drop;  /* base chains */
	const char *const *devices; /* HOOK_INGRESS: sorted names */
	size_t device_count;
	const struct rule_state *rules;
	size_t rule_count;
	struct origin at;
	uint64_t handle; /* observed */
};

enum field { FIELD_IPV4 = 1, FIELD_IPV6, FIELD_PROTO, FIELD_PORT, FIELD_IFNAME, FIELD_MARK, FIELD_INTEGER, FIELD_VERDICT,
	     FIELD_IFINDEX };
#define STATE_FIELDS_MAX 4

struct element {
	uint8_t key[STATE_KEY_MAX]; /* the fields, each padded to four bytes, network byte order (marks, integers: host's) */
	uint8_t key_end[STATE_KEY_MAX]; /* sets with intervals: last of the range, inclusive */
	uint8_t data[STATE_DATA_MAX]; /* maps of data */
	enum verdict_kind verdict;    /* maps of verdicts */
	const char *chain;            /* VERDICT_JUMP, VERDICT_GOTO */
	uint64_t expires; /* seconds since the epoch, 0: never; kept in the element's user data and compared */
	uint64_t timeout_ms; /* what is left when it is written; not compared */
};

/* A set or map. Either elements (sorted by key) or ranges, never both. A
 * dynamic set's content belongs to the packets: it has neither, and an apply
 * never touches it. */
struct set {
	const char *name;
	enum field key[STATE_FIELDS_MAX]; /* 0 ends */
	enum field data; /* 0: a set; FIELD_VERDICT: a verdict map; else a data map */
	bool interval, dynamic, timeout;
	bool flowtable;         /* no set for the kernel, but a flowtable: its elements are the names of its devices */
	uint32_t size;          /* 0: no bound; a dynamic set must have one */
	uint64_t timeout_ms;    /* default of elements; 0: none */
	uint64_t gc_interval_ms;
	/* What a dynamic set's rules attach to each element, so that a change of it makes the set anew. */
	enum dynset_with with; /* DYNSET_CONNLIMIT: the kernel refuses it in a set with timeout */
	struct limit_spec limit;
	uint32_t connections;
	const struct element *elements;
	size_t element_count;
	const struct addr_range *ranges; /* one field, interval, sorted and merged; not copied from the model */
	size_t range_count;
	/* Of the content where range_count > STATE_HASHED_ABOVE, else zero. The kernel cannot change the user data of a
	 * set, so that a few changed entries would mean to write all of them again: the hash is therefore kept in the
	 * user data of a named counter beside the set, STATE_HASH_PREFIX and the set's name, which the encoder makes,
	 * replaces (STEP_SET_HASH) and deletes with the set, and the decoder reads back into this field. A counter of
	 * that kind whose set is gone is decoded as an ordinary counter, so that the diff removes it. */
	uint8_t hash[32];
	const char *comment;
	struct origin at;
	uint64_t handle; /* observed */
};

struct counter {
	const char *name;
	struct origin at;
	uint64_t handle; /* observed */
};

struct sysctl {
	const char *name;  /* "net.ipv4.ip_forward" */
	const char *value; /* as /proc prints it, without the newline */
};

struct state {
	struct arena *arena;
	struct state *base; /* another state that this one points into, owned; NULL: none */
	bool present; /* the table exists; always true in desired, except after flush */
	bool owner;   /* desired: flags owner and persist; observed: both are set and the owner is this kernel's socket */
	bool persist; /* observed: flag persist. Without it the kernel lets nobody take the table over: for an owner it is
	               * deleted and made anew. Not in desired. */
	bool dormant; /* observed: somebody has switched all hooks off. Not in desired. */
	struct chain *chains; /* sorted by name */
	size_t chain_count;
	struct set *sets; /* sorted by name */
	size_t set_count;
	struct counter *counters; /* sorted by name */
	size_t counter_count;
	struct sysctl *sysctls; /* sorted by name */
	size_t sysctl_count;
	struct tunnel_list tunnels; /* beside the table: present or not, they are what shall be or is */
};

/* An empty state in an arena of its own; NULL when out of memory. */
struct state *state_new(void);
void state_free(struct state **state);
#define cleanup_state __attribute__((cleanup(state_free)))

const struct chain *state_chain(const struct state *state, const char *name);
const struct set *state_set(const struct state *state, const char *name);
bool expr_equal(const struct expr *a, const struct expr *b);
/* Expressions and comment; not handle and origin. */
bool rule_equal(const struct rule_state *a, const struct rule_state *b);
/* All but timeout_ms. */
bool element_equal(const struct element *a, const struct element *b);
/* All but elements, ranges, hash, handle and origin. */
bool set_definition_equal(const struct set *a, const struct set *b);
/* Type, hook, priority, policy; not the rules. */
bool chain_definition_equal(const struct chain *a, const struct chain *b);
/* A hash of what rule_equal compares. */
uint64_t rule_digest(const struct rule_state *rule);
/* Bytes of a field, unpadded; of a whole key, padded. */
size_t field_size(enum field field);
size_t set_key_size(const struct set *set);
/* Text for people and golden tests, close to nft's own. */
char *state_print(const struct state *state, struct arena *arena);
