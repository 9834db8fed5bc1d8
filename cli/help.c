/* Help and the manual page, both from the command table: nothing is said here
 * that a table could say. */
#include "help.h"

#include "cli.h"
#include "commands.h"
#include "text.h"

#include <string.h>

static const char *usage_of(struct cli *cli, const struct command *command)
{
	const char *usage = cli_format(cli, "edgectl %s", command->name);
	for (size_t i = 0; command->arguments[i].name; i++) {
		const struct argument_spec *argument = &command->arguments[i];
		usage = cli_format(cli, argument->optional ? "%s [%s%s]" : "%s %s%s", usage, argument->name,
				   argument->many ? "..." : "");
	}
	size_t optional = 0;
	for (const struct option_spec *spec = command->options; spec && spec->name; spec++) {
		if (spec->required)
			usage = cli_format(cli, "%s --%s%s%s", usage, spec->name, spec->value ? " " : "",
					   spec->value ? spec->value : "");
		else
			optional++;
	}
	return optional ? cli_format(cli, "%s [OPTION...]", usage) : usage;
}

static const char *option_form(struct cli *cli, const struct option_spec *spec)
{
	const char *letter = spec->letter ? cli_format(cli, "-%c, ", spec->letter) : "";
	return cli_format(cli, "%s--%s%s%s", letter, spec->name, spec->value ? " " : "", spec->value ? spec->value : "");
}

static void print_options(struct cli *cli, const struct option_spec *specs)
{
	int width = 0;
	for (const struct option_spec *spec = specs; spec->name; spec++) {
		int length = (int)strlen(option_form(cli, spec));
		width = length > width ? length : width;
	}
	for (const struct option_spec *spec = specs; spec->name; spec++)
		cli_line(cli, "  %-*s  %s", width, option_form(cli, spec), spec->help);
}

/* group NULL: of all of them. */
static bool is_shown(const struct command *command, const char *group)
{
	size_t length = group ? strlen(group) : 0;
	return !command->hidden && (!group || (strncmp(command->name, group, length) == 0 && command->name[length] == ' '));
}

static void print_commands(struct cli *cli, const char *group)
{
	size_t width = 0;
	for (const struct command *command = commands; command->name; command++) {
		if (is_shown(command, group) && strlen(command->name) > width)
			width = strlen(command->name);
	}
	for (const struct command *command = commands; command->name; command++) {
		if (is_shown(command, group))
			cli_line(cli, "  %-*s  %s", (int)width, command->name, command->summary);
	}
}

void help_all(struct cli *cli)
{
	cli_line(cli, "edgectl manages the edge firewall through edged.");
	cli_blank(cli);
	cli_line(cli, "Usage: edgectl [OPTION...] COMMAND ...");
	cli_blank(cli);
	print_commands(cli, NULL);
	cli_blank(cli);
	cli_line(cli, "Options of every command:");
	print_options(cli, options_global);
	cli_blank(cli);
	cli_line(cli, "edgectl help COMMAND says more about one; man edgectl says all.");
}

void help_group(struct cli *cli, const char *group)
{
	cli_line(cli, "Usage: edgectl %s COMMAND ...", group);
	cli_blank(cli);
	print_commands(cli, group);
	cli_blank(cli);
	cli_line(cli, "edgectl help %s COMMAND says more about one.", group);
}

void help_command(struct cli *cli, const struct command *command)
{
	cli_line(cli, "Usage: %s", usage_of(cli, command));
	cli_blank(cli);
	cli_line(cli, "%s.", command->summary);
	if (command->details)
		fprintf(cli->out, "\n%s\n", command->details);
	if (command->arguments[0].name) {
		cli_blank(cli);
		cli_line(cli, "Arguments:");
	}
	for (size_t i = 0; command->arguments[i].name; i++)
		cli_line(cli, "  %-10s  %s", command->arguments[i].name, command->arguments[i].help);
	if (command->options) {
		cli_blank(cli);
		cli_line(cli, "Options:");
		print_options(cli, command->options);
	}
	cli_blank(cli);
	cli_line(cli, "Options of every command:");
	print_options(cli, options_global);
}

