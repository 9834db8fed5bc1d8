/* completion: the scripts for shells. They hold no tables of their own: each
 * asks "edgectl __complete -- WORDS", which prints one candidate a line as
 * WORD<tab>HELP, or ":files" or ":fragments" first. */
#include "commands.h"

#include "api.h"
#include "complete.h"
#include "edit_keys.h"
#include "edit_session.h"

#include <string.h>

#define LOOK_TIMEOUT_MS 1000

static const char bash_script[] =
	"# edgectl completion for bash: source <(edgectl completion bash)\n"
	"_edgectl() {\n"
	"\tlocal line\n"
	"\tCOMPREPLY=()\n"
	"\twhile IFS= read -r line; do\n"
	"\t\tcase $line in\n"
	"\t\t:files) compopt -o default 2>/dev/null; return ;;\n"
	"\t\t:fragments) compopt -o nospace 2>/dev/null ;;\n"
	"\t\t*) COMPREPLY+=(\"${line%%$'\\t'*}\") ;;\n"
	"\t\tesac\n"
	"\tdone < <(\"$1\" __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
	"}\n"
	"complete -F _edgectl edgectl\n";

static const char zsh_script[] =
	"#compdef edgectl\n"
	"# edgectl completion for zsh: edgectl completion zsh > ~/.zfunc/_edgectl\n"
	"_edgectl() {\n"
	"\tlocal line\n"
	"\tlocal -a found extra\n"
	"\twhile IFS= read -r line; do\n"
	"\t\tcase $line in\n"
	"\t\t:files) _files; return ;;\n"
	"\t\t:fragments) extra=(-S '') ;;\n"
	"\t\t*$'\\t'*) found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
	"\t\t*) found+=(\"${line//:/\\\\:}\") ;;\n"
	"\t\tesac\n"
	"\tdone < <(\"$words[1]\" __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
	"\t_describe edgectl found $extra\n"
	"}\n"
	"if [ \"$funcstack[1]\" = _edgectl ]; then _edgectl \"$@\"; else compdef _edgectl edgectl; fi\n";

static const char fish_script[] =
	"# edgectl completion for fish: edgectl completion fish > ~/.config/fish/completions/edgectl.fish\n"
	"function __edgectl_complete\n"
	"\tset -l typed (commandline -opc) (commandline -ct)\n"
	"\tset -l found ($typed[1] __complete -- $typed[2..-1] 2>/dev/null)\n"
	"\tif contains -- :files $found\n"
	"\t\t__fish_complete_path (commandline -ct)\n"
	"\telse\n"
	"\t\tstring match -v -- ':fragments' $found\n"
	"\tend\n"
	"end\n"
	"complete -c edgectl -f -a '(__edgectl_complete)'\n";

int cmd_completion(struct cli *cli)
{
	const char *shell = argument_text(cli->parsed, 0);
	fputs(strcmp(shell, "bash") == 0 ? bash_script : strcmp(shell, "zsh") == 0 ? zsh_script : fish_script, cli->out);
	return CLI_DONE;
}

/* A shell splits and may expand what completion prints: nothing but plain names and addresses passes. */
static bool is_plain(const char *name)
{
	return *name && *name != '-' && strlen(name) <= 64 && name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:/")] == 0;
}

static void add_name(struct cli *cli, struct word_list *names, const char *name)
{
	if (is_plain(name) && word_list_add(cli->arena, names, cli_need(arena_strdup(cli->arena, name))) < 0)
		cli_need(NULL);
}

/* The entries of a section of the file: the only place that has snat rules, blocklists and peers by name. */
static struct word_list fetch_entries(struct cli *cli, const struct edit_section *section)
{
	cleanup_json json_t *answer = NULL;
	const json_t *file;
	struct word_list names = {0};
	size_t i;
	if (api_call_quietly(cli, "GET", "/v1/config/running?blocklists=no", LOOK_TIMEOUT_MS, &answer) != CLI_DONE)
		return names;
	json_array_foreach(json_object_get(answer, "files"), i, file) {
		struct word_list all = edit_names(cli->arena, section, js_text(file, "text"));
		for (size_t j = 0; j < all.count; j++)
			add_name(cli, &names, all.words[j]);
	}
	return names;
}

static struct word_list fetch_names(struct cli *cli, const struct parsed *parsed, enum names kind)
{
	static const struct { const char *path, *key; } sources[] = {
		[NAMES_FORWARDS] = {"/v1/forwards", "name"}, [NAMES_NODES] = {"/v1/nodes", "name"},
		[NAMES_RULES] = {"/v1/rules", "name"},	     [NAMES_TUNNELS] = {"/v1/tunnels", "name"},
		[NAMES_BANS] = {"/v1/bans", "address"},	     [NAMES_REVISIONS] = {"/v1/history", "revision"},
		[NAMES_ENTRIES] = {NULL, NULL},
	};
	/* What is typed says where edged is, too: --socket, --host. */
	struct cli quiet = {.arena = cli->arena, .out = cli->out, .err = cli->err, .parsed = parsed};
	cleanup_json json_t *list = NULL;
	const json_t *item;
	struct word_list names = {0};
	size_t i;
	if (kind == NAMES_ENTRIES)
		return fetch_entries(&quiet, edit_section_of(parsed->command));
	if (api_call_quietly(&quiet, "GET", sources[kind].path, LOOK_TIMEOUT_MS, &list) != CLI_DONE)
		return names;
	json_array_foreach(list, i, item)
		add_name(cli, &names, js_any(cli, item, sources[kind].key));
	return names;
}

int cmd_complete(struct cli *cli)
{
	struct completion all;
	complete_words(cli, cli->parsed->arguments, cli->parsed->argument_count, fetch_names, &all);
	if (all.kind == COMPLETE_FILES)
		cli_line(cli, ":files");
	if (all.kind == COMPLETE_FRAGMENTS)
		cli_line(cli, ":fragments");
	for (size_t i = 0; i < all.count; i++)
		fprintf(cli->out, all.items[i].help ? "%s\t%s\n" : "%s\n", all.items[i].word, all.items[i].help);
	return CLI_DONE;
}
