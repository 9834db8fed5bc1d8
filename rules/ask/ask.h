/* Ask: what would happen to a packet. An evaluator of the model that knows
 * nothing of nftables, so that the kernel and it can be held against each
 * other. `explain` and `expect:` use it. */
#pragma once

#include "../model/model.h"
#include "../model/rundata.h"
#include "../state/compile.h"

/* The first packet of a new flow. */
struct question {
	struct addr from;
	uint16_t from_port; /* 0: any */
	struct addr to;     /* !to_self */
	bool to_self;       /* some address of this machine */
	uint16_t to_port;
	enum protocol protocol; /* ANY: none of the others, for which only rules without a protocol are */
	enum place_kind in;     /* WAN, LAN, TUNNEL */
	const struct tunnel *in_tunnel;
};

/* What the model cannot know and the packet's way depends on. */
struct surroundings {
	const struct addr *own; /* this machine's addresses beyond the floating IPs */
	size_t own_count;
	const struct prefix *networks; /* those that it is in: for their broadcast and anycast addresses */
	size_t network_count;
};

enum decided_by {
	DECIDED_SPOOFED, /* source does not belong on this side */
	DECIDED_BAN,
	DECIDED_BLOCKLIST,
	DECIDED_MANAGEMENT,
	DECIDED_RULE,
	DECIDED_FORWARD,
	DECIDED_NO_BACKEND, /* a forward whose backends are all down: refused at once */
	DECIDED_IMPLIED,    /* WireGuard port, DHCP, neighbour discovery */
	DECIDED_DEFAULT,    /* nothing covers it: dropped */
};

struct answer {
	enum expect_verdict verdict;
	enum decided_by by;
	const char *name;              /* of the rule, forward, blocklist, implied accept; NULL otherwise */
	struct origin at;              /* its line; line 0 when there is none */
	const struct forward *forward; /* DECIDED_FORWARD, DECIDED_NO_BACKEND */
	enum plane plane;
	const struct node *const *nodes; /* candidates, in the arena that was passed */
	size_t node_count;
	uint16_t target_port;
	bool snat;                         /* a candidate node sees the edge's address; which: ask_node_sees_edge() */
	const struct snat_rule *snat_rule; /* what a rule let through: which one rewrites its source */
	const char *const *steps;          /* for people: one line each, what was looked at and what it said */
	size_t step_count;
};

/* 0; -ENOMEM; -EINVAL for a question that makes no sense: no source, addresses
 * of two families, a packet that came in by no leg. ICMP is an
 * echo request. No rate is taken to be exceeded. around may be NULL. A
 * destination of to_self matches self and `listen: PORT`, never a prefix. */
int ask_packet(const struct model *model, const struct rundata *run, const struct surroundings *around,
	       const struct question *question, struct arena *arena, struct answer *ret_answer);
/* The same without steps. */
int ask_packet_quick(const struct model *model, const struct rundata *run, const struct surroundings *around,
		     const struct question *question, struct arena *arena, struct answer *ret_answer);
/* Of an answer DECIDED_FORWARD: does this node see the edge's address as the client's? */
bool ask_node_sees_edge(const struct answer *answer, const struct question *question, const struct node *node);

/* Evaluate every expectation, as if every backend were up and nobody banned;
 * one diagnostic for each that does not hold. Returns how many. */
size_t ask_expectations(const struct model *model, const struct surroundings *around, struct arena *arena,
			struct diag_list *diags);
extern const char *const decided_by_names[]; /* NULL-terminated */
