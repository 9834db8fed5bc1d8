/* Trace: wording of the steps that led to an answer. Decides nothing: what
 * it says of a rule comes from the same rule_misses() that decided. */
#include "trace.h"

#include <stdarg.h>

#define FEW_RULES 12u /* so many rules that do not match are listed one by one */
#define NEAR_RULES 5u /* of more, so many that miss in one condition only */

void trace_add(struct trace *trace, const char *format, ...)
{
	if (!trace->arena || trace->failed)
		return;
	va_list args;
	va_start(args, format);
	const char *line = arena_vprintf(trace->arena, format, args);
	va_end(args);
	const char **lines = arena_grow(trace->arena, trace->lines, trace->count, sizeof(*lines), &trace->capacity);
	if (!line || !lines) {
		trace->failed = true;
		return;
	}
	trace->lines = lines;
	lines[trace->count++] = line;
}

const char *trace_place(struct trace *trace, struct origin at)
{
	if (!trace->arena || !at.file || at.line == 0)
		return "";
	const char *text = arena_printf(trace->arena, " (%s:%u)", at.file, at.line);
	if (!text)
		trace->failed = true;
	return text ? text : "";
}

const char *way_name(enum place_kind kind, const struct tunnel *tunnel)
{
	if (tunnel)
		return tunnel->name;
	return kind == PLACE_ANY ? "nowhere" : place_kind_names[kind];
}

void trace_way(struct trace *trace, const struct packet *packet)
{
	const struct question *question = packet->question;
	char text[ADDR_TEXT_MAX];
	trace_add(trace, "way: in by %s, %s is %s%s (%s)", way_name(question->in, question->in_tunnel),
		  question->to_self ? "the destination" : addr_format(&question->to, text),
		  packet->to.kind == PLACE_SELF ? "for this machine itself, " : "out by ",
		  packet->to.kind == PLACE_SELF ? "self" : way_name(packet->to.kind, packet->to.tunnel),
		  packet->to.why);
}

static const char *place_text(const struct place *place, char *buffer)
{
	switch (place->kind) {
	case PLACE_PREFIX:
		return prefix_format(&place->prefix, buffer);
	case PLACE_BLOCKLIST:
		return place->blocklist->name;
	case PLACE_TUNNEL:
		return place->tunnel->name;
	case PLACE_ANY:
	case PLACE_WAN:
	case PLACE_LAN:
	case PLACE_SELF:
		break;
	}
	return place_kind_names[place->kind];
}

static const char *places_text(struct trace *trace, const struct place *places, size_t count)
{
	char buffer[PREFIX_TEXT_MAX];
	const char *text = arena_strdup(trace->arena, count > 0 ? place_text(&places[0], buffer) : "nothing");
	for (size_t i = 1; text && i < count && i < 4; i++)
		text = arena_printf(trace->arena, "%s, %s", text, place_text(&places[i], buffer));
	if (text && count > 4)
		text = arena_printf(trace->arena, "%s and %zu more", text, count - 4);
	if (!text)
		trace->failed = true;
	return text ? text : "";
}

static const char *ports_text(struct trace *trace, const struct port_range *ports, size_t count)
{
	const char *text = "";
	for (size_t i = 0; text && i < count && i < 8; i++) {
		const char *comma = i > 0 ? "," : "";
		if (ports[i].first == ports[i].last)
			text = arena_printf(trace->arena, "%s%s%u", text, comma, ports[i].first);
		else
			text = arena_printf(trace->arena, "%s%s%u-%u", text, comma, ports[i].first, ports[i].last);
	}
	if (text && count > 8)
		text = arena_printf(trace->arena, "%s and more", text);
	if (!text)
		trace->failed = true;
	return text ? text : "";
}

/* The first condition that is not met, as the rule has it: "protocol udp". */
static void trace_miss(struct trace *trace, const struct rule *rule, unsigned misses)
{
	const char *what, *value;
	if (misses & MISS_FROM) {
		what = "from";
		value = places_text(trace, rule->from, rule->from_count);
	} else if (misses & MISS_TO) {
		what = "to";
		value = places_text(trace, rule->to, rule->to_count);
	} else if (misses & MISS_PROTOCOL) {
		what = "protocol";
		value = protocol_names[rule->protocol];
	} else {
		what = "port";
		value = ports_text(trace, rule->ports, rule->port_count);
	}
	trace_add(trace, "rules: %s%s does not match: %s %s", rule->name, trace_place(trace, rule->at), what, value);
}

void trace_rules(struct trace *trace, const struct packet *packet, size_t count)
{
	if (!trace->arena || count == 0)
		return;
	size_t listed = 0;
	for (size_t i = 0; i < count && (count <= FEW_RULES || listed < NEAR_RULES); i++) {
		unsigned misses = rule_misses(&packet->model->rules[i], packet);
		bool near = (misses & (misses - 1)) == 0;
		if (count > FEW_RULES && !near)
			continue;
		trace_miss(trace, &packet->model->rules[i], misses);
		listed++;
	}
	if (listed < count)
		trace_add(trace, "rules: %zu%s do not match", count - listed, listed > 0 ? " others" : "");
}
