/* Forwards and their limits as JSON: what the file says, with what the
 * ruleset and the forwarder have counted. */
#include "json_parts.h"

#include "../rules/model/values.h"
#include "../rules/state/compile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const plane_names[] = {[PLANE_NONE] = "none", [PLANE_KERNEL] = "kernel", [PLANE_PROXY] = "proxy"};

static const char *listen_text(struct arena *arena, const struct forward *forward)
{
	const char *ports = ports_text(arena, forward->ports, forward->port_count);
	if (!ports || forward->listen_address.family == FAMILY_NONE)
		return ports;
	char address[ADDR_TEXT_MAX];
	addr_format(&forward->listen_address, address);
	bool v6 = forward->listen_address.family == FAMILY_V6;
	return arena_printf(arena, v6 ? "[%s]:%s" : "%s:%s", address, ports);
}

/* What IPv4 clients get; where there is nothing for them, what IPv6 clients get. */
static struct plane_choice plane_of(const struct show *show, const struct forward *forward)
{
	struct plane_choice v4 = compile_plane(show->model, show->run, forward, FAMILY_V4);
	struct plane_choice v6 = compile_plane(show->model, show->run, forward, FAMILY_V6);
	return v4.plane == PLANE_NONE && v6.plane != PLANE_NONE ? v6 : v4;
}

static json_t *backends_json(const struct show *show, const struct forward *forward)
{
	uint16_t port = compile_health_port(forward);
	size_t up = 0;
	for (size_t i = 0; i < forward->pool->node_count; i++)
		up += compile_backend_usable(show->run, forward->pool, forward->pool->nodes[i], port);
	json_t *json = json_object();
	return part_done(json,
			 part_put_number(json, "up", up) && part_put_number(json, "total", forward->pool->node_count));
}

/* For each family of clients that can come: which plane, and why. */
static json_t *planes_json(const struct show *show, const struct forward *forward)
{
	static const enum family families[] = {FAMILY_V4, FAMILY_V6};
	json_t *list = json_array();
	bool fine = list;
	for (size_t i = 0; i < 2 && fine; i++) {
		if (forward->listen_address.family && forward->listen_address.family != families[i])
			continue;
		struct plane_choice choice = compile_plane(show->model, show->run, forward, families[i]);
		json_t *json = json_object();
		bool whole = part_put_text(json, "clients", families[i] == FAMILY_V4 ? "ipv4" : "ipv6") &&
			     part_put_text(json, "plane", plane_names[choice.plane]) &&
			     part_put_text(json, "why", choice.why);
		fine = part_append(list, part_done(json, whole));
	}
	return part_done(list, fine);
}

static json_t *synproxy_json(const struct show *show, const struct forward *forward)
{
	json_t *json = json_object();
	return part_done(json, part_put_text(json, "mode", toggle_names[forward->synproxy]) &&
				       part_put_bool(json, "on", compile_synproxy_on(show->run, forward)));
}

static json_t *connections_json(uint64_t open, uint64_t total)
{
	json_t *json = json_object();
	return part_done(json, part_put_number(json, "open", open) && part_put_number(json, "total", total));
}

/* Numbers of one forward from all that count them. */
static bool put_numbers(json_t *json, const struct counters *counters, const struct forward *forward,
			const struct show_use *use)
{
	struct counter_value let_in = counter_get(counters, "fwd-", forward->name, "");
	struct counter_value down = counter_get(counters, "fwd-", forward->name, "-down");
	struct counter_value limited = counter_get(counters, "fwd-", forward->name, "-limit");
	return part_put(json, "connections", connections_json(use->open, let_in.packets)) &&
	       part_put_number(json, "packets", use->open_packets) &&
	       part_put_number(json, "bytes", use->bytes + use->open_bytes) &&
	       part_put_number(json, "limited", limited.packets) &&
	       part_put_number(json, "refused", down.packets + use->refused);
}

static json_t *tlvs_json(const struct forward *forward)
{
	json_t *list = json_array();
	bool fine = list;
	for (unsigned i = 0; fine && proxy_tlv_names[i]; i++)
		if (forward->proxy_tlvs & TLV_BIT(i))
			fine = part_append(list, json_string(proxy_tlv_names[i]));
	return part_done(list, fine);
}

