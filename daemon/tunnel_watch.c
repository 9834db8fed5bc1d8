/* Events about tunnels in main's loop: what rtnetlink tells, a look every few
 * seconds at what it does not tell (peers, keys), and another try where one
 * could not be brought in line. What is to be done is the engine's to find. */
#include "tunnel_watch.h"

#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_SECONDS 2u
#define SOON_MS 50u
#define WAIT_MOST 30u
#define NAME_MOST 255 /* of a host: RFC 1035 section 2.3.4 */

struct tunnel_watch {
	struct event *netlink, *look, *soon;
	const struct model *model; /* that was last in force: only ever compared */
	char *error;
	uint64_t wait, again_at; /* seconds: while one cannot be had, the whole is not gone through again and again */
};

/* differs: what is in the kernel is not what shall be, and not because that has changed just now. */
static void refresh(struct server *server, bool differs)
{
	const struct tunnel_watch *watch = server->tunnel_watch;
	if (differs && !watch->error && !event_pending(server->refresh, EV_TIMEOUT, NULL))
		server->tunnels_foreign = true;
	if (!watch->error || server_now() >= watch->again_at)
		server_refresh_soon(server);
}

static void on_netlink(evutil_socket_t fd, short what, void *context)
{
	(void)what;
	struct server *server = context;
	/* Our own changes are told too: the diff decides. */
	if (tunnel_monitor_read(fd, engine_tunnels(server->engine, false)) && engine_tunnels_differ(server->engine))
		refresh(server, true);
}

static void ask(void *context, const char *name)
{
	struct server *server = context;
	struct wire_writer writer cleanup_wire = {0};
	wire_put_text(&writer, name);
	/* Whatever becomes of it: it is asked again. */
	(void)roles_send(server->roles, ROLE_WATCH, 0, MSG_WATCH_RESOLVE, 0, &writer, NULL, 0);
}

void tunnel_watch_ask(struct server *server)
{
	if (server->roles)
		tunnels_lookups(server->tunnels, engine_model(server->engine), server_now(), ask, server);
}

void tunnel_watch_resolved(struct server *server, const struct msg *msg)
{
	cleanup_arena struct arena *arena = arena_new();
	if (!arena)
		return;
	struct wire_reader reader = {.data = msg->payload, .length = msg->length};
	const char *name = wire_get_text(&reader, arena, NAME_MOST);
	struct addr addr = wire_get_addr(&reader);
	const char *why = wire_get_text(&reader, arena, 120);
	if (wire_finish(&reader) < 0 || !name)
		return;
	/* Whoever answers for a name has no say in what this machine sends to itself. */
	if (addr.family != FAMILY_NONE && !addr_leads_away(&addr)) {
		addr = (struct addr){0};
		why = "its address is no other machine's";
	}
	if (addr.family == FAMILY_NONE)
		log_warning("tunnel", "the endpoint \"%s\" cannot be resolved: %s", name, why ? why : "no address");
	if (tunnels_resolved(server->tunnels, engine_model(server->engine), name, &addr, why))
		server_refresh_soon(server);
}

static void on_look(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct server *server = context;
	const struct model *model = engine_model(server->engine);
	bool differ = engine_tunnels_differ(server->engine), judged;
	const struct tunnel_list *seen = engine_tunnels(server->engine, false);
	tunnels_note(server->tunnels, model, seen);
	struct timespec uptime;
	clock_gettime(CLOCK_MONOTONIC, &uptime);
	judged = tunnels_judge(server->tunnels, model, seen, server_now(), (uint64_t)uptime.tv_sec);
	tunnel_watch_ask(server);
	if (differ || judged)
		refresh(server, differ);
}

static int make_events(struct server *server, struct tunnel_watch *watch)
{
	static const struct timeval every = {.tv_sec = LOOK_SECONDS};
	int fd = tunnel_monitor_open();
	if (fd < 0)
		return fd;
	watch->netlink = event_new(server->base, fd, EV_READ | EV_PERSIST, on_netlink, server);
	watch->look = event_new(server->base, -1, EV_PERSIST, on_look, server);
	watch->soon = evtimer_new(server->base, on_look, server);
	if (!watch->netlink)
		close(fd);
	if (!watch->netlink || !watch->look || !watch->soon)
		return -ENOMEM;
	return event_add(watch->netlink, NULL) == 0 && event_add(watch->look, &every) == 0 ? 0 : -ENOMEM;
}

int tunnel_watch_open(struct server *server)
{
	server->tunnel_watch = calloc(1, sizeof(*server->tunnel_watch));
	int r = server->tunnel_watch ? tunnels_open(server->options.state_dir, server->runtime, &server->tunnels) : -ENOMEM;
	if (r == 0)
		r = make_events(server, server->tunnel_watch);
	if (r < 0) {
		log_error("tunnel", "cannot keep tunnels: %s", strerror(-r));
		return r;
	}
	engine_use_tunnels(server->engine, tunnels_kernel(server->tunnels));
	return 0;
}

void tunnel_watch_close(struct server *server)
{
	struct tunnel_watch *watch = server->tunnel_watch;
	if (!watch)
		return;
	if (watch->netlink) {
		int fd = event_get_fd(watch->netlink);
		event_free(watch->netlink);
		close(fd);
	}
	if (watch->look)
		event_free(watch->look);
	if (watch->soon)
		event_free(watch->soon);
	free(watch->error);
	free(watch);
	server->tunnel_watch = NULL;
}

void tunnel_watch_tell(struct server *server, const char *error)
{
	struct tunnel_watch *watch = server->tunnel_watch;
	tunnels_note(server->tunnels, engine_model(server->engine), engine_tunnels(server->engine, false));
	if (error && (!watch->error || strcmp(watch->error, error) != 0))
		log_error("tunnel", "%s; it is tried again", error);
	if (!error && watch->error)
		log_info("tunnel", "all tunnels are as configured again");
	watch->wait = !error ? 0 : watch->wait * 2 > WAIT_MOST ? WAIT_MOST : watch->wait ? watch->wait * 2 : LOOK_SECONDS;
	watch->again_at = server_now() + watch->wait;
	free(watch->error);
	watch->error = error ? strdup(error) : NULL;
	if (watch->model == engine_model(server->engine))
		return;
	/* After an apply: names are asked for, and a first probe is sent, which begins the handshake of a new peer. */
	watch->model = engine_model(server->engine);
	const struct timeval soon = {.tv_usec = SOON_MS * 1000};
	(void)event_add(watch->soon, &soon);
}

const char *tunnel_watch_error(const struct server *server)
{
	return server->tunnel_watch->error;
}
