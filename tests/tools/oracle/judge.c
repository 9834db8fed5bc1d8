/* Judge: compares the evaluator's answer with the packets that came out. The
 * two have nothing in common but the model: the answer never saw the ruleset,
 * the packets never saw the evaluator. */
#include "judge.h"

#include "../../../rules/ask/answer_print.h"
#include "../../../rules/ask/packet.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <string.h>

int judge_ask(const struct judge *judge, const struct probe *probe, struct answer *ret_answer)
{
	return ask_packet(judge->model, &judge->settings->run, &judge->settings->around, &probe->question, judge->arena,
			  ret_answer);
}

static const char *leg_name(const struct leg *leg)
{
	return leg->kind == PLACE_SELF ? "this machine" : leg->device;
}

static const char *seen_text(const struct judge *judge, const struct captured *seen)
{
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
	const struct sighting *sighting = &seen->sighting;
	switch (sighting->kind) {
	case SEEN_PACKET:
		return arena_printf(judge->arena, "%s port %u to %s port %u at %s", addr_format(&sighting->from, from),
				    sighting->from_port, addr_format(&sighting->to, to), sighting->to_port,
				    leg_name(seen->leg));
	case SEEN_RESET:
		return arena_printf(judge->arena, "a RST at %s", leg_name(seen->leg));
	case SEEN_UNREACHABLE:
		return arena_printf(judge->arena, "an ICMP error of code %u at %s", sighting->code,
				    leg_name(seen->leg));
	}
	return NULL;
}

static bool has_ports(const struct question *question)
{
	return question->protocol == PROTOCOL_TCP || question->protocol == PROTOCOL_UDP;
}

static bool is_multicast(const struct addr *addr)
{
	return addr->family == FAMILY_V6 ? addr->bytes[0] == 0xff : (addr->bytes[0] & 0xf0) == 0xe0;
}

/* Let in, but nothing on the machine takes part in it, or a network's broadcast: no sighting is due. */
static bool may_vanish(const struct case_record *record)
{
	const struct addr *to = &record->probe.question.to;
	return is_multicast(to) || (to->family == FAMILY_V4 && (to->bytes[3] == 255 || to->bytes[0] == 0));
}

static const char *judge_refusal(const struct judge *judge, const struct case_record *record)
{
	const struct question *question = &record->probe.question;
	const struct captured *seen = record->seen[0];
	bool v4 = question->from.family == FAMILY_V4;
	/* No error answers a broadcast (RFC 1122 section 3.2.2), and the kernel does not keep a RST to the link. */
	bool link_local = !v4 && question->from.bytes[0] == 0xfe;
	if (record->seen_count == 0 && (may_vanish(record) || link_local))
		return NULL;
	if (record->seen_count != 1)
		return "one refusal is due";
	if (!link_local && (seen->leg->kind != question->in || seen->leg->tunnel != question->in_tunnel))
		return "the refusal is due at the leg that the packet came in by";
	if (question->protocol == PROTOCOL_TCP)
		return seen->sighting.kind == SEEN_RESET ? NULL : "a RST is due";
	uint8_t prohibited = v4 ? ICMP_PKT_FILTERED : ICMP6_DST_UNREACH_ADMIN;
	uint8_t unreachable = v4 ? ICMP_PORT_UNREACH : ICMP6_DST_UNREACH_NOPORT;
	uint8_t due = record->answer.by == DECIDED_NO_BACKEND ? unreachable : prohibited;
	if (seen->sighting.kind != SEEN_UNREACHABLE || seen->sighting.code != due)
		return arena_printf(judge->arena, "an ICMP error of code %u is due", due);
	return NULL;
}

/* Its link-local addresses are the kernel's choice: any will do. */
static bool is_own(const struct judge *judge, const struct addr *addr)
{
	if (addr->family == FAMILY_V6 && addr->bytes[0] == 0xfe && addr->bytes[1] == 0x80)
		return true;
	for (size_t i = 0; i < judge->settings->around.own_count; i++)
		if (addr_equal(addr, &judge->settings->around.own[i]))
			return true;
	for (size_t i = 0; i < judge->model->tunnel_count; i++)
		for (size_t j = 0; j < judge->model->tunnels[i].address_count; j++)
			if (addr_equal(addr, &judge->model->tunnels[i].addresses[j].addr))
				return true;
	return false;
}

