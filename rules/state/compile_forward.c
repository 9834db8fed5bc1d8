/* Forwards: a chain each for the decision (limits, backends), for DNAT and for
 * counting strikes, and the maps that dispatch to them by what was dialled. */
#include "compile.h"
#include "parts.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Slots of a consistent map: enough that one of a few dozen nodes gets its share within some percent. */
#define SOURCE_SLOTS 256u

static const enum family families[] = {FAMILY_V4, FAMILY_V6};

static enum plane plane_of(const struct build *b, const struct forward *forward, enum family family)
{
	return compile_plane(b->model, b->run, forward, family).plane;
}

/* A chain that goes on to its target only for packets from where the forward listens. */
static struct chain_build *gated_chain(struct build *b, const struct forward *forward, const char *prefix)
{
	char *name = build_name(b, "%s-%s", prefix, forward->name);
	struct chain_build *chain = build_chain(b, name);
	if (!forward->from_count)
		return chain;
	char *inner = build_name(b, "%s-in", name);
	for (size_t i = 0; i < forward->from_count; i++) {
		const struct place *place = &forward->from[i];
		bool lists = place->kind == PLACE_BLOCKLIST;
		for (size_t f = 0; f < (lists ? 2 : 1); f++) {
			if (!match_from(b, place, lists ? families[f] : FAMILY_NONE))
				continue;
			rule_verdict(b, chain, VERDICT_GOTO, inner, place->at, build_name(b, "forward %s", forward->name));
		}
	}
	return build_chain(b, inner);
}

static uint16_t proto_of(const struct forward *forward)
{
	return forward->protocol == PROTOCOL_UDP ? PROTO_UDP : PROTO_TCP;
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(((const struct element *)a)->key, ((const struct element *)b)->key, STATE_KEY_MAX);
}

/* One map: family NONE for those that listen on all own addresses. */
static void dispatch_map(struct build *b, const struct dispatch *dispatch, enum family family)
{
	const struct model *model = b->model;
	size_t ports = 0;
	for (size_t i = 0; i < model->forward_count; i++)
		for (size_t j = 0; j < model->forwards[i].port_count; j++)
			ports += (size_t)(model->forwards[i].ports[j].last - model->forwards[i].ports[j].first) + 1;
	struct element *elements = arena_array(b->arena, ports ? ports : 1, struct element);
	if (!elements) {
		b->failed = true;
		return;
	}
	size_t count = 0, at = family == FAMILY_NONE ? 0 : addr_size(family);
	for (size_t i = 0; i < model->forward_count; i++) {
		const struct forward *forward = &model->forwards[i];
		if (forward->listen_address.family != family || !dispatch->wanted(b, forward))
			continue;
		bool gated = dispatch->gated && forward->from_count;
		char *chain = build_name(b, "%s-%s", gated ? dispatch->gated : dispatch->chain, forward->name);
		for (size_t j = 0; j < forward->port_count; j++) {
			for (uint32_t port = forward->ports[j].first; port <= forward->ports[j].last; port++) {
				struct element *element = &elements[count++];
				uint16_t big = htons((uint16_t)port);
				memcpy(element->key, forward->listen_address.bytes, at);
				element->key[at] = (uint8_t)proto_of(forward);
				memcpy(element->key + at + 4, &big, 2);
				element->verdict = dispatch->verdict;
				element->chain = chain;
			}
		}
	}
	if (family != FAMILY_NONE && count == 0)
		return;
	qsort(elements, count, sizeof(*elements), compare_keys);
	struct set set = {.data = FIELD_VERDICT, .elements = elements, .element_count = count};
	size_t field = 0;
	if (family != FAMILY_NONE)
		set.key[field++] = family == FAMILY_V4 ? FIELD_IPV4 : FIELD_IPV6;
	set.key[field++] = FIELD_PROTO;
	set.key[field] = FIELD_PORT;
	set.name = family == FAMILY_NONE ? dispatch->map : set_name(b, dispatch->map, family, NULL);
	build_set(b, &set);
}

