/* Ask: decides on the first packet of a flow as docs/ruleset.md says, by
 * walking the model. It shares no code with the compiler but the choice of
 * the data plane and of usable backends, so that a mistake in the ruleset and
 * one here do not cancel each other out. */
#include "ask.h"

#include "packet.h"
#include "trace.h"

#include "../state/compile.h"

#include <errno.h>

const char *const decided_by_names[] = {
	[DECIDED_SPOOFED] = "spoofed",
	[DECIDED_BAN] = "ban",
	[DECIDED_BLOCKLIST] = "blocklist",
	[DECIDED_MANAGEMENT] = "management",
	[DECIDED_RULE] = "rule",
	[DECIDED_FORWARD] = "forward",
	[DECIDED_NO_BACKEND] = "no-backend",
	[DECIDED_IMPLIED] = "implied",
	[DECIDED_DEFAULT] = "default",
	NULL,
};
_Static_assert(sizeof(decided_by_names) / sizeof(decided_by_names[0]) == DECIDED_DEFAULT + 2, "a name for each");

static const enum expect_verdict verdict_of_action[] = {
	[ACTION_ACCEPT] = EXPECT_ACCEPT,
	[ACTION_DROP] = EXPECT_DROP,
	[ACTION_REJECT] = EXPECT_REJECT,
};

static void decide(struct answer *answer, enum decided_by by, enum expect_verdict verdict, const char *name,
		   struct origin at)
{
	answer->by = by;
	answer->verdict = verdict;
	answer->name = name;
	answer->at = at;
}

static void drop_spoofed(struct answer *answer, struct trace *trace, const char *why)
{
	decide(answer, DECIDED_SPOOFED, EXPECT_DROP, NULL, (struct origin){0});
	trace_add(trace, "spoofed: dropped, %s", why);
}

/* What is dropped wherever it goes. True when it was. */
static bool decide_source(const struct packet *packet, const struct rundata *run, struct answer *answer,
			  struct trace *trace)
{
	const struct addr *from = &packet->question->from;
	bool never = model_never_banned(packet->model, from);
	for (size_t i = 0; !never && i < run->ban_count; i++) {
		const struct ban *ban = &run->bans[i];
		if ((ban->expires != 0 && ban->expires <= run->now) || !prefix_contains(&ban->prefix, from))
			continue;
		char text[PREFIX_TEXT_MAX];
		decide(answer, DECIDED_BAN, EXPECT_DROP, NULL, (struct origin){0});
		trace_add(trace, "bans: %s is banned by an operator", prefix_format(&ban->prefix, text));
		return true;
	}
	if (run->ban_count > 0 && never)
		trace_add(trace, "bans: none hits management or a node");
	else if (run->ban_count > 0)
		trace_add(trace, "bans: none of %zu holds the source", run->ban_count);
	const char *why = packet_outside_lan(packet);
	if (!why)
		why = packet_reverse_path(packet);
	if (why)
		drop_spoofed(answer, trace, why);
	return why != NULL;
}

/* On a port of its own; while keys are being changed it has two. */
static bool listens(const struct rundata *run, const struct tunnel *tunnel, uint16_t port)
{
	struct tunnel_slot slots[COMPILE_SLOTS];
	size_t count = compile_slots(run, tunnel, slots);
	for (size_t i = 0; i < count; i++)
		if (slots[i].listen == port)
			return true;
	return false;
}

/* Accepts that no line of the file states. ICMP is asked about as an echo
 * request, so neighbour discovery does not come up here. */
static bool decide_implied(const struct packet *packet, const struct rundata *run, struct answer *answer,
			   struct trace *trace)
{
	const struct question *question = packet->question;
	if (packet->to.kind != PLACE_SELF || question->protocol != PROTOCOL_UDP || question->in == PLACE_TUNNEL)
		return false;
	bool v4 = question->from.family == FAMILY_V4;
	if (question->from_port == (v4 ? 67 : 547) && question->to_port == (v4 ? 68 : 546)) {
		decide(answer, DECIDED_IMPLIED, EXPECT_ACCEPT, "dhcp", (struct origin){0});
		trace_add(trace, "implied: accepted, an answer to this machine's DHCP client");
		return true;
	}
	for (size_t i = 0; i < packet->model->tunnel_count; i++) {
		const struct tunnel *tunnel = &packet->model->tunnels[i];
		if (tunnel->listen == 0 || !listens(run, tunnel, question->to_port))
			continue;
		decide(answer, DECIDED_IMPLIED, EXPECT_ACCEPT, tunnel->name, tunnel->at);
		trace_add(trace, "implied: accepted, %s listens there%s", tunnel->name, trace_place(trace, tunnel->at));
		return true;
	}
	return false;
}

