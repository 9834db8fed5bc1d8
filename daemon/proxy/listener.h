/* Listeners of a worker: which sockets it accepts from, and for whom. */
#pragma once

#include "worker.h"

/* Take over a listening socket that main sent. 0 or -errno (the descriptor is
 * closed then). An id that is there already: the new socket replaces it. */
int listeners_add(struct worker *worker, uint32_t id, int fd);
/* Taking over a configuration, in this order: plan (what can fail, and accepting
 * what waits at the listeners that it does not name), service_table_apply, commit
 * (points the listeners at their services and closes those not named), which uses
 * up the plan. -EBADMSG: it names a listener that never came. */
struct listener_plan;
int listeners_plan(struct worker *worker, const struct proxy_config *config, struct listener_plan **ret_plan);
void listeners_commit(struct worker *worker, struct listener_plan **plan);
void listener_plan_free(struct listener_plan **plan);
/* A listener is readable. */
void listener_event(struct worker *worker, struct listener *listener);
/* Serve what waits in the queues, then close them all. */
void listeners_stop(struct worker *worker);
/* Accept again if there was no room and there is now. True when listeners are watched. */
bool listeners_resume(struct worker *worker);
/* There has been no room for a while: if there still is none, refuse who waits. */
void listeners_refuse(struct worker *worker);
/* Let the kernel choose, among the sockets of listener's SO_REUSEPORT group, that
 * of the CPU on which the connection arrives: the n-th socket that was bound
 * belongs to the worker on the n-th CPU. Once per group. 0 or -errno. */
int listener_steer(int listener, int worker_count);