void compile_dispatch_maps(struct build *b, const struct dispatch *dispatch)
{
	dispatch_map(b, dispatch, FAMILY_NONE);
	dispatch_map(b, dispatch, FAMILY_V4);
	dispatch_map(b, dispatch, FAMILY_V6);
}

static bool listens_on(const struct build *b, const struct dispatch *dispatch, enum family family)
{
	for (size_t i = 0; i < b->model->forward_count; i++)
		if (b->model->forwards[i].listen_address.family == family && dispatch->wanted(b, &b->model->forwards[i]))
			return true;
	return false;
}

static void load_proto_port(struct build *b, uint8_t slot)
{
	struct expr *proto = build_expr(b, EXPR_META);
	proto->meta.key = META_L4PROTO;
	proto->meta.reg = slot;
	struct expr *port = build_expr(b, EXPR_PAYLOAD);
	port->payload.base = PAYLOAD_TRANSPORT;
	port->payload.offset = 2;
	port->payload.length = 2;
	port->payload.reg = (uint8_t)(slot + 1);
}

static void look_up_verdict(struct build *b, struct chain_build *chain, const char *map)
{
	struct expr *lookup = build_expr(b, EXPR_LOOKUP);
	lookup->lookup.set = map;
	lookup->lookup.has_data = lookup->lookup.to_verdict = true;
	rule_end(b, chain, no_origin, "");
}

void compile_dispatch_rules(struct build *b, struct chain_build *chain, const struct dispatch *dispatch, bool zone_self_only)
{
	for (size_t f = 0; f < 2; f++) {
		if (!listens_on(b, dispatch, families[f]))
			continue;
		uint8_t size = (uint8_t)addr_size(families[f]);
		match_family(b, families[f]);
		struct expr *daddr = build_expr(b, EXPR_PAYLOAD);
		daddr->payload.base = PAYLOAD_NETWORK;
		daddr->payload.offset = families[f] == FAMILY_V4 ? 16 : 24;
		daddr->payload.length = size;
		load_proto_port(b, (uint8_t)(size / 4));
		look_up_verdict(b, chain, set_name(b, dispatch->map, families[f], NULL));
	}
	if (zone_self_only)
		match_mark(b, MARK_ZONE_MASK, ZONE_SELF);
	load_proto_port(b, 0);
	look_up_verdict(b, chain, dispatch->map);
}

static bool wanted_listen(const struct build *b, const struct forward *forward)
{
	(void)b;
	(void)forward;
	return true;
}

static bool wanted_nat(const struct build *b, const struct forward *forward)
{
	return plane_of(b, forward, FAMILY_V4) == PLANE_KERNEL || plane_of(b, forward, FAMILY_V6) == PLANE_KERNEL;
}

static bool wanted_watch(const struct build *b, const struct forward *forward)
{
	(void)b;
	return forward->limits.ban != 0;
}

static const struct dispatch listen_dispatch = {"listen", "fwd", VERDICT_JUMP, wanted_listen, NULL};
static const struct dispatch nat_dispatch = {"nat", "nat", VERDICT_JUMP, wanted_nat, NULL};
static const struct dispatch watch_dispatch = {"watch", "watch", VERDICT_JUMP, wanted_watch, NULL};

void dispatch_listen(struct build *b, struct chain_build *chain)
{
	compile_dispatch_rules(b, chain, &listen_dispatch, true);
}

/* Bits that a flow of this family gets when it is let in. */
static uint32_t mark_of(const struct build *b, const struct forward *forward, enum family family)
{
	uint32_t mark = MARK_ACCEPTED | MARK_FORWARD | ZONE_SELF;
	if (plane_of(b, forward, family) == PLANE_PROXY)
		return mark | MARK_PROXY;
	if (forward->proxy_protocol != PROXY_NONE)
		mark |= forward->proxy_protocol == PROXY_V1 ? MARK_HEADER_V1 : MARK_HEADER_V2;
	if (forward->proxy_tlvs & TLV_BIT(TLV_CRC32C))
		mark |= MARK_HEADER_CRC;
	if (forward->proxy_tlvs & TLV_BIT(TLV_UNIQUE_ID))
		mark |= MARK_HEADER_ID;
	if (forward->snat == TOGGLE_ON)
		mark |= MARK_SNAT;
	else if (forward->snat == TOGGLE_AUTO)
		mark |= MARK_SNAT_TUNNEL;
	return mark;
}

