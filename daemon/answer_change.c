/* What changes the edge: check, plan, apply, confirm, rollback, drains, bans,
 * flush. Each is the same path as an apply. */
#include "apply.h"
#include "injection.h"
#include "json_show.h"
#include "log.h"
#include "outlaw.h"
#include "request.h"

#include "../rules/state/compile.h"

#include <errno.h>
#include <string.h>

#define MESSAGE_MOST 1000
#define CONFIRM_MOST (7u * 24 * 3600)
#define BAN_MOST (3650u * 24 * 3600)

/* The files of the body, or those of the configuration folder. 0, or -EINVAL after an answer. */
static int request_files(struct server *server, struct request *request, struct source_files *ret_files,
			 bool *ret_given)
{
	json_t *list = json_object_get(request->body, "files");
	const char *error = NULL;
	*ret_given = list != NULL;
	if (!list) {
		int r = apply_read_folder(server, request->arena, ret_files, &error);
		if (r < 0)
			respond_error(server, request->id, 422, NULL, "%s", error ? error : strerror(-r));
		return r < 0 ? -EINVAL : 0;
	}
	size_t count = json_array_size(list);
	struct source_file *files = arena_array(request->arena, count + 1, struct source_file);
	for (size_t i = 0; files && i < count; i++) {
		json_t *item = json_array_get(list, i);
		json_t *text = json_object_get(item, "text");
		const char *name = json_string_value(json_object_get(item, "name"));
		if (!name || !json_is_string(text)) {
			respond_error(server, request->id, 400, NULL, "files[%zu] needs a name and a text", i);
			return -EINVAL;
		}
		if (!history_name_is_good(name)) {
			respond_error(server, request->id, 400, NULL,
				      "files[%zu]: \"%s\" is no name for a file of the configuration (relative to its "
				      "folder and within it, like conf.d/20-lists.yaml; at most 255 bytes)",
				      i, name);
			return -EINVAL;
		}
		files[i] = (struct source_file){
			.name = name, .text = json_string_value(text), .length = json_string_length(text)};
	}
	if (!files || !count) {
		respond_error(server, request->id, 400, NULL, "files is a list of {name, text}, with edged.yaml first");
		return -EINVAL;
	}
	*ret_files = (struct source_files){files, count};
	return 0;
}

static json_t *text_list(const char *const *lines, size_t count)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, show_text(lines[i]));
	return list;
}

void answer_check(struct server *server, struct request *request)
{
	struct source_files files;
	bool given;
	if (request_files(server, request, &files, &given) < 0)
		return;
	struct diag_list diags;
	cleanup_model struct model *model = NULL;
	diag_init(&diags, request->arena);
	int r = apply_load(server, &files, request->arena, &diags, &model);
	diag_sort(&diags);
	respond_json(server, request->id, 200,
		     json_pack("{s:b, s:o, s:o}", "ok", r == 0, "errors", show_diags(&diags, DIAG_ERROR), "warnings",
			       show_diags(&diags, DIAG_WARNING)));
}

/* {summary, steps, ..}: what would change. */
static void plan(struct server *server, struct request *request, struct source_files *files)
{
	struct diag_list diags;
	cleanup_model struct model *model = NULL;
	diag_init(&diags, request->arena);
	int r = apply_load(server, files, request->arena, &diags, &model);
	diag_sort(&diags);
	if (r < 0) {
		respond_error(server, request->id, 422, &diags, "the configuration has %zu error%s", diags.errors,
			      diags.errors == 1 ? "" : "s");
		return;
	}
	struct apply_result summary = {0};
	apply_summarise(engine_model(server->engine), model, request->arena, &summary);
	struct engine_report report;
	if (engine_plan(server->engine, model, server_now(), request->arena, &report) < 0) {
		respond_error(server, request->id, 500, NULL, "%s", report.error);
		return;
	}
	respond_json(server, request->id, 200,
		     json_pack("{s:b, s:o, s:o, s:o}", "changes", report.step_count || summary.summary_count, "summary",
			       text_list(summary.summary, summary.summary_count), "steps",
			       text_list(report.steps, report.step_count), "warnings",
			       show_diags(&diags, DIAG_WARNING)));
}

