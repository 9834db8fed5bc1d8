/* What the files of the history share; nobody else includes this. */
#pragma once

#include "history.h"
#include "store.h"

#include <stdarg.h>

#define REVISION_NAME_MAX 16 /* "000012", with the terminator; longer from a million on */
#define META_NAME "meta.json"
/* In the folder of a revision that was not confirmed in time; a file of the configuration is never stored so. */
#define LAPSED_NAME ".lapsed"
#define META_MAX (8u << 20)
#define RECORD_MAX 4096
#define HISTORY_FILE_MAX (64u << 20)
#define HISTORY_FILES_MAX 2000
/* Larger files are blobs, which revisions share. */
#define BLOB_ABOVE 65536
#define HASH_TEXT 65 /* SHA-256 in hexadecimal, with the terminator */

/* One file of a revision, as meta.json has it. */
struct stored_file {
	const char *name;   /* as the configuration names it */
	const char *stored; /* name in the revision's folder; NULL: a blob, named by its hash */
	char hash[HASH_TEXT];
	size_t size;
};

/* Everything of meta.json, in arena. */
struct stored_meta {
	struct history_meta meta;
	struct stored_file *files;
	size_t file_count;
};

/* strerror, with words for a damaged file (-EBADMSG). */
const char *history_why(int error);
/* Write *ret_error as "TEXT: why"; returns error. */
int history_fail(struct arena *arena, const char **ret_error, int error, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void revision_name(uint32_t revision, char *name);
/* SHA-256 as text. 0 or -ENOMEM. */
int history_hash(const void *data, size_t length, char *ret_hash);

/* history_files.c: folders of revisions and blobs. */
/* Read meta.json of a revision. -EBADMSG: damaged. */
int files_read_meta(int revisions, uint32_t revision, struct arena *arena, struct stored_meta *ret_meta);
int files_add(int revisions, int blobs, uint32_t revision, const struct source_file *files, size_t count,
	      const struct history_meta *meta, struct arena *arena, const char **ret_error);
int files_mark_lapsed(int revisions, uint32_t revision);
int files_load(int revisions, int blobs, uint32_t revision, struct arena *arena, struct source_file **ret_files,
	       size_t *ret_count, const char **ret_error);
/* Does the revision have exactly these files? */
bool files_same(int revisions, uint32_t revision, const struct source_file *files, size_t count, struct arena *arena);
/* Fill in the hash of a file whose very bytes the revision has as a blob. */
void files_recognise(int revisions, int blobs, uint32_t revision, struct source_file *file, struct arena *arena);
/* Remove blobs that none of the revisions needs; nothing is removed when one of them cannot be read. */
int files_sweep_blobs(int revisions, int blobs, const uint32_t *numbers, size_t count);

/* The state folder itself; stays the history's. */
int history_root(const struct history *history);
