/* Blocklists, management access and the ordered rules of the configuration, as
 * rules of chain "fresh". Forwards come after them and are not known here; the
 * chains that a rule goes on to are the frame's. */
#include "parts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const enum family families[] = {FAMILY_V4, FAMILY_V6};

char *set_name(struct build *b, const char *what, enum family family, const char *name)
{
	return build_name(b, "%s%c%s%s", what, family == FAMILY_V4 ? '4' : '6', name ? "-" : "", name ? name : "");
}

void compile_prefix_set(struct build *b, const char *name, enum family family, const struct prefix *prefixes, size_t count)
{
	struct addr_range *ranges = arena_array(b->arena, count ? count : 1, struct addr_range);
	if (!ranges) {
		b->failed = true;
		return;
	}
	size_t used = 0;
	for (size_t i = 0; i < count; i++)
		if (prefixes[i].addr.family == family)
			ranges[used++] = prefix_range(&prefixes[i]);
	build_set(b, &(struct set){.name = name,
				   .key = {family == FAMILY_V4 ? FIELD_IPV4 : FIELD_IPV6},
				   .interval = true,
				   .ranges = ranges,
				   .range_count = addr_ranges_merge(ranges, used)});
}

static void blocklist_set(struct build *b, const struct blocklist *list, enum family family)
{
	const struct addr_range *ranges = family == FAMILY_V4 ? list->ranges : list->ranges + list->v4_count;
	size_t count = family == FAMILY_V4 ? list->v4_count : list->range_count - list->v4_count;
	struct set set = {.name = set_name(b, "blocklist", family, list->name),
			  .key = {family == FAMILY_V4 ? FIELD_IPV4 : FIELD_IPV6},
			  .interval = true,
			  .ranges = ranges,
			  .range_count = count,
			  .at = list->at};
	/* The file's own hash says as much as one of the ranges would, and is there already. */
	if (count > STATE_HASHED_ABOVE)
		memcpy(set.hash, list->hash, sizeof(set.hash));
	build_set(b, &set);
}

void compile_blocklists(struct build *b, struct chain_build *fresh)
{
	for (size_t i = 0; i < b->model->blocklist_count; i++) {
		const struct blocklist *list = &b->model->blocklists[i];
		const char *drop = drop_chain_new(b, build_name(b, "blocklist-%s", list->name));
		for (size_t f = 0; f < 2; f++) {
			blocklist_set(b, list, families[f]);
			if (!b->model->wan.device)
				continue;
			match_iif(b, b->model->wan.device, true);
			match_saddr_set(b, families[f], set_name(b, "blocklist", families[f], list->name));
			rule_verdict(b, fresh, VERDICT_GOTO, drop, list->at, build_name(b, "blocklist %s", list->name));
		}
	}
}

void compile_management(struct build *b, struct chain_build *fresh)
{
	const struct management *management = &b->model->management;
	if (!management->present)
		return;
	for (size_t f = 0; f < 2; f++) {
		for (size_t i = 0; i < management->port_count; i++) {
			match_mark(b, MARK_ZONE_MASK, ZONE_SELF);
			match_l4proto(b, PROTO_TCP);
			match_dport(b, management->ports[i]);
			match_saddr_set(b, families[f], set_name(b, "management", families[f], NULL));
			do_counter(b, "management");
			do_mark_change(b, ~0u, MARK_ACCEPTED);
			rule_verdict(b, fresh, VERDICT_ACCEPT, NULL, management->at, "management");
		}
	}
}

enum family place_family(const struct place *place)
{
	return place->kind == PLACE_PREFIX ? place->prefix.addr.family : FAMILY_NONE;
}

bool match_from(struct build *b, const struct place *place, enum family family)
{
	switch (place->kind) {
	case PLACE_ANY:
		return true;
	case PLACE_WAN:
		match_iif(b, b->model->wan.device, true);
		return true;
	case PLACE_LAN:
		match_iif(b, b->model->lan.device, true);
		return true;
	case PLACE_TUNNEL:
		match_tunnel_device(b, place->tunnel, META_IIFNAME);
		return true;
	case PLACE_PREFIX:
		match_saddr(b, &place->prefix);
		return true;
	case PLACE_BLOCKLIST:
		match_saddr_set(b, family, set_name(b, "blocklist", family, place->blocklist->name));
		return true;
	case PLACE_SELF: /* refused by the model: output is open */
		return false;
	}
	return false;
}

static void match_to(struct build *b, const struct place *place, enum family family)
{
	switch (place->kind) {
	case PLACE_ANY:
		return;
	case PLACE_SELF:
		match_mark(b, ZONE_SELF_MASK, ZONE_SELF);
		return;
	case PLACE_WAN:
		match_mark(b, MARK_ZONE_MASK, ZONE_WAN);
		return;
	case PLACE_LAN:
		match_mark(b, MARK_ZONE_MASK, ZONE_LAN);
		return;
	case PLACE_TUNNEL:
		match_mark(b, MARK_ZONE_MASK, ZONE_TUNNEL + (uint32_t)place->tunnel->index);
		return;
	case PLACE_PREFIX:
		match_daddr(b, &place->prefix);
		return;
	case PLACE_BLOCKLIST:
		match_daddr_set(b, family, set_name(b, "blocklist", family, place->blocklist->name));
		return;
	}
}

