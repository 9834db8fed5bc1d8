/* Services: forwards and their backends as a worker runs them: counters and open
 * connections outlive a configuration, everything else comes from it. */
#pragma once

#include "balance.h"
#include "config.h"

#include <stdint.h>

struct service_counters {
	uint64_t accepted;
	uint64_t open;
	uint64_t bytes_in;         /* from clients */
	uint64_t bytes_out;        /* to clients */
	uint64_t refused;          /* reset at once: no usable backend, or no room */
	uint64_t connect_failures; /* attempts, not connections */
	uint64_t header_errors;    /* the header could not be sent */
};

struct backend {
	struct balance_entry balance; /* first: an entry of service->backends is a backend */
	struct addr address;
	bool live; /* in the present configuration */
	char name[MODEL_NAME_MAX + 1];
};

struct service {
	char name[MODEL_NAME_MAX + 1];
	enum proxy_header header;
	uint32_t tlvs; /* TLV_BIT()s */
	bool log; /* main is told of each connection */
	enum balance how;
	uint64_t connect_timeout, idle_timeout; /* ms */
	uint16_t target_port;                   /* 0: the dialled one */
	uint32_t turn;                          /* of the round robin */
	struct balance_entry **backends;        /* each the first member of a struct backend */
	size_t backend_count;
	struct service_counters counters;
	bool live; /* in the present configuration */
};

struct service_table {
	struct service **items; /* the live ones, in the configuration's order; then those that still have connections */
	size_t live_count, count;
};

/* Take over a configuration: all or nothing. 0 or -ENOMEM. A forward and a
 * backend are the same when their name (and address) is. */
int service_table_apply(struct service_table *table, const struct proxy_config *config);
void service_table_free(struct service_table *table);
/* Choose and hold a backend for a client; NULL when there is none. */
struct backend *service_pick(struct service *service, const struct addr *client, struct balance_tried *tried,
			     uint64_t now);
/* Give it back; the last hold on a backend that is gone frees it. */
void backend_release(struct backend *backend);
/* Call after counters.open fell: frees the forward if it is gone and unused. */
void service_release(struct service_table *table, struct service *service);
