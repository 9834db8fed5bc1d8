/* The kernel's WireGuard, through the embeddable library of wireguard-tools:
 * the one file that includes it. What the library lacks is put around it here:
 * its memory is wiped when it is freed, its answers are waited for a bounded
 * time and read a bounded number of times. Its messages are not atomic: the
 * engine reads the device again after every change. */
#include "tunnel_backend.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define ANSWER_SECONDS 5
#define READS_MOST 20000 /* parts of an answer; once interrupted, the library asks again for ever */

static unsigned reads_left;

/* Its buffers have held keys. */
static void free_wiped(void *memory)
{
	if (memory)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

static int socket_bounded(int domain, int type, int protocol)
{
	struct timeval wait = {.tv_sec = ANSWER_SECONDS};
	int fd = socket(domain, type, protocol);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

static ssize_t recvmsg_bounded(int fd, struct msghdr *message, int flags)
{
	if (reads_left == 0) {
		errno = ETIMEDOUT;
		return -1;
	}
	reads_left--;
	return recvmsg(fd, message, flags);
}

#define free free_wiped
#define socket socket_bounded
#define recvmsg recvmsg_bounded
#include <wireguard.c>
#undef free
#undef socket
#undef recvmsg

int tunnel_public_key(const uint8_t private_key[TUNNEL_KEY_SIZE], uint8_t ret_public[TUNNEL_KEY_SIZE])
{
	size_t length = TUNNEL_KEY_SIZE;
	uint8_t made[TUNNEL_KEY_SIZE];
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, TUNNEL_KEY_SIZE);
	bool good = key && EVP_PKEY_get_raw_public_key(key, made, &length) == 1 && length == TUNNEL_KEY_SIZE;
	EVP_PKEY_free(key); /* wipes the private part */
	if (!good)
		return -ENOMEM;
	memcpy(ret_public, made, sizeof(made));
	return 0;
}

static struct addr addr_of(uint16_t family, const void *ip4, const void *ip6)
{
	struct addr addr = {0};
	if (family == AF_INET) {
		addr.family = FAMILY_V4;
		memcpy(addr.bytes, ip4, 4);
	} else if (family == AF_INET6) {
		addr.family = FAMILY_V6;
		memcpy(addr.bytes, ip6, 16);
	}
	return addr;
}

static int read_allowed(const wg_peer *from, struct arena *arena, struct tunnel_peer *peer)
{
	const wg_allowedip *item;
	size_t count = 0;
	wg_for_each_allowedip(from, item)
		count++;
	struct prefix *allowed = arena_array(arena, count + 1, struct prefix);
	if (!allowed)
		return -ENOMEM;
	count = 0;
	wg_for_each_allowedip(from, item)
		allowed[count++] = (struct prefix){.addr = addr_of(item->family, &item->ip4, &item->ip6),
						   .length = item->cidr};
	qsort(allowed, count, sizeof(*allowed), tunnel_compare_prefixes);
	peer->allowed = allowed;
	peer->allowed_count = count;
	return 0;
}

static int read_peer(const wg_peer *from, struct arena *arena, struct tunnel_peer *peer)
{
	memcpy(peer->public_key, from->public_key, TUNNEL_KEY_SIZE);
	if (from->flags & WGPEER_HAS_PRESHARED_KEY)
		tunnel_fingerprint(from->preshared_key, peer->preshared);
	peer->keepalive = from->persistent_keepalive_interval;
	peer->endpoint = addr_of(from->endpoint.addr.sa_family, &from->endpoint.addr4.sin_addr,
				 &from->endpoint.addr6.sin6_addr);
	/* The port stands at the same place in both. */
	if (peer->endpoint.family != FAMILY_NONE)
		peer->endpoint_port = ntohs(from->endpoint.addr4.sin_port);
	peer->handshake = from->last_handshake_time.tv_sec > 0 ? (uint64_t)from->last_handshake_time.tv_sec : 0;
	peer->received = from->rx_bytes;
	peer->sent = from->tx_bytes;
	return read_allowed(from, arena, peer);
}

int wireguard_get(const char *device, struct arena *arena, struct tunnel_state *ret_tunnel)
{
	wg_device *found = NULL;
	const wg_peer *item;
	size_t count = 0;
	reads_left = READS_MOST;
	int r = wg_get_device(&found, device);
	if (r < 0)
		return r;
	wg_for_each_peer(found, item)
		count++;
	struct tunnel_peer *peers = arena_array(arena, count + 1, struct tunnel_peer);
	r = peers ? 0 : -ENOMEM;
	count = 0;
	for (item = found->first_peer; r == 0 && item; item = item->next_peer)
		r = read_peer(item, arena, &peers[count++]);
	if (r == 0) {
		qsort(peers, count, sizeof(*peers), tunnel_compare_peers);
		ret_tunnel->listen = found->listen_port;
		if (found->flags & WGDEVICE_HAS_PUBLIC_KEY)
			memcpy(ret_tunnel->public_key, found->public_key, TUNNEL_KEY_SIZE);
		ret_tunnel->peers = peers;
		ret_tunnel->peer_count = count;
	}
	wg_free_device(found);
	return r;
}

static int write_allowed(const struct tunnel_peer *from, wg_peer *peer)
{
	peer->flags |= WGPEER_REPLACE_ALLOWEDIPS;
	for (size_t i = 0; i < from->allowed_count; i++) {
		wg_allowedip *item = calloc(1, sizeof(*item));
		if (!item)
			return -ENOMEM;
		item->family = from->allowed[i].addr.family == FAMILY_V4 ? AF_INET : AF_INET6;
		item->cidr = from->allowed[i].length;
		memcpy(&item->ip6, from->allowed[i].addr.bytes, addr_size(from->allowed[i].addr.family));
		if (peer->last_allowedip)
			peer->last_allowedip->next_allowedip = item;
		else
			peer->first_allowedip = item;
		peer->last_allowedip = item;
	}
	return 0;
}

static int write_peer(const struct peer_change *change, wg_peer *peer)
{
	const struct tunnel_peer *from = change->peer;
	peer->flags = WGPEER_HAS_PUBLIC_KEY;
	memcpy(peer->public_key, from->public_key, TUNNEL_KEY_SIZE);
	if (change->remove) {
		peer->flags |= WGPEER_REMOVE_ME;
		return 0;
	}
	if (change->set_preshared) {
		peer->flags |= WGPEER_HAS_PRESHARED_KEY;
		memcpy(peer->preshared_key, change->preshared, TUNNEL_KEY_SIZE);
	}
	if (change->set_keepalive) {
		peer->flags |= WGPEER_HAS_PERSISTENT_KEEPALIVE_INTERVAL;
		peer->persistent_keepalive_interval = from->keepalive;
	}
	if (change->set_endpoint && from->endpoint.family == FAMILY_V4) {
		peer->endpoint.addr4.sin_family = AF_INET;
		peer->endpoint.addr4.sin_port = htons(from->endpoint_port);
		memcpy(&peer->endpoint.addr4.sin_addr, from->endpoint.bytes, 4);
	} else if (change->set_endpoint) {
		peer->endpoint.addr6.sin6_family = AF_INET6;
		peer->endpoint.addr6.sin6_port = htons(from->endpoint_port);
		memcpy(&peer->endpoint.addr6.sin6_addr, from->endpoint.bytes, 16);
	}
	return change->set_allowed ? write_allowed(from, peer) : 0;
}

int wireguard_set(const struct tunnel_change *change)
{
	wg_device *device = calloc(1, sizeof(*device));
	int r = device && strlen(change->device) < sizeof(device->name) ? 0 : -ENOMEM;
	if (r == 0)
		memcpy(device->name, change->device, strlen(change->device));
	if (r == 0 && change->set_device) {
		device->flags = WGDEVICE_HAS_PRIVATE_KEY | WGDEVICE_HAS_LISTEN_PORT;
		memcpy(device->private_key, change->private_key, TUNNEL_KEY_SIZE);
		device->listen_port = change->listen;
	}
	for (size_t i = 0; r == 0 && i < change->count; i++) {
		wg_peer *peer = calloc(1, sizeof(*peer));
		if (!peer) {
			r = -ENOMEM;
			break;
		}
		if (device->last_peer)
			device->last_peer->next_peer = peer;
		else
			device->first_peer = peer;
		device->last_peer = peer;
		r = write_peer(&change->peers[i], peer);
	}
	reads_left = READS_MOST;
	if (r == 0)
		r = wg_set_device(device);
	wg_free_device(device);
	return r;
}
