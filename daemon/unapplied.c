/* Edits in the configuration folder that no revision has are never lost: before
 * other files take their place they get a name of their own beside them. */
#include "unapplied.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct source_file *find(const struct source_file *files, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}

static bool same_text(const struct source_file *a, const struct source_file *b)
{
	return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

struct keeper {
	struct history *history;
	const char *config;
	struct arena *arena;
	char stamp[24];
	const char *note;
	const char *error; /* why, when there are better words than strerror's */
};

/* A file of the folder that is about to be replaced, or to go. */
static int keep(struct keeper *keeper, const struct source_file *now)
{
	if (history_has_file(keeper->history, now, keeper->arena))
		return 0;
	struct source_file copy = *now;
	copy.name = arena_printf(keeper->arena, "%s.unapplied-%s", now->name, keeper->stamp);
	int r = copy.name ? folder_put(keeper->config, &copy, keeper->arena) : -ENOMEM;
	if (r < 0)
		return r;
	keeper->note = keeper->note ? arena_printf(keeper->arena, "%s, %s", keeper->note, copy.name)
				    : arena_printf(keeper->arena, "edits that were never applied are kept beside it: %s",
						   copy.name);
	return keeper->note ? 0 : -ENOMEM;
}

static int keep_yaml(struct keeper *keeper, const struct source_file *files, size_t count)
{
	struct source_file *there;
	size_t there_count;
	int r = folder_read(keeper->config, keeper->arena, &there, &there_count, &keeper->error);
	/* Without a main file there is nothing that anybody edits; what cannot be read may be edits. */
	if (r == -ENOENT)
		keeper->error = NULL;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; r == 0 && i < there_count; i++) {
		const struct source_file *next = find(files, count, there[i].name);
		if (!next || !same_text(next, &there[i]))
			r = keep(keeper, &there[i]);
	}
	return r;
}

/* Blocklists: those that are to be written; others stay. */
static int keep_referred(struct keeper *keeper, const struct source_file *next)
{
	struct source_file there;
	if (strcmp(next->name, "edged.yaml") == 0 || strncmp(next->name, "conf.d/", 7) == 0)
		return 0;
	int r = folder_read_file(keeper->config, next->name, keeper->arena, &there);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	return same_text(next, &there) ? 0 : keep(keeper, &there);
}

int unapplied_keep(struct history *history, const char *config, const struct source_file *files, size_t count,
		   struct arena *arena, const char **ret_note, const char **ret_error)
{
	struct keeper keeper = {.history = history, .config = config, .arena = arena};
	time_t now = time(NULL);
	struct tm utc;
	if (!gmtime_r(&now, &utc) || strftime(keeper.stamp, sizeof(keeper.stamp), "%Y%m%dT%H%M%SZ", &utc) == 0)
		return -ERANGE;
	int r = keep_yaml(&keeper, files, count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = keep_referred(&keeper, &files[i]);
	if (r == 0)
		*ret_note = keeper.note;
	else
		*ret_error = keeper.error ? keeper.error : strerror(-r);
	return r;
}
