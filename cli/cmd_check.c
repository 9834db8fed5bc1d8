/* check: validates a configuration and evaluates its expectations, without
 * root, without edged, without changing anything. */
#include "commands.h"

#include "api.h"
#include "files.h"

#include "../rules/ask/ask.h"
#include "../rules/model/model.h"

#include <errno.h>
#include <string.h>

struct opener {
	struct cli *cli;
	const struct files *files;
};

static int open_named(void *context, const char *name, struct source_file *ret_file)
{
	const struct opener *opener = context;
	struct config_file file;
	int r = files_read_named(opener->cli, opener->files, name, &file);
	if (r == 0)
		*ret_file = (struct source_file){.name = file.shown, .text = file.text, .length = file.length};
	return r;
}

static int load(struct cli *cli, const struct files *files, struct diag_list *diags, struct model **ret_model)
{
	struct source_file *sources = cli_need(arena_array(cli->arena, files->yaml_count, struct source_file));
	struct opener opener = {.cli = cli, .files = files};
	for (size_t i = 0; i < files->yaml_count; i++)
		sources[i] = (struct source_file){
			.name = files->yaml[i].shown, .text = files->yaml[i].text, .length = files->yaml[i].length};
	struct source_set set = {.main = sources, .main_count = files->yaml_count, .open = open_named, .context = &opener};
	return model_load(&set, NULL, diags, ret_model);
}

static int print_json(struct cli *cli, const struct diag_list *diags)
{
	json_t *errors = cli_need(json_array()), *warnings = cli_need(json_array());
	for (size_t i = 0; i < diags->count; i++) {
		const char *line = cli_need(diag_format(cli->arena, &diags->items[i]));
		/* A file's bytes may be anything; JSON takes UTF-8 only. */
		json_t *text = cli_need(json_string(cli_need(text_line(cli->arena, line))));
		cli_need(json_array_append_new(diags->items[i].severity == DIAG_ERROR ? errors : warnings, text) ? NULL : text);
	}
	cleanup_json json_t *all =
		json_pack("{s:b, s:o, s:o}", "ok", diags->errors == 0, "errors", errors, "warnings", warnings);
	return api_print(cli, cli_need(all));
}

static void print_text(struct cli *cli, const char *file, const struct model *model, const struct diag_list *diags)
{
	for (size_t i = 0; i < diags->count; i++)
		cli_hint(cli, "%s", (char *)cli_need(diag_format(cli->arena, &diags->items[i])));
	if (diags->dropped)
		cli_hint(cli, "... and %zu more", diags->dropped);
	const char *warnings = cli_count(cli, diags->warnings, "warning");
	if (diags->errors)
		cli_line(cli, "%s: not valid: %s, %s", file, cli_count(cli, diags->errors, "error"), warnings);
	else
		cli_line(cli, "%s: valid: %s, %s, %s, %s; %s", file, cli_count(cli, model->forward_count, "forward"),
			 cli_count(cli, model->rule_count, "rule"), cli_count(cli, model->node_count, "node"),
			 cli_count(cli, model->expectation_count, "expectation"), warnings);
}

int cmd_check(struct cli *cli)
{
	const char *file = argument_text(cli->parsed, 0);
	cleanup_model struct model *model = NULL;
	struct surroundings around = {0};
	struct files *files = NULL;
	struct diag_list diags;
	if (!file)
		file = CLI_CONFIG;
	if (files_read(cli, file, &files) < 0)
		return CLI_REFUSED;
	diag_init(&diags, cli->arena);
	int r = load(cli, files, &diags, &model);
	if (r < 0 && r != -EINVAL) {
		cli_error(cli, "cannot check %s: %s", file, strerror(-r));
		return CLI_REFUSED;
	}
	if (r == 0 && ask_expectations(model, &around, cli->arena, &diags))
		diag_sort(&diags);
	if (cli->json)
		print_json(cli, &diags);
	else
		print_text(cli, file, model, &diags);
	return diags.errors ? CLI_REFUSED : CLI_DONE;
}
