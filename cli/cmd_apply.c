/* plan, apply, confirm, rollback, flush: the commands that change the whole,
 * and the printing of what came of it. */
#include "apply.h"
#include "commands.h"

#include "api.h"
#include "files.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void print_list(struct cli *cli, const json_t *list, enum tone tone, const char *lead)
{
	const json_t *item;
	size_t i;
	json_array_foreach(list, i, item)
		cli_toned(cli, tone, "%s%s", lead, js_any(cli, item, NULL));
}

/* What a diagnostic says, without "file:line:column: ": an edit moves the lines of others. */
static const char *said(const char *line)
{
	const char *at = strchr(line, ':');
	for (int numbers = 0; at && numbers < 2; numbers++) {
		size_t digits = strspn(at + 1, "0123456789");
		if (!digits || at[1 + digits] != ':')
			return line;
		at += 1 + digits;
	}
	return at && at[1] == ' ' ? at + 2 : line;
}

static bool is_known(const struct cli *cli, const char *line)
{
	const json_t *item;
	size_t i;
	json_array_foreach(cli->known_warnings, i, item) {
		const char *known = json_string_value(item);
		if (known && strcmp(said(known), said(line)) == 0)
			return true;
	}
	return false;
}

static void print_warnings(struct cli *cli, const json_t *answer)
{
	const json_t *item;
	size_t i, as_before = 0;
	json_array_foreach(json_object_get(answer, "warnings"), i, item) {
		if (json_is_string(item) && is_known(cli, json_string_value(item))) {
			as_before++;
			continue;
		}
		/* A diagnostic says "warning:" itself. */
		const char *line = files_rename(cli, js_any(cli, item, NULL));
		cli_toned(cli, TONE_WARN, "%s%s", strstr(line, "warning: ") ? "" : "warning: ", line);
	}
	if (as_before)
		cli_toned(cli, TONE_DIM, "%s as before (edgectl status lists them)", cli_count(cli, as_before, "warning"));
}

int apply_show_plan(struct cli *cli, const json_t *answer)
{
	if (!json_is_object(answer))
		return api_unknown(cli, "/v1/plan");
	if (cli->json)
		return api_print(cli, answer);
	print_warnings(cli, answer);
	const json_t *steps = json_object_get(answer, "steps");
	if (!js_bool(answer, "changes")) {
		cli_line(cli, "nothing would change");
		return CLI_DONE;
	}
	cli_line(cli, "an apply would change:");
	print_list(cli, json_object_get(answer, "summary"), TONE_PLAIN, "  ");
	if (json_array_size(steps)) {
		cli_line(cli, "in the kernel (%zu steps, one transaction):", json_array_size(steps));
		print_list(cli, steps, TONE_DIM, "  ");
	}
	return CLI_DONE;
}

static int show_apply(struct cli *cli, const json_t *answer)
{
	if (!json_is_object(answer) || !json_is_integer(json_object_get(answer, "revision")))
		return api_unknown(cli, "the apply");
	if (cli->json)
		return api_print(cli, answer);
	const json_t *took = json_object_get(answer, "took_ms"), *pending = json_object_get(answer, "pending");
	int64_t revision = js_int(answer, "revision");
	int64_t ms = js_int(took, "load") + js_int(took, "diff") + js_int(took, "commit") + js_int(took, "verify");
	print_warnings(cli, answer);
	print_list(cli, json_object_get(answer, "summary"), TONE_PLAIN, "  ");
	if (js_bool(answer, "changed"))
		cli_line(cli, "applied: revision %" PRId64 " is in force (%" PRId64 " ms)", revision, ms);
	else
		cli_line(cli, "nothing to change: revision %" PRId64 " is in force", revision);
	if (json_is_object(pending)) {
		cli_toned(cli, TONE_WARN,
			  "NOT CONFIRMED: the old configuration comes back in %" PRId64 " s (at %s UTC) unless you type",
			  js_int(pending, "seconds_left"),
			  (char *)cli_need(text_time(cli->arena, js_text(pending, "deadline"))));
		cli_line(cli, "  edgectl confirm");
		cli_line(cli, "edgectl rollback goes back at once.");
	}
	return CLI_DONE;
}

int apply_send(struct cli *cli, const char *path, json_t *body)
{
	cleanup_json json_t *answer = NULL;
	const char *message = option_text(cli->parsed, "message");
	uint64_t within = option_duration(cli->parsed, "confirm-within");
	if (within % 1000) {
		cli_error(cli, "--confirm-within counts in whole seconds");
		return CLI_USAGE;
	}
	if (message)
		cli_need(json_object_set_new(body, "message", json_string(message)) ? NULL : body);
	if (within)
		cli_need(json_object_set_new(body, "confirm_within_seconds", json_integer((json_int_t)(within / 1000))) ? NULL :
			 body);
	int result = api_call(cli, "POST", path, body, &answer);
	if (result == CLI_DONE && strcmp(path, "/v1/plan") == 0)
		return apply_show_plan(cli, answer);
	return result == CLI_DONE ? show_apply(cli, answer) : result;
}

/* {"files": [..]} of the FILE argument, or {} without one: then edged reads its own folder. */
static int body_of_argument(struct cli *cli, json_t **ret_body)
{
	const char *file = argument_text(cli->parsed, 0);
	cleanup_json json_t *body = cli_need(json_object());
	if (file) {
		struct files *files = NULL;
		if (files_read(cli, file, &files) < 0)
			return CLI_REFUSED;
		cli->files = files;
		cli_need(json_object_set_new(body, "files", files_json(cli, files)) ? NULL : body);
	}
	*ret_body = body;
	body = NULL;
	return CLI_DONE;
}

int cmd_plan(struct cli *cli)
{
	cleanup_json json_t *body = NULL;
	int result = body_of_argument(cli, &body);
	return result == CLI_DONE ? apply_send(cli, "/v1/plan", body) : result;
}

int cmd_apply(struct cli *cli)
{
	cleanup_json json_t *body = NULL;
	int result = body_of_argument(cli, &body);
	return result == CLI_DONE ? apply_send(cli, "/v1/apply", body) : result;
}

int cmd_rollback(struct cli *cli)
{
	const char *to = argument_text(cli->parsed, 0);
	cleanup_json json_t *body = cli_need(json_object());
	if (to)
		cli_need(json_object_set_new(body, "to", json_integer(atoll(to))) ? NULL : body);
	return apply_send(cli, "/v1/rollback", body);
}

int cmd_confirm(struct cli *cli)
{
	cleanup_json json_t *answer = NULL;
	int result = api_call(cli, "POST", "/v1/confirm", NULL, &answer);
	if (result != CLI_DONE)
		return result;
	if (cli->json)
		return api_print(cli, answer);
	cli_line(cli, "confirmed: revision %" PRId64 " stays", js_int(answer, "revision"));
	return CLI_DONE;
}

int cmd_flush(struct cli *cli)
{
	cleanup_json json_t *answer = NULL, *body = cli_need(json_object());
	cli_need(json_object_set_new(body, "yes", json_true()) ? NULL : body);
	int result = api_call(cli, "POST", "/v1/flush", body, &answer);
	if (result != CLI_DONE)
		return result;
	if (cli->json)
		return api_print(cli, answer);
	cli_line(cli, "flushed: this machine filters and forwards nothing any more; edgectl apply brings it back");
	return CLI_DONE;
}
