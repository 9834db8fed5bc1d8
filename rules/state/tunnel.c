/* The tunnels' own operations: look-ups, order, equality, fingerprints. Pure;
 * it never sees a private key. */
#include "tunnel.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

const char *const tunnel_backend_names[] = {"none", "kernel", "userspace"};
_Static_assert(sizeof(tunnel_backend_names) / sizeof(tunnel_backend_names[0]) == TUNNEL_BACKEND_USERSPACE + 1,
	       "a name for each backend");

const struct tunnel_state *tunnel_find(const struct tunnel_list *list, const char *name)
{
	for (size_t i = 0; list && i < list->count; i++) {
		if (strcmp(list->items[i].name, name) == 0)
			return &list->items[i];
	}
	return NULL;
}

const struct tunnel_peer *tunnel_find_peer(const struct tunnel_state *tunnel, const uint8_t public_key[TUNNEL_KEY_SIZE])
{
	struct tunnel_peer key = {0};
	memcpy(key.public_key, public_key, TUNNEL_KEY_SIZE);
	if (tunnel->peer_count == 0)
		return NULL;
	return bsearch(&key, tunnel->peers, tunnel->peer_count, sizeof(key), tunnel_compare_peers);
}

bool tunnel_key_is_zero(const uint8_t key[TUNNEL_KEY_SIZE])
{
	static const uint8_t none[TUNNEL_KEY_SIZE];
	return memcmp(key, none, TUNNEL_KEY_SIZE) == 0;
}

void tunnel_fingerprint(const uint8_t preshared[TUNNEL_KEY_SIZE], uint8_t ret_fingerprint[TUNNEL_KEY_SIZE])
{
	static const char label[] = "edged preshared key";
	uint8_t hash[TUNNEL_KEY_SIZE] = {0};
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(context, label, sizeof(label)) != 1 ||
	    EVP_DigestUpdate(context, preshared, TUNNEL_KEY_SIZE) != 1 || EVP_DigestFinal_ex(context, hash, NULL) != 1)
		memset(hash, 0, sizeof(hash));
	EVP_MD_CTX_free(context); /* wipes what it held */
	memcpy(ret_fingerprint, hash, sizeof(hash));
}

int tunnel_compare_prefixes(const void *a, const void *b)
{
	const struct prefix *left = a, *right = b;
	int order = addr_compare(&left->addr, &right->addr);
	return order ? order : (int)left->length - (int)right->length;
}

int tunnel_compare_peers(const void *a, const void *b)
{
	return memcmp(((const struct tunnel_peer *)a)->public_key, ((const struct tunnel_peer *)b)->public_key,
		      TUNNEL_KEY_SIZE);
}

int tunnel_compare(const void *a, const void *b)
{
	return strcmp(((const struct tunnel_state *)a)->name, ((const struct tunnel_state *)b)->name);
}

bool tunnel_prefixes_equal(const struct prefix *a, size_t count_a, const struct prefix *b, size_t count_b)
{
	if (count_a != count_b)
		return false;
	for (size_t i = 0; i < count_a; i++) {
		if (tunnel_compare_prefixes(&a[i], &b[i]) != 0)
			return false;
	}
	return true;
}
