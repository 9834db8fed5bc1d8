/* One attempt at one (node, port). Owns its socket and its timer: whatever the
 * peer does (nothing, drips, resets, endless headers), it ends at the timeout
 * at the latest and has read at most PROBE_ANSWER_MOST bytes. */
#include "probe_attempt.h"

#include "header.h"
#include "probe_http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GRACE_MOST_MS 250

struct attempt {
	struct event_base *base;
	const struct proxy_probe *probe;
	SSL_CTX *tls;
	attempt_done *done;
	void *context;
	int fd;                     /* -1: the stream's, or none yet */
	int failed;                 /* an errno that connect gave at once */
	struct event *connected;    /* while the connection is being made */
	struct bufferevent *stream; /* then */
	struct event *timer;        /* the deadline */
	struct event *grace;        /* HEALTH_PROXY: how long silence must last to be consent */
};

SSL_CTX *attempt_tls_new(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	if (!context)
		return NULL;
	/* This asks whether the port answers, not whom it belongs to: old servers count too. */
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_security_level(context, 0);
	SSL_CTX_set_min_proto_version(context, 0);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	static const unsigned char alpn[] = "\x08http/1.1";
	if (SSL_CTX_set_alpn_protos(context, alpn, sizeof(alpn) - 1)) {
		SSL_CTX_free(context);
		return NULL;
	}
	return context;
}

void attempt_move(struct attempt *attempt, const struct proxy_probe *probe)
{
	attempt->probe = probe;
}

void attempt_cancel(struct attempt **attempt)
{
	struct attempt *old = *attempt;
	*attempt = NULL;
	if (!old)
		return;
	if (old->connected)
		event_free(old->connected);
	if (old->timer)
		event_free(old->timer);
	if (old->grace)
		event_free(old->grace);
	if (old->stream)
		bufferevent_free(old->stream);
	if (old->fd >= 0)
		close(old->fd);
	free(old);
}

static void finish(struct attempt *attempt, enum attempt_result result, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void finish(struct attempt *attempt, enum attempt_result result, const char *format, ...)
{
	char why[ATTEMPT_WHY_MOST + 1];
	va_list args;
	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	attempt_done *done = attempt->done;
	void *context = attempt->context;
	attempt_cancel(&attempt);
	done(context, result, why);
}

static const char *explain_errno(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "connection refused";
	case ECONNRESET:
	case EPIPE:
		return "connection reset";
	case EHOSTUNREACH:
		return "no answer from the node (host unreachable)";
	case ENETUNREACH:
		return "no route to the node's network";
	case EPERM:
	case EACCES:
		return "a rule of this machine forbids it";
	case ETIMEDOUT:
		return "the connection timed out";
	default:
		return strerror(error);
	}
}

static bool speaks_http(const struct attempt *attempt)
{
	enum health_check check = attempt->probe->health.check;
	return check == HEALTH_HTTP || check == HEALTH_HTTPS;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct attempt *attempt = context;
	milliseconds timeout = attempt->probe->health.timeout;
	bool whole = timeout % 1000 == 0;
	finish(attempt, ATTEMPT_FAILED, "timeout after %llu%s", (unsigned long long)(whole ? timeout / 1000 : timeout),
	       whole ? "s" : "ms");
}

static void on_grace(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	finish(context, ATTEMPT_SUCCEEDED, "takes the PROXY header");
}

/* HEALTH_PROXY: the port spoke. Servers that greet first are fine; a web server's error is not. */
static void judge_greeting(struct attempt *attempt, const char *data, size_t length)
{
	int status = probe_http_status(data, length);
	if (status > 0)
		finish(attempt, ATTEMPT_FAILED, "HTTP %d in answer to a PROXY header", status);
	else if (status < 0)
		finish(attempt, ATTEMPT_SUCCEEDED, "takes the PROXY header");
}

