/* The api role's process: its channel to main, its listening sockets, and the
 * event loop that joins them to the clients. It holds no state of the edge:
 * what it is asked, it asks main. What main sends is checked as what the
 * network sends is. */
#include "api.h"

#include "../msg.h"
#include "clients.h"
#include "tls.h"

#include <errno.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#define STOP_SECONDS 5
#define ACCEPT_PAUSE_MS 200
#define MESSAGES_AT_ONCE 64

struct api;

struct entrance {
	struct api *api;
	enum client_kind kind;
	struct evconnlistener *listener;
	struct event *resume; /* after accept failed for want of descriptors or memory */
};

struct api {
	struct event_base *base;
	struct event *channel;
	struct clients *clients;
	struct entrance entrances[CLIENT_KINDS];
	struct tls *tls;
	bool stopping;
	struct msg_buffer buffer;
};

static void say(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(int priority, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cleanup_wire struct wire_writer writer = {0};
	wire_put_u32(&writer, (uint32_t)priority);
	wire_put_text(&writer, text);
	(void)msg_send(MSG_FD, MSG_LOG, 0, &writer, NULL, 0);
}

static int hook_request(void *context, uint32_t id, const struct identity *identity, const char *method,
			const char *target, int body)
{
	const struct api *api = context;
	if (api->stopping)
		return -ESHUTDOWN;
	cleanup_wire struct wire_writer writer = {0};
	wire_put_u32(&writer, identity->right == RIGHT_WRITE);
	wire_put_text(&writer, identity->user);
	wire_put_text(&writer, method);
	wire_put_text(&writer, target);
	return msg_send(MSG_FD, MSG_API_REQUEST, id, &writer, &body, body >= 0 ? 1 : 0);
}

static void hook_denied(void *context, const struct identity *identity)
{
	(void)context;
	say(LOG_NOTICE, "api: refused \"%s\", who has no right", identity->user);
}

static const struct client_hooks hooks = {.request = hook_request, .denied = hook_denied};

static void on_all_gone(void *context)
{
	struct api *api = context;
	event_base_loopbreak(api->base);
}

static void close_entrance(struct entrance *entrance)
{
	if (entrance->listener)
		evconnlistener_free(entrance->listener);
	entrance->listener = NULL;
	if (entrance->resume)
		event_del(entrance->resume);
}

static void stop(struct api *api, bool fail_waiting)
{
	if (api->stopping)
		return;
	api->stopping = true;
	for (size_t i = 0; i < CLIENT_KINDS; i++)
		close_entrance(&api->entrances[i]);
	struct timeval most = {.tv_sec = STOP_SECONDS};
	event_base_loopexit(api->base, &most);
	clients_stop(api->clients, fail_waiting, on_all_gone);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int length,
		      void *context)
{
	(void)listener;
	(void)from;
	(void)length;
	struct entrance *entrance = context;
	struct api *api = entrance->api;
	SSL *ssl = NULL;
	if (entrance->kind == CLIENT_TLS) {
		ssl = api->tls ? SSL_new(api->tls->context) : NULL;
		if (!ssl) {
			close(fd);
			return;
		}
	}
	clients_add(api->clients, entrance->kind, fd, ssl);
}

static void on_resume(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct entrance *entrance = context;
	if (entrance->listener)
		evconnlistener_enable(entrance->listener);
}

/* The backlog stays readable while nothing can be accepted: without a pause the loop would spin. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
	struct entrance *entrance = context;
	evconnlistener_disable(listener);
	struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};
	event_add(entrance->resume, &pause);
}

static bool is_listening(int fd, bool local)
{
	int listening = 0, domain = 0;
	socklen_t size = sizeof(listening);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
		return false;
	size = sizeof(domain);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
		return false;
	return local ? domain == AF_UNIX : domain == AF_INET || domain == AF_INET6;
}

static void take_listener(struct api *api, struct msg *msg)
{
	struct wire_reader reader = {.data = msg->payload, .length = msg->length};
	uint32_t kind = wire_get_bounded(&reader, CLIENT_KINDS - 1);
	if (wire_finish(&reader) || msg->fd_count > 1 ||
	    (msg->fd_count && !is_listening(msg->fds[0], kind == CLIENT_LOCAL))) {
		say(LOG_ERR, "api: main sent a listener that is none");
		return;
	}
	struct entrance *entrance = &api->entrances[kind];
	close_entrance(entrance);
	if (!msg->fd_count) /* this entrance is closed for now */
		return;
	entrance->api = api;
	entrance->kind = (enum client_kind)kind;
	int flags = fcntl(msg->fds[0], F_GETFL);
	if (flags >= 0)
		fcntl(msg->fds[0], F_SETFL, flags | O_NONBLOCK);
	if (!entrance->resume)
		entrance->resume = evtimer_new(api->base, on_resume, entrance);
	if (entrance->resume)
		entrance->listener = evconnlistener_new(api->base, on_accept, entrance,
							LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, msg->fds[0]);
	if (!entrance->listener) {
		say(LOG_ERR, "api: out of memory for a listener");
		return;
	}
	evconnlistener_set_error_cb(entrance->listener, on_accept_error);
	msg->fd_count = 0; /* the listener's now */
}

