/* A machine with two slots made of files, and signed bundles for it. */
#pragma once

#include "../../cli/image_bundle.h"

#include <openssl/evp.h>

#define HELP_BOOT_SIZE 300000u
#define HELP_ROOT_SIZE 2500000u

struct image_kit {
	char folder[40];
	struct image_places places; /* slot a is booted */
	const char *folders[2];     /* of public keys */
	const char *bundle;         /* signed, version 2 */
	EVP_PKEY *key;
	struct arena *arena;
};

void image_kit_make(struct image_kit *kit);
void image_kit_free(struct image_kit *kit);
/* Everything as made: slot a holds something, slot b nothing. */
void image_kit_reset(struct image_kit *kit);
/* The slot holds what the bundle does. */
bool image_kit_holds_bundle(const struct image_kit *kit, enum slot slot);
/* Slot a is as image_kit_reset left it. */
bool image_kit_has_old(const struct image_kit *kit);
void image_kit_read_state(const struct image_kit *kit, struct boot_state *ret_state);
/* Write a file below the folder. */
void image_kit_write(const struct image_kit *kit, const char *name, const void *data, size_t size);
/* Write a bundle with this manifest (NULL: the right one), signed by key (NULL: not at all). */
void image_kit_bundle(struct image_kit *kit, const char *name, const char *manifest, EVP_PKEY *key);
/* A public key as NAME.pem into the folder of keys. */
void image_kit_key(const struct image_kit *kit, const char *name, EVP_PKEY *key);
