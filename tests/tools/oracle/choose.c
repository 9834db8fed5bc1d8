/* Choose: draws packets near the edges of a configuration. Same seed, same
 * packets. Knows nothing of what becomes of them. */
#include "choose.h"

#include <errno.h>
#include <string.h>

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(struct chooser *chooser)
{
	uint64_t z = chooser->random += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint32_t choose_number(struct chooser *chooser, uint32_t below)
{
	return (uint32_t)((next_random(chooser) >> 32) * below >> 32);
}

static bool chance(struct chooser *chooser, uint32_t percent)
{
	return choose_number(chooser, 100) < percent;
}

static int mention_addr(struct chooser *chooser, const struct addr *addr)
{
	struct addr *addrs = arena_grow(chooser->arena, chooser->addrs, chooser->addr_count, sizeof(*addrs),
					&chooser->addr_capacity);
	if (!addrs)
		return -ENOMEM;
	chooser->addrs = addrs;
	addrs[chooser->addr_count++] = *addr;
	return 0;
}

/* addr - 1; false for the first address. */
static bool addr_before(const struct addr *addr, struct addr *ret_before)
{
	struct addr before = *addr;
	for (size_t i = addr_size(addr->family); i > 0; i--)
		if (before.bytes[i - 1]-- != 0) {
			*ret_before = before;
			return true;
		}
	return false;
}

static int mention_range(struct chooser *chooser, const struct addr_range *range)
{
	struct addr beside;
	int r = mention_addr(chooser, &range->first);
	if (r == 0 && !addr_equal(&range->first, &range->last))
		r = mention_addr(chooser, &range->last);
	if (r == 0 && addr_before(&range->first, &beside))
		r = mention_addr(chooser, &beside);
	if (r == 0 && addr_next(&range->last, &beside))
		r = mention_addr(chooser, &beside);
	return r;
}

static int mention_prefixes(struct chooser *chooser, const struct prefix *prefixes, size_t count)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct prefix network = prefix_of(&prefixes[i].addr, prefixes[i].length);
		struct addr_range range = prefix_range(&network);
		r = mention_range(chooser, &range);
	}
	return r;
}

static int mention_ports(struct chooser *chooser, const struct port_range *ports, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t near[] = {ports[i].first, ports[i].last, ports[i].first - 1u, ports[i].last + 1u};
		for (size_t j = 0; j < 4; j++) {
			if (near[j] == 0 || near[j] > UINT16_MAX)
				continue;
			uint16_t *items = arena_grow(chooser->arena, chooser->ports, chooser->port_count,
						     sizeof(*items), &chooser->port_capacity);
			if (!items)
				return -ENOMEM;
			chooser->ports = items;
			items[chooser->port_count++] = (uint16_t)near[j];
		}
	}
	return 0;
}

static int mention_places(struct chooser *chooser, const struct place *places, size_t count)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		if (places[i].kind == PLACE_PREFIX)
			r = mention_prefixes(chooser, &places[i].prefix, 1);
	return r;
}

static int mention_policy(struct chooser *chooser, const struct model *model)
{
	int r = mention_prefixes(chooser, model->management.from, model->management.from_count);
	if (r == 0)
		r = mention_ports(chooser, model->management.ports, model->management.port_count);
	for (size_t i = 0; r == 0 && i < model->rule_count; i++) {
		const struct rule *rule = &model->rules[i];
		r = mention_places(chooser, rule->from, rule->from_count);
		if (r == 0)
			r = mention_places(chooser, rule->to, rule->to_count);
		if (r == 0)
			r = mention_ports(chooser, rule->ports, rule->port_count);
	}
	for (size_t i = 0; r == 0 && i < model->forward_count; i++) {
		const struct forward *forward = &model->forwards[i];
		struct port_range target = {forward->target_port, forward->target_port};
		r = mention_places(chooser, forward->from, forward->from_count);
		if (r == 0)
			r = mention_ports(chooser, forward->ports, forward->port_count);
		if (r == 0 && forward->target_port)
			r = mention_ports(chooser, &target, 1);
		if (r == 0 && forward->listen_address.family != FAMILY_NONE)
			r = mention_addr(chooser, &forward->listen_address);
	}
	return r;
}

