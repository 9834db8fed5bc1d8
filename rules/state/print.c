/* Printing of whole states and of steps, for people and golden tests: one line
 * per rule, element list or step, the same text for the same state always. */
#include "print_parts.h"

#include <string.h>

const char *const step_names[STEP_KINDS] = {
	[STEP_SET_SYSCTL] = "set sysctl",
	[STEP_DELETE_TABLE] = "delete table",
	[STEP_ADD_TABLE] = "add table",
	[STEP_SET_TABLE_FLAGS] = "set table flags",
	[STEP_DELETE_RULE] = "delete rule",
	[STEP_FLUSH_CHAIN] = "flush chain",
	[STEP_DELETE_ELEMENTS] = "delete elements",
	[STEP_FLUSH_SET] = "flush set",
	[STEP_DELETE_CHAIN] = "delete chain",
	[STEP_DELETE_SET] = "delete set",
	[STEP_DELETE_COUNTER] = "delete counter",
	[STEP_ADD_COUNTER] = "add counter",
	[STEP_ADD_SET] = "add set",
	[STEP_SET_CHAIN] = "set chain",
	[STEP_ADD_CHAIN] = "add chain",
	[STEP_SET_HASH] = "set hash",
	[STEP_ADD_ELEMENTS] = "add elements",
	[STEP_ADD_RULE] = "add rule",
	[STEP_DELETE_TUNNEL] = "delete tunnel",
	[STEP_ADD_TUNNEL] = "add tunnel",
	[STEP_SET_TUNNEL] = "set tunnel",
	[STEP_DELETE_PEER] = "delete peer",
	[STEP_SET_PEER] = "set peer",
	[STEP_DELETE_ROUTE] = "delete route",
	[STEP_DELETE_ADDRESS] = "delete address",
	[STEP_SET_LINK] = "set link",
	[STEP_ADD_ADDRESS] = "add address",
	[STEP_ADD_ROUTE] = "add route",
};

/* So many elements of a set are printed; of a larger one the rest is counted. */
#define ELEMENTS_SHOWN 1000
#define ELEMENTS_SHOWN_IN_STEP 10

static const char *const field_names[] = {
	[FIELD_IPV4] = "ipv4_addr", [FIELD_IPV6] = "ipv6_addr", [FIELD_PROTO] = "inet_proto", [FIELD_PORT] = "inet_service",
	[FIELD_IFNAME] = "ifname",  [FIELD_MARK] = "mark",      [FIELD_INTEGER] = "integer",  [FIELD_VERDICT] = "verdict",
	[FIELD_IFINDEX] = "iface_index",
};

static void print_flags(struct text *text, const struct set *set, const char *separator)
{
	const char *comma = "";
	if (!set->interval && !set->dynamic && !set->timeout)
		return;
	text_add(text, "%sflags ", separator);
	if (set->interval) {
		text_add(text, "interval");
		comma = ",";
	}
	if (set->dynamic) {
		text_add(text, "%sdynamic", comma);
		comma = ",";
	}
	if (set->timeout)
		text_add(text, "%stimeout", comma);
}

void print_set_head(struct text *text, const struct set *set, const char *separator)
{
	text_add(text, "type ");
	for (size_t i = 0; i < STATE_FIELDS_MAX && set->key[i]; i++)
		text_add(text, "%s%s", i ? " . " : "", field_names[set->key[i]]);
	if (set->data)
		text_add(text, " : %s", field_names[set->data]);
	print_flags(text, set, separator);
	if (set->size)
		text_add(text, "%ssize %u", separator, set->size);
	if (set->timeout_ms) {
		text_add(text, "%stimeout ", separator);
		print_duration(text, set->timeout_ms);
	}
	if (set->gc_interval_ms) {
		text_add(text, "%sgc-interval ", separator);
		print_duration(text, set->gc_interval_ms);
	}
	if (set->with == DYNSET_LIMIT) {
		text_add(text, "%s", separator);
		print_limit(text, &set->limit);
	} else if (set->with == DYNSET_CONNLIMIT) {
		text_add(text, "%sct count %u", separator, set->connections);
	}
	if (set->comment && *set->comment) {
		text_add(text, "%scomment ", separator);
		text_add_quoted(text, set->comment);
	}
}

