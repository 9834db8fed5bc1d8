/* What is shown: status, forwards, nodes, rules, limits, bans, explain. Reads
 * the server's state and changes nothing. */
#include "answer_show.h"

#include "injection.h"
#include "kernel/header.h"
#include "tunnel_watch.h"

#include "../rules/ask/ask.h"
#include "../rules/ask/question.h"
#include "../rules/state/compile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROLES_MOST 300
#define REFUSED_LINES_MOST 16

bool answer_ready(struct server *server, struct request *request)
{
	if (engine_model(server->engine))
		return true;
	respond_error(server, request->id, 409, NULL, "no configuration is in force yet%s%s",
		      server->closed_why ? ": " : "", server->closed_why ? server->closed_why : "");
	return false;
}

void answer_fill(struct server *server, struct request *request, struct show *show)
{
	server_settle(server);
	uint64_t now = server_now();
	*show = (struct show){.model = engine_model(server->engine),
			      .run = runtime_view(server->runtime, now),
			      .desired = engine_desired(server->engine),
			      .now = now};
	show->health = runtime_health(server->runtime, &show->health_count);
	struct counter_value *values;
	if (server->kernel->ops->counters(server->kernel, request->arena, &values, &show->counter_count) == 0)
		show->counters = values;
}

/* The content of the dynamic sets; only those whose name begins with prefix. */
static void fill_dynamics(struct server *server, struct request *request, struct show *show, const char *prefix)
{
	const struct state *desired = show->desired;
	struct show_dynamic *list = arena_array(request->arena, desired->set_count + 1, struct show_dynamic);
	for (size_t i = 0; list && i < desired->set_count; i++) {
		const struct set *set = &desired->sets[i];
		struct dynamic_element *elements;
		size_t count;
		if (!set->dynamic || strncmp(set->name, prefix, strlen(prefix)) != 0 ||
		    server->kernel->ops->dynamic_elements(server->kernel, set->name, request->arena, &elements,
							  &count) < 0)
			continue;
		list[show->dynamic_count++] = (struct show_dynamic){set->name, elements, count};
	}
	show->dynamics = list;
}

static json_t *status_pending(struct server *server)
{
	struct history_pending pending;
	if (!history_pending(server->history, &pending))
		return json_null();
	uint64_t left = history_pending_seconds_left(&pending);
	return json_pack("{s:i, s:o, s:I}", "revision", (int)pending.revision, "deadline",
			 show_time(server_now() + left), "seconds_left", (json_int_t)left);
}

static json_t *status_inactive(struct server *server)
{
	json_t *list = json_array();
	const struct model *model = engine_model(server->engine);
	bool can = runtime_view(server->runtime, server_now())->kernel_synproxy, asked = false;
	for (size_t i = 0; model && i < model->forward_count; i++)
		asked |= model->forwards[i].synproxy == TOGGLE_ON;
	if (asked && !can)
		json_array_append_new(list, json_pack("{s:s, s:s}", "section", "forwards.*.synproxy", "why",
						      "this kernel has no synproxy (nft_synproxy)"));
	return list;
}

static const char *const plane_names[] = {[PLANE_NONE] = "none", [PLANE_KERNEL] = "kernel", [PLANE_PROXY] = "proxy"};

/* Forwards that share plane and reason, as one entry of the list. */
static void group_forward(json_t *list, const struct forward *forward, const char *clients, struct plane_choice choice)
{
	json_t *group = NULL, *at;
	size_t i;
	json_array_foreach(list, i, at) {
		if (strcmp(json_string_value(json_object_get(at, "clients")), clients) == 0 &&
		    strcmp(json_string_value(json_object_get(at, "plane")), plane_names[choice.plane]) == 0 &&
		    strcmp(json_string_value(json_object_get(at, "why")), choice.why) == 0)
			group = at;
	}
	if (!group) {
		group = json_pack("{s:s, s:s, s:s, s:[]}", "plane", plane_names[choice.plane], "clients", clients, "why",
				  choice.why, "forwards");
		if (json_array_append_new(list, group) < 0)
			return;
	}
	json_array_append_new(json_object_get(group, "forwards"), show_text(forward->name));
}

