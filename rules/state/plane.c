/* Planes: which data plane serves a forward, and which of its backends. Shared
 * by the compiler, the evaluator and the forwarder's configuration, so that
 * they cannot disagree. */
#include "compile.h"

#include <string.h>

uint16_t compile_target_port(const struct forward *forward, uint16_t dialled)
{
	return forward->target_port ? forward->target_port : dialled;
}

uint16_t compile_health_port(const struct forward *forward)
{
	return forward->target_port ? forward->target_port : forward->ports[0].first;
}

bool compile_backend_usable(const struct rundata *run, const struct pool *pool, const struct node *node, uint16_t port)
{
	for (size_t i = 0; i < run->draining_count; i++)
		if (strcmp(run->draining[i], node->name) == 0)
			return false;
	if (pool->health.check == HEALTH_NONE)
		return true;
	size_t low = 0, high = run->health_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct backend_health *health = &run->health[middle];
		int order = strcmp(health->node, node->name);
		if (order == 0 && health->port == port)
			return health->up;
		if (order < 0 || (order == 0 && health->port < port))
			low = middle + 1;
		else
			high = middle;
	}
	return false; /* a pair never seen before is down until it has answered */
}

struct plane_choice compile_plane(const struct model *model, const struct rundata *run, const struct forward *forward,
				  enum family family)
{
	(void)model;
	const struct pool *pool = forward->pool;
	size_t same = 0, other = 0;
	for (size_t i = 0; i < pool->node_count; i++) {
		if (!compile_backend_usable(run, pool, pool->nodes[i], compile_health_port(forward)))
			continue;
		if (pool->nodes[i]->address.family == family)
			same++;
		else
			other++;
	}
	struct plane_choice proxy = {.plane = PLANE_PROXY, .healthy = same + other};
	struct plane_choice none = {.plane = PLANE_NONE};
	if (forward->protocol == PROTOCOL_UDP) {
		if (same)
			return (struct plane_choice){PLANE_KERNEL, "udp is forwarded by the kernel", same};
		none.why = other ? "no node of the client's family, and udp cannot change it" : "no backend is up";
		return none;
	}
	if (same + other == 0) {
		none.why = "no backend is up";
		return none;
	}
	if (forward->via == VIA_PROXY)
		proxy.why = "via: proxy";
	else if (pool->balance == BALANCE_LEAST_CONNECTIONS)
		proxy.why = "balance: least_connections needs the user-space forwarder";
	else if (same == 0)
		proxy.why = "the nodes that are up have no address of the client's family";
	else if (forward->proxy_protocol != PROXY_NONE && !run->kernel_injection)
		proxy.why = "the kernel path for the PROXY header is not active";
	else
		return (struct plane_choice){PLANE_KERNEL, "the kernel can serve it", same};
	return proxy;
}
