/* Role main: start, event loop, signals, timers, and the events of the other
 * roles. What is asked of it is answered in answer_*.c, what is applied in apply.c. */
#include "server.h"

#include "apply.h"
#include "front.h"
#include "gather.h"
#include "devices.h"
#include "flow_log.h"
#include "injection.h"
#include "kernel/nft_monitor.h"
#include "log.h"
#include "notify.h"
#include "pressure.h"
#include "request.h"
#include "server_state.h"
#include "takeover.h"
#include "tunnel_rotate.h"
#include "tunnel_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REFRESH_DELAY_US 10000
#define INJECTION_TICKS 8

uint64_t server_now(void)
{
	return (uint64_t)time(NULL);
}

static void tell_refresh(const struct engine_report *report, bool rules_foreign, bool tunnels_foreign)
{
	if (rules_foreign || tunnels_foreign)
		log_warning("engine", "%s in the kernel not as configured (another program's change%s): put right in %zu steps",
			    !tunnels_foreign ? "the rules were" : !rules_foreign ? "tunnels were" : "rules and tunnels were",
			    tunnels_foreign ? ", or a wireguard-go that ended" : "", report->step_count);
	else
		log_info("engine", "%zu steps in %llu ms after a change of health, drains or bans", report->step_count,
			 (unsigned long long)report->commit_ms);
}

static void on_refresh(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct server *server = context;
	if (!engine_model(server->engine))
		return;
	if (server->health_unsaved)
		apply_save_runtime(server);
	server->health_unsaved = false;
	cleanup_arena struct arena *arena = arena_new();
	bool rules_foreign = !engine_in_sync(server->engine), foreign = rules_foreign || server->tunnels_foreign;
	struct engine_report report = {.error = "out of memory"};
	if (!arena || engine_refresh(server->engine, server_now(), arena, &report) < 0) {
		log_error("engine", "cannot bring the kernel in line: %s; trying again in a second", report.error);
		struct timeval second = {.tv_sec = 1};
		event_add(server->refresh, &second);
	} else if (report.step_count && !report.tunnel_error) {
		server->repairs += foreign;
		tell_refresh(&report, rules_foreign, server->tunnels_foreign);
	}
	server->tunnels_foreign = false;
	tunnel_watch_tell(server, report.tunnel_error);
	int r = push_send(server->push, engine_model(server->engine), runtime_view(server->runtime, server_now()),
			  server->roles);
	if (r < 0)
		log_error("push", "the forwarder could not be told: %s", strerror(-r));
	server_set_timers(server);
}

void server_refresh_soon(struct server *server)
{
	static const struct timeval soon = {.tv_usec = REFRESH_DELAY_US};
	if (!event_pending(server->refresh, EV_TIMEOUT, NULL))
		event_add(server->refresh, &soon);
}

void server_settle(struct server *server)
{
	if (!event_pending(server->refresh, EV_TIMEOUT, NULL))
		return;
	event_del(server->refresh);
	on_refresh(-1, 0, server);
}

static void set_timer(struct event *timer, uint64_t seconds)
{
	struct timeval wait = {.tv_sec = (time_t)seconds};
	event_del(timer);
	event_add(timer, &wait);
}

void server_set_timers(struct server *server)
{
	uint64_t now = server_now(), next = runtime_next_expiry(server->runtime);
	event_del(server->expiry);
	if (next)
		set_timer(server->expiry, next > now ? next - now : 1);
	struct history_pending pending;
	event_del(server->deadline);
	if (history_pending(server->history, &pending))
		set_timer(server->deadline, history_pending_seconds_left(&pending));
}

static void on_expiry(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct server *server = context;
	if (runtime_expire(server->runtime, server_now()) > 0) {
		apply_save_runtime(server);
		server_refresh_soon(server);
	}
	server_set_timers(server);
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct server *server = context;
	struct history_pending pending;
	if (history_pending(server->history, &pending) && history_pending_seconds_left(&pending) == 0)
		apply_expire(server);
	server_set_timers(server);
}

static void on_monitor(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct server *server = context;
	enum monitor_change result = monitor_read(server->monitor);
	if (result == MONITOR_NOTHING || result == MONITOR_OWN)
		return;
	/* Others may change their own tables as they like; looking is cheap, and the diff decides. */
	engine_distrust(server->engine);
	server_refresh_soon(server);
}

/* A device or a filter came or went: what lost the header programs is closed as soon as it is seen. */
static void on_injection(void *context)
{
	struct server *server = context;
	if (devices_update(server, engine_model(server->engine)) > 0)
		server_refresh_soon(server);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct server *server = context;
	notify_alive();
	flow_log_tick(server);
	/* Its events say when; this is for what they may have missed, and for programs that are pinned meanwhile. */
	if (server->ticks++ % INJECTION_TICKS == 0 || injection_waits(server->injection))
		on_injection(server);
	if (push_linger_over(server->push, server_now()))
		server_refresh_soon(server);
	if (pressure_look(server->pressure, server->kernel, engine_model(server->engine), server->runtime,
			  server_now()) > 0)
		server_refresh_soon(server);
	if (!server->options.role_dir)
		takeover_write(server->options.runtime_dir, server->roles);
}

