/* Devices: what those of the configuration can do for flows, as the run data say
 * it: header programs (injection.h), and the flowtable. */
#pragma once

struct model;
struct server;

/* Look again, for this model. 1: the run data have changed; 0; or -ENOMEM. */
int devices_update(struct server *server, const struct model *model);