static void let_in(struct build *b, struct chain_build *chain, const struct forward *forward, uint32_t mark)
{
	do_counter(b, build_name(b, "fwd-%s", forward->name));
	do_mark_set(b, mark);
	rule_verdict(b, chain, VERDICT_ACCEPT, NULL, forward->at, build_name(b, "forward %s", forward->name));
}

/* Letting in, for one family, or NONE when both are alike. */
static void compile_go(struct build *b, struct chain_build *chain, const struct forward *forward, enum family only,
		       uint32_t mark)
{
	/* Hairpin: a client on the nodes' side gets its answer through here only when the source is ours. */
	if (!(mark & MARK_PROXY) && forward->snat == TOGGLE_AUTO && b->model->lan.device) {
		match_iif(b, b->model->lan.device, true);
		if (only)
			match_family(b, only);
		let_in(b, chain, forward, mark | MARK_SNAT);
	}
	for (size_t f = 0; f < 2 && forward->limits.ban; f++) {
		if (only && families[f] != only)
			continue;
		match_family(b, families[f]);
		load_source_unit(b, families[f]);
		build_expr(b, EXPR_LOOKUP)->lookup.set = set_name(b, "over", families[f], forward->name);
		let_in(b, chain, forward, mark | MARK_WATCH);
	}
	if (only)
		match_family(b, only);
	let_in(b, chain, forward, mark);
}

static void refuse_when_down(struct build *b, struct chain_build *chain, const struct forward *forward)
{
	bool down[2];
	for (size_t f = 0; f < 2; f++)
		down[f] = plane_of(b, forward, families[f]) == PLANE_NONE;
	for (size_t f = 0; f < 2; f++) {
		if (!down[f] || (f == 1 && down[0]))
			continue;
		if (!(down[0] && down[1]))
			match_family(b, families[f]);
		do_counter(b, build_name(b, "fwd-%s-down", forward->name));
		build_expr(b, EXPR_REJECT)->reject.with =
			forward->protocol == PROTOCOL_UDP ? REJECT_PORT_UNREACHABLE : REJECT_TCP_RESET;
		rule_end(b, chain, forward->at, build_name(b, "forward %s: cannot be served", forward->name));
	}
}

/* Who is over the limit stays known for ten seconds: flows that complete in that time are strikes. */
static void remember_over(struct build *b, struct chain_build *chain, const struct forward *forward)
{
	for (size_t f = 0; f < 2; f++) {
		char *name = set_name(b, "over", families[f], forward->name);
		build_set(b, &(struct set){.name = name,
					   .key = {families[f] == FAMILY_V4 ? FIELD_IPV4 : FIELD_IPV6},
					   .dynamic = true,
					   .timeout = true,
					   .timeout_ms = 10000,
					   .size = source_set_size(b),
					   .at = forward->limits.at});
		match_family(b, families[f]);
		load_source_unit(b, families[f]);
		struct expr *expr = build_expr(b, EXPR_DYNSET);
		expr->dynset.set = name;
		expr->dynset.op = DYNSET_UPDATE;
		rule_end(b, chain, forward->limits.at, build_name(b, "forward %s: over its limit", forward->name));
	}
}

