/* The option parser. Reads the tables of options.h and nothing else; prints
 * nothing. Every refusal is one line that names what was meant. */
#include "options.h"

#include "text.h"

#include "../rules/base/addr.h"
#include "../rules/model/values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const completion_hint = "edgectl help lists all commands";

const struct option_spec options_global[] = {
	{.name = "json", .help = "print the answer as JSON"},
	{.name = "socket", .kind = VALUE_FILE, .value = "PATH", .names = NAMES_FILES,
	 .help = "edged's socket (default /run/edged/api.sock)"},
	{.name = "host", .kind = VALUE_TEXT, .value = "NAME:PORT",
	 .help = "talk to edged on another machine, by TLS 1.3; needs --cert, --key and --ca"},
	{.name = "cert", .kind = VALUE_FILE, .value = "FILE", .names = NAMES_FILES, .help = "own certificate, with --host"},
	{.name = "key", .kind = VALUE_FILE, .value = "FILE", .names = NAMES_FILES, .help = "its private key"},
	{.name = "ca", .kind = VALUE_FILE, .value = "FILE", .names = NAMES_FILES,
	 .help = "who signed the other machine's certificate"},
	{.name = "timeout", .kind = VALUE_DURATION, .value = "DURATION", .help = "how long to wait for an answer (default 2m)"},
	{.name = "help", .letter = 'h', .help = "say what the command does"},
	{0},
};

struct parser {
	const struct command *commands;
	struct arena *arena;
	struct parsed *parsed;
	const char *error;
};

#define FAIL(parser, ...) ((parser)->error = arena_printf((parser)->arena, __VA_ARGS__), (parser)->error ? -EINVAL : -ENOMEM)

const struct option_spec *options_find(const struct command *command, const char *name)
{
	for (const struct option_spec *spec = command ? command->options : NULL; spec && spec->name; spec++)
		if (strcmp(spec->name, name) == 0)
			return spec;
	for (const struct option_spec *spec = options_global; spec->name; spec++)
		if (strcmp(spec->name, name) == 0)
			return spec;
	return NULL;
}

static const struct option_spec *find_letter(const struct command *command, char letter)
{
	for (const struct option_spec *spec = command ? command->options : NULL; spec && spec->name; spec++)
		if (spec->letter == letter)
			return spec;
	for (const struct option_spec *spec = options_global; spec->name; spec++)
		if (spec->letter == letter)
			return spec;
	return NULL;
}

const struct command *options_command(const struct command *commands, const char *const *words, size_t count,
				      size_t *ret_used)
{
	for (const struct command *command = commands; count && command->name; command++) {
		const char *second = strchr(command->name, ' ');
		size_t first = second ? (size_t)(second - command->name) : strlen(command->name);
		if (strlen(words[0]) != first || memcmp(words[0], command->name, first) != 0)
			continue;
		if (second && (count < 2 || strcmp(words[1], second + 1) != 0))
			continue;
		if (ret_used)
			*ret_used = second ? 2 : 1;
		return command;
	}
	return NULL;
}

#define WORDS_MOST 128

/* First words of all commands, or (group given) the second words of that group. */
static size_t list_words(struct parser *parser, const char *group, const char **words)
{
	size_t count = 0;
	for (const struct command *command = parser->commands; command->name && count < WORDS_MOST; command++) {
		const char *space = strchr(command->name, ' '), *word = command->name;
		if (command->hidden)
			continue;
		if (group) {
			size_t length = strlen(group);
			if (!space || (size_t)(space - word) != length || memcmp(word, group, length) != 0)
				continue;
			word = space + 1;
		} else if (space) {
			word = arena_strndup(parser->arena, word, (size_t)(space - word));
			if (!word)
				continue;
			if (count && strcmp(words[count - 1], word) == 0)
				continue;
		}
		words[count++] = word;
	}
	return count;
}

static const char *join(struct arena *arena, const char *const *words, size_t count)
{
	const char *text = "";
	for (size_t i = 0; text && i < count; i++)
		text = arena_printf(arena, "%s%s%s", text, i ? ", " : "", words[i]);
	return text ? text : "";
}

/* The commands whose second word this is, as "drain" is of "node drain"; "" without any, NULL without memory. */
static const char *list_seconds(struct parser *parser, const char *word)
{
	const char *all = "";
	for (const struct command *command = parser->commands; all && command->name; command++) {
		const char *space = strchr(command->name, ' ');
		if (space && !command->hidden && strcmp(space + 1, word) == 0)
			all = arena_printf(parser->arena, "%s%s\"%s\"", all, *all ? ", " : "", command->name);
	}
	return all;
}

