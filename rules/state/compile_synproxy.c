/* SYN proxy: while it is on, this machine answers the SYNs from wan in the
 * nodes' place, with a cookie and without keeping anything. A client that
 * completes the handshake has its SYN sent on by the kernel, through the
 * output hooks: there it meets the forward's limits, its mark and its DNAT.
 * What a rule or blocklist refuses, it refuses at the client's own SYN. */
#include "compile.h"
#include "parts.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define PRIORITY_DECIDE (-150)
#define PRIORITY_DNAT (-100)
#define PORTS_SET "syn-ports"
#define SCALE 7 /* what Linux offers with its default buffers: the client takes it for the node's */

static const enum family families[] = {FAMILY_V4, FAMILY_V6};

bool compile_synproxy_on(const struct rundata *run, const struct forward *forward)
{
	if (!run->kernel_synproxy || forward->protocol != PROTOCOL_TCP || forward->synproxy == TOGGLE_OFF)
		return false;
	bool pressed = forward->synproxy == TOGGLE_ON;
	for (size_t i = 0; i < run->pressed_count && !pressed; i++)
		pressed = strcmp(run->pressed[i], forward->name) == 0;
	return pressed;
}

bool may_synproxy(const struct build *b, const struct forward *forward)
{
	return b->run->kernel_synproxy && b->model->wan.device && forward->protocol == PROTOCOL_TCP &&
	       forward->synproxy != TOGGLE_OFF;
}

static bool any(const struct build *b)
{
	for (size_t i = 0; i < b->model->forward_count; i++)
		if (may_synproxy(b, &b->model->forwards[i]))
			return true;
	return false;
}

static void match_addrtype(struct build *b, uint32_t which, enum compare_op op, uint32_t type)
{
	struct expr *fib = build_expr(b, EXPR_FIB);
	fib->fib.result = FIB_ADDRTYPE;
	fib->fib.flags = which;
	struct expr *cmp = build_expr(b, EXPR_CMP);
	cmp->cmp.op = op;
	cmp->cmp.length = sizeof(type);
	memcpy(cmp->cmp.data, &type, sizeof(type));
}

void compile_synproxy_answer(struct build *b, struct chain_build *chain, const struct forward *forward)
{
	build_count_as(b, build_name(b, "syn-%s", forward->name));
	if (!compile_synproxy_on(b->run, forward))
		return;
	match_iif(b, b->model->wan.device, true);
	match_addrtype(b, FIB_DADDR, COMPARE_EQ, FIB_TYPE_LOCAL);
	do_mark_set(b, MARK_SYNPROXY | ZONE_SELF);
	do_counter(b, build_name(b, "syn-%s", forward->name));
	rule_verdict(b, chain, VERDICT_ACCEPT, NULL, forward->at, build_name(b, "forward %s: synproxy", forward->name));
}

static int compare_ports(const void *a, const void *b)
{
	return memcmp(((const struct element *)a)->key, ((const struct element *)b)->key, sizeof(uint16_t));
}

/* Ports of all forwards that may have synproxy: an ACK to one may carry a cookie, also just after it was turned off. */
static void ports_set(struct build *b)
{
	size_t count = 0, kept = 0;
	const struct model *model = b->model;
	for (size_t i = 0; i < model->forward_count; i++)
		for (size_t j = 0; j < model->forwards[i].port_count; j++)
			count += (size_t)(model->forwards[i].ports[j].last - model->forwards[i].ports[j].first) + 1;
	struct element *elements = arena_array(b->arena, count + 1, struct element);
	if (!elements) {
		b->failed = true;
		return;
	}
	count = 0;
	for (size_t i = 0; i < model->forward_count; i++) {
		const struct forward *forward = &model->forwards[i];
		for (size_t j = 0; j < forward->port_count && may_synproxy(b, forward); j++) {
			for (uint32_t port = forward->ports[j].first; port <= forward->ports[j].last; port++) {
				uint16_t big = htons((uint16_t)port);
				memcpy(elements[count++].key, &big, sizeof(big));
			}
		}
	}
	qsort(elements, count, sizeof(*elements), compare_ports);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || compare_ports(&elements[i], &elements[kept - 1]) != 0)
			elements[kept++] = elements[i];
	build_set(b, &(struct set){
			     .name = PORTS_SET, .key = {FIELD_PORT}, .elements = elements, .element_count = kept});
}

/* An ACK alone, of no flow, to one of those ports. */
static void match_cookie(struct build *b)
{
	match_l4proto(b, PROTO_TCP);
	match_ct_state(b, CT_STATE_INVALID);
	match_tcp_flags(b, 0x17, true, 0x10);
	match_dport_set(b, PORTS_SET);
}

void compile_synproxy_decide(struct build *b, struct chain_build *decide)
{
	if (!any(b))
		return;
	ports_set(b);
	match_iif(b, b->model->wan.device, true);
	match_cookie(b);
	match_addrtype(b, FIB_DADDR, COMPARE_EQ, FIB_TYPE_LOCAL);
	rule_verdict(b, decide, VERDICT_ACCEPT, NULL, no_origin, "maybe the end of a handshake with synproxy");
}