static bool decide_blocklists(const struct packet *packet, struct answer *answer, struct trace *trace)
{
	if (packet->question->in != PLACE_WAN)
		return false;
	for (size_t i = 0; i < packet->model->blocklist_count; i++) {
		const struct blocklist *blocklist = &packet->model->blocklists[i];
		if (!blocklist_holds(blocklist, &packet->question->from))
			continue;
		decide(answer, DECIDED_BLOCKLIST, EXPECT_DROP, blocklist->name, blocklist->at);
		trace_add(trace, "blocklists: %s holds the source%s", blocklist->name,
			  trace_place(trace, blocklist->at));
		return true;
	}
	if (packet->model->blocklist_count > 0)
		trace_add(trace, "blocklists: none of %zu holds the source", packet->model->blocklist_count);
	return false;
}

static bool decide_management(const struct packet *packet, struct answer *answer, struct trace *trace)
{
	const struct management *management = &packet->model->management;
	const struct question *question = packet->question;
	if (!management->present || packet->to.kind != PLACE_SELF || packet->to.group ||
	    question->protocol != PROTOCOL_TCP ||
	    !ports_hold(management->ports, management->port_count, question->to_port))
		return false;
	if (!prefixes_hold(management->from, management->from_count, &question->from)) {
		trace_add(trace, "management: a management port, but not from a management address%s",
			  trace_place(trace, management->at));
		return false;
	}
	decide(answer, DECIDED_MANAGEMENT, EXPECT_ACCEPT, "management", management->at);
	trace_add(trace, "management: accepted%s", trace_place(trace, management->at));
	return true;
}

/* True when a rule decided. A rule that accepts what a forward takes leaves it to the forward. */
static bool decide_rules(const struct packet *packet, bool forwarded, struct answer *answer, struct trace *trace)
{
	const struct model *model = packet->model;
	size_t match = 0;
	while (match < model->rule_count && rule_misses(&model->rules[match], packet) != 0)
		match++;
	trace_rules(trace, packet, match);
	if (match == model->rule_count)
		return false;
	const struct rule *rule = &model->rules[match];
	const char *place = trace_place(trace, rule->at);
	if (rule->action == ACTION_ACCEPT && forwarded) {
		trace_add(trace, "rules: %s%s matches and accepts: on to the forward that listens there", rule->name,
			  place);
		return false;
	}
	trace_add(trace, "rules: %s%s matches: %s%s", rule->name, place, action_names[rule->action],
		  rule->action == ACTION_ACCEPT && rule->limit.count > 0 ? ", within its limit" : "");
	decide(answer, DECIDED_RULE, verdict_of_action[rule->action], rule->name, rule->at);
	return true;
}

bool ask_node_sees_edge(const struct answer *answer, const struct question *question, const struct node *node)
{
	if (answer->plane == PLANE_PROXY)
		return true;
	switch (answer->forward->snat) {
	case TOGGLE_ON:
		return true;
	case TOGGLE_OFF:
		return false;
	case TOGGLE_AUTO: /* where the answer would not come back through the edge */
		return node->tunnel || question->in == PLACE_LAN;
	}
	return false;
}

static const struct snat_rule *snat_rule_for(const struct model *model, const struct addr *from, const struct way *to)
{
	for (size_t i = 0; i < model->snat_count; i++) {
		const struct snat_rule *rule = &model->snats[i];
		bool same_family = rule->to.family == FAMILY_NONE || rule->to.family == from->family;
		if (rule->out == to->kind && rule->tunnel == to->tunnel && same_family &&
		    prefixes_hold(rule->from, rule->from_count, from))
			return rule;
	}
	return NULL;
}

static void trace_snat_rule(const struct answer *answer, struct trace *trace)
{
	char text[ADDR_TEXT_MAX];
	const struct snat_rule *rule = answer->snat_rule;
	if (rule)
		trace_add(trace, "snat: %s%s rewrites the source to %s", rule->name, trace_place(trace, rule->at),
			  rule->to.family == FAMILY_NONE ? "this machine's address" : addr_format(&rule->to, text));
}

static int collect_nodes(const struct packet *packet, const struct rundata *run, struct arena *arena,
			 struct answer *answer)
{
	const struct pool *pool = answer->forward->pool;
	const struct node **nodes = arena_array(arena, pool->node_count, const struct node *);
	if (!nodes)
		return -ENOMEM;
	uint16_t port = compile_health_port(answer->forward);
	for (size_t i = 0; i < pool->node_count; i++) {
		const struct node *node = pool->nodes[i];
		/* DNAT stays within a family; only the user-space forwarder crosses. */
		bool takes = answer->plane == PLANE_KERNEL
				     ? compile_kernel_backend(packet->model, run, answer->forward, node,
							      packet->question->from.family)
				     : compile_backend_usable(run, pool, node, port);
		if (takes)
			nodes[answer->node_count++] = node;
	}
	answer->nodes = nodes;
	return 0;
}

