/* Report: what a worker answers to MSG_PROXY_QUERY, as bytes and back. */
#pragma once

#include "service.h"
#include "header.h"

/* MSG_PROXY_QUERY's "what". */
enum report_kind { REPORT_COUNTERS, REPORT_CONNECTIONS };
#define REPORT_CONNECTIONS_MAX 10000u /* of one worker; the rest is only counted */

struct report_service {
	const char *forward;
	struct service_counters counters; /* gauges and sums since the worker started */
};

struct report_connection {
	const char *forward, *node; /* node: NULL while none is chosen */
	struct endpoint client;
	struct addr node_address;
	uint64_t age_ms, idle_ms, bytes_in, bytes_out;
	uint64_t unique_id; /* what the node was told; 0: nothing */
	bool connecting;
};

struct report {
	enum report_kind kind;
	struct report_service *services;
	size_t service_count;
	struct report_connection *connections;
	size_t connection_count;
	uint64_t connections_total; /* connections_count of them are listed */
};

void report_encode(const struct report *report, struct wire_writer *writer);
/* What a worker sent, as hostile. All in arena. 0, -EBADMSG, -ENOMEM. */
int report_decode(const void *data, size_t length, struct arena *arena, struct report **ret_report);
