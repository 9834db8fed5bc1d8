/* The frame of the ruleset: base chains, the fast path for established flows,
 * zones, implied accepts and the default. Fixed by docs/ruleset.md; nothing
 * here depends on a forward or a rule. */
#include "parts.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define PRIORITY_RAW (-300)
#define PRIORITY_DECIDE (-150)
#define PRIORITY_DNAT (-100)
#define PRIORITY_SNAT 100

const char *drop_chain_new(struct build *b, const char *name)
{
	char *chain_name = build_name(b, "drop-%s", name);
	if (!chain_name)
		return "drop";
	struct chain_build *chain = build_chain(b, chain_name);
	/* Asked for in the middle of a rule: that rule waits meanwhile. */
	struct expr waiting[sizeof(b->exprs) / sizeof(b->exprs[0])];
	size_t waiting_count = b->expr_count;
	memcpy(waiting, b->exprs, sizeof(waiting));
	b->expr_count = 0;
	/* A flood must not become a flood of log records. */
	do_limit(b, (struct limit_spec){.count = 50, .per_seconds = 1, .burst = 100});
	do_log(b, build_name(b, "edged:%s", name));
	rule_end(b, chain, no_origin, "");
	do_counter(b, build_name(b, "%s", name));
	rule_verdict(b, chain, VERDICT_DROP, NULL, no_origin, name);
	memcpy(b->exprs, waiting, sizeof(waiting));
	b->expr_count = waiting_count;
	return chain_name;
}

const char *drop_chain(struct build *b, const char *name)
{
	for (size_t i = 0; i < b->chains.count; i++) {
		const char *chain = b->chains.items[i]->chain.name;
		if (strncmp(chain, "drop-", 5) == 0 && strcmp(chain + 5, name) == 0)
			return chain;
	}
	return drop_chain_new(b, name);
}

static void fib(struct build *b, enum fib_result result, uint32_t flags)
{
	struct expr *expr = build_expr(b, EXPR_FIB);
	expr->fib.result = result;
	expr->fib.flags = flags;
}

static void cmp_byte(struct build *b, enum compare_op op, uint8_t value)
{
	struct expr *expr = build_expr(b, EXPR_CMP);
	expr->cmp.op = op;
	expr->cmp.length = 1;
	expr->cmp.data[0] = value;
}

static bool anybody_banned(const struct build *b, enum family family)
{
	const struct set *banned = build_find_set(b, family == FAMILY_V4 ? "banned4" : "banned6");
	return banned && banned->element_count > 0;
}

static bool limits_ban(const struct build *b)
{
	for (size_t i = 0; i < b->model->forward_count; i++)
		if (b->model->forwards[i].limits.ban)
			return true;
	return false;
}

/* Every packet comes by here, those of established flows too: what has nothing to find is not asked. */
void drop_banned(struct build *b, struct chain_build *early)
{
	const char *banned = drop_chain(b, "banned");
	bool limits = limits_ban(b);
	if (!limits && !anybody_banned(b, FAMILY_V4) && !anybody_banned(b, FAMILY_V6))
		return;
	match_iif(b, "lo", true);
	rule_verdict(b, early, VERDICT_ACCEPT, NULL, no_origin, "");
	if (anybody_banned(b, FAMILY_V4)) {
		match_saddr_set(b, FAMILY_V4, "banned4");
		rule_verdict(b, early, VERDICT_GOTO, banned, no_origin, "");
	}
	if (anybody_banned(b, FAMILY_V6)) {
		match_saddr_set(b, FAMILY_V6, "banned6");
		rule_verdict(b, early, VERDICT_GOTO, banned, no_origin, "");
	}
	if (!limits)
		return;
	match_saddr_set(b, FAMILY_V4, "bans4");
	rule_verdict(b, early, VERDICT_GOTO, banned, no_origin, "");
	match_family(b, FAMILY_V6);
	load_source_unit(b, FAMILY_V6);
	build_expr(b, EXPR_LOOKUP)->lookup.set = "bans6";
	rule_verdict(b, early, VERDICT_GOTO, banned, no_origin, "");
}