/* Which plane serves whom, and why: one entry for all forwards of which the same is to be said. */
static json_t *status_planes(const struct show *show)
{
	int kernel = 0, proxy = 0;
	json_t *list = json_array();
	for (size_t i = 0; show->model && i < show->model->forward_count; i++) {
		const struct forward *forward = &show->model->forwards[i];
		struct plane_choice v4 = compile_plane(show->model, show->run, forward, FAMILY_V4);
		struct plane_choice v6 = compile_plane(show->model, show->run, forward, FAMILY_V6);
		kernel += v4.plane == PLANE_KERNEL || v6.plane == PLANE_KERNEL;
		proxy += v4.plane == PLANE_PROXY && v6.plane != PLANE_KERNEL;
		if (v4.plane == v6.plane && strcmp(v4.why, v6.why) == 0) {
			group_forward(list, forward, "all", v4);
			continue;
		}
		if (forward->listen_address.family != FAMILY_V6)
			group_forward(list, forward, "ipv4", v4);
		if (forward->listen_address.family != FAMILY_V4)
			group_forward(list, forward, "ipv6", v6);
	}
	return json_pack("{s:i, s:i, s:o}", "kernel", kernel, "proxy", proxy, "why", list);
}

/* The programs that add the PROXY header: where they are, and what they have done. */
static json_t *status_headers(struct server *server, const struct rundata *run)
{
	const struct headers *headers = injection_headers(server->injection);
	json_t *devices = json_array(), *counters = json_object();
	for (size_t i = 0; i < run->header_device_count; i++)
		json_array_append_new(devices, show_text(run->header_devices[i].name));
	uint64_t values[HEADERS_COUNTERS];
	if (headers && headers_counters(headers, values) == 0)
		for (size_t i = 0; i < HEADERS_COUNTERS; i++)
			json_object_set_new(counters, headers_counter_names[i], json_integer((json_int_t)values[i]));
	uint32_t entries = 0, room = 0;
	if (headers)
		headers_usage(headers, &entries, &room);
	return json_pack("{s:b, s:o, s:o, s:I, s:I, s:o}", "loaded", headers != NULL, "devices", devices, "why",
			 run->header_device_count ? json_null() : show_text(run->header_why), "flows",
			 (json_int_t)entries, "room", (json_int_t)room, "counters", counters);
}

static json_t *status_synproxy(const struct show *show)
{
	json_t *list = json_array();
	for (size_t i = 0; show->model && i < show->model->forward_count; i++)
		if (compile_synproxy_on(show->run, &show->model->forwards[i]))
			json_array_append_new(list, show_text(show->model->forwards[i].name));
	return list;
}

static json_t *status_roles(struct server *server)
{
	struct role_info list[ROLES_MOST];
	size_t count = roles_list(server->roles, list, ROLES_MOST);
	json_t *roles = json_array();
	json_array_append_new(roles,
			      json_pack("{s:s, s:i, s:s}", "name", "main", "pid", (int)getpid(), "state", "running"));
	for (size_t i = 0; i < count; i++) {
		char name[32];
		snprintf(name, sizeof(name), list[i].role == ROLE_PROXY ? "%s %u" : "%s", role_names[list[i].role],
			 list[i].index);
		json_array_append_new(roles, json_pack("{s:s, s:i, s:s}", "name", name, "pid", (int)list[i].pid,
						       "state", list[i].state));
	}
	return roles;
}

static json_t *status_nodes(const struct show *show)
{
	int up = 0, down = 0;
	for (size_t i = 0; show->model && i < show->model->node_count; i++) {
		bool any = false;
		for (size_t j = 0; j < show->health_count; j++)
			any |= show->health[j].up && strcmp(show->health[j].node, show->model->nodes[i].name) == 0;
		up += any;
		down += !any;
	}
	return json_pack("{s:i, s:i, s:i}", "up", up, "down", down, "draining", (int)show->run->draining_count);
}

static json_t *status_tunnels(struct server *server)
{
	const struct model *model = engine_model(server->engine);
	const struct tunnel_list *seen = engine_tunnels(server->engine, false);
	int up = 0, total = model ? (int)model->tunnel_count : 0;
	for (int i = 0; i < total; i++) {
		struct tunnel_slot slots[COMPILE_SLOTS];
		(void)compile_slots(runtime_view(server->runtime, server_now()), &model->tunnels[i], slots);
		const struct tunnel_state *tunnel = tunnel_find(seen, slots[0].device);
		up += tunnel && tunnel->up && !tunnel->broken && !tunnel->foreign;
	}
	size_t count = 0;
	cleanup_arena struct arena *arena = arena_new();
	const struct show_peer *peers = arena ? tunnels_peers(server->tunnels, arena, &count) : NULL;
	json_t *waits = json_array();
	for (size_t i = 0; peers && i < count; i++)
		if (peers[i].waits)
			json_array_append_new(waits, json_pack("{s:s, s:s, s:s}", "tunnel", peers[i].tunnel, "peer",
							       peers[i].peer, "why", peers[i].waits));
	/* Which backend is tried out only where there is something to make with it. */
	return json_pack("{s:i, s:i, s:s?, s:s?, s:o}", "total", total, "up", up, "backend",
			 total ? tunnels_backend(server->tunnels) : NULL, "why", tunnel_watch_error(server),
			 "rotation_waits", waits);
}

