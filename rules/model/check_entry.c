/* Checks on one entry: keys that contradict each other, or that are wanted
 * because of another. What concerns two entries is in check.c. */
#include <errno.h>
#include <string.h>

#include "checks.h"
#include "reader.h"
#include "values.h"

/* Report at the value of one key of node. */
#define REFUSE(key_name, ...) refuse_key(reader, where, node, key_name, __VA_ARGS__)

static __attribute__((format(printf, 5, 6))) int refuse_key(struct reader *reader, const struct where *up,
							    const struct doc_node *node, const char *key,
							    const char *format, ...)
{
	struct where where = {.up = up, .name = key};
	const struct doc_node *value = node->kind == DOC_MAPPING ? doc_get(node, key) : NULL;
	va_list args;
	va_start(args, format);
	const char *text = arena_vprintf(reader->scratch, format, args);
	va_end(args);
	/* Counted in any case: nothing may pass because there was no memory to say why not. */
	return reader_error(reader, &where, value ? value->at : node->at, "%s", text ? text : "out of memory");
}

CHECK(check_interfaces)
{
	struct model *model = entry;
	const struct interface *wan = &model->wan, *lan = &model->lan;
	if (!lan->device)
		return 0;
	if (strcmp(wan->device, lan->device) == 0)
		REFUSE("lan", "wan and lan are the same device, %s (each leg has one of its own)", wan->device);
	return 0;
}

CHECK(check_health)
{
	struct health *health = entry;
	bool http = health->check == HEALTH_HTTP || health->check == HEALTH_HTTPS;
	static const char *const http_keys[] = {"path", "host", "status"};
	for (size_t i = 0; i < 3 && !http; i++)
		if (node->kind == DOC_MAPPING && doc_get(node, http_keys[i]))
			REFUSE(http_keys[i], "only with check: http or https");
	if (health->timeout > health->interval)
		REFUSE("timeout", "longer than the interval (a probe has to end before the next one starts)");
	if (health->path && (health->path[0] != '/' || strpbrk(health->path, " \"<>")))
		REFUSE("path", "\"%s\" is not a path (like /healthz)", health->path);
	struct addr literal;
	if (health->host && !value_is_host(health->host, strlen(health->host)) &&
	    addr_parse(health->host, strlen(health->host), &literal) < 0)
		REFUSE("host", "\"%s\" is not a host name (like www.example.net)", health->host);
	if (!http)
		return 0;
	if (!health->path)
		health->path = arena_strdup(reader->arena, "/");
	if (health->status_first == 0) {
		health->status_first = 200;
		health->status_last = 399;
	}
	return health->path ? 0 : -ENOMEM;
}

static bool has_family(const struct pool *pool, enum family family)
{
	for (size_t i = 0; i < pool->node_count; i++)
		if (pool->nodes[i]->address.family == family)
			return true;
	return false;
}

CHECK(check_forward)
{
	struct forward *forward = entry;
	bool udp = forward->protocol == PROTOCOL_UDP;
	if (udp && forward->proxy_protocol != PROXY_NONE)
		REFUSE("proxy_protocol", "a UDP forward has no PROXY header (write none, or listen on tcp)");
	if (forward->proxy_tlvs && forward->proxy_protocol != PROXY_V2)
		REFUSE("proxy_tlvs", "only with proxy_protocol: v2 (the others have no room for TLVs)");
	if (udp && forward->synproxy == TOGGLE_ON)
		REFUSE("synproxy", "UDP has no SYN to answer (leave it out, or listen on tcp)");
	if (udp && forward->log)
		REFUSE("log", "UDP has no connections to log (leave it out, or listen on tcp)");
	if (udp && forward->via == VIA_PROXY)
		REFUSE("via", "UDP is forwarded by the kernel only (write auto or kernel)");
	if (forward->via == VIA_KERNEL && forward->pool->balance == BALANCE_LEAST_CONNECTIONS)
		REFUSE("via",
		       "pool %s balances by least_connections, which the kernel cannot (write via: proxy, or another "
		       "balance)",
		       forward->pool->name);
	if (udp && forward->pool->balance == BALANCE_LEAST_CONNECTIONS)
		REFUSE("to",
		       "pool %s balances by least_connections, which UDP cannot (use a pool with another balance)",
		       forward->pool->name);
	enum family family = forward->listen_address.family;
	if ((forward->via == VIA_KERNEL || udp) && family != FAMILY_NONE && forward->pool->node_count &&
	    !has_family(forward->pool, family))
		REFUSE("to", "pool %s has no IPv%d node, and the kernel does not translate between families",
		       forward->pool->name, family);
	if (forward->limits.ban && !forward->limits.new_per_source.count)
		REFUSE("limits", "a ban needs new_per_source (it is for who keeps exceeding that)");
	if (forward->limits.ban && udp)
		REFUSE("limits", "no ban on UDP, where a source is easily forged (leave ban out, or listen on tcp)");
	const struct where from = {.up = where, .name = "from"};
	for (size_t i = 0; i < forward->from_count; i++)
		if (forward->from[i].kind == PLACE_SELF)
			reader_error(reader, &from, forward->from[i].at,
				     "this machine does not use its own forwards (remove \"self\")");
	bool one_port = forward->port_count == 1 && forward->ports[0].first == forward->ports[0].last;
	if (one_port && !forward->target_port)
		forward->target_port = forward->ports[0].first;
	return 0;
}