/* Source in lan's networks of this family; one alone is compared with, which is quicker than the set. False: none. */
static bool match_lan(struct build *b, enum family family)
{
	const struct interface *lan = &b->model->lan;
	const struct prefix *only = NULL;
	size_t count = 0;
	for (size_t i = 0; i < lan->network_count; i++) {
		if (lan->networks[i].addr.family != family)
			continue;
		only = &lan->networks[i];
		count++;
	}
	if (count == 1)
		match_saddr(b, only);
	else if (count > 1)
		match_saddr_set(b, family, family == FAMILY_V6 ? "lan6" : "lan4");
	return count > 0;
}

static void compile_early(struct build *b)
{
	struct chain_build *early = build_base_chain(b, "early", CHAIN_FILTER, HOOK_PREROUTING, PRIORITY_RAW, false);
	drop_banned(b, early);
	const struct interface *lan = &b->model->lan;
	if (!lan->network_count)
		return;
	match_iif(b, lan->device, true);
	rule_verdict(b, early, VERDICT_ACCEPT, NULL, lan->at, "");
	struct chain_build *elsewhere = build_chain(b, "lan-elsewhere");
	match_iif(b, "lo", true);
	rule_verdict(b, elsewhere, VERDICT_ACCEPT, NULL, no_origin, "");
	rule_verdict(b, elsewhere, VERDICT_GOTO, drop_chain(b, "spoofed"), lan->at, "lan networks only from lan");
	if (match_lan(b, FAMILY_V4))
		rule_verdict(b, early, VERDICT_GOTO, "lan-elsewhere", lan->at, "");
	if (match_lan(b, FAMILY_V6))
		rule_verdict(b, early, VERDICT_GOTO, "lan-elsewhere", lan->at, "");
}

/* ICMP echo requests are decided one by one, so that a limit on them is one. */
static void match_echo_request(struct build *b, enum family family)
{
	match_l4proto(b, family == FAMILY_V4 ? PROTO_ICMP : PROTO_ICMPV6);
	uint8_t type = family == FAMILY_V4 ? 8 : 128; /* RFC 792, RFC 4443 section 4.1 */
	match_icmp_type(b, type, type);
}

/* Protocols 6 to 17: neither ICMP nor ICMPv6. */
static void match_tcp_to_udp(struct build *b)
{
	build_expr(b, EXPR_META)->meta.key = META_L4PROTO;
	struct expr *range = build_expr(b, EXPR_RANGE);
	range->range.length = 1;
	range->range.first[0] = PROTO_TCP;
	range->range.last[0] = PROTO_UDP;
}

/* The first packet of a TCP flow, and a repeated SYN: ahead of what only others need. */
static void begin_tcp(struct build *b, struct chain_build *decide)
{
	struct chain_build *begin = build_chain(b, CHAIN_BEGIN);
	match_mark(b, MARK_ACCEPTED, MARK_ACCEPTED);
	rule_verdict(b, begin, VERDICT_ACCEPT, NULL, no_origin, "");
	/* A flow begins with a SYN alone: not with FIN, RST or ACK. */
	match_tcp_flags(b, 0x17, false, 0x02);
	rule_verdict(b, begin, VERDICT_GOTO, drop_chain(b, "not-syn"), no_origin, "");
	rule_verdict(b, begin, VERDICT_GOTO, CHAIN_DECIDE_NEW, no_origin, "");
	match_l4proto(b, PROTO_TCP);
	match_ct_state(b, CT_STATE_NEW);
	rule_verdict(b, decide, VERDICT_GOTO, CHAIN_BEGIN, no_origin, "");
}

