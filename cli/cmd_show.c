/* show forwards, nodes, rules, tunnels, limits, bans, connections, config:
 * each one request and one table. */
#include "commands.h"

#include "api.h"
#include "show.h"
#include "table.h"

#include <inttypes.h>
#include <string.h>

static void add_columns(struct table *table, const char *const *titles, const char *aligns)
{
	for (size_t i = 0; titles[i]; i++)
		table_column(table, titles[i], aligns[i] == 'r' ? ALIGN_RIGHT : ALIGN_LEFT);
}

static const char *seconds_left(struct cli *cli, const json_t *item)
{
	if (!json_is_number(json_object_get(item, "seconds_left")))
		return "for good";
	return cli_need(text_age(cli->arena, js_int(item, "seconds_left")));
}

/* Which plane serves a forward's clients, and why; both families in one line where they are served alike. */
static void print_planes(struct cli *cli, const json_t *forward)
{
	const json_t *planes = json_object_get(forward, "planes"), *first = json_array_get(planes, 0), *plane;
	const json_t *synproxy = json_object_get(forward, "synproxy");
	size_t i;
	bool alike = true;
	json_array_foreach(planes, i, plane)
		alike = alike && strcmp(js_text(plane, "why"), js_text(first, "why")) == 0;
	json_array_foreach(planes, i, plane) {
		const char *name = js_text(plane, "plane");
		if (i && alike)
			break;
		cli_line(cli, "%s%s: %s: %s", js_text(forward, "name"),
			 alike					     ? ""
			 : strcmp(js_text(plane, "clients"), "ipv6") == 0 ? ", IPv6 clients"
									  : ", IPv4 clients",
			 strcmp(name, "none") == 0 ? "refused" : name, js_text(plane, "why"));
	}
	if (js_bool(synproxy, "on"))
		cli_line(cli, "%s: synproxy is on (%s)", js_text(forward, "name"), js_text(synproxy, "mode"));
}

int cmd_show_forwards(struct cli *cli)
{
	static const char *const titles[] = {"forward", "listen", "to",      "proxy",   "plane",   "up",    "open",
					     "total",	"bytes",  "limited", "refused", "where", "reason", NULL};
	cleanup_json json_t *list = NULL;
	const json_t *item;
	size_t i;
	int result = show_fetch(cli, "/v1/forwards", "name", argument_text(cli->parsed, 0), &list);
	if (result != CLI_DONE || !list)
		return result;
	struct table *table = table_new(cli);
	add_columns(table, titles, "lllllrrrrrrll");
	json_array_foreach(list, i, item) {
		const json_t *backends = json_object_get(item, "backends"), *flows = json_object_get(item, "connections");
		int64_t up = js_int(backends, "up"), total = js_int(backends, "total");
		table_cell(table, TONE_PLAIN, js_text(item, "name"));
		table_cellf(table, TONE_PLAIN, "%s/%s", js_any(cli, item, "listen"), js_text(item, "protocol"));
		table_cellf(table, TONE_PLAIN, js_int(item, "target_port") ? "%s:%" PRId64 : "%s", js_text(item, "pool"),
			    js_int(item, "target_port"));
		table_cell(table, TONE_PLAIN, js_text(item, "proxy_protocol"));
		table_cell(table, TONE_PLAIN, js_text(item, "plane"));
		table_cellf(table, up == 0 ? TONE_BAD : up < total ? TONE_WARN : TONE_GOOD, "%" PRId64 "/%" PRId64, up, total);
		table_cell(table, TONE_PLAIN, show_count(cli, js_int(flows, "open")));
		table_cell(table, TONE_PLAIN, show_count(cli, js_int(flows, "total")));
		table_cell(table, TONE_PLAIN, text_bytes(cli->arena, js_int(item, "bytes")));
		table_cell(table, TONE_PLAIN, show_count(cli, js_int(item, "limited")));
		table_cell(table, TONE_PLAIN, show_count(cli, js_int(item, "refused")));
		table_cell(table, TONE_DIM, show_place(cli, item));
		table_cell(table, TONE_PLAIN, js_text(item, "reason"));
	}
	table_print(table, "no forwards");
	if (json_array_size(list))
		cli_blank(cli);
	json_array_foreach(list, i, item)
		print_planes(cli, item);
	return CLI_DONE;
}

