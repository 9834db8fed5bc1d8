/* Works out from the option table what may come next on a half-typed command
 * line. Never prints and never fails: what makes no sense has no candidates. */
#include "complete.h"

#include "cli.h"
#include "commands.h"
#include "edit_keys.h"

#include <string.h>

struct typed {
	const char *groups[2];        /* the command's words as far as they are typed */
	size_t group_count;
	const struct command *command;
	const struct option_spec *waiting; /* the option whose value is being typed */
	struct parsed parsed;
};

static void take_option(struct typed *typed, const char *word, const char *next, bool *ret_took_next)
{
	const char *equals = strchr(word, '=');
	char name[40];
	size_t length = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
	if (word[1] != '-' || length >= sizeof(name))
		return;
	*(char *)mempcpy(name, word + 2, length) = 0;
	const struct option_spec *spec = options_find(typed->command, name);
	if (!spec)
		return;
	if (spec->kind != VALUE_NONE && !equals) {
		if (!next)
			typed->waiting = spec;
		*ret_took_next = next;
	}
	struct parsed *parsed = &typed->parsed;
	if (parsed->option_count < PARSED_OPTIONS_MOST) {
		parsed->options[parsed->option_count].spec = spec;
		parsed->options[parsed->option_count++].text = equals ? equals + 1 : next;
	}
}

/* All but the last word, which is being typed. */
static void read_typed(const char *const *words, size_t count, struct typed *typed)
{
	for (size_t i = 0; i + 1 < count; i++) {
		bool took_next = false;
		if (words[i][0] == '-' && words[i][1]) {
			take_option(typed, words[i], i + 2 < count ? words[i + 1] : NULL, &took_next);
			i += took_next;
			continue;
		}
		if (!typed->command && typed->group_count < 2) {
			typed->groups[typed->group_count++] = words[i];
			typed->command = options_command(commands, typed->groups, typed->group_count, NULL);
		} else if (typed->parsed.argument_count < PARSED_ARGUMENTS_MOST) {
			typed->parsed.arguments[typed->parsed.argument_count++] = words[i];
		}
	}
	typed->parsed.command = typed->command;
}

static void add(struct cli *cli, struct completion *all, const char *start, const char *word, const char *help)
{
	if (strncmp(word, start, strlen(start)) != 0)
		return;
	if (all->count && strcmp(all->items[all->count - 1].word, word) == 0)
		return;
	all->items = cli_need(arena_grow(cli->arena, all->items, all->count, sizeof(*all->items), &all->capacity));
	all->items[all->count++] = (struct candidate){word, help};
}

static void add_commands(struct cli *cli, const char *group, const char *start, struct completion *all)
{
	for (const struct command *command = commands; command->name; command++) {
		const char *space = strchr(command->name, ' ');
		size_t first = space ? (size_t)(space - command->name) : strlen(command->name);
		const char *word = cli_format(cli, "%.*s", (int)first, command->name);
		if (command->hidden)
			continue;
		if (!group)
			add(cli, all, start, word, space ? NULL : command->summary);
		else if (space && strcmp(group, word) == 0)
			add(cli, all, start, space + 1, command->summary);
	}
}

static void add_options(struct cli *cli, const struct typed *typed, const char *start, struct completion *all)
{
	for (int global = 0; global < 2; global++) {
		const struct option_spec *spec = global ? options_global : typed->command ? typed->command->options : NULL;
		for (; spec && spec->name; spec++) {
			if (!option_given(&typed->parsed, spec->name))
				add(cli, all, start, cli_format(cli, "--%s", spec->name), spec->help);
		}
	}
}

static void add_names(struct cli *cli, const struct typed *typed, enum names kind, const char *start,
		      struct word_list (*fetch)(struct cli *cli, const struct parsed *parsed, enum names kind),
		      struct completion *all)
{
	const struct edit_section *section;
	switch (kind) {
	case NAMES_NONE:
		return;
	case NAMES_FILES:
		all->kind = COMPLETE_FILES;
		return;
	case NAMES_COMMANDS:
		if (typed->parsed.argument_count < 2)
			add_commands(cli, typed->parsed.argument_count ? typed->parsed.arguments[0] : NULL, start, all);
		return;
	case NAMES_KEYS:
		section = edit_section_of(typed->command);
		for (size_t i = 0; section && i < section->key_count; i++)
			add(cli, all, start, cli_format(cli, "%s=", section->keys[i].text), section->add_options[i].help);
		all->kind = COMPLETE_FRAGMENTS;
		return;
	case NAMES_FORWARDS:
	case NAMES_NODES:
	case NAMES_RULES:
	case NAMES_TUNNELS:
	case NAMES_BANS:
	case NAMES_REVISIONS:
	case NAMES_ENTRIES:
		break;
	}
	struct word_list known = fetch(cli, &typed->parsed, kind);
	for (size_t i = 0; i < known.count; i++)
		add(cli, all, start, known.words[i], NULL);
}

static void add_values(struct cli *cli, const char *const *words, const char *start, struct completion *all)
{
	for (size_t i = 0; words && words[i]; i++)
		add(cli, all, start, words[i], NULL);
}

void complete_words(struct cli *cli, const char *const *words, size_t count,
		    struct word_list (*fetch)(struct cli *cli, const struct parsed *parsed, enum names kind),
		    struct completion *ret_completion)
{
	struct completion all = {0};
	struct typed typed = {0};
	const char *start = count ? words[count - 1] : "";
	read_typed(words, count, &typed);
	if (typed.waiting) {
		add_values(cli, typed.waiting->words, start, &all);
		add_names(cli, &typed, typed.waiting->names, start, fetch, &all);
	} else if (start[0] == '-') {
		add_options(cli, &typed, start, &all);
	} else if (!typed.command) {
		add_commands(cli, typed.group_count ? typed.groups[0] : NULL, start, &all);
	} else {
		const struct argument_spec *argument = typed.command->arguments;
		for (size_t i = 0; i < typed.parsed.argument_count && argument->name && !argument->many; i++)
			argument++;
		if (argument->name) {
			add_values(cli, argument->words, start, &all);
			add_names(cli, &typed, argument->names, start, fetch, &all);
		}
	}
	*ret_completion = all;
}
