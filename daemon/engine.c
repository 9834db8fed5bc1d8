/* Observe, diff, commit, observe again. Works on any kernel_ops, the real one
 * or a fake; never touches files, sockets of its own or processes. */
#include "engine.h"

#include "../rules/state/compile.h"
#include "../rules/state/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Somebody else may commit between our look and our transaction: look again, but not for ever. */
#define ATTEMPTS 6

struct engine {
	struct kernel *kernel;
	struct runtime *runtime;
	struct model *model;
	struct state *desired;  /* refers into model */
	struct state *observed; /* equal to desired, with handles; NULL: has to be read */
	uint32_t generation;    /* of observed */
	bool in_sync;
	struct tunnel_kernel *tunnels; /* NULL: none are kept */
	struct tunnel_list seen;       /* what was last observed of them; observed->tunnels is a view of it */
	bool tolerate;                 /* what the caller asked for */
};

static uint64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct engine *engine_new(struct kernel *kernel, struct runtime *runtime)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	if (engine) {
		engine->kernel = kernel;
		engine->runtime = runtime;
	}
	return engine;
}

void engine_free(struct engine **engine)
{
	if (!engine || !*engine)
		return;
	arena_free(&(*engine)->seen.arena);
	state_free(&(*engine)->observed);
	state_free(&(*engine)->desired);
	model_free(&(*engine)->model);
	free(*engine);
	*engine = NULL;
}

void engine_use_tunnels(struct engine *engine, struct tunnel_kernel *tunnels)
{
	engine->tunnels = tunnels;
}

void engine_tolerate_tunnels(struct engine *engine, bool tolerate)
{
	engine->tolerate = tolerate;
}

/* Tunnels have no generation: they are read every time. */
static int look_at_tunnels(struct engine *engine, const struct state *like)
{
	static const struct tunnel_list none;
	struct tunnel_list seen = {0};
	if (!engine->tunnels)
		return 0;
	int r = engine->tunnels->ops->observe(engine->tunnels, like ? &like->tunnels : &none, &seen);
	if (r < 0)
		return r;
	arena_free(&engine->seen.arena);
	engine->seen = seen;
	if (engine->observed) {
		engine->observed->tunnels = seen;
		engine->observed->tunnels.arena = NULL;
	}
	return 0;
}

const struct tunnel_list *engine_tunnels(struct engine *engine, bool look)
{
	if (look)
		(void)look_at_tunnels(engine, engine->desired);
	return &engine->seen;
}

bool engine_tunnels_differ(struct engine *engine)
{
	if (!engine->tunnels || !engine->desired || (!engine->desired->tunnels.count && !engine->seen.count))
		return false;
	cleanup_arena struct arena *arena = arena_new();
	if (!arena || look_at_tunnels(engine, engine->desired) < 0)
		return false;
	const struct state seen = {.tunnels = engine->seen}, desired = {.tunnels = engine->desired->tunnels};
	struct steps steps = {0};
	return diff_states(&seen, &desired, &desired, arena, &steps) == 0 && steps.count > 0;
}

/* The kernel's state, read anew only when somebody has changed it since. */
static int look_at_table(struct engine *engine, const struct state *like)
{
	uint32_t generation = 0;
	int r = engine->kernel->ops->generation(engine->kernel, &generation);
	if (r < 0)
		return r;
	if (engine->observed && generation == engine->generation)
		return 0;
	state_free(&engine->observed);
	struct state *observed;
	r = engine->kernel->ops->observe(engine->kernel, like, &observed);
	if (r < 0)
		return r;
	uint32_t after = 0;
	r = engine->kernel->ops->generation(engine->kernel, &after);
	if (r < 0) {
		state_free(&observed);
		return r;
	}
	engine->observed = observed;
	/* A change during the reading is met at the commit; an observation older than the number is read again. */
	engine->generation = after == generation ? after : generation;
	return 0;
}

static int look(struct engine *engine, const struct state *like)
{
	int r = look_at_table(engine, like);
	return r < 0 ? r : look_at_tunnels(engine, like);
}

/* After a commit: what was seen is out of date in every case, also after one whose answer was lost. */
static void look_again(struct engine *engine, const struct steps *steps, const struct state *desired)
{
	const struct kernel_ops *ops = engine->kernel->ops;
	if (steps && ops->observe_touched &&
	    ops->observe_touched(engine->kernel, steps, desired, &engine->observed) == 0 &&
	    ops->generation(engine->kernel, &engine->generation) == 0)
		return;
	state_free(&engine->observed);
}