static void compile_limits(struct build *b, struct chain_build *chain, const struct forward *forward)
{
	static const struct limit_spec ten_a_second = {.count = 10, .per_seconds = 1, .burst = 20};
	const struct limits *limits = &forward->limits;
	bool per_source = limits->new_per_source.count != 0;
	const char *go = build_name(b, "fwd-%s-go", forward->name);
	const char *fresh = per_source ? build_name(b, "fwd-%s-new", forward->name) : go;
	if (!limits->new_total.count && !limits->open_per_source && !per_source)
		return;
	const char *drop = drop_chain_new(b, build_name(b, "fwd-%s-limit", forward->name));
	struct limit_spec each = per_source ? limit_of_rate(limits->new_per_source) : ten_a_second;
	if (limits->new_total.count) {
		struct limit_spec over = limit_of_rate(limits->new_total);
		over.over = true;
		do_limit(b, over);
		rule_verdict(b, chain, VERDICT_GOTO, drop, limits->at, build_name(b, "forward %s: new_total", forward->name));
	}
	if (limits->open_per_source) {
		compile_source_limit(b, chain,
				     &(struct source_limit){.set = "open",
							    .forward = forward,
							    .with = DYNSET_CONNLIMIT,
							    .connections = limits->open_per_source,
							    .shared = each},
				     fresh);
		rule_verdict(b, chain, VERDICT_GOTO, drop, limits->at, "");
	}
	if (per_source) {
		struct chain_build *stage = limits->open_per_source ? build_chain(b, fresh) : chain;
		compile_source_limit(
			b, stage,
			&(struct source_limit){
				.set = "new", .forward = forward, .with = DYNSET_LIMIT, .limit = each, .shared = each},
			go);
		if (limits->ban)
			remember_over(b, stage, forward);
		rule_verdict(b, stage, VERDICT_GOTO, drop, limits->at, "");
	}
}

static void compile_decision(struct build *b, const struct forward *forward)
{
	struct chain_build *chain = gated_chain(b, forward, "fwd");
	build_count_as(b, build_name(b, "fwd-%s", forward->name));
	refuse_when_down(b, chain, forward);
	if (may_synproxy(b, forward)) {
		compile_synproxy_answer(b, chain, forward);
		char *proven = build_name(b, "syn-%s", forward->name);
		rule_verdict(b, chain, VERDICT_GOTO, proven, forward->at, "");
		chain = build_chain(b, proven);
	}
	compile_limits(b, chain, forward);
	bool staged = forward->limits.open_per_source || forward->limits.new_per_source.count;
	struct chain_build *go = staged ? build_chain(b, build_name(b, "fwd-%s-go", forward->name)) : chain;
	bool up4 = plane_of(b, forward, FAMILY_V4) != PLANE_NONE, up6 = plane_of(b, forward, FAMILY_V6) != PLANE_NONE;
	uint32_t v4 = mark_of(b, forward, FAMILY_V4), v6 = mark_of(b, forward, FAMILY_V6);
	if (up4 && up6 && v4 == v6) {
		compile_go(b, go, forward, FAMILY_NONE, v4);
		return;
	}
	if (up4)
		compile_go(b, go, forward, FAMILY_V4, v4);
	if (up6)
		compile_go(b, go, forward, FAMILY_V6, v6);
}

/* Rendezvous hashing: each slot goes to the node with the highest weight, so a
 * node that leaves gives away its own slots only (Thaler and Ravishankar 1998). */
static uint64_t weight(uint32_t slot, const char *node)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (; *node; node++)
		hash = (hash ^ (uint8_t)*node) * 0x100000001b3u;
	hash += ((uint64_t)slot + 1) * 0x9e3779b97f4a7c15u;
	hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
	hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
	return hash ^ (hash >> 31);
}

static const struct node *slot_owner(const struct node *const *nodes, size_t count, bool consistent, uint32_t slot)
{
	if (!consistent)
		return nodes[slot % count];
	const struct node *best = nodes[0];
	for (size_t i = 1; i < count; i++)
		if (weight(slot, nodes[i]->name) > weight(slot, best->name))
			best = nodes[i];
	return best;
}

