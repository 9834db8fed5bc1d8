/* Model and run data -> the proxy's configuration: which forwards it serves, on
 * which sockets, and what is probed. Runs in main; pure but for the table of
 * listener ids, which main keeps. */
#include "../../rules/state/compile.h"
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct id_entry {
	struct addr address;
	uint16_t port;
	uint32_t id; /* 0: the slot is free */
};

/* Open addressing; grows at half full. */
struct listener_ids {
	struct id_entry *slots;
	size_t size; /* a power of two */
	uint32_t last;
};

struct listener_ids *listener_ids_new(void)
{
	struct listener_ids *ids = calloc(1, sizeof(*ids));
	if (!ids)
		return NULL;
	ids->size = 64;
	ids->slots = calloc(ids->size, sizeof(*ids->slots));
	if (!ids->slots)
		listener_ids_free(&ids);
	return ids;
}

void listener_ids_free(struct listener_ids **ids)
{
	if (!*ids)
		return;
	free((*ids)->slots);
	free(*ids);
	*ids = NULL;
}

static struct id_entry *find_slot(struct id_entry *slots, size_t size, const struct addr *address, uint16_t port)
{
	size_t hash = port * 40503u;
	for (size_t i = 0; i < sizeof(address->bytes); i++)
		hash = hash * 31 + address->bytes[i];
	for (size_t at = hash & (size - 1);; at = (at + 1) & (size - 1))
		if (!slots[at].id || (slots[at].port == port && addr_equal(&slots[at].address, address)))
			return &slots[at];
}

static int grow_ids(struct listener_ids *ids)
{
	struct id_entry *slots = calloc(2 * ids->size, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < ids->size; i++)
		if (ids->slots[i].id)
			*find_slot(slots, 2 * ids->size, &ids->slots[i].address, ids->slots[i].port) = ids->slots[i];
	free(ids->slots);
	ids->slots = slots;
	ids->size *= 2;
	return 0;
}

static int listener_id(struct listener_ids *ids, const struct addr *address, uint16_t port, uint32_t *ret_id)
{
	if (2 * (size_t)ids->last >= ids->size) {
		int error = grow_ids(ids);
		if (error)
			return error;
	}
	struct id_entry *slot = find_slot(ids->slots, ids->size, address, port);
	if (!slot->id)
		*slot = (struct id_entry){.address = *address, .port = port, .id = ++ids->last};
	*ret_id = slot->id;
	return 0;
}

/* Would the proxy serve it if all nodes were up? Its listeners must not come and go with the nodes' health. */
static bool proxy_when_up(const struct model *model, const struct rundata *run, const struct forward *forward,
			  enum family family)
{
	struct rundata healthy = *run;
	healthy.draining_count = 0;
	struct pool pool = *forward->pool;
	pool.health.check = HEALTH_NONE;
	struct forward same = *forward;
	same.pool = &pool;
	return compile_plane(model, &healthy, &same, family).plane == PLANE_PROXY;
}

static bool proxy_serves(const struct model *model, const struct rundata *run, const struct forward *forward)
{
	if (forward->protocol != PROTOCOL_TCP)
		return false;
	for (size_t i = 0; i < run->lingering_count; i++)
		if (strcmp(run->lingering[i], forward->name) == 0)
			return true;
	static const enum family families[] = {FAMILY_V4, FAMILY_V6};
	for (size_t i = 0; i < 2; i++) {
		if (forward->listen_address.family && forward->listen_address.family != families[i])
			continue;
		enum plane plane = compile_plane(model, run, forward, families[i]).plane;
		if (plane == PLANE_PROXY || (plane == PLANE_NONE && proxy_when_up(model, run, forward, families[i])))
			return true;
	}
	return false;
}

/* The ports of a forward, at most PROXY_PORTS_MAX; returns how many. */
static size_t list_ports(const struct forward *forward, uint16_t ports[PROXY_PORTS_MAX])
{
	size_t count = 0;
	for (size_t i = 0; i < forward->port_count; i++)
		for (uint32_t port = forward->ports[i].first; port <= forward->ports[i].last; port++) {
			if (count == PROXY_PORTS_MAX)
				return count;
			ports[count++] = (uint16_t)port;
		}
	return count;
}

static int build_forward(const struct rundata *run, const struct forward *forward, struct arena *arena,
			 struct proxy_forward *proxy)
{
	const struct pool *pool = forward->pool;
	*proxy = (struct proxy_forward){
		.name = forward->name,
		.header = forward->proxy_protocol,
		.tlvs = forward->proxy_tlvs,
		.log = forward->log,
		.balance = pool->balance,
		.connect_timeout = forward->connect_timeout,
		.idle_timeout = forward->idle_timeout,
		.target_port = forward->target_port,
		.backends = arena_array(arena, pool->node_count + 1, struct proxy_backend),
	};
	if (!proxy->backends)
		return -ENOMEM;
	uint16_t port = compile_health_port(forward);
	for (size_t i = 0; i < pool->node_count; i++) {
		const struct node *node = pool->nodes[i];
		proxy->backends[proxy->backend_count++] = (struct proxy_backend){
			.node = (uint32_t)node->index,
			.name = node->name,
			.address = node->address,
			.usable = compile_backend_usable(run, pool, node, port),
		};
	}
	return 0;
}