void answer_plan(struct server *server, struct request *request)
{
	struct source_files files;
	bool given;
	if (request_files(server, request, &files, &given) == 0)
		plan(server, request, &files);
}

static json_t *pending_json(struct server *server)
{
	struct history_pending pending;
	if (!history_pending(server->history, &pending))
		return json_null();
	uint64_t left = history_pending_seconds_left(&pending);
	return json_pack("{s:o, s:I}", "deadline", show_time(server_now() + left), "seconds_left", (json_int_t)left);
}

static void reply_applied(struct server *server, struct request *request, const struct apply_result *result,
			  const struct diag_list *diags)
{
	if (result->status != 200) {
		respond_error(server, request->id, result->status, diags, "%s", result->error);
		return;
	}
	json_t *warnings = show_diags(diags, DIAG_WARNING);
	if (result->kept)
		json_array_append_new(warnings, show_text(result->kept));
	if (result->folder_error)
		json_array_append_new(warnings, json_sprintf("%s; the next `edgectl apply` would bring those back",
							     result->folder_error));
	respond_json(server, request->id, 200,
		     json_pack("{s:i, s:b, s:o, s:I, s:o, s:o, s:{s:I, s:I, s:I, s:I}}", "revision",
			       (int)result->revision, "changed", result->changed, "summary",
			       text_list(result->summary, result->summary_count), "steps",
			       (json_int_t)result->report.step_count, "warnings", warnings,
			       "pending", pending_json(server), "took_ms", "load", (json_int_t)result->load_ms, "diff",
			       (json_int_t)result->report.diff_ms, "commit", (json_int_t)result->report.commit_ms,
			       "verify", (json_int_t)result->report.verify_ms));
}

void answer_apply(struct server *server, struct request *request)
{
	json_t *confirm = json_object_get(request->body, "confirm_within_seconds");
	json_t *base = json_object_get(request->body, "base");
	const char *message = json_string_value(json_object_get(request->body, "message"));
	if (confirm && (!json_is_integer(confirm) || json_integer_value(confirm) < 1 ||
			json_integer_value(confirm) > CONFIRM_MOST)) {
		respond_error(server, request->id, 400, NULL, "confirm_within_seconds is a number from 1 to %u",
			      CONFIRM_MOST);
		return;
	}
	if (message && strlen(message) > MESSAGE_MOST) {
		respond_error(server, request->id, 400, NULL, "the message is longer than %d bytes", MESSAGE_MOST);
		return;
	}
	if (json_is_integer(base) && json_integer_value(base) != server->revision) {
		respond_error(server, request->id, 409, NULL,
			      "revision %u is in force, the change was made on %lld: look at it again",
			      server->revision, (long long)json_integer_value(base));
		return;
	}
	bool given;
	struct apply_request apply = {.user = request->user,
				      .must_listen = true,
				      .message = message,
				      .confirm_seconds = (uint64_t)json_integer_value(confirm)};
	if (request_files(server, request, &apply.files, &given) < 0)
		return;
	if (json_is_true(json_object_get(request->body, "dry_run"))) {
		plan(server, request, &apply.files);
		return;
	}
	apply.write_folder = given;
	struct diag_list diags;
	struct apply_result result;
	diag_init(&diags, request->arena);
	apply_files(server, &apply, request->arena, &diags, &result);
	reply_applied(server, request, &result, &diags);
}

void answer_confirm(struct server *server, struct request *request)
{
	uint32_t revision;
	int r = apply_confirm(server, &revision);
	if (r == -ENOENT)
		respond_error(server, request->id, 409, NULL, "nothing waits for a confirmation");
	else if (r == -ETIME)
		respond_error(server, request->id, 409, NULL,
			      "too late: the deadline has passed, the former revision comes back");
	else if (r < 0)
		respond_error(server, request->id, 500, NULL,
			      "the confirmation could not be written: %s; it is still pending", strerror(-r));
	else
		respond_json(server, request->id, 200, json_pack("{s:i}", "revision", (int)revision));
}