/* Ports that are not one number or one range stand in a set, shared by rules with the same list. */
static const char *port_set(struct build *b, const struct rule *rule)
{
	char *name = build_name(b, "ports");
	for (size_t i = 0; name && i < rule->port_count; i++) {
		const struct port_range *range = &rule->ports[i];
		name = range->first == range->last ? build_name(b, "%s-%u", name, range->first)
						   : build_name(b, "%s-%u_%u", name, range->first, range->last);
	}
	/* A long list is named by its rule, which keeps the name short and still its own. */
	if (name && strlen(name) > 60)
		name = build_name(b, "ports-of-%s", rule->name);
	for (size_t i = 0; name && i < b->set_count; i++)
		if (strcmp(b->sets[i].name, name) == 0)
			return name;
	struct element *elements = arena_array(b->arena, rule->port_count, struct element);
	if (!name || !elements) {
		b->failed = true;
		return "ports";
	}
	for (size_t i = 0; i < rule->port_count; i++) {
		uint16_t first = htons(rule->ports[i].first), last = htons(rule->ports[i].last);
		memcpy(elements[i].key, &first, 2);
		memcpy(elements[i].key_end, &last, 2);
	}
	build_set(b, &(struct set){.name = name,
				   .key = {FIELD_PORT},
				   .interval = true,
				   .elements = elements,
				   .element_count = rule->port_count,
				   .at = rule->at});
	return name;
}

/* What a rule does once it has matched. */
static void finish(struct build *b, struct chain_build *chain, const struct rule *rule, const char *comment)
{
	do_counter(b, build_name(b, "rule-%s", rule->name));
	switch (rule->action) {
	case ACTION_ACCEPT:
		rule_verdict(b, chain, VERDICT_GOTO, CHAIN_ALLOWED, rule->at, comment);
		return;
	case ACTION_DROP:
		rule_verdict(b, chain, VERDICT_DROP, NULL, rule->at, comment);
		return;
	case ACTION_REJECT:
		rule_verdict(b, chain, VERDICT_GOTO, CHAIN_REJECT, rule->at, comment);
		return;
	}
}

/* A limit or a log is one for all the variants of a rule: they share a chain. */
static const char *own_chain(struct build *b, const struct rule *rule, const char *comment)
{
	if (!rule->limit.count && !rule->log)
		return NULL;
	char *name = build_name(b, "rule-%s", rule->name);
	struct chain_build *chain = build_chain(b, name);
	if (rule->limit.count) {
		struct limit_spec over = limit_of_rate(rule->limit);
		over.over = true;
		do_limit(b, over);
		rule_verdict(b, chain, VERDICT_GOTO, drop_chain_new(b, build_name(b, "rule-%s-limit", rule->name)), rule->at,
			     comment);
	}
	if (rule->log) {
		do_limit(b, (struct limit_spec){.count = 100, .per_seconds = 1, .burst = 200});
		do_log(b, build_name(b, "edged:rule-%s", rule->name));
		rule_end(b, chain, rule->at, comment);
	}
	finish(b, chain, rule, comment);
	return name;
}

struct variant {
	const struct rule *rule;
	const struct place *from, *to;
	const char *own_chain, *comment;
};

static void match_protocol(struct build *b, enum protocol protocol, enum family family)
{
	switch (protocol) {
	case PROTOCOL_ANY:
		return;
	case PROTOCOL_TCP:
		match_l4proto(b, PROTO_TCP);
		return;
	case PROTOCOL_UDP:
		match_l4proto(b, PROTO_UDP);
		return;
	case PROTOCOL_ICMP:
		match_l4proto(b, family == FAMILY_V4 ? PROTO_ICMP : PROTO_ICMPV6);
		return;
	}
}

/* One nftables rule: from one place to one place, of one family (NONE: either). */
static void compile_variant(struct build *b, struct chain_build *fresh, const struct variant *v, enum family family)
{
	if (!match_from(b, v->from, family))
		return;
	match_to(b, v->to, family);
	match_protocol(b, v->rule->protocol, family);
	if (v->rule->port_count == 1)
		match_dport(b, v->rule->ports[0]);
	else if (v->rule->port_count > 1)
		match_dport_set(b, port_set(b, v->rule));
	if (v->own_chain)
		rule_verdict(b, fresh, VERDICT_GOTO, v->own_chain, v->rule->at, v->comment);
	else
		finish(b, fresh, v->rule, v->comment);
}

static void compile_pair(struct build *b, struct chain_build *fresh, const struct variant *v)
{
	enum family from = place_family(v->from), to = place_family(v->to);
	if (from && to && from != to)
		return;
	enum family family = from ? from : to;
	bool split = v->rule->protocol == PROTOCOL_ICMP || v->from->kind == PLACE_BLOCKLIST ||
		     v->to->kind == PLACE_BLOCKLIST;
	if (family || !split) {
		compile_variant(b, fresh, v, family);
		return;
	}
	compile_variant(b, fresh, v, FAMILY_V4);
	compile_variant(b, fresh, v, FAMILY_V6);
}

void compile_rules(struct build *b, struct chain_build *fresh)
{
	for (size_t i = 0; i < b->model->rule_count; i++) {
		const struct rule *rule = &b->model->rules[i];
		struct variant v = {.rule = rule, .comment = build_name(b, "rule %s", rule->name)};
		v.own_chain = own_chain(b, rule, v.comment);
		build_count_as(b, build_name(b, "rule-%s", rule->name));
		for (size_t from = 0; from < rule->from_count; from++) {
			for (size_t to = 0; to < rule->to_count; to++) {
				v.from = &rule->from[from];
				v.to = &rule->to[to];
				compile_pair(b, fresh, &v);
			}
		}
	}
}
