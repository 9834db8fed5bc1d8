/* History: revisions of the configuration, the pending confirmation and the run
 * data, on disk under the state folder. Every replacement is atomic and synced
 * (file and folder); a crash at any write leaves the old or the new. What is
 * found damaged is logged and passed over.
 *
 * Functions that can fail for a reason that people must know set *ret_error
 * (a line in arena); *ret_error is untouched on success. */
#pragma once

#include "../rules/model/model.h"
#include "runtime.h"

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_KEPT 100 /* committed and pending ones are kept beyond it */

struct history;

struct history_meta {
	uint32_t revision;
	uint64_t time; /* seconds since the epoch */
	const char *user, *message, *summary; /* may be NULL */
	bool lapsed; /* it went back by itself, since nobody confirmed it */
};

struct history_pending {
	uint32_t revision, previous; /* previous: the committed one at that time */
	uint64_t deadline;           /* seconds since the epoch, as planned */
	char boot_id[40];
	uint64_t monotonic_deadline; /* CLOCK_BOOTTIME seconds of that boot: what counts while it lasts */
};

/* Open (and make) the state folder's history. 0 or -errno. */
int history_open(const char *state_dir, struct history **ret_history);
void history_close(struct history **history);
/* The pending confirmation, for whoever does not hold the lock: nothing is written, made or cleaned up, since a file
 * under way may be another process's. 1 with *ret_pending, 0 when nothing waits, or -errno. */
int history_look(const char *state_dir, struct history_pending *ret_pending);

/* A name as the configuration may have it: UTF-8, relative, no way out of the folder. */
bool history_name_is_good(const char *name);
/* Store the files as a new revision, neither committed nor pending. Blobs are shared by content hash. */
int history_add(struct history *history, const struct source_file *files, size_t count, const struct history_meta *meta,
		struct arena *arena, uint32_t *ret_revision, const char **ret_error);
/* This revision boots from now on; clears a pending record of it. Prunes what is beyond HISTORY_KEPT. */
int history_commit(struct history *history, uint32_t revision, struct arena *arena, const char **ret_error);
/* Free the room that is kept for a way back on a full disk (RESERVE_BYTES of history.c); made again with the next
 * commit that finds room. False when it was spent before. */
bool history_spend_reserve(struct history *history);
/* 0: none is committed yet. */
uint32_t history_committed(const struct history *history);
/* The one that was committed before it, never one whose confirmation did not come. 0: not known. */
uint32_t history_before(const struct history *history);
/* There never was a revision, not even one that is damaged now. */
bool history_is_new(const struct history *history);
/* A revision that did not come into force: it and a pending record of it go away. */
void history_discard(struct history *history, uint32_t revision);

int history_set_pending(struct history *history, uint32_t revision, uint64_t seconds, struct arena *arena,
			const char **ret_error);
/* True when a confirmation is pending (overdue ones included). */
bool history_pending(const struct history *history, struct history_pending *ret_pending);
/* 0 when overdue, or when the machine has booted since. */
uint64_t history_pending_seconds_left(const struct history_pending *pending);
/* The pending record goes away; the revision stays in the list. */
int history_clear_pending(struct history *history);
/* The confirmation did not come, and the committed revision is in force again, since now: kept on disk with the
 * revision that lapsed, and the pending record goes away. What cannot be written is logged. */
void history_lapse(struct history *history, uint64_t now);
/* When the revision came into force, in seconds since the epoch: when it was applied, or the last time that the one
 * after it lapsed. 0: not known. */
uint64_t history_since(const struct history *history, uint32_t revision);

/* Fill in the file's hash when it is large and the revision (0: none) has the very same: comparing is ten times
 * quicker than hashing a blocklist. Whatever goes wrong leaves it unknown. */
void history_recognise(struct history *history, uint32_t revision, struct source_file *file, struct arena *arena);

/* Newest first; all in arena. */
int history_list(struct history *history, struct arena *arena, struct history_meta **ret_list, size_t *ret_count);
/* The files of a revision. -ENOENT when there is none (told in *ret_error). */
int history_load(struct history *history, uint32_t revision, struct arena *arena, struct source_file **ret_files,
		 size_t *ret_count, const char **ret_error);

/* Are these the very files of that revision? Large ones are compared by hash. */
bool history_same(struct history *history, uint32_t revision, const struct source_file *files, size_t count,
		  struct arena *arena);

/* Has any revision a file of this name and content? One that cannot be read counts as none. */
bool history_has_file(struct history *history, const struct source_file *file, struct arena *arena);

/* Drains, operators' bans and health, adopted after a restart. */
int history_save_runtime(struct history *history, struct runtime *runtime, uint64_t now);
int history_load_runtime(struct history *history, struct runtime *runtime);

/* ---- folder.c: the configuration folder, the one that holds options.config ---- */

/* The main file (as "edged.yaml", whatever its name), conf.d/[*].yaml in name order, and (with_referred)
 * every file that a revision of these would need is not read here: see folder_read_file. */
int folder_read(const char *config, struct arena *arena, struct source_file **ret_files, size_t *ret_count,
		const char **ret_error);
/* One file by its name as written in the configuration, never outside the folder. 0, -ENOENT, -EINVAL, -errno. */
int folder_read_file(const char *config, const char *name, struct arena *arena, struct source_file *ret_file);
/* Replace the files atomically, one by one, and remove conf.d files that are not among them. */
int folder_write(const char *config, const struct source_file *files, size_t count, struct arena *arena,
		 const char **ret_error);
/* One more file beside them, by a name within the folder, in place of what had that name. 0 or -errno. */
int folder_put(const char *config, const struct source_file *file, struct arena *arena);
