/* Fetching and filtering for the show commands, and the forms that several of
 * them print. */
#include "show.h"

#include "api.h"
#include "text.h"

#include <inttypes.h>
#include <string.h>

static int fail_name(struct cli *cli, const json_t *list, const char *key, const char *name)
{
	size_t count = json_array_size(list), i;
	const char **known = cli_need(arena_array(cli->arena, count + 1, const char *));
	const json_t *item;
	json_array_foreach(list, i, item)
		known[i] = js_text(item, key);
	const char *nearest = text_nearest(name, known, count);
	if (nearest)
		cli_error(cli, "there is no \"%s\": did you mean \"%s\"?", name, nearest);
	else
		cli_error(cli, "there is no \"%s\" among %zu", name, count);
	return CLI_REFUSED;
}

int show_fetch(struct cli *cli, const char *path, const char *key, const char *name, json_t **ret_list)
{
	cleanup_json json_t *list = NULL, *kept = NULL;
	int result = api_call(cli, "GET", path, NULL, &list);
	if (result != CLI_DONE)
		return result;
	const json_t *item;
	size_t i;
	json_array_foreach(list, i, item) {
		if (!json_is_object(item))
			return api_unknown(cli, path);
	}
	if (!json_is_array(list))
		return api_unknown(cli, path);
	if (name) {
		kept = cli_need(json_array());
		json_array_foreach(list, i, item) {
			if (strcmp(js_text(item, key), name) == 0)
				cli_need(json_array_append(kept, (json_t *)(uintptr_t)item) ? NULL : kept);
		}
		if (!json_array_size(kept))
			return fail_name(cli, list, key, name);
	}
	if (cli->json)
		return api_print(cli, kept ? kept : list);
	*ret_list = json_incref(kept ? kept : list);
	return CLI_DONE;
}

const char *show_place(struct cli *cli, const json_t *item)
{
	const char *file = js_text(item, "file");
	if (!*file || !js_int(item, "line"))
		return file;
	return cli_format(cli, "%s:%" PRId64, file, js_int(item, "line"));
}

const char *show_count(struct cli *cli, int64_t n)
{
	static const char units[] = "kMGTPE";
	double amount = (double)n;
	int unit = -1;
	if (n < 100000)
		return cli_format(cli, "%" PRId64, n);
	while (amount >= 1000 && units[unit + 1]) {
		amount /= 1000;
		unit++;
	}
	return cli_format(cli, "%.1f%c", amount, units[unit]);
}

static enum tone tone_of_line(const char *line)
{
	if (strncmp(line, "+++", 3) == 0 || strncmp(line, "---", 3) == 0)
		return TONE_BOLD;
	return *line == '+' ? TONE_GOOD : *line == '-' ? TONE_BAD : *line == '@' ? TONE_DIM : TONE_PLAIN;
}

void show_diff(struct cli *cli, const char *diff)
{
	char *rest = cli_need(text_block(cli->arena, diff)), *line;
	while ((line = strsep(&rest, "\n"))) {
		enum tone tone = tone_of_line(line);
		/* What stands behind the last newline is no line. */
		if (*line || rest)
			fprintf(cli->out, "%s%s%s\n", text_tone(cli->color, tone), line, text_plain(cli->color, tone));
	}
}
