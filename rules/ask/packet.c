/* Packet: which way a packet goes and came, and whether it meets a condition
 * of the configuration. All of it follows from the model alone: the routing
 * table is taken to be what the model describes. */
#include "packet.h"

static const struct prefix multicast_v4 = {.addr = {FAMILY_V4, {224}}, .length = 4};
static const struct prefix multicast_v6 = {.addr = {FAMILY_V6, {0xff}}, .length = 8};
static const struct prefix zero_v4 = {.addr = {FAMILY_V4, {0}}, .length = 8};
static const struct prefix loopback_v4 = {.addr = {FAMILY_V4, {127}}, .length = 8};
static const struct addr loopback_v6 = {FAMILY_V6, {[15] = 1}};
static const struct prefix link_local_v6 = {.addr = {FAMILY_V6, {0xfe, 0x80}}, .length = 10};
static const struct addr broadcast_v4 = {FAMILY_V4, {255, 255, 255, 255}};

bool ports_hold(const struct port_range *ports, size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++)
		if (port >= ports[i].first && port <= ports[i].last)
			return true;
	return false;
}

bool prefixes_hold(const struct prefix *prefixes, size_t count, const struct addr *addr)
{
	for (size_t i = 0; i < count; i++)
		if (prefix_contains(&prefixes[i], addr))
			return true;
	return false;
}