static int mention_addresses(struct chooser *chooser, const struct model *model)
{
	const struct settings *settings = chooser->settings;
	int r = mention_prefixes(chooser, model->lan.networks, model->lan.network_count);
	for (size_t i = 0; r == 0 && i < model->floating_ip_count; i++)
		r = mention_addr(chooser, &model->floating_ips[i]);
	for (size_t i = 0; r == 0 && i < model->node_count; i++)
		r = mention_addr(chooser, &model->nodes[i].address);
	for (size_t i = 0; r == 0 && i < model->snat_count; i++)
		r = mention_prefixes(chooser, model->snats[i].from, model->snats[i].from_count);
	for (size_t i = 0; r == 0 && i < settings->address_count; i++)
		r = mention_addr(chooser, &settings->addresses[i].addr);
	for (size_t i = 0; r == 0 && i < settings->run.ban_count; i++)
		r = mention_prefixes(chooser, &settings->run.bans[i].prefix, 1);
	for (size_t i = 0; r == 0 && i < model->blocklist_count; i++)
		for (size_t j = 0; r == 0 && j < model->blocklists[i].range_count; j++)
			r = mention_range(chooser, &model->blocklists[i].ranges[j]);
	for (size_t i = 0; r == 0 && i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		struct port_range listen = {tunnel->listen, tunnel->listen};
		r = tunnel->listen ? mention_ports(chooser, &listen, 1) : 0;
		for (size_t j = 0; r == 0 && j < tunnel->address_count; j++)
			r = mention_addr(chooser, &tunnel->addresses[j].addr);
		if (r == 0)
			r = mention_prefixes(chooser, tunnel->addresses, tunnel->address_count);
		for (size_t j = 0; r == 0 && j < tunnel->peer_count; j++)
			r = mention_prefixes(chooser, tunnel->peers[j].allowed_ips, tunnel->peers[j].allowed_ip_count);
	}
	return r;
}

/* Addresses and ports that matter whatever the file says. */
static int mention_fixed(struct chooser *chooser)
{
	static const char *const fixed[] = {
		"255.255.255.255", "224.0.0.1",     "127.0.0.1",   "0.0.0.0",      "169.254.1.1",
		"ff02::1",         "::1",           "fe80::1234",  "::",           "192.0.2.250",
		"198.51.100.250",  "203.0.113.250", "198.18.0.77", "2001:db8::77", "2001:db8:aaaa::77",
	};
	static const struct port_range ports[] = {{1, 1}, {22, 22}, {53, 53}, {68, 68}, {546, 546}, {65535, 65535}};
	int r = mention_ports(chooser, ports, sizeof(ports) / sizeof(ports[0]));
	for (size_t i = 0; r == 0 && i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		struct addr addr;
		r = addr_parse(fixed[i], strlen(fixed[i]), &addr);
		if (r == 0)
			r = mention_addr(chooser, &addr);
	}
	return r;
}

int chooser_init(struct chooser *chooser, const struct model *model, const struct settings *settings, uint64_t seed,
		 struct arena *arena)
{
	*chooser = (struct chooser){.model = model, .settings = settings, .random = seed, .arena = arena};
	int r = mention_fixed(chooser);
	if (r == 0)
		r = mention_addresses(chooser, model);
	if (r == 0)
		r = mention_policy(chooser, model);
	return r;
}

static struct addr addr_within(struct chooser *chooser, const struct prefix *prefix)
{
	struct prefix network = prefix_of(&prefix->addr, prefix->length);
	struct addr addr = network.addr;
	for (size_t i = 0; i < addr_size(addr.family); i++) {
		uint32_t random = choose_number(chooser, 256);
		uint32_t first_bit = (uint32_t)i * 8,
			 fixed = network.length > first_bit ? network.length - first_bit : 0;
		if (fixed < 8)
			addr.bytes[i] = (uint8_t)(addr.bytes[i] | (random & 0xffu >> fixed));
	}
	return addr;
}

/* An address of this family from all that were mentioned. */
static struct addr any_addr(struct chooser *chooser, enum family family)
{
	for (;;) {
		const struct addr *addr = &chooser->addrs[choose_number(chooser, (uint32_t)chooser->addr_count)];
		if (addr->family == family)
			return *addr;
	}
}

static struct addr addr_in_place(struct chooser *chooser, const struct place *place, bool source, enum family family)
{
	const struct model *model = chooser->model;
	const struct addr_range *ranges = place->kind == PLACE_BLOCKLIST ? place->blocklist->ranges : NULL;
	if (place->kind == PLACE_PREFIX && place->prefix.addr.family == family)
		return addr_within(chooser, &place->prefix);
	if (ranges && place->blocklist->range_count > 0) {
		const struct addr_range *range =
			&ranges[choose_number(chooser, (uint32_t)place->blocklist->range_count)];
		return chance(chooser, 50) ? range->first : range->last;
	}
	if (place->kind == PLACE_LAN && model->lan.network_count > 0)
		return addr_within(chooser,
				   &model->lan.networks[choose_number(chooser, (uint32_t)model->lan.network_count)]);
	if (place->kind == PLACE_TUNNEL && place->tunnel->address_count > 0)
		return addr_within(chooser, &place->tunnel->addresses[0]);
	size_t own = chooser->settings->address_count;
	if (place->kind == PLACE_SELF && !source && own > 0)
		return chooser->settings->addresses[choose_number(chooser, (uint32_t)own)].addr;
	return any_addr(chooser, family);
}