static int add_listener(struct proxy_config *config, struct listener_ids *ids, struct arena *arena, size_t *capacity,
			struct proxy_listener listener)
{
	int error = listener_id(ids, &listener.address, listener.port, &listener.id);
	if (error)
		return error;
	config->listeners =
		arena_grow(arena, config->listeners, config->listener_count, sizeof(*config->listeners), capacity);
	if (!config->listeners)
		return -ENOMEM;
	config->listeners[config->listener_count++] = listener;
	return 0;
}

/* A listener per address and port; and one on any address for each port that has only addresses (see config.h). */
static int build_listeners(const struct model *model, const uint32_t *forward_of, struct listener_ids *ids,
			   struct arena *arena, struct proxy_config *config)
{
	enum { NOTHING, ANY, ADDRESS_ONLY };
	uint8_t *seen = arena_alloc(arena, UINT16_MAX + 1);
	size_t capacity = 0;
	int error = seen ? 0 : -ENOMEM;
	for (size_t i = 0; i < model->forward_count && !error; i++) {
		const struct forward *forward = &model->forwards[i];
		if (forward_of[i] == PROXY_FORWARD_NONE)
			continue;
		bool any = forward->listen_address.family == FAMILY_NONE;
		uint16_t ports[PROXY_PORTS_MAX];
		size_t count = list_ports(forward, ports);
		for (size_t j = 0; j < count && !error; j++) {
			if (any || seen[ports[j]] == NOTHING)
				seen[ports[j]] = any ? ANY : ADDRESS_ONLY;
			error = add_listener(config, ids, arena, &capacity,
					     (struct proxy_listener){.forward = forward_of[i],
								     .address = forward->listen_address,
								     .port = ports[j]});
		}
	}
	for (uint32_t port = 1; port <= UINT16_MAX && !error; port++)
		if (seen[port] == ADDRESS_ONLY)
			error = add_listener(config, ids, arena, &capacity,
					     (struct proxy_listener){.forward = PROXY_FORWARD_NONE, .port = (uint16_t)port});
	return error;
}

static int compare_probes(const void *a, const void *b)
{
	const struct proxy_probe *x = a, *y = b;
	int order = strcmp(x->node, y->node);
	if (!order)
		order = (int)x->port - (int)y->port;
	/* A port that demands the header says so in one of its forwards: that one comes first. */
	return order ? order : (int)y->header - (int)x->header;
}

/* One per node and forward, on the port whose health counts for all ports of the forward. */
static int collect_probes(const struct model *model, const struct rundata *run, struct arena *arena,
			  struct proxy_config *config)
{
	size_t capacity = 0;
	struct rundata undrained = *run; /* a draining node is probed like any other */
	undrained.draining_count = 0;
	for (size_t i = 0; i < model->forward_count; i++) {
		const struct forward *forward = &model->forwards[i];
		const struct pool *pool = forward->pool;
		uint16_t port = compile_health_port(forward);
		for (size_t j = 0; j < pool->node_count && pool->health.check != HEALTH_NONE; j++) {
			config->probes =
				arena_grow(arena, config->probes, config->probe_count, sizeof(*config->probes), &capacity);
			if (!config->probes)
				return -ENOMEM;
			config->probes[config->probe_count++] = (struct proxy_probe){
				.node = pool->nodes[j]->name,
				.address = pool->nodes[j]->address,
				.port = port,
				.health = pool->health,
				.header = forward->proxy_protocol,
				.up = compile_backend_usable(&undrained, pool, pool->nodes[j], port),
			};
		}
	}
	return 0;
}

static int build_probes(const struct model *model, const struct rundata *run, struct arena *arena,
			struct proxy_config *config)
{
	int error = collect_probes(model, run, arena, config);
	if (error || !config->probe_count)
		return error;
	qsort(config->probes, config->probe_count, sizeof(*config->probes), compare_probes);
	size_t kept = 0;
	for (size_t i = 0; i < config->probe_count; i++) {
		const struct proxy_probe *probe = &config->probes[i], *last = kept ? &config->probes[kept - 1] : NULL;
		if (!last || strcmp(last->node, probe->node) != 0 || last->port != probe->port)
			config->probes[kept++] = *probe;
	}
	config->probe_count = kept;
	return 0;
}

int proxy_config_build(const struct model *model, const struct rundata *run, uint32_t generation, struct listener_ids *ids,
		       struct arena *arena, struct proxy_config **ret_config)
{
	struct proxy_config *config = arena_new_of(arena, struct proxy_config);
	uint32_t *forward_of = arena_array(arena, model->forward_count + 1, uint32_t);
	if (!config || !forward_of)
		return -ENOMEM;
	config->generation = generation;
	config->forwards = arena_array(arena, model->forward_count + 1, struct proxy_forward);
	if (!config->forwards)
		return -ENOMEM;
	int error = 0;
	for (size_t i = 0; i < model->forward_count && !error; i++) {
		forward_of[i] = PROXY_FORWARD_NONE;
		if (!proxy_serves(model, run, &model->forwards[i]))
			continue;
		forward_of[i] = (uint32_t)config->forward_count;
		error = build_forward(run, &model->forwards[i], arena, &config->forwards[config->forward_count++]);
	}
	if (!error)
		error = build_listeners(model, forward_of, ids, arena, config);
	if (!error)
		error = build_probes(model, run, arena, config);
	if (!error)
		*ret_config = config;
	return error;
}
