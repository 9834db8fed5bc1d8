/* Accepting: listening sockets, their place in a configuration, and what
 * happens when descriptors or connections are out. Knows nothing of what a
 * connection does afterwards. */
#include "listener.h"
#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syslog.h>
#include <unistd.h>

#define BATCH 64        /* accepted from one listener before others have their turn */
#define FULL_WAIT_MS 256 /* how long who comes may wait for room before being refused */

int listener_steer(int listener, int worker_count)
{
	struct sock_filter code[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_CPU)},
		{BPF_ALU | BPF_MOD | BPF_K, 0, 0, (uint32_t)worker_count},
		{BPF_RET | BPF_A, 0, 0, 0},
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	if (setsockopt(listener, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0)
		return -errno;
	return 0;
}

static struct listener *find(const struct worker *worker, uint32_t id)
{
	for (size_t i = 0; i < worker->listener_count; i++)
		if (worker->listeners[i]->id == id)
			return worker->listeners[i];
	return NULL;
}

/* What accepted sockets inherit, so that it costs no call for each. */
static void prepare(int fd)
{
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	/* The ACK of a request waits for the answer to go with it. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){0}, sizeof(int));
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int));
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
}

static bool is_listening_tcp(int fd)
{
	int listening = 0, protocol = 0;
	socklen_t length = sizeof(int), length2 = sizeof(int);
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening &&
	       getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length2) == 0 && protocol == IPPROTO_TCP;
}

/* A RST for everyone who waits in the queue: the reserve is given up for one socket at a time. */
static void refuse_waiting(struct worker *worker, const struct listener *listener)
{
	for (int i = 0; i < BATCH; i++) {
		if (worker->reserve >= 0)
			close(worker->reserve);
		int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			if (listener->service)
				listener->service->counters.refused++;
			socket_reset(fd);
		}
		worker->reserve = fcntl(worker->epoll, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return;
	}
}

static void watch_all(struct worker *worker, bool on)
{
	for (size_t i = 0; i < worker->listener_count; i++) {
		struct listener *listener = worker->listeners[i];
		if (!listener->named)
			continue;
		struct epoll_event event = {.events = on ? EPOLLIN : 0,
					    .data.u64 = (uint64_t)(uintptr_t)listener | TAG_LISTENER};
		(void)epoll_ctl(worker->epoll, EPOLL_CTL_MOD, listener->fd, &event);
	}
}

static void become_full(struct worker *worker, const char *what)
{
	if (worker->full_since)
		return;
	worker->full_since = worker->now;
	watch_all(worker, false);
	wheel_add(&worker->wheel, &worker->retry, worker->now + FULL_WAIT_MS);
	worker_log(worker, LOG_WARNING, "proxy: no room for another connection (%s; %zu are open)", what,
		   worker->connections.used);
}

bool listeners_resume(struct worker *worker)
{
	if (!worker->full_since)
		return true;
	if (worker->connections.used >= worker->connections.capacity)
		return false;
	int probe = fcntl(worker->epoll, F_DUPFD_CLOEXEC, 0);
	if (probe < 0)
		return false;
	close(probe);
	worker->full_since = 0;
	wheel_remove(&worker->retry);
	watch_all(worker, true);
	return true;
}

void listeners_refuse(struct worker *worker)
{
	if (listeners_resume(worker))
		return;
	for (size_t i = 0; i < worker->listener_count; i++)
		if (worker->listeners[i]->named)
			refuse_waiting(worker, worker->listeners[i]);
	wheel_add(&worker->wheel, &worker->retry, worker->now + FULL_WAIT_MS);
}

/* Accept at most `most`. True when the queue is known to be empty. */
static bool accept_some(struct worker *worker, struct listener *listener, int most)
{
	for (int i = 0; i < most; i++) {
		if (worker->connections.used >= worker->connections.capacity) {
			become_full(worker, "the limit of this worker");
			return true;
		}
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);
		int fd = accept4(listener->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			connection_start(worker, listener, fd, &peer);
			continue;
		}
		switch (errno) {
		case EINTR:
		case ECONNABORTED:
		case EPROTO:
			continue; /* that one is gone */
		case EMFILE:
		case ENFILE:
		case ENOBUFS:
		case ENOMEM:
			become_full(worker, strerror(errno));
			return true;
		default:
			return true;
		}
	}
	return false;
}

