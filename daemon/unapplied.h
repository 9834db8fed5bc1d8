/* Edits that were never applied, when a rollback or the end of a confirmation
 * window puts other files into the configuration folder. */
#pragma once

#include "history.h"

/* Copy what no revision has and what these files would replace or remove to NAME.unapplied-TIME (UTC) in the same
 * folder. *ret_note: NULL when there was nothing to keep, else a line for people, in arena. 0, or -errno with
 * *ret_error: then the folder must not be written. */
int unapplied_keep(struct history *history, const char *config, const struct source_file *files, size_t count,
		   struct arena *arena, const char **ret_note, const char **ret_error);
