/* Cross checks on addresses: which network is where, which peer has which
 * allowed IPs, and whether each node is where it says. Works on sorted ranges,
 * so that thousands of peers are no matter. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"
#include "values.h"

/* A range of addresses and who says it is his. */
struct claim {
	struct addr_range range;
	const char *owner;
	const struct tunnel *tunnel; /* NULL: a leg, or a node */
	size_t order;                /* in the file: the later one is told */
	struct origin at;
	const char *section, *name, *key, *sub; /* where to point: "wireguard", "wg0", "peers", "k8s-1" */
};

struct claims {
	struct claim *items;
	size_t count, capacity;
};

static int add_claim(struct reader *reader, struct claims *claims, const struct claim *claim)
{
	struct claim *items =
		arena_grow(reader->scratch, claims->items, claims->count, sizeof(*items), &claims->capacity);
	if (!items)
		return -ENOMEM;
	items[claims->count] = *claim;
	items[claims->count].order = claims->count;
	claims->items = items;
	claims->count++;
	return 0;
}

static int compare_claims(const void *left, const void *right)
{
	const struct claim *a = left, *b = right;
	int order = addr_compare(&a->range.first, &b->range.first);
	return order ? order : a->order < b->order ? -1 : 1;
}

/* Path and place of a claim. */
static void refuse_claim(struct reader *reader, const struct claim *claim, const char *text)
{
	const struct where section = {.name = claim->section}, name = {.up = &section, .name = claim->name};
	const struct where key = {.up = &name, .name = claim->key}, sub = {.up = &key, .name = claim->sub};
	const struct where field = {.up = &sub, .name = "allowed_ips"};
	reader_error(reader, claim->sub ? &field : &key, claim->at, "%s", text);
}

/* Sort, and report each that shares addresses with another owner's; *ret_clean tells whether none did. */
static int check_overlaps(struct reader *reader, struct claims *claims, const char *right, bool *ret_clean)
{
	bool clean = true;
	if (claims->count > 1)
		qsort(claims->items, claims->count, sizeof(*claims->items), compare_claims);
	const struct claim *furthest = claims->items;
	for (size_t i = 1; i < claims->count; i++) {
		const struct claim *claim = &claims->items[i];
		bool meet = addr_compare(&claim->range.first, &furthest->range.last) <= 0;
		if (meet && claim->owner != furthest->owner) {
			const struct claim *first = claim->order < furthest->order ? claim : furthest;
			const struct claim *second = first == claim ? furthest : claim;
			char address[ADDR_TEXT_MAX];
			const char *text = arena_printf(reader->scratch, "%s is %s's already (%s:%u; %s)",
							addr_format(&claim->range.first, address), first->owner,
							first->at.file, first->at.line, right);
			refuse_claim(reader, second, text ? text : "");
			clean = false;
		}
		if (!meet || addr_compare(&claim->range.last, &furthest->range.last) > 0)
			furthest = claim;
	}
	*ret_clean = clean;
	return 0;
}

/* The claim that holds addr, among sorted ones that do not overlap. */
static const struct claim *find_claim(const struct claims *claims, const struct addr *addr)
{
	size_t low = 0, high = claims->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (addr_compare(&claims->items[middle].range.first, addr) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || addr_compare(addr, &claims->items[low - 1].range.last) > 0)
		return NULL;
	return &claims->items[low - 1];
}