static uint16_t any_port(struct chooser *chooser)
{
	if (chance(chooser, 20))
		return (uint16_t)(1 + choose_number(chooser, UINT16_MAX));
	return chooser->ports[choose_number(chooser, (uint32_t)chooser->port_count)];
}

static uint16_t port_in(struct chooser *chooser, const struct port_range *ports, size_t count)
{
	if (count == 0)
		return any_port(chooser);
	const struct port_range *range = &ports[choose_number(chooser, (uint32_t)count)];
	return (uint16_t)(range->first + choose_number(chooser, (uint32_t)(range->last - range->first) + 1));
}

static enum protocol any_protocol(struct chooser *chooser)
{
	uint32_t number = choose_number(chooser, 100);
	return number < 55 ? PROTOCOL_TCP : number < 83 ? PROTOCOL_UDP : number < 97 ? PROTOCOL_ICMP : PROTOCOL_ANY;
}

static void aim_at_rule(struct chooser *chooser, const struct rule *rule, struct question *question)
{
	enum family family = question->from.family;
	question->from =
		addr_in_place(chooser, &rule->from[choose_number(chooser, (uint32_t)rule->from_count)], true, family);
	question->to = addr_in_place(chooser, &rule->to[choose_number(chooser, (uint32_t)rule->to_count)], false,
				     question->from.family);
	if (rule->protocol != PROTOCOL_ANY)
		question->protocol = rule->protocol;
	question->to_port = port_in(chooser, rule->ports, rule->port_count);
}

static void aim_at_forward(struct chooser *chooser, const struct forward *forward, struct question *question)
{
	static const struct place self = {.kind = PLACE_SELF};
	const struct model *model = chooser->model;
	if (forward->from_count > 0)
		question->from =
			addr_in_place(chooser, &forward->from[choose_number(chooser, (uint32_t)forward->from_count)],
				      true, question->from.family);
	if (forward->listen_address.family != FAMILY_NONE && chance(chooser, 70))
		question->to = forward->listen_address;
	else if (model->floating_ip_count > 0 && chance(chooser, 50))
		question->to = model->floating_ips[choose_number(chooser, (uint32_t)model->floating_ip_count)];
	else
		question->to = addr_in_place(chooser, &self, false, question->from.family);
	question->protocol = forward->protocol;
	question->to_port = port_in(chooser, forward->ports, forward->port_count);
}

static void aim_at_management(struct chooser *chooser, const struct management *management, struct question *question)
{
	static const struct place self = {.kind = PLACE_SELF};
	question->from =
		addr_within(chooser, &management->from[choose_number(chooser, (uint32_t)management->from_count)]);
	question->to = addr_in_place(chooser, &self, false, question->from.family);
	question->protocol = PROTOCOL_TCP;
	question->to_port = port_in(chooser, management->ports, management->port_count);
}

/* The leg that its source lives behind, or (rarely) another. */
static void choose_leg(struct chooser *chooser, struct question *question)
{
	const struct model *model = chooser->model;
	bool in_lan = false;
	for (size_t i = 0; i < model->lan.network_count; i++)
		in_lan |= prefix_contains(&model->lan.networks[i], &question->from);
	question->in = in_lan && model->lan.device ? PLACE_LAN : PLACE_WAN;
	question->in_tunnel = NULL;
	for (size_t i = 0; i < model->tunnel_count; i++)
		for (size_t j = 0; j < model->tunnels[i].address_count; j++) {
			const struct prefix *address = &model->tunnels[i].addresses[j];
			struct prefix network = prefix_of(&address->addr, address->length);
			if (prefix_contains(&network, &question->from)) {
				question->in = PLACE_TUNNEL;
				question->in_tunnel = &model->tunnels[i];
			}
		}
	if (chance(chooser, 90) && (question->in != PLACE_WAN || model->wan.device))
		return;
	uint32_t leg = choose_number(chooser, (uint32_t)model->tunnel_count + 2);
	question->in = leg == 0 ? PLACE_WAN : leg == 1 ? PLACE_LAN : PLACE_TUNNEL;
	question->in_tunnel = leg >= 2 ? &model->tunnels[leg - 2] : NULL;
	if (question->in == PLACE_LAN && !model->lan.device)
		question->in = PLACE_WAN;
}

