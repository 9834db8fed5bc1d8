/* Loading, applying and taking back configurations. Writes history and the
 * configuration folder; the kernel is the engine's. */
#include "apply.h"

#include "closed.h"
#include "front.h"
#include "guard.h"
#include "devices.h"
#include "flow_log.h"
#include "injection.h"
#include "log.h"
#include "outlaw.h"
#include "unapplied.h"
#include "pressure.h"
#include "tunnel_watch.h"

#include "../rules/ask/ask.h"
#include "../rules/state/changes.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static uint64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The files that a load has to do with: those that were given, and those that it asked for. */
struct lookup {
	struct server *server;
	struct arena *arena;
	struct source_file *files;
	size_t count, capacity;
};

/* Blocklists: from the files that were given, else from the configuration folder, and remembered. */
static int open_referred(void *context, const char *name, struct source_file *ret_file)
{
	struct lookup *lookup = context;
	for (size_t i = 0; i < lookup->count; i++) {
		if (strcmp(lookup->files[i].name, name) == 0) {
			*ret_file = lookup->files[i];
			return 0;
		}
	}
	struct source_file file;
	int r = folder_read_file(lookup->server->options.config, name, lookup->arena, &file);
	if (r < 0)
		return r;
	history_recognise(lookup->server->history, lookup->server->revision, &file, lookup->arena);
	struct source_file *files =
		arena_grow(lookup->arena, lookup->files, lookup->count, sizeof(*files), &lookup->capacity);
	if (!files)
		return -ENOMEM;
	lookup->files = files;
	files[lookup->count++] = file;
	*ret_file = file;
	return 0;
}

static bool is_yaml(const struct source_file *file)
{
	return strcmp(file->name, "edged.yaml") == 0 || strncmp(file->name, "conf.d/", 7) == 0;
}

int apply_load(struct server *server, struct source_files *files, struct arena *arena, struct diag_list *diags,
	       struct model **ret_model)
{
	struct source_file *yaml = arena_array(arena, files->count + 1, struct source_file);
	struct lookup lookup = {.server = server,
				.arena = arena,
				.files = arena_memdup(arena, files->items, files->count * sizeof(*files->items)),
				.count = files->count,
				.capacity = files->count};
	if (!yaml || !lookup.files)
		return -ENOMEM;
	size_t count = 0;
	for (size_t i = 0; i < files->count; i++)
		if (is_yaml(&files->items[i]))
			yaml[count++] = files->items[i];
	struct source_set sources = {.main = yaml, .main_count = count, .open = open_referred, .context = &lookup};
	cleanup_model struct model *model = NULL;
	int r = model_load(&sources, engine_model(server->engine), diags, &model);
	*files = (struct source_files){lookup.files, lookup.count};
	if (r < 0)
		return r;
	struct surroundings around = {0};
	if (ask_expectations(model, &around, arena, diags) > 0)
		return -EINVAL;
	*ret_model = model;
	model = NULL;
	return 0;
}

static void fail(struct apply_result *result, unsigned status, const char *error)
{
	result->status = status;
	result->error = error ? error : "out of memory";
}

static void remember_warnings(struct server *server, const struct diag_list *diags)
{
	struct arena *arena = arena_new();
	if (!arena)
		return;
	struct diag_list warnings;
	diag_init(&warnings, arena);
	for (size_t i = 0; i < diags->count; i++)
		if (diags->items[i].severity == DIAG_WARNING)
			diag_add(&warnings, DIAG_WARNING, diags->items[i].at, diags->items[i].path, "%s",
				 diags->items[i].text);
	arena_free(&server->warnings_arena);
	server->warnings_arena = arena;
	server->warnings = warnings;
}

/* Kernel and forwarder to model (taken on success). must_listen: a port that cannot be had is a reason to refuse;
 * at a start it is not, for the rules (and the way in for management) matter more. */
