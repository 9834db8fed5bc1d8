/* A content hash for sets that tests make: SHA-256 over family, first and last
 * of each range. (A blocklist's is that of its file.) */
#pragma once

#include "../../rules/base/addr.h"

#include <openssl/evp.h>
#include <string.h>

static inline void hash_ranges(const struct addr_range *ranges, size_t count, uint8_t ret_hash[static 32])
{
	enum { RECORD = 33, BATCH = 128 };
	uint8_t buffer[RECORD * BATCH];
	uint8_t hash[32] = {0};
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
	size_t used = 0;
	for (size_t i = 0; good && i < count; i++) {
		buffer[used] = (uint8_t)ranges[i].first.family;
		memcpy(buffer + used + 1, ranges[i].first.bytes, 16);
		memcpy(buffer + used + 17, ranges[i].last.bytes, 16);
		used += RECORD;
		if (used == sizeof(buffer) || i + 1 == count) {
			good = EVP_DigestUpdate(context, buffer, used) == 1;
			used = 0;
		}
	}
	if (!good || EVP_DigestFinal_ex(context, hash, NULL) != 1)
		memset(hash, 0, sizeof(hash));
	EVP_MD_CTX_free(context);
	memcpy(ret_hash, hash, sizeof(hash));
}