static void add_node(struct cli *cli, struct table *table, const json_t *node, const json_t *port)
{
	bool draining = js_bool(node, "draining"), up = js_bool(port, "up");
	table_cell(table, TONE_PLAIN, js_text(node, "name"));
	table_cell(table, TONE_PLAIN, js_text(node, "address"));
	table_cell(table, TONE_PLAIN, *js_text(node, "tunnel") ? js_text(node, "tunnel") : "lan");
	table_cell(table, TONE_PLAIN, js_any(cli, node, "pools"));
	table_cell(table, TONE_PLAIN, js_any(cli, port, "port"));
	if (!port)
		table_cell(table, draining ? TONE_WARN : TONE_PLAIN, draining ? "draining" : "");
	else if (draining)
		table_cell(table, TONE_WARN, up ? "draining" : "draining, down");
	else
		table_cell(table, up ? TONE_GOOD : TONE_BAD, up ? "up" : "down");
	table_cell(table, TONE_PLAIN, text_time(cli->arena, js_text(port, "since")));
	table_cell(table, TONE_PLAIN, js_text(port, "why"));
}

int cmd_show_nodes(struct cli *cli)
{
	static const char *const titles[] = {"node", "address", "by", "pools", "port", "state", "since (UTC)", "why", NULL};
	cleanup_json json_t *list = NULL;
	const json_t *item, *port;
	size_t i, j;
	int result = show_fetch(cli, "/v1/nodes", "name", argument_text(cli->parsed, 0), &list);
	if (result != CLI_DONE || !list)
		return result;
	struct table *table = table_new(cli);
	add_columns(table, titles, "llllrlll");
	json_array_foreach(list, i, item) {
		const json_t *ports = json_object_get(item, "ports");
		json_array_foreach(ports, j, port)
			add_node(cli, table, item, port);
		if (!json_array_size(ports))
			add_node(cli, table, item, NULL);
	}
	table_print(table, "no nodes");
	return CLI_DONE;
}

static enum tone tone_of_action(const char *action)
{
	return strcmp(action, "accept") == 0 ? TONE_GOOD : *action ? TONE_BAD : TONE_PLAIN;
}

int cmd_show_rules(struct cli *cli)
{
	static const char *const titles[] = {"rule",	"from",	   "to",    "protocol", "ports", "limit", "action",
					     "packets", "limited", "where", "reason",	NULL};
	cleanup_json json_t *list = NULL;
	const json_t *item;
	size_t i;
	int result = show_fetch(cli, "/v1/rules", "name", argument_text(cli->parsed, 0), &list);
	if (result != CLI_DONE || !list)
		return result;
	struct table *table = table_new(cli);
	add_columns(table, titles, "lllllllrrll");
	json_array_foreach(list, i, item) {
		bool implied = js_bool(item, "implied");
		table_cell(table, implied ? TONE_DIM : TONE_PLAIN, js_text(item, "name"));
		table_cell(table, TONE_PLAIN, js_any(cli, item, "from"));
		table_cell(table, TONE_PLAIN, js_any(cli, item, "to"));
		table_cell(table, TONE_PLAIN, js_any(cli, item, "protocol"));
		table_cell(table, TONE_PLAIN, js_any(cli, item, "ports"));
		table_cell(table, TONE_PLAIN, js_any(cli, item, "limit"));
		table_cell(table, tone_of_action(js_text(item, "action")), js_text(item, "action"));
		table_cell(table, TONE_PLAIN, show_count(cli, js_int(item, "packets")));
		table_cell(table, TONE_PLAIN, show_count(cli, js_int(item, "limited")));
		table_cell(table, TONE_DIM, implied ? "implied" : show_place(cli, item));
		table_cell(table, TONE_PLAIN, js_text(item, "reason"));
	}
	table_print(table, "no rules");
	return CLI_DONE;
}

static const char *handshake_text(struct cli *cli, const json_t *peer)
{
	if (!json_is_integer(json_object_get(peer, "handshake_age_seconds")))
		return "never";
	return cli_format(cli, "%s ago", text_age(cli->arena, js_int(peer, "handshake_age_seconds")));
}

