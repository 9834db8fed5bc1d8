/* The ruleset compiler's entry: the sets that every part shares, the parts, the
 * finished state. docs/ruleset.md is the description of what it makes. */
#include "compile.h"
#include "parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const enum family families[] = {FAMILY_V4, FAMILY_V6};

static void address_sets(struct build *b)
{
	const struct model *model = b->model;
	size_t room = model->floating_ip_count + model->node_count + model->management.from_count + model->lan.network_count;
	struct prefix *prefixes = arena_array(b->arena, room ? room : 1, struct prefix);
	if (!prefixes) {
		b->failed = true;
		return;
	}
	for (size_t f = 0; f < 2; f++) {
		enum family family = families[f];
		size_t count = 0;
		for (size_t i = 0; i < model->floating_ip_count; i++)
			prefixes[count++] = prefix_of(&model->floating_ips[i], addr_bits(model->floating_ips[i].family));
		compile_prefix_set(b, set_name(b, "floating", family, NULL), family, prefixes, count);
		compile_prefix_set(b, set_name(b, "lan", family, NULL), family, model->lan.networks, model->lan.network_count);
		compile_prefix_set(b, set_name(b, "management", family, NULL), family, model->management.from,
				   model->management.from_count);
		count = 0;
		for (size_t i = 0; i < model->node_count; i++)
			prefixes[count++] = prefix_of(&model->nodes[i].address, addr_bits(model->nodes[i].address.family));
		for (size_t i = 0; i < model->management.from_count; i++)
			prefixes[count++] = model->management.from[i];
		for (size_t i = 0; i < model->lan.network_count; i++)
			prefixes[count++] = model->lan.networks[i];
		compile_prefix_set(b, set_name(b, "never-ban", family, NULL), family, prefixes, count);
	}
}


static int compare_addrs(const void *a, const void *b)
{
	return addr_compare(a, b);
}

/* When the last ban over this address ends: seconds, 0 for never banned, UINT64_MAX for good. */
static uint64_t banned_until(const struct build *b, const struct addr *address)
{
	uint64_t until = 0;
	if (model_never_banned(b->model, address))
		return 0;
	for (size_t i = 0; i < b->run->ban_count; i++) {
		const struct ban *ban = &b->run->bans[i];
		if (!prefix_contains(&ban->prefix, address) || (ban->expires && ban->expires <= b->run->now))
			continue;
		uint64_t expires = ban->expires ? ban->expires : UINT64_MAX;
		if (expires > until)
			until = expires;
	}
	return until;
}

static void add_ban(struct build *b, struct element *element, const struct addr *first, const struct addr *last, uint64_t until)
{
	memcpy(element->key, first->bytes, addr_size(first->family));
	memcpy(element->key_end, last->bytes, addr_size(first->family));
	if (until != UINT64_MAX) {
		element->expires = until;
		element->timeout_ms = (until - b->run->now) * 1000;
	}
}

static struct addr previous(const struct addr *address)
{
	struct addr before = *address;
	for (size_t i = addr_size(address->family); i-- > 0;)
		if (before.bytes[i]-- != 0)
			break;
	return before;
}

static void add_cuts(struct addr *cuts, size_t *count, enum family family, const struct prefix *prefix)
{
	if (prefix->addr.family != family)
		return;
	struct addr_range range = prefix_range(prefix);
	cuts[(*count)++] = range.first;
	if (addr_next(&range.last, &cuts[*count]))
		(*count)++;
}

/* Operators' bans may overlap, and may hold what is never banned: cut at every boundary, each piece is banned until
 * its last ban ends. */
static void ban_set(struct build *b, enum family family)
{
	const struct model *model = b->model;
	size_t bans = b->run->ban_count, count = 0, used = 0;
	size_t room = bans ? (bans + model->management.from_count + model->node_count) * 2 + 1 : 1;
	struct addr *cuts = arena_array(b->arena, room, struct addr);
	struct element *elements = arena_array(b->arena, room, struct element);
	if (!cuts || !elements) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; i < bans; i++)
		add_cuts(cuts, &count, family, &b->run->bans[i].prefix);
	for (size_t i = 0; bans && i < model->management.from_count; i++)
		add_cuts(cuts, &count, family, &model->management.from[i]);
	for (size_t i = 0; bans && i < model->node_count; i++) {
		struct prefix host = prefix_of(&model->nodes[i].address, addr_bits(model->nodes[i].address.family));
		add_cuts(cuts, &count, family, &host);
	}
	qsort(cuts, count, sizeof(*cuts), compare_addrs);
	for (size_t i = 0; i < count; i++) {
		if (i && addr_equal(&cuts[i], &cuts[i - 1]))
			continue;
		uint64_t until = banned_until(b, &cuts[i]);
		if (!until)
			continue;
		struct addr last;
		size_t next = i + 1;
		while (next < count && addr_equal(&cuts[next], &cuts[i]))
			next++;
		if (next < count)
			last = previous(&cuts[next]);
		else
			memset(&last, 0xff, sizeof(last)), last.family = family;
		add_ban(b, &elements[used++], &cuts[i], &last, until);
	}
	build_set(b, &(struct set){.name = set_name(b, "banned", family, NULL),
				   .key = {family == FAMILY_V4 ? FIELD_IPV4 : FIELD_IPV6},
				   .interval = true,
				   .timeout = true,
				   .elements = elements,
				   .element_count = used});
	build_set(b, &(struct set){.name = set_name(b, "bans", family, NULL),
				   .key = {family == FAMILY_V4 ? FIELD_IPV4 : FIELD_IPV6},
				   .dynamic = true,
				   .timeout = true,
				   .size = source_set_size(b)});
}

