/* Role watch: resolves names without blocking, with libevent's evdns, as a user
 * that may do nothing else. Main asks by name and gets one address or a reason;
 * queries are bounded, in number and in time. */
#include "watch.h"

#include "../msg.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define QUERIES_MOST 256
#define NAME_MOST 255
#define RESOLV_CONF "/etc/resolv.conf"

struct watch {
	struct event_base *base;
	struct event *channel;
	struct evdns_base *dns;
	struct timespec read_at; /* when RESOLV_CONF was last written, as it was read */
	unsigned queries;
	struct msg_buffer buffer;
};

struct query {
	struct watch *watch;
	uint32_t id;
	char name[NAME_MOST + 1];
};

static void answer(const struct query *query, const struct addr *addr, const char *why)
{
	static const struct addr none;
	struct wire_writer writer cleanup_wire = {0};
	wire_put_text(&writer, query->name);
	wire_put_addr(&writer, addr ? addr : &none);
	wire_put_text(&writer, why);
	/* When main does not read, it asks again by itself. */
	(void)msg_send(MSG_FD, MSG_WATCH_RESOLVED, query->id, &writer, NULL, 0);
}

static bool read_address(const struct sockaddr *from, struct addr *ret_addr)
{
	struct addr addr = {0};
	if (from->sa_family == AF_INET) {
		addr.family = FAMILY_V4;
		memcpy(addr.bytes, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		addr.family = FAMILY_V6;
		memcpy(addr.bytes, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
	} else {
		return false;
	}
	*ret_addr = addr;
	return true;
}

/* libevent says that one thing of a server that is silent, too. */
static const char *why_text(int result)
{
	return result == 0 ? "it has no address" : result == EVUTIL_EAI_FAIL ? "no name server gives an answer"
									     : evutil_gai_strerror(result);
}

static void on_resolved(int result, struct evutil_addrinfo *list, void *context)
{
	struct query *query = context;
	struct addr addr;
	const struct evutil_addrinfo *item = list;
	query->watch->queries--;
	while (item && (!read_address(item->ai_addr, &addr) || (item->ai_next && !addr_leads_away(&addr))))
		item = item->ai_next;
	if (result == 0 && item)
		answer(query, &addr, NULL);
	else if (result != EVUTIL_EAI_CANCEL)
		answer(query, NULL, why_text(result));
	if (list)
		evutil_freeaddrinfo(list);
	free(query);
}

/* The machine's name servers, as the file says now. Queries that are under way keep the ones they began with. */
static int have_dns(struct watch *watch)
{
	struct stat status = {0};
	(void)stat(RESOLV_CONF, &status);
	bool same = watch->dns && memcmp(&status.st_mtim, &watch->read_at, sizeof(watch->read_at)) == 0;
	if (same || (watch->dns && watch->queries))
		return 0;
	if (watch->dns)
		evdns_base_free(watch->dns, 0);
	watch->dns = evdns_base_new(watch->base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (!watch->dns)
		return -ENOENT;
	evdns_base_set_option(watch->dns, "timeout:", "2");
	evdns_base_set_option(watch->dns, "attempts:", "2");
	evdns_base_set_option(watch->dns, "randomize-case:", "1");
	watch->read_at = status.st_mtim;
	return 0;
}

static void resolve(struct watch *watch, const struct msg *msg)
{
	cleanup_arena struct arena *arena = arena_new();
	struct wire_reader reader = {.data = msg->payload, .length = msg->length};
	const char *name = arena ? wire_get_text(&reader, arena, NAME_MOST) : NULL;
	struct query *query = calloc(1, sizeof(*query));
	if (!name || !query || wire_finish(&reader) < 0) {
		free(query);
		return;
	}
	*query = (struct query){.watch = watch, .id = msg->id};
	memcpy(query->name, name, strlen(name));
	const char *why = watch->queries >= QUERIES_MOST ? "too many names are being looked up"
			  : have_dns(watch) < 0		 ? "this machine has no name server (" RESOLV_CONF ")"
							 : NULL;
	if (why) {
		answer(query, NULL, why);
		free(query);
		return;
	}
	const struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_protocol = IPPROTO_UDP};
	watch->queries++;
	evdns_getaddrinfo(watch->dns, name, NULL, &hints, on_resolved, query);
}

static void on_channel(evutil_socket_t fd, short what, void *context)
{
	(void)what;
	struct watch *watch = context;
	for (;;) {
		struct msg msg;
		int r = msg_receive((int)fd, &watch->buffer, &msg);
		if (r == -EAGAIN)
			return;
		if (r <= 0) {
			event_base_loopbreak(watch->base);
			return;
		}
		if (msg.type == MSG_WATCH_RESOLVE)
			resolve(watch, &msg);
		else if (msg.type == MSG_STOP)
			event_base_loopbreak(watch->base);
		msg_close_fds(&msg);
	}
}

/* libevent tells of every name server that does not answer; main hears of it with the answer. */
static void say_nothing(int severity, const char *text)
{
	(void)severity;
	(void)text;
}

int watch_main(void)
{
	static struct watch watch;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	event_set_log_callback(say_nothing);
	int flags = fcntl(MSG_FD, F_GETFL);
	if (flags < 0 || fcntl(MSG_FD, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	watch.base = event_base_new();
	if (!watch.base)
		return -ENOMEM;
	watch.channel = event_new(watch.base, MSG_FD, EV_READ | EV_PERSIST, on_channel, &watch);
	int r = watch.channel && event_add(watch.channel, NULL) == 0 ? msg_send(MSG_FD, MSG_READY, 0, NULL, NULL, 0)
								     : -ENOMEM;
	if (r == 0)
		event_base_dispatch(watch.base);
	if (watch.dns)
		evdns_base_free(watch.dns, 1);
	if (watch.channel)
		event_free(watch.channel);
	event_base_loop(watch.base, EVLOOP_NONBLOCK);
	event_base_free(watch.base);
	return r;
}