/* Never one that nobody confirmed: that may be what locked the operator out. */
static uint32_t revision_before(struct server *server)
{
	struct history_pending pending;
	return history_pending(server->history, &pending) ? pending.previous : history_before(server->history);
}

void answer_rollback(struct server *server, struct request *request)
{
	json_t *to = json_object_get(request->body, "to");
	const char *message = json_string_value(json_object_get(request->body, "message"));
	json_int_t wanted = json_is_integer(to) ? json_integer_value(to) : revision_before(server);
	if (wanted < 1 || wanted > UINT32_MAX) {
		respond_error(server, request->id, 404, NULL,
			      "which revision was in force before %u is not known: name one (`edgectl history`)",
			      server->revision);
		return;
	}
	if (!message)
		message = arena_printf(request->arena, "rollback to %u", (uint32_t)wanted);
	struct apply_result result;
	struct diag_list none;
	diag_init(&none, request->arena);
	apply_rollback(server, (uint32_t)wanted, request->user, message, request->arena, &result);
	reply_applied(server, request, &result, &none);
}

void answer_flush(struct server *server, struct request *request)
{
	if (!json_is_true(json_object_get(request->body, "yes"))) {
		respond_error(server, request->id, 400, NULL, "a flush opens this machine: it takes {\"yes\": true}");
		return;
	}
	struct engine_report report;
	injection_remove(server->injection, engine_model(server->engine));
	if (engine_flush(server->engine, request->arena, &report) < 0) {
		respond_error(server, request->id, 500, NULL, "%s", report.error);
		return;
	}
	log_warning("apply", "%s removed the ruleset: this machine filters nothing until the next apply or start",
		    request->user);
	server->revision = 0;
	respond_json(server, request->id, 200, json_object());
}

/* Names of the forwards that refuse now, for want of a node. */
static json_t *refusing(const struct model *model, const struct rundata *run)
{
	json_t *names = json_array();
	for (size_t i = 0; i < model->forward_count; i++) {
		const struct forward *forward = &model->forwards[i];
		if (compile_plane(model, run, forward, FAMILY_V4).plane == PLANE_NONE &&
		    compile_plane(model, run, forward, FAMILY_V6).plane == PLANE_NONE)
			json_array_append_new(names, show_text(forward->name));
	}
	return names;
}

static void set_draining(struct server *server, struct request *request, bool draining)
{
	const struct model *model = engine_model(server->engine);
	if (!model || !model_find_node(model, request->name)) {
		respond_error(server, request->id, 404, NULL, "no node is called \"%s\" (see `edgectl show nodes`)",
			      request->name);
		return;
	}
	if (runtime_set_draining(server->runtime, request->name, draining) < 0) {
		respond_error(server, request->id, 500, NULL, "out of memory");
		return;
	}
	apply_save_runtime(server);
	struct engine_report report;
	if (engine_refresh(server->engine, server_now(), request->arena, &report) < 0) {
		runtime_set_draining(server->runtime, request->name, !draining);
		apply_save_runtime(server);
		respond_error(server, request->id, 500, NULL, "%s", report.error);
		return;
	}
	push_send(server->push, model, runtime_view(server->runtime, server_now()), server->roles);
	log_info("apply", "%s %s node %s", request->user, draining ? "drains" : "undrains", request->name);
	respond_json(server, request->id, 200,
		     json_pack("{s:s, s:b, s:o}", "node", request->name, "draining", draining, "refusing",
			       refusing(model, runtime_view(server->runtime, server_now()))));
}

void answer_drain(struct server *server, struct request *request)
{
	set_draining(server, request, true);
}

void answer_undrain(struct server *server, struct request *request)
{
	set_draining(server, request, false);
}

/* A ban that hits management would lock its operator out. */
static bool hits_management(const struct model *model, const struct prefix *prefix)
{
	for (size_t i = 0; model && i < model->management.from_count; i++)
		if (prefix_overlaps(&model->management.from[i], prefix))
			return true;
	return false;
}

/* A banned node answers no health check: the forwards would lose it. */
static const struct node *hit_node(const struct model *model, const struct prefix *prefix)
{
	for (size_t i = 0; model && i < model->node_count; i++)
		if (prefix_contains(prefix, &model->nodes[i].address))
			return &model->nodes[i];
	return NULL;
}

