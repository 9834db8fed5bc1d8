/* The few printing helpers that all commands share. Whatever passes here has
 * its control characters escaped, so that no text of the server, of a file or
 * of an argument can write to the terminal's own channel. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

void *cli_need(void *memory)
{
	if (memory)
		return memory;
	fputs("edgectl: out of memory\n", stderr);
	exit(CLI_REFUSED);
}

static void put(struct cli *cli, FILE *out, const char *lead, const char *format, va_list args)
{
	char *text = cli_need(arena_vprintf(cli->arena, format, args));
	fprintf(out, "%s%s\n", lead, (char *)cli_need(text_line(cli->arena, text)));
}

void cli_error(struct cli *cli, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fflush(cli->out);
	put(cli, cli->err, "edgectl: ", format, args);
	va_end(args);
}

void cli_hint(struct cli *cli, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fflush(cli->out);
	put(cli, cli->err, "", format, args);
	va_end(args);
}

void cli_line(struct cli *cli, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	put(cli, cli->out, "", format, args);
	va_end(args);
}

void cli_toned(struct cli *cli, enum tone tone, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *text = cli_need(arena_vprintf(cli->arena, format, args));
	va_end(args);
	fprintf(cli->out, "%s%s%s\n", text_tone(cli->color, tone), (char *)cli_need(text_line(cli->arena, text)),
		text_plain(cli->color, tone));
}

void cli_blank(struct cli *cli)
{
	fputc('\n', cli->out);
}

char *cli_format(struct cli *cli, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *text = arena_vprintf(cli->arena, format, args);
	va_end(args);
	return cli_need(text);
}

const char *cli_count(struct cli *cli, size_t count, const char *noun)
{
	return cli_format(cli, "%zu %s%s", count, noun, count == 1 ? "" : "s");
}