static int bring_up(struct server *server, struct model **model, bool must_listen, struct arena *arena,
		    struct apply_result *result)
{
	uint64_t now = server_now();
	const struct rundata *run;
	const char *error = NULL;
	int r = tunnels_prepare(server->tunnels, *model, arena, &error);
	if (r < 0 && must_listen) {
		fail(result, 500, error);
		return r;
	}
	if (r < 0)
		log_error("tunnel", "%s", error);
	devices_update(server, *model);
	run = runtime_view(server->runtime, now);
	r = must_listen ? push_prepare(server->push, *model, run, arena, &error) : 0;
	if (r < 0) {
		fail(result, 409, error);
		devices_update(server, engine_model(server->engine));
		return r;
	}
	engine_tolerate_tunnels(server->engine, !must_listen);
	r = engine_apply(server->engine, model, now, arena, &result->report);
	if (r < 0) {
		const char *text = result->report.error;
		if (result->report.at.line)
			text = arena_printf(arena, "%s:%u: %s", result->report.at.file, result->report.at.line, text);
		fail(result, 500, text);
		devices_update(server, engine_model(server->engine));
		/* Sockets that were bound for what did not come. */
		if (engine_model(server->engine))
			push_send(server->push, engine_model(server->engine), runtime_view(server->runtime, now),
				  server->roles);
		return r;
	}
	tunnel_watch_tell(server, result->report.tunnel_error);
	/* Tunnels that are there only now. */
	if (devices_update(server, engine_model(server->engine)) > 0)
		server_refresh_soon(server);
	tunnels_keep_only(server->tunnels, engine_model(server->engine));
	runtime_keep_only(server->runtime, engine_model(server->engine));
	pressure_forget(server->pressure);
	r = push_send(server->push, engine_model(server->engine), runtime_view(server->runtime, now), server->roles);
	if (r < 0)
		log_error("push", "the forwarder could not be told of the new configuration: %s", strerror(-r));
	outlaw_connections(engine_model(server->engine), runtime_view(server->runtime, now));
	flow_log_update(server);
	server->closed = false;
	server->closed_why = NULL;
	if (server->front)
		front_apply(server->front, engine_model(server->engine), server->options.config, server->roles);
	return 0;
}

void apply_summarise(const struct model *before, const struct model *after, struct arena *arena,
		     struct apply_result *result)
{
	struct changes changes;
	if (changes_list(before, after, arena, &changes) == 0) {
		result->summary = changes.lines;
		result->summary_count = changes.count;
	}
}

/* What is in force also lies in the configuration folder; the revision has it in any case. */
static void write_folder(struct server *server, const struct source_files *files, uint32_t revision,
			 struct arena *arena, struct apply_result *result)
{
	const char *error = NULL, *config = server->options.config;
	int r = unapplied_keep(server->history, config, files->items, files->count, arena, &result->kept, &error);
	if (r < 0)
		error = arena_printf(arena, "edits that were never applied could not be kept: %s", error);
	else
		r = folder_write(config, files->items, files->count, arena, &error);
	if (result->kept)
		log_warning("apply", "%s", result->kept);
	if (r == 0)
		return;
	const char *text = arena_printf(arena, "the configuration folder does not show revision %u: %s", revision,
					error ? error : "out of memory");
	result->folder_error = text ? text : "out of memory";
	log_error("apply", "%s", result->folder_error);
}

/* The very files of the revision in force? Then there is no new one to make. */
static bool is_in_force(struct server *server, const struct source_files *files, struct arena *arena)
{
	return server->revision && server->revision == history_committed(server->history) &&
	       engine_in_sync(server->engine) &&
	       history_same(server->history, server->revision, files->items, files->count, arena);
}

static void count(struct server *server, const struct apply_result *result, uint64_t took)
{
	if (result->status == 200 && result->changed)
		server->applies.succeeded++;
	else if (result->status == 200)
		server->applies.unchanged++;
	else if (result->status < 500)
		server->applies.refused++;
	else
		server->applies.failed++;
	if (result->status == 200)
		metrics_count_apply(&server->applies, took);
}

/* The very configuration that is in force. Whoever applies it again wants to be sure: the kernel is looked at, too. */
static void apply_again(struct server *server, const struct apply_request *request, const struct source_files *files,
			struct arena *arena, struct diag_list *diags, struct apply_result *result)
{
	if (engine_refresh(server->engine, server_now(), arena, &result->report) < 0) {
		fail(result, 500, result->report.error);
		return;
	}
	remember_warnings(server, diags);
	if (request->write_folder)
		write_folder(server, files, server->revision, arena, result);
	result->revision = server->revision;
	result->status = 200;
}

