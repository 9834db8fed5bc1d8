/* What tells a slot that came up from one that did not: edged's answers now, against those before an install. */
#pragma once

#include "cli.h"

/* What answers now, as before.json keeps it; a new reference; NULL: edged does not answer. */
json_t *health_look(struct cli *cli);
/* Why it is not well, a sentence; NULL: all is well. before NULL: the ruleset alone is asked for. now NULL: no answer. */
const char *health_trouble(struct cli *cli, const json_t *before, const json_t *now);

/* Keep it in folder, on the disk before it returns: 0 or -errno. */
int health_keep(const char *folder, const json_t *look);
/* What was kept; a new reference; NULL: nothing. */
json_t *health_kept(const char *folder);