void listener_event(struct worker *worker, struct listener *listener)
{
	if (!worker->full_since && !worker->stopping)
		(void)accept_some(worker, listener, BATCH);
}

static void listener_free(struct worker *worker, struct listener *listener)
{
	/* The socket may live on in another process: closing alone would not end the watch. */
	if (listener->named)
		(void)epoll_ctl(worker->epoll, EPOLL_CTL_DEL, listener->fd, NULL);
	close(listener->fd);
	free(listener->exact);
	free(listener);
}

static void drain(struct worker *worker, struct listener *listener)
{
	/* Bounded: who arrives faster than this is not waiting but new. */
	for (int i = 0; i < 1024 && listener->named && !worker->full_since; i++)
		if (accept_some(worker, listener, BATCH))
			break;
}

void listeners_stop(struct worker *worker)
{
	for (size_t i = 0; i < worker->listener_count; i++)
		drain(worker, worker->listeners[i]);
	for (size_t i = 0; i < worker->listener_count; i++)
		listener_free(worker, worker->listeners[i]);
	worker->listener_count = 0;
}

int listeners_add(struct worker *worker, uint32_t id, int fd)
{
	int error = -EBADMSG;
	if (!is_listening_tcp(fd))
		goto fail;
	prepare(fd);
	struct listener *listener = find(worker, id);
	if (listener) {
		/* Watched from the next configuration on, as a new one is. */
		drain(worker, listener);
		if (listener->named)
			(void)epoll_ctl(worker->epoll, EPOLL_CTL_DEL, listener->fd, NULL);
		close(listener->fd);
		listener->fd = fd;
		listener->named = false;
		return 0;
	}
	error = -ENOMEM;
	struct listener **grown =
		realloc(worker->listeners, (worker->listener_count + 1) * sizeof(struct listener *));
	if (!grown)
		goto fail;
	worker->listeners = grown;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		goto fail;
	listener->id = id;
	listener->fd = fd;
	grown[worker->listener_count++] = listener;
	return 0;
fail:
	close(fd);
	return error;
}

/* What becomes of each listener that the worker has, in its order. */
struct listener_plan {
	size_t count;
	struct plan_entry {
		const struct proxy_listener *as; /* NULL: not named, to be closed */
		struct listener **exact;
		size_t exact_count;
		bool watched; /* newly, by the plan */
	} entries[];
};

void listener_plan_free(struct listener_plan **plan)
{
	if (!*plan)
		return;
	for (size_t i = 0; i < (*plan)->count; i++)
		free((*plan)->entries[i].exact);
	free(*plan);
	*plan = NULL;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = (*(const struct proxy_listener *const *)a)->id, y = (*(const struct proxy_listener *const *)b)->id;
	return x < y ? -1 : x > y;
}

static int compare_ports(const void *a, const void *b)
{
	return (int)(*(const struct plan_entry *const *)a)->as->port - (int)(*(const struct plan_entry *const *)b)->as->port;
}

/* Find what the configuration says of each listener; each that it names must be here, once. */
static int match_listeners(const struct worker *worker, const struct proxy_config *config, struct listener_plan *plan)
{
	size_t matched = 0;
	const struct proxy_listener **sorted = calloc(config->listener_count + 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < config->listener_count; i++)
		sorted[i] = &config->listeners[i];
	qsort(sorted, config->listener_count, sizeof(*sorted), compare_ids);
	for (size_t i = 0; i < plan->count; i++) {
		const struct proxy_listener key = {.id = worker->listeners[i]->id}, *key_at = &key;
		const struct proxy_listener **found =
			bsearch(&key_at, sorted, config->listener_count, sizeof(*sorted), compare_ids);
		if (found) {
			plan->entries[i].as = *found;
			matched++;
		}
	}
	free(sorted);
	return matched == config->listener_count ? 0 : -EBADMSG;
}

