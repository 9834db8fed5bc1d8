/* Tunnels as part of the state: WireGuard devices with their addresses, routes
 * and peers, desired or observed. No secret ever stands here: a private key is
 * known by the public key that belongs to it, a preshared key by a fingerprint,
 * and both are loaded from their files by main alone, at the commit.
 *
 * Lists are sorted: tunnels by name, peers by public key, prefixes by address,
 * then length. */
#pragma once

#include "../base/addr.h"
#include "../base/arena.h"
#include "../base/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TUNNEL_KEY_SIZE 32
/* What wg-quick takes on a path of 1500 bytes: IPv6, UDP and WireGuard's own head make 80. */
#define TUNNEL_DEFAULT_MTU 1420

enum tunnel_backend { TUNNEL_BACKEND_NONE, TUNNEL_BACKEND_KERNEL, TUNNEL_BACKEND_USERSPACE };
extern const char *const tunnel_backend_names[]; /* "none", "kernel", "userspace" */

struct tunnel_peer {
	const char *name; /* desired: the model's; NULL in observed; not compared */
	uint8_t public_key[TUNNEL_KEY_SIZE];
	uint8_t preshared[TUNNEL_KEY_SIZE]; /* fingerprint of the preshared key; zeros: none */
	uint16_t keepalive;                 /* seconds; 0: off */
	/* Where it is. FAMILY_NONE in desired: whatever it is. A peer that roamed keeps the address it has; the desired one
	 * is written to a peer that has none, when the desired one itself changed, and with endpoint_back. */
	struct addr endpoint;
	uint16_t endpoint_port;
	bool endpoint_back; /* desired: the peer is dead, so look for it where the configuration says */
	const struct prefix *allowed;
	size_t allowed_count;
	struct origin at;
	/* Observed, not compared. */
	uint64_t handshake; /* seconds since the epoch; 0: none yet */
	uint64_t received, sent;
};

struct tunnel_state {
	const char *name; /* of the device too */
	uint16_t listen;
	uint32_t mtu;
	bool up;
	uint8_t public_key[TUNNEL_KEY_SIZE]; /* of our own private key; zeros: none yet */
	const struct prefix *addresses;      /* own ones: host bits, and the network's length */
	size_t address_count;
	const struct prefix *routes; /* through this device, ours; what an own network covers needs none */
	size_t route_count;
	const struct tunnel_peer *peers;
	size_t peer_count;
	struct origin at;
	/* Observed, not compared. */
	enum tunnel_backend backend;
	uint32_t index; /* of the device */
	bool foreign;   /* the device is somebody else's: it is not touched, unless it has our key */
	bool broken;    /* the device is there, but what drives it does not answer: it is made anew */
};

struct tunnel_list {
	struct arena *arena; /* of the list itself too; NULL: somebody else's */
	const struct tunnel_state *items;
	size_t count;
};

const struct tunnel_state *tunnel_find(const struct tunnel_list *list, const char *name);
const struct tunnel_peer *tunnel_find_peer(const struct tunnel_state *tunnel, const uint8_t public_key[TUNNEL_KEY_SIZE]);
bool tunnel_key_is_zero(const uint8_t key[TUNNEL_KEY_SIZE]);
/* What stands for a preshared key in a state: SHA-256 of a label and the key. Out of memory gives zeros. */
void tunnel_fingerprint(const uint8_t preshared[TUNNEL_KEY_SIZE], uint8_t ret_fingerprint[TUNNEL_KEY_SIZE]);
/* By address, then length. */
int tunnel_compare_prefixes(const void *a, const void *b);
int tunnel_compare_peers(const void *a, const void *b);
int tunnel_compare(const void *a, const void *b);
bool tunnel_prefixes_equal(const struct prefix *a, size_t count_a, const struct prefix *b, size_t count_b);