static void add_tunnel(struct cli *cli, struct table *table, const json_t *tunnel, const json_t *peer)
{
	bool active = js_bool(tunnel, "active");
	table_cell(table, TONE_PLAIN, js_text(tunnel, "name"));
	table_cell(table, active ? TONE_GOOD : TONE_WARN, active ? "active" : "not active");
	table_cell(table, TONE_PLAIN, js_any(cli, tunnel, "listen"));
	table_cell(table, TONE_PLAIN, js_any(cli, tunnel, "addresses"));
	table_cell(table, TONE_PLAIN, js_text(tunnel, "backend"));
	table_cell(table, TONE_PLAIN, js_text(peer, "name"));
	if (!peer)
		return;
	const char *now = js_text(peer, "endpoint_now");
	bool up = js_bool(peer, "up");
	table_cell(table, up ? TONE_GOOD : TONE_BAD, up ? "up" : "down");
	table_cell(table, TONE_PLAIN, *now ? now : js_text(peer, "endpoint"));
	table_cell(table, TONE_PLAIN, handshake_text(cli, peer));
	table_cell(table, TONE_PLAIN, text_bytes(cli->arena, js_int(peer, "received")));
	table_cell(table, TONE_PLAIN, text_bytes(cli->arena, js_int(peer, "sent")));
	table_cell(table, TONE_PLAIN, js_any(cli, peer, "allowed_ips"));
	table_cell(table, TONE_DIM, js_text(peer, "why"));
}

static void tell_rotation(struct cli *cli, const json_t *tunnel)
{
	const json_t *rotation = json_object_get(tunnel, "rotation"), *wait;
	const char *name = js_text(tunnel, "name");
	size_t i;
	if (!json_is_object(rotation))
		return;
	cli_line(cli, "%s: its keys are being changed: device %s, port %s, our new public key is %s", name,
		 js_text(rotation, "device"), js_any(cli, rotation, "listen"), js_text(rotation, "public_key"));
	json_array_foreach(json_object_get(rotation, "waits_for"), i, wait)
		cli_toned(cli, TONE_WARN, "%s: waits for %s: %s", name, js_text(wait, "peer"), js_text(wait, "why"));
}

int cmd_show_tunnels(struct cli *cli)
{
	static const char *const titles[] = {"tunnel",   "state",     "port",     "addresses", "backend",     "peer", "peer is",
					     "endpoint", "handshake", "received", "sent",      "allowed IPs", "why",  NULL};
	cleanup_json json_t *list = NULL;
	const json_t *item, *peer;
	size_t i, j;
	int result = show_fetch(cli, "/v1/tunnels", "name", argument_text(cli->parsed, 0), &list);
	if (result != CLI_DONE || !list)
		return result;
	struct table *table = table_new(cli);
	add_columns(table, titles, "llrllllllrrll");
	json_array_foreach(list, i, item) {
		const json_t *peers = json_object_get(item, "peers");
		json_array_foreach(peers, j, peer)
			add_tunnel(cli, table, item, peer);
		if (!json_array_size(peers))
			add_tunnel(cli, table, item, NULL);
	}
	table_print(table, "no tunnels");
	json_array_foreach(list, i, item) {
		if (*js_text(item, "public_key"))
			cli_line(cli, "%s: our public key is %s", js_text(item, "name"), js_text(item, "public_key"));
		tell_rotation(cli, item);
		if (!js_bool(item, "active") && *js_text(item, "why"))
			cli_line(cli, "%s: not active: %s", js_text(item, "name"), js_text(item, "why"));
	}
	return CLI_DONE;
}

int cmd_show_limits(struct cli *cli)
{
	static const char *const titles[] = {"forward", "limit", "value", "family", "sources", "room", "dropped", NULL};
	cleanup_json json_t *list = NULL;
	const json_t *item;
	size_t i;
	int result = show_fetch(cli, "/v1/limits", "forward", argument_text(cli->parsed, 0), &list);
	if (result != CLI_DONE || !list)
		return result;
	struct table *table = table_new(cli);
	add_columns(table, titles, "llllrrr");
	json_array_foreach(list, i, item) {
		int64_t sources = js_int(item, "sources"), size = js_int(item, "size");
		table_cell(table, TONE_PLAIN, js_text(item, "forward"));
		table_cell(table, TONE_PLAIN, js_text(item, "limit"));
		table_cell(table, TONE_PLAIN, js_any(cli, item, "value"));
		table_cell(table, TONE_PLAIN, js_any(cli, item, "family"));
		table_cell(table, size && sources >= size ? TONE_BAD : TONE_PLAIN, js_any(cli, item, "sources"));
		table_cell(table, TONE_PLAIN, js_any(cli, item, "size"));
		table_cell(table, js_int(item, "dropped") ? TONE_WARN : TONE_PLAIN, show_count(cli, js_int(item, "dropped")));
	}
	table_print(table, "no limits");
	return CLI_DONE;
}

