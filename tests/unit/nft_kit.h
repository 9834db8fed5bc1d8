/* What the tests of the real kernel share: a namespace, a kernel_ops on it,
 * applying a state and comparing. nft(8) and the shell play the other tools. */
#pragma once

#include "../../daemon/kernel/kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct kit {
	struct kernel *kernel;
	struct arena *arena;
};

/* A cmocka setup: a new network namespace for this program. kit_isolated is false where that is not allowed. */
int kit_namespace(void **context);
extern bool kit_isolated;
#define NEEDS_ROOT()           \
	do {                   \
		if (!kit_isolated) \
			skip();        \
	} while (0)

/* Runs a command; its exit status, -1 when it could not run. */
int kit_run(const char *command);
/* What a command prints; the caller frees it. */
char *kit_output(const char *command);

void kit_open(struct kit *kit, int owner_fd);
void kit_close(struct kit *kit);
struct state *kit_observe(struct kit *kit, const struct state *like);
/* Steps to desired from what is there; the observation is kept for as long as the steps. */
struct steps kit_plan(struct kit *kit, const struct state *desired, struct state **ret_observed);
int kit_apply(struct kit *kit, const struct state *desired, struct commit_error *error);
void kit_apply_well(struct kit *kit, const struct state *desired);
void kit_in_force(struct kit *kit, const struct state *desired);
