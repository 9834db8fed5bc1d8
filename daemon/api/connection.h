/* One HTTP connection: shared by clients.c (the pool), connection.c (its
 * states) and reply.c (what it is told), and by nothing else. */
#pragma once

#include "clients.h"
#include "http.h"
#include "spool.h"

#include <event2/bufferevent.h>
#include <sys/queue.h>

enum connection_state {
	STATE_HANDSHAKE, /* TLS */
	STATE_HEAD,      /* waits for a request, or in the middle of its head */
	STATE_BODY,
	STATE_WAITING,   /* for main */
	STATE_SENDING,
	STATE_LINGER,    /* the last answer is out: what still arrives is thrown away, so that it is read */
};

struct connection {
	LIST_ENTRY(connection) link;
	struct clients *clients;
	enum client_kind kind;
	enum connection_state state;
	struct identity identity;
	struct bufferevent *stream;
	struct event *timer;
	uint64_t since;     /* ms: when this state, or this head, began */
	size_t moved;       /* BODY, LINGER: bytes that came; SENDING: bytes that have to go */
	bool head_begun;    /* the first byte of a head is there */
	bool close_after;   /* after this answer */
	struct http_head head;
	struct http_chunks chunks;
	const struct route *route;
	struct spool spool;
	uint32_t id; /* WAITING */
};

LIST_HEAD(connection_list, connection);

struct clients {
	struct event_base *base;
	const struct client_hooks *hooks;
	void *context;
	const struct access_names *names; /* NULL: nobody is let in by TLS */
	struct connection_list list;
	size_t spooled; /* bytes in all spools */
	uint32_t last_id;
	bool stopping;
	void (*done)(void *context);
};

uint64_t connection_now_ms(void);
/* fd and ssl are taken over; NULL when out of memory (they are gone then). */
struct connection *connection_new(struct clients *clients, enum client_kind kind, int fd, SSL *ssl,
				  const struct identity *identity);
/* Unlink and free. */
void connection_end(struct connection *connection);
/* Have it ended from the event loop: for where others may still use it. */
void connection_doom(struct connection *connection);
/* Nothing is under way on it. */
bool connection_idle(const struct connection *connection);
/* The state changes, and with it the deadline. */
void connection_set_state(struct connection *connection, enum connection_state state);

/* Send an answer and go on, or close when close_after is set. data is given to munmap when it is out; may be NULL. */
void reply_body(struct connection *connection, unsigned int status, const char *content_type, void *data, size_t length);
/* {"error": ...}; extra: more header lines with CRLF, or "". */
void reply_error(struct connection *connection, unsigned int status, const char *extra, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* As reply_error, and whatever of the request is still to come is not read. */
void reply_refuse(struct connection *connection, unsigned int status, const char *text);
