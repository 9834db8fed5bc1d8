/* Control: what main tells a worker, and what it is told. */
#pragma once

#include "worker.h"

/* Handle what waits at the socket to main. At its end (main has died, or sends
 * nonsense) the worker goes on serving without it. */
void control_event(struct worker *worker);
/* The forward wants its connections logged: this one has come to stand. */
void control_tell_opened(struct worker *worker, const struct connection *connection);
void control_send(struct worker *worker, enum msg_type type, uint32_t id, const struct wire_writer *payload);