static enum shape choose_shape(struct chooser *chooser, enum protocol protocol)
{
	static const enum shape tcp[] = {SHAPE_ECN_SYN, SHAPE_ACK,  SHAPE_SYN_ACK, SHAPE_FIN_ACK,     SHAPE_SYN_FIN,
					 SHAPE_SYN_RST, SHAPE_NULL, SHAPE_XMAS,    SHAPE_BAD_CHECKSUM};
	if (chance(chooser, 88) || protocol == PROTOCOL_ANY)
		return SHAPE_PLAIN;
	if (protocol == PROTOCOL_TCP)
		return tcp[choose_number(chooser, sizeof(tcp) / sizeof(tcp[0]))];
	return protocol == PROTOCOL_ICMP && chance(chooser, 50) ? SHAPE_ICMP_ERROR : SHAPE_BAD_CHECKSUM;
}

static bool same_way(const struct question *one, const struct question *other)
{
	return one->from_port == other->from_port && one->to_port == other->to_port &&
	       addr_equal(&one->from, &other->from) && addr_equal(&one->to, &other->to);
}

/* False for the second packet of a flow, or an answer, among those that share a source port. */
static bool opens_flow(struct chooser *chooser, const struct question *question)
{
	const struct question answer = {.from = question->to,
					.from_port = question->to_port,
					.to = question->from,
					.to_port = question->from_port};
	for (size_t i = 0; i < chooser->shared_count; i++) {
		const struct question *other = &chooser->shared[i];
		if (other->protocol == question->protocol && (same_way(other, question) || same_way(other, &answer)))
			return false;
	}
	struct question *shared = arena_grow(chooser->arena, chooser->shared, chooser->shared_count, sizeof(*shared),
					     &chooser->shared_capacity);
	if (!shared)
		return false;
	chooser->shared = shared;
	shared[chooser->shared_count++] = *question;
	return true;
}

/* No two packets of a run are of one flow: the second would not be decided on. */
static void choose_source_port(struct chooser *chooser, uint32_t id, struct question *question)
{
	uint16_t own = (uint16_t)(1024 + id % 64000);
	question->from_port = own;
	if (question->protocol == PROTOCOL_UDP && chance(chooser, 5)) {
		question->from_port = chance(chooser, 50) ? 67 : 547; /* a DHCP server's */
		if (!opens_flow(chooser, question))
			question->from_port = own;
	} else if (question->protocol == PROTOCOL_ANY) {
		question->from_port = question->to_port = 0;
		if (!opens_flow(chooser, question))
			*question = (struct question){.from = question->from,
						      .from_port = own,
						      .to = question->to,
						      .to_port = any_port(chooser),
						      .protocol = PROTOCOL_UDP,
						      .in = question->in,
						      .in_tunnel = question->in_tunnel};
	}
}

struct probe choose_probe(struct chooser *chooser, uint32_t id)
{
	const struct model *model = chooser->model;
	enum family family = chance(chooser, 70) ? FAMILY_V4 : FAMILY_V6;
	struct question question = {.from = any_addr(chooser, family), .to = any_addr(chooser, family)};
	question.protocol = any_protocol(chooser);
	question.to_port = any_port(chooser);
	uint32_t aim = choose_number(chooser, 100);
	if (aim < 35 && model->rule_count > 0)
		aim_at_rule(chooser, &model->rules[choose_number(chooser, (uint32_t)model->rule_count)], &question);
	else if (aim < 75 && model->forward_count > 0)
		aim_at_forward(chooser, &model->forwards[choose_number(chooser, (uint32_t)model->forward_count)],
			       &question);
	else if (aim < 80 && model->management.present)
		aim_at_management(chooser, &model->management, &question);
	/* One condition in three packets is missed on purpose. */
	uint32_t spoil = choose_number(chooser, 12);
	if (spoil == 0 || question.to.family != question.from.family)
		question.to = any_addr(chooser, question.from.family);
	else if (spoil == 1)
		question.from = any_addr(chooser, question.to.family);
	else if (spoil == 2)
		question.to_port = any_port(chooser);
	else if (spoil == 3)
		question.protocol = any_protocol(chooser);
	choose_leg(chooser, &question);
	choose_source_port(chooser, id, &question);
	return (struct probe){.id = id, .question = question, .shape = choose_shape(chooser, question.protocol)};
}
