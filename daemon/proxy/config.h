/* What main tells the proxy workers and the prober: flat, resolved, without
 * the model. Made by proxy_config_build from model and run data, encoded by
 * main, decoded (as hostile) by the worker. */
#pragma once

#include "../../rules/model/model.h"
#include "../../rules/model/rundata.h"
#include "../wire.h"

/* Listening ports of one forward. */
#define PROXY_PORTS_MAX 128
#define PROXY_FORWARD_NONE UINT32_MAX

struct proxy_backend {
	uint32_t node;   /* index in the model: stable within one generation */
	const char *name;
	struct addr address;
	bool usable;     /* on this forward's target port: up and not draining */
};

struct proxy_forward {
	const char *name;
	enum proxy_header header;
	uint32_t tlvs; /* TLV_BIT()s */
	bool log; /* tell main of each connection */
	enum balance balance;
	milliseconds connect_timeout, idle_timeout;
	struct proxy_backend *backends;
	size_t backend_count;
	uint16_t target_port; /* 0: the dialled one */
};

/* One listening socket. The same id on every worker; main hands each worker a
 * socket of its own (SO_REUSEPORT) with MSG_PROXY_LISTENER before the first
 * configuration that names it. A worker closes it when a configuration comes
 * that does not name it: it has to be sent again before one that does.
 *
 * A redirected connection (hairpin) arrives at any address of this machine. So
 * each port of a forward with an address also has a listener on any address;
 * there the original destination decides: the forward with that address, else
 * the listener's own (PROXY_FORWARD_NONE: refused). */
struct proxy_listener {
	uint32_t id;      /* never reused for another address or port while main runs */
	uint32_t forward; /* index in forwards; PROXY_FORWARD_NONE: see below */
	struct addr address; /* FAMILY_NONE: any, both families (IPV6_V6ONLY off); others are bound with IP_FREEBIND */
	uint16_t port;
};

/* One (node, port) to probe. */
struct proxy_probe {
	const char *node;
	struct addr address;
	uint16_t port;
	struct health health;
	enum proxy_header header; /* what the port expects: a probe then sends LOCAL (v1: UNKNOWN) */
	bool up;                  /* adopted state to start from */
};

struct proxy_config {
	uint32_t generation;
	struct proxy_forward *forwards; /* only those that the proxy serves for some family */
	size_t forward_count;
	struct proxy_listener *listeners;
	size_t listener_count;
	struct proxy_probe *probes; /* every distinct (node, health port) of every forward whose pool has a check */
	size_t probe_count;
};

void proxy_config_encode(const struct proxy_config *config, struct wire_writer *writer);
/* All in arena. 0, -EBADMSG, -ENOMEM. */
int proxy_config_decode(const void *data, size_t length, struct arena *arena, struct proxy_config **ret_config);
/* Listener ids come from *ids, which lives as long as main: the same address
 * and port of a forward keeps its id. All in arena, which refers into model. */
struct listener_ids;
int proxy_config_build(const struct model *model, const struct rundata *run, uint32_t generation, struct listener_ids *ids,
		       struct arena *arena, struct proxy_config **ret_config);
struct listener_ids *listener_ids_new(void);
void listener_ids_free(struct listener_ids **ids);
