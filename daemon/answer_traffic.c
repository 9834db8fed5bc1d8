/* Answers that need the forwarder's own figures: forwards, connections, metrics.
 * The workers are asked first, and the answer follows when they have replied. */
#include "answer_show.h"
#include "connections.h"
#include "gather.h"
#include "injection.h"
#include "json_parts.h"
#include "kernel/header.h"
#include "proxy/report.h"

#include "../rules/state/compile.h"

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* show->uses: one for each forward, by its index. */
static void sum_uses(struct arena *arena, const struct gathered *gathered, struct show *show)
{
	const struct model *model = show->model;
	struct show_use *uses = arena_array(arena, model->forward_count + 1, struct show_use);
	struct strmap *map = strmap_new(arena);
	bool fine = uses && map;
	for (size_t i = 0; fine && i < model->forward_count; i++) {
		uses[i].forward = model->forwards[i].name;
		fine = strmap_put(map, uses[i].forward, &uses[i]) == 0;
	}
	for (size_t i = 0; fine && i < gathered->count; i++) {
		struct report *report;
		if (report_decode(gathered->data[i], gathered->length[i], arena, &report) < 0)
			continue;
		for (size_t j = 0; j < report->service_count; j++) {
			const struct report_service *service = &report->services[j];
			struct show_use *use = strmap_get(map, service->forward);
			if (!use)
				continue;
			use->open += service->counters.open;
			use->bytes += service->counters.bytes_in + service->counters.bytes_out;
			use->refused += service->counters.refused;
		}
	}
	if (!fine)
		return;
	connections_add_uses(model, arena, uses);
	show->uses = uses;
	show->use_count = model->forward_count;
}

/* The request is gone by now; what follows needs no more than its id. */
static void forwards_done(struct server *server, uint32_t id, const char *text, const struct gathered *gathered)
{
	(void)text;
	cleanup_arena struct arena *arena = arena_new();
	struct request request = {.id = id, .arena = arena};
	struct show show;
	if (!arena || !answer_ready(server, &request))
		return;
	answer_fill(server, &request, &show);
	sum_uses(arena, gathered, &show);
	respond_json(server, id, 200, show_forwards(&show));
}

void answer_forwards(struct server *server, struct request *request)
{
	gather_start(server, GATHER_COUNTERS, request->id, NULL, forwards_done);
}

static void connections_done(struct server *server, uint32_t id, const char *text, const struct gathered *gathered)
{
	cleanup_arena struct arena *arena = arena_new();
	struct request request = {.id = id, .arena = arena};
	if (!arena || !answer_ready(server, &request))
		return;
	const struct model *model = engine_model(server->engine);
	json_t *list = json_array();
	for (size_t i = 0; i < gathered->count; i++) {
		struct report *report;
		if (report_decode(gathered->data[i], gathered->length[i], arena, &report) == 0)
			connections_add_proxied(model, report, text, list);
	}
	connections_add_kernel(model, injection_headers(server->injection), text, arena, list);
	respond_json(server, id, 200, list);
}

void answer_connections(struct server *server, struct request *request)
{
	const char *forward = request_query(request, "forward");
	const struct model *model = engine_model(server->engine);
	if (forward && model && !model_find_forward(model, forward)) {
		respond_error(server, request->id, 404, NULL,
			      "no forward is called \"%s\" (see `edgectl show forwards`)", forward);
		return;
	}
	gather_start(server, GATHER_CONNECTIONS, request->id, forward, connections_done);
}

static void metrics_forwards(struct arena *arena, const struct show *show, const struct counters *counters,
			     struct metrics *metrics)
{
	static const char *const planes[] = {[PLANE_NONE] = "none", [PLANE_KERNEL] = "kernel", [PLANE_PROXY] = "proxy"};
	static const struct show_use none = {0};
	struct metrics_forward *list = arena_array(arena, show->model->forward_count + 1, struct metrics_forward);
	for (size_t i = 0; list && i < show->model->forward_count; i++) {
		const struct forward *forward = &show->model->forwards[i];
		struct plane_choice v4 = compile_plane(show->model, show->run, forward, FAMILY_V4);
		struct plane_choice v6 = compile_plane(show->model, show->run, forward, FAMILY_V6);
		const struct plane_choice *choice = v4.plane == PLANE_NONE ? &v6 : &v4;
		const struct show_use *use = i < show->use_count ? &show->uses[i] : &none;
		list[metrics->forward_count++] = (struct metrics_forward){
			.name = forward->name,
			.pool = forward->pool->name,
			.plane = planes[choice->plane],
			.connections = counter_get(counters, "fwd-", forward->name, "").packets,
			.open = use->open,
			.proxied_bytes = use->bytes,
			.open_packets = use->open_packets,
			.open_bytes = use->open_bytes,
			.limited = counter_get(counters, "fwd-", forward->name, "-limit").packets,
			.refused = counter_get(counters, "fwd-", forward->name, "-down").packets + use->refused,
			.answered = counter_get(counters, "syn-", forward->name, "").packets,
			.backends_up = (uint32_t)choice->healthy,
			.backends_total = (uint32_t)forward->pool->node_count};
	}
	metrics->forwards = list;
}

