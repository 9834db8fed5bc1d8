/* A bundle: what one slot holds, signed. The format is in docs/image.md.
 *
 * Usage: bundle_open, which succeeds only when a known key has signed the
 * manifest; bundle_check for the content; bundle_copy for each part;
 * bundle_compare with what was written. */
#pragma once

#include "image_places.h"

#include <stdint.h>

struct bundle;

struct bundle_manifest {
	char version[IMAGE_VERSION_MOST + 1];
	struct {
		uint64_t size;
		unsigned char hash[32]; /* SHA-256 */
	} parts[SLOT_PARTS];
};

/* Folders that hold public keys as NAME.pem, NULL at the end; one that does not exist is an empty one. */
typedef const char *const *bundle_keys;

/* 0 with *ret_bundle, or -errno with *ret_why, a sentence in arena that says what is wrong and what to do: -ENOKEY: no
 * key is known or there is no signature; -EKEYREJECTED: no known key has signed it; -EBADMSG: it is no bundle or
 * incomplete. */
int bundle_open(struct arena *arena, const char *path, bundle_keys folders, struct bundle **ret_bundle, const char **ret_why);
void bundle_free(struct bundle **bundle);
#define cleanup_bundle __attribute__((cleanup(bundle_free)))

const struct bundle_manifest *bundle_manifest(const struct bundle *bundle);
/* The file of the key that has signed it. */
const char *bundle_key(const struct bundle *bundle);

/* Each part is what the manifest says: 0, or -EBADMSG and others with *ret_why. */
int bundle_check(struct bundle *bundle, const char **ret_why);
/* There is room for the part in fd: 0 or -ENOSPC. */
int bundle_fits(struct bundle *bundle, enum slot_part part, int fd, const char **ret_why);
/* Write a part to the beginning of fd and have it on the disk. */
int bundle_copy(struct bundle *bundle, enum slot_part part, int fd, const char **ret_why);
/* fd holds the part, read from the disk itself and not from memory. */
int bundle_compare(struct bundle *bundle, enum slot_part part, int fd, const char **ret_why);
