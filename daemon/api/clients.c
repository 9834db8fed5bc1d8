/* The pool of connections. Owns their number: each class of peers has a share
 * of its own, so that no class can keep another out, and a full class lets the
 * one go that has been idle longest. */
#include "clients.h"

#include "connection.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define JUST_MS 250

enum share { SHARE_DENIED, SHARE_READERS, SHARE_WRITERS, SHARE_TLS, SHARE_METRICS };

static const size_t share_most[] = {
	[SHARE_DENIED] = 8, [SHARE_READERS] = 64, [SHARE_WRITERS] = 64, [SHARE_TLS] = 64, [SHARE_METRICS] = 16,
};

static enum share share_of(enum client_kind kind, enum right right)
{
	if (kind == CLIENT_TLS)
		return SHARE_TLS;
	if (kind == CLIENT_METRICS)
		return SHARE_METRICS;
	switch (right) {
	case RIGHT_NONE:
		return SHARE_DENIED;
	case RIGHT_READ:
		return SHARE_READERS;
	case RIGHT_WRITE:
		return SHARE_WRITERS;
	}
	abort();
}

struct clients *clients_new(struct event_base *base, const struct client_hooks *hooks, void *context)
{
	struct clients *clients = calloc(1, sizeof(*clients));
	if (!clients)
		return NULL;
	clients->base = base;
	clients->hooks = hooks;
	clients->context = context;
	LIST_INIT(&clients->list);
	return clients;
}

void clients_free(struct clients **clients)
{
	struct clients *pool = *clients;
	*clients = NULL;
	if (!pool)
		return;
	pool->stopping = false;
	while (!LIST_EMPTY(&pool->list))
		connection_end(LIST_FIRST(&pool->list));
	free(pool);
}

/* Somebody who has a right to be here and came just now has sent his request, even if it has not been read yet. Of
 * strangers nothing is assumed, or a flood of them would be safe for so long. */
static bool may_go(const struct connection *connection, enum share share, uint64_t now)
{
	bool stranger = share == SHARE_TLS || share == SHARE_DENIED;
	return connection_idle(connection) && (stranger || now - connection->since >= JUST_MS);
}

/* True when there is room in the share, if need be by ending who has been idle longest. */
static bool make_room(struct clients *clients, enum share share)
{
	struct connection *connection, *oldest = NULL;
	size_t count = 0;
	uint64_t now = connection_now_ms();
	/* The newest comes first: of two from the same millisecond the later one in the list is older. */
	LIST_FOREACH(connection, &clients->list, link) {
		if (share_of(connection->kind, connection->identity.right) != share)
			continue;
		count++;
		if (may_go(connection, share, now) && (!oldest || connection->since <= oldest->since))
			oldest = connection;
	}
	if (count < share_most[share])
		return true;
	if (!oldest)
		return false;
	connection_end(oldest);
	return true;
}

/* Say no without spending anything on it. */
static void turn_away(enum client_kind kind, int fd, SSL *ssl)
{
	static const char sorry[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
				    "Content-Length: 52\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
				    "{\"error\":\"too many clients at once: try again soon\"}";
	if (kind != CLIENT_TLS)
		(void)!send(fd, sorry, sizeof(sorry) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	SSL_free(ssl);
	close(fd);
}

void clients_add(struct clients *clients, enum client_kind kind, int fd, SSL *ssl)
{
	struct identity identity = {.right = RIGHT_NONE, .user = "tls:"};
	int error = 0;
	if (kind == CLIENT_METRICS)
		identity = (struct identity){.right = RIGHT_READ, .user = "metrics"};
	else if (kind == CLIENT_LOCAL)
		error = access_of_socket(fd, &identity);
	if (error || clients->stopping || !make_room(clients, share_of(kind, identity.right))) {
		turn_away(kind, fd, ssl);
		return;
	}
	connection_new(clients, kind, fd, ssl, &identity);
}

void clients_set_names(struct clients *clients, const struct access_names *names)
{
	clients->names = names;
	struct connection *connection, *next;
	for (connection = LIST_FIRST(&clients->list); connection; connection = next) {
		next = LIST_NEXT(connection, link);
		if (connection->kind != CLIENT_TLS)
			continue;
		if (connection_idle(connection))
			connection_end(connection);
		else
			connection->close_after = true;
	}
}

static struct connection *find_waiting(struct clients *clients, uint32_t id)
{
	struct connection *connection;
	LIST_FOREACH(connection, &clients->list, link)
		if (connection->state == STATE_WAITING && connection->id == id)
			return connection;
	return NULL;
}

void clients_answer(struct clients *clients, uint32_t id, unsigned int status, const char *content_type, void *data,
		    size_t length)
{
	struct connection *connection = find_waiting(clients, id);
	if (connection) {
		spool_reset(&connection->spool, &clients->spooled);
		reply_body(connection, status, content_type, data, length);
	} else if (data) {
		munmap(data, length);
	}
}

void clients_fail(struct clients *clients, uint32_t id, unsigned int status, const char *text)
{
	struct connection *connection = find_waiting(clients, id);
	if (!connection)
		return;
	spool_reset(&connection->spool, &clients->spooled);
	reply_error(connection, status, "", "%s", text);
}

void clients_stop(struct clients *clients, bool fail_waiting, void (*done)(void *context))
{
	clients->done = done;
	struct connection *connection, *next;
	for (connection = LIST_FIRST(&clients->list); connection; connection = next) {
		next = LIST_NEXT(connection, link);
		connection->close_after = true;
		if (connection->state == STATE_WAITING && fail_waiting)
			reply_refuse(connection, 503, "edged is stopping");
		else if (connection->state != STATE_WAITING && connection->state != STATE_SENDING)
			connection_end(connection);
	}
	clients->stopping = true;
	if (LIST_EMPTY(&clients->list))
		done(clients->context);
}

size_t clients_count(const struct clients *clients)
{
	size_t count = 0;
	const struct connection *connection;
	LIST_FOREACH(connection, &clients->list, link)
		count++;
	return count;
}
