/* Parts: the sections of the ruleset, each written by one file. Internal to the
 * compiler; docs/ruleset.md is what they implement. */
#pragma once

#include "build.h"
#include "compile.h"

/* Chains and sets that one part makes and another refers to. */
#define CHAIN_BEGIN "begin"
#define CHAIN_DECIDE_NEW "new"
#define CHAIN_FRESH "fresh"
#define CHAIN_ALLOWED "allowed"
#define CHAIN_REJECT "refuse" /* nft takes no chain by the name of a statement */
#define CHAIN_IMPLIED "implied"
#define CHAIN_WATCH "watch"

/* compile_frame.c: base chains, zones, implied accepts, the default. */
void compile_frame(struct build *b);
/* compile_slots.c: either device of a tunnel (META_IIFNAME or META_OIFNAME). */
void match_tunnel_device(struct build *b, const struct tunnel *tunnel, enum meta_key key);
/* Sets for tunnels with two devices. */
void compile_tunnel_devices(struct build *b);
/* The rule that drops what came by a device that the way back does not take. */
void compile_reverse_path(struct build *b, struct chain_build *chain);
/* The chain "source-NAME", made: a new flow into the tunnel gets the tunnel's address of the destination's network for a
 * source, or else the first one. */
const char *compile_tunnel_source(struct build *b, const struct tunnel *tunnel);
void do_snat(struct build *b, const struct addr *to);
/* compile_clamp.c: the segment size of what goes through tunnels. */
void compile_clamp(struct build *b);
/* compile_rules.c: bans, blocklists, management, rules; appends to chain "fresh". */
void compile_blocklists(struct build *b, struct chain_build *fresh);
void compile_management(struct build *b, struct chain_build *fresh);
void compile_rules(struct build *b, struct chain_build *fresh);
/* A match on where a packet comes from; false when no packet of family can match. */
bool match_from(struct build *b, const struct place *place, enum family family);
/* FAMILY_NONE when the place matches both families in one rule. */
enum family place_family(const struct place *place);
/* compile_forward.c: the forwards' chains, and the rules that dispatch to them. */
void compile_forwards(struct build *b, struct chain_build *dnat, struct chain_build *watch);
/* Jump to the chain of the forward that listens for the packet (fresh, allowed). */
void dispatch_listen(struct build *b, struct chain_build *chain);
/* compile_limit.c: one per-source limit of a forward. Under it: goto next. Else: falls through. */
struct source_limit {
	const char *set; /* name without the family's digit: "new", "open" */
	const struct forward *forward;
	enum dynset_with with;
	struct limit_spec limit;
	uint32_t connections;
	struct limit_spec shared; /* the bucket of unknown sources while the set is full */
};
void compile_source_limit(struct build *b, struct chain_build *chain, const struct source_limit *limit, const char *next);
/* The chain that logs (bounded), counts as name and drops; made once per name. */
const char *drop_chain(struct build *b, const char *name);
/* The same for a name that nobody has asked for before: no search. */
const char *drop_chain_new(struct build *b, const char *name);
char *set_name(struct build *b, const char *what, enum family family, const char *name);
/* A set of addresses of one family with these prefixes, as intervals. */
void compile_prefix_set(struct build *b, const char *name, enum family family, const struct prefix *prefixes, size_t count);
uint32_t source_set_size(const struct build *b);

/* compile_synproxy.c. Could synproxy be on for it, now or under pressure? */
bool may_synproxy(const struct build *b, const struct forward *forward);
/* The rule that has a SYN answered here, while it is on. */
void compile_synproxy_answer(struct build *b, struct chain_build *chain, const struct forward *forward);
/* The rules for what has no flow yet, or is answered here; the output hooks. Nothing where no forward may. */
void compile_synproxy_decide(struct build *b, struct chain_build *decide);
void compile_synproxy_input(struct build *b, struct chain_build *input);
void compile_synproxy_output(struct build *b);

/* Rules for what operators and packets have banned; nothing where nobody can be. */
void drop_banned(struct build *b, struct chain_build *chain);
/* compile_flowtable.c. The flowtable and the bans ahead of it; the rule that puts flows into it. */
void compile_flowtable(struct build *b);
void compile_flow_add(struct build *b, struct chain_build *forward);

/* What the tables of dispatch are made for. */
struct dispatch {
	const char *map;   /* name of the map of (protocol, port); addressed ones add "4" and "6" */
	const char *chain; /* prefix of the target chains */
	enum verdict_kind verdict;
	bool (*wanted)(const struct build *b, const struct forward *forward);
	const char *gated; /* another prefix for forwards that ask where a packet came from; NULL: the same */
};
void compile_dispatch_maps(struct build *b, const struct dispatch *dispatch);
void compile_dispatch_rules(struct build *b, struct chain_build *chain, const struct dispatch *dispatch, bool zone_self_only);
