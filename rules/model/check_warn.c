/* Warnings: what is allowed and probably not meant. Runs only on a model without
 * errors. Each one says what to do so that it goes away. */
#include <string.h>

#include "reader.h"
#include "values.h"

#define LISTED_MOST 5u /* forwards without an expectation that are told one by one */

/* Public keys of which everybody has the private half: the examples of wireguard.com and of wg(8). */
static const char *const well_known_keys[] = {
	"HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=",
	"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
	"TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=",
	"gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA=",
};

static void warn_management(struct reader *reader)
{
	const struct management *management = &reader->model->management;
	const struct where where = {.name = "management"}, from = {.up = &where, .name = "from"};
	if (!management->present)
		reader_warn(reader, NULL, reader->top,
			    "nobody may reach this machine itself over the network (add management)");
	bool everybody = false;
	for (size_t i = 0; i < management->from_count; i++)
		everybody |= management->from[i].length == 0;
	if (everybody)
		reader_warn(reader, &from, management->at,
			    "the whole Internet may try to log in (name the operators' networks)");
}

static void warn_peer(struct reader *reader, const struct tunnel *tunnel, const struct peer *peer)
{
	const struct where section = {.name = "wireguard"}, name = {.up = &section, .name = tunnel->name};
	const struct where peers = {.up = &name, .name = "peers"}, where = {.up = &peers, .name = peer->name};
	const struct where key = {.up = &where, .name = "public_key"};
	const char *text = value_print_public_key(reader->scratch, peer->public_key);
	for (size_t i = 0; text && i < sizeof(well_known_keys) / sizeof(well_known_keys[0]); i++)
		if (strcmp(text, well_known_keys[i]) == 0)
			reader_warn(reader, &key, peer->at,
				    "this key stands in public documentation, with its private half (put the peer's "
				    "own key here)");
	const struct where endpoint = {.up = &where, .name = "endpoint"};
	struct addr addr;
	if (peer->endpoint_host && addr_parse(peer->endpoint_host, strlen(peer->endpoint_host), &addr) == 0 &&
	    model_leads_inside(tunnel, &addr))
		reader_warn(reader, &endpoint, peer->at,
			    "%s lies inside the tunnel, into which what is sent there goes again and again (the address "
			    "outside is wanted)",
			    peer->endpoint_host);
}

static void warn_tunnels(struct reader *reader)
{
	const struct model *model = reader->model;
	for (size_t i = 0; i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		const struct peer *without = NULL;
		for (size_t j = 0; j < tunnel->peer_count; j++) {
			warn_peer(reader, tunnel, &tunnel->peers[j]);
			if (!tunnel->peers[j].agent && !without)
				without = &tunnel->peers[j];
		}
		if (tunnel->rotate_every && without)
			reader_warn_at(
				reader, KIND_TUNNEL, i, "rotate_every",
				"peer %s runs no agent and will not learn the new key (agent: true, or rotate by hand)",
				without->name);
	}
}

static bool covers(const struct expectation *expectation, const struct forward *forward)
{
	if (expectation->forward == forward)
		return true;
	if (expectation->protocol != forward->protocol)
		return false;
	if (forward->listen_address.family != FAMILY_NONE &&
	    (expectation->to_self || !addr_equal(&expectation->to, &forward->listen_address)))
		return false;
	for (size_t i = 0; i < forward->port_count; i++)
		if (expectation->to_port >= forward->ports[i].first && expectation->to_port <= forward->ports[i].last)
			return true;
	return false;
}

static bool is_expected(const struct model *model, const struct forward *forward)
{
	for (size_t i = 0; i < model->expectation_count; i++)
		if (covers(&model->expectations[i], forward))
			return true;
	return false;
}

static void warn_expectations(struct reader *reader)
{
	const struct model *model = reader->model;
	const struct forward *missing[LISTED_MOST];
	size_t count = 0;
	for (size_t i = 0; i < model->forward_count; i++) {
		if (is_expected(model, &model->forwards[i]))
			continue;
		if (count < LISTED_MOST)
			missing[count] = &model->forwards[i];
		count++;
	}
	const struct where where = {.name = "expect"};
	if (count > LISTED_MOST || (count > 0 && model->expectation_count == 0)) {
		reader_warn(reader, &where, reader->top,
			    "%zu of %zu forwards have no expectation, %s the first of them (say who reaches them, and "
			    "who must not)",
			    count, model->forward_count, missing[0]->name);
		return;
	}
	for (size_t i = 0; i < count; i++)
		reader_warn_at(reader, KIND_FORWARD, missing[i]->index, NULL,
			       "no expectation names it (say in expect who reaches it, and who must not)");
}

