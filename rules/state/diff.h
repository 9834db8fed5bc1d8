/* Diff: observed against desired gives ordered steps, which one nftables batch
 * (plus sysctl writes) carries out. Applying the result and observing again
 * gives an empty diff.
 *
 * Order, so that no step meets a reference that is still held: that of
 * enum step_kind. Sysctls, table; deletions of rules, elements, chains, sets,
 * counters; additions of counters, sets, chains, elements, rules. A set or
 * chain whose definition changed is deleted and added again, with its content
 * and every rule that refers to the set. A table that shall have an owner and is not
 * persistent is deleted and added again with all that is in it. */
#pragma once

#include "state.h"

/* Steps come in this order. */
enum step_kind {
	STEP_SET_SYSCTL,
	STEP_DELETE_TABLE,    /* and all that is in it */
	STEP_ADD_TABLE,
	STEP_SET_TABLE_FLAGS, /* take an orphan over, wake a dormant table */
	STEP_DELETE_RULE,
	STEP_FLUSH_CHAIN,     /* all rules of observed chain */
	STEP_DELETE_ELEMENTS,
	STEP_FLUSH_SET,
	STEP_DELETE_CHAIN,
	STEP_DELETE_SET,
	STEP_DELETE_COUNTER,
	STEP_ADD_COUNTER,
	STEP_ADD_SET,
	STEP_SET_CHAIN,       /* same chain, new policy */
	STEP_ADD_CHAIN,
	STEP_SET_HASH,        /* the content hash of a set that stays changes (set has the new one, zero: none) */
	STEP_ADD_ELEMENTS,
	STEP_ADD_RULE,
	/* Beside the table, and after it: no part of the transaction. */
	STEP_DELETE_TUNNEL,
	STEP_ADD_TUNNEL,      /* the device, down and empty */
	STEP_SET_TUNNEL,      /* our private key and port */
	STEP_DELETE_PEER,
	STEP_SET_PEER,        /* add it, or write what differs */
	STEP_DELETE_ROUTE,
	STEP_DELETE_ADDRESS,
	STEP_SET_LINK,        /* MTU, up */
	STEP_ADD_ADDRESS,
	STEP_ADD_ROUTE,
	STEP_KINDS
};

/* The pointers refer into the two states, which must outlive the steps. */
struct step {
	enum step_kind kind;
	bool owner;                     /* ADD_TABLE, SET_TABLE_FLAGS: with owner and persist, never dormant */
	const struct chain *chain;      /* rule and chain steps: desired one, or observed one for deletions */
	const struct rule_state *rule;  /* rule steps */
	uint64_t before;                /* ADD_RULE: handle of the rule in whose front it goes; 0: at the end */
	const struct set *set;          /* set and element steps: desired, or observed for deletions */
	const struct element *elements; /* element steps; or: */
	size_t element_count;
	const struct addr_range *ranges;
	size_t range_count;
	bool had_hash;                  /* SET_HASH, DELETE_SET: the observed set has a content hash */
	const struct tunnel_state *tunnel; /* tunnel, peer, address, route steps: desired, or observed for deletions */
	const struct tunnel_peer *peer, *peer_before; /* peer steps; before: as observed, NULL: it is new */
	bool set_endpoint;                 /* SET_PEER: the endpoint, too (a peer that roamed keeps its own) */
	const struct prefix *prefix;       /* address and route steps */
	bool replace;                      /* ADD_ROUTE: another tunnel of ours has it */
	const struct counter *counter;
	const struct sysctl *sysctl;
	struct origin at; /* the YAML line to blame when the kernel refuses it */
};

struct steps {
	struct step *items;
	size_t count, capacity;
};

/* Steps from observed to desired, in arena. 0 or -ENOMEM.
 * known (may be NULL): a state that was applied before. Where observed has a
 * set's hash and no ranges, and known's set of that name has the same hash,
 * known's ranges stand in for what was not read; else the set is flushed and
 * filled anew. */
int diff_states(const struct state *observed, const struct state *known, const struct state *desired,
		struct arena *arena, struct steps *ret_steps);
#define STEP_FIRST_TUNNEL STEP_DELETE_TUNNEL
/* One line per step, for `edgectl plan --verbose` and tests. */
char *steps_print(const struct steps *steps, struct arena *arena);
extern const char *const step_names[STEP_KINDS];
