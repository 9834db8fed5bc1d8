/* The JSON of docs/api.md from plain data: pure, no clock, no sockets.
 *
 * The caller fills struct show with what it has; nothing of it is owned or
 * kept. Each function returns a new reference, or NULL when out of memory.
 * Text that is not UTF-8 (file names of a peer, reasons) is made so with '?'. */
#pragma once

#include "kernel/kernel.h"

#include "../rules/model/model.h"
#include "../rules/model/rundata.h"
#include "../rules/state/state.h"

#include <jansson.h>

/* What main keeps of each MSG_PROXY_HEALTH. */
struct show_health {
	const char *node;
	uint16_t port;
	bool up;
	const char *why;
	uint64_t since; /* seconds since the epoch; 0: unknown */
};

/* Traffic of one forward beyond what the ruleset's counters say. */
struct show_use {
	const char *forward;
	uint64_t open;                     /* connections of both planes */
	uint64_t bytes;                    /* by the user-space forwarder since it started, both directions */
	uint64_t refused;                  /* by it: no backend could be reached */
	uint64_t open_packets, open_bytes; /* of the open connections that the kernel forwards; 0 without accounting */
};

/* The content of one dynamic set, as kernel_ops.dynamic_elements gives it. */
struct show_dynamic {
	const char *set;
	const struct dynamic_element *elements;
	size_t count;
};

/* Health of a tunnel's peer. */
struct show_peer {
	const char *tunnel, *peer;
	bool up;
	const char *failed; /* the check that fails (tunnel_health.h); NULL: none */
	const char *why;    /* the same for people; or what is well */
	const char *waits;  /* for what the change of keys waits at this peer; NULL: it does not */
};

struct show_revision {
	uint32_t revision;
	uint64_t time; /* seconds since the epoch */
	const char *user, *message, *summary;
	bool current, pending, lapsed;
};

struct show {
	const struct model *model;
	const struct rundata *run;
	const struct state *desired; /* NULL is fine: then sets have no size */
	uint64_t now;                /* seconds since the epoch */
	const struct counter_value *counters; /* in any order */
	size_t counter_count;
	const struct show_health *health; /* sorted by node, then port */
	size_t health_count;
	const struct show_use *uses; /* in any order; at most one of a forward */
	size_t use_count;
	const struct show_dynamic *dynamics;
	size_t dynamic_count;
	const struct tunnel_list *tunnels; /* as observed; NULL: none is there */
	const char *tunnels_why;           /* why one that is not there is not; NULL: nobody knows */
	const struct show_peer *peers;     /* in any order */
	size_t peer_count;
};

json_t *show_forwards(const struct show *show);
json_t *show_nodes(const struct show *show);
json_t *show_rules(const struct show *show);
json_t *show_tunnels(const struct show *show);
json_t *show_limits(const struct show *show);
json_t *show_bans(const struct show *show);
/* revisions in any order; the answer is newest first. */
json_t *show_history(const struct show_revision *revisions, size_t count);

/* Helpers that other answers need too. */
/* "2024-05-01T12:00:00Z"; null for 0. */
json_t *show_time(uint64_t seconds);
/* null for NULL; invalid UTF-8 is replaced. */
json_t *show_text(const char *text);
/* {"error": text, "diagnostics": [..]}; diags may be NULL. */
json_t *show_error(const char *text, const struct diag_list *diags);
/* ["file:line:column: path: text", ..] of one severity. */
json_t *show_diags(const struct diag_list *diags, enum diag_severity severity);
