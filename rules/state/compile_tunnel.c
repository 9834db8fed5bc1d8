/* The model's wireguard section and what main knows of its keys and endpoints
 * -> tunnels of the desired state. Pure; without run data about tunnels
 * (nothing there to hold them) it makes none. */
#include "compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct tunnel_run *find_run(const struct rundata *run, const char *tunnel)
{
	for (size_t i = 0; i < run->tunnel_count; i++) {
		if (strcmp(run->tunnels[i].tunnel, tunnel) == 0)
			return &run->tunnels[i];
	}
	return NULL;
}

static const struct peer_run *find_peer_run(const struct tunnel_run *run, const char *peer)
{
	for (size_t i = 0; run && i < run->peer_count; i++) {
		if (strcmp(run->peers[i].peer, peer) == 0)
			return &run->peers[i];
	}
	return NULL;
}

static int copy_prefixes(struct arena *arena, const struct prefix *from, size_t count, const struct prefix **ret_to)
{
	struct prefix *copy = arena_array(arena, count + 1, struct prefix);
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		copy[i] = from[i];
	qsort(copy, count, sizeof(*copy), tunnel_compare_prefixes);
	*ret_to = copy;
	return 0;
}

static int compile_peer(struct arena *arena, const struct peer *peer, const struct peer_run *run,
			struct tunnel_peer *ret_peer)
{
	struct tunnel_peer made = {.name = peer->name,
				   .keepalive = (uint16_t)(peer->keepalive / 1000),
				   .allowed_count = peer->allowed_ip_count,
				   .endpoint_back = run && run->dead,
				   .at = peer->at};
	memcpy(made.public_key, peer->public_key, TUNNEL_KEY_SIZE);
	if (peer->preshared_key && run)
		memcpy(made.preshared, run->preshared, TUNNEL_KEY_SIZE);
	if (peer->endpoint_host &&
	    addr_parse(peer->endpoint_host, strlen(peer->endpoint_host), &made.endpoint) < 0 && run)
		made.endpoint = run->endpoint;
	if (made.endpoint.family != FAMILY_NONE)
		made.endpoint_port = peer->endpoint_port;
	else if (run) {
		/* It calls us, or its name is not resolved: where it was last seen is better than nothing. */
		made.endpoint = run->seen;
		made.endpoint_port = run->seen_port;
	}
	int r = copy_prefixes(arena, peer->allowed_ips, peer->allowed_ip_count, &made.allowed);
	if (r == 0)
		*ret_peer = made;
	return r;
}

static bool is_covered(const struct tunnel *tunnel, const struct prefix *prefix)
{
	for (size_t i = 0; i < tunnel->address_count; i++) {
		struct prefix network = prefix_of(&tunnel->addresses[i].addr, tunnel->addresses[i].length);
		if (network.length <= prefix->length && prefix_contains(&network, &prefix->addr))
			return true;
	}
	return false;
}

/* A route for each allowed IP that no own network covers. Never a default route: the way out of this machine is not a
 * peer's to take, and the tunnel's own packets would go round in it. */
static int compile_routes(struct arena *arena, const struct tunnel *tunnel, struct tunnel_state *made)
{
	size_t room = 1, count = 0;
	for (size_t i = 0; i < tunnel->peer_count; i++)
		room += tunnel->peers[i].allowed_ip_count;
	struct prefix *routes = arena_array(arena, room, struct prefix);
	if (!routes)
		return -ENOMEM;
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		const struct peer *peer = &tunnel->peers[i];
		for (size_t j = 0; j < peer->allowed_ip_count; j++) {
			if (peer->allowed_ips[j].length && !is_covered(tunnel, &peer->allowed_ips[j]))
				routes[count++] = peer->allowed_ips[j];
		}
	}
	qsort(routes, count, sizeof(*routes), tunnel_compare_prefixes);
	made->routes = routes;
	made->route_count = count;
	return 0;
}

static int compile_one(struct arena *arena, const struct tunnel *tunnel, const struct tunnel_run *run,
		       struct tunnel_state *ret_tunnel)
{
	struct tunnel_state made = {.name = tunnel->name,
				    .listen = tunnel->listen,
				    .mtu = tunnel->mtu ? tunnel->mtu : TUNNEL_DEFAULT_MTU,
				    .up = true,
				    .address_count = tunnel->address_count,
				    .peer_count = tunnel->peer_count,
				    .at = tunnel->at};
	if (run)
		memcpy(made.public_key, run->public_key, TUNNEL_KEY_SIZE);
	struct tunnel_peer *peers = arena_array(arena, tunnel->peer_count + 1, struct tunnel_peer);
	int r = peers ? copy_prefixes(arena, tunnel->addresses, tunnel->address_count, &made.addresses) : -ENOMEM;
	if (r == 0)
		r = compile_routes(arena, tunnel, &made);
	for (size_t i = 0; r == 0 && i < tunnel->peer_count; i++)
		r = compile_peer(arena, &tunnel->peers[i], find_peer_run(run, tunnel->peers[i].name), &peers[i]);
	if (r < 0)
		return r;
	qsort(peers, made.peer_count, sizeof(*peers), tunnel_compare_peers);
	made.peers = peers;
	*ret_tunnel = made;
	return 0;
}

int compile_tunnels(const struct model *model, const struct rundata *run, struct arena *arena,
		    struct tunnel_list *ret_list)
{
	if (!run->has_tunnels)
		return 0;
	struct tunnel_state *items = arena_array(arena, model->tunnel_count + 1, struct tunnel_state);
	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		int r = compile_one(arena, tunnel, find_run(run, tunnel->name), &items[i]);
		if (r < 0)
			return r;
	}
	qsort(items, model->tunnel_count, sizeof(*items), tunnel_compare);
	*ret_list = (struct tunnel_list){.items = items, .count = model->tunnel_count};
	return 0;
}
