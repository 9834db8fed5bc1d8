/* status: one screen for a tired person. The first line says whether all is
 * well; then what is not, each with the command that comes next; then the
 * figures. */
#include "commands.h"

#include "api.h"
#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define LOOK_TIMEOUT_MS 2000 /* for what is only named more exactly */

struct status {
	struct cli *cli;
	const json_t *answer;
	size_t troubles;
	struct trouble {
		const char *what, *next;
	} *items;
	size_t capacity;
};

static void trouble(struct status *status, const char *next, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void trouble(struct status *status, const char *next, const char *format, ...)
{
	struct arena *arena = status->cli->arena;
	status->items =
		cli_need(arena_grow(arena, status->items, status->troubles, sizeof(*status->items), &status->capacity));
	va_list args;
	va_start(args, format);
	status->items[status->troubles++] = (struct trouble){cli_need(arena_vprintf(arena, format, args)), next};
	va_end(args);
}

#define NAMED_MOST 8 /* of those that are down, in one line */

/* ": a, b" of the forwards without a node that answers: a second look, only when there are any. */
static const char *forwards_down(struct cli *cli)
{
	cleanup_json json_t *list = NULL;
	const json_t *item;
	const char *names = "";
	size_t i, count = 0;
	if (api_call_quietly(cli, "GET", "/v1/forwards", LOOK_TIMEOUT_MS, &list) != CLI_DONE)
		return "";
	json_array_foreach(list, i, item) {
		if (js_int(json_object_get(item, "backends"), "up") > 0)
			continue;
		if (++count > NAMED_MOST)
			return cli_format(cli, "%s and more", names);
		names = cli_format(cli, "%s%s%s", names, *names ? ", " : ": ", js_text(item, "name"));
	}
	return names;
}

/* "k8s-3 (timeout)" when no port of a node answers and all for one reason, else "k8s-3 port 80 (timeout), ...";
 * "" when all answer. Adds to *count. */
static const char *node_down(struct cli *cli, const json_t *node, size_t *count)
{
	const json_t *ports = json_object_get(node, "ports"), *port;
	const char *name = js_text(node, "name"), *each = "", *first = NULL;
	size_t i, down = 0;
	bool alike = true;
	json_array_foreach(ports, i, port) {
		const char *why = js_text(port, "why");
		if (js_bool(port, "up"))
			continue;
		first = first ? first : why;
		alike = alike && strcmp(why, first) == 0;
		if (++down <= NAMED_MOST)
			each = cli_format(cli, "%s%s%s port %s%s%s%s", each, *each ? ", " : "", name, js_any(cli, port, "port"),
					  *why ? " (" : "", why, *why ? ")" : "");
	}
	*count += down;
	if (down > 1 && alike && down == json_array_size(ports))
		return cli_format(cli, "%s%s%s%s", name, *first ? " (" : "", first, *first ? ")" : "");
	return down > NAMED_MOST ? cli_format(cli, "%s and more", each) : each;
}

/* ": ..." of the nodes' ports that do not answer, draining nodes left out; *ret_count ports. */
static const char *ports_down(struct cli *cli, size_t *ret_count)
{
	cleanup_json json_t *list = NULL;
	const json_t *node;
	const char *names = "";
	size_t i, count = 0, nodes = 0;
	if (api_call_quietly(cli, "GET", "/v1/nodes", LOOK_TIMEOUT_MS, &list) != CLI_DONE)
		return "";
	json_array_foreach(list, i, node) {
		const char *down = js_bool(node, "draining") ? "" : node_down(cli, node, &count);
		if (*down && ++nodes <= NAMED_MOST)
			names = cli_format(cli, "%s%s%s", names, *names ? ", " : ": ", down);
	}
	*ret_count = count;
	return nodes > NAMED_MOST ? cli_format(cli, "%s and more", names) : names;
}

static void look_at_pending(struct status *status)
{
	const json_t *pending = json_object_get(status->answer, "pending");
	if (json_is_object(pending))
		trouble(status, "edgectl confirm (keeps it), edgectl rollback (goes back now)",
			"revision %" PRId64 " is not confirmed: the one before it comes back in %" PRId64 " s",
			js_int(pending, "revision"), js_int(pending, "seconds_left"));
}

static void look_at_kernel(struct status *status)
{
	const json_t *kernel = json_object_get(status->answer, "kernel");
	if (!js_int(status->answer, "revision"))
		trouble(status, "edgectl apply", "no configuration is in force: all is closed but a way in to mend it");
	else if (!js_bool(kernel, "in_sync"))
		trouble(status, "edgectl plan (shows the difference), edgectl apply (puts it right)",
			"the kernel's rules are not those of the configuration");
}

static void look_at_tunnels(struct status *status)
{
	const json_t *tunnels = json_object_get(status->answer, "tunnels");
	if (*js_text(tunnels, "why"))
		trouble(status, "edgectl show tunnels", "%s", js_text(tunnels, "why"));
	const json_t *waits = json_object_get(tunnels, "rotation_waits"), *wait;
	const char *names = "";
	size_t i, count = 0;
	json_array_foreach(waits, i, wait) {
		const json_t *next = json_array_get(waits, i + 1);
		const char *tunnel = js_text(wait, "tunnel");
		if (++count <= NAMED_MOST)
			names = cli_format(status->cli, "%s%s%s", names, count > 1 ? ", " : "", js_text(wait, "peer"));
		if (next && strcmp(js_text(next, "tunnel"), tunnel) == 0)
			continue;
		if (count > NAMED_MOST)
			names = cli_format(status->cli, "%s and %zu more", names, count - NAMED_MOST);
		trouble(status, "edgectl peer export, edgectl show tunnels (why)", "the change of %s's keys waits for %s%s%s",
			tunnel, names, count == 1 ? ": " : "", count == 1 ? js_text(wait, "why") : "");
		names = "";
		count = 0;
	}
}

static void look_at_roles(struct status *status)
{
	const json_t *role;
	size_t i;
	json_array_foreach(json_object_get(status->answer, "roles"), i, role) {
		const char *name = js_text(role, "name"), *state = js_text(role, "state");
		if (strcmp(state, "running") != 0)
			trouble(status, "journalctl -u edged -n 50", "role %s is %s", name, *state ? state : "unknown");
	}
}

static void look_at_backends(struct status *status)
{
	struct cli *cli = status->cli;
	const json_t *nodes = json_object_get(status->answer, "nodes"), *forwards = json_object_get(status->answer, "forwards");
	int64_t down = js_int(forwards, "down"), nodes_down = js_int(nodes, "down");
	size_t count = 0;
	const char *ports = ports_down(cli, &count);
	if (down)
		trouble(status, "edgectl show nodes (says why)",
			"%" PRId64 " of %" PRId64 " forwards %s no node that answers and refuse%s connections%s", down,
			js_int(forwards, "total"), down == 1 ? "has" : "have", down == 1 ? "s" : "", forwards_down(cli));
	if (nodes_down)
		trouble(status, "edgectl show nodes (since when), then look at the node", "%" PRId64 " node%s on no port%s",
			nodes_down, nodes_down == 1 ? " answers" : "s answer", ports);
	else if (count)
		trouble(status, "edgectl show nodes (since when), then look at the node",
			"%zu port%s of nodes %s not answer%s", count, count == 1 ? "" : "s", count == 1 ? "does" : "do", ports);
}

static void print_verdict(struct status *status)
{
	struct cli *cli = status->cli;
	bool well = !status->troubles;
	enum tone tone = well ? TONE_GOOD : TONE_BAD;
	fprintf(cli->out, "%s%s%s", text_tone(cli->color, tone), well ? "All is well." : "NOT WELL:",
		text_plain(cli->color, tone));
	if (well)
		fputc('\n', cli->out);
	else
		cli_line(cli, " %zu thing%s.", status->troubles, status->troubles == 1 ? " needs you" : "s need you");
	for (size_t i = 0; i < status->troubles; i++) {
		cli_line(cli, "  %zu. %s", i + 1, status->items[i].what);
		cli_line(cli, "     next: %s", status->items[i].next);
	}
}

static void print_tunnels(struct cli *cli, const json_t *tunnels)
{
	const char *backend = js_text(tunnels, "backend");
	if (js_int(tunnels, "total"))
		cli_line(cli, "  tunnels   %" PRId64 ": %" PRId64 " up, by %s", js_int(tunnels, "total"), js_int(tunnels, "up"),
			 strcmp(backend, "kernel") == 0 ? "the kernel" : "wireguard-go");
}

/* Which plane, for whom, and why: a line for all forwards of which the same is to be said. */
static void print_planes(struct status *status)
{
	struct cli *cli = status->cli;
	const json_t *groups = json_object_get(json_object_get(status->answer, "planes"), "why"), *group, *name;
	size_t i, j;
	json_array_foreach(groups, i, group) {
		const json_t *forwards = json_object_get(group, "forwards");
		const char *names = "", *clients = js_text(group, "clients"), *plane = js_text(group, "plane");
		json_array_foreach(forwards, j, name) {
			if (j < NAMED_MOST)
				names = cli_format(cli, "%s%s%s", names, j ? ", " : "", json_string_value(name));
		}
		if (json_array_size(forwards) > NAMED_MOST)
			names = cli_format(cli, "%s and %zu more", names, json_array_size(forwards) - NAMED_MOST);
		cli_line(cli, "            %s%s: %s (%s)", strcmp(plane, "none") == 0 ? "refused" : plane,
			 strcmp(clients, "ipv4") == 0   ? ", IPv4 clients"
			 : strcmp(clients, "ipv6") == 0 ? ", IPv6 clients"
							: "",
			 names, js_text(group, "why"));
	}
}

static void print_figures(struct status *status)
{
	struct cli *cli = status->cli;
	const json_t *answer = status->answer, *role;
	const json_t *nodes = json_object_get(answer, "nodes"), *forwards = json_object_get(answer, "forwards");
	const json_t *planes = json_object_get(answer, "planes"), *kernel = json_object_get(answer, "kernel");
	const char *applied = js_text(answer, "applied_at"), *roles = "", *pressed = "";
	time_t since;
	const char *age = "";
	if (text_parse_time(applied, &since) == 0)
		age = cli_format(cli, " UTC (%s ago)", (char *)cli_need(text_age(cli->arena, time(NULL) - since)));
	cli_line(cli, "  revision  %" PRId64 "%s%s%s", js_int(answer, "revision"), *applied ? ", applied " : "",
		 *applied ? (char *)cli_need(text_time(cli->arena, applied)) : "", age);
	cli_line(cli, "  forwards  %" PRId64 ": %" PRId64 " up, %" PRId64 " down (%" PRId64 " by the kernel, %" PRId64
		 " by the proxy)", js_int(forwards, "total"), js_int(forwards, "up"), js_int(forwards, "down"),
		 js_int(planes, "kernel"), js_int(planes, "proxy"));
	print_planes(status);
	const json_t *name;
	size_t at;
	json_array_foreach(json_object_get(answer, "synproxy"), at, name)
		pressed = cli_format(cli, "%s%s%s", pressed, at ? ", " : "", json_string_value(name));
	if (*pressed)
		cli_line(cli, "  synproxy  on: %s", pressed);
	cli_line(cli, "  nodes     %" PRId64 " up, %" PRId64 " down, %" PRId64 " draining", js_int(nodes, "up"),
		 js_int(nodes, "down"), js_int(nodes, "draining"));
	print_tunnels(cli, json_object_get(answer, "tunnels"));
	cli_line(cli, "  kernel    %s, %s, generation %" PRId64, js_bool(kernel, "in_sync") ? "in sync" : "NOT in sync",
		 js_bool(kernel, "owner") ? "table protected from other tools" : "table not protected (repaired when changed)",
		 js_int(kernel, "generation"));
	size_t i;
	json_array_foreach(json_object_get(answer, "roles"), i, role)
		roles = cli_format(cli, "%s%s%s", roles, i ? ", " : "", js_text(role, "name"));
	cli_line(cli, "  edged     %s%s%s%s", js_text(answer, "version"), *roles ? " (" : "", roles, *roles ? ")" : "");
}

static void print_notes(struct status *status)
{
	struct cli *cli = status->cli;
	const json_t *inactive = json_object_get(status->answer, "inactive"), *item;
	const json_t *warnings = json_object_get(status->answer, "warnings");
	size_t i;
	if (json_array_size(inactive)) {
		cli_blank(cli);
		cli_line(cli, "In the configuration, but not active:");
	}
	json_array_foreach(inactive, i, item)
		cli_line(cli, "  %s: %s", js_text(item, "section"), js_text(item, "why"));
	if (json_array_size(warnings)) {
		cli_blank(cli);
		cli_line(cli, "Warnings:");
	}
	json_array_foreach(warnings, i, item)
		cli_line(cli, "  %s", js_any(cli, item, NULL));
}

int cmd_status(struct cli *cli)
{
	cleanup_json json_t *answer = NULL;
	int result = api_call(cli, "GET", "/v1/status", NULL, &answer);
	if (result != CLI_DONE)
		return result;
	if (!json_is_object(answer) || !json_is_object(json_object_get(answer, "kernel")))
		return api_unknown(cli, "/v1/status");
	if (cli->json)
		return api_print(cli, answer);
	struct status status = {.cli = cli, .answer = answer};
	look_at_pending(&status);
	look_at_kernel(&status);
	look_at_roles(&status);
	look_at_tunnels(&status);
	look_at_backends(&status);
	print_verdict(&status);
	fputc('\n', cli->out);
	print_figures(&status);
	print_notes(&status);
	return CLI_DONE;
}
