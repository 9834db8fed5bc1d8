/* The one table from which parsing, help, completion, the manual page and
 * usage errors come: each command says its arguments and options here.
 *
 * Commands have a name of one or two words ("apply", "forward add"). Options
 * may stand anywhere behind or before the command; "--" ends them. */
#pragma once

#include "../rules/base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli;

/* What a value must look like; checked when parsed. */
enum value_kind {
	VALUE_NONE, /* a flag */
	VALUE_TEXT,
	VALUE_LIST,     /* "a,b,c" */
	VALUE_FILE,
	VALUE_DURATION, /* "60s" */
	VALUE_NUMBER,   /* 0 to 2^31 - 1 */
	VALUE_WORD,     /* one of words */
	VALUE_PREFIX,   /* an address or a prefix */
};

/* What completion offers for a value. */
enum names {
	NAMES_NONE, NAMES_FILES, NAMES_COMMANDS, NAMES_KEYS, NAMES_FORWARDS, NAMES_NODES, NAMES_RULES, NAMES_TUNNELS,
	NAMES_BANS, NAMES_REVISIONS, NAMES_ENTRIES /* of the section that an editing verb edits */
};

struct option_spec {
	const char *name;          /* without the dashes; NULL ends a list */
	char letter;               /* 0: none */
	enum value_kind kind;
	const char *value;         /* how help calls the value: "DURATION" */
	const char *help;
	const char *const *words;  /* VALUE_WORD; NULL-terminated */
	enum names names;
	bool required;
	uint64_t least, most;      /* VALUE_DURATION, in milliseconds; 0: from 1 ms on, without an end */
	const char *key;           /* editing verbs: the key that it sets, "limits.ban" */
};

struct argument_spec {
	const char *name;          /* "NAME"; NULL ends a list */
	const char *help;
	bool optional, many;       /* many: the last one may stand several times */
	enum value_kind kind;
	const char *const *words;
	enum names names;
};

/* Of --confirm-within; edged has the same bound (docs/openapi.yaml). */
#define CONFIRM_BOUNDS .least = 1000, .most = 7ull * 24 * 3600 * 1000

#define ARGUMENTS_MOST 4

struct command {
	const char *name;          /* NULL ends the table */
	const char *summary;       /* a line */
	const char *details;       /* more for help and the manual page; may be NULL */
	struct argument_spec arguments[ARGUMENTS_MOST + 1];
	const struct option_spec *options; /* may be NULL */
	int (*run)(struct cli *cli);       /* returns an enum cli_exit */
	bool hidden;
};

#define PARSED_OPTIONS_MOST 32
#define PARSED_ARGUMENTS_MOST 64

struct parsed {
	const struct command *command; /* NULL: none was given */
	struct { const struct option_spec *spec; const char *text; } options[PARSED_OPTIONS_MOST];
	size_t option_count;
	const char *arguments[PARSED_ARGUMENTS_MOST];
	size_t argument_count;
	bool help;
};

/* Options that every command knows. */
extern const struct option_spec options_global[];

/* Parse argv (without the program's name). 0 with *ret_parsed, which points
 * into argv and the tables; -EINVAL with *ret_error in arena: one line that
 * says what to do; -ENOMEM. With --help, nothing is missing. */
int cli_parse(const struct command *commands, int argc, const char *const *argv, struct arena *arena,
		  struct parsed *ret_parsed, const char **ret_error);

/* The command whose name is the first one or two of words; NULL. *ret_used (may be NULL): how many words it is. */
const struct command *options_command(const struct command *commands, const char *const *words, size_t count,
				      size_t *ret_used);
/* The option called name ("json"), of the command or global; NULL. */
const struct option_spec *options_find(const struct command *command, const char *name);

/* The last value given for an option, or NULL. */
const char *option_text(const struct parsed *parsed, const char *name);
bool option_given(const struct parsed *parsed, const char *name);
/* A VALUE_DURATION in milliseconds, or 0. */
uint64_t option_duration(const struct parsed *parsed, const char *name);
/* Argument i, or NULL. */
const char *argument_text(const struct parsed *parsed, size_t i);
