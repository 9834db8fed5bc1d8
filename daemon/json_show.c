/* Nodes, bans and the history as JSON. Like all of json_show it only
 * looks at what it is given. */
#include "json_show.h"

#include "json_parts.h"

#include "../rules/model/values.h"
#include "../rules/state/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_MAX 256u

static const struct show_health *find_health(const struct show *show, const char *node, uint16_t port)
{
	size_t low = 0, high = show->health_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct show_health *health = &show->health[middle];
		int order = strcmp(health->node, node);
		if (!order)
			order = (health->port > port) - (health->port < port);
		if (!order)
			return health;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Of the tunnel that leads to the node: what is wrong with it, if it is down; else why. */
static const char *blame_tunnel(const struct show *show, const struct node *node, const char *why, char *space, size_t size)
{
	const struct tunnel *tunnel = node->tunnel;
	for (size_t i = 0; tunnel && i < show->peer_count; i++) {
		const struct show_peer *known = &show->peers[i];
		if (known->up || strcmp(known->tunnel, tunnel->name) != 0)
			continue;
		for (size_t j = 0; j < tunnel->peer_count; j++) {
			const struct peer *peer = &tunnel->peers[j];
			bool leads = false;
			for (size_t k = 0; strcmp(peer->name, known->peer) == 0 && k < peer->allowed_ip_count; k++)
				leads |= prefix_contains(&peer->allowed_ips[k], &node->address);
			if (leads) {
				snprintf(space, size, "%s: tunnel %s: %s", why, tunnel->name, known->why ? known->why : "down");
				return space;
			}
		}
	}
	return why;
}

static json_t *port_json(uint16_t port, bool up, const char *why, uint64_t since)
{
	json_t *json = json_object();
	bool fine = part_put_number(json, "port", port) && part_put_bool(json, "up", up) &&
		    part_put_text(json, "why", why) && part_put(json, "since", show_time(since));
	return part_done(json, fine);
}

static bool is_in_pool(const struct pool *pool, const struct node *node)
{
	for (size_t i = 0; i < pool->node_count; i++)
		if (pool->nodes[i] == node)
			return true;
	return false;
}

/* Every port that a forward needs of the node, with what is known of it. in_pool: by the pool's index. */
static json_t *ports_json(const struct show *show, const struct node *node, const bool *in_pool)
{
	uint8_t seen[65536 / 8] = {0};
	json_t *list = json_array();
	bool fine = list;
	for (size_t i = 0; fine && i < show->model->forward_count; i++) {
		const struct forward *forward = &show->model->forwards[i];
		uint16_t port = compile_health_port(forward);
		if (!in_pool[forward->pool->index] || (seen[port / 8] & 1u << port % 8))
			continue;
		seen[port / 8] |= (uint8_t)(1u << port % 8);
		const struct show_health *health = find_health(show, node->name, port);
		char space[WHY_MAX];
		const char *down = health ? blame_tunnel(show, node, health->why, space, sizeof(space)) : NULL;
		if (forward->pool->health.check == HEALTH_NONE)
			fine = part_append(list, port_json(port, true, "not checked", 0));
		else if (health)
			fine = part_append(list, port_json(port, health->up, health->up ? health->why : down, health->since));
		else
			fine = part_append(list, port_json(port, false, "not probed yet", 0));
	}
	return part_done(list, fine);
}

static json_t *pools_json(const struct show *show, const bool *in_pool)
{
	json_t *list = json_array();
	bool fine = list;
	for (size_t i = 0; fine && i < show->model->pool_count; i++)
		if (in_pool[i])
			fine = part_append_text(list, show->model->pools[i].name);
	return part_done(list, fine);
}

static bool is_draining(const struct show *show, const struct node *node)
{
	for (size_t i = 0; i < show->run->draining_count; i++)
		if (!strcmp(show->run->draining[i], node->name))
			return true;
	return false;
}

static json_t *node_json(const struct show *show, const struct node *node, const bool *in_pool)
{
	char address[ADDR_TEXT_MAX];
	json_t *json = json_object();
	bool fine = part_put_text(json, "name", node->name) &&
		    part_put_text(json, "address", addr_format(&node->address, address)) &&
		    part_put_text(json, "tunnel", node->tunnel ? node->tunnel->name : NULL) &&
		    part_put_bool(json, "draining", is_draining(show, node)) &&
		    part_put(json, "ports", ports_json(show, node, in_pool)) &&
		    part_put(json, "pools", pools_json(show, in_pool));
	return part_done(json, fine);
}

json_t *show_nodes(const struct show *show)
{
	const struct model *model = show->model;
	bool *in_pool = calloc(model->pool_count + 1, sizeof(*in_pool));
	json_t *list = json_array();
	bool fine = in_pool && list;
	for (size_t i = 0; fine && i < model->node_count; i++) {
		for (size_t j = 0; j < model->pool_count; j++)
			in_pool[j] = is_in_pool(&model->pools[j], &model->nodes[i]);
		fine = part_append(list, node_json(show, &model->nodes[i], in_pool));
	}
	free(in_pool);
	return part_done(list, fine);
}

/* seconds_left below 0: for good. */
static json_t *ban_json(const char *address, const char *by, uint64_t expires, int64_t seconds_left)
{
	json_t *json = json_object();
	bool fine = part_put_text(json, "address", address) && part_put_text(json, "by", by) &&
		    part_put(json, "forward", json_null()) && part_put(json, "expires", show_time(expires)) &&
		    part_put(json, "seconds_left", seconds_left < 0 ? json_null() : json_integer(seconds_left));
	return part_done(json, fine);
}

static bool add_packet_bans(json_t *list, const struct show *show, const struct show_dynamic *set)
{
	bool fine = true;
	for (size_t i = 0; fine && i < set->count; i++) {
		const struct dynamic_element *element = &set->elements[i];
		/* IPv6 sources are banned by /64 (docs/ruleset.md). */
		uint8_t length = element->addr.family == FAMILY_V6 ? 64 : 32;
		struct prefix prefix = prefix_of(&element->addr, length);
		char text[PREFIX_TEXT_MAX];
		uint64_t left = (element->expires_ms + 999) / 1000;
		fine = part_append(list, ban_json(prefix_format(&prefix, text), "limit", left ? show->now + left : 0,
						  left ? (int64_t)left : -1));
	}
	return fine;
}

json_t *show_bans(const struct show *show)
{
	json_t *list = json_array();
	bool fine = list;
	for (size_t i = 0; fine && i < show->run->ban_count; i++) {
		const struct ban *ban = &show->run->bans[i];
		if (ban->expires && ban->expires <= show->now)
			continue;
		char text[PREFIX_TEXT_MAX];
		fine = part_append(list, ban_json(prefix_format(&ban->prefix, text), "operator", ban->expires,
						  ban->expires ? (int64_t)(ban->expires - show->now) : -1));
	}
	for (size_t i = 0; fine && i < show->dynamic_count; i++)
		if (!strcmp(show->dynamics[i].set, "bans4") || !strcmp(show->dynamics[i].set, "bans6"))
			fine = add_packet_bans(list, show, &show->dynamics[i]);
	return part_done(list, fine);
}

static int newest_first(const void *a, const void *b)
{
	uint32_t left = (*(const struct show_revision *const *)a)->revision;
	uint32_t right = (*(const struct show_revision *const *)b)->revision;
	return (left < right) - (left > right);
}

json_t *show_history(const struct show_revision *revisions, size_t count)
{
	const struct show_revision **order = calloc(count + 1, sizeof(*order));
	json_t *list = json_array();
	bool fine = order && list;
	for (size_t i = 0; fine && i < count; i++)
		order[i] = &revisions[i];
	if (fine)
		qsort(order, count, sizeof(*order), newest_first);
	for (size_t i = 0; fine && i < count; i++) {
		json_t *json = json_object();
		fine = part_put_number(json, "revision", order[i]->revision) &&
		       part_put(json, "time", show_time(order[i]->time)) &&
		       part_put_text(json, "user", order[i]->user) &&
		       part_put_text(json, "message", order[i]->message) &&
		       part_put_bool(json, "current", order[i]->current) &&
		       part_put_bool(json, "pending", order[i]->pending) &&
		       part_put_bool(json, "lapsed", order[i]->lapsed) &&
		       part_put_text(json, "summary", order[i]->summary);
		fine = part_append(list, json) && fine;
	}
	free(order);
	return part_done(list, fine);
}
