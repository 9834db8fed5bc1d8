/* Reads the agent's configuration. It takes wg-quick's words that make a
 * tunnel, and refuses what it would otherwise silently not do. */
#include "config.h"

#include "../tunnel_keys.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINE_MOST 4096
#define PREFIXES_MOST 256

struct parser {
	struct arena *arena;
	struct agent_config config;
	unsigned line, peers;
	enum { NOWHERE, INTERFACE, PEER } section;
	bool has_private, has_edge;
	const char *error;
};

static int refuse(struct parser *parser, const char *what)
{
	parser->error = arena_printf(parser->arena, "line %u: %s", parser->line, what);
	return -EINVAL;
}

static int take_number(struct parser *parser, const char *text, unsigned long most, unsigned long *ret_number)
{
	char *end;
	errno = 0;
	unsigned long number = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || number > most)
		return refuse(parser, "a number is out of range");
	*ret_number = number;
	return 0;
}

static int take_key(struct parser *parser, const char *text, uint8_t ret_key[TUNNEL_KEY_SIZE])
{
	return tunnel_key_parse(text, strlen(text), ret_key) < 0 ? refuse(parser, "this is no key") : 0;
}

/* A list with commas. own: host bits are kept. */
static int take_prefixes(struct parser *parser, char *text, bool own, struct prefix **list, size_t *count)
{
	if (!*list)
		*list = arena_array(parser->arena, PREFIXES_MOST, struct prefix);
	if (!*list)
		return -ENOMEM;
	char *rest = NULL;
	for (char *item = strtok_r(text, ", \t", &rest); item; item = strtok_r(NULL, ", \t", &rest)) {
		char *slash = strchr(item, '/');
		struct prefix prefix = {0};
		if (*count == PREFIXES_MOST)
			return refuse(parser, "too many addresses");
		size_t length = slash ? (size_t)(slash - item) : strlen(item);
		if (addr_parse(item, length, &prefix.addr) < 0)
			return refuse(parser, "this is no address");
		unsigned long bits = addr_bits(prefix.addr.family);
		if (slash && take_number(parser, slash + 1, bits, &bits) < 0)
			return -EINVAL;
		prefix.length = (uint8_t)bits;
		(*list)[(*count)++] = own ? prefix : prefix_of(&prefix.addr, prefix.length);
	}
	return 0;
}

static int take_endpoint(struct parser *parser, char *text)
{
	char *colon = strrchr(text, ':'), *host = text;
	unsigned long port;
	if (!colon)
		return refuse(parser, "an endpoint is HOST:PORT");
	*colon = '\0';
	size_t length = strlen(host);
	if (*host == '[' && length > 2 && host[length - 1] == ']') {
		host[length - 1] = '\0';
		host++;
	}
	if (!*host || strlen(host) > AGENT_HOST_MOST || take_number(parser, colon + 1, UINT16_MAX, &port) < 0 || !port)
		return refuse(parser, "an endpoint is HOST:PORT");
	strcpy(parser->config.host, host);
	parser->config.port = (uint16_t)port;
	return 0;
}

static int take_interface(struct parser *parser, const char *key, char *value)
{
	struct agent_config *config = &parser->config;
	unsigned long number = 0;
	int r;
	if (strcasecmp(key, "PrivateKey") == 0) {
		parser->has_private = true;
		return take_key(parser, value, config->private_key);
	}
	if (strcasecmp(key, "Address") == 0)
		return take_prefixes(parser, value, true, &config->addresses, &config->address_count);
	if (strcasecmp(key, "ListenPort") == 0) {
		r = take_number(parser, value, UINT16_MAX - 1, &number);
		config->listen = (uint16_t)number;
		return r;
	}
	if (strcasecmp(key, "MTU") == 0) {
		r = take_number(parser, value, 9000, &number);
		config->mtu = (uint32_t)number;
		return r == 0 && number < 576 ? refuse(parser, "the MTU is too small") : r;
	}
	return refuse(parser, "the agent knows PrivateKey, Address, ListenPort and MTU here");
}