/* roff: a backslash, a leading dot or quote, and "-" would be taken for markup. */
static void print_roff(struct cli *cli, const char *text)
{
	bool at_start = true;
	for (const char *p = text; *p; p++) {
		if (at_start && (*p == '.' || *p == '\''))
			fputs("\\&", cli->out);
		if (*p == '\\')
			fputs("\\e", cli->out);
		else if (*p == '-')
			fputs("\\-", cli->out);
		else
			fputc(*p, cli->out);
		at_start = *p == '\n';
	}
	fputc('\n', cli->out);
}

static void print_roff_tagged(struct cli *cli, const char *tag, const char *text)
{
	fputs(".TP\n.B ", cli->out);
	print_roff(cli, tag);
	print_roff(cli, text);
}

/* Details are blocks of text between empty lines; indented lines are examples. */
static void print_roff_details(struct cli *cli, const char *details)
{
	fputs(".IP\n.nf\n", cli->out);
	print_roff(cli, details);
	fputs(".fi\n", cli->out);
}

void help_man(struct cli *cli)
{
	fprintf(cli->out, ".\\\" Made by \"edgectl help --man\" from the command tables; do not edit.\n"
		".TH EDGECTL 8 \"\" \"edged %s\" \"Edge firewall\"\n"
		".SH NAME\nedgectl \\- manage the edge firewall\n"
		".SH SYNOPSIS\n.B edgectl\n[\\fIOPTION\\fR...] \\fICOMMAND\\fR ...\n"
		".SH DESCRIPTION\n"
		"edgectl checks configurations of the edge firewall, applies them through the daemon edged, takes them back,\n"
		"edits them, and shows what is in force and what happens. Only\n.B edgectl check\nworks without edged.\n"
		".SH COMMANDS\n", EDGED_VERSION);
	for (const struct command *command = commands; command->name; command++) {
		if (command->hidden)
			continue;
		print_roff_tagged(cli, usage_of(cli, command), cli_format(cli, "%s.", command->summary));
		if (command->details)
			print_roff_details(cli, command->details);
		if (!command->options && !command->arguments[0].name)
			continue;
		fputs(".RS\n", cli->out);
		for (size_t i = 0; command->arguments[i].name; i++)
			print_roff_tagged(cli, command->arguments[i].name, command->arguments[i].help);
		for (const struct option_spec *spec = command->options; spec && spec->name; spec++)
			print_roff_tagged(cli, option_form(cli, spec), spec->help);
		fputs(".RE\n", cli->out);
	}
	fputs(".SH OPTIONS OF EVERY COMMAND\n", cli->out);
	for (const struct option_spec *spec = options_global; spec->name; spec++)
		print_roff_tagged(cli, option_form(cli, spec), spec->help);
	fputs(".SH EXIT STATUS\n", cli->out);
	print_roff_tagged(cli, "0", "Done.");
	print_roff_tagged(cli, "1", "Refused or failed; the reason is on standard error.");
	print_roff_tagged(cli, "2", "Wrong usage.");
	print_roff_tagged(cli, "3", "edged does not answer.");
	fputs(".SH ENVIRONMENT\n", cli->out);
	print_roff_tagged(cli, "NO_COLOR", "When it is set, nothing is coloured; without a terminal nothing is either.");
	fputs(".SH FILES\n", cli->out);
	print_roff_tagged(cli, "/etc/edged/edged.yaml, /etc/edged/conf.d/*.yaml", "The configuration.");
	print_roff_tagged(cli, "/run/edged/api.sock", "edged's socket: group edge may change, group edge-view may look.");
	fputs(".SH SEE ALSO\n.BR edged (8)\n", cli->out);
}