static int compare_chains(const void *a, const void *b)
{
	return strcmp(((const struct chain *)a)->name, ((const struct chain *)b)->name);
}

static int compare_sets(const void *a, const void *b)
{
	return strcmp(((const struct set *)a)->name, ((const struct set *)b)->name);
}

static int compare_counters(const void *a, const void *b)
{
	return strcmp(((const struct counter *)a)->name, ((const struct counter *)b)->name);
}

static size_t unique_counters(struct counter *counters, size_t count)
{
	size_t kept = 0;
	qsort(counters, count, sizeof(*counters), compare_counters);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || strcmp(counters[i].name, counters[kept - 1].name) != 0)
			counters[kept++] = counters[i];
	return kept;
}

static int finish(struct build *b, struct state *state)
{
	if (b->failed)
		return -ENOMEM;
	state->chains = arena_array(b->arena, b->chains.count, struct chain);
	if (!state->chains)
		return -ENOMEM;
	for (size_t i = 0; i < b->chains.count; i++) {
		state->chains[i] = b->chains.items[i]->chain;
		state->chains[i].rules = b->chains.items[i]->rules;
		state->chains[i].rule_count = b->chains.items[i]->count;
	}
	state->chain_count = b->chains.count;
	state->sets = b->sets;
	state->set_count = b->set_count;
	state->counters = b->counters;
	state->counter_count = unique_counters(b->counters, b->counter_count);
	qsort(state->chains, state->chain_count, sizeof(struct chain), compare_chains);
	qsort(state->sets, state->set_count, sizeof(struct set), compare_sets);
	return 0;
}

/* Sorted by name. Loose pick-up of flows in their middle would let what is not a SYN begin one. */
static const struct sysctl sysctls[] = {
	{"net.ipv4.ip_forward", "1"},
	{"net.ipv4.tcp_early_demux", "0"},
	{"net.ipv4.tcp_migrate_req", "1"},
	{"net.ipv6.conf.all.forwarding", "1"},
	{"net.netfilter.nf_conntrack_acct", "1"},
	{"net.netfilter.nf_conntrack_tcp_loose", "0"},
	{"net.netfilter.nf_conntrack_timestamp", "1"},
};

static bool any_by_proxy(const struct model *model, const struct rundata *run)
{
	for (size_t i = 0; i < model->forward_count; i++)
		for (size_t f = 0; f < 2; f++)
			if (compile_plane(model, run, &model->forwards[i], families[f]).plane == PLANE_PROXY)
				return true;
	return false;
}

static int compile_sysctls(const struct model *model, const struct rundata *run, struct state *state)
{
	struct sysctl *made = arena_memdup(state->arena, sysctls, sizeof(sysctls));
	if (!made)
		return -ENOMEM;
	state->sysctls = made;
	state->sysctl_count = sizeof(sysctls) / sizeof(sysctls[0]);
	/* To look for a socket before the route is worth it only where most packets end on this machine (the kernel's
	 * Documentation/networking/ip-sysctl.rst). */
	for (size_t i = 0; i < state->sysctl_count; i++)
		if (strcmp(made[i].name, "net.ipv4.tcp_early_demux") == 0 && any_by_proxy(model, run))
			made[i].value = "1";
	return 0;
}

int compile_state(const struct model *model, const struct rundata *run, struct state **ret_state)
{
	cleanup_state struct state *state = state_new();
	if (!state)
		return -ENOMEM;
	state->present = true;
	state->owner = run->kernel_owner;
	struct build b = {.arena = state->arena, .model = model, .run = run};
	address_sets(&b);
	ban_set(&b, FAMILY_V4);
	ban_set(&b, FAMILY_V6);
	compile_frame(&b);
	int r = finish(&b, state);
	if (r < 0)
		return r;
	r = compile_sysctls(model, run, state);
	if (r < 0)
		return r;
	r = compile_tunnels(model, run, state->arena, &state->tunnels);
	if (r < 0)
		return r;
	*ret_state = state;
	state = NULL;
	return 0;
}
