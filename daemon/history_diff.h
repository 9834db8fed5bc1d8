/* A unified diff of two revisions' files, for people. Pure and bounded: files
 * above a megabyte or 20,000 lines are only said to differ. */
#pragma once

#include "../rules/model/model.h"

/* "" when they are the same. 0 or -ENOMEM. */
int history_diff(const struct source_file *from, size_t from_count, const struct source_file *to, size_t to_count,
		 struct arena *arena, const char **ret_text);