void print_chain_head(struct text *text, const struct chain *chain)
{
	static const char *const types[] = {[CHAIN_FILTER] = "filter", [CHAIN_NAT] = "nat", [CHAIN_ROUTE] = "route"};
	static const char *const hooks[] = {
		[HOOK_PREROUTING] = "prerouting", [HOOK_INPUT] = "input",           [HOOK_FORWARD] = "forward",
		[HOOK_OUTPUT] = "output",         [HOOK_POSTROUTING] = "postrouting",
		[HOOK_INGRESS] = "ingress",
	};
	if (chain->type == CHAIN_REGULAR)
		return;
	text_add(text, "type %s hook %s ", types[chain->type], hooks[chain->hook]);
	for (size_t i = 0; i < chain->device_count; i++)
		text_add(text, "%s%s%s", i ? ", " : "devices = { ", chain->devices[i],
			 i + 1 < chain->device_count ? "" : " } ");
	text_add(text, "priority %d; policy %s;", chain->priority, chain->policy_drop ? "drop" : "accept");
}

static void print_items(struct text *text, const struct set *set, const struct element *elements, size_t element_count,
			const struct addr_range *ranges, size_t range_count, size_t most)
{
	size_t shown = 0, count = element_count + range_count;
	for (size_t i = 0; i < element_count && shown < most; i++, shown++) {
		text_add(text, "%s", shown ? ", " : "");
		print_element(text, set, &elements[i]);
	}
	for (size_t i = 0; i < range_count && shown < most; i++, shown++) {
		const struct addr *first = &ranges[i].first, *last = &ranges[i].last;
		enum value_kind kind = first->family == FAMILY_V4 ? VALUE_IPV4 : VALUE_IPV6;
		text_add(text, "%s", shown ? ", " : "");
		text_add_range(text, kind, first->bytes, last->bytes, addr_size(first->family));
	}
	if (count > shown)
		text_add(text, ", ... (%zu more)", count - shown);
}

static void print_hash(struct text *text, const struct set *set)
{
	for (size_t i = 0; i < sizeof(set->hash); i++)
		text_add(text, "%02x", set->hash[i]);
}

static void print_set(struct text *text, const struct set *set)
{
	static const uint8_t none[sizeof(set->hash)];
	text_add(text, "\n\t%s %s {\n\t\t", set->flowtable ? "flowtable" : set->data ? "map" : "set", set->name);
	print_set_head(text, set, "\n\t\t");
	text_add(text, "\n");
	if (memcmp(set->hash, none, sizeof(none)) != 0) {
		text_add(text, "\t\thash ");
		print_hash(text, set);
		text_add(text, "\n");
	}
	if (set->element_count || set->range_count) {
		text_add(text, "\t\telements = { ");
		print_items(text, set, set->elements, set->element_count, set->ranges, set->range_count, ELEMENTS_SHOWN);
		text_add(text, " }\n");
	}
	text_add(text, "\t}\n");
}

static void print_chain(struct text *text, const struct chain *chain)
{
	text_add(text, "\n\tchain %s {\n", chain->name);
	if (chain->type != CHAIN_REGULAR) {
		text_add(text, "\t\t");
		print_chain_head(text, chain);
		text_add(text, "\n");
	}
	for (size_t i = 0; i < chain->rule_count; i++) {
		text_add(text, "\t\t");
		print_rule(text, &chain->rules[i]);
		text_add(text, "\n");
	}
	text_add(text, "\t}\n");
}

