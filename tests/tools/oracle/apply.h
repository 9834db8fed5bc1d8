/* Apply: puts a configuration into the kernel of the thread's namespace, as the daemon does. */
#pragma once

#include "settings.h"

#include "../../../daemon/kernel/kernel.h"

/* Read edged.yaml at path; blocklists lie relative to it. Errors go to
 * standard error. 0, -EINVAL, or -errno. The caller frees the model. */
int apply_load(const char *path, struct arena *arena, struct model **ret_model);
/* Compile, compare with what is there, commit, and see that nothing is left to do. */
int apply_model(struct kernel *kernel, const struct model *model, const struct settings *settings);
