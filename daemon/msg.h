/* Messages between main and the other roles, over a SOCK_SEQPACKET pair that
 * each role finds as file descriptor 3 (MSG_FD).
 *
 * A message is a type, an id that an answer repeats, a payload of at most
 * MSG_INLINE_MAX bytes of wire fields, and up to MSG_FDS_MAX descriptors. A
 * larger body travels as a sealed memfd among them. Whatever arrives from
 * another role is treated as hostile. */
#pragma once

#include "wire.h"

#include <stdint.h>

#define MSG_FD 3
#define MSG_INLINE_MAX 32768
#define MSG_FDS_MAX 8
#define MSG_BODY_MAX (64u << 20)

enum msg_type {
	/* main -> any role */
	MSG_STOP = 1, /* finish and exit; proxy workers: stop accepting, serve what is open, exit when it is gone */
	/* any role -> main */
	MSG_READY, /* set up; privileges are dropped */
	MSG_LOG,   /* priority u32 (syslog's), text: logged by main, rate-bounded */
	/* main -> proxy */
	MSG_PROXY_CONFIG,   /* body: proxy_config; fds: memfd */
	MSG_PROXY_LISTENER, /* listener id u32; fds: a bound, listening socket */
	MSG_PROXY_QUERY,    /* what u32: 0 counters, 1 connections; answered with the same id */
	/* proxy -> main */
	MSG_PROXY_APPLIED, /* answers MSG_PROXY_CONFIG; generation u32: what is in force (an older one: it was refused)
			    */
	MSG_PROXY_ANSWER,  /* fds: memfd with the body */
	MSG_PROXY_OPENED,  /* a report of one connection that its forward wants logged */
	MSG_PROXY_HEALTH,  /* node text, port u32, up u32, why text */
	/* api -> main */
	MSG_API_REQUEST, /* may_write u32, user text, method text, target text (path?query); fds: memfd with the body,
			    if any */
	/* main -> api */
	MSG_API_ANSWER,   /* status u32, content type text; fds: memfd with the body */
	MSG_API_LISTENER, /* kind u32: 0 local socket, 1 TLS, 2 metrics over TCP; fds: listening socket */
	MSG_API_TLS,      /* fds: certificate, key, client CA, opened for reading; writers count u32 and texts, readers
			     likewise */
	/* main -> watch, and back */
	MSG_WATCH_RESOLVE,  /* name text */
	MSG_WATCH_RESOLVED, /* name text, address addr (FAMILY_NONE: none), why text */
	MSG_TYPES
};

struct msg {
	enum msg_type type;
	uint32_t id;
	const void *payload; /* of a received message: valid until the next msg_receive on this buffer */
	size_t length;
	int fds[MSG_FDS_MAX]; /* of a received message: owned by the receiver */
	size_t fd_count;
	int sender; /* of a received message: the process, where the socket asks for it (SO_PASSCRED); else 0 */
};

struct msg_buffer {
	_Alignas(8) uint8_t data[MSG_INLINE_MAX + 16];
};

/* Send; fds stay the caller's. 0, -EAGAIN (the peer does not read), or -errno.
 * Never raises SIGPIPE. */
int msg_send(int socket, enum msg_type type, uint32_t id, const struct wire_writer *payload, const int *fds,
	     size_t fd_count);
/* Receive one message. 1, 0 at the end of the connection, -EAGAIN, -EBADMSG (too
 * long, cut off, unknown type: the peer is broken), or -errno. Descriptors are
 * close-on-exec. */
int msg_receive(int socket, struct msg_buffer *buffer, struct msg *ret_msg);
void msg_close_fds(struct msg *msg);
/* A sealed memfd that holds data; the caller closes it. Descriptor or -errno. */
int msg_body_new(const void *data, size_t length);
/* Map a body that another role sent: it must be a memfd, sealed against writing
 * and shrinking, of at most MSG_BODY_MAX bytes. *ret_data is NULL for an empty
 * one; unmap with munmap. 0 or -errno (-EBADMSG: not such a memfd). */
int msg_body_map(int fd, const void **ret_data, size_t *ret_length);
