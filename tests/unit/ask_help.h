/* Help for the evaluator's tests: a model from YAML text, run data, and a
 * question in one line. Failing is an assertion. */
#pragma once

#include "../../rules/ask/question.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct test_file {
	const char *name, *text; /* name NULL ends a list */
};

struct ask_fixture {
	struct model *model;
	struct arena *arena;
	struct rundata run;
	struct surroundings around;
	struct addr own[8];
	struct backend_health health[8]; /* keep it sorted: call ask_fixture_up in order */
};

/* files (may be NULL): what the configuration refers to. 0, or -EINVAL with the errors on standard error. */
int ask_fixture_load(struct ask_fixture *fixture, const char *yaml, const struct test_file *files);
void ask_fixture_free(struct ask_fixture *fixture);
/* This machine's addresses, separated by spaces. */
void ask_fixture_own(struct ask_fixture *fixture, const char *addresses);
void ask_fixture_up(struct ask_fixture *fixture, const char *node, uint16_t port);

void ask_question(struct ask_fixture *fixture, const char *from, const char *to, const char *in,
		  struct question *ret_question);
/* Ask, and expect this verdict, decided so, by the thing of this name (NULL: by none that has one). */
#define ask_check(...) ask_check_at(__FILE__, __LINE__, __VA_ARGS__)
struct answer ask_check_at(const char *file, int line, struct ask_fixture *fixture, const char *from, const char *to,
			   const char *in, enum expect_verdict verdict, enum decided_by by, const char *name);
/* Names of the candidates, separated by spaces; the steps, each ended. */
const char *ask_nodes(struct ask_fixture *fixture, const struct answer *answer);
const char *ask_steps(struct ask_fixture *fixture, const struct answer *answer);