CHECK(check_snat)
{
	const struct snat_rule *snat = entry;
	for (size_t i = 0; i < snat->from_count; i++)
		if (snat->to.family != FAMILY_NONE && snat->from[i].addr.family != snat->to.family)
			return REFUSE("to",
				      "an IPv%d address cannot replace an IPv%d source (one SNAT rule for each family)",
				      snat->to.family, snat->from[i].addr.family);
	return 0;
}

CHECK(check_peer)
{
	const struct peer *peer = entry;
	if (peer->keepalive % 1000 != 0)
		return REFUSE("keepalive", "not a whole number of seconds (like 25s)");
	return 0;
}

CHECK(check_tunnel)
{
	static const char *const taken[] = {"wan", "lan", "self", "any", "lo", "all", "default"};
	const struct tunnel *tunnel = entry;
	const struct model *model = reader->model;
	(void)node;
	size_t length = strlen(tunnel->name);
	if (!value_is_device(tunnel->name, length))
		return reader_error(reader, where, tunnel->at,
				    "a tunnel's name is its device's name too: at most %d characters",
				    MODEL_IFNAME_MAX);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (strcmp(tunnel->name, taken[i]) == 0)
			return reader_error(reader, where, tunnel->at, "\"%s\" means something else already (like wg0)",
					    taken[i]);
	const struct interface *legs[] = {&model->wan, &model->lan};
	for (size_t i = 0; i < 2; i++)
		if (legs[i]->device && strcmp(tunnel->name, legs[i]->device) == 0)
			return reader_error(reader, where, tunnel->at, "%s is the device of a leg already (line %u)",
					    tunnel->name, legs[i]->at.line);
	return 0;
}

CHECK(check_api)
{
	struct model *model = reader->model;
	(void)entry;
	if (model->api.writer_count + model->api.reader_count == 0)
		return reader_error(reader, where, node->at,
				    "nobody may use it (name at least one of writers or readers)");
	return 0;
}

/* True when some source and some destination are of one family, or one of them is no prefix. */
static bool families_meet(const struct rule *rule)
{
	for (size_t i = 0; i < rule->from_count; i++)
		for (size_t j = 0; j < rule->to_count; j++)
			if (rule->from[i].kind != PLACE_PREFIX || rule->to[j].kind != PLACE_PREFIX ||
			    rule->from[i].prefix.addr.family == rule->to[j].prefix.addr.family)
				return true;
	return false;
}

CHECK(check_rule)
{
	struct rule *rule = entry;
	int r = strmap_put(reader->names[KIND_RULE], rule->name, rule);
	if (r == -ENOMEM)
		return r;
	if (r == -EEXIST) {
		const struct rule *first = strmap_get(reader->names[KIND_RULE], rule->name);
		REFUSE("name", "another rule has this name (%s:%u)", first->at.file, first->at.line);
	}
	if (rule->action == ACTION_ACCEPT && !rule->reason)
		reader_error(reader, where, node->at, "\"reason\" is missing (a rule that accepts says why)");
	if (rule->port_count && rule->protocol != PROTOCOL_TCP && rule->protocol != PROTOCOL_UDP)
		REFUSE("port", "ports need protocol: tcp or udp");
	if (rule->limit.count && rule->action == ACTION_DROP)
		REFUSE("limit", "a limit says how much may pass, and this rule drops everything (leave the limit out)");
	const struct where from = {.up = where, .name = "from"};
	for (size_t i = 0; i < rule->from_count; i++)
		if (rule->from[i].kind == PLACE_SELF)
			reader_error(reader, &from, rule->from[i].at,
				     "what this machine itself sends is not filtered (remove \"self\", or the rule)");
	if (!families_meet(rule))
		REFUSE("to", "no packet has an IPv4 address on one side and an IPv6 address on the other");
	return 0;
}

CHECK(check_expectation)
{
	const struct expectation *expectation = entry;
	if (!expectation->to_self && expectation->from.family != expectation->to.family)
		REFUSE("to", "no packet has an IPv4 address on one side and an IPv6 address on the other");
	if (expectation->from_port && expectation->protocol == PROTOCOL_ICMP)
		REFUSE("from", "ICMP has no ports (write the address alone)");
	if (expectation->forward && expectation->verdict != EXPECT_ACCEPT)
		REFUSE("forward",
		       "what a forward serves is accepted (write verdict: accept, or leave the forward out)");
	return 0;
}