static void metrics_nodes(struct arena *arena, const struct show *show, struct metrics *metrics)
{
	struct metrics_node *nodes = arena_array(arena, show->model->node_count + 1, struct metrics_node);
	struct metrics_backend *backends = arena_array(arena, show->health_count + 1, struct metrics_backend);
	if (!nodes || !backends)
		return;
	for (size_t i = 0; i < show->health_count; i++)
		backends[i] = (struct metrics_backend){show->health[i].node, show->health[i].port, show->health[i].up};
	for (size_t i = 0; i < show->model->node_count; i++) {
		nodes[i].name = show->model->nodes[i].name;
		for (size_t j = 0; j < show->health_count; j++)
			nodes[i].up |= show->health[j].up && strcmp(show->health[j].node, nodes[i].name) == 0;
		for (size_t j = 0; j < show->run->draining_count; j++)
			nodes[i].draining |= strcmp(show->run->draining[j], nodes[i].name) == 0;
	}
	metrics->nodes = nodes;
	metrics->node_count = show->model->node_count;
	metrics->backends = backends;
	metrics->backend_count = show->health_count;
}

static void metrics_rules(struct arena *arena, const struct show *show, const struct counters *counters,
			  struct metrics *metrics)
{
	static const char *const other[] = {"management", "implied"};
	size_t count = show->model->rule_count + 2;
	struct metrics_rule *rules = arena_array(arena, count, struct metrics_rule);
	struct metrics_drop *drops = arena_array(arena, show->counter_count + 1, struct metrics_drop);
	if (!rules || !drops)
		return;
	for (size_t i = 0; i < 2; i++) {
		struct counter_value value = counter_get(counters, "", other[i], "");
		rules[i] = (struct metrics_rule){other[i], "accept", value.packets, value.bytes, 0};
	}
	for (size_t i = 0; i < show->model->rule_count; i++) {
		const struct rule *rule = &show->model->rules[i];
		struct counter_value value = counter_get(counters, "rule-", rule->name, "");
		rules[i + 2] = (struct metrics_rule){rule->name, action_names[rule->action], value.packets, value.bytes,
						     counter_get(counters, "rule-", rule->name, "-limit").packets};
	}
	for (size_t i = 0; i < show->counter_count; i++) {
		const char *name = show->counters[i].name;
		if (strncmp(name, "rule-", 5) == 0 || strncmp(name, "fwd-", 4) == 0 || strncmp(name, "syn-", 4) == 0 ||
		    strncmp(name, "snat-", 5) == 0 ||
		    strcmp(name, "management") == 0 || strcmp(name, "implied") == 0)
			continue;
		drops[metrics->drop_count++] =
			(struct metrics_drop){name, show->counters[i].packets, show->counters[i].bytes};
	}
	metrics->rules = rules;
	metrics->rule_count = count;
	metrics->drops = drops;
}

static void metrics_process(struct server *server, struct arena *arena, struct metrics *metrics)
{
	struct rusage usage;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		metrics->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
				       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long size, resident;
	if (file && fscanf(file, "%llu %llu", &size, &resident) == 2)
		metrics->resident_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
	if (file)
		fclose(file);
	DIR *folder = opendir("/proc/self/fd");
	while (folder && readdir(folder))
		metrics->open_fds++;
	if (folder)
		closedir(folder);
	struct role_info *list = arena_array(arena, 300, struct role_info);
	struct metrics_role *roles = arena_array(arena, 301, struct metrics_role);
	if (!list || !roles)
		return;
	size_t count = roles_list(server->roles, list, 300);
	roles[0] = (struct metrics_role){.role = "main", .running = true};
	for (size_t i = 0; i < count; i++)
		roles[i + 1] = (struct metrics_role){role_names[list[i].role], list[i].index, list[i].pid != 0,
						     list[i].restarts};
	metrics->roles = roles;
	metrics->role_count = count + 1;
}

