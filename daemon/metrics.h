/* Metrics: one plain struct -> Prometheus text, format 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats). Pure: main fills the
 * struct, nothing here is owned or kept.
 *
 * Units are base units: seconds, bytes. Text may be any bytes: label values
 * are escaped, invalid UTF-8 becomes '?'. NULL text prints as "". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_forward {
	const char *name, *pool;
	const char *plane; /* "kernel", "proxy", "none" */
	uint64_t connections; /* let in since the counter was made */
	uint64_t open;
	uint64_t proxied_bytes;            /* by the user-space forwarder since it started */
	uint64_t open_packets, open_bytes; /* of the open connections that the kernel forwards */
	uint64_t limited; /* packets dropped by a limit */
	uint64_t refused; /* connections refused because no backend was up */
	uint64_t answered; /* SYNs that synproxy answered in the nodes' place */
	uint32_t backends_up, backends_total;
};

struct metrics_backend {
	const char *node;
	uint16_t port;
	bool up;
};

struct metrics_node {
	const char *name;
	bool up; /* at least one of its ports */
	bool draining;
};

/* Also each implied accept and management, by name. */
struct metrics_rule {
	const char *name;
	const char *action; /* "accept", "drop", "reject" */
	uint64_t packets, bytes, limited;
};

/* What was dropped for another reason than a rule or a forward. */
struct metrics_drop {
	const char *reason; /* "default", "spoofed", "invalid", "banned", "blocklist-NAME" ... */
	uint64_t packets, bytes;
};

/* What the programs that add the PROXY header have counted. */
struct metrics_header {
	const char *event; /* "sent", "again", "drop-state" ... */
	uint64_t count;
};

struct metrics_peer {
	const char *tunnel, *peer;
	bool up;
	const char *failed;      /* the check that fails; NULL: none */
	uint64_t handshake;      /* seconds since the epoch; 0: none yet */
	uint64_t received, sent; /* bytes */
};

struct metrics_role {
	const char *role; /* "main", "proxy", "watch", "api" */
	uint32_t index;   /* of several of a role */
	bool running;
	uint64_t restarts;
};

/* Upper bounds of the apply histogram in milliseconds; a last bucket has no bound. */
#define METRICS_APPLY_BUCKETS 8
extern const uint32_t metrics_apply_bounds_ms[METRICS_APPLY_BUCKETS];

struct metrics_applies {
	uint64_t succeeded, unchanged, refused, failed;
	uint64_t buckets[METRICS_APPLY_BUCKETS + 1]; /* each its own, not cumulative; see metrics_count_apply */
	uint64_t sum_ms;
};

struct metrics {
	const char *version;
	uint32_t revision;
	uint64_t applied_at;       /* seconds since the epoch; 0: never */
	bool pending;              /* waits for a confirmation */
	uint64_t pending_deadline; /* seconds since the epoch */
	bool in_sync;
	uint32_t warnings;
	uint64_t started_at; /* of main, seconds since the epoch */
	double cpu_seconds;  /* main's */
	uint64_t resident_bytes;
	uint32_t open_fds;
	struct metrics_applies applies;
	uint64_t repairs; /* foreign changes that were put right */
	const struct metrics_forward *forwards;
	size_t forward_count;
	const struct metrics_backend *backends;
	size_t backend_count;
	const struct metrics_node *nodes;
	size_t node_count;
	const struct metrics_rule *rules;
	size_t rule_count;
	const struct metrics_drop *drops;
	size_t drop_count;
	const struct metrics_header *headers;
	size_t header_count; /* 0: the programs are not there */
	uint32_t header_flows, header_room;
	const struct metrics_peer *peers;
	size_t peer_count;
	const struct metrics_role *roles;
	size_t role_count;
	uint64_t operator_bans, packet_bans; /* in force */
};

/* Count an apply that took so long. */
void metrics_count_apply(struct metrics_applies *applies, uint64_t took_ms);
/* *ret_text is the caller's to free. 0 or -ENOMEM. */
int metrics_render(const struct metrics *metrics, char **ret_text, size_t *ret_length);
