/* Build: the small words that rules are put together from. Internal to the
 * compiler. Out of memory is remembered in the builder and asked once, at the
 * end; until then every call is harmless. */
#pragma once

#include "../model/model.h"
#include "../model/rundata.h"
#include "state.h"

#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMPV6 58

struct chain_list {
	struct chain_build **items;
	size_t count, capacity;
};

/* A chain that grows. */
struct chain_build {
	struct chain chain;
	struct rule_state *rules;
	size_t count, capacity;
};

struct build {
	struct arena *arena;
	const struct model *model;
	const struct rundata *run;
	struct chain_list chains;
	struct set *sets;
	size_t set_count, set_capacity;
	struct counter *counters;
	size_t counter_count, counter_capacity;
	bool failed; /* out of memory */
	/* The rule under construction. */
	struct expr exprs[32];
	size_t expr_count;
};

/* Chains, sets and counters; a name may come from build_name. */
char *build_name(struct build *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct chain_build *build_chain(struct build *b, const char *name);
struct chain_build *build_base_chain(struct build *b, const char *name, enum chain_type type, enum hook hook,
				     int32_t priority, bool policy_drop);
/* Adds a copy; the name must be new. */
void build_set(struct build *b, const struct set *set);
/* What build_set was given under this name; NULL: nothing. Valid until the next set. */
const struct set *build_find_set(const struct build *b, const char *name);
/* A counter of this name exists from now on; the same name twice is one counter. */
void build_count_as(struct build *b, const char *name);

/* Expressions of the rule under construction. Each match uses registers from slot 0. */
struct expr *build_expr(struct build *b, enum expr_kind kind);
void match_family(struct build *b, enum family family);
void match_l4proto(struct build *b, uint8_t proto);
void match_l4proto_other(struct build *b, uint8_t proto);
void match_iif(struct build *b, const char *device, bool equal);
void match_oif(struct build *b, const char *device);
void match_saddr(struct build *b, const struct prefix *prefix);
void match_daddr(struct build *b, const struct prefix *prefix);
/* Family match and a look-up of the source (destination) address in a set. */
void match_saddr_set(struct build *b, enum family family, const char *set);
void match_daddr_set(struct build *b, enum family family, const char *set);
/* Destination (source) port of tcp and udp; the protocol must be matched before. */
void match_dport(struct build *b, struct port_range ports);
void match_sport(struct build *b, uint16_t port);
void match_dport_set(struct build *b, const char *set);
void match_icmp_type(struct build *b, uint8_t first, uint8_t last);
/* (TCP flags & mask) equals (or not) value; FIN, SYN, RST, PSH, ACK are bits 0 to 4 (RFC 9293 section 3.1). */
void match_tcp_flags(struct build *b, uint8_t mask, bool equal, uint8_t value);
/* Any of these CT_STATE bits. */
void match_ct_state(struct build *b, uint32_t bits);
/* (mark & mask) == value */
void match_mark(struct build *b, uint32_t mask, uint32_t value);
/* (mark & mask) != value */
void match_mark_other(struct build *b, uint32_t mask, uint32_t value);
void do_mark_set(struct build *b, uint32_t value);
/* mark = (mark & keep) | set */
void do_mark_change(struct build *b, uint32_t keep, uint32_t set);
void do_limit(struct build *b, struct limit_spec limit);
void do_counter(struct build *b, const char *name);
void do_log(struct build *b, const char *prefix);
/* Source address (IPv6: its /64) into slot 0. The family must be matched before. */
void load_source_unit(struct build *b, enum family family);

/* Close the rule: append it to chain, with a verdict. */
void rule_end(struct build *b, struct chain_build *chain, struct origin at, const char *comment);
void rule_verdict(struct build *b, struct chain_build *chain, enum verdict_kind kind, const char *target, struct origin at,
		  const char *comment);

struct limit_spec limit_of_rate(struct rate rate);
extern const struct origin no_origin;
