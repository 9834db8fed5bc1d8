/* Help of all commands, one group or one command, from the tables. */
#pragma once

#include "options.h"

/* One screen: all commands with their lines. */
void help_all(struct cli *cli);
/* The commands "group ...". */
void help_group(struct cli *cli, const char *group);
void help_command(struct cli *cli, const struct command *command);
/* The manual page, in man(7) form. */
void help_man(struct cli *cli);