static void on_read(struct bufferevent *stream, void *context)
{
	struct attempt *attempt = context;
	struct evbuffer *input = bufferevent_get_input(stream);
	size_t length = evbuffer_get_length(input);
	if (length > PROBE_ANSWER_MOST)
		length = PROBE_ANSWER_MOST;
	const char *data = (const char *)evbuffer_pullup(input, (ev_ssize_t)length);
	if (!data) /* woken without data, or out of memory: the deadline stands */
		return;
	if (!speaks_http(attempt)) {
		judge_greeting(attempt, data, length);
		return;
	}
	const struct health *health = &attempt->probe->health;
	int status = probe_http_status(data, length);
	if (status < 0)
		finish(attempt, ATTEMPT_FAILED, "what it answers is not HTTP");
	else if ((uint32_t)status >= health->status_first && (uint32_t)status <= health->status_last)
		finish(attempt, ATTEMPT_SUCCEEDED, "HTTP %d", status);
	else if (status > 0)
		finish(attempt, ATTEMPT_FAILED, "HTTP %d", status);
}

/* Call before the stream is gone: the reasons lie in its queue. */
static void finish_tls(struct attempt *attempt)
{
	unsigned long code = bufferevent_get_openssl_error(attempt->stream);
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	finish(attempt, ATTEMPT_FAILED, "TLS: %s", reason ? reason : "the handshake failed");
}

static void on_event(struct bufferevent *stream, short what, void *context)
{
	struct attempt *attempt = context;
	int error = EVUTIL_SOCKET_ERROR();
	if (what & BEV_EVENT_CONNECTED)
		return;
	SSL *ssl = bufferevent_openssl_get_ssl(stream);
	if (ssl && !SSL_is_init_finished(ssl)) {
		finish_tls(attempt);
		return;
	}
	bool eof = what & BEV_EVENT_EOF;
	if (!speaks_http(attempt))
		finish(attempt, ATTEMPT_FAILED, "%s after the PROXY header", eof ? "closed" : "reset");
	else if (eof)
		finish(attempt, ATTEMPT_FAILED, "closed without an answer");
	else
		finish(attempt, ATTEMPT_FAILED, "%s", error ? explain_errno(error) : "the connection broke");
}

static void ask_http(struct attempt *attempt)
{
	const struct proxy_probe *probe = attempt->probe;
	char address[ADDR_TEXT_MAX];
	addr_format(&probe->address, address);
	bool v6 = probe->address.family == FAMILY_V6;
	const char *host = probe->health.host;
	evbuffer_add_printf(bufferevent_get_output(attempt->stream),
			    "GET %s HTTP/1.1\r\nHost: %s%s%s\r\nUser-Agent: edged-health\r\nAccept: */*\r\n"
			    "Connection: close\r\n\r\n",
			    probe->health.path ? probe->health.path : "/", !host && v6 ? "[" : "",
			    host ? host : address, !host && v6 ? "]" : "");
}

