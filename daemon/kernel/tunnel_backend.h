/* What both backends (the kernel's WireGuard and wireguard-go) are asked to
 * do. Internal to daemon/kernel. */
#pragma once

#include "tunnel.h"

struct peer_change {
	const struct tunnel_peer *peer;
	bool remove;
	bool is_new;
	bool set_preshared, set_keepalive, set_endpoint, set_allowed;
	uint8_t preshared[TUNNEL_KEY_SIZE]; /* zeros take it away */
};

/* All that changes in one device, in one request. Holds keys: wiped by who made it. */
struct tunnel_change {
	const char *device;
	bool set_device;
	uint8_t private_key[TUNNEL_KEY_SIZE];
	uint16_t listen;
	struct peer_change *peers;
	size_t count;
};

#define TUNNEL_PEERS_MOST 65536u
#define TUNNEL_ALLOWED_MOST 1000000u

/* The public key that belongs to a private one (X25519, RFC 7748). 0 or -ENOMEM. */
int tunnel_public_key(const uint8_t private_key[TUNNEL_KEY_SIZE], uint8_t ret_public[TUNNEL_KEY_SIZE]);

/* tunnel_wireguard.c: the kernel's. In the calling thread's network namespace. 0 or -errno. */
int wireguard_get(const char *device, struct arena *arena, struct tunnel_state *ret_tunnel);
int wireguard_set(const struct tunnel_change *change);

/* tunnel_userspace.c: wireguard-go's processes. -ENOTCONN: nobody listens on the device's socket. */
int userspace_get(const char *device, struct arena *arena, struct tunnel_state *ret_tunnel);
int userspace_set(const struct tunnel_change *change);
/* Start one for a device that is not there, and wait (a bounded time) until it answers. -ENOENT: not installed. */
int userspace_start(const char *device);
/* End the one that has this device, and wait (a bounded time) until it is gone. */
int userspace_stop(const char *device);
