/* What every command of edgectl is given, and what it may answer. */
#pragma once

#include "text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct parsed;
struct files;

enum cli_exit {
	CLI_DONE = 0,
	CLI_REFUSED = 1,     /* refused or failed; the reason is on standard error */
	CLI_USAGE = 2,
	CLI_UNREACHABLE = 3, /* edged does not answer */
};

#define CLI_SOCKET "/run/edged/api.sock"
#define CLI_CONFIG "/etc/edged/edged.yaml"

struct cli {
	struct arena *arena; /* everything that a command needs lives until the program ends */
	FILE *out, *err;
	bool json;  /* --json */
	bool color; /* out is a terminal that wants it */
	const struct parsed *parsed;
	/* What was sent to edged, so that its diagnostics name files as the user did; NULL: edged's own folder. */
	const struct files *files;
	/* Warnings of what is in force already (edged's list), which an edit's answer only counts; NULL: none are known. */
	const json_t *known_warnings;
};

/* Print one line "edgectl: ..." on cli->err, control characters escaped. */
void cli_error(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same without the program's name in front: a line that belongs to the error before it. */
void cli_hint(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line on cli->out, control characters escaped, newline added. */
void cli_line(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same in a tone. */
void cli_toned(struct cli *cli, enum tone tone, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* An empty line on cli->out. */
void cli_blank(struct cli *cli);
/* Formatted text in cli->arena; never NULL: out of memory ends the program with a message. */
char *cli_format(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "1 node", "3 nodes". */
const char *cli_count(struct cli *cli, size_t count, const char *noun);
/* memory; when it is NULL, the program ends with a message: out of memory. */
void *cli_need(void *memory);
