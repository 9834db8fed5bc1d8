/* edgectl's option parser and completion, on the real command table, and the
 * editing verbs' options, which come from the configuration's schema. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../cli/cli.h"
#include "../../cli/commands.h"
#include "../../cli/complete.h"
#include "../../cli/edit_keys.h"

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static struct {
	struct arena *arena;
	struct parsed parsed;
	const char *error;
} now;

static int set_up(void **state)
{
	(void)state;
	now.arena = arena_new();
	return now.arena ? edit_keys_init(now.arena) : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(&now.arena);
	return 0;
}

static int parse(const char *const *words)
{
	int count = 0;
	while (words[count])
		count++;
	now.error = NULL;
	return cli_parse(commands, count, words, now.arena, &now.parsed, &now.error);
}

static void options_stand_anywhere(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--json", "apply", "x.yaml", "--message=why not", "--confirm-within", "2m"), 0);
	assert_string_equal(now.parsed.command->name, "apply");
	assert_string_equal(argument_text(&now.parsed, 0), "x.yaml");
	assert_string_equal(option_text(&now.parsed, "message"), "why not");
	assert_int_equal(option_duration(&now.parsed, "confirm-within"), 120000);
	assert_true(option_given(&now.parsed, "json"));
	assert_false(option_given(&now.parsed, "host"));
	assert_null(argument_text(&now.parsed, 1));
	assert_int_equal(PARSE("--socket", "apply", "show", "--json", "nodes", "k8s-1"), 0);
	assert_string_equal(now.parsed.command->name, "show nodes");
	assert_string_equal(option_text(&now.parsed, "socket"), "apply");
	assert_int_equal(PARSE("apply", "-mwhy"), 0);
	assert_string_equal(option_text(&now.parsed, "message"), "why");
	assert_int_equal(PARSE("apply", "-m", "--json"), 0);
	assert_string_equal(option_text(&now.parsed, "message"), "--json");
}

static void two_dashes_end_the_options(void **state)
{
	(void)state;
	assert_int_equal(PARSE("check", "--", "--json"), 0);
	assert_string_equal(argument_text(&now.parsed, 0), "--json");
	assert_int_equal(PARSE("check", "-"), 0);
	assert_string_equal(argument_text(&now.parsed, 0), "-");
}

static void help_needs_nothing_else(void **state)
{
	(void)state;
	assert_int_equal(PARSE("diff", "--help"), 0);
	assert_true(now.parsed.help);
	assert_int_equal(PARSE("forward", "-h"), 0);
	assert_null(now.parsed.command);
	assert_string_equal(now.parsed.arguments[0], "forward");
	assert_int_equal(PARSE("-h"), 0);
}

static void every_refusal_is_one_line(void **state)
{
	(void)state;
	const char *many[100];
	for (size_t i = 0; i < 99; i++)
		many[i] = "a=b";
	many[0] = "forward";
	many[1] = "set";
	many[99] = NULL;
	assert_int_equal(parse(many), -EINVAL);
	assert_string_equal(now.error, "too many arguments (at most 64)");
	for (size_t i = 1; i < 99; i++)
		many[i] = "--json";
	many[0] = "status";
	assert_int_equal(parse(many), -EINVAL);
	assert_string_equal(now.error, "too many options (at most 32)");
	assert_int_equal(PARSE("forward", "add", "x", "--via", "kernal"), -EINVAL);
	assert_string_equal(now.error, "--via: \"kernal\" is unknown: did you mean \"kernel\"?");
	assert_int_equal(PARSE("forward", "add", "x", "--listen", "1", "--reason", "r"), -EINVAL);
	assert_non_null(strstr(now.error, "\"forward add\" needs --to POOL:PORT"));
	assert_int_equal(PARSE("forward", "add", "x", "--limit-ban", "10m"), -EINVAL);
	assert_string_equal(now.error, "unknown option \"--limit-ban\": did you mean \"--limits-ban\"?");
}

/* What a table must never do: two options of one name, an argument behind one that takes all. */
static void the_table_is_sound(void **state)
{
	(void)state;
	for (const struct command *command = commands; command->name; command++) {
		size_t used = 0;
		const char *space = strchr(command->name, ' ');
		const char *first = arena_strndup(now.arena, command->name, strcspn(command->name, " "));
		const char *words[] = {first, space ? space + 1 : NULL};
		assert_ptr_equal(options_command(commands, words, space ? 2 : 1, &used), command);
		assert_non_null(command->run);
		assert_true(strlen(command->summary) > 5 && command->summary[strlen(command->summary) - 1] != '.');
		for (size_t i = 0; command->arguments[i].name; i++) {
			assert_non_null(command->arguments[i].help);
			assert_true(!command->arguments[i].many || !command->arguments[i + 1].name);
			assert_true(!command->arguments[i].optional || !command->arguments[i + 1].name ||
				    command->arguments[i + 1].optional);
		}
		for (const struct option_spec *spec = command->options; spec && spec->name; spec++) {
			assert_ptr_equal(options_find(command, spec->name), spec);
			assert_non_null(spec->help);
			assert_true((spec->kind == VALUE_NONE) == !spec->value);
			assert_true((spec->kind == VALUE_WORD) == !!spec->words);
			for (const struct option_spec *global = options_global; global->name; global++)
				assert_string_not_equal(global->name, spec->name);
		}
	}
}

