/* Clients: all HTTP connections, bounded in number, time and memory.
 *
 * The owner accepts sockets and hands them in; each request comes out through
 * the hooks, and its answer goes back in by id. Connections end by themselves. */
#pragma once

#include "access.h"

#include <event2/event.h>
#include <openssl/types.h>
#include <stdint.h>

/* As MSG_API_LISTENER numbers them. */
enum client_kind { CLIENT_LOCAL, CLIENT_TLS, CLIENT_METRICS, CLIENT_KINDS };

struct clients;

struct client_hooks {
	/* Pass a request on; body stays the caller's (-1: none). 0: clients_answer follows, or a deadline
	 * passes. -errno: the client gets 503. */
	int (*request)(void *context, uint32_t id, const struct identity *identity, const char *method,
		       const char *target, int body);
	/* Somebody without any right came. */
	void (*denied)(void *context, const struct identity *identity);
};

/* hooks must outlive it. NULL when out of memory. */
struct clients *clients_new(struct event_base *base, const struct client_hooks *hooks, void *context);
void clients_free(struct clients **clients);
/* Take over a connected socket, and ssl (CLIENT_TLS; else NULL), whatever comes of it. */
void clients_add(struct clients *clients, enum client_kind kind, int fd, SSL *ssl);
/* names (not owned) count for handshakes that end from now on. Connections by TLS that exist end
 * when their answer is out: what they were let in by may be gone. */
void clients_set_names(struct clients *clients, const struct access_names *names);
/* The answer to a request; data with its length is unmapped (munmap) when it is sent. An id that nobody
 * waits for any more is ignored. */
void clients_answer(struct clients *clients, uint32_t id, unsigned int status, const char *content_type, void *data,
		    size_t length);
/* Answer with an error made here. */
void clients_fail(struct clients *clients, uint32_t id, unsigned int status, const char *text);
/* Take no new request; end what waits with 503 when fail_waiting. done is called once nobody is left. */
void clients_stop(struct clients *clients, bool fail_waiting, void (*done)(void *context));
size_t clients_count(const struct clients *clients);