static void balance(struct build *b, const struct forward *forward, enum family family, const struct node *const *nodes,
		    size_t count)
{
	bool by_source = forward->pool->balance == BALANCE_SOURCE;
	uint32_t slots = by_source ? SOURCE_SLOTS : (uint32_t)count;
	char *name = set_name(b, "lb", family, forward->name);
	struct element *elements = arena_array(b->arena, slots, struct element);
	if (!elements) {
		b->failed = true;
		return;
	}
	for (uint32_t slot = 0; slot < slots; slot++) {
		memcpy(elements[slot].key, &slot, sizeof(slot));
		memcpy(elements[slot].data, slot_owner(nodes, count, by_source, slot)->address.bytes, addr_size(family));
	}
	qsort(elements, slots, sizeof(*elements), compare_keys);
	build_set(b, &(struct set){.name = name,
				   .key = {FIELD_MARK},
				   .data = family == FAMILY_V4 ? FIELD_IPV4 : FIELD_IPV6,
				   .elements = elements,
				   .element_count = slots,
				   .at = forward->at});
	if (by_source) {
		load_source_unit(b, family);
		struct expr *hash = build_expr(b, EXPR_HASH);
		/* Only the /64 counts: its eight bytes are hashed. */
		hash->hash.length = family == FAMILY_V4 ? 4 : 8;
		hash->hash.modulus = slots;
		hash->hash.seed = 1; /* fixed: a client keeps its node across restarts */
	} else {
		build_expr(b, EXPR_NUMGEN)->numgen.modulus = slots;
	}
	struct expr *lookup = build_expr(b, EXPR_LOOKUP);
	lookup->lookup.set = name;
	lookup->lookup.has_data = true;
}

static void compile_nat_family(struct build *b, struct chain_build *chain, const struct forward *forward, enum family family)
{
	const struct pool *pool = forward->pool;
	const struct node **nodes = arena_array(b->arena, pool->node_count, const struct node *);
	if (!nodes) {
		b->failed = true;
		return;
	}
	size_t count = 0;
	for (size_t i = 0; i < pool->node_count; i++)
		if (compile_kernel_backend(b->model, b->run, forward, pool->nodes[i], family))
			nodes[count++] = pool->nodes[i];
	match_family(b, family);
	if (count == 1) {
		struct expr *addr = build_expr(b, EXPR_IMMEDIATE);
		addr->immediate.length = (uint8_t)addr_size(family);
		memcpy(addr->immediate.data, nodes[0]->address.bytes, addr_size(family));
	} else {
		balance(b, forward, family, nodes, count);
	}
	if (forward->target_port) {
		struct expr *port = build_expr(b, EXPR_IMMEDIATE);
		uint16_t big = htons(forward->target_port);
		port->immediate.reg = 4;
		port->immediate.length = 2;
		memcpy(port->immediate.data, &big, 2);
	}
	struct expr *nat = build_expr(b, EXPR_NAT);
	nat->nat.family = family;
	nat->nat.has_port = forward->target_port != 0;
	nat->nat.port_reg = forward->target_port ? 4 : 0;
	rule_end(b, chain, forward->at, build_name(b, "forward %s", forward->name));
}

static void compile_nat(struct build *b, const struct forward *forward)
{
	struct chain_build *chain = gated_chain(b, forward, "nat");
	for (size_t f = 0; f < 2; f++)
		if (plane_of(b, forward, families[f]) == PLANE_KERNEL)
			compile_nat_family(b, chain, forward, families[f]);
}

/* One strike for each handshake that completed while its source was over the
 * limit; more strikes than the burst within the ban's time: banned. */
static void compile_watch(struct build *b, const struct forward *forward)
{
	struct chain_build *chain = gated_chain(b, forward, "watch");
	uint64_t ban_seconds = (forward->limits.ban + 999) / 1000;
	uint64_t per_hour = (uint64_t)forward->limits.new_per_source.burst * 3600 / ban_seconds;
	struct limit_spec strikes = {.count = per_hour ? (uint32_t)per_hour : 1,
				     .per_seconds = 3600,
				     .burst = forward->limits.new_per_source.burst,
				     .over = true};
	for (size_t f = 0; f < 2; f++) {
		char *name = set_name(b, "strikes", families[f], forward->name);
		build_set(b, &(struct set){.name = name,
					   .key = {families[f] == FAMILY_V4 ? FIELD_IPV4 : FIELD_IPV6},
					   .dynamic = true,
					   .timeout = true,
					   .timeout_ms = ban_seconds * 1000,
					   .size = source_set_size(b),
					   .with = DYNSET_LIMIT,
					   .limit = strikes,
					   .at = forward->limits.at});
		match_family(b, families[f]);
		load_source_unit(b, families[f]);
		struct expr *strike = build_expr(b, EXPR_DYNSET);
		strike->dynset.set = name;
		strike->dynset.op = DYNSET_UPDATE;
		strike->dynset.with = DYNSET_LIMIT;
		strike->dynset.limit = strikes;
		struct expr *ban = build_expr(b, EXPR_DYNSET);
		ban->dynset.set = families[f] == FAMILY_V4 ? "bans4" : "bans6";
		ban->dynset.op = DYNSET_UPDATE;
		ban->dynset.timeout_ms = ban_seconds * 1000;
		do_counter(b, build_name(b, "fwd-%s-ban", forward->name));
		rule_verdict(b, chain, VERDICT_GOTO, drop_chain(b, "banned"), forward->limits.at,
			     build_name(b, "forward %s: ban", forward->name));
	}
}

