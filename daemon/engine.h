/* The apply engine: model and run data in, kernel transaction out, verified.
 * Owns the current model, the desired state made from it and the last
 * observation. It knows nothing of files, clients and processes.
 *
 * Invariants: a failed apply leaves the kernel and the engine as they were;
 * after a success, what was observed equals what was desired. */
#pragma once

#include "../rules/model/model.h"
#include "kernel/kernel.h"
#include "kernel/tunnel.h"
#include "runtime.h"

struct engine;

struct engine_report {
	const char *error;        /* NULL, or one line for people, in the arena that was passed */
	struct origin at;         /* the line to blame, if any */
	size_t step_count;        /* 0: nothing had to be written */
	const char *const *steps; /* printed, when asked for */
	uint64_t diff_ms, commit_ms, verify_ms;
	const char *tunnel_error; /* tunnels are tolerated, and one could not be brought in line: the rest is in force */
};

/* kernel and runtime stay the caller's. */
struct engine *engine_new(struct kernel *kernel, struct runtime *runtime);
void engine_free(struct engine **engine);

/* From now on tunnels are part of what is kept in line; tunnels stays the caller's. */
void engine_use_tunnels(struct engine *engine, struct tunnel_kernel *tunnels);
/* Is a tunnel that cannot be had a reason to fail an apply? (At the start and on the way back it is not: the rules
 * matter more. A refresh always tolerates.) False at first. */
void engine_tolerate_tunnels(struct engine *engine, bool tolerate);
/* What was last seen of them; look: read them anew first. */
const struct tunnel_list *engine_tunnels(struct engine *engine, bool look);
/* Read them anew: is anything of them not as it shall be? */
bool engine_tunnels_differ(struct engine *engine);

/* What an apply would write. 0 or -errno. */
int engine_plan(struct engine *engine, const struct model *model, uint64_t now, struct arena *arena,
		struct engine_report *ret_report);
/* Make the kernel hold what model says; on success the model belongs to the
 * engine (*model becomes NULL). now: seconds since the epoch. 0 or -errno, told in the report. */
int engine_apply(struct engine *engine, struct model **model, uint64_t now, struct arena *arena,
		 struct engine_report *ret_report);
/* The same model, changed run data (health, drains, bans), or a foreign change to repair. */
int engine_refresh(struct engine *engine, uint64_t now, struct arena *arena, struct engine_report *ret_report);
/* Remove the table and all that is in it. */
int engine_flush(struct engine *engine, struct arena *arena, struct engine_report *ret_report);
/* Forget the last observation: somebody else changed the ruleset. */
void engine_distrust(struct engine *engine);

/* NULL before the first apply. */
const struct model *engine_model(const struct engine *engine);
const struct state *engine_desired(const struct engine *engine);
bool engine_in_sync(const struct engine *engine);
uint32_t engine_generation(const struct engine *engine);