static void compile_decide(struct build *b)
{
	const uint32_t forward = MARK_ACCEPTED | MARK_FORWARD;
	struct chain_build *decide =
		build_base_chain(b, "decide", CHAIN_FILTER, HOOK_PREROUTING, PRIORITY_DECIDE, false);
	/* Nearly every packet: conntrack knows it for one of a flow that a forward let in. */
	match_mark(b, forward | MARK_WATCH, forward);
	rule_verdict(b, decide, VERDICT_ACCEPT, NULL, no_origin, "a flow of a forward");
	/* And what else was let in: tunnels, management, rules. Echo requests are decided one by one. */
	match_mark(b, MARK_ACCEPTED | MARK_WATCH, MARK_ACCEPTED);
	match_tcp_to_udp(b);
	rule_verdict(b, decide, VERDICT_ACCEPT, NULL, no_origin, "a flow that was let in");
	match_iif(b, "lo", true);
	rule_verdict(b, decide, VERDICT_ACCEPT, NULL, no_origin, "");
	begin_tcp(b, decide);
	match_l4proto(b, PROTO_TCP);
	match_ct_state(b, CT_STATE_ESTABLISHED);
	match_mark(b, MARK_WATCH, 0);
	rule_verdict(b, decide, VERDICT_ACCEPT, NULL, no_origin, "");
	match_l4proto(b, PROTO_UDP);
	match_ct_state(b, CT_STATE_ESTABLISHED);
	rule_verdict(b, decide, VERDICT_ACCEPT, NULL, no_origin, "");
	match_l4proto(b, PROTO_TCP);
	match_ct_state(b, CT_STATE_ESTABLISHED);
	rule_verdict(b, decide, VERDICT_GOTO, CHAIN_WATCH, no_origin, "");
	for (int i = 0; i < 2; i++) {
		match_echo_request(b, i ? FAMILY_V6 : FAMILY_V4);
		match_ct_state(b, CT_STATE_NEW | CT_STATE_ESTABLISHED);
		rule_verdict(b, decide, VERDICT_GOTO, CHAIN_DECIDE_NEW, no_origin, "");
	}
	match_ct_state(b, CT_STATE_ESTABLISHED | CT_STATE_RELATED);
	rule_verdict(b, decide, VERDICT_ACCEPT, NULL, no_origin, "");
	/* conntrack does not follow neighbour discovery and multicast listeners. */
	match_ct_state(b, CT_STATE_UNTRACKED);
	rule_verdict(b, decide, VERDICT_JUMP, CHAIN_IMPLIED, no_origin, "");
	compile_synproxy_decide(b, decide);
	match_ct_state(b, CT_STATE_INVALID | CT_STATE_UNTRACKED);
	rule_verdict(b, decide, VERDICT_GOTO, drop_chain(b, "invalid"), no_origin, "");
	match_mark(b, MARK_ACCEPTED, MARK_ACCEPTED);
	rule_verdict(b, decide, VERDICT_ACCEPT, NULL, no_origin, "");
	rule_verdict(b, decide, VERDICT_GOTO, CHAIN_DECIDE_NEW, no_origin, "");
}

static void zone(struct build *b, struct element *element, const char *device, uint32_t mark)
{
	char *name = build_name(b, "zone-%s", device);
	struct chain_build *chain = build_chain(b, name);
	do_mark_set(b, mark);
	rule_end(b, chain, no_origin, "");
	memcpy(element->key, device, strlen(device));
	element->verdict = VERDICT_JUMP;
	element->chain = name;
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(((const struct element *)a)->key, ((const struct element *)b)->key, STATE_KEY_MAX);
}

static void compile_zones(struct build *b)
{
	const struct model *model = b->model;
	struct element *elements = arena_array(b->arena, model->tunnel_count * COMPILE_SLOTS + 2, struct element);
	if (!elements) {
		b->failed = true;
		return;
	}
	size_t count = 0;
	if (model->wan.device)
		zone(b, &elements[count++], model->wan.device, ZONE_WAN);
	if (model->lan.device)
		zone(b, &elements[count++], model->lan.device, ZONE_LAN);
	for (size_t i = 0; i < model->tunnel_count; i++) {
		struct tunnel_slot slots[COMPILE_SLOTS];
		size_t slot_count = compile_slots(b->run, &model->tunnels[i], slots);
		for (size_t slot = 0; slot < slot_count; slot++)
			zone(b, &elements[count++], slots[slot].device, ZONE_TUNNEL + (uint32_t)i);
	}
	qsort(elements, count, sizeof(*elements), compare_keys);
	build_set(b, &(struct set){.name = "zones",
				   .key = {FIELD_IFNAME},
				   .data = FIELD_VERDICT,
				   .elements = elements,
				   .element_count = count});
}

/* Go on if the route's type is one of these: FIB_SADDR or FIB_DADDR. */
static void match_type(struct build *b, uint32_t which, uint32_t first, uint32_t last)
{
	fib(b, FIB_ADDRTYPE, which);
	struct expr *range = build_expr(b, EXPR_RANGE);
	range->range.length = 4;
	/* Numbers of the machine, all below 256: whichever byte comes first, the order is theirs. */
	memcpy(range->range.first, &first, 4);
	memcpy(range->range.last, &last, 4);
}

