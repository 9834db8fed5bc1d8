/* Front: where clients reach the API. The local socket, the metrics port and
 * the TLS port are bound by main and lent to role api, which speaks to clients. */
#pragma once

#include "../rules/model/model.h"
#include "role.h"

struct front;

/* Makes RUNTIME_DIR/api.sock. 0, or -errno after the reason was logged. */
int front_open(const char *runtime_dir, struct front **ret_front);
void front_close(struct front **front);
/* Listen where the model says, stop where it no longer does; roles may be NULL (not started yet).
 * config: the configuration file, whose folder certificates are relative to. What cannot be had is logged:
 * the local socket always works. */
void front_apply(struct front *front, const struct model *model, const char *config, struct roles *roles);
/* Role api has (re)started: lend it everything. */
void front_lend(struct front *front, struct roles *roles);
