/* The kit of the tests of the real kernel: everything aborts the test that does
 * not go well. It never leaves the namespace that it made. */
#include "nft_kit.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

bool kit_isolated;

int kit_run(const char *command)
{
	int status = system(command);
	return status == -1 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status);
}

char *kit_output(const char *command)
{
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	size_t room = 1 << 20;
	char *text = calloc(1, room);
	assert_non_null(text);
	size_t length = fread(text, 1, room - 1, pipe);
	text[length] = '\0';
	assert_int_equal(pclose(pipe), 0);
	return text;
}

int kit_namespace(void **context)
{
	(void)context;
	kit_isolated = unshare(CLONE_NEWNET) == 0;
	return 0;
}

void kit_open(struct kit *kit, int owner_fd)
{
	*kit = (struct kit){.arena = arena_new()};
	assert_non_null(kit->arena);
	assert_int_equal(kernel_open(owner_fd, &kit->kernel), 0);
}

void kit_close(struct kit *kit)
{
	kit->kernel->ops->close(&kit->kernel);
	assert_null(kit->kernel);
	arena_free(&kit->arena);
}

struct state *kit_observe(struct kit *kit, const struct state *like)
{
	struct state *state;
	assert_int_equal(kit->kernel->ops->observe(kit->kernel, like, &state), 0);
	return state;
}

struct steps kit_plan(struct kit *kit, const struct state *desired, struct state **ret_observed)
{
	struct steps steps = {0};
	*ret_observed = kit_observe(kit, desired);
	assert_int_equal(diff_states(*ret_observed, NULL, desired, kit->arena, &steps), 0);
	return steps;
}

int kit_apply(struct kit *kit, const struct state *desired, struct commit_error *error)
{
	struct state *observed;
	struct steps steps = kit_plan(kit, desired, &observed);
	*error = (struct commit_error){0};
	int rc = steps.count ? kit->kernel->ops->commit(kit->kernel, &steps, error) : 0;
	state_free(&observed);
	return rc;
}

void kit_apply_well(struct kit *kit, const struct state *desired)
{
	struct commit_error error;
	if (kit_apply(kit, desired, &error) != 0)
		fail_msg("%d, %s, step %s at line %u", error.error, error.what,
			 error.step ? step_names[error.step->kind] : "none", error.step ? error.step->at.line : 0);
}

void kit_in_force(struct kit *kit, const struct state *desired)
{
	struct state *observed;
	struct steps steps = kit_plan(kit, desired, &observed);
	if (steps.count)
		fail_msg("the kernel holds something else:\n%s", steps_print(&steps, kit->arena));
	state_free(&observed);
}
