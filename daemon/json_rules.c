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
	return done(list, append_text(list, text));
}

static json_t *implied_json(const struct counters *counters, const struct implied *row)
{
	json_t *json = json_object();
	bool fine = put_text(json, "name", row->name) && put_bool(json, "implied", true) &&
		    put(json, "from", one(row->from)) && put(json, "to", one(row->to)) &&
		    put_text(json, "protocol", row->protocol) && put_text(json, "ports", row->ports) &&
		    put_text(json, "action", row->action) && put(json, "limit", json_null()) &&
		    put(json, "limited", json_null()) && put_place(json, row->at) &&
		    put_text(json, "reason", row->reason);
	struct counter_value value = counter_get(counters, "", row->counter ? row->counter : "implied", "");
	if (row->counter)
		fine = fine && put_number(json, "packets", value.packets) && put_number(json, "bytes", value.bytes);
	else
		fine = fine && put(json, "packets", json_null()) && put(json, "bytes", json_null());
	return done(json, fine);
}

static bool add_dropped(json_t *list, const struct counters *counters, const char *name, const char *to,
			const char *reason)
{
	const struct implied row = {
		.name = name, .from = "any", .to = to, .protocol = "any", .action = "drop", .reason = reason, .counter = name};
	return append(list, implied_json(counters, &row));
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
		if (!row.name || !append(list, implied_json(counters, &row)))
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
	return row.name && row.ports && row.reason && append(list, implied_json(counters, &row));
}

static bool add_implied(json_t *list, const struct show *show, const struct counters *counters)
{
	static const struct implied rows[] = {
		{.name = "related-errors", .from = "any", .to = "any", .protocol = "icmp", .action = "accept",
		 .reason = "errors about flows that were let in, path MTU among them"},
		{.name = "neighbour-discovery", .from = "any", .to = "self", .protocol = "icmp", .action = "accept",
		 .reason = "IPv6 does not work without it"},
		{.name = "multicast-listeners", .from = "any", .to = "self", .protocol = "icmp", .action = "accept",
		 .reason = "IPv6 does not work without it"},
	};
	bool fine = true;
	for (size_t i = 0; fine && i < sizeof(rows) / sizeof(*rows); i++)
		fine = append(list, implied_json(counters, &rows[i]));
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
		fine = append_text(list, prefix_format(&prefixes[i], text));
	return done(list, fine);
}

static json_t *management_json(const struct show *show, const struct counters *counters)
{
	const struct management *management = &show->model->management;
	struct counter_value value = counter_get(counters, "", "management", "");
	json_t *json = json_object();
	bool fine = put_text(json, "name", "management") && put_bool(json, "implied", false) &&
		    put(json, "from", prefixes_json(management->from, management->from_count)) &&
		    put(json, "to", one("self")) && put_text(json, "protocol", "tcp") &&
		    put_text(json, "ports", ports_text(counters->arena, management->ports, management->port_count)) &&
		    put_text(json, "action", "accept") && put(json, "limit", json_null()) &&
		    put_number(json, "packets", value.packets) && put_number(json, "bytes", value.bytes) &&
		    put(json, "limited", json_null()) && put_place(json, management->at) &&
		    put_text(json, "reason", management->reason);
	return done(json, fine);
}

static json_t *blocklist_json(const struct counters *counters, const struct blocklist *blocklist)
{
	struct counter_value value = counter_get(counters, "blocklist-", blocklist->name, "");
	const char *name = arena_printf(counters->arena, "blocklist-%s", blocklist->name);
	json_t *json = json_object();
	bool fine = name && put_text(json, "name", name) && put_bool(json, "implied", false) &&
		    put(json, "from", one(blocklist->name)) && put(json, "to", one("any")) &&
		    put_text(json, "protocol", "any") && put(json, "ports", json_null()) &&
		    put_text(json, "action", "drop") && put(json, "limit", json_null()) &&
		    put_number(json, "packets", value.packets) && put_number(json, "bytes", value.bytes) &&
		    put(json, "limited", json_null()) && put_place(json, blocklist->at) &&
		    put_text(json, "reason", blocklist->reason);
	return done(json, fine);
}

static json_t *places_json(struct arena *arena, const struct place *places, size_t count)
{
	json_t *list = json_array();
	bool fine = list;
	for (size_t i = 0; fine && i < count; i++)
		fine = append_text(list, place_text(arena, &places[i]));
	return done(list, fine);
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
	bool fine = !short_of_memory && put_text(json, "name", rule->name) && put_bool(json, "implied", false) &&
		    put(json, "from", places_json(arena, rule->from, rule->from_count)) &&
		    put(json, "to", places_json(arena, rule->to, rule->to_count)) &&
		    put_text(json, "protocol", protocol_names[rule->protocol]) && put_text(json, "ports", ports) &&
		    put_text(json, "action", action_names[rule->action]) && put_text(json, "limit", limit) &&
		    put_number(json, "packets", value.packets) && put_number(json, "bytes", value.bytes) &&
		    put(json, "limited", limit ? json_integer((json_int_t)limited.packets) : json_null()) &&
		    put_place(json, rule->at) && put_text(json, "reason", rule->reason);
	return done(json, fine);
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
		fine = append(list, blocklist_json(&counters, &model->blocklists[i]));
	if (fine && model->management.present)
		fine = append(list, management_json(show, &counters));
	for (size_t i = 0; fine && i < model->rule_count; i++)
		fine = append(list, rule_json(&counters, &model->rules[i]));
	fine = fine && add_dropped(list, &counters, "default", "any", "nothing covers it") &&
	       add_dropped(list, &counters, "input-default", "self", "nothing had let it in") &&
	       add_dropped(list, &counters, "forward-default", "any", "nothing had let it through");
	return done(list, fine);
}