static void take_tls(struct api *api, const struct msg *msg)
{
	const char *why = "";
	struct tls *tls = NULL;
	int error = tls_new(msg, &tls, &why);
	if (error) {
		say(LOG_ERR, "api: TLS keeps its former certificates, if it had any: %s", why);
		return;
	}
	clients_set_names(api->clients, &tls->names);
	tls_free(&api->tls);
	api->tls = tls;
}

/* Anything here ends up in a head: no control characters. */
static bool is_content_type(const char *text)
{
	if (!text || !*text)
		return false;
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			return false;
	return true;
}

static void take_answer(struct api *api, struct msg *msg)
{
	struct arena *arena = arena_new();
	struct wire_reader reader = {.data = msg->payload, .length = msg->length};
	uint32_t status = wire_get_bounded(&reader, 599);
	const char *type = arena ? wire_get_text(&reader, arena, 100) : NULL;
	const void *data = NULL;
	size_t length = 0;
	int error = wire_finish(&reader);
	if (!error && (status < 200 || !is_content_type(type) || msg->fd_count > 1))
		error = -EBADMSG;
	if (!error && msg->fd_count)
		error = msg_body_map(msg->fds[0], &data, &length);
	if (error) {
		say(LOG_ERR, "api: main's answer %u is broken", msg->id);
		clients_fail(api->clients, msg->id, 502, "edged's main process gave an answer that makes no sense");
	} else {
		clients_answer(api->clients, msg->id, status, type, (void *)(uintptr_t)data, length);
	}
	arena_free(&arena);
}

static void take_message(struct api *api, struct msg *msg)
{
	switch (msg->type) {
	case MSG_STOP:
		stop(api, false);
		break;
	case MSG_API_LISTENER:
		if (!api->stopping)
			take_listener(api, msg);
		break;
	case MSG_API_TLS:
		take_tls(api, msg);
		break;
	case MSG_API_ANSWER:
		take_answer(api, msg);
		break;
	case MSG_READY:
	case MSG_LOG:
	case MSG_PROXY_CONFIG:
	case MSG_PROXY_LISTENER:
	case MSG_PROXY_QUERY:
	case MSG_PROXY_APPLIED:
	case MSG_PROXY_ANSWER:
	case MSG_PROXY_OPENED:
	case MSG_PROXY_HEALTH:
	case MSG_API_REQUEST:
	case MSG_WATCH_RESOLVE:
	case MSG_WATCH_RESOLVED:
	case MSG_TYPES:
		say(LOG_ERR, "api: main sent a message of type %u, which is not for this role", (unsigned int)msg->type);
		break;
	}
	msg_close_fds(msg);
}

static void on_channel(evutil_socket_t fd, short what, void *context)
{
	(void)what;
	struct api *api = context;
	/* Bounded, so that a flood of answers does not keep the clients waiting. */
	for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
		struct msg msg;
		int got = msg_receive((int)fd, &api->buffer, &msg);
		if (got == -EAGAIN)
			return;
		if (got == -EBADMSG) {
			say(LOG_ERR, "api: main sent a message that is none");
			continue;
		}
		if (got <= 0) {
			/* Main is gone, and with it everything that could be answered. */
			event_del(api->channel);
			stop(api, true);
			return;
		}
		take_message(api, &msg);
	}
}

static void harden(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
}

int api_main(void)
{
	harden();
	static struct api api;
	int error = -ENOMEM;
	int flags = fcntl(MSG_FD, F_GETFL);
	if (flags < 0 || fcntl(MSG_FD, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	api.base = event_base_new();
	if (!api.base)
		return -ENOMEM;
	api.clients = clients_new(api.base, &hooks, &api);
	api.channel = event_new(api.base, MSG_FD, EV_READ | EV_PERSIST, on_channel, &api);
	if (api.clients && api.channel && !event_add(api.channel, NULL))
		error = msg_send(MSG_FD, MSG_READY, 0, NULL, NULL, 0);
	if (!error)
		event_base_dispatch(api.base);

	clients_free(&api.clients);
	for (size_t i = 0; i < CLIENT_KINDS; i++) {
		close_entrance(&api.entrances[i]);
		if (api.entrances[i].resume)
			event_free(api.entrances[i].resume);
	}
	if (api.channel)
		event_free(api.channel);
	tls_free(&api.tls);
	/* libevent frees bufferevents from its loop. */
	event_base_loop(api.base, EVLOOP_NONBLOCK);
	event_base_free(api.base);
	return error;
}