static int fail_command(struct parser *parser, const char *const *words, size_t count)
{
	const char *known[WORDS_MOST];
	size_t in_group = list_words(parser, words[0], known);
	if (in_group) {
		const char *all = join(parser->arena, known, in_group);
		if (count < 2)
			return FAIL(parser, "\"%s\" needs one of: %s", words[0], all);
		const char *nearest = text_nearest(words[1], known, in_group);
		if (nearest)
			return FAIL(parser, "unknown command \"%s %s\": did you mean \"%s %s\"?", words[0], words[1], words[0],
				    nearest);
		return FAIL(parser, "unknown command \"%s %s\" (known: %s)", words[0], words[1], all);
	}
	size_t total = list_words(parser, NULL, known);
	const char *second = list_seconds(parser, words[0]);
	if (!second)
		return -ENOMEM;
	if (*second)
		return FAIL(parser, "unknown command \"%s\": did you mean %s?", words[0], second);
	const char *nearest = text_nearest(words[0], known, total);
	if (nearest)
		return FAIL(parser, "unknown command \"%s\": did you mean \"%s\"? (%s)", words[0], nearest, completion_hint);
	return FAIL(parser, "unknown command \"%s\" (%s)", words[0], completion_hint);
}

static int fail_option(struct parser *parser, const struct command *command, const char *name)
{
	const char *known[WORDS_MOST];
	size_t count = 0;
	for (const struct option_spec *spec = command ? command->options : NULL; spec && spec->name; spec++)
		known[count++] = spec->name;
	for (const struct option_spec *spec = options_global; spec->name; spec++)
		known[count++] = spec->name;
	const char *nearest = text_nearest(name, known, count), *of = command ? command->name : "";
	if (nearest)
		return FAIL(parser, "unknown option \"--%s\": did you mean \"--%s\"?", name, nearest);
	return FAIL(parser, "unknown option \"--%s\" (edgectl help%s%s lists what there is)", name, *of ? " " : "", of);
}

/* what: how the value is called in an error: "--for" or "ADDR". */
static int check_value(struct parser *parser, const char *what, enum value_kind kind, const char *const *words,
		       const char *text)
{
	uint64_t duration;
	struct prefix prefix;
	char right[PREFIX_TEXT_MAX], *end;
	int r;
	switch (kind) {
	case VALUE_NONE:
		return 0;
	case VALUE_TEXT:
	case VALUE_LIST:
	case VALUE_FILE:
		if (!*text)
			return FAIL(parser, "%s must not be empty", what);
		return 0;
	case VALUE_DURATION:
		if (value_duration(text, strlen(text), &duration) < 0)
			return FAIL(parser, "%s: \"%s\" is not a duration (250ms, 60s, 10m, 1h, 30d)", what, text);
		return 0;
	case VALUE_NUMBER:
		errno = 0;
		if (text[0] < '0' || text[0] > '9' || strtoul(text, &end, 10) > INT32_MAX || *end || errno)
			return FAIL(parser, "%s: \"%s\" is not a number (0 to %d)", what, text, INT32_MAX);
		return 0;
	case VALUE_WORD: {
		size_t count = 0;
		for (; words[count]; count++)
			if (strcmp(words[count], text) == 0)
				return 0;
		const char *nearest = text_nearest(text, words, count);
		if (nearest)
			return FAIL(parser, "%s: \"%s\" is unknown: did you mean \"%s\"?", what, text, nearest);
		return FAIL(parser, "%s: \"%s\" is unknown (known: %s)", what, text, join(parser->arena, words, count));
	}
	case VALUE_PREFIX:
		r = prefix_parse(text, strlen(text), &prefix);
		if (r == -ERANGE)
			return FAIL(parser, "%s: \"%s\" has bits set behind its length (%s)", what, text,
				    prefix_format(&prefix, right));
		if (r < 0)
			return FAIL(parser, "%s: \"%s\" is not an address or prefix (192.0.2.1, 192.0.2.0/24, 2001:db8::/64)",
				    what, text);
		return 0;
	}
	return 0;
}

