/* Changes: what differs between two models, as lines for people:
 * "+ forward https: 443/tcp -> ingress:30443 (edged.yaml:38)",
 * "~ rule no-smtp: action drop -> reject", "- node k8s-3". */
#pragma once

#include "../model/model.h"

struct changes {
	const char *const *lines; /* in arena */
	size_t count;
};

/* before may be NULL: everything is new. 0 or -ENOMEM. */
int changes_list(const struct model *before, const struct model *after, struct arena *arena, struct changes *ret_changes);
