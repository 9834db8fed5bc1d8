/* history and diff: what was in force when, and what changed. Both only look;
 * rollback is in cmd_apply.c. */
#include "commands.h"

#include "api.h"
#include "show.h"
#include "table.h"

#include <inttypes.h>

int cmd_history(struct cli *cli)
{
	static const char *const titles[] = {"", "revision", "time (UTC)", "user", "message", "summary"};
	cleanup_json json_t *list = NULL;
	const json_t *item;
	size_t i;
	int result = show_fetch(cli, "/v1/history", NULL, NULL, &list);
	if (result != CLI_DONE || !list)
		return result;
	struct table *table = table_new(cli);
	for (i = 0; i < sizeof(titles) / sizeof(*titles); i++)
		table_column(table, titles[i], i == 1 ? ALIGN_RIGHT : ALIGN_LEFT);
	json_array_foreach(list, i, item) {
		bool current = js_bool(item, "current"), pending = js_bool(item, "pending");
		bool lapsed = js_bool(item, "lapsed");
		enum tone tone = pending ? TONE_WARN : current ? TONE_GOOD : lapsed ? TONE_DIM : TONE_PLAIN;
		table_cell(table, tone, pending ? "pending" : current ? "current" : lapsed ? "lapsed" : " ");
		table_cell(table, tone, js_any(cli, item, "revision"));
		table_cell(table, TONE_PLAIN, text_time(cli->arena, js_text(item, "time")));
		table_cell(table, TONE_PLAIN, js_any(cli, item, "user"));
		table_cell(table, TONE_PLAIN, js_text(item, "message"));
		table_cell(table, TONE_PLAIN, js_any(cli, item, "summary"));
	}
	table_print(table, "no revision yet: edgectl apply makes the first");
	return CLI_DONE;
}

int cmd_diff(struct cli *cli)
{
	cleanup_json json_t *answer = NULL;
	const char *from = argument_text(cli->parsed, 0), *to = argument_text(cli->parsed, 1);
	const char *path = cli_format(cli, "/v1/diff?from=%s%s%s", from, to ? "&to=" : "", to ? to : "");
	int result = api_call(cli, "GET", path, NULL, &answer);
	if (result != CLI_DONE)
		return result;
	if (!json_is_object(answer) || !json_is_string(json_object_get(answer, "diff")))
		return api_unknown(cli, path);
	if (cli->json)
		return api_print(cli, answer);
	if (!*js_text(answer, "diff"))
		cli_line(cli, "revisions %" PRId64 " and %" PRId64 " have the same files", js_int(answer, "from"),
			 js_int(answer, "to"));
	show_diff(cli, js_text(answer, "diff"));
	const json_t *changes = json_object_get(answer, "changes"), *item;
	size_t i;
	if (json_array_size(changes)) {
		cli_blank(cli);
		cli_line(cli, "which means:");
	}
	json_array_foreach(changes, i, item)
		cli_line(cli, "  %s", js_any(cli, item, NULL));
	return CLI_DONE;
}