/* What was refused before the revision in force took its place: CONFIG.refused.why, whose first line is that revision's
 * number and whose others say why. The image writes it, when the configuration of its user-data is not valid. */
static void status_refused(const struct server *server, json_t *warnings)
{
	char path[PATH_MAX], line[512];
	int length = snprintf(path, sizeof(path), "%s.refused.why", server->options.config);
	int fd = length > 0 && (size_t)length < sizeof(path)
			 ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
			 : -1;
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (fgets(line, sizeof(line), file) && strtoul(line, NULL, 10) == server->revision)
		for (int i = 0; i < REFUSED_LINES_MOST && fgets(line, sizeof(line), file); i++) {
			line[strcspn(line, "\r\n")] = '\0';
			/* NULL for what is no UTF-8: then it is left out. */
			json_array_insert_new(warnings, (size_t)i, json_sprintf("refused: %s", line));
		}
	fclose(file);
}

void answer_status(struct server *server, struct request *request)
{
	struct show show = {.model = engine_model(server->engine), .run = runtime_view(server->runtime, server_now())};
	show.health = runtime_health(server->runtime, &show.health_count);
	int down = 0;
	for (size_t i = 0; show.model && i < show.model->forward_count; i++) {
		enum plane v4 = compile_plane(show.model, show.run, &show.model->forwards[i], FAMILY_V4).plane;
		enum plane v6 = compile_plane(show.model, show.run, &show.model->forwards[i], FAMILY_V6).plane;
		down += v4 == PLANE_NONE && v6 == PLANE_NONE;
	}
	int total = show.model ? (int)show.model->forward_count : 0;
	json_t *warnings = show_diags(&server->warnings, DIAG_WARNING);
	if (server->runtime_unsaved)
		json_array_insert_new(warnings, 0,
				      json_sprintf("drains and bans are not on disk, a restart forgets them: %s (%s)",
						   strerror(server->runtime_unsaved), server->options.state_dir));
	if (server->closed_why)
		json_array_insert_new(warnings, 0, show_text(server->closed_why));
	status_refused(server, warnings);
	const struct state *desired = engine_desired(server->engine);
	json_t *json = json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:b, s:I, s:b}, s:o, s:o, s:o, "
				 "s:{s:i, s:i, s:i}}",
				 "version", EDGED_VERSION, "revision", (int)server->revision, "applied_at",
				 show_time(server->applied_at), "pending", status_pending(server), "warnings", warnings,
				 "inactive", status_inactive(server), "planes", status_planes(&show), "headers",
				 status_headers(server, show.run), "synproxy", status_synproxy(&show), "kernel",
				 "owner", desired && desired->owner, "generation",
				 (json_int_t)engine_generation(server->engine), "in_sync",
				 engine_in_sync(server->engine), "roles", status_roles(server), "tunnels",
				 status_tunnels(server), "nodes",
				 status_nodes(&show), "forwards", "total", total, "up", total - down, "down", down);
	respond_json(server, request->id, 200, json);
}

void answer_nodes(struct server *server, struct request *request)
{
	struct show show;
	if (!answer_ready(server, request))
		return;
	answer_fill(server, request, &show);
	show.peers = tunnels_peers(server->tunnels, request->arena, &show.peer_count);
	respond_json(server, request->id, 200, show_nodes(&show));
}

void answer_rules(struct server *server, struct request *request)
{
	struct show show;
	if (!answer_ready(server, request))
		return;
	answer_fill(server, request, &show);
	respond_json(server, request->id, 200, show_rules(&show));
}

void answer_tunnels(struct server *server, struct request *request)
{
	struct show show;
	if (!answer_ready(server, request))
		return;
	answer_fill(server, request, &show);
	show.tunnels = engine_tunnels(server->engine, true);
	show.tunnels_why = tunnel_watch_error(server);
	show.peers = tunnels_peers(server->tunnels, request->arena, &show.peer_count);
	respond_json(server, request->id, 200, show_tunnels(&show));
}

void answer_limits(struct server *server, struct request *request)
{
	struct show show;
	if (!answer_ready(server, request))
		return;
	answer_fill(server, request, &show);
	fill_dynamics(server, request, &show, "");
	respond_json(server, request->id, 200, show_limits(&show));
}

