/* Question: reads the text of a question, and says exactly what is wrong with
 * one that cannot be read. Resolves names against the model; asks nothing. */
#include "question.h"

#include "packet.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define TO_FORMS "ADDR:PORT[/tcp|/udp], self:PORT[/tcp|/udp], ADDR/icmp or self/icmp"

struct parser {
	const struct model *model;
	struct arena *arena;
	const char *error;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct parser *parser, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	parser->error = arena_vprintf(parser->arena, format, args);
	va_end(args);
	return parser->error ? -EINVAL : -ENOMEM;
}

static int parse_port(struct parser *parser, const char *part, const char *text, size_t length, uint16_t *ret_port)
{
	unsigned value = 0;
	bool good = length > 0 && length <= 5 && !(length > 1 && text[0] == '0');
	for (size_t i = 0; good && i < length; i++) {
		good = text[i] >= '0' && text[i] <= '9';
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	if (!good || value == 0 || value > UINT16_MAX)
		return refuse(parser, "%s: \"%.*s\" is no port (1 to 65535)", part, (int)length, text);
	*ret_port = (uint16_t)value;
	return 0;
}

/* Split "HOST", "HOST:PORT" and "[HOST]:PORT"; *ret_port is NULL when there is none. */
static int split(struct parser *parser, const char *part, const char *text, size_t length, size_t *ret_host_length,
		 const char **ret_host, const char **ret_port)
{
	if (length > 0 && text[0] == '[') {
		const char *end = memchr(text, ']', length);
		if (!end)
			return refuse(parser, "%s: \"%.*s\" has a '[' without a ']'", part, (int)length, text);
		size_t rest = length - (size_t)(end + 1 - text);
		if (rest > 0 && end[1] != ':')
			return refuse(parser, "%s: \"%.*s\" has something else than :PORT behind the ']'", part,
				      (int)length, text);
		*ret_host = text + 1;
		*ret_host_length = (size_t)(end - text) - 1;
		*ret_port = rest > 0 ? end + 2 : NULL;
		return 0;
	}
	const char *colon = memchr(text, ':', length);
	bool bare_v6 = colon && memchr(colon + 1, ':', length - (size_t)(colon + 1 - text));
	*ret_host = text;
	*ret_host_length = colon && !bare_v6 ? (size_t)(colon - text) : length;
	*ret_port = colon && !bare_v6 ? colon + 1 : NULL;
	return 0;
}

static int parse_addr(struct parser *parser, const char *part, const char *host, size_t length, struct addr *ret_addr)
{
	if (addr_parse(host, length, ret_addr) < 0)
		return refuse(parser, "%s: \"%.*s\" is no IP address", part, (int)length, host);
	return 0;
}

static int parse_from(struct parser *parser, const char *from, struct question *question)
{
	const char *host, *port;
	size_t host_length, length = strlen(from);
	int r = split(parser, "from", from, length, &host_length, &host, &port);
	if (r == 0)
		r = parse_addr(parser, "from", host, host_length, &question->from);
	if (r == 0 && port)
		r = parse_port(parser, "from", port, length - (size_t)(port - from), &question->from_port);
	return r;
}

static int parse_protocol(struct parser *parser, const char *text, enum protocol *ret_protocol)
{
	for (int protocol = PROTOCOL_TCP; protocol <= PROTOCOL_ICMP; protocol++)
		if (strcmp(text, protocol_names[protocol]) == 0) {
			*ret_protocol = (enum protocol)protocol;
			return 0;
		}
	return refuse(parser, "to: \"%s\" is no protocol (tcp, udp, icmp)", text);
}

static int parse_to(struct parser *parser, const char *to, struct question *question)
{
	const char *slash = strchr(to, '/');
	size_t length = slash ? (size_t)(slash - to) : strlen(to);
	question->protocol = PROTOCOL_TCP;
	int r = slash ? parse_protocol(parser, slash + 1, &question->protocol) : 0;
	if (r < 0)
		return r;
	const char *host, *port;
	size_t host_length;
	r = split(parser, "to", to, length, &host_length, &host, &port);
	if (r < 0)
		return r;
	question->to_self = host_length == 4 && memcmp(host, "self", 4) == 0;
	if (!question->to_self)
		r = parse_addr(parser, "to", host, host_length, &question->to);
	if (r < 0)
		return r;
	if (question->protocol == PROTOCOL_ICMP)
		return port ? refuse(parser, "to: \"%s\" has a port, and icmp has none (ADDR/icmp)", to) : 0;
	if (!port && question->to.family == FAMILY_V6 && host == to)
		return refuse(parser, "to: \"%s\" has no port (an IPv6 address with a port is written [ADDR]:PORT)",
			      to);
	if (!port)
		return refuse(parser, "to: \"%s\" has no port (" TO_FORMS ")", to);
	return parse_port(parser, "to", port, length - (size_t)(port - to), &question->to_port);
}

static const struct tunnel *find_tunnel(const struct model *model, const char *name)
{
	for (size_t i = 0; i < model->tunnel_count; i++)
		if (strcmp(model->tunnels[i].name, name) == 0)
			return &model->tunnels[i];
	return NULL;
}

static int refuse_leg(struct parser *parser, const char *in)
{
	const char *known = "wan, lan";
	for (size_t i = 0; known && i < parser->model->tunnel_count; i++)
		known = arena_printf(parser->arena, "%s, %s", known, parser->model->tunnels[i].name);
	return known ? refuse(parser, "in: nothing comes in by \"%s\" (known: %s)", in, known) : -ENOMEM;
}

static int parse_in(struct parser *parser, const char *in, struct question *question)
{
	const struct model *model = parser->model;
	if (!in) {
		struct way back = way_by_route(model, &question->from);
		question->in = back.kind == PLACE_ANY ? PLACE_WAN : back.kind;
		question->in_tunnel = back.tunnel;
		return 0;
	}
	bool wan = strcmp(in, place_kind_names[PLACE_WAN]) == 0, lan = strcmp(in, place_kind_names[PLACE_LAN]) == 0;
	if (wan || lan) {
		if (!(wan ? model->wan.device : model->lan.device))
			return refuse(parser, "in: interfaces.%s is not configured", in);
		question->in = wan ? PLACE_WAN : PLACE_LAN;
		return 0;
	}
	question->in = PLACE_TUNNEL;
	question->in_tunnel = find_tunnel(model, in);
	return question->in_tunnel ? 0 : refuse_leg(parser, in);
}

int question_parse(const struct model *model, const char *from, const char *to, const char *in, struct arena *arena,
		   struct question *ret_question, const char **ret_error)
{
	struct parser parser = {.model = model, .arena = arena};
	struct question question = {0};
	int r = parse_from(&parser, from, &question);
	if (r == 0)
		r = parse_to(&parser, to, &question);
	if (r == 0)
		r = parse_in(&parser, in, &question);
	if (r == 0 && !question.to_self && question.to.family != question.from.family)
		r = refuse(&parser, "to: \"%s\" is not of the same address family as from: \"%s\"", to, from);
	if (r == -EINVAL)
		*ret_error = parser.error;
	if (r == 0)
		*ret_question = question;
	return r;
}
