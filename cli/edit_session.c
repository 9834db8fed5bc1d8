/* The editing verbs' way to edged and back. Never writes a file itself: edged
 * does, after it has put the result in force. */
#include "edit_session.h"

#include "api.h"
#include "apply.h"
#include "edit_keys.h"
#include "line_diff.h"
#include "options.h"
#include "show.h"

#include "../rules/text/edit.h"

#include <errno.h>
#include <string.h>

#define MAIN_FILE "edged.yaml"
#define STATUS_WAIT_MS 3000

static int report(struct cli *cli, const struct diag_list *diags, const char *name, int error)
{
	if (!diags->count)
		cli_error(cli, "cannot edit %s: %s", name, strerror(-error));
	else
		cli_error(cli, "cannot edit %s:", name);
	for (size_t i = 0; i < diags->count; i++)
		cli_hint(cli, "%s", (char *)cli_need(diag_format(cli->arena, &diags->items[i])));
	return CLI_REFUSED;
}

const struct doc_node *edit_tree(struct edit_session *session, struct edit_file *file)
{
	struct cli *cli = session->cli;
	struct diag_list diags;
	struct doc_node *root = NULL;
	if (file->parsed)
		return file->root;
	diag_init(&diags, cli->arena);
	int r = doc_parse(cli->arena, file->name, file->text, strlen(file->text), &diags, &root);
	if (r < 0) {
		report(cli, &diags, file->name, r);
		session->broken = true;
	}
	file->parsed = true;
	file->root = r < 0 ? NULL : root;
	return file->root;
}

const struct doc_node *edit_look(struct edit_session *session, struct edit_file *file, const char *const *path)
{
	for (size_t i = 0; path[i]; i++) {
		if (!strstr(file->text, path[i]))
			return NULL;
	}
	return edit_at(edit_tree(session, file), path);
}

static void add_file(struct edit_session *session, const char *name, const char *before, const char *text)
{
	struct arena *arena = session->cli->arena;
	session->files = cli_need(
		arena_grow(arena, session->files, session->file_count, sizeof(*session->files), &session->file_capacity));
	session->files[session->file_count++] = (struct edit_file){
		.name = cli_need(arena_strdup(arena, name)),
		.before = cli_need(arena_strdup(arena, before)),
		.text = cli_need(arena_strdup(arena, text)),
	};
}

static int refuse_edits(struct cli *cli, const json_t *differs)
{
	cli_error(cli, "%s under edged's folder %s edited and not applied yet:", js_any(cli, differs, NULL),
		  json_array_size(differs) == 1 ? "was" : "were");
	cli_hint(cli, "  edgectl plan             shows what that would change");
	cli_hint(cli, "  edgectl apply            applies it first");
	cli_hint(cli, "  ... --include-edits      takes it along");
	cli_hint(cli, "  edgectl show config      prints what is in force");
	return CLI_REFUSED;
}

/* The tunnel of a peer: as given, or the only one. */
static int find_tunnel(struct edit_session *session)
{
	static const char *const path[] = {"wireguard", NULL};
	struct cli *cli = session->cli;
	const char *given = option_text(cli->parsed, "tunnel"), *known = "";
	size_t count = 0;
	for (size_t i = 0; i < session->file_count; i++) {
		const struct doc_node *tunnels = edit_look(session, &session->files[i], path);
		for (size_t j = 0; tunnels && tunnels->kind == DOC_MAPPING && j < tunnels->count; j++) {
			const char *name = tunnels->keys[j].text;
			if (!given || strcmp(given, name) == 0)
				session->tunnel = name;
			known = cli_format(cli, "%s%s%s", known, *known ? ", " : "", name);
			count++;
		}
	}
	if (session->broken)
		return CLI_REFUSED;
	if (session->tunnel && (given || count == 1))
		return CLI_DONE;
	if (!count)
		cli_error(cli, "the configuration has no tunnel yet: add one under wireguard:");
	else if (given)
		cli_error(cli, "there is no tunnel \"%s\" (known: %s)", given, known);
	else
		cli_error(cli, "which tunnel? --tunnel NAME (known: %s)", known);
	return CLI_REFUSED;
}

static int open_session(struct cli *cli, const struct edit_section *section, bool edits, struct edit_session *ret_session)
{
	static const char path[] = "/v1/config/running?blocklists=no";
	struct edit_session session = {.cli = cli, .section = section};
	cleanup_json json_t *answer = NULL;
	int result = api_call(cli, "GET", path, NULL, &answer);
	if (result != CLI_DONE)
		return result;
	const json_t *files = json_object_get(answer, "files"), *differs = json_object_get(answer, "differs"), *item;
	size_t i;
	if (!json_is_array(files) || !json_is_array(differs) || !json_is_integer(json_object_get(answer, "revision")))
		return api_unknown(cli, path);
	if (json_array_size(differs) && !edits)
		return refuse_edits(cli, differs);
	session.revision = js_int(answer, "revision");
	json_array_foreach(files, i, item) {
		if (!*js_text(item, "name") || !json_is_string(json_object_get(item, "text")))
			return api_unknown(cli, path);
		add_file(&session, js_text(item, "name"), js_text(item, "text"), js_text(item, "text"));
	}
	if (section->nested)
		result = find_tunnel(&session);
	if (result == CLI_DONE)
		*ret_session = session;
	return result;
}