static int take_peer(struct parser *parser, const char *key, char *value)
{
	struct agent_config *config = &parser->config;
	unsigned long number = 0;
	if (strcasecmp(key, "PublicKey") == 0) {
		parser->has_edge = true;
		return take_key(parser, value, config->edge);
	}
	if (strcasecmp(key, "PresharedKey") == 0) {
		config->has_preshared = true;
		return take_key(parser, value, config->preshared);
	}
	if (strcasecmp(key, "AllowedIPs") == 0)
		return take_prefixes(parser, value, false, &config->allowed, &config->allowed_count);
	if (strcasecmp(key, "Endpoint") == 0)
		return take_endpoint(parser, value);
	if (strcasecmp(key, "PersistentKeepalive") == 0) {
		int r = strcasecmp(value, "off") == 0 ? 0 : take_number(parser, value, UINT16_MAX, &number);
		config->keepalive = (uint16_t)number;
		return r;
	}
	return refuse(parser, "the agent knows PublicKey, PresharedKey, AllowedIPs, Endpoint and PersistentKeepalive here");
}

static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	size_t length = strlen(text);
	while (length && isspace((unsigned char)text[length - 1]))
		text[--length] = '\0';
	return text;
}

static int take_line(struct parser *parser, char *line)
{
	line[strcspn(line, "#")] = '\0';
	line = trim(line);
	if (!*line)
		return 0;
	if (strcasecmp(line, "[Interface]") == 0 || strcasecmp(line, "[Peer]") == 0) {
		parser->section = strcasecmp(line, "[Peer]") == 0 ? PEER : INTERFACE;
		parser->peers += parser->section == PEER;
		return parser->peers > 1 ? refuse(parser, "the agent's only peer is the edge") : 0;
	}
	char *equals = strchr(line, '=');
	if (!equals || parser->section == NOWHERE)
		return refuse(parser, "expected [Interface], [Peer] or KEY = VALUE");
	*equals = '\0';
	char *key = trim(line), *value = trim(equals + 1);
	return parser->section == PEER ? take_peer(parser, key, value) : take_interface(parser, key, value);
}

static int check(struct parser *parser)
{
	struct agent_config *config = &parser->config;
	if (!parser->has_private || !parser->has_edge || !config->address_count || !config->allowed_count || !*config->host)
		return refuse(parser, "PrivateKey, Address, PublicKey, AllowedIPs and Endpoint are needed");
	size_t length = strlen(config->device);
	if (!length || length > 15 || strspn(config->device, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
							    "._-") != length)
		return refuse(parser, "the file's name is the device's: at most 15 letters and digits, then .conf");
	config->mtu = config->mtu ? config->mtu : TUNNEL_DEFAULT_MTU;
	qsort(config->addresses, config->address_count, sizeof(struct prefix), tunnel_compare_prefixes);
	qsort(config->allowed, config->allowed_count, sizeof(struct prefix), tunnel_compare_prefixes);
	return 0;
}

int agent_config_parse(const char *path, const char *text, size_t length, struct arena *arena,
		       struct agent_config *ret_config, const char **ret_error)
{
	struct parser parser = {.arena = arena};
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t name = strlen(base);
	if (name > 5 && strcmp(base + name - 5, ".conf") == 0)
		name -= 5;
	parser.config.device = arena_printf(arena, "%.*s", (int)name, base);
	int r = parser.config.device ? 0 : -ENOMEM;
	char line[LINE_MOST];
	for (size_t at = 0; r == 0 && at < length;) {
		const char *end = memchr(text + at, '\n', length - at);
		size_t part = end ? (size_t)(end - text) - at : length - at;
		parser.line++;
		if (part >= sizeof(line) || memchr(text + at, '\0', part)) {
			r = refuse(&parser, "this is no text");
			break;
		}
		memcpy(line, text + at, part);
		line[part] = '\0';
		r = take_line(&parser, line);
		at += part + 1;
	}
	explicit_bzero(line, sizeof(line));
	if (r == 0)
		r = check(&parser);
	if (r == 0)
		*ret_config = parser.config;
	else if (r == -EINVAL)
		*ret_error = parser.error ? parser.error : "out of memory";
	explicit_bzero(&parser.config, sizeof(parser.config));
	return r;
}