static int ban_prefix(struct server *server, struct request *request, const char *text, struct prefix *ret_prefix)
{
	int r = text ? prefix_parse(text, strlen(text), ret_prefix) : -EINVAL;
	char right[PREFIX_TEXT_MAX];
	if (r == -ERANGE)
		respond_error(server, request->id, 400, NULL,
			      "\"%s\" has bits set behind its length (%s would be right)", text,
			      prefix_format(ret_prefix, right));
	else if (r < 0)
		respond_error(server, request->id, 400, NULL, "\"%s\" is no address or prefix", text ? text : "");
	return r;
}

void answer_ban(struct server *server, struct request *request)
{
	struct prefix prefix;
	const char *address = json_string_value(json_object_get(request->body, "address"));
	json_t *seconds = json_object_get(request->body, "seconds");
	if (ban_prefix(server, request, address, &prefix) < 0)
		return;
	if (seconds && (!json_is_integer(seconds) || json_integer_value(seconds) < 1 ||
			json_integer_value(seconds) > BAN_MOST)) {
		respond_error(server, request->id, 400, NULL,
			      "seconds is a number from 1 to %u (leave it out for a ban that stays until it is lifted)",
			      BAN_MOST);
		return;
	}
	if (hits_management(engine_model(server->engine), &prefix)) {
		respond_error(server, request->id, 409, NULL, "%s holds management addresses: a ban would lock you out",
			      address);
		return;
	}
	const struct node *node = hit_node(engine_model(server->engine), &prefix);
	if (node) {
		respond_error(server, request->id, 409, NULL,
			      "%s holds node %s: a ban would take it down (edgectl node drain %s ends its new connections)",
			      address, node->name, node->name);
		return;
	}
	uint64_t now = server_now(), expires = seconds ? now + (uint64_t)json_integer_value(seconds) : 0;
	struct engine_report report = {.error = "out of memory"};
	if (runtime_ban(server->runtime, &prefix, expires) < 0 ||
	    engine_refresh(server->engine, now, request->arena, &report) < 0) {
		runtime_unban(server->runtime, &prefix);
		respond_error(server, request->id, 500, NULL, "%s", report.error);
		return;
	}
	apply_save_runtime(server);
	outlaw_connections(engine_model(server->engine), runtime_view(server->runtime, now));
	server_set_timers(server);
	log_info("apply", "%s bans %s", request->user, address);
	char text[PREFIX_TEXT_MAX];
	respond_json(server, request->id, 200,
		     json_pack("{s:s, s:o}", "address", prefix_format(&prefix, text), "expires", show_time(expires)));
}

static int unban_packets(struct server *server, const struct prefix *prefix)
{
	const struct state *desired = engine_desired(server->engine);
	const struct set *set =
		desired ? state_set(desired, prefix->addr.family == FAMILY_V4 ? "bans4" : "bans6") : NULL;
	if (!set)
		return -ENOENT;
	struct addr unit = addr_source_unit(&prefix->addr);
	return server->kernel->ops->dynamic_remove(server->kernel, set, &unit);
}

void answer_unban(struct server *server, struct request *request)
{
	struct prefix prefix;
	if (ban_prefix(server, request, request->name, &prefix) < 0)
		return;
	uint64_t now = server_now();
	int by_operator = runtime_unban(server->runtime, &prefix);
	int by_packets = unban_packets(server, &prefix);
	if (!by_operator && by_packets < 0) {
		respond_error(server, request->id, 404, NULL, "%s is not banned (see `edgectl show bans`)",
			      request->name);
		return;
	}
	apply_save_runtime(server);
	struct engine_report report = {.error = NULL};
	if (by_operator && engine_refresh(server->engine, now, request->arena, &report) < 0) {
		respond_error(server, request->id, 500, NULL, "%s", report.error);
		return;
	}
	log_info("apply", "%s unbans %s", request->user, request->name);
	respond_json(server, request->id, 200, json_pack("{s:s}", "address", request->name));
}