static void metrics_headers(const struct headers *headers, struct arena *arena, struct metrics *metrics)
{
	uint64_t values[HEADERS_COUNTERS];
	struct metrics_header *list = arena_array(arena, HEADERS_COUNTERS, struct metrics_header);
	if (!headers || !list || headers_counters(headers, values) < 0 ||
	    headers_usage(headers, &metrics->header_flows, &metrics->header_room) < 0)
		return;
	for (size_t i = 0; i < HEADERS_COUNTERS; i++)
		list[i] = (struct metrics_header){headers_counter_names[i], values[i]};
	metrics->headers = list;
	metrics->header_count = HEADERS_COUNTERS;
}

static const struct peer *find_peer(const struct model *model, const char *tunnel, const char *name,
				    const struct tunnel **ret_tunnel)
{
	for (size_t i = 0; i < model->tunnel_count; i++) {
		const struct tunnel *found = &model->tunnels[i];
		for (size_t j = 0; strcmp(found->name, tunnel) == 0 && j < found->peer_count; j++)
			if (strcmp(found->peers[j].name, name) == 0) {
				*ret_tunnel = found;
				return &found->peers[j];
			}
	}
	return NULL;
}

static void metrics_peers(struct server *server, struct arena *arena, struct metrics *metrics)
{
	const struct model *model = engine_model(server->engine);
	const struct tunnel_list *seen = engine_tunnels(server->engine, true);
	size_t count;
	const struct show_peer *health = tunnels_peers(server->tunnels, arena, &count);
	struct metrics_peer *peers = arena_array(arena, count + 1, struct metrics_peer);
	for (size_t i = 0; health && peers && i < count; i++) {
		const struct tunnel *tunnel;
		const struct peer *peer = find_peer(model, health[i].tunnel, health[i].peer, &tunnel);
		const struct tunnel_peer *found = peer ? tunnels_seen(server->tunnels, seen, tunnel, peer, NULL) : NULL;
		if (!peer)
			continue;
		peers[metrics->peer_count++] = (struct metrics_peer){.tunnel = health[i].tunnel,
								     .peer = health[i].peer,
								     .up = health[i].up,
								     .failed = health[i].failed,
								     .handshake = found ? found->handshake : 0,
								     .received = found ? found->received : 0,
								     .sent = found ? found->sent : 0};
	}
	metrics->peers = peers;
}

static void metrics_done(struct server *server, uint32_t id, const char *text, const struct gathered *gathered)
{
	(void)text;
	cleanup_arena struct arena *arena = arena_new();
	struct request request = {.id = id, .arena = arena};
	struct history_pending pending = {0};
	struct show show;
	if (!arena || !answer_ready(server, &request))
		return;
	answer_fill(server, &request, &show);
	sum_uses(arena, gathered, &show);
	struct metrics metrics = {.version = EDGED_VERSION,
				  .revision = server->revision,
				  .applied_at = server->applied_at,
				  .pending = history_pending(server->history, &pending),
				  .pending_deadline = pending.deadline,
				  .in_sync = engine_in_sync(server->engine),
				  .warnings = (uint32_t)server->warnings.count,
				  .started_at = server->started_at,
				  .applies = server->applies,
				  .repairs = server->repairs,
				  .operator_bans = show.run->ban_count};
	cleanup_counters struct counters counters = {0};
	if (counters_init(&counters, &show)) {
		metrics_forwards(arena, &show, &counters, &metrics);
		metrics_nodes(arena, &show, &metrics);
		metrics_rules(arena, &show, &counters, &metrics);
	}
	metrics_headers(injection_headers(server->injection), arena, &metrics);
	metrics_peers(server, arena, &metrics);
	metrics_process(server, arena, &metrics);
	char *out;
	size_t length;
	if (metrics_render(&metrics, &out, &length) < 0) {
		respond_error(server, id, 500, NULL, "out of memory");
		return;
	}
	respond_text(server, id, 200, METRICS_CONTENT_TYPE, out, length);
	free(out);
}

void answer_metrics(struct server *server, struct request *request)
{
	gather_start(server, GATHER_COUNTERS, request->id, NULL, metrics_done);
}
