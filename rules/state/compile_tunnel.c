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

size_t compile_slots(const struct rundata *run, const struct tunnel *tunnel, struct tunnel_slot ret_slots[COMPILE_SLOTS])
{
	const struct tunnel_run *known = find_run(run, tunnel->name);
	ret_slots[0] = (struct tunnel_slot){.device = known && known->device ? known->device : tunnel->name,
					    .listen = known && known->listen ? known->listen : tunnel->listen};
	if (known)
		memcpy(ret_slots[0].public_key, known->public_key, TUNNEL_KEY_SIZE);
	if (!known || !known->next.device)
		return 1;
	ret_slots[1] = known->next;
	if (!ret_slots[1].listen)
		ret_slots[1].listen = tunnel->listen;
	return 2;
}

/* What was agreed with a peer stands for the key that the file had then. */
static bool has_agreed(const struct peer *peer, const struct peer_run *run)
{
	return run && memcmp(run->configured, peer->public_key, TUNNEL_KEY_SIZE) == 0;
}

static const uint8_t *peer_key(const struct peer *peer, const struct peer_run *run, size_t slot)
{
	bool agreed = has_agreed(peer, run);
	if (slot == 0)
		return agreed && !tunnel_key_is_zero(run->public_key) ? run->public_key : peer->public_key;
	if (!run || !run->next.known || (peer->agent && !agreed))
		return NULL;
	return agreed && !tunnel_key_is_zero(run->next.public_key) ? run->next.public_key : peer->public_key;
}

const uint8_t *compile_peer_key(const struct rundata *run, const struct tunnel *tunnel, const struct peer *peer, size_t slot)
{
	return peer_key(peer, find_peer_run(find_run(run, tunnel->name), peer->name), slot);
}

size_t compile_peer_slot(const struct rundata *run, const struct tunnel *tunnel, const struct peer *peer)
{
	const struct tunnel_run *known = find_run(run, tunnel->name);
	const struct peer_run *found = find_peer_run(known, peer->name);
	return known && known->next.device && found && found->moved && peer_key(peer, found, 1) ? 1 : 0;
}

static const struct peer *peer_of_node(const struct node *node)
{
	const struct tunnel *tunnel = node->tunnel;
	for (size_t i = 0; i < tunnel->peer_count; i++)
		for (size_t j = 0; j < tunnel->peers[i].allowed_ip_count; j++)
			if (prefix_contains(&tunnel->peers[i].allowed_ips[j], &node->address))
				return &tunnel->peers[i];
	return NULL;
}

