/* Help for the evaluator's tests: loading, asking, comparing. Every failure
 * says what was asked and the steps of the answer. */
#include "ask_help.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int open_file(void *context, const char *name, struct source_file *ret_file)
{
	for (const struct test_file *file = context; file && file->name; file++)
		if (strcmp(file->name, name) == 0) {
			*ret_file = (struct source_file){
				.name = file->name, .text = file->text, .length = strlen(file->text)};
			return 0;
		}
	return -ENOENT;
}

int ask_fixture_load(struct ask_fixture *fixture, const char *yaml, const struct test_file *files)
{
	*fixture = (struct ask_fixture){.arena = arena_new()};
	if (!fixture->arena)
		return -ENOMEM;
	struct source_file main_file = {.name = "edged.yaml", .text = yaml, .length = strlen(yaml)};
	struct source_set sources = {
		.main = &main_file, .main_count = 1, .open = open_file, .context = (void *)(uintptr_t)files};
	struct diag_list diags;
	diag_init(&diags, fixture->arena);
	int r = model_load(&sources, NULL, &diags, &fixture->model);
	for (size_t i = 0; r < 0 && i < diags.count; i++)
		fprintf(stderr, "%s\n", diag_format(fixture->arena, &diags.items[i]));
	return r;
}

void ask_fixture_free(struct ask_fixture *fixture)
{
	model_free(&fixture->model);
	arena_free(&fixture->arena);
}

void ask_fixture_own(struct ask_fixture *fixture, const char *addresses)
{
	fixture->around = (struct surroundings){.own = fixture->own};
	while (*addresses) {
		size_t length = strcspn(addresses, " ");
		assert_true(fixture->around.own_count < sizeof(fixture->own) / sizeof(fixture->own[0]));
		assert_int_equal(addr_parse(addresses, length, &fixture->own[fixture->around.own_count++]), 0);
		addresses += length + (addresses[length] == ' ');
	}
}

void ask_fixture_up(struct ask_fixture *fixture, const char *node, uint16_t port)
{
	assert_true(fixture->run.health_count < sizeof(fixture->health) / sizeof(fixture->health[0]));
	fixture->health[fixture->run.health_count++] = (struct backend_health){node, port, true};
	fixture->run.health = fixture->health;
}

void ask_question(struct ask_fixture *fixture, const char *from, const char *to, const char *in,
		  struct question *ret_question)
{
	const char *error = NULL;
	int r = question_parse(fixture->model, from, to, in, fixture->arena, ret_question, &error);
	if (r < 0)
		fail_msg("%s", error ? error : "out of memory");
}

struct answer ask_check_at(const char *file, int line, struct ask_fixture *fixture, const char *from, const char *to,
			   const char *in, enum expect_verdict verdict, enum decided_by by, const char *name)
{
	struct question question;
	struct answer answer = {0};
	ask_question(fixture, from, to, in, &question);
	int r = ask_packet(fixture->model, &fixture->run, &fixture->around, &question, fixture->arena, &answer);
	if (r < 0)
		fail_msg("%s:%d: ask_packet: %s", file, line, strerror(-r));
	const char *got = answer.name ? answer.name : "", *due = name ? name : "";
	if (answer.verdict != verdict || answer.by != by || strcmp(got, due) != 0)
		fail_msg("%s:%d: %s to %s in %s is %s by %s %s, due is %s by %s %s\n%s", file, line, from, to, in,
			 action_names[answer.verdict], decided_by_names[answer.by], got, action_names[verdict],
			 decided_by_names[by], due, ask_steps(fixture, &answer));
	return answer;
}

const char *ask_nodes(struct ask_fixture *fixture, const struct answer *answer)
{
	const char *text = "";
	for (size_t i = 0; text && i < answer->node_count; i++)
		text = arena_printf(fixture->arena, "%s%s%s", text, i > 0 ? " " : "", answer->nodes[i]->name);
	return text;
}

const char *ask_steps(struct ask_fixture *fixture, const struct answer *answer)
{
	const char *text = "";
	for (size_t i = 0; text && i < answer->step_count; i++)
		text = arena_printf(fixture->arena, "%s%s\n", text, answer->steps[i]);
	return text;
}
