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

/* Is the peer that the node is behind known to be dead? */
static bool is_cut_off(const struct rundata *run, const struct node *node)
{
	const struct tunnel *tunnel = node->tunnel;
	const char *name = NULL;
	for (size_t i = 0; tunnel && i < tunnel->peer_count; i++)
		for (size_t j = 0; j < tunnel->peers[i].allowed_ip_count; j++)
			if (prefix_contains(&tunnel->peers[i].allowed_ips[j], &node->address))
				name = tunnel->peers[i].name;
	for (size_t i = 0; name && i < run->tunnel_count; i++) {
		const struct tunnel_run *known = &run->tunnels[i];
		for (size_t j = 0; strcmp(known->tunnel, tunnel->name) == 0 && j < known->peer_count; j++)
			if (strcmp(known->peers[j].peer, name) == 0)
				return known->peers[j].dead;
	}
	return false;
}

bool compile_backend_usable(const struct rundata *run, const struct pool *pool, const struct node *node, uint16_t port)
{
	for (size_t i = 0; i < run->draining_count; i++)
		if (strcmp(run->draining[i], node->name) == 0)
			return false;
	/* Where nobody asks the node itself, its tunnel is all that can be known. */
	if (pool->health.check == HEALTH_NONE)
		return !is_cut_off(run, node);
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

bool compile_header_on(const struct rundata *run, const char *device)
{
	for (size_t i = 0; device && i < run->header_device_count; i++)
		if (strcmp(run->header_devices[i].name, device) == 0)
			return true;
	return false;
}

/* Can the kernel send this forward's flows to the node, header and all? */
static bool kernel_reaches(const struct model *model, const struct rundata *run, const struct forward *forward,
			   const struct node *node)
{
	return forward->proxy_protocol == PROXY_NONE ||
	       compile_header_on(run, node->tunnel ? compile_node_device(run, node) : model->lan.device);
}

bool compile_kernel_backend(const struct model *model, const struct rundata *run, const struct forward *forward,
			    const struct node *node, enum family family)
{
	return node->address.family == family && kernel_reaches(model, run, forward, node) &&
	       compile_backend_usable(run, forward->pool, node, compile_health_port(forward));
}

/* Backends that take new connections. */
struct usable {
	size_t same, other; /* of the client's family, of the other one */
	size_t kernel;      /* of same: those that the kernel can send to */
};

static struct usable count_usable(const struct model *model, const struct rundata *run, const struct forward *forward,
				  enum family family)
{
	struct usable usable = {0};
	const struct pool *pool = forward->pool;
	for (size_t i = 0; i < pool->node_count; i++) {
		const struct node *node = pool->nodes[i];
		if (!compile_backend_usable(run, pool, node, compile_health_port(forward)))
			continue;
		*(node->address.family == family ? &usable.same : &usable.other) += 1;
		usable.kernel += compile_kernel_backend(model, run, forward, node, family);
	}
	return usable;
}

/* What the kernel cannot do for these clients; NULL: it can. */
static const char *kernel_lacks(const struct rundata *run, const struct forward *forward, const struct usable *usable)
{
	if (forward->pool->balance == BALANCE_LEAST_CONNECTIONS)
		return "balance: least_connections needs the user-space forwarder";
	if (usable->same == 0)
		return "the nodes that are up have no address of the client's family";
	/* Asked for, it serves with the nodes that it reaches; else every node that is up shall have its share. */
	if (forward->via == VIA_KERNEL ? usable->kernel > 0 : usable->kernel == usable->same)
		return NULL;
	return run->header_why ? run->header_why
			       : "the programs that add the PROXY header are not attached where the nodes are";
}

struct plane_choice compile_plane(const struct model *model, const struct rundata *run, const struct forward *forward,
				  enum family family)
{
	struct usable usable = count_usable(model, run, forward, family);
	struct plane_choice proxy = {.plane = PLANE_PROXY, .healthy = usable.same + usable.other};
	struct plane_choice none = {.plane = PLANE_NONE};
	if (forward->protocol == PROTOCOL_UDP) {
		if (usable.same)
			return (struct plane_choice){PLANE_KERNEL, "udp is forwarded by the kernel", usable.same};
		none.why = usable.other ? "no node of the client's family, and udp cannot change it"
					: "no backend is up";
		return none;
	}
	if (usable.same + usable.other == 0) {
		none.why = "no backend is up";
		return none;
	}
	if (forward->via == VIA_PROXY) {
		proxy.why = "via: proxy";
		return proxy;
	}
	const char *lacks = kernel_lacks(run, forward, &usable);
	const char *served = forward->via == VIA_KERNEL ? "via: kernel" : "the kernel can serve it";
	if (!lacks)
		return (struct plane_choice){PLANE_KERNEL, served, usable.kernel};
	/* via: kernel is a promise: what cannot be kept is refused, and never served in another way. */
	if (forward->via == VIA_KERNEL) {
		none.why = lacks;
		return none;
	}
	proxy.why = lacks;
	return proxy;
}