static int claim_leg(struct reader *reader, struct claims *claims, const struct interface *leg, const char *name)
{
	for (size_t i = 0; i < leg->network_count; i++) {
		struct claim claim = {.range = prefix_range(&leg->networks[i]),
				      .owner = name,
				      .at = leg->at,
				      .section = "interfaces",
				      .name = name,
				      .key = "networks"};
		if (add_claim(reader, claims, &claim) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Each network is on one side: the legs' and the tunnels'. */
static int check_networks(struct reader *reader)
{
	const struct model *model = reader->model;
	struct claims claims = {0};
	if (claim_leg(reader, &claims, &model->wan, "wan") < 0 || claim_leg(reader, &claims, &model->lan, "lan") < 0)
		return -ENOMEM;
	for (size_t i = 0; i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		for (size_t j = 0; j < tunnel->address_count; j++) {
			struct prefix network = prefix_of(&tunnel->addresses[j].addr, tunnel->addresses[j].length);
			struct claim claim = {.range = prefix_range(&network),
					      .owner = tunnel->name,
					      .tunnel = tunnel,
					      .at = reader_key_at(reader, KIND_TUNNEL, i, "address"),
					      .section = "wireguard",
					      .name = tunnel->name,
					      .key = "address"};
			if (add_claim(reader, &claims, &claim) < 0)
				return -ENOMEM;
		}
	}
	bool clean;
	return check_overlaps(reader, &claims, "each network is on one side", &clean);
}

static int check_peer_keys(struct reader *reader, const struct tunnel *tunnel)
{
	struct strmap *keys = strmap_new(reader->scratch);
	if (!keys)
		return -ENOMEM;
	const struct where section = {.name = "wireguard"}, name = {.up = &section, .name = tunnel->name};
	const struct where peers = {.up = &name, .name = "peers"};
	static const uint8_t unread[32];
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		struct peer *peer = &tunnel->peers[i];
		if (memcmp(peer->public_key, unread, 32) == 0)
			continue;
		char *text = value_print_public_key(reader->scratch, peer->public_key);
		int r = text ? strmap_put(keys, text, peer) : -ENOMEM;
		if (r == -ENOMEM)
			return r;
		if (r == -EEXIST) {
			const struct peer *first = strmap_get(keys, text);
			const struct where where = {.up = &peers, .name = peer->name};
			reader_error(reader, &where, peer->at, "peer %s has this public key already (%s:%u)",
				     first->name, first->at.file, first->at.line);
		}
	}
	return 0;
}

/* Each tunnel may have a second device and port, which nothing else has. */
static void check_second(struct reader *reader, const struct tunnel *tunnel)
{
	const struct model *model = reader->model;
	char device[MODEL_IFNAME_MAX + 1], other_device[MODEL_IFNAME_MAX + 1];
	model_second_device(tunnel, device);
	const char *legs[] = {model->wan.device, model->lan.device};
	for (size_t i = 0; i < 2; i++)
		if (legs[i] && strcmp(legs[i], device) == 0)
			reader_refuse(reader, KIND_TUNNEL, tunnel->index, "listen",
				      "its second device, which new keys take, would be %s, the device of a leg", device);
	for (size_t i = 0; i < model->tunnel_count; i++) {
		const struct tunnel *other = &model->tunnels[i];
		model_second_device(other, other_device);
		bool same = strcmp(other->name, device) == 0;
		if (other != tunnel && (same || (i < tunnel->index && strcmp(other_device, device) == 0)))
			reader_refuse(reader, KIND_TUNNEL, tunnel->index, "listen",
				      "its second device, which new keys take, would be %s, and so is tunnel %s%s", device,
				      other->name, same ? "" : "'s");
		bool port = other->listen == tunnel->second_listen ||
			    (i < tunnel->index && other->second_listen == tunnel->second_listen);
		if (tunnel->second_listen && port)
			reader_refuse(reader, KIND_TUNNEL, tunnel->index, "second_listen", "port %u is tunnel %s's already",
				      tunnel->second_listen, other->name);
	}
}

/* The allowed IPs of all peers, sorted. */
static int claim_peers(struct reader *reader, struct claims *claims)
{
	const struct model *model = reader->model;
	for (size_t i = 0; i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		for (size_t j = 0; j < tunnel->peer_count; j++) {
			const struct peer *peer = &tunnel->peers[j];
			const char *owner = arena_printf(reader->scratch, "peer %s", peer->name);
			if (!owner)
				return -ENOMEM;
			for (size_t k = 0; k < peer->allowed_ip_count; k++) {
				struct claim claim = {.range = prefix_range(&peer->allowed_ips[k]),
						      .owner = owner,
						      .tunnel = tunnel,
						      .at = peer->at,
						      .section = "wireguard",
						      .name = tunnel->name,
						      .key = "peers",
						      .sub = peer->name};
				if (add_claim(reader, claims, &claim) < 0)
					return -ENOMEM;
			}
		}
		if (check_peer_keys(reader, tunnel) < 0)
			return -ENOMEM;
		check_second(reader, tunnel);
	}
	return 0;
}

/* Allowed IPs inside lan's networks: their packets would be taken for spoofed ones. */
static int check_spoofed(struct reader *reader, const struct claims *peers)
{
	struct claims lan = {0};
	bool clean;
	if (claim_leg(reader, &lan, &reader->model->lan, "lan") < 0)
		return -ENOMEM;
	int r = check_overlaps(reader, &lan, "", &clean);
	for (size_t i = 0; i < peers->count && lan.count; i++) {
		const struct claim *network = find_claim(&lan, &peers->items[i].range.first);
		if (!network || addr_compare(&peers->items[i].range.last, &network->range.last) > 0)
			continue;
		char address[ADDR_TEXT_MAX];
		const char *text = arena_printf(
			reader->scratch,
			"%s is in one of lan's networks, whose packets are accepted from lan only (%s:%u)",
			addr_format(&peers->items[i].range.first, address), network->at.file, network->at.line);
		refuse_claim(reader, &peers->items[i], text ? text : "");
	}
	return r;
}

static void check_node_tunnel(struct reader *reader, const struct claims *peers, const struct node *node)
{
	char address[ADDR_TEXT_MAX];
	const struct claim *claim = find_claim(peers, &node->address);
	addr_format(&node->address, address);
	if (!claim)
		reader_refuse(reader, KIND_NODE, node->index, "address",
			      "no peer of %s has %s in its allowed IPs (add it to the node's peer)", node->tunnel->name,
			      address);
	else if (claim->tunnel != node->tunnel)
		reader_refuse(reader, KIND_NODE, node->index, "tunnel", "%s is behind %s of tunnel %s (%s:%u), not %s",
			      address, claim->owner, claim->tunnel->name, claim->at.file, claim->at.line,
			      node->tunnel->name);
}

/* A node with one of this machine's own addresses: its forward would open what listens here, not the node. */
static void check_node_elsewhere(struct reader *reader, const struct node *node)
{
	const struct model *model = reader->model;
	const struct addr *addr = &node->address;
	static const struct addr loopback = {.family = FAMILY_V6, .bytes = {[15] = 1}};
	bool own = addr_equal(addr, &loopback) || (addr->family == FAMILY_V4 && addr->bytes[0] == 127);
	for (size_t i = 0; i < model->floating_ip_count; i++)
		own = own || addr_equal(addr, &model->floating_ips[i]);
	for (size_t i = 0; i < model->tunnel_count; i++)
		for (size_t j = 0; j < model->tunnels[i].address_count; j++)
			own = own || addr_equal(addr, &model->tunnels[i].addresses[j].addr);
	char text[ADDR_TEXT_MAX];
	if (own)
		reader_refuse(reader, KIND_NODE, node->index, "address",
			      "%s is this machine's own (the address that the node has in its network is wanted)",
			      addr_format(addr, text));
}

static int check_nodes(struct reader *reader, const struct claims *peers, bool peers_clean)
{
	const struct model *model = reader->model;
	struct claims nodes = {0};
	bool clean;
	for (size_t i = 0; i < model->node_count; i++) {
		const struct node *node = &model->nodes[i];
		if (node->address.family == FAMILY_NONE)
			continue;
		struct claim claim = {.range = {node->address, node->address},
				      .owner = node->name,
				      .at = reader_key_at(reader, KIND_NODE, i, "address"),
				      .section = "nodes",
				      .name = node->name,
				      .key = "address"};
		if (add_claim(reader, &nodes, &claim) < 0)
			return -ENOMEM;
		check_node_elsewhere(reader, node);
		if (node->tunnel && peers_clean)
			check_node_tunnel(reader, peers, node);
		else if (!node->tunnel && !model->lan.device && !model->lan.at.line)
			reader_refuse(reader, KIND_NODE, i, NULL,
				      "it has no tunnel, and this machine has no lan (add tunnel: to the node, or "
				      "interfaces.lan)");
	}
	return check_overlaps(reader, &nodes, "one node, one address", &clean);
}

int check_network(struct reader *reader)
{
	struct claims peers = {0};
	bool clean = true;
	int r = check_networks(reader);
	if (r == 0)
		r = claim_peers(reader, &peers);
	if (r == 0)
		r = check_overlaps(reader, &peers, "an allowed IP belongs to one peer", &clean);
	if (r == 0)
		r = check_spoofed(reader, &peers);
	if (r == 0)
		r = check_nodes(reader, &peers, clean);
	return r;
}