/* A duration that is one, and still not what the option takes. */
static int check_bounds(struct parser *parser, const char *what, const struct option_spec *spec, const char *text)
{
	uint64_t duration, least = spec->least ? spec->least : 1;
	if (spec->kind != VALUE_DURATION || value_duration(text, strlen(text), &duration) < 0)
		return 0;
	if (duration >= least && (!spec->most || duration <= spec->most))
		return 0;
	const char *low = value_print_duration(parser->arena, least);
	const char *high = spec->most ? value_print_duration(parser->arena, spec->most) : "";
	if (!low || !high)
		return -ENOMEM;
	return FAIL(parser, "%s: %s is too %s (at least %s%s%s)", what, text, duration < least ? "short" : "long", low,
		    *high ? ", at most " : "", high);
}

static int add_option(struct parser *parser, const struct option_spec *spec, const char *text)
{
	struct parsed *parsed = parser->parsed;
	const char *what = arena_printf(parser->arena, "--%s", spec->name);
	if (!what)
		return -ENOMEM;
	int r = check_value(parser, what, spec->kind, spec->words, text ? text : "");
	if (r == 0)
		r = check_bounds(parser, what, spec, text ? text : "");
	if (r < 0)
		return r;
	if (strcmp(spec->name, "help") == 0)
		parsed->help = true;
	for (size_t i = 0; i < parsed->option_count; i++) {
		if (parsed->options[i].spec == spec && spec->kind != VALUE_NONE)
			return FAIL(parser, "%s is given twice", what);
	}
	if (parsed->option_count == PARSED_OPTIONS_MOST)
		return FAIL(parser, "too many options (at most %d)", PARSED_OPTIONS_MOST);
	parsed->options[parsed->option_count].spec = spec;
	parsed->options[parsed->option_count++].text = text;
	return 0;
}

/* One option at argv[*at]; *at moves on over a value. */
static int parse_option(struct parser *parser, int argc, const char *const *argv, int *at)
{
	const struct command *command = parser->parsed->command;
	const char *word = argv[*at], *value = NULL;
	const struct option_spec *spec;
	if (word[1] != '-') {
		spec = find_letter(command, word[1]);
		if (!spec)
			return FAIL(parser, "unknown option \"%s\" (edgectl help%s%s lists what there is)", word,
				    command ? " " : "", command ? command->name : "");
		if (word[2])
			value = word + 2;
	} else {
		const char *equals = strchr(word, '=');
		const char *name = arena_strndup(parser->arena, word + 2, strcspn(word + 2, "="));
		if (!name)
			return -ENOMEM;
		spec = options_find(command, name);
		if (!spec)
			return fail_option(parser, command, name);
		if (equals)
			value = equals + 1;
	}
	if (spec->kind == VALUE_NONE && value)
		return FAIL(parser, "--%s takes no value", spec->name);
	if (spec->kind != VALUE_NONE && !value) {
		if (*at + 1 >= argc)
			return FAIL(parser, "--%s needs a value: --%s %s", spec->name, spec->name, spec->value);
		value = argv[++*at];
	}
	return add_option(parser, spec, value);
}

static int add_argument(struct parser *parser, const char *text)
{
	struct parsed *parsed = parser->parsed;
	const struct argument_spec *specs = parsed->command->arguments;
	size_t index = 0;
	while (index < parsed->argument_count && specs[index].name && !specs[index].many)
		index++;
	if (!specs[index].name) {
		if (!specs[0].name)
			return FAIL(parser, "\"%s\" takes no argument, but got \"%s\"", parsed->command->name, text);
		return FAIL(parser, "\"%s\": one argument too many: \"%s\" (edgectl help %s)", parsed->command->name, text,
			    parsed->command->name);
	}
	if (parsed->argument_count == PARSED_ARGUMENTS_MOST)
		return FAIL(parser, "too many arguments (at most %d)", PARSED_ARGUMENTS_MOST);
	int r = check_value(parser, specs[index].name, specs[index].kind, specs[index].words, text);
	if (r < 0)
		return r;
	parsed->arguments[parsed->argument_count++] = text;
	return 0;
}

static int check_complete(struct parser *parser)
{
	const struct parsed *parsed = parser->parsed;
	const struct command *command = parsed->command;
	size_t given = parsed->argument_count;
	for (size_t i = 0; command->arguments[i].name; i++) {
		if (i >= given && !command->arguments[i].optional)
			return FAIL(parser, "\"%s\" needs %s: %s (edgectl help %s)", command->name, command->arguments[i].name,
				    command->arguments[i].help, command->name);
	}
	for (const struct option_spec *spec = command->options; spec && spec->name; spec++) {
		if (spec->required && !option_given(parsed, spec->name))
			return FAIL(parser, "\"%s\" needs --%s%s%s: %s", command->name, spec->name, spec->value ? " " : "",
				    spec->value ? spec->value : "", spec->help);
	}
	return 0;
}