static json_t *forward_json(const struct show *show, const struct counters *counters, const struct strmap *uses,
			    const struct forward *forward)
{
	static const struct show_use none = {0};
	const struct show_use *use = strmap_get(uses, forward->name);
	struct plane_choice plane = plane_of(show, forward);
	json_t *json = json_object();
	bool fine = part_put_text(json, "name", forward->name) &&
		    part_put_text(json, "listen", listen_text(counters->arena, forward)) &&
		    part_put_text(json, "protocol", protocol_names[forward->protocol]) &&
		    part_put_text(json, "pool", forward->pool->name) &&
		    part_put(json, "target_port",
			     forward->target_port ? json_integer(forward->target_port) : json_null()) &&
		    part_put_text(json, "proxy_protocol", proxy_header_names[forward->proxy_protocol]) &&
		    part_put(json, "proxy_tlvs", tlvs_json(forward)) &&
		    part_put_text(json, "plane", plane_names[plane.plane]) && part_put_text(json, "why", plane.why) &&
		    part_put(json, "planes", planes_json(show, forward)) &&
		    part_put(json, "synproxy", synproxy_json(show, forward)) &&
		    part_put(json, "backends", backends_json(show, forward)) &&
		    put_numbers(json, counters, forward, use ? use : &none) && part_put_place(json, forward->at) &&
		    part_put_text(json, "reason", forward->reason);
	return part_done(json, fine);
}

json_t *show_forwards(const struct show *show)
{
	cleanup_counters struct counters counters = {0};
	json_t *list = json_array();
	bool fine = list && counters_init(&counters, show);
	struct strmap *uses = fine ? strmap_new(counters.arena) : NULL;
	fine = fine && uses;
	for (size_t i = 0; fine && i < show->use_count; i++)
		fine = strmap_put(uses, show->uses[i].forward, (void *)(uintptr_t)&show->uses[i]) != -ENOMEM;
	for (size_t i = 0; fine && i < show->model->forward_count; i++)
		fine = part_append(list, forward_json(show, &counters, uses, &show->model->forwards[i]));
	return part_done(list, fine);
}

/* Who asks about the limits of one forward. */
struct limit_row {
	const struct show *show;
	const struct counters *counters;
	const struct forward *forward;
	const char *limit; /* its key in the file */
	const char *value; /* as the file writes it */
	const char *set;   /* of its sources, without the family's digit; NULL: one bucket for all */
	enum family family;
};

static json_t *limit_json(const struct limit_row *row)
{
	json_t *sources = NULL, *size = NULL;
	char name[MODEL_NAME_MAX + 32];
	snprintf(name, sizeof(name), "%s%c-%s", row->set ? row->set : "", row->family == FAMILY_V6 ? '6' : '4',
		 row->forward->name);
	for (size_t i = 0; row->set && !sources && i < row->show->dynamic_count; i++)
		if (!strcmp(row->show->dynamics[i].set, name))
			sources = json_integer((json_int_t)row->show->dynamics[i].count);
	const struct set *set = row->set && row->show->desired ? state_set(row->show->desired, name) : NULL;
	if (set)
		size = json_integer(set->size);
	const char *family = !row->set ? NULL : row->family == FAMILY_V6 ? "ipv6" : "ipv4";
	json_t *json = json_object();
	bool fine = part_put(json, "sources", sources ? sources : json_null());
	fine = part_put(json, "size", size ? size : json_null()) && fine;
	fine = fine && part_put_text(json, "forward", row->forward->name) && part_put_text(json, "limit", row->limit) &&
	       part_put_text(json, "value", row->value) && part_put_text(json, "family", family) &&
	       part_put_number(json, "dropped",
			       counter_get(row->counters, "fwd-", row->forward->name, "-limit").packets);
	return part_done(json, fine && row->value);
}

static bool add_both_families(json_t *list, struct limit_row row, const char *limit, const char *value, const char *set)
{
	row.limit = limit;
	row.value = value;
	row.set = set;
	row.family = FAMILY_V4;
	if (!part_append(list, limit_json(&row)))
		return false;
	row.family = FAMILY_V6;
	return part_append(list, limit_json(&row));
}

static bool add_limits(json_t *list, const struct show *show, const struct counters *counters,
		       const struct forward *forward)
{
	const struct limits *limits = &forward->limits;
	struct arena *arena = counters->arena;
	struct limit_row row = {.show = show, .counters = counters, .forward = forward};
	bool fine = true;
	if (limits->new_total.count) {
		row.limit = "new_total";
		row.value = value_print_rate(arena, &limits->new_total);
		fine = part_append(list, limit_json(&row));
	}
	if (fine && limits->open_per_source)
		fine = add_both_families(list, row, "open_per_source",
					 arena_printf(arena, "%u", limits->open_per_source), "open");
	if (fine && limits->new_per_source.count)
		fine = add_both_families(list, row, "new_per_source", value_print_rate(arena, &limits->new_per_source),
					 "new");
	if (fine && limits->ban)
		fine = add_both_families(list, row, "ban", value_print_duration(arena, limits->ban), "strikes");
	return fine;
}

json_t *show_limits(const struct show *show)
{
	cleanup_counters struct counters counters = {0};
	json_t *list = json_array();
	bool fine = list && counters_init(&counters, show);
	for (size_t i = 0; fine && i < show->model->forward_count; i++)
		fine = add_limits(list, show, &counters, &show->model->forwards[i]);
	return part_done(list, fine);
}
