/* A unified diff of two texts that differ in one place. */
#pragma once

#include "../rules/base/arena.h"

/* One hunk from the first line that differs to the last, with three lines of
 * context; "" when the texts are the same. NULL: out of memory. */
char *line_diff(struct arena *arena, const char *name, const char *before, const char *after);
