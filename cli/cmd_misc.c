/* help and version: what is known without asking for anything, but for the
 * version of edged. */
#include "commands.h"

#include "api.h"
#include "help.h"
#include "text.h"

#include <string.h>

int cmd_version(struct cli *cli)
{
	cleanup_json json_t *answer = NULL;
	const char *daemon = NULL;
	if (api_call_quietly(cli, "GET", "/v1/version", 2000, &answer) == CLI_DONE)
		daemon = js_text(answer, "version");
	if (cli->json) {
		cleanup_json json_t *both = json_pack("{s:s, s:s?}", "edgectl", EDGED_VERSION, "edged", daemon);
		return api_print(cli, cli_need(both));
	}
	cli_line(cli, "edgectl %s", EDGED_VERSION);
	cli_line(cli, "edged %s", daemon ? daemon : "does not answer");
	return CLI_DONE;
}

/* A command, or a group of them, by its words. */
int cmd_help(struct cli *cli)
{
	const struct parsed *parsed = cli->parsed;
	const char *error = NULL;
	struct parsed named;
	if (option_given(parsed, "man")) {
		help_man(cli);
		return CLI_DONE;
	}
	if (!parsed->argument_count) {
		help_all(cli);
		return CLI_DONE;
	}
	/* "help forward add" is "forward add --help". */
	const char *words[3] = {parsed->arguments[0], parsed->argument_count > 1 ? parsed->arguments[1] : "--help", "--help"};
	int r = cli_parse(commands, parsed->argument_count > 1 ? 3 : 2, words, cli->arena, &named, &error);
	if (r < 0) {
		cli_error(cli, "%s", error ? error : "out of memory");
		return CLI_USAGE;
	}
	if (named.command)
		help_command(cli, named.command);
	else
		help_group(cli, named.arguments[0]);
	return CLI_DONE;
}
