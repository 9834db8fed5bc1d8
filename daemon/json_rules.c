/* The whole list of what decides about new flows as JSON, in the order in which
 * it decides (docs/ruleset.md): what is implied stands in it too, so that a
 * reader sees every reason for which a packet can pass or be dropped. */
#include "json_parts.h"

#include "../rules/model/values.h"

#include <string.h>

/* A row that no rule of the file stands behind. */
struct implied {
	const char *name, *from, *to, *protocol, *ports, *action, *reason;
	const char *counter; /* NULL: counted with the other implied accepts */
	struct origin at;
};

static json_t *one(const char *text)
{
	json_t *list = json_array();
	return part_done(list, part_append_text(list, text));
}

static json_t *implied_json(const struct counters *counters, const struct implied *row)
{
	json_t *json = json_object();
	bool fine = part_put_text(json, "name", row->name) && part_put_bool(json, "implied", true) &&
		    part_put(json, "from", one(row->from)) && part_put(json, "to", one(row->to)) &&
		    part_put_text(json, "protocol", row->protocol) && part_put_text(json, "ports", row->ports) &&
		    part_put_text(json, "action", row->action) && part_put(json, "limit", json_null()) &&
		    part_put(json, "limited", json_null()) && part_put_place(json, row->at) &&
		    part_put_text(json, "reason", row->reason);
	struct counter_value value = counter_get(counters, "", row->counter ? row->counter : "implied", "");
	if (row->counter)
		fine = fine && part_put_number(json, "packets", value.packets) &&
		       part_put_number(json, "bytes", value.bytes);
	else
		fine = fine && part_put(json, "packets", json_null()) && part_put(json, "bytes", json_null());
	return part_done(json, fine);
}

static bool add_dropped(json_t *list, const struct counters *counters, const char *name, const char *to,
			const char *reason)
{
	const struct implied row = {.name = name,
				    .from = "any",
				    .to = to,
				    .protocol = "any",
				    .action = "drop",
				    .reason = reason,
				    .counter = name};
	return part_append(list, implied_json(counters, &row));
}

static bool add_dhcp(json_t *list, const struct counters *counters, const char *leg)
{
	const struct implied rows[] = {
		{.from = leg, .ports = "68", .reason = "DHCP on the machine's own leg"},
		{.from = leg, .ports = "546", .reason = "DHCPv6 on the machine's own leg"},
	};
	for (size_t i = 0; i < 2; i++) {
		struct implied row = rows[i];
		row.name = arena_printf(counters->arena, i ? "dhcpv6-%s" : "dhcp-%s", leg);
		row.to = "self";
		row.protocol = "udp";
		row.action = "accept";
		if (!row.name || !part_append(list, implied_json(counters, &row)))
			return false;
	}
	return true;
}

static bool add_wireguard(json_t *list, const struct counters *counters, const struct tunnel *tunnel)
{
	struct implied row = {.from = "any", .to = "self", .protocol = "udp", .action = "accept", .at = tunnel->at};
	row.name = arena_printf(counters->arena, "wireguard-%s", tunnel->name);
	row.ports = arena_printf(counters->arena, "%u", tunnel->listen);
	row.reason = arena_printf(counters->arena, "tunnel %s", tunnel->name);
	return row.name && row.ports && row.reason && part_append(list, implied_json(counters, &row));
}

static bool add_implied(json_t *list, const struct show *show, const struct counters *counters)
{
	static const struct implied rows[] = {
		{.name = "related-errors",
		 .from = "any",
		 .to = "any",
		 .protocol = "icmp",
		 .action = "accept",
		 .reason = "errors about flows that were let in, path MTU among them"},
		{.name = "neighbour-discovery",
		 .from = "any",
		 .to = "self",
		 .protocol = "icmp",
		 .action = "accept",
		 .reason = "IPv6 does not work without it"},
		{.name = "multicast-listeners",
		 .from = "any",
		 .to = "self",
		 .protocol = "icmp",
		 .action = "accept",
		 .reason = "IPv6 does not work without it"},
	};
	bool fine = true;
	for (size_t i = 0; fine && i < sizeof(rows) / sizeof(*rows); i++)
		fine = part_append(list, implied_json(counters, &rows[i]));
	if (fine && show->model->wan.device)
		fine = add_dhcp(list, counters, "wan");
	if (fine && show->model->lan.device)
		fine = add_dhcp(list, counters, "lan");
	for (size_t i = 0; fine && i < show->model->tunnel_count; i++)
		if (show->model->tunnels[i].listen)
			fine = add_wireguard(list, counters, &show->model->tunnels[i]);
	return fine;
}

static json_t *prefixes_json(const struct prefix *prefixes, size_t count)
{
	json_t *list = json_array();
	char text[PREFIX_TEXT_MAX];
	bool fine = list;
	for (size_t i = 0; fine && i < count; i++)
		fine = part_append_text(list, prefix_format(&prefixes[i], text));
	return part_done(list, fine);
}