/* A tunnel takes 80 bytes of what a packet may have. */
static void synproxy(struct build *b, struct chain_build *input, enum family family, const char *comment)
{
	uint16_t ip = family == FAMILY_V4 ? 40 : 60;
	struct expr *expr = build_expr(b, EXPR_SYNPROXY);
	expr->synproxy.mss = (uint16_t)((b->model->tunnel_count ? 1420 : 1500) - ip);
	expr->synproxy.wscale = SCALE;
	expr->synproxy.timestamp = expr->synproxy.sack = true;
	rule_end(b, input, no_origin, comment);
}

void compile_synproxy_input(struct build *b, struct chain_build *input)
{
	for (size_t f = 0; f < 2 && any(b); f++) {
		match_family(b, families[f]);
		match_l4proto(b, PROTO_TCP);
		match_mark(b, MARK_SYNPROXY, MARK_SYNPROXY);
		synproxy(b, input, families[f], "answer with a cookie");
		match_family(b, families[f]);
		match_cookie(b);
		synproxy(b, input, families[f], "a cookie comes back");
	}
}

static bool wanted_nat(const struct build *b, const struct forward *forward)
{
	return may_synproxy(b, forward) &&
	       (compile_plane(b->model, b->run, forward, FAMILY_V4).plane == PLANE_KERNEL ||
		compile_plane(b->model, b->run, forward, FAMILY_V6).plane == PLANE_KERNEL);
}

static const struct dispatch proven_dispatch = {"proven", "syn", VERDICT_JUMP, may_synproxy, "gate"};
static const struct dispatch nat_dispatch = {"proven-nat", "nat", VERDICT_JUMP, wanted_nat, "natgate"};

/* `from` once more, where no packet says which device it came by: whoever has a cookie came from wan. */
static void gate(struct build *b, const struct forward *forward, const char *prefix, const char *target)
{
	struct chain_build *chain = build_chain(b, build_name(b, "%s-%s", prefix, forward->name));
	for (size_t i = 0; i < forward->from_count; i++) {
		const struct place *place = &forward->from[i];
		bool anybody = place->kind == PLACE_WAN || place->kind == PLACE_ANY;
		bool lists = place->kind == PLACE_BLOCKLIST;
		if (!anybody && !lists && place->kind != PLACE_PREFIX)
			continue;
		for (size_t f = 0; f < (lists ? 2 : 1); f++) {
			if (!anybody && !match_from(b, place, lists ? families[f] : FAMILY_NONE))
				continue;
			rule_verdict(b, chain, VERDICT_GOTO, target, place->at, "");
		}
	}
}

static void gates(struct build *b)
{
	for (size_t i = 0; i < b->model->forward_count; i++) {
		const struct forward *forward = &b->model->forwards[i];
		if (!forward->from_count || !may_synproxy(b, forward))
			continue;
		gate(b, forward, proven_dispatch.gated, build_name(b, "syn-%s", forward->name));
		if (wanted_nat(b, forward))
			gate(b, forward, nat_dispatch.gated, build_name(b, "nat-%s-in", forward->name));
	}
}

void compile_synproxy_output(struct build *b)
{
	if (!any(b))
		return;
	gates(b);
	compile_dispatch_maps(b, &proven_dispatch);
	compile_dispatch_maps(b, &nat_dispatch);
	struct chain_build *proven = build_chain(b, "proven");
	do_mark_set(b, ZONE_SELF);
	rule_end(b, proven, no_origin, "");
	compile_dispatch_rules(b, proven, &proven_dispatch, false);
	rule_verdict(b, proven, VERDICT_GOTO, drop_chain(b, "synproxy-default"), no_origin, "no forward takes it any more");

	/* A SYN in somebody else's name to an address of this machine: only synproxy sends that. */
	struct chain_build *output = build_base_chain(b, "output", CHAIN_FILTER, HOOK_OUTPUT, PRIORITY_DECIDE, false);
	match_l4proto(b, PROTO_TCP);
	match_ct_state(b, CT_STATE_NEW);
	match_addrtype(b, FIB_SADDR, COMPARE_NE, FIB_TYPE_LOCAL);
	match_addrtype(b, FIB_DADDR, COMPARE_EQ, FIB_TYPE_LOCAL);
	rule_verdict(b, output, VERDICT_GOTO, "proven", no_origin, "a client that synproxy has seen complete");
	/* And the ACK with which it ends the handshake. The kernel shifts the time stamp echoed there, which is the node's
	 * already; Linux 6.15 and later answers a wrong one, and waits. Without the option it is taken as it is. */
	match_l4proto(b, PROTO_TCP);
	match_ct_state(b, CT_STATE_ESTABLISHED);
	match_mark(b, MARK_FORWARD, MARK_FORWARD);
	build_expr(b, EXPR_CT)->ct.key = CT_DIRECTION;
	build_expr(b, EXPR_CMP)->cmp.length = 1;
	build_expr(b, EXPR_STRIP_OPTION)->option.kind = TCP_OPTION_TIMESTAMP;
	rule_end(b, output, no_origin, "synproxy's own ACK to the node");

	struct chain_build *nat = build_base_chain(b, "output-nat", CHAIN_NAT, HOOK_OUTPUT, PRIORITY_DNAT, false);
	match_mark(b, MARK_FORWARD | MARK_PROXY, MARK_FORWARD);
	rule_verdict(b, nat, VERDICT_JUMP, "proven-nat", no_origin, "");
	compile_dispatch_rules(b, build_chain(b, "proven-nat"), &nat_dispatch, false);
}