static const char *describe(struct arena *arena, const struct commit_error *error, int r)
{
	const char *what = error->what ? error->what : strerror(-r);
	if (!error->step)
		return arena_printf(arena, "the kernel refused the change as a whole: %s", what);
	const struct step *step = error->step;
	const char *object = step->tunnel    ? step->tunnel->name
			     : step->chain     ? step->chain->name
			     : step->set     ? step->set->name
			     : step->counter ? step->counter->name
			     : step->sysctl  ? step->sysctl->name
					     : STATE_TABLE;
	if (step->tunnel)
		return arena_printf(arena, "tunnel %s: \"%s\" failed: %s", object, step_names[step->kind], what);
	return arena_printf(arena, "the kernel refused \"%s %s\": %s; nothing was changed", step_names[step->kind],
			    object, error->error ? strerror(-error->error) : what);
}

static int print_steps(const struct steps *steps, struct arena *arena, struct engine_report *report)
{
	report->step_count = steps->count;
	char *text = steps_print(steps, arena);
	const char **lines = arena_array(arena, steps->count + 1, const char *);
	if (!text || !lines)
		return -ENOMEM;
	size_t count = 0;
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line && count < steps->count;
	     line = strtok_r(NULL, "\n", &save))
		lines[count++] = line;
	report->steps = lines;
	return 0;
}

int engine_plan(struct engine *engine, const struct model *model, uint64_t now, struct arena *arena,
		struct engine_report *ret_report)
{
	*ret_report = (struct engine_report){0};
	cleanup_state struct state *desired = NULL;
	struct steps steps = {0};
	int r = compile_state(model, runtime_view(engine->runtime, now), &desired);
	if (r == 0)
		r = look(engine, desired);
	if (r == 0)
		r = diff_states(engine->observed, engine->desired, desired, arena, &steps);
	if (r == 0)
		r = print_steps(&steps, arena, ret_report);
	if (r < 0)
		ret_report->error = arena_printf(arena, "cannot read the kernel's state: %s", strerror(-r));
	return r;
}

/* Those of one tunnel, in order. 0 or -ENOMEM. */
static int steps_of(const struct steps *all, const char *tunnel, struct arena *arena, struct steps *ret_steps)
{
	struct steps steps = {.items = arena_array(arena, all->count + 1, struct step)};
	if (!steps.items)
		return -ENOMEM;
	for (size_t i = 0; i < all->count; i++) {
		if (strcmp(all->items[i].tunnel->name, tunnel) == 0)
			steps.items[steps.count++] = all->items[i];
	}
	*ret_steps = steps;
	return 0;
}

/* Each tunnel for itself: one that fails keeps no other from coming up. The first error is told. */
static void commit_each_tunnel(struct engine *engine, const struct steps *all, struct arena *arena,
			       struct engine_report *report)
{
	for (size_t i = 0; i < all->count; i++) {
		const char *name = all->items[i].tunnel->name;
		bool done = false;
		for (size_t j = 0; j < i && !done; j++)
			done = strcmp(all->items[j].tunnel->name, name) == 0;
		struct steps steps;
		struct commit_error error = {0};
		int r = done ? 0 : steps_of(all, name, arena, &steps);
		if (r == 0 && !done)
			r = engine->tunnels->ops->commit(engine->tunnels, steps.items, steps.count, &error);
		if (r < 0 && !report->tunnel_error)
			report->tunnel_error = describe(arena, &error, r);
	}
}

/* After the table: 0, or -errno with the report's error. */
static int commit_tunnels(struct engine *engine, const struct steps *steps, bool tolerate, struct arena *arena,
			  struct engine_report *report)
{
	struct commit_error error = {0};
	if (steps->count == 0)
		return 0;
	if (!engine->tunnels)
		return -EOPNOTSUPP;
	if (tolerate) {
		commit_each_tunnel(engine, steps, arena, report);
		return 0;
	}
	int r = engine->tunnels->ops->commit(engine->tunnels, steps->items, steps->count, &error);
	if (r < 0) {
		report->error = describe(arena, &error, r);
		report->at = error.step ? error.step->at : (struct origin){0};
	}
	return r;
}

/* The steps from the first of a tunnel on; *steps keeps those before. */
static struct steps split_tunnels(struct steps *steps)
{
	struct steps tunnels = *steps;
	while (tunnels.count && tunnels.items->kind < STEP_FIRST_TUNNEL) {
		tunnels.items++;
		tunnels.count--;
	}
	steps->count -= tunnels.count;
	return tunnels;
}

static int commit_table(struct engine *engine, const struct steps *steps, const struct state *desired, bool *ret_again,
			struct arena *arena, struct engine_report *report)
{
	struct commit_error error = {0};
	int r = engine->kernel->ops->commit(engine->kernel, steps, &error);
	*ret_again = r == 0 || r == -ERESTART || r == -EAGAIN || r == -EINTR;
	if (!*ret_again) {
		/* Before the look is given up: the step that failed may point into it. */
		report->error = describe(arena, &error, r);
		report->at = error.step ? error.step->at : (struct origin){0};
	}
	look_again(engine, r == 0 ? steps : NULL, desired);
	return r;
}