/* Addresses that nobody has, which the kernel would route all the same. */
static void drop_unroutable(struct build *b, struct chain_build *chain)
{
	static const struct prefix unspecified = {.addr = {.family = FAMILY_V6}, .length = 128};
	static const struct prefix loopback = {.addr = {FAMILY_V4, {127}}, .length = 8};
	static const struct prefix link_local = {.addr = {FAMILY_V6, {0xfe, 0x80}}, .length = 10};
	static const struct prefix nobody = {.addr = {.family = FAMILY_V4}, .length = 32};
	static const struct prefix everybody = {.addr = {FAMILY_V4, {255, 255, 255, 255}}, .length = 32};
	const char *spoofed = drop_chain(b, "spoofed");

	/* RFC 4291 section 2.5.2: in no packet that a router passes on. */
	match_saddr(b, &unspecified);
	rule_verdict(b, chain, VERDICT_GOTO, spoofed, no_origin, "no source address");
	match_daddr(b, &unspecified);
	rule_verdict(b, chain, VERDICT_GOTO, spoofed, no_origin, "no destination address");
	/* With route_localnet, which container software likes to set, the kernel would let these in. */
	match_daddr(b, &loopback);
	rule_verdict(b, chain, VERDICT_GOTO, spoofed, no_origin, "loopback from outside");
	/* A broadcast address as source; 0.0.0.0 is one too, but a DHCP client's when it asks everybody. */
	match_saddr(b, &nobody);
	match_daddr(b, &everybody);
	do_mark_set(b, ZONE_GROUP);
	rule_verdict(b, chain, VERDICT_GOTO, CHAIN_FRESH, no_origin, "a DHCP client");
	match_type(b, FIB_SADDR, FIB_TYPE_BROADCAST, FIB_TYPE_MULTICAST);
	rule_verdict(b, chain, VERDICT_GOTO, spoofed, no_origin, "a source that is nobody's own");
	/* Link-local sources reach link-local and multicast destinations, which are all that lies above. */
	match_saddr(b, &link_local);
	struct expr *daddr = build_expr(b, EXPR_PAYLOAD);
	daddr->payload.base = PAYLOAD_NETWORK;
	daddr->payload.offset = 24;
	daddr->payload.length = 2;
	struct expr *below = build_expr(b, EXPR_CMP);
	below->cmp.op = COMPARE_LT;
	below->cmp.length = 2;
	memcpy(below->cmp.data, link_local.addr.bytes, 2);
	rule_verdict(b, chain, VERDICT_GOTO, spoofed, no_origin, "a link-local source stays on its link");
}

/* To an address of one of these types: into this zone. */
static void go_if_type(struct build *b, struct chain_build *chain, uint32_t first, uint32_t last, uint32_t zone)
{
	match_type(b, FIB_DADDR, first, last);
	do_mark_set(b, zone);
	rule_verdict(b, chain, VERDICT_GOTO, CHAIN_FRESH, no_origin, "");
}

/* The first packet of a flow: is its source where it belongs, and where does it go? */
static void compile_new(struct build *b)
{
	struct chain_build *chain = build_chain(b, CHAIN_DECIDE_NEW);
	compile_reverse_path(b, chain);
	drop_unroutable(b, chain);

	go_if_type(b, chain, FIB_TYPE_LOCAL, FIB_TYPE_LOCAL, ZONE_SELF);
	go_if_type(b, chain, FIB_TYPE_BROADCAST, FIB_TYPE_MULTICAST, ZONE_GROUP);
	match_daddr_set(b, FAMILY_V4, "floating4");
	do_mark_set(b, ZONE_SELF);
	rule_verdict(b, chain, VERDICT_GOTO, CHAIN_FRESH, no_origin, "");
	match_daddr_set(b, FAMILY_V6, "floating6");
	do_mark_set(b, ZONE_SELF);
	rule_verdict(b, chain, VERDICT_GOTO, CHAIN_FRESH, no_origin, "");
	fib(b, FIB_OIFNAME, FIB_DADDR);
	struct expr *lookup = build_expr(b, EXPR_LOOKUP);
	lookup->lookup.set = "zones";
	lookup->lookup.has_data = lookup->lookup.to_verdict = true;
	rule_end(b, chain, no_origin, "");
	rule_verdict(b, chain, VERDICT_GOTO, CHAIN_FRESH, no_origin, "");
}

static void accept_implied(struct build *b, struct chain_build *chain, struct origin at, const char *comment)
{
	do_mark_change(b, ~0u, MARK_ACCEPTED);
	do_counter(b, "implied");
	rule_verdict(b, chain, VERDICT_ACCEPT, NULL, at, comment);
}

