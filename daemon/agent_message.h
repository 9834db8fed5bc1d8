/* What edged and the node agent say to each other about new keys: datagrams of
 * one size, inside the tunnel, so that WireGuard itself says who speaks. Pure.
 *
 * Who speaks is the machine at the tunnel's other end, and on it somebody with
 * the right to a port below 1024: both ends use AGENT_PORT, send with a hop limit
 * of 255 and take nothing that has less, as anything that was forwarded has (RFC
 * 5082). No private key is ever in one; a preshared key is in an offer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_PORT 851
#define AGENT_HOPS 255
#define AGENT_MESSAGE_SIZE 88

enum agent_verb {
	AGENT_OFFER = 1, /* edged: my next public key and port, a preshared key if there is one; what is yours? */
	AGENT_ACCEPT,    /* agent: my next public key and port (0: any) */
	AGENT_READY,     /* edged: your next key is known here: bring your next device up */
	AGENT_UP,        /* agent: it is up */
	AGENT_MOVE,      /* edged: my packets take the next devices; send yours there */
	AGENT_MOVED,     /* agent: they do */
	AGENT_DONE,      /* edged: the old device is gone here, remove yours */
	AGENT_GONE,      /* agent: it is gone */
	AGENT_WAIT,      /* agent: my clock is not right yet, I make no keys */
};

struct agent_message {
	enum agent_verb verb;
	uint64_t id; /* of the rotation */
	uint16_t port;
	bool has_preshared;
	uint8_t public_key[32];
	uint8_t preshared[32]; /* a secret: whoever has the message wipes it */
};

void agent_message_write(const struct agent_message *message, uint8_t ret_bytes[AGENT_MESSAGE_SIZE]);
/* 0, or -EBADMSG for anything that agent_message_write does not make. */
int agent_message_read(const uint8_t *bytes, size_t length, struct agent_message *ret_message);

struct addr;
/* A socket for them, of the family of local, bound to it and to device (NULL: to none); hop limit set, and told of what
 * comes. Descriptor or -errno. */
int agent_socket(const struct addr *local, const char *device);
/* The next message that is right: -EAGAIN, when there is none. *ret_index: the device that it came by; *ret_from: who sent
 * it. What is not right is read and forgotten, a bounded number at a time. */
int agent_receive(int fd, struct agent_message *ret_message, struct addr *ret_from, unsigned *ret_index);
int agent_send(int fd, const struct addr *to, const struct agent_message *message);