/* On disk before the kernel changes. 0 with the number, or -errno after the result has the reason. */
static int store_revision(struct server *server, const struct apply_request *request, const struct source_files *files,
			  struct arena *arena, struct apply_result *result, uint32_t *ret_revision)
{
	struct history_meta meta = {.time = server_now(),
				    .user = request->user,
				    .message = request->message,
				    .summary = result->summary_count ? result->summary[0] : "no change"};
	const char *error = NULL;
	int r = history_add(server->history, files->items, files->count, &meta, arena, ret_revision, &error);
	if (r == 0 && request->confirm_seconds) {
		r = history_set_pending(server->history, *ret_revision, request->confirm_seconds, arena, &error);
		if (r < 0)
			history_discard(server->history, *ret_revision);
	}
	result->no_room = r == -ENOSPC || r == -EDQUOT;
	if (r < 0)
		fail(result, 500, arena_printf(arena, "cannot store the revision, so nothing was changed: %s%s%s",
					       error ? error : strerror(-r), result->no_room ? ": free some of " : "",
					       result->no_room ? server->options.state_dir : ""));
	return r;
}

/* The kernel holds it: say so on disk, to the timers, and to the log. */
static void settle(struct server *server, const struct apply_request *request, const struct source_files *files,
		   uint32_t revision, struct arena *arena, struct apply_result *result)
{
	const char *error = NULL;
	int r = request->confirm_seconds ? 0 : history_commit(server->history, revision, arena, &error);
	if (r < 0)
		log_error("history", "revision %u is in force, but could not be marked so: %s; a reboot brings the last one",
			  revision, error ? error : strerror(-r));
	server->revision = revision;
	server->applied_at = history_since(server->history, revision);
	if (request->write_folder)
		write_folder(server, files, revision, arena, result);
	server_set_timers(server);
	if (request->confirm_seconds && (r = guard_start(&server->options)) < 0)
		log_warning("apply", "no guard watches the deadline beside this process: %s", strerror(-r));
	result->revision = revision;
	result->changed = result->report.step_count || result->summary_count;
	result->status = 200;
	const struct engine_report *report = &result->report;
	log_info("apply", "revision %u by %s: %zu steps, load %llu ms, diff %llu ms, commit %llu ms, verify %llu ms",
		 revision, request->user, report->step_count, (unsigned long long)result->load_ms,
		 (unsigned long long)report->diff_ms, (unsigned long long)report->commit_ms,
		 (unsigned long long)report->verify_ms);
}

static void apply_checked(struct server *server, const struct apply_request *request, struct arena *arena,
			  struct diag_list *diags, struct apply_result *result)
{
	uint64_t start = monotonic_ms();
	struct history_pending pending;
	if (history_pending(server->history, &pending)) {
		fail(result, 409, arena_printf(arena, "revision %u waits: `edgectl confirm` or `edgectl rollback` first",
					       pending.revision));
		return;
	}
	cleanup_model struct model *model = NULL;
	struct source_files files = request->files;
	int r = apply_load(server, &files, arena, diags, &model);
	result->load_ms = monotonic_ms() - start;
	if (r < 0) {
		fail(result, r == -EINVAL ? 422 : 500,
		     r == -EINVAL ? arena_printf(arena, "the configuration has %zu error%s; nothing was changed", diags->errors,
						 diags->errors == 1 ? "" : "s")
				  : strerror(-r));
		return;
	}
	if (!request->confirm_seconds && is_in_force(server, &files, arena)) {
		apply_again(server, request, &files, arena, diags, result);
		return;
	}
	apply_summarise(engine_model(server->engine), model, arena, result);
	uint32_t revision;
	if (store_revision(server, request, &files, arena, result, &revision) < 0)
		return;
	if (bring_up(server, &model, request->must_listen, arena, result) < 0) {
		history_discard(server->history, revision);
		return;
	}
	remember_warnings(server, diags);
	settle(server, request, &files, revision, arena, result);
}

