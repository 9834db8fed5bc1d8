/* Outlaw: connections that the configuration would refuse today are ended in
 * conntrack, so that a removed access ends at once. */
#pragma once

#include "../rules/model/model.h"
#include "../rules/model/rundata.h"

/* Look at every flow that bears edged's mark. Returns how many were ended, or -errno. */
int outlaw_connections(const struct model *model, const struct rundata *run);