static json_t *management_json(const struct show *show, const struct counters *counters)
{
	const struct management *management = &show->model->management;
	struct counter_value value = counter_get(counters, "", "management", "");
	json_t *json = json_object();
	bool fine =
		part_put_text(json, "name", "management") && part_put_bool(json, "implied", false) &&
		part_put(json, "from", prefixes_json(management->from, management->from_count)) &&
		part_put(json, "to", one("self")) && part_put_text(json, "protocol", "tcp") &&
		part_put_text(json, "ports", ports_text(counters->arena, management->ports, management->port_count)) &&
		part_put_text(json, "action", "accept") && part_put(json, "limit", json_null()) &&
		part_put_number(json, "packets", value.packets) && part_put_number(json, "bytes", value.bytes) &&
		part_put(json, "limited", json_null()) && part_put_place(json, management->at) &&
		part_put_text(json, "reason", management->reason);
	return part_done(json, fine);
}

static json_t *blocklist_json(const struct counters *counters, const struct blocklist *blocklist)
{
	struct counter_value value = counter_get(counters, "blocklist-", blocklist->name, "");
	const char *name = arena_printf(counters->arena, "blocklist-%s", blocklist->name);
	json_t *json = json_object();
	bool fine = name && part_put_text(json, "name", name) && part_put_bool(json, "implied", false) &&
		    part_put(json, "from", one(blocklist->name)) && part_put(json, "to", one("any")) &&
		    part_put_text(json, "protocol", "any") && part_put(json, "ports", json_null()) &&
		    part_put_text(json, "action", "drop") && part_put(json, "limit", json_null()) &&
		    part_put_number(json, "packets", value.packets) && part_put_number(json, "bytes", value.bytes) &&
		    part_put(json, "limited", json_null()) && part_put_place(json, blocklist->at) &&
		    part_put_text(json, "reason", blocklist->reason);
	return part_done(json, fine);
}

static json_t *places_json(struct arena *arena, const struct place *places, size_t count)
{
	json_t *list = json_array();
	bool fine = list;
	for (size_t i = 0; fine && i < count; i++)
		fine = part_append_text(list, place_text(arena, &places[i]));
	return part_done(list, fine);
}

static json_t *rule_json(const struct counters *counters, const struct rule *rule)
{
	struct arena *arena = counters->arena;
	struct counter_value value = counter_get(counters, "rule-", rule->name, "");
	struct counter_value limited = counter_get(counters, "rule-", rule->name, "-limit");
	const char *ports = rule->port_count ? ports_text(arena, rule->ports, rule->port_count) : NULL;
	const char *limit = rule->limit.count ? value_print_rate(arena, &rule->limit) : NULL;
	bool short_of_memory = (rule->port_count && !ports) || (rule->limit.count && !limit);
	json_t *json = json_object();
	bool fine = !short_of_memory && part_put_text(json, "name", rule->name) &&
		    part_put_bool(json, "implied", false) &&
		    part_put(json, "from", places_json(arena, rule->from, rule->from_count)) &&
		    part_put(json, "to", places_json(arena, rule->to, rule->to_count)) &&
		    part_put_text(json, "protocol", protocol_names[rule->protocol]) &&
		    part_put_text(json, "ports", ports) && part_put_text(json, "action", action_names[rule->action]) &&
		    part_put_text(json, "limit", limit) && part_put_number(json, "packets", value.packets) &&
		    part_put_number(json, "bytes", value.bytes) &&
		    part_put(json, "limited", limit ? json_integer((json_int_t)limited.packets) : json_null()) &&
		    part_put_place(json, rule->at) && part_put_text(json, "reason", rule->reason);
	return part_done(json, fine);
}

json_t *show_rules(const struct show *show)
{
	const struct model *model = show->model;
	cleanup_counters struct counters counters = {0};
	json_t *list = json_array();
	bool fine = list && counters_init(&counters, show) &&
		    add_dropped(list, &counters, "banned", "any", "bans by operators and by limits") &&
		    add_dropped(list, &counters, "spoofed", "any", "the source does not belong on that side") &&
		    add_dropped(list, &counters, "invalid", "any", "belongs to no flow and begins none") &&
		    add_dropped(list, &counters, "not-syn", "any", "tcp that does not begin with a SYN") &&
		    add_implied(list, show, &counters);
	for (size_t i = 0; fine && i < model->blocklist_count; i++)
		fine = part_append(list, blocklist_json(&counters, &model->blocklists[i]));
	if (fine && model->management.present)
		fine = part_append(list, management_json(show, &counters));
	for (size_t i = 0; fine && i < model->rule_count; i++)
		fine = part_append(list, rule_json(&counters, &model->rules[i]));
	fine = fine && add_dropped(list, &counters, "default", "any", "nothing covers it") &&
	       add_dropped(list, &counters, "input-default", "self", "nothing had let it in") &&
	       add_dropped(list, &counters, "forward-default", "any", "nothing had let it through");
	return part_done(list, fine);
}