char *state_print(const struct state *state, struct arena *arena)
{
	struct text text = {.arena = arena};
	for (size_t i = 0; i < state->sysctl_count; i++)
		text_add(&text, "sysctl %s = %s\n", state->sysctls[i].name, state->sysctls[i].value);
	for (size_t i = 0; i < state->tunnels.count; i++)
		print_tunnel(&text, &state->tunnels.items[i]);
	if (!state->present)
		return text_finish(&text);
	text_add(&text, "table inet %s {\n", STATE_TABLE);
	if (state->owner)
		text_add(&text, "\tflags owner,persist\n");
	for (size_t i = 0; i < state->counter_count; i++)
		text_add(&text, "\tcounter %s\n", state->counters[i].name);
	for (size_t i = 0; i < state->set_count; i++)
		print_set(&text, &state->sets[i]);
	for (size_t i = 0; i < state->chain_count; i++)
		print_chain(&text, &state->chains[i]);
	text_add(&text, "}\n");
	return text_finish(&text);
}

static void print_step_elements(struct text *text, const struct step *step)
{
	text_add(text, " %s { ", step->set->name);
	print_items(text, step->set, step->elements, step->element_count, step->ranges, step->range_count,
		    ELEMENTS_SHOWN_IN_STEP);
	text_add(text, " }");
}

static void print_step_rule(struct text *text, const struct step *step)
{
	text_add(text, " %s ", step->chain->name);
	if (step->kind == STEP_ADD_RULE && step->before)
		text_add(text, "before %llu: ", (unsigned long long)step->before);
	if (step->kind == STEP_DELETE_RULE)
		text_add(text, "handle %llu: ", (unsigned long long)step->rule->handle);
	print_rule(text, step->rule);
}

static void print_step(struct text *text, const struct step *step)
{
	text_add(text, "%s", step_names[step->kind]);
	if (step->kind >= STEP_FIRST_TUNNEL)
		print_tunnel_step(text, step);
	switch (step->kind) {
	case STEP_SET_SYSCTL:
		text_add(text, " %s = %s", step->sysctl->name, step->sysctl->value);
		break;
	case STEP_ADD_TABLE:
	case STEP_SET_TABLE_FLAGS:
		text_add(text, "%s", step->owner ? " owner,persist" : "");
		break;
	case STEP_DELETE_TABLE:
	case STEP_DELETE_TUNNEL ... STEP_ADD_ROUTE:
		break;
	case STEP_DELETE_RULE:
	case STEP_ADD_RULE:
		print_step_rule(text, step);
		break;
	case STEP_FLUSH_CHAIN:
	case STEP_DELETE_CHAIN:
		text_add(text, " %s", step->chain->name);
		break;
	case STEP_SET_CHAIN:
	case STEP_ADD_CHAIN:
		text_add(text, " %s { ", step->chain->name);
		print_chain_head(text, step->chain);
		text_add(text, "%s}", step->chain->type == CHAIN_REGULAR ? "" : " ");
		break;
	case STEP_ADD_SET:
		text_add(text, " %s { ", step->set->name);
		print_set_head(text, step->set, "; ");
		text_add(text, " }");
		break;
	case STEP_SET_HASH:
		text_add(text, " %s ", step->set->name);
		print_hash(text, step->set);
		break;
	case STEP_FLUSH_SET:
	case STEP_DELETE_SET:
		text_add(text, " %s", step->set->name);
		break;
	case STEP_DELETE_ELEMENTS:
	case STEP_ADD_ELEMENTS:
		print_step_elements(text, step);
		break;
	case STEP_DELETE_COUNTER:
	case STEP_ADD_COUNTER:
		text_add(text, " %s", step->counter->name);
		break;
	case STEP_KINDS:
		break;
	}
	text_add(text, "\n");
}

char *steps_print(const struct steps *steps, struct arena *arena)
{
	struct text text = {.arena = arena};
	for (size_t i = 0; i < steps->count; i++)
		print_step(&text, &steps->items[i]);
	return text_finish(&text);
}