/* Bring the kernel to desired. 0, or -errno with the report's error. */
static int converge(struct engine *engine, const struct state *desired, bool tolerate, struct arena *arena,
		    struct engine_report *report)
{
	int r = 0;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		uint64_t start = monotonic_ms();
		r = look(engine, desired);
		struct steps steps = {0};
		if (r == 0)
			r = diff_states(engine->observed, engine->desired, desired, arena, &steps);
		uint64_t diffed = monotonic_ms();
		*(attempt ? &report->verify_ms : &report->diff_ms) += diffed - start;
		if (r < 0) {
			report->error = arena_printf(arena, "cannot read the kernel's state: %s", strerror(-r));
			return r;
		}
		if (attempt == 0)
			report->step_count = steps.count;
		struct steps tunnels = split_tunnels(&steps);
		/* A tunnel that could not be had is not tried again and again here. */
		if (report->tunnel_error)
			tunnels.count = 0;
		if (steps.count == 0 && tunnels.count == 0)
			return 0;
		bool again = true;
		if (steps.count)
			r = commit_table(engine, &steps, desired, &again, arena, report);
		if (r == 0) {
			r = commit_tunnels(engine, &tunnels, tolerate, arena, report);
			again = r == 0;
		}
		report->commit_ms += monotonic_ms() - diffed;
		if (!again)
			return r;
	}
	report->error = arena_printf(arena,
				     r < 0 ? "the ruleset is being changed by somebody else all the time: stop that "
					     "and try again"
					   : "what the kernel holds is not what was asked for, even after %d attempts",
				     ATTEMPTS);
	return r < 0 ? r : -EIO;
}

/* Bring it to desired, or back to what was there. */
static int converge_or_return(struct engine *engine, const struct state *desired, bool tolerate, struct arena *arena,
			      struct engine_report *report)
{
	int r = converge(engine, desired, tolerate, arena, report);
	if (r == 0) {
		engine->in_sync = !report->tunnel_error;
		return 0;
	}
	struct engine_report back = {0};
	if (engine->desired && converge(engine, engine->desired, true, arena, &back) < 0) {
		engine->in_sync = false;
		report->error = arena_printf(arena, "%s; and going back failed too: %s", report->error, back.error);
	}
	return r;
}

int engine_apply(struct engine *engine, struct model **model, uint64_t now, struct arena *arena,
		 struct engine_report *ret_report)
{
	*ret_report = (struct engine_report){0};
	cleanup_state struct state *desired = NULL;
	int r = compile_state(*model, runtime_view(engine->runtime, now), &desired);
	if (r < 0) {
		ret_report->error = "out of memory";
		return r;
	}
	r = converge_or_return(engine, desired, engine->tolerate, arena, ret_report);
	if (r < 0)
		return r;
	state_free(&engine->desired);
	model_free(&engine->model);
	engine->desired = desired;
	engine->model = *model;
	desired = NULL;
	*model = NULL;
	return 0;
}

int engine_refresh(struct engine *engine, uint64_t now, struct arena *arena, struct engine_report *ret_report)
{
	*ret_report = (struct engine_report){0};
	if (!engine->model)
		return 0;
	cleanup_state struct state *desired = NULL;
	int r = compile_state(engine->model, runtime_view(engine->runtime, now), &desired);
	if (r < 0) {
		ret_report->error = "out of memory";
		return r;
	}
	r = converge_or_return(engine, desired, true, arena, ret_report);
	if (r < 0)
		return r;
	state_free(&engine->desired);
	engine->desired = desired;
	desired = NULL;
	return 0;
}

int engine_flush(struct engine *engine, struct arena *arena, struct engine_report *ret_report)
{
	*ret_report = (struct engine_report){0};
	cleanup_state struct state *empty = state_new();
	if (!empty)
		return -ENOMEM;
	int r = converge(engine, empty, false, arena, ret_report);
	if (r < 0)
		return r;
	state_free(&engine->observed);
	state_free(&engine->desired);
	model_free(&engine->model);
	return 0;
}

void engine_distrust(struct engine *engine)
{
	state_free(&engine->observed);
	engine->in_sync = false;
}

const struct model *engine_model(const struct engine *engine)
{
	return engine->model;
}

const struct state *engine_desired(const struct engine *engine)
{
	return engine->desired;
}

bool engine_in_sync(const struct engine *engine)
{
	return engine->in_sync;
}

uint32_t engine_generation(const struct engine *engine)
{
	return engine->generation;
}
