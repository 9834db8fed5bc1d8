/* What plan, apply, rollback and the editing verbs have in common. */
#pragma once

#include "cli.h"

#include <jansson.h>

/* Send body to path (plan, apply or rollback; see docs/api.md), after adding
 * --message and --confirm-within where they were given, and print the outcome.
 * Returns an enum cli_exit. */
int apply_send(struct cli *cli, const char *path, json_t *body);
/* Print what POST /v1/plan answered. */
int apply_show_plan(struct cli *cli, const json_t *answer);