static void on_ready(void *context, enum role role, unsigned index)
{
	struct server *server = context;
	if (role == ROLE_API) {
		front_lend(server->front, server->roles);
		return;
	}
	if (role == ROLE_WATCH)
		return tunnel_watch_ask(server);
	push_to(server->push, server->roles, role, index);
	if (role == ROLE_PROXY && !server->options.role_dir)
		takeover_write(server->options.runtime_dir, server->roles);
}

static void on_health(struct server *server, struct msg *msg)
{
	cleanup_arena struct arena *arena = arena_new();
	if (!arena)
		return;
	struct wire_reader reader = {.data = msg->payload, .length = msg->length};
	const char *node = wire_get_text(&reader, arena, MODEL_NAME_MAX);
	uint32_t port = wire_get_bounded(&reader, 65535);
	bool up = wire_get_bounded(&reader, 1) == 1;
	const char *why = wire_get_text(&reader, arena, 256);
	const struct model *model = engine_model(server->engine);
	if (wire_finish(&reader) < 0 || !node || !model || !model_find_node(model, node))
		return;
	int r = runtime_set_health(server->runtime, node, (uint16_t)port, up, why, server_now());
	if (r <= 0)
		return;
	log_info("health", "%s port %u is %s: %s", node, port, up ? "up" : "down", why ? why : "");
	/* A start with thousands of pairs must not write the file thousands of times. */
	server->health_unsaved = true;
	server_refresh_soon(server);
}

static void on_role_message(void *context, enum role role, unsigned index, struct msg *msg)
{
	struct server *server = context;
	if (role == ROLE_API && msg->type == MSG_API_REQUEST) {
		request_handle(server, msg);
	} else if (role == ROLE_PROXY && msg->type == MSG_PROXY_ANSWER) {
		gather_answer(server, msg);
	} else if (role == ROLE_PROXY && msg->type == MSG_PROXY_OPENED) {
		flow_log_proxied(server, msg);
	} else if (role == ROLE_PROBER && msg->type == MSG_PROXY_HEALTH) {
		on_health(server, msg);
	} else if (role == ROLE_WATCH && msg->type == MSG_WATCH_RESOLVED) {
		tunnel_watch_resolved(server, msg);
	} else if (role == ROLE_PROXY && msg->type == MSG_PROXY_APPLIED) {
		if (server->outgoing_workers)
			takeover_finish(server->options.runtime_dir, &server->former);
		server->outgoing_workers = false;
	} else if (msg->type != MSG_PROXY_APPLIED) {
		log_error("role", "%s %u sent message %d, which is not its to send: ignored", role_names[role], index,
			  (int)msg->type);
	}
}

static void on_stop(evutil_socket_t signal_number, short what, void *context)
{
	(void)signal_number;
	(void)what;
	struct server *server = context;
	notify_stopping();
	event_base_loopbreak(server->base);
}

static int make_folders(const struct server *server)
{
	const char *folders[] = {server->options.state_dir, server->options.runtime_dir};
	static const mode_t modes[] = {0700, 0755};
	for (int i = 0; i < 2; i++) {
		if (mkdir(folders[i], modes[i]) < 0 && errno != EEXIST) {
			int error = -errno;
			log_error("edged", "cannot make the folder \"%s\": %s", folders[i], strerror(-error));
			return error;
		}
	}
	return 0;
}

/* One main per runtime folder; the lock goes with the process. */
static int take_lock(struct server *server)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/edged.lock", server->options.runtime_dir);
	server->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (server->lock < 0 || flock(server->lock, LOCK_EX | LOCK_NB) < 0) {
		int error = -errno;
		if (error == -EWOULDBLOCK)
			log_error("edged", "another edged runs with the runtime folder \"%s\"",
				  server->options.runtime_dir);
		else
			log_error("edged", "cannot lock \"%s\": %s", path, strerror(-error));
		return error;
	}
	return 0;
}

static int make_events(struct server *server)
{
	struct event_config *config = event_config_new();
	/* The default clock is only as fine as the kernel's tick. */
	if (config)
		event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	server->base = config ? event_base_new_with_config(config) : NULL;
	if (config)
		event_config_free(config);
	if (!server->base)
		return -ENOMEM;
	server->refresh = evtimer_new(server->base, on_refresh, server);
	server->deadline = evtimer_new(server->base, on_deadline, server);
	server->expiry = evtimer_new(server->base, on_expiry, server);
	server->tick = event_new(server->base, -1, EV_PERSIST, on_tick, server);
	static const int stops[] = {SIGTERM, SIGINT};
	for (size_t i = 0; i < 2; i++) {
		struct event *stop = evsignal_new(server->base, stops[i], on_stop, server);
		if (!stop || event_add(stop, NULL) < 0)
			return -ENOMEM;
	}
	return server->refresh && server->deadline && server->expiry && server->tick ? 0 : -ENOMEM;
}

