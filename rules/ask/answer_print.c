/* Wording of questions and answers, for `edgectl explain` and for failed
 * expectations. Decides nothing. */
#include "answer_print.h"

#include "trace.h"

_Static_assert((int)EXPECT_ACCEPT == (int)ACTION_ACCEPT && (int)EXPECT_DROP == (int)ACTION_DROP &&
		       (int)EXPECT_REJECT == (int)ACTION_REJECT,
	       "a verdict has the number of the action that gives it");

static const char *const verdict_past[] = {
	[EXPECT_ACCEPT] = "accepted",
	[EXPECT_DROP] = "dropped",
	[EXPECT_REJECT] = "rejected",
};

static char *endpoint(const struct addr *addr, uint16_t port, struct arena *arena)
{
	char text[ADDR_TEXT_MAX];
	addr_format(addr, text);
	if (port == 0)
		return arena_strdup(arena, text);
	return arena_printf(arena, addr->family == FAMILY_V6 ? "[%s]:%u" : "%s:%u", text, port);
}

char *question_print(const struct question *question, struct arena *arena)
{
	bool portless = question->protocol == PROTOCOL_ICMP || question->protocol == PROTOCOL_ANY;
	char *from = endpoint(&question->from, question->from_port, arena);
	char *to;
	if (question->to_self)
		to = portless ? arena_strdup(arena, "self") : arena_printf(arena, "self:%u", question->to_port);
	else
		to = endpoint(&question->to, portless ? 0 : question->to_port, arena);
	if (!from || !to)
		return NULL;
	return arena_printf(arena, "%s to %s/%s in %s", from, to,
			    question->protocol == PROTOCOL_ANY ? "other" : protocol_names[question->protocol],
			    way_name(question->in, question->in_tunnel));
}

char *answer_decision(const struct answer *answer, struct arena *arena)
{
	const char *verdict = verdict_past[answer->verdict];
	const char *place = "";
	if (answer->at.file && answer->at.line > 0)
		place = arena_printf(arena, " (%s:%u)", answer->at.file, answer->at.line);
	if (!place)
		return NULL;
	switch (answer->by) {
	case DECIDED_SPOOFED:
		return arena_printf(arena, "%s as spoofed", verdict);
	case DECIDED_BAN:
		return arena_printf(arena, "%s: the source is banned", verdict);
	case DECIDED_BLOCKLIST:
		return arena_printf(arena, "%s by blocklist \"%s\"%s", verdict, answer->name, place);
	case DECIDED_MANAGEMENT:
		return arena_printf(arena, "%s by management%s", verdict, place);
	case DECIDED_RULE:
		return arena_printf(arena, "%s by rule \"%s\"%s", verdict, answer->name, place);
	case DECIDED_FORWARD:
		return arena_printf(arena, "%s by forward \"%s\"%s", verdict, answer->name, place);
	case DECIDED_NO_BACKEND:
		return arena_printf(arena, "%s by forward \"%s\"%s, which has no usable backend", verdict, answer->name,
				    place);
	case DECIDED_IMPLIED:
		return arena_printf(arena, "%s as implied by \"%s\"%s", verdict, answer->name, place);
	case DECIDED_DEFAULT:
		return arena_printf(arena, "%s by default: no rule and no forward covers it", verdict);
	}
	return NULL;
}

/* "  node     k8s-1 (192.0.2.11) port 30443, sees the client's address" for each candidate. */
static char *print_nodes(const struct question *question, const struct answer *answer, char *text, struct arena *arena)
{
	for (size_t i = 0; text && i < answer->node_count; i++) {
		const struct node *node = answer->nodes[i];
		char address[ADDR_TEXT_MAX];
		text = arena_printf(arena, "%s  node     %s (%s) port %u, sees the %s address\n", text, node->name,
				    addr_format(&node->address, address), answer->target_port,
				    ask_node_sees_edge(answer, question, node) ? "edge's" : "client's");
	}
	return text;
}

/* ", crc32c, unique-id" */
static const char *tlvs_print(const struct forward *forward, struct arena *arena)
{
	const char *text = "";
	for (unsigned i = 0; text && proxy_tlv_names[i]; i++)
		if (forward->proxy_tlvs & TLV_BIT(i))
			text = arena_printf(arena, "%s, %s", text, proxy_tlv_names[i]);
	return text ? text : "";
}

static char *print_forward(const struct question *question, const struct answer *answer, char *text,
			   struct arena *arena)
{
	const struct forward *forward = answer->forward;
	text = arena_printf(arena, "%s  by       %s\n", text,
			    answer->plane == PLANE_KERNEL ? "the kernel (DNAT)" : "the user-space forwarder");
	if (text && forward->proxy_protocol != PROXY_NONE)
		text = arena_printf(arena, "%s  header   PROXY protocol %s%s\n", text,
				    proxy_header_names[forward->proxy_protocol], tlvs_print(forward, arena));
	return print_nodes(question, answer, text, arena);
}

char *answer_print(const struct question *question, const struct answer *answer, bool with_steps, struct arena *arena)
{
	char *asked = question_print(question, arena);
	char *decision = answer_decision(answer, arena);
	if (!asked || !decision)
		return NULL;
	char *text = arena_printf(arena, "%s: %s\n", asked, decision);
	if (text && answer->by == DECIDED_FORWARD)
		text = print_forward(question, answer, text, arena);
	if (text && answer->snat_rule)
		text = arena_printf(arena, "%s  snat     %s (%s:%u)\n", text, answer->snat_rule->name,
				    answer->snat_rule->at.file ? answer->snat_rule->at.file : "?",
				    answer->snat_rule->at.line);
	for (size_t i = 0; text && with_steps && i < answer->step_count; i++)
		text = arena_printf(arena, "%s%s%s\n", text, i == 0 ? "  steps\n    " : "    ", answer->steps[i]);
	return text;
}
