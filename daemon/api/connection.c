/* The states of one connection: reading a head, then a body, waiting for main,
 * sending, and again. Every state has a deadline that a slow peer cannot push
 * ahead of itself: heads and handshakes have a fixed time, bodies and answers
 * one that grows only with the bytes that really moved. What a request may do
 * is decided at its head, before any of its body is read. */
#include "connection.h"

#include "../msg.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MOST 65536       /* read ahead of what is being done */
#define WRITE_MOST (256 << 10) /* at a time: then it is another client's turn */
#define PIECE_MOST 16384       /* of a body at a time; above any chunk line */
#define HANDSHAKE_MS 10000
#define HEAD_MS 10000          /* from its first byte */
#define IDLE_MS 60000          /* between requests */
#define DENIED_MS 5000         /* both, for who has no right */
#define MOVE_MS 20000          /* bodies and answers: this, and a second for each MOVE_RATE bytes */
#define MOVE_RATE 32768
#define WAIT_MS 30000          /* for main */
#define WAIT_SLOW_MS 300000
#define LINGER_MS 2000
#define LINGER_MOST (1u << 20)

static void process(struct connection *connection);

uint64_t connection_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* How long the present state may last from its beginning. */
static uint64_t allowance_ms(const struct connection *connection)
{
	bool denied = connection->identity.right == RIGHT_NONE;
	size_t moved = connection->moved;
	switch (connection->state) {
	case STATE_HANDSHAKE:
		return HANDSHAKE_MS;
	case STATE_HEAD:
		return denied ? DENIED_MS : connection->head_begun ? HEAD_MS : IDLE_MS;
	case STATE_SENDING:
		moved -= evbuffer_get_length(bufferevent_get_output(connection->stream));
		return MOVE_MS + moved * 1000 / MOVE_RATE;
	case STATE_BODY:
		return MOVE_MS + moved * 1000 / MOVE_RATE;
	case STATE_WAITING:
		return connection->route->slow ? WAIT_SLOW_MS : WAIT_MS;
	case STATE_LINGER:
		return LINGER_MS;
	}
	abort();
}

static void arm(struct connection *connection)
{
	uint64_t end = connection->since + allowance_ms(connection);
	uint64_t now = connection_now_ms();
	uint64_t left = end > now ? end - now : 0;
	struct timeval after = {.tv_sec = (time_t)(left / 1000), .tv_usec = (suseconds_t)(left % 1000 * 1000)};
	event_add(connection->timer, &after);
}

void connection_set_state(struct connection *connection, enum connection_state state)
{
	connection->state = state;
	connection->since = connection_now_ms();
	arm(connection);
}

bool connection_idle(const struct connection *connection)
{
	return connection->state == STATE_HANDSHAKE || (connection->state == STATE_HEAD && !connection->head_begun);
}

void connection_doom(struct connection *connection)
{
	bufferevent_disable(connection->stream, EV_READ | EV_WRITE);
	connection->state = STATE_LINGER;
	connection->since = 0;
	arm(connection);
}

static void start_linger(struct connection *connection)
{
	SSL *ssl = bufferevent_openssl_get_ssl(connection->stream);
	if (ssl)
		SSL_shutdown(ssl);
	shutdown(bufferevent_getfd(connection->stream), SHUT_WR);
	connection->moved = 0;
	connection_set_state(connection, STATE_LINGER);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct connection *connection = context;
	if (connection_now_ms() < connection->since + allowance_ms(connection)) {
		arm(connection);
		return;
	}
	switch (connection->state) {
	case STATE_HEAD:
		if (!connection->head_begun) {
			connection_end(connection);
			return;
		}
		connection->head = (struct http_head){0};
		reply_refuse(connection, 408, "the request did not come in time");
		return;
	case STATE_BODY:
		spool_reset(&connection->spool, &connection->clients->spooled);
		reply_refuse(connection, 408, "the request's body did not come in time");
		return;
	case STATE_WAITING:
		spool_reset(&connection->spool, &connection->clients->spooled);
		reply_refuse(connection, 504, "edged's main process did not answer in time; what was asked for may "
					      "still happen: see edgectl status");
		return;
	case STATE_HANDSHAKE:
	case STATE_SENDING:
	case STATE_LINGER:
		connection_end(connection);
		return;
	}
}

/* 0, or the status that the peer's rights ask for, with the sentence. */
static unsigned int check_right(const struct connection *connection, char *ret_text, size_t size)
{
	const struct identity *identity = &connection->identity;
	bool tls = connection->kind == CLIENT_TLS;
	const char *user = tls ? identity->user + strlen("tls:") : identity->user;
	if (identity->right == RIGHT_NONE) {
		snprintf(ret_text, size,
			 tls ? "the certificate \"%s\" is named in neither api.writers nor api.readers"
			     : "\"%s\" may not use this: join group " ACCESS_GROUP_WRITE
			       " (may change things) or " ACCESS_GROUP_READ " (may look)",
			 user);
		return 403;
	}
	/* No browser page speaks for its user, who may well have a client certificate. */
	if (connection->head.has_origin && connection->route && connection->route->right == RIGHT_WRITE) {
		snprintf(ret_text, size, "requests from web pages may not change anything");
		return 403;
	}
	if (connection->route && connection->route->right > identity->right) {
		snprintf(ret_text, size,
			 tls ? "the certificate \"%s\" may only look: this needs one that api.writers names"
			     : "\"%s\" may only look: this needs group " ACCESS_GROUP_WRITE,
			 user);
		return 403;
	}
	return 0;
}

