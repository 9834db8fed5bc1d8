/* The worker's set-up and event loop. One thread, one epoll, one timer wheel;
 * nothing is shared with other workers. */
#include "worker.h"
#include "../msg.h"
#include "connection.h"
#include "control.h"
#include "listener.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syslog.h>
#include <time.h>
#include <unistd.h>

#define EVENT_BATCH 256
#define CONNECTIONS_MAX (1u << 20)
#define FDS_SPARE 64u              /* besides connections, pipes and listeners */
#define HELD_MOST (64u << 20)      /* bytes of all connections that wait in memory for full sockets */
#define LOG_LINES 10
#define LOG_SPAN_MS 10000

void worker_log(struct worker *worker, int priority, const char *format, ...)
{
	if (worker->now >= worker->log_until) {
		worker->log_until = worker->now + LOG_SPAN_MS;
		worker->logged = 0;
	}
	if (worker->logged++ >= LOG_LINES)
		return;
	char line[512];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	cleanup_wire struct wire_writer payload = {0};
	wire_put_u32(&payload, (uint32_t)priority);
	wire_put_text(&payload, line);
	control_send(worker, MSG_LOG, 0, &payload);
}

int worker_watch(struct worker *worker, int fd, uint32_t events, void *object, enum event_tag tag)
{
	struct epoll_event event = {.events = events, .data.u64 = (uint64_t)(uintptr_t)object | tag};
	return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void worker_stop(struct worker *worker)
{
	if (worker->stopping)
		return;
	listeners_stop(worker);
	worker->stopping = true;
}

static uint64_t clock_now(void)
{
	struct timespec time;
	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* The worker's own CPU: the n-th of those that the process may use. */
static void pin(int worker)
{
	cpu_set_t allowed, own;
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return;
	int left = worker % CPU_COUNT(&allowed);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || left-- > 0)
			continue;
		CPU_ZERO(&own);
		CPU_SET(cpu, &own);
		(void)sched_setaffinity(0, sizeof(own), &own);
		return;
	}
}

/* How many connections, of two descriptors each, the descriptor limit has room for. */
static size_t capacity(struct worker *worker)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 4 * (rlim_t)CONNECTIONS_MAX)
		limit.rlim_cur = 4 * (rlim_t)CONNECTIONS_MAX;
	size_t fds = (size_t)limit.rlim_cur;
	/* An eighth for listeners, an eighth for pipes. */
	worker->relay.pipes.most = (uint32_t)(fds / 16 < PIPES_MAX ? fds / 16 : PIPES_MAX);
	size_t taken = FDS_SPARE + fds / 8 + 2 * worker->relay.pipes.most;
	size_t room = fds > taken ? (fds - taken) / 2 : 1;
	return room < CONNECTIONS_MAX ? room : CONNECTIONS_MAX;
}

static int open_signals(struct worker *worker)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	worker->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return worker->signals < 0 ? -errno : 0;
}

static int set_up(struct worker *worker)
{
	worker->now = clock_now();
	wheel_init(&worker->wheel, worker->now);
	worker->relay.held_most = HELD_MOST;
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll < 0)
		return -errno;
	int error = slab_init(&worker->connections, sizeof(struct connection), capacity(worker));
	if (!error)
		error = open_signals(worker);
	if (error)
		return error;
	worker->reserve = fcntl(worker->epoll, F_DUPFD_CLOEXEC, 0);
	if (fcntl(worker->control, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	error = worker_watch(worker, worker->control, EPOLLIN, NULL, TAG_CONTROL);
	if (!error)
		error = worker_watch(worker, worker->signals, EPOLLIN, NULL, TAG_SIGNAL);
	pin(worker->index);
	return error ? error : sandbox_enter();
}

static void tear_down(struct worker *worker)
{
	pipe_pool_free(&worker->relay.pipes);
	slab_free(&worker->connections);
	service_table_free(&worker->services);
	free(worker->listeners);
	for (size_t i = 0; i < 4; i++) {
		int fd = (int[]){worker->signals, worker->reserve, worker->epoll, worker->control}[i];
		if (fd >= 0)
			close(fd);
	}
}

static void handle(struct worker *worker, const struct epoll_event *event)
{
	enum event_tag tag = (enum event_tag)(event->data.u64 & TAG_MASK);
	void *object = (void *)(uintptr_t)(event->data.u64 & ~(uint64_t)TAG_MASK);
	struct signalfd_siginfo info;
	switch (tag) {
	case TAG_CLIENT:
	case TAG_SERVER:
		connection_event(worker, object, tag, event->events);
		return;
	case TAG_LISTENER:
		listener_event(worker, object);
		return;
	case TAG_CONTROL:
		worker->control_waits = true;
		return;
	case TAG_SIGNAL:
		while (read(worker->signals, &info, sizeof(info)) > 0)
			worker->stop_waits = true;
		return;
	case TAG_MASK:
		return;
	}
}

static void expire(struct worker *worker)
{
	struct wheel_entry *entry;
	while ((entry = wheel_expire(&worker->wheel, worker->now))) {
		if (entry == &worker->retry)
			listeners_refuse(worker);
		else
			connection_timer(worker, (struct connection *)entry);
	}
}

/* One turn. Listeners change only after the batch: an event in it may be theirs. */
static int turn(struct worker *worker)
{
	static struct epoll_event events[EVENT_BATCH]; /* static: nothing has to clear it each time */
	int wait = worker->going ? 0 : wheel_wait(&worker->wheel, worker->now);
	int count = epoll_wait(worker->epoll, events, EVENT_BATCH, wait);
	if (count < 0 && errno != EINTR)
		return -errno;
	worker->now = clock_now();
	for (int i = 0; i < count; i++)
		handle(worker, &events[i]);
	connection_go_on(worker);
	expire(worker);
	if (worker->control_waits)
		control_event(worker);
	if (worker->stop_waits)
		worker_stop(worker);
	worker->control_waits = worker->stop_waits = false;
	connection_bury(worker);
	(void)listeners_resume(worker);
	return 0;
}

int proxy_worker_main(int worker_index, int worker_count)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	worker->index = worker_index;
	worker->count = worker_count;
	worker->control = MSG_FD;
	worker->epoll = worker->signals = worker->reserve = -1;
	int error = set_up(worker);
	if (!error)
		control_send(worker, MSG_READY, 0, NULL);
	while (!error && !(worker->stopping && !worker->connections.used))
		error = turn(worker);
	tear_down(worker);
	free(worker);
	return error;
}
