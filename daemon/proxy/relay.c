/* Reads and writes of established connections: the copying path, the splicing
 * path, half-close and the end of streams. Never closes a socket; knows nothing
 * of forwards and events. */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TURN (1u << 20)          /* bytes that one direction moves before others have their turn */
#define BULK_MIN (RELAY_COPY / 2) /* a pipe that brings less goes back */

enum step { STEP_MOVED, STEP_BLOCKED, STEP_EMPTY };

/* A write failed: what the peer sent before it went may still be read. */
static void peer_gone(struct side *side)
{
	side->state |= SIDE_RESET | SIDE_READABLE;
	side->state &= ~(uint32_t)SIDE_BLOCKED;
}

/* Bytes of this side are lost, or there will be none: the other end must see a cut stream, never a gap. */
static void cut(struct side *side)
{
	side->state |= SIDE_RESET | SIDE_END;
	side->state &= ~(uint32_t)SIDE_READABLE;
}

/* What a read of `got` bytes, of at most `asked`, says about the side. True when it brought something. */
static bool note_read(struct side *from, ssize_t got, size_t asked)
{
	if (got > 0) {
		if ((size_t)got < asked && !(from->state & SIDE_DOUBT)) {
			from->state &= ~(uint32_t)SIDE_READABLE;
			/* The event that brought HANGUP came after all data: a short read saw the last of it. */
			if (from->state & SIDE_HANGUP)
				from->state |= SIDE_END;
		}
		return true;
	}
	if (got == 0) {
		from->state |= SIDE_END;
	} else if (errno == EAGAIN) {
		from->state &= ~(uint32_t)(SIDE_READABLE | SIDE_DOUBT);
		if (from->state & SIDE_RESET)
			from->state |= SIDE_END;
	} else if (errno != EINTR) {
		cut(from);
	}
	return false;
}

/* Bytes written, 0 when the socket is full or gone (the side's state says which). */
static size_t note_write(struct side *to, ssize_t put)
{
	if (put >= 0)
		return (size_t)put;
	if (errno == EAGAIN)
		to->state |= SIDE_BLOCKED;
	else if (errno != EINTR)
		peer_gone(to);
	return 0;
}

