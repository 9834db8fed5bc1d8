/* Store: bounded reading and atomic, synced replacement of files in a folder.
 * After a crash at any point a file is the old one or the new one, whole; a
 * replacement that fails has changed nothing. Names have one component unless
 * said otherwise. Functions return 0 (or a descriptor) or -errno. */
#pragma once

#include "../rules/base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Names of files under way begin with this; store_clean removes them. */
#define STORE_TEMPORARY ".edged-new-"

void close_fd(int *fd);
#define cleanup_fd __attribute__((cleanup(close_fd)))

/* The folder name in dir (AT_FDCWD: any path), made (and synced) when it is not there. */
int store_folder(int dir, const char *name, mode_t mode);
/* A regular file of at most most bytes, whole, terminated, in arena.
 * -EFBIG: larger; -EINVAL: not a regular file. */
int store_read(int dir, const char *name, size_t most, struct arena *arena, char **ret_text, size_t *ret_length);
/* The same of an open descriptor. */
int store_read_fd(int fd, size_t most, struct arena *arena, char **ret_text, size_t *ret_length);
/* A file that is not there yet, synced; the folder is not. */
int store_write_new(int dir, const char *name, const void *data, size_t length, mode_t mode);
/* Replace a file, or make it; file and folder are synced. A link in its place is replaced, not followed. */
int store_replace(int dir, const char *name, const void *data, size_t length, mode_t mode);
/* Remove a file, and sync the folder. 0 also when it is not there. */
int store_remove(int dir, const char *name);
/* Remove a folder and the files in it (not folders in it); it vanishes under its name at once. */
int store_remove_folder(int dir, const char *name);
/* Remove what a crash of the functions above may have left in dir. */
void store_clean(int dir);
/* Call each with every name in dir (not "." and ".."), in no order, until it returns something else than 0. */
int store_each(int dir, int (*each)(void *context, const char *name), void *context);