static bool names_metrics(const char *target)
{
	size_t length = strlen("/metrics");
	return !strncmp(target, "/metrics", length) && (!target[length] || target[length] == '?');
}

/* 0 when the request may go on; else it has been answered. */
static int check_head(struct connection *connection)
{
	struct http_head *head = &connection->head;
	char text[256], allow[ROUTE_ALLOW_MAX], extra[ROUTE_ALLOW_MAX + 16] = "";
	unsigned int status = 0;
	connection->route = route_find(head->method, head->target, &status, allow);
	if (connection->kind == CLIENT_METRICS && !names_metrics(head->target)) {
		connection->route = NULL;
		status = 404;
	}
	unsigned int refused = check_right(connection, text, sizeof(text));
	if (refused) {
		status = refused;
		if (connection->identity.right == RIGHT_NONE) {
			connection->close_after = true;
			connection->clients->hooks->denied(connection->clients->context, &connection->identity);
		}
	} else if (status == 405) {
		snprintf(extra, sizeof(extra), "Allow: %s\r\n", allow);
		snprintf(text, sizeof(text), "this path knows %s only", allow);
	} else if (status) {
		snprintf(text, sizeof(text), "there is no such path (docs/openapi.yaml has all of them)");
	} else if (head->body == HTTP_BODY_LENGTH && head->length > MSG_BODY_MAX) {
		status = 413;
		snprintf(text, sizeof(text), "a body may have at most %u MiB", MSG_BODY_MAX >> 20);
	} else if (head->body != HTTP_BODY_NONE && strcmp(head->method, "POST")) {
		status = 400;
		snprintf(text, sizeof(text), "a %s request has no body here", head->method);
	}
	if (!status)
		return 0;
	if (head->body != HTTP_BODY_NONE)
		connection->close_after = true;
	reply_error(connection, status, extra, "%s", text);
	return -EACCES;
}

static void pass_on(struct connection *connection)
{
	struct clients *clients = connection->clients;
	const char *method = strcmp(connection->head.method, "HEAD") ? connection->head.method : "GET";
	connection->id = ++clients->last_id;
	int error = spool_seal(&connection->spool);
	if (!error)
		error = clients->hooks->request(clients->context, connection->id, &connection->identity, method,
						connection->head.target, connection->spool.fd);
	if (error) {
		spool_reset(&connection->spool, &clients->spooled);
		reply_error(connection, 503, "Retry-After: 1\r\n", "edged's main process takes no request now (%s)",
			    strerror(-error));
		return;
	}
	connection_set_state(connection, STATE_WAITING);
}

/* A head is complete, or wrong. */
static void take_head(struct connection *connection, int taken)
{
	connection->head_begun = false;
	if (taken < 0) {
		connection->head = (struct http_head){0};
		reply_refuse(connection, (unsigned int)-taken, "this is not a proper HTTP/1.1 request");
		return;
	}
	evbuffer_drain(bufferevent_get_input(connection->stream), (size_t)taken);
	if (check_head(connection))
		return;
	if (connection->head.body == HTTP_BODY_NONE) {
		pass_on(connection);
		return;
	}
	if (connection->head.expect_continue)
		evbuffer_add_printf(bufferevent_get_output(connection->stream), "HTTP/1.1 100 Continue\r\n\r\n");
	connection->moved = 0;
	connection->chunks = (struct http_chunks){0};
	connection_set_state(connection, STATE_BODY);
}

static void refuse_body(struct connection *connection, int error)
{
	spool_reset(&connection->spool, &connection->clients->spooled);
	if (error == -EFBIG)
		reply_refuse(connection, 413, "a body may have at most 64 MiB");
	else if (error == -400)
		reply_refuse(connection, 400, "the body's chunks are not proper HTTP/1.1");
	else
		reply_refuse(connection, 503, "there is no room for more request bodies now: try again");
}

/* Take what is there of a body. True: the state has changed. */
static bool take_body(struct connection *connection)
{
	struct evbuffer *input = bufferevent_get_input(connection->stream);
	size_t length = evbuffer_get_length(input);
	if (length > PIECE_MOST)
		length = PIECE_MOST;
	if (!length)
		return false;
	const char *data = (const char *)evbuffer_pullup(input, (ev_ssize_t)length), *body = data;
	size_t used = 0, body_length = 0;
	int error = data ? 0 : -ENOMEM;
	bool end = false;
	if (!error && connection->head.body == HTTP_BODY_CHUNKED) {
		int taken = http_chunks_take(&connection->chunks, data, length, &used, &body, &body_length);
		end = taken == 1;
		error = taken < 0 ? taken : 0;
	} else if (!error) {
		uint64_t left = connection->head.length - connection->spool.length;
		used = body_length = length < left ? length : (size_t)left;
		end = body_length == left;
	}
	if (!error && body_length)
		error = spool_write(&connection->spool, body, body_length, &connection->clients->spooled);
	if (error) {
		refuse_body(connection, error);
		return true;
	}
	evbuffer_drain(input, used);
	connection->moved += body_length;
	if (end)
		pass_on(connection);
	return end || used;
}