static void undelay(struct side *to)
{
	if (!(to->state & SIDE_LAZY))
		return;
	to->state &= ~(uint32_t)SIDE_LAZY;
	(void)setsockopt(to->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

/* When the stream ends behind these bytes, let the FIN travel in their segment. */
static int write_flags(const struct side *from)
{
	bool last = (from->state & (SIDE_END | SIDE_RESET)) == SIDE_END;
	return MSG_NOSIGNAL | (last ? MSG_MORE : 0);
}

/* Keep what a full socket did not take. */
static bool keep(struct relay *relay, struct side *from, const uint8_t *data, size_t length)
{
	struct leftover *left = malloc(sizeof(*left) + length);
	if (!left)
		return false;
	left->at = 0;
	left->length = (uint32_t)length;
	memcpy(left->data, data, length);
	from->left = left;
	relay->held += length;
	return true;
}

static void drop_left(struct relay *relay, struct side *from)
{
	if (!from->left)
		return;
	relay->held -= from->left->length;
	free(from->left);
	from->left = NULL;
}

void relay_drop(struct relay *relay, struct side *from)
{
	drop_left(relay, from);
	pipe_return(&relay->pipes, &from->pipe);
}

/* No memory may be held for this direction: look first, take out only what the other side took. */
static enum step copy_peeked(struct relay *relay, struct side *from, struct side *to)
{
	ssize_t got = recv(from->fd, relay->buffer, RELAY_COPY, MSG_PEEK);
	if (!note_read(from, got, 0))
		return STEP_EMPTY;
	size_t put = note_write(to, send(to->fd, relay->buffer, (size_t)got, MSG_NOSIGNAL));
	if (put && recv(from->fd, NULL, put, MSG_TRUNC) != (ssize_t)put)
		cut(from);
	from->bytes += put;
	relay->moved |= put > 0;
	return put == (size_t)got ? STEP_MOVED : STEP_BLOCKED;
}

static enum step copy(struct relay *relay, struct side *from, struct side *to)
{
	undelay(to);
	if (relay->held + RELAY_COPY > relay->held_most)
		return copy_peeked(relay, from, to);
	ssize_t got = recv(from->fd, relay->buffer, RELAY_COPY, 0);
	if (!note_read(from, got, RELAY_COPY))
		return STEP_EMPTY;
	if (got == RELAY_COPY)
		from->state |= SIDE_BULK;
	size_t put = note_write(to, send(to->fd, relay->buffer, (size_t)got, write_flags(from)));
	from->bytes += (size_t)got;
	relay->moved = true;
	if (put == (size_t)got)
		return STEP_MOVED;
	if (!(to->state & SIDE_RESET) && !keep(relay, from, relay->buffer + put, (size_t)got - put))
		cut(from);
	return STEP_BLOCKED;
}

static enum step splice_in(struct relay *relay, struct side *from)
{
	ssize_t got = splice(from->fd, NULL, from->pipe->write_end, NULL, PIPE_BYTES, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	/* A short splice proves nothing: the pipe's slots may be full before its bytes are. */
	if (!note_read(from, got, 0)) {
		from->state &= ~(uint32_t)SIDE_BULK;
		return STEP_EMPTY;
	}
	from->pipe->bytes += (uint32_t)got;
	from->bytes += (size_t)got;
	relay->moved = true;
	if (got < (ssize_t)BULK_MIN)
		from->state &= ~(uint32_t)SIDE_BULK;
	return STEP_MOVED;
}

/* Write what is in flight. */
static enum step flush(struct relay *relay, struct side *from, struct side *to)
{
	undelay(to);
	size_t put;
	if (from->left) {
		struct leftover *left = from->left;
		put = note_write(to, send(to->fd, left->data + left->at, left->length - left->at, write_flags(from)));
		left->at += (uint32_t)put;
		if (left->at == left->length)
			drop_left(relay, from);
	} else {
		put = note_write(to, splice(from->pipe->read_end, NULL, to->fd, NULL, from->pipe->bytes,
					    SPLICE_F_NONBLOCK | SPLICE_F_MOVE));
		from->pipe->bytes -= (uint32_t)put;
	}
	relay->moved |= put > 0;
	return put ? STEP_MOVED : STEP_BLOCKED;
}

static bool in_flight(const struct side *from)
{
	return from->left || (from->pipe && from->pipe->bytes);
}

static enum relay_result finish(struct side *from, struct side *to)
{
	if (from->state & SIDE_RESET)
		return RELAY_CUT;
	/* Where this was the last thing to be done, closing the sockets says it as well. */
	bool last = (to->state & SIDE_END) && !in_flight(to);
	if (!(to->state & SIDE_SHUT) && !last) {
		to->state |= SIDE_SHUT;
		(void)shutdown(to->fd, SHUT_WR);
	}
	return RELAY_END;
}

static enum relay_result pump(struct relay *relay, struct side *from, struct side *to)
{
	uint64_t start = from->bytes;
	for (;;) {
		if (to->state & SIDE_RESET) {
			relay_drop(relay, from);
			return RELAY_WAIT;
		}
		if (to->state & SIDE_BLOCKED)
			return RELAY_WAIT;
		if (in_flight(from)) {
			(void)flush(relay, from, to);
			continue;
		}
		if (from->state & SIDE_END)
			return finish(from, to);
		if (!(from->state & SIDE_READABLE))
			return RELAY_WAIT;
		if (from->bytes - start >= TURN)
			return RELAY_AGAIN;
		if ((from->state & (SIDE_BULK | SIDE_DOUBT)) == SIDE_BULK &&
		    (from->pipe || (from->pipe = pipe_borrow(&relay->pipes))))
			(void)splice_in(relay, from);
		else
			(void)copy(relay, from, to);
	}
}

enum relay_result relay_pump(struct relay *relay, struct side *from, struct side *to)
{
	enum relay_result result = pump(relay, from, to);
	if (from->pipe && !from->pipe->bytes)
		pipe_return(&relay->pipes, &from->pipe);
	return result;
}

int relay_open(struct relay *relay, struct side *from, struct side *to, const uint8_t *header, size_t header_length)
{
	uint8_t *start = relay->buffer + HEADER_MAX - header_length, *data = relay->buffer + HEADER_MAX;
	memcpy(start, header, header_length);
	ssize_t got = recv(from->fd, data, RELAY_COPY, 0);
	size_t length = note_read(from, got, RELAY_COPY) ? (size_t)got : 0;
	if (from->state & SIDE_RESET)
		return -ECONNRESET;
	if (!header_length && !length)
		return 0;
	size_t total = header_length + length;
	size_t put = note_write(to, send(to->fd, start, total, write_flags(from)));
	if (to->state & SIDE_RESET)
		return -EPIPE;
	from->bytes += length;
	relay->moved = true;
	if (put < total && !keep(relay, from, start + put, total - put))
		return -ENOMEM;
	return 0;
}
