/* Checks signatures with the public keys of a machine. Only Ed25519 ones count,
 * whatever else lies in the folders; each file holds one. OpenSSL does the
 * arithmetic. */
#include "image_keys.h"

#include "../rules/base/arena.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* NULL: no public key that we take. The caller's. */
static EVP_PKEY *read_key(const char *path)
{
	FILE *file = fopen(path, "re");
	EVP_PKEY *key = file ? PEM_read_PUBKEY(file, NULL, NULL, NULL) : NULL;
	if (file)
		fclose(file);
	ERR_clear_error();
	if (key && EVP_PKEY_is_a(key, "ED25519") == 1)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static bool has_signed(EVP_PKEY *key, const void *data, size_t size, const unsigned char *signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestVerify(context, signature, IMAGE_SIGNATURE_SIZE, data, size) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return good;
}

int image_keys_verify(struct arena *arena, const char *const *folders, const void *data, size_t size,
		      const unsigned char signature[IMAGE_SIGNATURE_SIZE], const char **ret_key)
{
	int r = -ENOKEY;
	for (; *folders && r != 0; folders++) {
		DIR *folder = opendir(*folders);
		struct dirent *entry;
		while (folder && r != 0 && (entry = readdir(folder))) {
			size_t length = strlen(entry->d_name);
			if (length < 5 || strcmp(entry->d_name + length - 4, ".pem") != 0)
				continue;
			const char *path = arena_printf(arena, "%s/%s", *folders, entry->d_name);
			EVP_PKEY *key = path ? read_key(path) : NULL;
			if (key)
				r = has_signed(key, data, size, signature) ? 0 : -EKEYREJECTED;
			if (r == 0)
				*ret_key = path;
			EVP_PKEY_free(key);
		}
		if (folder)
			closedir(folder);
	}
	return r;
}
