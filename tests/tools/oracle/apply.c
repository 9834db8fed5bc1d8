/* Apply: the daemon's way from a file to the kernel, without the daemon: load,
 * compile, observe, diff, commit, and observe again. */
#include "apply.h"

#include "../../../rules/state/compile.h"
#include "../../../rules/state/diff.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct folder {
	const char *path;
	struct arena *arena;
};

static int open_referred(void *context, const char *name, struct source_file *ret_file)
{
	const struct folder *folder = context;
	const char *path = arena_printf(folder->arena, "%s/%s", folder->path, name);
	size_t length = 0;
	char *text = path ? settings_slurp(path, folder->arena, &length) : NULL;
	if (!text)
		return -errno;
	*ret_file = (struct source_file){.name = name, .text = text, .length = length};
	return 0;
}

int apply_load(const char *path, struct arena *arena, struct model **ret_model)
{
	struct source_file file = {.name = "edged.yaml"};
	struct folder folder = {.arena = arena};
	char *copy = arena_strdup(arena, path);
	if (!copy)
		return -ENOMEM;
	folder.path = dirname(copy);
	file.text = settings_slurp(path, arena, &file.length);
	if (!file.text)
		return -errno;
	struct source_set sources = {.main = &file, .main_count = 1, .open = open_referred, .context = &folder};
	struct diag_list diags;
	diag_init(&diags, arena);
	int r = model_load(&sources, NULL, &diags, ret_model);
	for (size_t i = 0; r < 0 && i < diags.count; i++)
		fprintf(stderr, "%s\n", diag_format(arena, &diags.items[i]));
	return r;
}

/* Whatever is still to be done after a commit is a fault. */
static int refuse_steps(const struct steps *steps, struct arena *arena)
{
	if (steps->count == 0)
		return 0;
	const char *left = steps_print(steps, arena);
	fprintf(stderr, "apply: these steps were left after a commit:\n%s", left ? left : "");
	return -EIO;
}

static int commit(struct kernel *kernel, const struct steps *steps)
{
	struct commit_error error = {0};
	int r = steps->count > 0 ? kernel->ops->commit(kernel, steps, &error) : 0;
	if (r < 0) {
		const char *step = error.step ? step_names[error.step->kind] : "the batch";
		fprintf(stderr, "commit: %s: %s (%s, line %u)\n", strerror(-r), step, error.what ? error.what : "",
			error.step ? error.step->at.line : 0);
	}
	return r;
}

static int apply_once(struct kernel *kernel, const struct state *desired, struct arena *arena, bool again)
{
	cleanup_state struct state *observed = NULL;
	int r = kernel->ops->observe(kernel, desired, &observed);
	if (r < 0) {
		fprintf(stderr, "observe: %s\n", strerror(-r));
		return r;
	}
	struct steps steps = {0};
	r = diff_states(observed, NULL, desired, arena, &steps);
	if (r < 0)
		return r;
	return again ? refuse_steps(&steps, arena) : commit(kernel, &steps);
}

int apply_model(struct kernel *kernel, const struct model *model, const struct settings *settings)
{
	cleanup_state struct state *desired = NULL;
	cleanup_arena struct arena *arena = arena_new();
	if (!arena)
		return -ENOMEM;
	int r = compile_state(model, &settings->run, &desired);
	if (r == 0)
		r = apply_once(kernel, desired, arena, false);
	if (r == 0)
		r = apply_once(kernel, desired, arena, true);
	return r;
}