static void compile_watch_frame(struct build *b, struct chain_build *watch)
{
	build_expr(b, EXPR_CT)->ct.key = CT_DIRECTION;
	struct expr *reply = build_expr(b, EXPR_CMP);
	reply->cmp.length = 1;
	reply->cmp.data[0] = 1;
	rule_verdict(b, watch, VERDICT_ACCEPT, NULL, no_origin, "");
	/* Nor is it complete by a repeated SYN, nor by the reset with which the true owner of a spoofed address
	 * answers: either would let one client have another banned. */
	match_tcp_flags(b, 0x16, false, 0x10);
	rule_verdict(b, watch, VERDICT_ACCEPT, NULL, no_origin, "not an ACK alone");
	do_mark_change(b, ~MARK_WATCH, 0);
	rule_end(b, watch, no_origin, "the handshake is complete");
	for (size_t f = 0; f < 2; f++) {
		match_saddr_set(b, families[f], families[f] == FAMILY_V4 ? "never-ban4" : "never-ban6");
		rule_verdict(b, watch, VERDICT_ACCEPT, NULL, no_origin, "management and nodes");
	}
	compile_dispatch_rules(b, watch, &watch_dispatch, false);
	rule_verdict(b, watch, VERDICT_ACCEPT, NULL, no_origin, "");
}

static void redirect_unless_local(struct build *b, struct chain_build *dnat, const char *comment)
{
	struct expr *fib = build_expr(b, EXPR_FIB);
	fib->fib.result = FIB_ADDRTYPE;
	fib->fib.flags = FIB_DADDR;
	struct expr *not_local = build_expr(b, EXPR_CMP);
	uint32_t local = FIB_TYPE_LOCAL;
	not_local->cmp.op = COMPARE_NE;
	not_local->cmp.length = 4;
	memcpy(not_local->cmp.data, &local, 4);
	build_expr(b, EXPR_REDIRECT);
	rule_end(b, dnat, no_origin, comment);
}

void compile_forwards(struct build *b, struct chain_build *dnat, struct chain_build *watch)
{
	compile_dispatch_maps(b, &listen_dispatch);
	compile_dispatch_maps(b, &nat_dispatch);
	compile_dispatch_maps(b, &watch_dispatch);
	for (size_t i = 0; i < b->model->forward_count; i++) {
		const struct forward *forward = &b->model->forwards[i];
		compile_decision(b, forward);
		if (wanted_nat(b, forward))
			compile_nat(b, forward);
		if (wanted_watch(b, forward))
			compile_watch(b, forward);
	}
	compile_watch_frame(b, watch);

	/* A local destination meets its socket as it is; another one (hairpin to a floating IP) is brought here. */
	match_mark(b, MARK_FORWARD | MARK_PROXY, MARK_FORWARD | MARK_PROXY);
	redirect_unless_local(b, dnat, "hairpin to the user-space forwarder");
	match_mark(b, MARK_ACCEPTED | MARK_FORWARD | MARK_ZONE_MASK, MARK_ACCEPTED | ZONE_SELF);
	redirect_unless_local(b, dnat, "hairpin to this machine");
	match_mark(b, MARK_FORWARD | MARK_PROXY, MARK_FORWARD);
	rule_verdict(b, dnat, VERDICT_JUMP, "dnat-forward", no_origin, "");
	struct chain_build *forward = build_chain(b, "dnat-forward");
	compile_dispatch_rules(b, forward, &nat_dispatch, false);
}