static SSL *new_ssl(const struct attempt *attempt)
{
	SSL *ssl = attempt->tls ? SSL_new(attempt->tls) : NULL;
	const char *host = attempt->probe->health.host;
	struct addr address;
	/* An address is no server name (RFC 6066 3). */
	if (ssl && host && addr_parse(host, strlen(host), &address) && SSL_set_tlsext_host_name(ssl, host) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}

/* 0, or -ENOMEM. */
static int make_stream(struct attempt *attempt)
{
	int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
	if (attempt->probe->health.check == HEALTH_HTTPS) {
		SSL *ssl = new_ssl(attempt);
		if (!ssl)
			return -ENOMEM;
		attempt->stream = bufferevent_openssl_socket_new(attempt->base, attempt->fd, ssl,
								 BUFFEREVENT_SSL_CONNECTING, options);
		if (!attempt->stream)
			SSL_free(ssl);
		else
			bufferevent_openssl_set_allow_dirty_shutdown(attempt->stream, 1);
	} else {
		attempt->stream = bufferevent_socket_new(attempt->base, attempt->fd, options);
	}
	if (!attempt->stream)
		return -ENOMEM;
	attempt->fd = -1;
	bufferevent_setcb(attempt->stream, on_read, NULL, on_event, attempt);
	bufferevent_setwatermark(attempt->stream, EV_READ, 0, PROBE_ANSWER_MOST);
	return bufferevent_enable(attempt->stream, EV_READ | EV_WRITE) < 0 ? -ENOMEM : 0;
}

static int start_grace(struct attempt *attempt)
{
	milliseconds grace = attempt->probe->health.timeout / 2;
	if (grace > GRACE_MOST_MS)
		grace = GRACE_MOST_MS;
	struct timeval after = {.tv_usec = (suseconds_t)grace * 1000};
	attempt->grace = evtimer_new(attempt->base, on_grace, attempt);
	return attempt->grace && !event_add(attempt->grace, &after) ? 0 : -ENOMEM;
}

static int send_header(const struct attempt *attempt)
{
	enum proxy_header version = attempt->probe->header;
	if (version == PROXY_NONE && attempt->probe->health.check == HEALTH_PROXY)
		version = PROXY_V2;
	uint8_t header[HEADER_MAX];
	size_t length = header_encode_local(version, header);
	/* A fresh socket's buffer always has room for this much. */
	ssize_t sent = length ? send(attempt->fd, header, length, MSG_NOSIGNAL) : 0;
	if (sent < 0)
		return -errno;
	return (size_t)sent == length ? 0 : -EPIPE;
}

static void on_connected(evutil_socket_t fd, short what, void *context)
{
	(void)what;
	struct attempt *attempt = context;
	int error = attempt->failed;
	socklen_t length = sizeof(error);
	if (!error && getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	if (!error)
		error = -send_header(attempt);
	if (error) {
		finish(attempt, ATTEMPT_FAILED, "%s", explain_errno(error));
		return;
	}
	event_free(attempt->connected);
	attempt->connected = NULL;
	enum health_check check = attempt->probe->health.check;
	if (check == HEALTH_TCP || check == HEALTH_NONE) {
		finish(attempt, ATTEMPT_SUCCEEDED, "connected");
		return;
	}
	error = -make_stream(attempt);
	if (!error && check == HEALTH_PROXY)
		error = -start_grace(attempt);
	else if (!error)
		ask_http(attempt);
	if (error)
		finish(attempt, ATTEMPT_VOID, "%s", strerror(error));
}

/* Errors of connect() that speak of this machine alone. */
static bool is_own_shortage(int error)
{
	return error == ENOMEM || error == ENOBUFS || error == EADDRNOTAVAIL || error == EAGAIN;
}

static int begin_connect(struct attempt *attempt)
{
	struct sockaddr_storage address;
	const struct endpoint node = {.addr = attempt->probe->address, .port = attempt->probe->port};
	size_t length = endpoint_to_sockaddr(&node, &address);
	attempt->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (attempt->fd < 0)
		return -errno;
	if (connect(attempt->fd, (struct sockaddr *)&address, (socklen_t)length) < 0 && errno != EINPROGRESS) {
		if (is_own_shortage(errno))
			return -errno;
		attempt->failed = errno;
	}
	attempt->connected = event_new(attempt->base, attempt->fd, EV_WRITE, on_connected, attempt);
	if (!attempt->connected || event_add(attempt->connected, NULL))
		return -ENOMEM;
	if (attempt->failed)
		event_active(attempt->connected, EV_WRITE, 0);
	return 0;
}

int attempt_start(struct event_base *base, SSL_CTX *tls, const struct proxy_probe *probe, attempt_done *done,
		  void *context, struct attempt **ret_attempt)
{
	struct attempt *attempt = calloc(1, sizeof(*attempt));
	if (!attempt)
		return -ENOMEM;
	*attempt = (struct attempt){
		.base = base, .probe = probe, .tls = tls, .done = done, .context = context, .fd = -1};
	milliseconds timeout = probe->health.timeout;
	struct timeval after = {.tv_sec = (time_t)(timeout / 1000), .tv_usec = (suseconds_t)(timeout % 1000 * 1000)};
	attempt->timer = evtimer_new(base, on_timer, attempt);
	int error = attempt->timer && !event_add(attempt->timer, &after) ? begin_connect(attempt) : -ENOMEM;
	if (error) {
		attempt_cancel(&attempt);
		return error;
	}
	*ret_attempt = attempt;
	return 0;
}