int edit_session_open(struct cli *cli, const struct edit_section *section, struct edit_session *ret_session)
{
	return open_session(cli, section, option_given(cli->parsed, "include-edits"), ret_session);
}

int edit_session_look(struct cli *cli, const struct edit_section *section, struct edit_session *ret_session)
{
	return open_session(cli, section, true, ret_session);
}

static int show_dry_run(struct edit_session *session, const json_t *body)
{
	struct cli *cli = session->cli;
	cleanup_json json_t *answer = NULL;
	const char *diff = "";
	for (size_t i = 0; i < session->file_count; i++) {
		const struct edit_file *file = &session->files[i];
		const char *one = cli_need(line_diff(cli->arena, file->name, file->before, file->text));
		diff = cli_format(cli, "%s%s", diff, one);
	}
	int result = api_call(cli, "POST", "/v1/plan", body, &answer);
	if (result == CLI_DONE && cli->json && json_object_set_new(answer, "diff", json_string(diff)) < 0)
		return api_unknown(cli, "/v1/plan");
	if (!cli->json)
		show_diff(cli, diff);
	return result == CLI_DONE ? apply_show_plan(cli, answer) : result;
}

int edit_session_send(struct edit_session *session)
{
	struct cli *cli = session->cli;
	if (session->broken)
		return CLI_REFUSED;
	cleanup_json json_t *body = cli_need(json_pack("{s:[], s:I}", "files", "base", (json_int_t)session->revision));
	for (size_t i = 0; i < session->file_count; i++) {
		const struct edit_file *file = &session->files[i];
		json_t *item = cli_need(json_pack("{s:s, s:s}", "name", file->name, "text", file->text));
		cli_need(json_array_append_new(json_object_get(body, "files"), item) ? NULL : body);
	}
	cleanup_json json_t *status = NULL;
	if (!cli->json && api_call_quietly(cli, "GET", "/v1/status", STATUS_WAIT_MS, &status) == CLI_DONE)
		cli->known_warnings = json_object_get(status, "warnings");
	int result = option_given(cli->parsed, "dry-run") ? show_dry_run(session, body) : apply_send(cli, "/v1/apply", body);
	cli->known_warnings = NULL;
	return result;
}

int edit_file_named(struct edit_session *session, const char *name, struct edit_file **ret_file)
{
	size_t length = strlen(name), folder = strlen("conf.d/");
	for (size_t i = 0; i < session->file_count; i++) {
		if (strcmp(session->files[i].name, name) == 0) {
			*ret_file = &session->files[i];
			return CLI_DONE;
		}
	}
	bool in_folder = strncmp(name, "conf.d/", folder) == 0 && length > folder + 5 &&
			 strcmp(name + length - 5, ".yaml") == 0 && !strchr(name + folder, '/') && name[folder] != '.';
	if (strcmp(name, MAIN_FILE) != 0 && !in_folder) {
		cli_error(session->cli, "\"%s\" cannot hold configuration: edged.yaml and conf.d/NAME.yaml can", name);
		return CLI_USAGE;
	}
	add_file(session, name, "", in_folder ? "" : "version: 1\n");
	*ret_file = &session->files[session->file_count - 1];
	return CLI_DONE;
}

static int finish(struct edit_session *session, struct edit_file *file, int error, const struct diag_list *diags,
		  char *text, const struct doc_node *root)
{
	if (error < 0)
		return report(session->cli, diags, file->name, error);
	file->text = text;
	file->root = root;
	file->parsed = true;
	return CLI_DONE;
}

#define EDIT(session, file, call)                                                                              \
	const struct doc_node *root = NULL;                                                                    \
	struct edit_text in = {.file = (file)->name, .text = (file)->text, .length = strlen((file)->text),     \
			       .root = edit_tree(session, file), .ret_root = &root};                           \
	struct arena *arena = (session)->cli->arena;                                                           \
	struct diag_list diags;                                                                                \
	char *text = NULL;                                                                                     \
	if ((session)->broken)                                                                                 \
		return CLI_REFUSED;                                                                            \
	diag_init(&diags, arena);                                                                              \
	int error = call;                                                                                      \
	return finish(session, file, error, &diags, text, root)

int edit_do_set(struct edit_session *session, struct edit_file *file, const char *const *path, const char *value)
{
	EDIT(session, file, edit_set(&in, path, value, arena, &diags, &text));
}

int edit_do_add(struct edit_session *session, struct edit_file *file, const char *const *path, const char *value)
{
	EDIT(session, file, edit_add(&in, path, value, arena, &diags, &text));
}

int edit_do_append(struct edit_session *session, struct edit_file *file, const char *const *path, const char *before,
		   const char *value)
{
	EDIT(session, file, edit_append(&in, path, before, value, arena, &diags, &text));
}

int edit_do_remove(struct edit_session *session, struct edit_file *file, const char *const *path)
{
	EDIT(session, file, edit_remove(&in, path, arena, &diags, &text));
}