static struct word_list no_names(struct cli *cli, const struct parsed *parsed, enum names kind)
{
	(void)cli;
	(void)parsed;
	(void)kind;
	return (struct word_list){0};
}

static struct completion complete(const char *const *words)
{
	struct cli cli = {.arena = now.arena, .out = stdout, .err = stderr};
	struct completion all;
	size_t count = 0;
	while (words[count])
		count++;
	complete_words(&cli, words, count, no_names, &all);
	return all;
}

#define COMPLETE(...) complete((const char *const[]){__VA_ARGS__, NULL})

static const char *joined(const struct completion *all)
{
	const char *text = "";
	for (size_t i = 0; i < all->count; i++)
		text = arena_printf(now.arena, "%s%s%s", text, i ? " " : "", all->items[i].word);
	return text;
}

static void completes_from_the_table(void **state)
{
	(void)state;
	struct completion all = COMPLETE("st");
	assert_string_equal(joined(&all), "status");
	all = COMPLETE("forward", "");
	assert_string_equal(joined(&all), "add set remove");
	all = COMPLETE("--json", "show", "n");
	assert_string_equal(joined(&all), "nodes");
	all = COMPLETE("apply", "--confirm-within", "60s", "--c");
	assert_string_equal(joined(&all), "--cert --ca");
	all = COMPLETE("forward", "add", "web", "--via", "");
	assert_string_equal(joined(&all), "auto kernel proxy");
	all = COMPLETE("completion", "z");
	assert_string_equal(joined(&all), "zsh");
	all = COMPLETE("help", "sho");
	assert_string_equal(joined(&all), "show");
	all = COMPLETE("help", "show", "b");
	assert_string_equal(joined(&all), "bans");
	all = COMPLETE("forward", "set", "web", "limits.o");
	assert_string_equal(joined(&all), "limits.open_per_source=");
	assert_int_equal(all.kind, COMPLETE_FRAGMENTS);
	all = COMPLETE("check", "");
	assert_int_equal(all.kind, COMPLETE_FILES);
	all = COMPLETE("status", "--ke");
	assert_string_equal(joined(&all), "--key");
	all = COMPLETE("status", "--key", "x");
	assert_int_equal(all.kind, COMPLETE_FILES);
	all = COMPLETE("status", "");
	assert_int_equal(all.count, 0);
	all = COMPLETE("nonsense", "more", "words", "");
	assert_int_equal(all.count, 0);
	all = COMPLETE("__comp");
	assert_int_equal(all.count, 0);
}

