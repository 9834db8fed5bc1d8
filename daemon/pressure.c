/* Pressure. A forward is under pressure when many connections begin and many
 * of them stay half open; it is over when nearly all that begin are completed.
 * It keeps the last counters of the model in force and changes no rule. */
#include "pressure.h"

#include "connections.h"
#include "json_parts.h"
#include "log.h"

#include "../rules/state/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BEGUN_MANY 500u    /* connections a second: below that nobody suffers */
#define HALF_OPEN_MANY 250u
#define UNPROVEN_FEW 100u  /* handshakes a second that nobody completes */
#define CALM_SECONDS 10u   /* so long before synproxy is off again */
#define COUNTERS_A_SECOND 2000u

struct seen {
	uint64_t let_in, limited, answered; /* of the last look */
	uint64_t calm_since;                /* 0: not calm, or not under pressure */
	bool pressed;
};

struct pressure {
	struct seen *forwards; /* by index in the model in force; NULL: another one is since */
	uint64_t looked_at;    /* seconds since the epoch; 0: forwards has no counters yet */
	uint64_t next;
};

struct pressure *pressure_new(void)
{
	return calloc(1, sizeof(struct pressure));
}

void pressure_free(struct pressure **pressure)
{
	if (!pressure || !*pressure)
		return;
	free((*pressure)->forwards);
	free(*pressure);
	*pressure = NULL;
}

void pressure_forget(struct pressure *pressure)
{
	free(pressure->forwards);
	*pressure = (struct pressure){0};
}

static int take_model(struct pressure *pressure, const struct model *model, const struct rundata *run)
{
	if (pressure->forwards)
		return 0;
	struct seen *forwards = calloc(model->forward_count + 1, sizeof(*forwards));
	if (!forwards)
		return -ENOMEM;
	for (size_t i = 0; i < model->forward_count; i++)
		for (size_t j = 0; j < run->pressed_count && !forwards[i].pressed; j++)
			forwards[i].pressed = strcmp(run->pressed[j], model->forwards[i].name) == 0;
	pressure->forwards = forwards;
	return 0;
}

static bool is_auto(const struct forward *forward)
{
	return forward->protocol == PROTOCOL_TCP && forward->synproxy == TOGGLE_AUTO;
}

static bool any_auto(const struct model *model)
{
	for (size_t i = 0; i < model->forward_count; i++)
		if (is_auto(&model->forwards[i]))
			return true;
	return false;
}

/* What happened in each second since the last look; a counter that was made anew begins at 0. */
static uint64_t rate(uint64_t before, uint64_t after, uint64_t seconds)
{
	return after > before ? (after - before) / seconds : 0;
}

struct look {
	struct pressure *pressure;
	const struct model *model;
	struct arena *arena;
	uint64_t now, seconds;
	uint64_t *half_open; /* by index of the forward; NULL: not counted yet */
	bool changed;
};

static uint64_t half_open(struct look *look, size_t index)
{
	if (!look->half_open) {
		look->half_open = arena_array(look->arena, look->model->forward_count + 1, uint64_t);
		if (look->half_open)
			connections_count_half_open(look->model, look->arena, look->half_open);
	}
	return look->half_open ? look->half_open[index] : 0;
}

static void judge(struct look *look, const struct forward *forward, struct seen *seen, const struct seen *now)
{
	uint64_t let_in = rate(seen->let_in, now->let_in, look->seconds);
	uint64_t begun = let_in + rate(seen->limited, now->limited, look->seconds);
	uint64_t answered = rate(seen->answered, now->answered, look->seconds);
	if (!seen->pressed) {
		/* Half open for the time of a round trip is everyone's handshake. */
		if (begun < BEGUN_MANY || half_open(look, forward->index) < HALF_OPEN_MANY + let_in / 4)
			return;
		seen->pressed = look->changed = true;
		seen->calm_since = 0;
		log_warning("pressure",
			    "forward %s: %llu new connections a second, and too many stay half open: synproxy is on",
			    forward->name, (unsigned long long)begun);
		return;
	}
	if (answered > begun + UNPROVEN_FEW) {
		seen->calm_since = 0;
	} else if (!seen->calm_since) {
		seen->calm_since = look->now;
	} else if (look->now - seen->calm_since >= CALM_SECONDS) {
		seen->pressed = false;
		look->changed = true;
		log_info("pressure", "forward %s: the flood is over: synproxy is off", forward->name);
	}
}

static int tell(const struct look *look, struct runtime *runtime)
{
	const char **names = arena_array(look->arena, look->model->forward_count + 1, const char *);
	size_t count = 0;
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < look->model->forward_count; i++)
		if (look->pressure->forwards[i].pressed)
			names[count++] = look->model->forwards[i].name;
	return runtime_set_pressed(runtime, names, count);
}

static int look_at_counters(struct look *look, const struct show *show)
{
	cleanup_counters struct counters counters = {0};
	if (!counters_init(&counters, show))
		return -ENOMEM;
	struct pressure *pressure = look->pressure;
	for (size_t i = 0; i < look->model->forward_count; i++) {
		const struct forward *forward = &look->model->forwards[i];
		struct seen *seen = &pressure->forwards[i], now = *seen;
		if (!is_auto(forward))
			continue;
		now.let_in = counter_get(&counters, "fwd-", forward->name, "").packets;
		now.limited = counter_get(&counters, "fwd-", forward->name, "-limit").packets;
		now.answered = counter_get(&counters, "syn-", forward->name, "").packets;
		if (pressure->looked_at)
			judge(look, forward, seen, &now);
		seen->let_in = now.let_in;
		seen->limited = now.limited;
		seen->answered = now.answered;
	}
	return 0;
}

int pressure_look(struct pressure *pressure, struct kernel *kernel, const struct model *model, struct runtime *runtime,
		  uint64_t now)
{
	const struct rundata *run = runtime_view(runtime, now);
	if (!model || !run->kernel_synproxy || !any_auto(model))
		return 0;
	int r = take_model(pressure, model, run);
	if (r < 0 || now < pressure->next || now <= pressure->looked_at)
		return r;
	cleanup_arena struct arena *arena = arena_new();
	if (!arena)
		return -ENOMEM;
	struct look look = {.pressure = pressure, .model = model, .arena = arena, .now = now,
			    .seconds = now - pressure->looked_at};
	struct show show = {.model = model};
	struct counter_value *values;
	r = kernel->ops->counters(kernel, arena, &values, &show.counter_count);
	show.counters = values;
	if (r == 0)
		r = look_at_counters(&look, &show);
	if (r < 0)
		return r;
	pressure->looked_at = now;
	pressure->next = now + 1 + show.counter_count / COUNTERS_A_SECOND;
	return look.changed ? tell(&look, runtime) : 0;
}
