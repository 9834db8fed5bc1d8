/* What is in force while there is no configuration that could be: default deny,
 * and a way in for whoever can mend it. */
#pragma once

#include "../rules/base/arena.h"
#include "../rules/model/model.h"

#include <stdbool.h>

/* The model of a closed firewall, the caller's. Management is what the files under config (path of edged.yaml) say of
 * it, as far as they can be read. first: there never was a revision; then, if they cannot, ssh (TCP port 22) stays
 * reachable from everywhere, as it was before. 0 or -ENOMEM. */
int closed_model(const char *config, bool first, struct arena *arena, struct model **ret_model);