/* An IPv4 network's first address stands for the network, its last for all in it; not so in a /31 (RFC 3021). */
static void warn_node_ends(struct reader *reader, const struct node *node)
{
	const struct interface *lan = &reader->model->lan;
	for (size_t i = 0; i < lan->network_count && !node->tunnel; i++) {
		struct addr_range range = prefix_range(&lan->networks[i]);
		bool first = addr_equal(&node->address, &range.first), last = addr_equal(&node->address, &range.last);
		char text[PREFIX_TEXT_MAX];
		if (node->address.family == FAMILY_V4 && lan->networks[i].length < 31 && (first || last))
			reader_warn_at(reader, KIND_NODE, node->index, "address",
				       "it is the %s address of %s, which no machine has (write the node's own)",
				       first ? "network" : "broadcast", prefix_format(&lan->networks[i], text));
	}
}

static void warn_nodes(struct reader *reader)
{
	const struct model *model = reader->model;
	for (size_t i = 0; i < model->node_count; i++) {
		const struct node *node = &model->nodes[i];
		bool inside = node->tunnel || model->lan.network_count == 0;
		for (size_t j = 0; j < model->lan.network_count && !inside; j++)
			inside = prefix_contains(&model->lan.networks[j], &node->address);
		if (!inside)
			reader_warn_at(reader, KIND_NODE, i, "address",
				       "it is in none of lan's networks (add its network to interfaces.lan, or a "
				       "tunnel to the node)");
		warn_node_ends(reader, node);
	}
}

static void warn_pool(struct reader *reader, const struct forward *forward)
{
	const struct pool *pool = forward->pool;
	enum family family = pool->nodes[0]->address.family;
	for (size_t i = 1; i < pool->node_count && forward->via != VIA_PROXY; i++) {
		if (pool->nodes[i]->address.family == family)
			continue;
		reader_warn_at(reader, KIND_FORWARD, forward->index, "to",
			       "pool %s has IPv4 and IPv6 nodes; through the kernel a client reaches those of its own "
			       "family only "
			       "(via: proxy reaches all)",
			       pool->name);
		return;
	}
}

static void warn_forwards(struct reader *reader)
{
	const struct model *model = reader->model;
	for (size_t i = 0; i < model->forward_count; i++) {
		const struct forward *forward = &model->forwards[i];
		warn_pool(reader, forward);
		for (size_t j = 0; j < forward->port_count && forward->target_port; j++)
			if (forward->ports[j].first != forward->ports[j].last)
				reader_warn_at(reader, KIND_FORWARD, i, "to",
					       "ports %u to %u all lead to port %u (leave the port out to keep the one "
					       "that was dialled)",
					       forward->ports[j].first, forward->ports[j].last, forward->target_port);
		for (size_t j = 0; j < model->management.port_count; j++)
			for (size_t k = 0; k < forward->port_count && forward->protocol == PROTOCOL_TCP; k++)
				if (forward->ports[k].first <= model->management.ports[j].last &&
				    forward->ports[k].last >= model->management.ports[j].first)
					reader_warn_at(reader, KIND_FORWARD, i, "listen",
						       "port %u is management's as well: operators reach this machine, "
						       "everybody else pool %s",
						       model->management.ports[j].first, forward->pool->name);
	}
}

static bool holds(const struct place *places, size_t count, enum place_kind kind)
{
	for (size_t i = 0; i < count; i++)
		if (places[i].kind == kind)
			return true;
	return false;
}

static void warn_rules(struct reader *reader)
{
	const struct model *model = reader->model;
	for (size_t i = 0; i < model->rule_count; i++) {
		const struct rule *rule = &model->rules[i];
		bool from_all = holds(rule->from, rule->from_count, PLACE_ANY) ||
				holds(rule->from, rule->from_count, PLACE_WAN);
		if (rule->action == ACTION_ACCEPT && rule->protocol == PROTOCOL_ANY && from_all &&
		    holds(rule->to, rule->to_count, PLACE_ANY))
			reader_warn_at(reader, KIND_RULE, i, NULL,
				       "it lets everything in (narrow from, to or protocol)");
	}
}

void check_warnings(struct reader *reader)
{
	warn_management(reader);
	warn_nodes(reader);
	warn_tunnels(reader);
	warn_forwards(reader);
	warn_rules(reader);
	warn_expectations(reader);
}