/* For each listener on any address: those with an address on the same port. */
static int collect_exact(const struct worker *worker, struct listener_plan *plan)
{
	size_t count = 0;
	int error = 0;
	struct plan_entry **sorted = calloc(plan->count + 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < plan->count; i++)
		if (plan->entries[i].as && plan->entries[i].as->address.family != FAMILY_NONE)
			sorted[count++] = &plan->entries[i];
	qsort(sorted, count, sizeof(*sorted), compare_ports);
	for (size_t i = 0; i < plan->count && !error; i++) {
		struct plan_entry *entry = &plan->entries[i];
		if (!entry->as || entry->as->address.family != FAMILY_NONE)
			continue;
		struct plan_entry **first = bsearch(&entry, sorted, count, sizeof(*sorted), compare_ports), **last = first;
		if (!first)
			continue;
		while (first > sorted && compare_ports(first - 1, &entry) == 0)
			first--;
		while (last < sorted + count && compare_ports(last, &entry) == 0)
			last++;
		entry->exact = calloc((size_t)(last - first), sizeof(*entry->exact));
		if (!entry->exact)
			error = -ENOMEM;
		for (; first < last && !error; first++)
			entry->exact[entry->exact_count++] = worker->listeners[*first - plan->entries];
	}
	free(sorted);
	return error;
}

/* Watch the new ones: the last thing that can fail. */
static int watch_new(struct worker *worker, struct listener_plan *plan)
{
	int error = 0;
	for (size_t i = 0; i < plan->count && !error; i++) {
		struct listener *listener = worker->listeners[i];
		if (!plan->entries[i].as || listener->named)
			continue;
		error = worker_watch(worker, listener->fd, worker->full_since ? 0 : EPOLLIN, listener, TAG_LISTENER);
		plan->entries[i].watched = !error;
	}
	for (size_t i = 0; i < plan->count && error; i++)
		if (plan->entries[i].watched)
			(void)epoll_ctl(worker->epoll, EPOLL_CTL_DEL, worker->listeners[i]->fd, NULL);
	return error;
}

int listeners_plan(struct worker *worker, const struct proxy_config *config, struct listener_plan **ret_plan)
{
	struct listener_plan *plan =
		calloc(1, sizeof(*plan) + worker->listener_count * sizeof(plan->entries[0]));
	if (!plan)
		return -ENOMEM;
	plan->count = worker->listener_count;
	int error = match_listeners(worker, config, plan);
	if (!error)
		error = collect_exact(worker, plan);
	if (!error)
		error = watch_new(worker, plan);
	if (error) {
		listener_plan_free(&plan);
		return error;
	}
	for (size_t i = 0; i < plan->count; i++)
		if (!plan->entries[i].as)
			drain(worker, worker->listeners[i]);
	*ret_plan = plan;
	return 0;
}

void listeners_commit(struct worker *worker, struct listener_plan **plan)
{
	size_t kept = 0;
	for (size_t i = 0; i < (*plan)->count; i++) {
		struct plan_entry *entry = &(*plan)->entries[i];
		struct listener *listener = worker->listeners[i];
		if (!entry->as) {
			listener_free(worker, listener);
			continue;
		}
		listener->named = true;
		listener->address = entry->as->address;
		listener->port = entry->as->port;
		uint32_t forward = entry->as->forward;
		listener->service = forward == PROXY_FORWARD_NONE ? NULL : worker->services.items[forward];
		free(listener->exact);
		listener->exact = entry->exact;
		listener->exact_count = entry->exact_count;
		entry->exact = NULL;
		worker->listeners[kept++] = listener;
	}
	worker->listener_count = kept;
	listener_plan_free(plan);
}