static void implied_dhcp(struct build *b, struct chain_build *chain, const struct interface *leg)
{
	static const struct { enum family family; uint16_t from, to; } clients[] = {
		{FAMILY_V4, 67, 68},   /* RFC 2131 section 4.1 */
		{FAMILY_V6, 547, 546}, /* RFC 8415 section 7.2 */
	};
	for (size_t i = 0; leg->device && i < 2; i++) {
		match_iif(b, leg->device, true);
		match_family(b, clients[i].family);
		match_l4proto(b, PROTO_UDP);
		match_sport(b, clients[i].from);
		match_dport(b, (struct port_range){clients[i].to, clients[i].to});
		accept_implied(b, chain, no_origin, "DHCP client");
	}
}

static void compile_implied(struct build *b)
{
	/* Neighbour discovery (RFC 4861: 133 to 136) and multicast listeners (RFC 2710, RFC 3810). */
	static const struct { uint8_t first, last; const char *what; } icmp[] = {
		{133, 136, "neighbour discovery"}, {130, 132, "multicast listeners"}, {143, 143, "multicast listeners"}};
	struct chain_build *chain = build_chain(b, CHAIN_IMPLIED);
	for (size_t i = 0; i < sizeof(icmp) / sizeof(icmp[0]); i++) {
		match_l4proto(b, PROTO_ICMPV6);
		match_icmp_type(b, icmp[i].first, icmp[i].last);
		/* Conntrack leaves these untracked: there is no mark to set, and a rule that tries ends there. */
		do_counter(b, "implied");
		rule_verdict(b, chain, VERDICT_ACCEPT, NULL, no_origin, icmp[i].what);
	}
	implied_dhcp(b, chain, &b->model->wan);
	implied_dhcp(b, chain, &b->model->lan);
	for (size_t i = 0; i < b->model->tunnel_count; i++) {
		const struct tunnel *tunnel = &b->model->tunnels[i];
		const char *legs[] = {b->model->wan.device, b->model->lan.device};
		struct tunnel_slot slots[COMPILE_SLOTS];
		size_t slot_count = tunnel->listen ? compile_slots(b->run, tunnel, slots) : 0;
		for (size_t each = 0; each < slot_count * 2; each++) {
			const char *leg = legs[each % 2];
			uint16_t port = slots[each / 2].listen;
			if (!leg)
				continue;
			match_iif(b, leg, true);
			match_l4proto(b, PROTO_UDP);
			match_dport(b, (struct port_range){port, port});
			accept_implied(b, chain, tunnel->at, build_name(b, "WireGuard %s", tunnel->name));
		}
	}
	build_count_as(b, "implied");
}

static int compare_indexes(const void *a, const void *b)
{
	return memcmp(((const struct element *)a)->key, ((const struct element *)b)->key, sizeof(uint32_t));
}

#define HEADER_DEVICES_ROOM 512
_Static_assert(MODEL_MAX_TUNNELS * COMPILE_SLOTS + 1 <= HEADER_DEVICES_ROOM, "room for lan and all tunnels");

/* By index and not by name: a device that was made anew has lost the programs, and passes nothing. */
static void header_devices(struct build *b)
{
	size_t count = b->run->header_device_count;
	struct element *elements = arena_array(b->arena, count + 1, struct element);
	if (!elements) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; i < count; i++)
		memcpy(elements[i].key, &b->run->header_devices[i].index, sizeof(uint32_t));
	qsort(elements, count, sizeof(*elements), compare_indexes);
	/* With a size the kernel takes its fastest kind of set. */
	build_set(b, &(struct set){.name = "header-devices",
				   .key = {FIELD_IFINDEX},
				   .size = HEADER_DEVICES_ROOM,
				   .elements = elements,
				   .element_count = count});
}

/* One device is compared with, which is quicker than the set; there are more where tunnels carry headers. */
static void match_attached(struct build *b, uint8_t direction, enum meta_key device)
{
	build_expr(b, EXPR_CT)->ct.key = CT_DIRECTION;
	cmp_byte(b, COMPARE_EQ, direction);
	build_expr(b, EXPR_META)->meta.key = device;
	if (b->run->header_device_count != 1) {
		build_expr(b, EXPR_LOOKUP)->lookup.set = "header-devices";
		return;
	}
	struct expr *cmp = build_expr(b, EXPR_CMP);
	cmp->cmp.op = COMPARE_EQ;
	cmp->cmp.length = sizeof(uint32_t);
	memcpy(cmp->cmp.data, &b->run->header_devices[0].index, sizeof(uint32_t));
}