const char *compile_node_device(const struct rundata *run, const struct node *node)
{
	struct tunnel_slot slots[COMPILE_SLOTS];
	const struct peer *peer = peer_of_node(node);
	(void)compile_slots(run, node->tunnel, slots);
	return slots[peer ? compile_peer_slot(run, node->tunnel, peer) : 0].device;
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

static void set_endpoint(const struct peer *peer, const struct peer_run *run, size_t slot, struct tunnel_peer *made)
{
	uint16_t port = !has_agreed(peer, run) ? 0 : slot ? run->next.port : run->port;
	if (peer->endpoint_host &&
	    addr_parse(peer->endpoint_host, strlen(peer->endpoint_host), &made->endpoint) < 0 && run)
		made->endpoint = run->endpoint;
	if (made->endpoint.family != FAMILY_NONE) {
		made->endpoint_port = port ? port : peer->endpoint_port;
	} else if (run) {
		/* It calls us, or its name is not resolved: where it was last seen is better than nothing. */
		made->endpoint = run->seen[slot];
		made->endpoint_port = run->seen_port[slot];
	}
}

static int compile_peer(struct arena *arena, const struct peer *peer, const struct peer_run *run, size_t slot,
			struct tunnel_peer *ret_peer)
{
	struct tunnel_peer made = {.name = peer->name,
				   .keepalive = (uint16_t)(peer->keepalive / 1000),
				   .allowed_count = peer->allowed_ip_count,
				   .endpoint_back = run && run->dead,
				   .at = peer->at};
	memcpy(made.public_key, peer_key(peer, run, slot), TUNNEL_KEY_SIZE);
	if (peer->preshared_key && run)
		memcpy(made.preshared, slot ? run->next.preshared : run->preshared, TUNNEL_KEY_SIZE);
	set_endpoint(peer, run, slot, &made);
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

/* A tunnel that is compiled. */
struct compiling {
	struct arena *arena;
	const struct rundata *run;
	const struct tunnel *tunnel;
	const struct tunnel_run *known;
	struct tunnel_slot slots[COMPILE_SLOTS];
	size_t slot_count;
};

/* A route for each allowed IP that no own network covers. Never a default route: the way out of this machine is not a
 * peer's to take, and the tunnel's own packets would go round in it. While there are two devices with the same networks,
 * routes alone say which of them a peer's packets take. */
static int compile_routes(const struct compiling *c, size_t slot, struct tunnel_state *made)
{
	const struct tunnel *tunnel = c->tunnel;
	size_t room = 1, count = 0;
	for (size_t i = 0; i < tunnel->peer_count; i++)
		room += tunnel->peers[i].allowed_ip_count;
	struct prefix *routes = arena_array(c->arena, room, struct prefix);
	if (!routes)
		return -ENOMEM;
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		const struct peer *peer = &tunnel->peers[i];
		if (compile_peer_slot(c->run, tunnel, peer) != slot)
			continue;
		for (size_t j = 0; j < peer->allowed_ip_count; j++) {
			bool needed = c->slot_count > 1 || !is_covered(tunnel, &peer->allowed_ips[j]);
			if (peer->allowed_ips[j].length && needed)
				routes[count++] = peer->allowed_ips[j];
		}
	}
	qsort(routes, count, sizeof(*routes), tunnel_compare_prefixes);
	made->routes = routes;
	made->route_count = count;
	return 0;
}

static int compile_one(const struct compiling *c, size_t slot, struct tunnel_state *ret_tunnel)
{
	const struct tunnel *tunnel = c->tunnel;
	struct tunnel_state made = {.name = c->slots[slot].device,
				    .listen = c->slots[slot].listen,
				    .mtu = tunnel->mtu ? tunnel->mtu : TUNNEL_DEFAULT_MTU,
				    .up = true,
				    .address_count = tunnel->address_count,
				    .at = tunnel->at};
	memcpy(made.public_key, c->slots[slot].public_key, TUNNEL_KEY_SIZE);
	struct tunnel_peer *peers = arena_array(c->arena, tunnel->peer_count + 1, struct tunnel_peer);
	int r = peers ? copy_prefixes(c->arena, tunnel->addresses, tunnel->address_count, &made.addresses) : -ENOMEM;
	if (r == 0)
		r = compile_routes(c, slot, &made);
	for (size_t i = 0; r == 0 && i < tunnel->peer_count; i++) {
		const struct peer_run *known = find_peer_run(c->known, tunnel->peers[i].name);
		if (!peer_key(&tunnel->peers[i], known, slot))
			continue;
		r = compile_peer(c->arena, &tunnel->peers[i], known, slot, &peers[made.peer_count]);
		made.peer_count += r == 0;
	}
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
	struct tunnel_state *items = arena_array(arena, model->tunnel_count * COMPILE_SLOTS + 1, struct tunnel_state);
	size_t count = 0;
	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < model->tunnel_count; i++) {
		struct compiling c = {.arena = arena, .run = run, .tunnel = &model->tunnels[i]};
		c.known = find_run(run, c.tunnel->name);
		c.slot_count = compile_slots(run, c.tunnel, c.slots);
		for (size_t slot = 0; slot < c.slot_count; slot++) {
			int r = compile_one(&c, slot, &items[count]);
			if (r < 0)
				return r;
			count++;
		}
	}
	qsort(items, count, sizeof(*items), tunnel_compare);
	*ret_list = (struct tunnel_list){.items = items, .count = count};
	return 0;
}