static int open_kernel(struct server *server)
{
	int owner = notify_take_stored(takeover_inherit, &server->former);
	int r = kernel_open(owner, &server->kernel);
	if (r < 0) {
		log_error("kernel", "cannot speak to nftables: %s (edged needs CAP_NET_ADMIN and the nf_tables module)",
			  strerror(-r));
		return r;
	}
	bool can_own = kernel_has_owner_persist(server->kernel);
	runtime_set_kernel(server->runtime, can_own, kernel_has_synproxy(server->kernel));
	if (!can_own)
		log_info("kernel", "this kernel has no owner and persist flags (6.9 and later): foreign changes are "
				   "repaired instead");
	r = monitor_open(server->kernel, &server->monitor);
	if (r < 0) {
		log_error("kernel", "cannot watch for foreign changes: %s", strerror(-r));
		return r;
	}
	server->monitor_event =
		event_new(server->base, monitor_fd(server->monitor), EV_READ | EV_PERSIST, on_monitor, server);
	return server->monitor_event && event_add(server->monitor_event, NULL) == 0 ? 0 : -ENOMEM;
}

static unsigned count_cores(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	int count = CPU_COUNT(&set);
	return count < 1 ? 1 : count > 64 ? 64 : (unsigned)count;
}

/* What is needed to bring up a configuration; no other process yet. */
static int start_core(struct server *server, unsigned workers, bool watch)
{
	server->runtime = runtime_new();
	server->push = push_new(workers);
	server->pressure = pressure_new();
	server->warnings_arena = arena_new();
	if (!server->runtime || !server->push || !server->pressure || !server->warnings_arena)
		return -ENOMEM;
	diag_init(&server->warnings, server->warnings_arena);
	int r = make_folders(server);
	if (r == 0)
		r = take_lock(server);
	if (r == 0)
		r = make_events(server);
	if (r == 0)
		r = history_open(server->options.state_dir, &server->history);
	if (r == 0)
		r = open_kernel(server);
	if (r < 0)
		return r;
	r = injection_open(watch ? server->base : NULL, server->options.runtime_dir, server->runtime, on_injection, server,
			   &server->injection);
	if (r < 0)
		return r;
	server->engine = engine_new(server->kernel, server->runtime);
	r = server->engine ? tunnel_watch_open(server) : -ENOMEM;
	return r == 0 ? tunnel_rotate_open(server) : r;
}

static int start(struct server *server)
{
	unsigned workers = count_cores();
	int r = start_core(server, workers, true);
	if (r == 0)
		r = front_open(server->options.runtime_dir, &server->front);
	if (r < 0)
		return r;
	takeover_begin(server->options.runtime_dir);
	server->outgoing_workers = true;
	/* The firewall first: nothing else may keep it waiting. */
	apply_boot(server);
	notify_store_owner(kernel_owner_fd(server->kernel));
	struct role_events events = {.ready = on_ready, .message = on_role_message, .context = server};
	r = roles_start(server->base, workers, server->options.role_dir, &events, &server->roles);
	if (r < 0)
		return r;
	front_apply(server->front, engine_model(server->engine), server->options.config, server->roles);
	server_set_timers(server);
	struct timeval second = {.tv_sec = 1};
	return event_add(server->tick, &second) < 0 ? -ENOMEM : 0;
}

static void server_close(struct server *server)
{
	gather_free_all(server);
	tunnel_rotate_close(server);
	tunnel_watch_close(server);
	roles_stop(&server->roles);
	push_free(&server->push);
	pressure_free(&server->pressure);
	front_close(&server->front);
	engine_free(&server->engine);
	flow_log_close(server);
	injection_close(&server->injection);
	if (server->monitor)
		monitor_close(&server->monitor);
	if (server->kernel)
		server->kernel->ops->close(&server->kernel);
	tunnels_close(&server->tunnels);
	history_close(&server->history);
	runtime_free(&server->runtime);
	arena_free(&server->warnings_arena);
}

int server_expire(const struct options *options)
{
	struct server server = {.options = *options, .lock = -1, .started_at = server_now()};
	umask(0077);
	int r = start_core(&server, 1, false);
	if (r == 0)
		apply_boot(&server);
	server_close(&server);
	return r == -EWOULDBLOCK ? 0 : r;
}

int server_main(const struct options *options)
{
	struct server server = {.options = *options, .lock = -1, .started_at = server_now()};
	signal(SIGPIPE, SIG_IGN);
	umask(0077);
	/* No core file, no ptrace by others: the configuration's keys live here. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	int r = start(&server);
	if (r == 0) {
		notify_ready();
		log_info("edged", "edged %s runs, revision %u", EDGED_VERSION, server.revision);
		event_base_dispatch(server.base);
		log_info("edged", "stopping; rules and kernel-forwarded connections stay");
	} else {
		log_error("edged", "cannot start: %s", strerror(-r));
	}
	server_close(&server);
	return r;
}