static void match_dnat(struct build *b)
{
	build_expr(b, EXPR_CT)->ct.key = CT_STATUS;
	struct expr *dnat = build_expr(b, EXPR_BITWISE);
	uint32_t bit = CT_STATUS_DNAT;
	dnat->bitwise.length = 4;
	memcpy(dnat->bitwise.mask, &bit, 4);
	struct expr *not_zero = build_expr(b, EXPR_CMP);
	not_zero->cmp.op = COMPARE_NE;
	not_zero->cmp.length = 4;
}

/* Flows that carry a header pass only where the programs are that add it: towards the node and back. */
static const char *compile_header_chain(struct build *b)
{
	header_devices(b);
	struct chain_build *chain = build_chain(b, "header");
	match_attached(b, 0, META_OIF);
	match_dnat(b);
	rule_verdict(b, chain, VERDICT_ACCEPT, NULL, no_origin, "to the node");
	match_attached(b, 1, META_IIF);
	rule_verdict(b, chain, VERDICT_ACCEPT, NULL, no_origin, "and back");
	rule_verdict(b, chain, VERDICT_GOTO, drop_chain(b, "header-detached"), no_origin, "");
	return "header";
}

static void compile_hooks(struct build *b)
{
	const uint32_t rule = MARK_ACCEPTED | MARK_FORWARD;
	struct chain_build *input = build_base_chain(b, "input", CHAIN_FILTER, HOOK_INPUT, 0, true);
	match_ct_state(b, CT_STATE_ESTABLISHED | CT_STATE_RELATED);
	rule_verdict(b, input, VERDICT_ACCEPT, NULL, no_origin, "");
	match_iif(b, "lo", true);
	rule_verdict(b, input, VERDICT_ACCEPT, NULL, no_origin, "");
	match_ct_state(b, CT_STATE_UNTRACKED);
	rule_verdict(b, input, VERDICT_JUMP, CHAIN_IMPLIED, no_origin, "");
	match_mark(b, rule, MARK_ACCEPTED);
	rule_verdict(b, input, VERDICT_ACCEPT, NULL, no_origin, "a rule, management or implied");
	match_mark(b, MARK_ACCEPTED | MARK_PROXY, MARK_ACCEPTED | MARK_PROXY);
	rule_verdict(b, input, VERDICT_ACCEPT, NULL, no_origin, "to the user-space forwarder");
	compile_synproxy_input(b, input);
	rule_verdict(b, input, VERDICT_GOTO, drop_chain(b, "input-default"), no_origin, "");

	/* Through the machine goes only what was let in here: a flow from before this table is not. */
	const char *header = compile_header_chain(b);
	struct chain_build *forward = build_base_chain(b, "forward", CHAIN_FILTER, HOOK_FORWARD, 0, true);
	compile_flow_add(b, forward);
	match_mark_other(b, MARK_HEADER_MASK, 0);
	rule_verdict(b, forward, VERDICT_GOTO, header, no_origin, "with a PROXY header");
	match_mark(b, MARK_ACCEPTED, MARK_ACCEPTED);
	match_ct_state(b, CT_STATE_ESTABLISHED | CT_STATE_RELATED);
	rule_verdict(b, forward, VERDICT_ACCEPT, NULL, no_origin, "");
	match_mark(b, rule, MARK_ACCEPTED);
	rule_verdict(b, forward, VERDICT_ACCEPT, NULL, no_origin, "a rule");
	match_mark(b, rule | MARK_PROXY, rule);
	match_dnat(b);
	rule_verdict(b, forward, VERDICT_ACCEPT, NULL, no_origin, "a forward, to its node");
	rule_verdict(b, forward, VERDICT_GOTO, drop_chain(b, "forward-default"), no_origin, "");
}

static void snat_into(struct build *b, struct chain_build *chain, const struct snat_rule *snat)
{
	if (snat->to.family)
		do_snat(b, &snat->to);
	else if (snat->out == PLACE_TUNNEL) {
		rule_verdict(b, chain, VERDICT_GOTO, build_name(b, "source-%s", snat->tunnel->name), snat->at,
			     build_name(b, "snat %s", snat->name));
		return;
	} else {
		build_expr(b, EXPR_MASQUERADE);
	}
	rule_end(b, chain, snat->at, build_name(b, "snat %s", snat->name));
}

