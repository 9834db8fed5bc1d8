/* What the commands that show things share: fetch a list, filter it by name,
 * print it as JSON or hand back its rows. */
#pragma once

#include "cli.h"

#include <jansson.h>

/* GET path, which answers with a list of objects; with name, only those whose
 * key is name are kept, and none is an error that names the nearest. With
 * --json it is printed and *ret_list is NULL. Returns an enum cli_exit. */
int show_fetch(struct cli *cli, const char *path, const char *key, const char *name, json_t **ret_list);
/* "edged.yaml:41" or "". */
const char *show_place(struct cli *cli, const json_t *item);
/* n, n/1000 as "12.3k" and so on: counters in narrow columns. */
const char *show_count(struct cli *cli, int64_t n);
/* A unified diff, coloured line by line. */
void show_diff(struct cli *cli, const char *diff);
