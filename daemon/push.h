/* Push: the configuration of forwarder workers and prober, made from the
 * engine's model and the run data, and given to those that are ready. */
#pragma once

#include "../rules/model/model.h"
#include "../rules/model/rundata.h"
#include "role.h"

struct push;

struct push *push_new(unsigned workers);
void push_free(struct push **push);
/* Bind what this model's forwards need, before anything else is changed. 0, or
 * -errno with *ret_error in arena. */
int push_prepare(struct push *push, const struct model *model, const struct rundata *run, struct arena *arena,
		 const char **ret_error);
/* Send to all that are ready. What the forwarder ceases to serve keeps its listener for some seconds: a handshake that
 * began there ends there. 0 or -errno. */
int push_send(struct push *push, const struct model *model, const struct rundata *run, struct roles *roles);
/* True when a listener that was kept for connections on their way can go: send again. */
bool push_linger_over(const struct push *push, uint64_t now);
/* A role (re)started: give it what the others have. */
void push_to(struct push *push, struct roles *roles, enum role role, unsigned index);
/* The generation of the last push_send. */
uint32_t push_generation(const struct push *push);