/* One step with what has been read. True: look again. */
static bool step(struct connection *connection)
{
	struct evbuffer *input = bufferevent_get_input(connection->stream);
	size_t length = evbuffer_get_length(input);
	if (connection->state == STATE_BODY)
		return take_body(connection);
	if (connection->state == STATE_LINGER) {
		connection->moved += length;
		evbuffer_drain(input, length);
		if (connection->moved > LINGER_MOST)
			connection_doom(connection);
		return false;
	}
	if (connection->state != STATE_HEAD || !length)
		return false;
	if (!connection->head_begun) {
		connection->head_begun = true;
		connection_set_state(connection, STATE_HEAD);
	}
	size_t look = length < HTTP_HEAD_MAX ? length : HTTP_HEAD_MAX;
	const char *data = (const char *)evbuffer_pullup(input, (ev_ssize_t)look);
	int taken = data ? http_parse_head(data, look, &connection->head) : -503;
	if (!taken)
		return false;
	take_head(connection, taken);
	return true;
}

static void process(struct connection *connection)
{
	while (step(connection))
		;
}

static void on_read(struct bufferevent *stream, void *context)
{
	(void)stream;
	process(context);
}

/* The output is empty. */
static void on_written(struct bufferevent *stream, void *context)
{
	struct connection *connection = context;
	if (connection->state != STATE_SENDING || evbuffer_get_length(bufferevent_get_output(stream)))
		return;
	connection->route = NULL;
	connection->head = (struct http_head){0};
	if (connection->close_after) {
		start_linger(connection);
		return;
	}
	connection_set_state(connection, STATE_HEAD);
	process(connection);
}

static void on_connected(struct connection *connection)
{
	struct clients *clients = connection->clients;
	const SSL *ssl = bufferevent_openssl_get_ssl(connection->stream);
	if (!clients->names || access_of_certificate(ssl, clients->names, &connection->identity)) {
		connection_end(connection);
		return;
	}
	connection_set_state(connection, STATE_HEAD);
}

static void on_event(struct bufferevent *stream, short what, void *context)
{
	struct connection *connection = context;
	if (what & BEV_EVENT_CONNECTED) {
		if (connection->state == STATE_HANDSHAKE)
			on_connected(connection);
		return;
	}
	bool busy = connection->state == STATE_WAITING || connection->state == STATE_SENDING;
	if (busy && (what & BEV_EVENT_EOF)) {
		/* Gone, or only done with sending (nc -N)? */
		struct pollfd look = {.fd = bufferevent_getfd(stream)};
		if (poll(&look, 1, 0) == 0) {
			connection->close_after = true;
			return;
		}
	}
	connection_end(connection);
}

struct connection *connection_new(struct clients *clients, enum client_kind kind, int fd, SSL *ssl,
				  const struct identity *identity)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
	if (connection) {
		connection->stream = ssl ? bufferevent_openssl_socket_new(clients->base, fd, ssl,
									  BUFFEREVENT_SSL_ACCEPTING, options)
					 : bufferevent_socket_new(clients->base, fd, options);
		connection->timer = evtimer_new(clients->base, on_timer, connection);
	}
	if (!connection || !connection->stream || !connection->timer) {
		if (connection && connection->stream) {
			bufferevent_free(connection->stream);
		} else {
			SSL_free(ssl);
			close(fd);
		}
		if (connection && connection->timer)
			event_free(connection->timer);
		free(connection);
		return NULL;
	}
	connection->clients = clients;
	connection->kind = kind;
	connection->identity = *identity;
	connection->spool = (struct spool)SPOOL_INIT;
	LIST_INSERT_HEAD(&clients->list, connection, link);
	bufferevent_setcb(connection->stream, on_read, on_written, on_event, connection);
	bufferevent_setwatermark(connection->stream, EV_READ, 0, INPUT_MOST);
	bufferevent_set_max_single_read(connection->stream, INPUT_MOST);
	bufferevent_set_max_single_write(connection->stream, WRITE_MOST);
	if (ssl)
		bufferevent_openssl_set_allow_dirty_shutdown(connection->stream, 1);
	connection_set_state(connection, ssl ? STATE_HANDSHAKE : STATE_HEAD);
	bufferevent_enable(connection->stream, EV_READ | EV_WRITE);
	return connection;
}

void connection_end(struct connection *connection)
{
	struct clients *clients = connection->clients;
	LIST_REMOVE(connection, link);
	spool_reset(&connection->spool, &clients->spooled);
	event_free(connection->timer);
	bufferevent_free(connection->stream);
	free(connection);
	if (clients->stopping && LIST_EMPTY(&clients->list))
		clients->done(clients->context);
}