void answer_bans(struct server *server, struct request *request)
{
	struct show show;
	if (!answer_ready(server, request))
		return;
	answer_fill(server, request, &show);
	fill_dynamics(server, request, &show, "bans");
	respond_json(server, request->id, 200, show_bans(&show));
}

void answer_version(struct server *server, struct request *request)
{
	respond_json(server, request->id, 200, json_pack("{s:s, s:i}", "version", EDGED_VERSION, "api", 1));
}

static struct addr socket_addr(const struct sockaddr *from)
{
	struct addr addr = {.family = from->sa_family == AF_INET ? FAMILY_V4 : FAMILY_V6};
	if (from->sa_family == AF_INET)
		memcpy(addr.bytes, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
	else
		memcpy(addr.bytes, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
	return addr;
}

static uint8_t mask_length(const struct sockaddr *mask, enum family family)
{
	if (!mask)
		return addr_bits(family);
	struct addr bits = socket_addr(mask);
	unsigned length = 0;
	for (size_t i = 0; i < addr_size(family); i++)
		length += (unsigned)__builtin_popcount(bits.bytes[i]);
	return (uint8_t)length;
}

/* This machine's addresses and networks, which no configuration names. */
static struct surroundings own_addresses(struct arena *arena)
{
	struct ifaddrs *list = NULL;
	struct surroundings around = {0};
	if (getifaddrs(&list) < 0)
		return around;
	struct addr *own = NULL;
	struct prefix *networks = NULL;
	size_t count = 0, own_capacity = 0, network_capacity = 0;
	for (struct ifaddrs *at = list; at; at = at->ifa_next) {
		int family = at->ifa_addr ? at->ifa_addr->sa_family : AF_UNSPEC;
		if (family != AF_INET && family != AF_INET6)
			continue;
		struct addr *more_own = arena_grow(arena, own, count, sizeof(*own), &own_capacity);
		struct prefix *more_networks = arena_grow(arena, networks, count, sizeof(*networks), &network_capacity);
		if (!more_own || !more_networks)
			break;
		own = more_own;
		networks = more_networks;
		own[count] = socket_addr(at->ifa_addr);
		networks[count] = prefix_of(&own[count], mask_length(at->ifa_netmask, own[count].family));
		count++;
	}
	freeifaddrs(list);
	around.own = own;
	around.networks = networks;
	around.own_count = around.network_count = count;
	return around;
}

static const char *const verdict_names[] = {
	[EXPECT_ACCEPT] = "accept", [EXPECT_DROP] = "drop", [EXPECT_REJECT] = "reject"};

static json_t *explain_json(const struct answer *answer)
{
	json_t *nodes = json_array(), *steps = json_array();
	for (size_t i = 0; i < answer->node_count; i++)
		json_array_append_new(nodes, show_text(answer->nodes[i]->name));
	for (size_t i = 0; i < answer->step_count; i++)
		json_array_append_new(steps, show_text(answer->steps[i]));
	return json_pack("{s:s, s:s, s:o, s:o, s:i, s:o, s:s, s:o, s:i, s:b, s:o, s:o}", "verdict",
			 verdict_names[answer->verdict], "by", decided_by_names[answer->by], "name",
			 show_text(answer->name), "file", show_text(answer->at.file), "line", (int)answer->at.line,
			 "forward", show_text(answer->forward ? answer->forward->name : NULL), "plane",
			 plane_names[answer->plane], "nodes", nodes, "target_port", (int)answer->target_port, "snat",
			 answer->snat, "snat_rule", show_text(answer->snat_rule ? answer->snat_rule->name : NULL),
			 "steps", steps);
}

void answer_explain(struct server *server, struct request *request)
{
	if (!answer_ready(server, request))
		return;
	const char *from = json_string_value(json_object_get(request->body, "from"));
	const char *to = json_string_value(json_object_get(request->body, "to"));
	const char *in = json_string_value(json_object_get(request->body, "in"));
	struct question question;
	const char *error = NULL;
	const struct model *model = engine_model(server->engine);
	if (!from || !to || question_parse(model, from, to, in, request->arena, &question, &error) < 0) {
		respond_error(server, request->id, 400, NULL, "%s",
			      error ? error : "explain takes from and to, and may take in");
		return;
	}
	struct surroundings around = own_addresses(request->arena);
	struct answer answer;
	if (ask_packet(model, runtime_view(server->runtime, server_now()), &around, &question, request->arena,
		       &answer) < 0) {
		respond_error(server, request->id, 500, NULL, "out of memory");
		return;
	}
	respond_json(server, request->id, 200, explain_json(&answer));
}