static void trace_forward(const struct packet *packet, const struct answer *answer, struct trace *trace)
{
	const struct forward *forward = answer->forward;
	for (size_t i = 0; i < forward->pool->node_count; i++) {
		const struct node *node = forward->pool->nodes[i];
		bool candidate = false;
		for (size_t j = 0; j < answer->node_count; j++)
			candidate |= answer->nodes[j] == node;
		if (!candidate)
			trace_add(trace,
				  "pool: %s takes no new connection (down, draining, of the other family or out of the "
				  "kernel's reach)",
				  node->name);
		else if (answer->plane == PLANE_KERNEL)
			trace_add(trace, "pool: %s port %u, which sees the %s address", node->name, answer->target_port,
				  ask_node_sees_edge(answer, packet->question, node) ? "edge's" : "client's");
		else
			trace_add(trace, "pool: %s port %u", node->name, answer->target_port);
	}
}

static int decide_forward(const struct packet *packet, const struct rundata *run, const struct forward *forward,
			  struct arena *arena, struct answer *answer, struct trace *trace)
{
	const struct question *question = packet->question;
	struct plane_choice choice = compile_plane(packet->model, run, forward, question->from.family);
	answer->forward = forward;
	answer->plane = choice.plane;
	answer->target_port = compile_target_port(forward, question->to_port);
	const char *place = trace_place(trace, forward->at);
	if (choice.plane == PLANE_NONE) {
		decide(answer, DECIDED_NO_BACKEND, EXPECT_REJECT, forward->name, forward->at);
		trace_add(trace, "forwards: %s%s refuses at once: %s", forward->name, place, choice.why);
		return 0;
	}
	decide(answer, DECIDED_FORWARD, EXPECT_ACCEPT, forward->name, forward->at);
	trace_add(trace, "forwards: %s%s takes it, by the %s: %s", forward->name, place,
		  choice.plane == PLANE_KERNEL ? "kernel" : "user-space forwarder", choice.why);
	int r = collect_nodes(packet, run, arena, answer);
	if (r < 0)
		return r;
	for (size_t i = 0; i < answer->node_count; i++)
		answer->snat |= ask_node_sees_edge(answer, question, answer->nodes[i]);
	trace_forward(packet, answer, trace);
	return 0;
}

static int answer_packet(const struct packet *packet, const struct rundata *run, struct arena *arena,
			 struct answer *answer, struct trace *trace)
{
	if (decide_source(packet, run, answer, trace))
		return 0;
	trace_way(trace, packet);
	if (decide_implied(packet, run, answer, trace) || decide_blocklists(packet, answer, trace) ||
	    decide_management(packet, answer, trace))
		return 0;
	const struct forward *refusing = NULL;
	const struct forward *forward = forward_for(packet, &refusing);
	if (decide_rules(packet, forward != NULL, answer, trace)) {
		if (answer->verdict == EXPECT_ACCEPT)
			answer->snat_rule = snat_rule_for(packet->model, &packet->question->from, &packet->to);
		trace_snat_rule(answer, trace);
		return 0;
	}
	if (forward)
		return decide_forward(packet, run, forward, arena, answer, trace);
	if (refusing)
		trace_add(trace, "forwards: %s%s listens there, but not for this source", refusing->name,
			  trace_place(trace, refusing->at));
	else
		trace_add(trace, "forwards: none listens there");
	decide(answer, DECIDED_DEFAULT, EXPECT_DROP, NULL, (struct origin){0});
	trace_add(trace, "default: dropped, nothing covers it");
	return 0;
}

static int ask(const struct model *model, const struct rundata *run, const struct surroundings *around,
	       const struct question *question, struct arena *arena, bool traced, struct answer *ret_answer)
{
	static const struct surroundings nothing = {0};
	if (question->from.family == FAMILY_NONE ||
	    (!question->to_self && question->to.family != question->from.family))
		return -EINVAL;
	if (question->in != PLACE_WAN && question->in != PLACE_LAN &&
	    !(question->in == PLACE_TUNNEL && question->in_tunnel))
		return -EINVAL;
	struct packet packet = {.model = model, .around = around ? around : &nothing, .question = question};
	packet.to = way_of_destination(model, packet.around, question);
	struct answer answer = {0};
	struct trace trace = {.arena = traced ? arena : NULL};
	int r = answer_packet(&packet, run, arena, &answer, &trace);
	if (r < 0)
		return r;
	if (trace.failed)
		return -ENOMEM;
	answer.steps = trace.lines;
	answer.step_count = trace.count;
	*ret_answer = answer;
	return 0;
}

int ask_packet(const struct model *model, const struct rundata *run, const struct surroundings *around,
	       const struct question *question, struct arena *arena, struct answer *ret_answer)
{
	return ask(model, run, around, question, arena, true, ret_answer);
}

int ask_packet_quick(const struct model *model, const struct rundata *run, const struct surroundings *around,
		     const struct question *question, struct arena *arena, struct answer *ret_answer)
{
	return ask(model, run, around, question, arena, false, ret_answer);
}