void apply_files(struct server *server, const struct apply_request *request, struct arena *arena,
		 struct diag_list *diags, struct apply_result *ret_result)
{
	uint64_t start = monotonic_ms();
	*ret_result = (struct apply_result){0};
	apply_checked(server, request, arena, diags, ret_result);
	diag_sort(diags);
	count(server, ret_result, monotonic_ms() - start);
}

int apply_read_folder(struct server *server, struct arena *arena, struct source_files *ret_files,
		      const char **ret_error)
{
	return folder_read(server->options.config, arena, &ret_files->items, &ret_files->count, ret_error);
}

/* A stored revision into force, without a new one: at the start, and when a confirmation did not come. */
static int bring_up_revision(struct server *server, uint32_t revision, struct arena *arena, bool rewrite)
{
	struct source_files files;
	const char *error = NULL;
	int r = history_load(server->history, revision, arena, &files.items, &files.count, &error);
	if (r < 0) {
		log_error("apply", "revision %u cannot be read: %s", revision, error ? error : strerror(-r));
		return r;
	}
	struct diag_list diags;
	struct apply_result result = {0};
	cleanup_model struct model *model = NULL;
	diag_init(&diags, arena);
	r = apply_load(server, &files, arena, &diags, &model);
	for (size_t i = 0; r < 0 && i < diags.count; i++)
		log_error("apply", "revision %u: %s", revision, diag_format(arena, &diags.items[i]));
	if (r < 0)
		return r;
	r = bring_up(server, &model, false, arena, &result);
	if (r < 0) {
		log_error("apply", "revision %u: %s", revision, result.error);
		return r;
	}
	if (rewrite)
		write_folder(server, &files, revision, arena, &result);
	server->revision = revision;
	server->applied_at = history_since(server->history, revision);
	remember_warnings(server, &diags);
	log_info("apply", "revision %u is in force, %zu steps", revision, result.report.step_count);
	return 0;
}

void apply_rollback(struct server *server, uint32_t revision, const char *user, const char *message,
		    struct arena *arena, struct apply_result *ret_result)
{
	*ret_result = (struct apply_result){0};
	struct apply_request request = {.user = user, .message = message, .write_folder = true};
	const char *error = NULL;
	if (history_load(server->history, revision, arena, &request.files.items, &request.files.count, &error) < 0) {
		fail(ret_result, 404, error);
		return;
	}
	struct history_pending pending;
	bool was_pending = history_pending(server->history, &pending);
	if (was_pending && history_clear_pending(server->history) < 0) {
		fail(ret_result, 500, "cannot remove the pending record: is the disk full?");
		return;
	}
	struct diag_list diags;
	diag_init(&diags, arena);
	apply_files(server, &request, arena, &diags, ret_result);
	/* The way back is what room was kept for. */
	if (ret_result->no_room && history_spend_reserve(server->history)) {
		diag_init(&diags, arena);
		apply_files(server, &request, arena, &diags, ret_result);
	}
	if (ret_result->status == 422 && diags.count)
		ret_result->error = diag_format(arena, &diags.items[0]);
	/* Nothing watches any more over what nobody confirmed: it must not stay. */
	if (ret_result->status != 200 && was_pending && bring_up_revision(server, pending.previous, arena, true) == 0)
		ret_result->error = arena_printf(arena, "%s (instead of what was not confirmed, revision %u is in force)",
						 ret_result->error, pending.previous);
}

int apply_confirm(struct server *server, uint32_t *ret_revision)
{
	cleanup_arena struct arena *arena = arena_new();
	struct history_pending pending;
	const char *error = NULL;
	if (!arena)
		return -ENOMEM;
	if (!history_pending(server->history, &pending))
		return -ENOENT;
	/* Overdue: the way back has begun, a late confirmation must not cross it. */
	if (history_pending_seconds_left(&pending) == 0)
		return -ETIME;
	int r = history_commit(server->history, pending.revision, arena, &error);
	if (r < 0) {
		log_error("history", "revision %u is not confirmed: %s", pending.revision, error ? error : strerror(-r));
		return r == -ENOENT ? -EIO : r; /* here -ENOENT says that nothing waits */
	}
	server_set_timers(server);
	log_info("apply", "revision %u is confirmed", pending.revision);
	*ret_revision = pending.revision;
	return 0;
}