/* The first one or two words that are no options, nor values of global options. */
static size_t find_words(int argc, const char *const *argv, const char **words, int *places)
{
	size_t count = 0;
	for (int i = 0; i < argc && count < 2; i++) {
		if (argv[i][0] == '-' && argv[i][1]) {
			const struct option_spec *spec = argv[i][1] == '-' ? options_find(NULL, argv[i] + 2) : NULL;
			if (strcmp(argv[i], "--") == 0)
				break;
			/* Behind the first word an unknown option may be the command's own, with a value. */
			if (!spec && count)
				break;
			if (spec && spec->kind != VALUE_NONE)
				i++;
			continue;
		}
		places[count] = i;
		words[count++] = argv[i];
	}
	return count;
}

static bool wants_help(int argc, const char *const *argv)
{
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

/* No option of edgectl's, but what everybody tries. */
static bool wants_version(int argc, const char *const *argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--version") == 0)
			return true;
	return false;
}

static int parse(struct parser *parser, int argc, const char *const *argv)
{
	const char *words[2] = {NULL, NULL}, *known[WORDS_MOST];
	int places[2] = {-1, -1};
	size_t used = 0, count = find_words(argc, argv, words, places);
	struct parsed *parsed = parser->parsed;
	bool version = count == 0 && wants_version(argc, argv);
	if (version)
		words[0] = "version";
	parsed->command = options_command(parser->commands, words, version ? 1 : count, version ? NULL : &used);
	if (count && !parsed->command) {
		/* "edgectl forward --help": the group's commands. */
		parsed->help = count < 2 && list_words(parser, words[0], known) && wants_help(argc, argv);
		parsed->arguments[0] = words[0];
		parsed->argument_count = parsed->help;
		return parsed->help ? 0 : fail_command(parser, words, count);
	}
	bool plain = false;
	for (int i = 0; i < argc; i++) {
		int r;
		if ((used > 0 && i == places[0]) || (used > 1 && i == places[1]))
			continue;
		if (version && strcmp(argv[i], "--version") == 0)
			continue;
		if (!plain && strcmp(argv[i], "--") == 0) {
			plain = true;
			continue;
		}
		if (!plain && argv[i][0] == '-' && argv[i][1])
			r = parse_option(parser, argc, argv, &i);
		else if (parsed->command)
			r = add_argument(parser, argv[i]);
		else
			r = FAIL(parser, "a command must stand before \"--\" (%s)", completion_hint);
		if (r < 0)
			return r;
	}
	if (parsed->help)
		return 0;
	if (!parsed->command)
		return FAIL(parser, "a command is missing (%s)", completion_hint);
	return check_complete(parser);
}

int cli_parse(const struct command *commands, int argc, const char *const *argv, struct arena *arena,
		  struct parsed *ret_parsed, const char **ret_error)
{
	struct parsed parsed = {0};
	struct parser parser = {.commands = commands, .arena = arena, .parsed = &parsed};
	int r = parse(&parser, argc, argv);
	if (r == -EINVAL)
		*ret_error = parser.error;
	if (r < 0)
		return r;
	*ret_parsed = parsed;
	return 0;
}

const char *option_text(const struct parsed *parsed, const char *name)
{
	for (size_t i = 0; i < parsed->option_count; i++)
		if (strcmp(parsed->options[i].spec->name, name) == 0)
			return parsed->options[i].text;
	return NULL;
}

bool option_given(const struct parsed *parsed, const char *name)
{
	for (size_t i = 0; i < parsed->option_count; i++)
		if (strcmp(parsed->options[i].spec->name, name) == 0)
			return true;
	return false;
}

uint64_t option_duration(const struct parsed *parsed, const char *name)
{
	milliseconds duration = 0;
	const char *text = option_text(parsed, name);
	if (text && value_duration(text, strlen(text), &duration) < 0)
		return 0;
	return duration;
}

const char *argument_text(const struct parsed *parsed, size_t i)
{
	return i < parsed->argument_count ? parsed->arguments[i] : NULL;
}
