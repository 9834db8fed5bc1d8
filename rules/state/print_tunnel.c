/* Printing of tunnels and of the steps that concern them, close to what
 * `wg showconf` prints. Public keys and fingerprints only: there is nothing
 * secret in a state. */
#include "print_parts.h"

#include "../model/values.h"

static void print_key(struct text *text, const uint8_t key[TUNNEL_KEY_SIZE])
{
	if (tunnel_key_is_zero(key)) {
		text_add(text, "(to be made)");
		return;
	}
	const char *base64 = value_print_public_key(text->arena, key);
	if (base64)
		text_add(text, "%s", base64);
	else
		text->failed = true;
}

static void print_endpoint(struct text *text, const struct addr *addr, uint16_t port)
{
	char address[ADDR_TEXT_MAX];
	text_add(text, addr->family == FAMILY_V6 ? "[%s]:%u" : "%s:%u", addr_format(addr, address), port);
}

/* With the length, also where it is full: an own address without one would say something else. */
static void print_prefix(struct text *text, const struct prefix *prefix)
{
	char address[ADDR_TEXT_MAX];
	text_add(text, "%s/%u", addr_format(&prefix->addr, address), prefix->length);
}

static void print_prefixes(struct text *text, const char *what, const struct prefix *prefixes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		text_add(text, i ? ", " : "%s", what);
		print_prefix(text, &prefixes[i]);
	}
}

static void print_peer(struct text *text, const struct tunnel_peer *peer)
{
	print_key(text, peer->public_key);
	print_prefixes(text, " allowed ", peer->allowed, peer->allowed_count);
	if (peer->endpoint.family != FAMILY_NONE) {
		text_add(text, " endpoint ");
		print_endpoint(text, &peer->endpoint, peer->endpoint_port);
	}
	if (peer->keepalive)
		text_add(text, " keepalive %u", peer->keepalive);
	if (!tunnel_key_is_zero(peer->preshared))
		text_add(text, " preshared %02x%02x%02x%02x", peer->preshared[0], peer->preshared[1], peer->preshared[2],
			 peer->preshared[3]);
}

void print_tunnel(struct text *text, const struct tunnel_state *tunnel)
{
	text_add(text, "tunnel %s {\n\tkey ", tunnel->name);
	print_key(text, tunnel->public_key);
	text_add(text, "\n\tlisten %u mtu %u %s\n", tunnel->listen, tunnel->mtu, tunnel->up ? "up" : "down");
	print_prefixes(text, "\taddress ", tunnel->addresses, tunnel->address_count);
	text_add(text, "\n");
	if (tunnel->route_count) {
		print_prefixes(text, "\troute ", tunnel->routes, tunnel->route_count);
		text_add(text, "\n");
	}
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		text_add(text, "\tpeer ");
		print_peer(text, &tunnel->peers[i]);
		text_add(text, "\n");
	}
	text_add(text, "}\n");
}

void print_tunnel_step(struct text *text, const struct step *step)
{
	text_add(text, " %s", step->tunnel->name);
	if (step->kind == STEP_SET_TUNNEL) {
		text_add(text, " listen %u key ", step->tunnel->listen);
		print_key(text, step->tunnel->public_key);
	} else if (step->kind == STEP_SET_LINK) {
		text_add(text, " mtu %u %s", step->tunnel->mtu, step->tunnel->up ? "up" : "down");
	} else if (step->peer) {
		text_add(text, " ");
		print_peer(text, step->peer);
	} else if (step->prefix) {
		text_add(text, " ");
		print_prefix(text, step->prefix);
	}
}
