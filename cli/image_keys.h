/* Public keys that may sign bundles, and the check of a signature. */
#pragma once

#include <stddef.h>

struct arena;

#define IMAGE_SIGNATURE_SIZE 64 /* RFC 8032 */

/* Look for the key that has signed data, in the files *.pem of folders (NULL at the end; one that does not exist is an
 * empty one). 0 with *ret_key, the file's path; -ENOKEY: there is no Ed25519 key at all; -EKEYREJECTED: none of them
 * has; -ENOMEM. */
int image_keys_verify(struct arena *arena, const char *const *folders, const void *data, size_t size,
		      const unsigned char signature[IMAGE_SIGNATURE_SIZE], const char **ret_key);