/* Delivered to this machine: untouched, or redirected to an own address and the same port. */
static const char *judge_delivery(const struct judge *judge, const struct case_record *record)
{
	const struct question *question = &record->probe.question;
	const struct captured *seen = record->seen[0];
	if (record->seen_count == 0 && may_vanish(record))
		return NULL;
	if (record->seen_count != 1 || seen->sighting.kind != SEEN_PACKET || seen->leg->kind != PLACE_SELF)
		return "one packet is due at this machine";
	if (!addr_equal(&seen->sighting.from, &question->from))
		return "it must keep its source";
	if (has_ports(question) && seen->sighting.to_port != question->to_port)
		return "it must keep its port";
	if (!addr_equal(&seen->sighting.to, &question->to) && !is_own(judge, &seen->sighting.to))
		return "it must go to an address of this machine";
	return NULL;
}

/* The source that it leaves with: its own, or by masquerade an address of ours, or the rule's. */
static const char *judge_source(const struct judge *judge, const struct case_record *record, bool edge,
				const struct snat_rule *rule)
{
	const struct sighting *sighting = &record->seen[0]->sighting;
	const struct addr *from = &record->probe.question.from;
	if (edge || (rule && rule->to.family == FAMILY_NONE))
		return is_own(judge, &sighting->from) ? NULL : "its source must become this machine's";
	if (rule)
		return addr_equal(&sighting->from, &rule->to) ? NULL : "its source must become the snat rule's address";
	return addr_equal(&sighting->from, from) ? NULL : "its source must stay";
}

static const char *judge_passage(const struct judge *judge, const struct case_record *record, const struct way *way)
{
	const struct question *question = &record->probe.question;
	const struct captured *seen = record->seen[0];
	if (record->seen_count == 0 && may_vanish(record))
		return NULL;
	if (record->seen_count != 1 || seen->sighting.kind != SEEN_PACKET)
		return "one packet is due";
	if (seen->leg->kind != way->kind || seen->leg->tunnel != way->tunnel)
		return arena_printf(judge->arena, "it is due at %s",
				    way->tunnel ? way->tunnel->name : place_kind_names[way->kind]);
	if (!addr_equal(&seen->sighting.to, &question->to))
		return "it must keep its destination";
	if (has_ports(question) && seen->sighting.to_port != question->to_port)
		return "it must keep its port";
	return judge_source(judge, record, false, record->answer.snat_rule);
}

static const char *judge_forward(const struct judge *judge, const struct case_record *record)
{
	const struct answer *answer = &record->answer;
	if (answer->plane == PLANE_PROXY)
		return judge_delivery(judge, record);
	const struct captured *seen = record->seen[0];
	if (record->seen_count != 1 || seen->sighting.kind != SEEN_PACKET)
		return "one packet is due at a node";
	const struct node *node = NULL;
	for (size_t i = 0; i < answer->node_count; i++)
		if (addr_equal(&answer->nodes[i]->address, &seen->sighting.to))
			node = answer->nodes[i];
	if (!node)
		return "its destination is none of the candidate nodes";
	if (seen->sighting.to_port != answer->target_port)
		return arena_printf(judge->arena, "port %u is due", answer->target_port);
	enum place_kind side = node->tunnel ? PLACE_TUNNEL : PLACE_LAN;
	if (seen->leg->kind != side || seen->leg->tunnel != node->tunnel)
		return "it is due on the node's own side";
	bool edge = ask_node_sees_edge(answer, &record->probe.question, node);
	return judge_source(judge, record, edge, NULL);
}

const char *judge_case(const struct judge *judge, const struct case_record *record)
{
	const struct answer *answer = &record->answer;
	if (record->probe.shape > SHAPE_ECN_SYN || answer->verdict == EXPECT_DROP)
		return record->seen_count == 0 ? NULL : "nothing is due";
	if (answer->verdict == EXPECT_REJECT)
		return judge_refusal(judge, record);
	if (answer->by == DECIDED_FORWARD)
		return judge_forward(judge, record);
	const struct way way = way_of_destination(judge->model, &judge->settings->around, &record->probe.question);
	return way.kind == PLACE_SELF ? judge_delivery(judge, record) : judge_passage(judge, record, &way);
}

void judge_report(const struct judge *judge, const struct case_record *record, const char *difference)
{
	const struct probe *probe = &record->probe;
	printf("DISAGREE packet %u (%s): %s\n", probe->id, shape_names[probe->shape], difference);
	const char *text = answer_print(&probe->question, &record->answer, true, judge->arena);
	printf("evaluator: %s", text ? text : "out of memory\n");
	if (record->seen_count == 0)
		printf("kernel: nothing came out\n");
	for (size_t i = 0; i < record->seen_count && i < 4; i++) {
		text = seen_text(judge, record->seen[i]);
		printf("kernel: %s\n", text ? text : "out of memory");
	}
}
