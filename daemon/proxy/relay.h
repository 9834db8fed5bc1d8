/* Relay: moves bytes between the two sockets of a connection, one direction at
 * a time, until a socket has nothing more, takes nothing more, or the turn is
 * over. Small amounts are copied through one shared buffer; bulk is spliced
 * through a borrowed pipe.
 *
 * Sockets are edge-triggered: SIDE_READABLE is set by an event and cleared only
 * when a read proved the socket empty; SIDE_BLOCKED is set when a write found it
 * full and cleared by an event. */
#pragma once

#include "header.h"
#include "pipe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum side_state {
	SIDE_READABLE = 1 << 0, /* there may be something to read */
	SIDE_BLOCKED = 1 << 1,  /* the socket is full */
	SIDE_HANGUP = 1 << 2,   /* the end of the stream is in the receive queue */
	SIDE_DOUBT = 1 << 3,    /* a short read does not prove that the socket is empty: urgent data, an error */
	SIDE_END = 1 << 4,      /* the end of the stream has been read */
	SIDE_RESET = 1 << 5,    /* the peer is gone: with SIDE_END, the stream was cut */
	SIDE_SHUT = 1 << 6,     /* nothing more is written to this side */
	SIDE_BULK = 1 << 7,     /* it sends much: worth a pipe */
	SIDE_LAZY = 1 << 8,     /* TCP_NODELAY is still to be set, before the second write */
};

struct side {
	int fd;
	uint32_t state;
	uint64_t bytes; /* read from here and passed on */
	/* Read from here, not yet taken by the other side; at most one of the two holds something. */
	struct pipe *pipe;
	struct leftover *left;
};

#define RELAY_COPY 16384u /* bytes of one read into the shared buffer: bounds what a full socket leaves over */

struct relay {
	struct pipe_pool pipes;
	size_t held, held_most;  /* bytes in leftovers of all connections */
	bool moved;              /* set when a byte has moved */
	uint8_t buffer[HEADER_MAX + RELAY_COPY];
};

enum relay_result {
	RELAY_WAIT,  /* an event has to come first */
	RELAY_AGAIN, /* the turn is over, there is more to do */
	RELAY_END,   /* all has been passed on, the end of the stream included */
	RELAY_CUT,   /* all that was there has been passed on; from's peer is gone */
};

/* Move what can be moved from one side to the other. */
enum relay_result relay_pump(struct relay *relay, struct side *from, struct side *to);
/* The first write to a side that has just been connected: the header and what
 * the other side has sent already, in one segment. 0, or -errno when not even
 * the header could be written. */
int relay_open(struct relay *relay, struct side *from, struct side *to, const uint8_t *header, size_t header_length);
/* Free what is in flight from this side. */
void relay_drop(struct relay *relay, struct side *from);
