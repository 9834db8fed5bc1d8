/* Expect: holds the file's expectations against the model, as if every
 * backend were up and nobody banned, and says of each that fails what would
 * happen instead and which line decides that. */
#include "ask.h"

#include "answer_print.h"
#include "packet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare_nodes(const void *a, const void *b)
{
	return strcmp(((const struct backend_health *)a)->node, ((const struct backend_health *)b)->node);
}

/* Run data in which every backend of the one forward that matters is up, and the kernel can add headers. */
static int all_up(const struct packet *packet, struct arena *arena, struct rundata *ret_run)
{
	const struct forward *refusing = NULL;
	const struct forward *forward = forward_for(packet, &refusing);
	struct rundata run = {.kernel_owner = true};
	const struct model *model = packet->model;
	struct header_device *devices = arena_array(arena, model->tunnel_count + 1, struct header_device);
	if (!devices)
		return -ENOMEM;
	for (size_t i = 0; i < model->tunnel_count; i++)
		devices[run.header_device_count++].name = model->tunnels[i].name;
	if (model->lan.device)
		devices[run.header_device_count++].name = model->lan.device;
	run.header_devices = devices;
	if (forward) {
		const struct pool *pool = forward->pool;
		struct backend_health *health = arena_array(arena, pool->node_count, struct backend_health);
		if (!health)
			return -ENOMEM;
		for (size_t i = 0; i < pool->node_count; i++)
			health[i] = (struct backend_health){pool->nodes[i]->name, compile_health_port(forward), true};
		qsort(health, pool->node_count, sizeof(*health), compare_nodes);
		run.health = health;
		run.health_count = pool->node_count;
	}
	*ret_run = run;
	return 0;
}

static bool holds(const struct expectation *expectation, const struct answer *answer)
{
	if (answer->verdict != expectation->verdict)
		return false;
	if (expectation->forward && answer->forward != expectation->forward)
		return false;
	return !expectation->rule || (answer->by == DECIDED_RULE && strcmp(answer->name, expectation->rule) == 0);
}

/* "accept by forward "https"" */
static char *expected(const struct expectation *expectation, struct arena *arena)
{
	const char *verdict = action_names[expectation->verdict];
	if (expectation->forward)
		return arena_printf(arena, "%s by forward \"%s\"", verdict, expectation->forward->name);
	if (expectation->rule)
		return arena_printf(arena, "%s by rule \"%s\"", verdict, expectation->rule);
	return arena_strdup(arena, verdict);
}

/* 1: it holds, 0: it does not (a diagnostic was added), or -errno. */
static int check(const struct model *model, const struct surroundings *around, const struct expectation *expectation,
		 const char *path, struct arena *arena, struct diag_list *diags)
{
	struct question question = {
		.from = expectation->from,
		.from_port = expectation->from_port,
		.to = expectation->to,
		.to_self = expectation->to_self,
		.to_port = expectation->to_port,
		.protocol = expectation->protocol,
		.in = expectation->in,
		.in_tunnel = expectation->in_tunnel,
	};
	struct packet packet = {.model = model, .around = around, .question = &question};
	packet.to = way_of_destination(model, around, &question);
	struct rundata run = {0};
	struct answer answer = {0};
	int r = all_up(&packet, arena, &run);
	if (r == 0)
		r = ask_packet_quick(model, &run, around, &question, arena, &answer);
	if (r < 0)
		return r;
	if (holds(expectation, &answer))
		return 1;
	const char *asked = question_print(&question, arena), *decision = answer_decision(&answer, arena);
	const char *wanted = expected(expectation, arena);
	if (!asked || !decision || !wanted)
		return -ENOMEM;
	diag_add(diags, DIAG_ERROR, expectation->at, path, "%s would be %s, expected %s", asked, decision, wanted);
	return 0;
}

size_t ask_expectations(const struct model *model, const struct surroundings *around, struct arena *arena,
			struct diag_list *diags)
{
	static const struct surroundings nothing = {0};
	size_t failed = 0;
	for (size_t i = 0; i < model->expectation_count; i++) {
		const char *path = arena_printf(arena, "expect[%zu]", i);
		int r = check(model, around ? around : &nothing, &model->expectations[i], path, arena, diags);
		/* What could not be evaluated does not count as held. */
		if (r < 0)
			diag_add(diags, DIAG_ERROR, model->expectations[i].at, path, "could not be evaluated: %s",
				 r == -ENOMEM ? "out of memory" : "source and destination are not of one family");
		failed += r != 1;
	}
	return failed;
}