static void compile_postrouting(struct build *b)
{
	struct chain_build *chain =
		build_base_chain(b, "postrouting", CHAIN_NAT, HOOK_POSTROUTING, PRIORITY_SNAT, false);
	for (size_t i = 0; i < b->model->tunnel_count; i++) {
		const struct tunnel *tunnel = &b->model->tunnels[i];
		const char *source = compile_tunnel_source(b, tunnel);
		match_mark(b, MARK_FORWARD, MARK_FORWARD);
		match_mark_other(b, MARK_SNAT | MARK_SNAT_TUNNEL, 0);
		match_tunnel_device(b, tunnel, META_OIFNAME);
		rule_verdict(b, chain, VERDICT_GOTO, source, tunnel->at, "forwards into the tunnel");
	}
	match_mark(b, MARK_FORWARD | MARK_SNAT, MARK_FORWARD | MARK_SNAT);
	build_expr(b, EXPR_MASQUERADE);
	rule_end(b, chain, no_origin, "forwards: the node answers through here");
	/* What a forward brought in keeps its client's address unless it said otherwise. */
	match_mark(b, MARK_FORWARD, MARK_FORWARD);
	rule_verdict(b, chain, VERDICT_ACCEPT, NULL, no_origin, "");
	for (size_t i = 0; i < b->model->snat_count; i++) {
		const struct snat_rule *snat = &b->model->snats[i];
		for (size_t j = 0; j < snat->from_count; j++) {
			if (snat->to.family && snat->to.family != snat->from[j].addr.family)
				continue;
			if (snat->out == PLACE_TUNNEL)
				match_tunnel_device(b, snat->tunnel, META_OIFNAME);
			else
				match_oif(b, snat->out == PLACE_WAN ? b->model->wan.device : b->model->lan.device);
			match_saddr(b, &snat->from[j]);
			do_counter(b, build_name(b, "snat-%s", snat->name));
			snat_into(b, chain, snat);
		}
	}
}

static void compile_fresh(struct build *b)
{
	struct chain_build *fresh = build_chain(b, CHAIN_FRESH);
	match_l4proto_other(b, PROTO_TCP);
	match_mark(b, ZONE_SELF_MASK, ZONE_SELF);
	rule_verdict(b, fresh, VERDICT_JUMP, CHAIN_IMPLIED, no_origin, "");
	compile_blocklists(b, fresh);
	compile_management(b, fresh);
	compile_rules(b, fresh);
	dispatch_listen(b, fresh);
	rule_verdict(b, fresh, VERDICT_GOTO, drop_chain(b, "default"), no_origin, "nothing covers it");

	/* A rule accepted it; a forward that listens for it still has its say (limits, header, backends). */
	struct chain_build *allowed = build_chain(b, CHAIN_ALLOWED);
	dispatch_listen(b, allowed);
	do_mark_change(b, ~0u, MARK_ACCEPTED);
	rule_verdict(b, allowed, VERDICT_ACCEPT, NULL, no_origin, "");

	struct chain_build *reject = build_chain(b, CHAIN_REJECT);
	match_l4proto(b, PROTO_TCP);
	build_expr(b, EXPR_REJECT)->reject.with = REJECT_TCP_RESET;
	rule_end(b, reject, no_origin, "");
	build_expr(b, EXPR_REJECT)->reject.with = REJECT_ADMIN_PROHIBITED;
	rule_end(b, reject, no_origin, "");
}

void compile_frame(struct build *b)
{
	compile_early(b);
	compile_decide(b);
	compile_zones(b);
	compile_tunnel_devices(b);
	compile_new(b);
	compile_implied(b);
	compile_fresh(b);
	struct chain_build *watch = build_chain(b, CHAIN_WATCH);
	struct chain_build *dnat =
		build_base_chain(b, "prerouting", CHAIN_NAT, HOOK_PREROUTING, PRIORITY_DNAT, false);
	compile_forwards(b, dnat, watch);
	compile_hooks(b);
	compile_flowtable(b);
	compile_synproxy_output(b);
	compile_postrouting(b);
	compile_clamp(b);
}
