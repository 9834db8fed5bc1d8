/* Tunnels as JSON: what is configured, and what was observed of it. Public
 * keys only: no secret ever comes here. */
#include "json_show.h"

#include "json_parts.h"

#include "../rules/state/compile.h"

#include "../rules/model/values.h"

#include <string.h>

static const char *endpoint_text(struct arena *arena, const char *host, uint16_t port)
{
	return arena_printf(arena, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

static const struct show_peer *find_health(const struct show *show, const char *tunnel, const char *peer)
{
	for (size_t i = 0; i < show->peer_count; i++) {
		if (strcmp(show->peers[i].tunnel, tunnel) == 0 && strcmp(show->peers[i].peer, peer) == 0)
			return &show->peers[i];
	}
	return NULL;
}

static json_t *handshake_age(const struct show *show, const struct tunnel_peer *seen)
{
	if (!seen || !seen->handshake)
		return json_null();
	return json_integer(show->now > seen->handshake ? (json_int_t)(show->now - seen->handshake) : 0);
}

static bool put_seen(json_t *json, const struct show *show, struct arena *arena, const struct tunnel_peer *seen)
{
	char address[ADDR_TEXT_MAX];
	const char *now = NULL;
	if (seen && seen->endpoint.family != FAMILY_NONE)
		now = endpoint_text(arena, addr_format(&seen->endpoint, address), seen->endpoint_port);
	return part_put_text(json, "endpoint_now", now) &&
	       part_put(json, "handshake_age_seconds", handshake_age(show, seen)) &&
	       part_put_number(json, "received", seen ? seen->received : 0) &&
	       part_put_number(json, "sent", seen ? seen->sent : 0);
}

static bool is_active(const struct tunnel_state *seen)
{
	return seen && seen->up && !seen->broken && !seen->foreign;
}

/* On the device that its packets take. */
static const struct tunnel_peer *find_seen(const struct show *show, const struct tunnel *tunnel, const struct peer *peer)
{
	struct tunnel_slot slots[COMPILE_SLOTS];
	(void)compile_slots(show->run, tunnel, slots);
	size_t slot = compile_peer_slot(show->run, tunnel, peer);
	const struct tunnel_state *device = tunnel_find(show->tunnels, slots[slot].device);
	return is_active(device) ? tunnel_find_peer(device, compile_peer_key(show->run, tunnel, peer, slot)) : NULL;
}

static json_t *peer_json(const struct show *show, struct arena *arena, const struct tunnel *tunnel,
			 const struct peer *peer)
{
	const struct tunnel_peer *seen = find_seen(show, tunnel, peer);
	const uint8_t *key = compile_peer_key(show->run, tunnel, peer, compile_peer_slot(show->run, tunnel, peer));
	char prefix[PREFIX_TEXT_MAX];
	const char *endpoint = NULL;
	if (peer->endpoint_host)
		endpoint = endpoint_text(arena, peer->endpoint_host, peer->endpoint_port);
	json_t *allowed = json_array();
	bool fine = allowed;
	for (size_t i = 0; fine && i < peer->allowed_ip_count; i++)
		fine = part_append_text(allowed, prefix_format(&peer->allowed_ips[i], prefix));
	json_t *json = json_object();
	const struct show_peer *health = find_health(show, tunnel->name, peer->name);
	fine = part_put(json, "allowed_ips", part_done(allowed, fine)) && part_put_text(json, "name", peer->name) &&
	       part_put_text(json, "endpoint", endpoint) &&
	       part_put_text(json, "public_key", value_print_public_key(arena, key)) &&
	       part_put_bool(json, "preshared_key", peer->preshared_key) && part_put_bool(json, "agent", peer->agent) &&
	       part_put_number(json, "keepalive_seconds", peer->keepalive / 1000) && put_seen(json, show, arena, seen) &&
	       part_put_bool(json, "up", health && health->up) &&
	       part_put_text(json, "failed", health ? health->failed : NULL) &&
	       part_put_text(json, "why", health ? health->why : "not looked at yet");
	return part_done(json, fine);
}

static json_t *peers_json(const struct show *show, struct arena *arena, const struct tunnel *tunnel)
{
	json_t *peers = json_array();
	bool fine = peers;
	for (size_t i = 0; fine && i < tunnel->peer_count; i++) {
		fine = part_append(peers, peer_json(show, arena, tunnel, &tunnel->peers[i]));
	}
	return part_done(peers, fine);
}

/* Where peers reach it: the first floating IP. Without one nobody here knows. */
static const char *dial_text(const struct show *show, struct arena *arena, uint16_t listen)
{
	char address[ADDR_TEXT_MAX];
	if (!show->model->floating_ip_count)
		return NULL;
	return endpoint_text(arena, addr_format(&show->model->floating_ips[0], address), listen);
}

static const char *key_text(struct arena *arena, const uint8_t *key)
{
	return tunnel_key_is_zero(key) ? NULL : value_print_public_key(arena, key);
}

/* While keys are being changed: the next device, and for whom it waits. */
static json_t *rotation_json(const struct show *show, struct arena *arena, const struct tunnel *tunnel,
			     const struct tunnel_slot *next)
{
	json_t *waits = json_array();
	bool fine = waits;
	for (size_t i = 0; fine && i < tunnel->peer_count; i++) {
		const struct show_peer *peer = find_health(show, tunnel->name, tunnel->peers[i].name);
		json_t *item = peer && peer->waits ? json_object() : NULL;
		if (item && part_put_text(item, "peer", peer->peer) && part_put_text(item, "why", peer->waits))
			fine = part_append(waits, item);
	}
	json_t *json = json_object();
	fine = part_put(json, "waits_for", part_done(waits, fine)) && part_put_text(json, "device", next->device) &&
	       part_put_number(json, "listen", next->listen) &&
	       part_put_text(json, "public_key", key_text(arena, next->public_key)) &&
	       part_put_text(json, "dial", dial_text(show, arena, next->listen));
	return part_done(json, fine);
}

static json_t *tunnel_json(const struct show *show, struct arena *arena, const struct tunnel *tunnel)
{
	struct tunnel_slot slots[COMPILE_SLOTS];
	size_t slot_count = compile_slots(show->run, tunnel, slots);
	const struct tunnel_state *seen = tunnel_find(show->tunnels, slots[0].device);
	bool active = is_active(seen);
	json_t *addresses = json_array();
	bool fine = addresses;
	for (size_t i = 0; fine && i < tunnel->address_count; i++)
		fine = part_append_text(addresses, interface_text(arena, &tunnel->addresses[i]));
	json_t *json = json_object();
	const char *why = show->tunnels_why ? show->tunnels_why : "the device is not there";
	fine = part_put(json, "addresses", part_done(addresses, fine)) &&
	       part_put(json, "peers", peers_json(show, arena, tunnel)) && part_put_text(json, "name", tunnel->name) &&
	       part_put_text(json, "device", slots[0].device) && part_put_number(json, "listen", slots[0].listen) &&
	       part_put_bool(json, "active", active) && part_put_text(json, "why", active ? NULL : why) &&
	       part_put_text(json, "public_key", active ? key_text(arena, seen->public_key) : NULL) &&
	       part_put_text(json, "dial", dial_text(show, arena, slots[0].listen)) &&
	       part_put_text(json, "backend", active ? tunnel_backend_names[seen->backend] : NULL) &&
	       part_put_number(json, "mtu", active ? seen->mtu : tunnel->mtu) &&
	       part_put(json, "rotation", slot_count > 1 ? rotation_json(show, arena, tunnel, &slots[1]) : json_null());
	return part_done(json, fine);
}

json_t *show_tunnels(const struct show *show)
{
	cleanup_arena struct arena *arena = arena_new();
	json_t *list = json_array();
	bool fine = arena && list;
	for (size_t i = 0; fine && i < show->model->tunnel_count; i++)
		fine = part_append(list, tunnel_json(show, arena, &show->model->tunnels[i]));
	return part_done(list, fine);
}