int cmd_show_bans(struct cli *cli)
{
	static const char *const titles[] = {"address", "by", "forward", "still", "until (UTC)", NULL};
	cleanup_json json_t *list = NULL;
	const json_t *item;
	size_t i;
	int result = show_fetch(cli, "/v1/bans", "address", argument_text(cli->parsed, 0), &list);
	if (result != CLI_DONE || !list)
		return result;
	struct table *table = table_new(cli);
	add_columns(table, titles, "lllrl");
	json_array_foreach(list, i, item) {
		table_cell(table, TONE_PLAIN, js_text(item, "address"));
		table_cell(table, TONE_PLAIN, js_text(item, "by"));
		table_cell(table, TONE_PLAIN, js_text(item, "forward"));
		table_cell(table, TONE_PLAIN, seconds_left(cli, item));
		table_cell(table, TONE_PLAIN, text_time(cli->arena, js_text(item, "expires")));
	}
	table_print(table, "nobody is banned");
	return CLI_DONE;
}

int cmd_show_connections(struct cli *cli)
{
	static const char *const titles[] = {"proto", "client", "forward", "node", "node address", "plane",
					     "state", "header", "age", "in", "out", "unique id", NULL};
	cleanup_json json_t *list = NULL;
	const json_t *item;
	size_t i;
	const char *forward = argument_text(cli->parsed, 0), *path = "/v1/connections";
	if (forward)
		path = cli_format(cli, "%s?forward=%s", path, api_encode(cli, forward));
	int result = show_fetch(cli, path, NULL, NULL, &list);
	if (result != CLI_DONE || !list)
		return result;
	struct table *table = table_new(cli);
	add_columns(table, titles, "llllllllrrrl");
	json_array_foreach(list, i, item) {
		table_cell(table, TONE_PLAIN, js_text(item, "protocol"));
		table_cell(table, TONE_PLAIN, js_text(item, "client"));
		table_cell(table, TONE_PLAIN, js_text(item, "forward"));
		table_cell(table, TONE_PLAIN, js_text(item, "node"));
		table_cell(table, TONE_PLAIN, js_text(item, "node_address"));
		table_cell(table, TONE_PLAIN, js_text(item, "plane"));
		table_cell(table, TONE_PLAIN, js_text(item, "state"));
		table_cell(table, TONE_PLAIN, js_text(item, "header"));
		table_cell(table, TONE_PLAIN, json_is_number(json_object_get(item, "age_seconds"))
						      ? text_age(cli->arena, js_int(item, "age_seconds"))
						      : "");
		table_cell(table, TONE_PLAIN, text_bytes(cli->arena, js_int(item, "bytes_in")));
		table_cell(table, TONE_PLAIN, text_bytes(cli->arena, js_int(item, "bytes_out")));
		table_cell(table, TONE_PLAIN, js_text(item, "unique_id"));
	}
	table_print(table, "no connections");
	return CLI_DONE;
}

int cmd_show_config(struct cli *cli)
{
	cleanup_json json_t *answer = NULL;
	const char *revision = option_text(cli->parsed, "revision"), *name = argument_text(cli->parsed, 0);
	const char *path = revision ? cli_format(cli, "/v1/config?revision=%s", revision) : "/v1/config";
	/* Blocklists may be huge: they come when they are asked for by name, or as JSON. */
	if (!name && !cli->json)
		path = cli_format(cli, "%s%cblocklists=no", path, revision ? '&' : '?');
	int result = api_call(cli, "GET", path, NULL, &answer);
	if (result != CLI_DONE)
		return result;
	const json_t *files = json_object_get(answer, "files"), *item;
	size_t i, shown = 0, all = json_array_size(files);
	if (!json_is_array(files))
		return api_unknown(cli, path);
	if (cli->json)
		return api_print(cli, answer);
	json_array_foreach(files, i, item) {
		if (name && strcmp(js_text(item, "name"), name) != 0)
			continue;
		/* One file is printed as it is, so that it can be written to a file again. */
		if (!name && all > 1)
			cli_line(cli, "# ---- %s ----", js_text(item, "name"));
		fputs(cli_need(text_block(cli->arena, js_text(item, "text"))), cli->out);
		shown++;
	}
	if (name && !shown) {
		cli_error(cli, "revision %" PRId64 " has no file \"%s\"", js_int(answer, "revision"), name);
		return CLI_REFUSED;
	}
	return CLI_DONE;
}