static void completion_takes_anything(void **state)
{
	(void)state;
	COMPLETE("");
	COMPLETE("-");
	COMPLETE("--");
	COMPLETE("--=");
	COMPLETE("--json=", "");
	COMPLETE("---------------------------------------------------------------", "x");
	COMPLETE("help", "a", "b", "c", "d");
	const char *many[400];
	for (size_t i = 0; i < 399; i++)
		many[i] = i % 2 ? "--message" : "forward";
	many[399] = NULL;
	complete(many);
	struct cli cli = {.arena = now.arena};
	struct completion all;
	complete_words(&cli, NULL, 0, no_names, &all);
	assert_true(all.count > 10);
}

static void keys_come_from_the_schema(void **state)
{
	(void)state;
	const struct edit_section *forward = &edit_sections[EDIT_FORWARD];
	assert_string_equal(edit_key_find(forward, "limits.ban")->path[0], "limits");
	assert_ptr_equal(edit_key_find(forward, "limits-ban"), edit_key_find(forward, "limits.ban"));
	assert_ptr_equal(edit_key_find(forward, "proxy-protocol"), edit_key_find(forward, "proxy_protocol"));
	assert_null(edit_key_find(forward, "lsten"));
	assert_string_equal(edit_key_nearest(forward, "lsten"), "listen");
	assert_string_equal(edit_key_nearest(forward, "ban"), "limits.ban");
	assert_null(edit_key_nearest(forward, "zzzzzzzz"));
	/* The name of a rule is its NAME, not a key to set. */
	assert_null(edit_key_find(&edit_sections[EDIT_RULE], "name"));
	assert_non_null(edit_key_find(&edit_sections[EDIT_PEER], "allowed_ips"));
	for (const struct edit_section *section = edit_sections; section->noun; section++)
		assert_true(section->key_count > 0);
}

static void values_become_yaml(void **state)
{
	(void)state;
	static const struct { const char *in, *out; } cases[] = {
		{"443", "443"}, {"80,443", "\"80,443\""}, {"ingress:31443", "ingress:31443"},
		{"5/second burst 20", "5/second burst 20"}, {"2001:db8::/32", "\"2001:db8::/32\""},
		{"node3.example.net:51820", "node3.example.net:51820"}, {"yes: no", "\"yes: no\""},
		{"the nodes' way out", "\"the nodes' way out\""}, {"say \"hi\" \\", "\"say \\\"hi\\\" \\\\\""},
		{"a # b", "\"a # b\""}, {"- x", "\"- x\""}, {"null", "\"null\""}, {"~", "\"~\""}, {"{a}", "\"{a}\""},
		{"x\n\033", "\"x\\x0a\\x1b\""}, {"end ", "\"end \""}, {"colon:", "\"colon:\""}, {"*a", "\"*a\""},
		{"Gr\xc3\xbc\xc3\x9f" "e", "\"Gr\xc3\xbc\xc3\x9f" "e\""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(edit_yaml_scalar(now.arena, cases[i].in), cases[i].out);
	const struct key *from = edit_key_find(&edit_sections[EDIT_FORWARD], "from")->key;
	const struct key *listen = edit_key_find(&edit_sections[EDIT_FORWARD], "listen")->key;
	assert_string_equal(edit_yaml_value(now.arena, from, "lan"), "lan");
	assert_string_equal(edit_yaml_value(now.arena, from, "lan, wg0,2001:db8::/32"), "[lan, wg0, \"2001:db8::/32\"]");
	assert_string_equal(edit_yaml_value(now.arena, from, "lan,"), "[lan, \"\"]");
	assert_string_equal(edit_yaml_value(now.arena, listen, "80,443"), "\"80,443\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_anywhere), cmocka_unit_test(two_dashes_end_the_options),
		cmocka_unit_test(help_needs_nothing_else), cmocka_unit_test(every_refusal_is_one_line),
		cmocka_unit_test(the_table_is_sound), cmocka_unit_test(completes_from_the_table),
		cmocka_unit_test(completion_takes_anything), cmocka_unit_test(keys_come_from_the_schema),
		cmocka_unit_test(values_become_yaml),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