bool blocklist_holds(const struct blocklist *blocklist, const struct addr *addr)
{
	size_t low = 0, high = blocklist->range_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (addr_compare(addr, &blocklist->ranges[middle].last) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < blocklist->range_count && addr_compare(addr, &blocklist->ranges[low].first) >= 0;
}

static bool is_multicast(const struct addr *addr)
{
	return prefix_contains(&multicast_v4, addr) || prefix_contains(&multicast_v6, addr);
}

static bool is_loopback(const struct addr *addr)
{
	return prefix_contains(&loopback_v4, addr) || addr_equal(&loopback_v6, addr);
}

/* An address that the kernel delivers here: of a device, not a floating IP. */
static bool is_own(const struct model *model, const struct surroundings *around, const struct addr *addr)
{
	for (size_t i = 0; i < around->own_count; i++)
		if (addr_equal(&around->own[i], addr))
			return true;
	for (size_t i = 0; i < model->tunnel_count; i++)
		for (size_t j = 0; j < model->tunnels[i].address_count; j++)
			if (addr_equal(&model->tunnels[i].addresses[j].addr, addr))
				return true;
	return false;
}

static bool is_floating(const struct model *model, const struct addr *addr)
{
	for (size_t i = 0; i < model->floating_ip_count; i++)
		if (addr_equal(&model->floating_ips[i], addr))
			return true;
	return false;
}

/* IPv4: the network's broadcast address. IPv6: the routers' anycast address (RFC 4291 section 2.6.1). */
static bool is_for_all(const struct prefix *network, const struct addr *addr)
{
	if (network->addr.family != addr->family || network->length + 1 >= addr_bits(addr->family))
		return false;
	struct addr_range range = prefix_range(network);
	return addr_equal(addr->family == FAMILY_V4 ? &range.last : &range.first, addr);
}

static bool is_broadcast(const struct model *model, const struct surroundings *around, const struct addr *addr)
{
	/* The kernel takes "this network" (RFC 1122 section 3.2.1.3) for a broadcast too. */
	if (addr_equal(&broadcast_v4, addr) || prefix_contains(&zero_v4, addr))
		return true;
	for (size_t i = 0; i < around->network_count; i++)
		if (is_for_all(&around->networks[i], addr))
			return true;
	for (size_t i = 0; i < model->tunnel_count; i++)
		for (size_t j = 0; j < model->tunnels[i].address_count; j++) {
			const struct prefix *address = &model->tunnels[i].addresses[j];
			struct prefix network = prefix_of(&address->addr, address->length);
			if (is_for_all(&network, addr))
				return true;
		}
	return false;
}

struct route {
	struct way way;
	int length; /* of the prefix that it was found by; -1: none yet */
};

/* The longest prefix wins, and among equals the first that was tried. */
static void try_route(struct route *best, const struct prefix *prefix, struct way way, const struct addr *addr)
{
	struct prefix network = prefix_of(&prefix->addr, prefix->length);
	if (network.length > best->length && prefix_contains(&network, addr))
		*best = (struct route){.way = way, .length = network.length};
}

struct way way_by_route(const struct model *model, const struct addr *addr)
{
	struct route best = {.length = -1};
	for (size_t i = 0; i < model->lan.network_count; i++)
		try_route(&best, &model->lan.networks[i],
			  (struct way){.kind = PLACE_LAN, .why = "one of lan's networks"}, addr);
	for (size_t i = 0; i < model->wan.network_count; i++)
		try_route(&best, &model->wan.networks[i],
			  (struct way){.kind = PLACE_WAN, .why = "one of wan's networks"}, addr);
	for (size_t i = 0; i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		const struct way inside = {.kind = PLACE_TUNNEL, .tunnel = tunnel, .why = "the tunnel's network"};
		const struct way allowed = {.kind = PLACE_TUNNEL, .tunnel = tunnel, .why = "a peer's allowed IPs"};
		for (size_t j = 0; j < tunnel->address_count; j++)
			try_route(&best, &tunnel->addresses[j], inside, addr);
		for (size_t j = 0; j < tunnel->peer_count; j++)
			for (size_t k = 0; k < tunnel->peers[j].allowed_ip_count; k++)
				try_route(&best, &tunnel->peers[j].allowed_ips[k], allowed, addr);
	}
	if (best.length >= 0)
		return best.way;
	if (model->wan.device)
		return (struct way){.kind = PLACE_WAN, .why = "the default route"};
	return (struct way){.kind = PLACE_ANY, .why = "no route"};
}

struct way way_of_destination(const struct model *model, const struct surroundings *around,
			      const struct question *question)
{
	const struct addr *to = &question->to;
	if (question->to_self)
		return (struct way){.kind = PLACE_SELF, .why = "as asked"};
	if (is_own(model, around, to))
		return (struct way){.kind = PLACE_SELF, .why = "an address of this machine"};
	if (is_floating(model, to))
		return (struct way){.kind = PLACE_SELF, .why = "a floating IP"};
	if (is_multicast(to))
		return (struct way){.kind = PLACE_SELF, .why = "multicast", .group = true};
	if (is_broadcast(model, around, to))
		return (struct way){.kind = PLACE_SELF, .why = "broadcast or anycast", .group = true};
	if (prefix_contains(&link_local_v6, to))
		return (struct way){.kind = question->in, .tunnel = question->in_tunnel, .why = "link-local"};
	return way_by_route(model, to);
}

const char *packet_outside_lan(const struct packet *packet)
{
	const struct interface *lan = &packet->model->lan;
	if (packet->question->in != PLACE_LAN && lan->device &&
	    prefixes_hold(lan->networks, lan->network_count, &packet->question->from))
		return "a source in lan's networks comes in by lan only";
	return NULL;
}

/* fe80::/10 and all above it, which is multicast. */
static bool is_link_scoped(const struct addr *addr)
{
	return addr->family == FAMILY_V6 && addr->bytes[0] >= 0xfe &&
	       (addr->bytes[0] == 0xff || addr->bytes[1] >= 0x80);
}

/* Addresses that nobody has, or that do not go where they are sent. */
static const char *nonsense(const struct packet *packet)
{
	const struct question *question = packet->question;
	const struct addr *from = &question->from, *to = &question->to;
	bool to_everybody = !question->to_self && addr_equal(&broadcast_v4, to);
	/* A DHCP client that has no address yet asks everybody. */
	bool dhcp_client = from->family == FAMILY_V4 && addr_is_zero(from) && to_everybody;
	if (is_loopback(from) || is_multicast(from) || (from->family == FAMILY_V6 && addr_is_zero(from)))
		return "nobody has such a source address";
	if (!dhcp_client && is_broadcast(packet->model, packet->around, from))
		return "a broadcast address sends nothing";
	if (!question->to_self && is_loopback(to))
		return "a loopback address is never reached from outside";
	if (!question->to_self && to->family == FAMILY_V6 && addr_is_zero(to))
		return "nobody has such a destination address";
	if (prefix_contains(&link_local_v6, from) && !question->to_self && !is_link_scoped(to))
		return "a link-local source does not leave its link";
	return NULL;
}

const char *packet_reverse_path(const struct packet *packet)
{
	const struct question *question = packet->question;
	const struct addr *from = &question->from;
	if (is_own(packet->model, packet->around, from))
		return "the source is an address of this machine";
	const char *why = nonsense(packet);
	if (why)
		return why;
	if (prefix_contains(&link_local_v6, from) || addr_is_zero(from)) /* of every leg */
		return NULL;
	struct way back = way_by_route(packet->model, from);
	if (back.kind == question->in && back.tunnel == question->in_tunnel)
		return NULL;
	return "the way back to the source is by another leg";
}

static bool came_in_by(const struct place *place, const struct question *question)
{
	return place->kind == question->in && (place->kind != PLACE_TUNNEL || place->tunnel == question->in_tunnel);
}

bool place_holds_source(const struct place *place, const struct packet *packet)
{
	switch (place->kind) {
	case PLACE_ANY:
		return true;
	case PLACE_SELF: /* what this machine sends is not decided on */
		return false;
	case PLACE_WAN:
	case PLACE_LAN:
	case PLACE_TUNNEL:
		return came_in_by(place, packet->question);
	case PLACE_PREFIX:
		return prefix_contains(&place->prefix, &packet->question->from);
	case PLACE_BLOCKLIST:
		return blocklist_holds(place->blocklist, &packet->question->from);
	}
	return false;
}

static bool place_holds_destination(const struct place *place, const struct packet *packet)
{
	const struct question *question = packet->question;
	switch (place->kind) {
	case PLACE_ANY:
		return true;
	case PLACE_SELF:
	case PLACE_WAN:
	case PLACE_LAN:
	case PLACE_TUNNEL:
		return place->kind == packet->to.kind && place->tunnel == packet->to.tunnel;
	case PLACE_PREFIX:
		return !question->to_self && prefix_contains(&place->prefix, &question->to);
	case PLACE_BLOCKLIST:
		return !question->to_self && blocklist_holds(place->blocklist, &question->to);
	}
	return false;
}

static bool has_ports(const struct question *question)
{
	return question->protocol == PROTOCOL_TCP || question->protocol == PROTOCOL_UDP;
}

unsigned rule_misses(const struct rule *rule, const struct packet *packet)
{
	const struct question *question = packet->question;
	unsigned misses = MISS_FROM | MISS_TO;
	if (rule->protocol != PROTOCOL_ANY && rule->protocol != question->protocol)
		misses |= MISS_PROTOCOL;
	if (rule->port_count > 0 &&
	    !(has_ports(question) && ports_hold(rule->ports, rule->port_count, question->to_port)))
		misses |= MISS_PORT;
	for (size_t i = 0; i < rule->from_count && (misses & MISS_FROM); i++)
		if (place_holds_source(&rule->from[i], packet))
			misses &= ~MISS_FROM;
	for (size_t i = 0; i < rule->to_count && (misses & MISS_TO); i++)
		if (place_holds_destination(&rule->to[i], packet))
			misses &= ~MISS_TO;
	return misses;
}

static bool takes(const struct forward *forward, const struct packet *packet)
{
	for (size_t i = 0; i < forward->from_count; i++)
		if (place_holds_source(&forward->from[i], packet))
			return true;
	return forward->from_count == 0;
}

static bool listens(const struct forward *forward, const struct packet *packet)
{
	const struct question *question = packet->question;
	if (forward->protocol != question->protocol ||
	    !ports_hold(forward->ports, forward->port_count, question->to_port))
		return false;
	if (forward->listen_address.family == FAMILY_NONE)
		return packet->to.kind == PLACE_SELF && !packet->to.group;
	return !question->to_self && addr_equal(&forward->listen_address, &question->to);
}

const struct forward *forward_for(const struct packet *packet, const struct forward **ret_refusing)
{
	const struct forward *general = NULL, *refusing = NULL;
	for (size_t i = 0; i < packet->model->forward_count; i++) {
		const struct forward *forward = &packet->model->forwards[i];
		if (!listens(forward, packet))
			continue;
		if (!takes(forward, packet)) {
			refusing = refusing ? refusing : forward;
			continue;
		}
		if (forward->listen_address.family != FAMILY_NONE)
			return forward;
		general = general ? general : forward;
	}
	*ret_refusing = refusing;
	return general;
}
