/* Configuration texts and their history: config, config/running, history, diff.
 * Reads the history and the configuration folder; changes neither. What the
 * texts mean is the model's. */
#include "apply.h"
#include "history_diff.h"
#include "json_show.h"
#include "request.h"

#include "../rules/state/changes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_yaml(const struct source_file *file)
{
	return strcmp(file->name, "edged.yaml") == 0 || strncmp(file->name, "conf.d/", 7) == 0;
}

static json_t *files_json(const struct request *request, const struct source_file *files, size_t count)
{
	const char *lists = request_query(request, "blocklists");
	bool all = !lists || strcmp(lists, "no") != 0;
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++) {
		if (!all && !is_yaml(&files[i]))
			continue;
		json_t *text = json_stringn(files[i].text ? files[i].text : "", files[i].length);
		json_array_append_new(list, json_pack("{s:o, s:o}", "name", show_text(files[i].name), "text",
						      text ? text : show_text(files[i].text)));
	}
	return list;
}

/* The number under key in the query; fallback without one. -1 after an answer. */
static int64_t revision_of(struct server *server, struct request *request, const char *key, uint32_t fallback)
{
	const char *text = request_query(request, key);
	if (!text)
		return fallback;
	char *end;
	unsigned long value = strtoul(text, &end, 10);
	if (*end == '\0' && end != text && value >= 1 && value <= UINT32_MAX)
		return (int64_t)value;
	respond_error(server, request->id, 400, NULL, "%s is the number of a revision (see `edgectl history`)", key);
	return -1;
}

static int load(struct server *server, struct request *request, int64_t revision, struct source_file **ret_files,
		size_t *ret_count)
{
	const char *error = NULL;
	int r = revision < 1 ? -ENOENT
			     : history_load(server->history, (uint32_t)revision, request->arena, ret_files, ret_count,
					    &error);
	if (r < 0)
		respond_error(server, request->id, 404, NULL, "%s",
			      error ? error : "there is no such revision (see `edgectl history`)");
	return r;
}

void answer_config(struct server *server, struct request *request)
{
	struct source_file *files;
	size_t count;
	int64_t revision = revision_of(server, request, "revision", server->revision);
	if (revision < 0 || load(server, request, revision, &files, &count) < 0)
		return;
	respond_json(
		server, request->id, 200,
		json_pack("{s:I, s:o}", "revision", (json_int_t)revision, "files", files_json(request, files, count)));
}

static const struct source_file *find(const struct source_file *files, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}

static bool same(const struct source_file *a, const struct source_file *b)
{
	return a && b && a->length == b->length && (a->length == 0 || memcmp(a->text, b->text, a->length) == 0);
}

/* NULL when it does not load. */
static struct model *model_of(struct server *server, struct request *request, struct source_files *files)
{
	struct diag_list diags;
	struct model *model = NULL;
	diag_init(&diags, request->arena);
	apply_load(server, files, request->arena, &diags, &model);
	return model;
}

void answer_config_running(struct server *server, struct request *request)
{
	struct source_file *committed = NULL;
	size_t committed_count = 0;
	struct source_files folder;
	const char *error = NULL;
	int r = apply_read_folder(server, request->arena, &folder, &error);
	if (r < 0) {
		respond_error(server, request->id, 500, NULL, "%s", error ? error : strerror(-r));
		return;
	}
	/* A load finds the blocklists; what is wrong with the files is not asked here. */
	model_free(&(struct model *){model_of(server, request, &folder)});
	const struct source_file *files = folder.items;
	size_t count = folder.count;
	if (server->revision)
		history_load(server->history, server->revision, request->arena, &committed, &committed_count, &error);
	json_t *differs = json_array();
	for (size_t i = 0; i < count; i++)
		if (!same(&files[i], find(committed, committed_count, files[i].name)))
			json_array_append_new(differs, show_text(files[i].name));
	for (size_t i = 0; i < committed_count; i++)
		if (!find(files, count, committed[i].name))
			json_array_append_new(differs, show_text(committed[i].name));
	respond_json(server, request->id, 200,
		     json_pack("{s:i, s:o, s:o}", "revision", (int)server->revision, "differs", differs, "files",
			       files_json(request, files, count)));
}

void answer_history(struct server *server, struct request *request)
{
	struct history_meta *list;
	size_t count;
	if (history_list(server->history, request->arena, &list, &count) < 0) {
		respond_error(server, request->id, 500, NULL, "the history cannot be read");
		return;
	}
	struct show_revision *revisions = arena_array(request->arena, count + 1, struct show_revision);
	struct history_pending pending;
	bool waits = history_pending(server->history, &pending);
	for (size_t i = 0; revisions && i < count; i++)
		revisions[i] = (struct show_revision){.revision = list[i].revision,
						      .time = list[i].time,
						      .user = list[i].user,
						      .message = list[i].message,
						      .summary = list[i].summary,
						      .current = list[i].revision == server->revision,
						      .pending = waits && list[i].revision == pending.revision,
						      .lapsed = list[i].lapsed};
	respond_json(server, request->id, 200, revisions ? show_history(revisions, count) : NULL);
}

void answer_diff(struct server *server, struct request *request)
{
	struct source_file *from, *to;
	size_t from_count, to_count;
	int64_t first = revision_of(server, request, "from", server->revision);
	int64_t second = first < 0 ? -1 : revision_of(server, request, "to", server->revision);
	if (first < 0 || second < 0 || load(server, request, first, &from, &from_count) < 0 ||
	    load(server, request, second, &to, &to_count) < 0)
		return;
	const char *text;
	if (history_diff(from, from_count, to, to_count, request->arena, &text) < 0) {
		respond_error(server, request->id, 500, NULL, "out of memory");
		return;
	}
	cleanup_model struct model *before = model_of(server, request, &(struct source_files){from, from_count});
	cleanup_model struct model *after = model_of(server, request, &(struct source_files){to, to_count});
	struct changes changes = {0};
	if (after)
		changes_list(before, after, request->arena, &changes);
	json_t *lines = json_array();
	for (size_t i = 0; i < changes.count; i++)
		json_array_append_new(lines, show_text(changes.lines[i]));
	respond_json(server, request->id, 200,
		     json_pack("{s:I, s:I, s:o, s:o}", "from", (json_int_t)first, "to", (json_int_t)second, "diff",
			       show_text(text), "changes", lines));
}