static void lapse(struct server *server)
{
	history_lapse(server->history, server_now());
	server->applied_at = history_since(server->history, server->revision);
}

void apply_expire(struct server *server)
{
	cleanup_arena struct arena *arena = arena_new();
	struct history_pending pending;
	if (!arena || !history_pending(server->history, &pending))
		return;
	log_warning("apply", "revision %u was not confirmed in time: going back to revision %u", pending.revision,
		    pending.previous);
	if (bring_up_revision(server, pending.previous, arena, true) < 0)
		return; /* the timer comes again: the record is still there */
	lapse(server);
}

void apply_save_runtime(struct server *server)
{
	int r = history_save_runtime(server->history, server->runtime, server_now());
	server->runtime_unsaved = r < 0 ? -r : 0;
	if (r < 0)
		log_error("history",
			  "health, drains and bans could not be written: %s; after a restart they are as they were "
			  "before",
			  strerror(-r));
}

/* A ruleset that a former edged left is there, and nothing better is at hand. */
static bool kernel_holds_ruleset(struct server *server)
{
	cleanup_state struct state *state = NULL;
	return server->kernel->ops->observe(server->kernel, NULL, &state) == 0 && state->present && state->chain_count;
}

/* There is nothing valid to run: what the kernel holds stays (it was right when it was written, and management gets
 * in by it), or, when it holds nothing, default deny, and who may mend it gets in. */
static void close_down(struct server *server, const char *why)
{
	server->closed = true;
	server->closed_why = why;
	if (kernel_holds_ruleset(server)) {
		log_error("apply", "%s; the ruleset in the kernel stays as it is until a configuration is applied",
			  why);
		return;
	}
	cleanup_arena struct arena *arena = arena_new();
	struct model *model = NULL;
	struct engine_report report = {.error = "out of memory"};
	log_error("apply", "%s; the firewall is closed until a configuration is applied", why);
	if (!arena || closed_model(server->options.config, history_is_new(server->history), arena, &model) < 0 ||
	    engine_apply(server->engine, &model, server_now(), arena, &report) < 0)
		log_error("apply", "cannot even close the firewall: %s", report.error);
	model_free(&model);
}

static void first_start(struct server *server, struct arena *arena)
{
	struct apply_request request = {.user = "edged", .message = "first start"};
	const char *error = NULL;
	if (apply_read_folder(server, arena, &request.files, &error) < 0) {
		log_error("apply", "%s", error ? error : "the configuration cannot be read");
		close_down(server, "there is no configuration yet");
		return;
	}
	struct diag_list diags;
	struct apply_result result;
	diag_init(&diags, arena);
	apply_files(server, &request, arena, &diags, &result);
	for (size_t i = 0; result.status != 200 && i < diags.count; i++)
		log_error("apply", "%s", diag_format(arena, &diags.items[i]));
	if (result.status != 200) {
		log_error("apply", "%s", result.error);
		close_down(server, "the configuration has errors (see the log, or `edgectl check`)");
	}
}

void apply_boot(struct server *server)
{
	cleanup_arena struct arena *arena = arena_new();
	if (!arena)
		return;
	int r = history_load_runtime(server->history, server->runtime);
	if (r < 0 && r != -ENOENT)
		log_warning("history",
			    "health, drains and bans of the last run cannot be read (%s): all nodes start as down",
			    strerror(-r));
	runtime_expire(server->runtime, server_now());
	struct history_pending pending;
	if (history_pending(server->history, &pending)) {
		if (history_pending_seconds_left(&pending) > 0) {
			if (bring_up_revision(server, pending.revision, arena, false) == 0)
				return;
		} else {
			log_warning("apply", "revision %u was not confirmed in time: revision %u it is",
				    pending.revision, pending.previous);
		}
	}
	uint32_t committed = history_committed(server->history);
	if (!committed) {
		history_lapse(server->history, server_now());
		first_start(server, arena);
		return;
	}
	if (bring_up_revision(server, committed, arena, history_pending(server->history, &pending)) < 0)
		close_down(server, "the committed revision cannot be brought up (see the log)");
	else
		lapse(server);
}
