/* edgectl: parse the command line, run the command, answer with its exit code.
 * Commands are in commands.c, each group's code in its cmd_ file. */
#include "cli.h"
#include "commands.h"
#include "edit_keys.h"
#include "help.h"
#include "text.h"

#include <errno.h>
#include <signal.h>

static int run(struct cli *cli, struct parsed *parsed)
{
	cli->parsed = parsed;
	cli->json = option_given(parsed, "json");
	cli->color = text_wants_color(cli->out);
	if (!parsed->help)
		return parsed->command->run(cli);
	if (parsed->command)
		help_command(cli, parsed->command);
	else if (parsed->argument_count)
		help_group(cli, parsed->arguments[0]);
	else
		help_all(cli);
	return CLI_DONE;
}

int main(int argc, char **argv)
{
	cleanup_arena struct arena *arena = cli_need(arena_new());
	struct cli cli = {.arena = arena, .out = stdout, .err = stderr};
	struct parsed parsed;
	const char *error = "out of memory";
	/* A socket that edged closes must not end us without a word. */
	signal(SIGPIPE, SIG_IGN);
	int r = edit_keys_init(arena);
	if (r == 0)
		r = cli_parse(commands, argc > 1 ? argc - 1 : 0, (const char *const *)argv + 1, arena, &parsed, &error);
	if (r < 0) {
		cli_error(&cli, "%s", error);
		return r == -EINVAL ? CLI_USAGE : CLI_REFUSED;
	}
	int result = run(&cli, &parsed);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		/* A reader that has seen enough ("| head") is no failure worth a line. */
		if (errno != EPIPE)
			cli_error(&cli, "cannot write the answer: is the disk full?");
		return result == CLI_DONE ? CLI_REFUSED : result;
	}
	return result;
}
