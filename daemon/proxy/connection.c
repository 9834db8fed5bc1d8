/* One forwarded connection: choosing a backend, connecting, trying another one,
 * writing the header, passing events to the relay, and the end. Never accepts;
 * never frees a connection before the turn of the loop is over, since events of
 * both its sockets may be in one batch. */
#include "connection.h"
#include "control.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ORIGINAL_DST 80    /* SO_ORIGINAL_DST of linux/netfilter_ipv4.h, and IP6T_SO_ORIGINAL_DST */
#define AVOID_MS 1000      /* how long a backend that failed is the last choice */
#define KEEPALIVE_IDLE 120 /* s; with the two below a dead peer is found within four minutes */
#define KEEPALIVE_INTERVAL 30
#define KEEPALIVE_PROBES 4
#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)

void socket_reset(int fd)
{
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
	close(fd);
}


/* Where the client wanted to go, before this machine redirected it. */
static struct endpoint original_destination(int fd, const struct endpoint *client)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);
	bool v4 = client->addr.family == FAMILY_V4;
	if (getsockopt(fd, v4 ? SOL_IP : SOL_IPV6, ORIGINAL_DST, &address, &length) < 0) {
		length = sizeof(address);
		if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
			address.ss_family = AF_UNSPEC;
	}
	return endpoint_from_sockaddr(&address);
}

static struct service *choose_service(const struct listener *listener, const struct endpoint *destination)
{
	for (size_t i = 0; i < listener->exact_count; i++)
		if (addr_equal(&listener->exact[i]->address, &destination->addr))
			return listener->exact[i]->service;
	return listener->service;
}

/* Close what is open and leave the rest to connection_bury. */
static void end(struct worker *worker, struct connection *connection, bool reset)
{
	struct service *service = connection->service;
	for (size_t i = 0; i < 2; i++) {
		struct side *side = &connection->sides[i];
		relay_drop(&worker->relay, side);
		if (side->fd < 0)
			continue;
		if (reset)
			socket_reset(side->fd);
		else
			close(side->fd);
	}
	service->counters.bytes_in += connection->sides[TAG_CLIENT].bytes;
	service->counters.bytes_out += connection->sides[TAG_SERVER].bytes;
	service->counters.open--;
	if (connection->backend)
		backend_release(connection->backend);
	wheel_remove(&connection->timer);
	connection->state = CONNECTION_DEAD;
	if (!connection->queued) {
		connection->next = worker->dead;
		worker->dead = connection;
	}
	service_release(&worker->services, service);
}

void connection_bury(struct worker *worker)
{
	while (worker->dead) {
		struct connection *connection = worker->dead;
		worker->dead = connection->next;
		slab_give(&worker->connections, connection);
	}
}

/* A socket on its way to the backend: 0, or -errno when the attempt failed at once. */
static int attempt(struct worker *worker, struct connection *connection)
{
	const struct service *service = connection->service;
	struct endpoint target = {.addr = connection->backend->address,
				  .port = service->target_port ? service->target_port : connection->destination.port};
	struct sockaddr_storage address;
	socklen_t length = (socklen_t)endpoint_to_sockaddr(&target, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* The handshake's ACK waits a moment, so that the header goes with it. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){0}, sizeof(int));
	if ((connect(fd, (struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS) ||
	    worker_watch(worker, fd, EVENTS, connection, TAG_SERVER) < 0) {
		int error = -errno;
		close(fd);
		return error;
	}
	connection->sides[TAG_SERVER] = (struct side){.fd = fd, .state = SIDE_LAZY};
	return 0;
}

/* The backend that was tried did not take the connection. */
static void attempt_failed(struct worker *worker, struct connection *connection)
{
	struct backend *backend = connection->backend;
	connection->service->counters.connect_failures++;
	backend->balance.avoid_until = worker->now + AVOID_MS;
	connection->tried.entries[connection->tried.count++] = &backend->balance;
	connection->backend = NULL;
	backend_release(backend);
	if (connection->sides[TAG_SERVER].fd >= 0)
		close(connection->sides[TAG_SERVER].fd);
	connection->sides[TAG_SERVER].fd = -1;
}

static void refuse(struct worker *worker, struct connection *connection)
{
	connection->service->counters.refused++;
	end(worker, connection, true);
}

/* Connect to a backend that has not failed this connection yet. */
static void connect_next(struct worker *worker, struct connection *connection)
{
	while (connection->tried.count < BALANCE_TRIED_MAX) {
		connection->backend = service_pick(connection->service, &connection->client.addr, &connection->tried,
						   worker->now);
		if (!connection->backend)
			break;
		int error = attempt(worker, connection);
		if (!error) {
			wheel_add(&worker->wheel, &connection->timer, worker->now + connection->service->connect_timeout);
			return;
		}
		if (error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS)
			break; /* not the backend's fault, and no other one would do better */
		attempt_failed(worker, connection);
	}
	refuse(worker, connection);
}

void connection_start(struct worker *worker, const struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
	struct endpoint client = endpoint_from_sockaddr(peer);
	struct endpoint destination = original_destination(fd, &client);
	struct service *service = choose_service(listener, &destination);
	struct connection *connection = service && service->live ? slab_take(&worker->connections) : NULL;
	if (!connection) {
		if (service)
			service->counters.refused++;
		socket_reset(fd);
		return;
	}
	service->counters.accepted++;
	service->counters.open++;
	*connection = (struct connection){
		.service = service,
		.sides = {{.fd = fd, .state = SIDE_READABLE}, {.fd = -1}},
		.client = client,
		.destination = destination,
		.opened = worker->now,
		.active = worker->now,
		.state = CONNECTION_CONNECTING,
	};
	connect_next(worker, connection);
}

/* Both directions, and what follows from where they stand. */
static void run(struct worker *worker, struct connection *connection)
{
	struct side *client = &connection->sides[TAG_CLIENT], *server = &connection->sides[TAG_SERVER];
	struct relay *relay = &worker->relay;
	relay->moved = false;
	enum relay_result in = relay_pump(relay, client, server);
	enum relay_result out = relay_pump(relay, server, client);
	/* A write to the client may have found it gone, which the first direction did not know yet. */
	if (in == RELAY_WAIT && (client->state & SIDE_RESET))
		in = relay_pump(relay, client, server);
	if (relay->moved)
		connection->active = worker->now;
	if (in == RELAY_CUT || out == RELAY_CUT)
		end(worker, connection, true);
	else if (in == RELAY_END && out == RELAY_END)
		end(worker, connection, false);
	else if ((in == RELAY_AGAIN || out == RELAY_AGAIN) && !connection->queued) {
		connection->queued = true;
		connection->next = worker->going;
		worker->going = connection;
	}
}

void connection_go_on(struct worker *worker)
{
	struct connection *chain = worker->going;
	worker->going = NULL;
	while (chain) {
		struct connection *connection = chain;
		chain = connection->next;
		connection->queued = false;
		if (connection->state == CONNECTION_OPEN) {
			run(worker, connection);
		} else {
			connection->next = worker->dead;
			worker->dead = connection;
		}
	}
}

static void note_events(struct side *side, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		side->state |= SIDE_READABLE;
	if (events & EPOLLRDHUP)
		side->state |= SIDE_HANGUP;
	/* A cut stream looks hung up as well: only reading on tells the two apart. */
	if (events & (EPOLLPRI | EPOLLHUP | EPOLLERR))
		side->state |= SIDE_DOUBT;
	if ((events & EPOLLERR) && (side->state & SIDE_END))
		side->state |= SIDE_RESET;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		side->state &= ~(uint32_t)SIDE_BLOCKED;
}

/* As the header programs make them (daemon/bpf/conntrack.h): nanoseconds since 1970, by International Atomic Time, and
 * in the lowest bits who made it. A machine of more than 32 CPUs cannot have both make one at the same moment either:
 * two clocks would have to be read within the same 64 ns. */
static uint64_t unique_id(struct worker *worker)
{
	struct timespec now;
	clock_gettime(CLOCK_TAI, &now);
	uint64_t id = ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) & ~63ull;
	if (id <= worker->last_unique_id)
		id = worker->last_unique_id + 64;
	worker->last_unique_id = id;
	return id | (32u + (unsigned)worker->index % 32u);
}

static size_t encode_header(struct worker *worker, struct connection *connection, uint8_t *buffer)
{
	const struct service *service = connection->service;
	size_t length = header_encode(service->header, &connection->client, &connection->destination, buffer);
	if (!service->tlvs || service->header != PROXY_V2)
		return length;
	if (service->tlvs & TLV_BIT(TLV_UNIQUE_ID))
		connection->unique_id = unique_id(worker);
	return header_add_tlvs(buffer, length, service->tlvs, connection->unique_id);
}

/* The server's socket is connected, or has failed. */
static void connected(struct worker *worker, struct connection *connection, uint32_t events)
{
	struct side *client = &connection->sides[TAG_CLIENT], *server = &connection->sides[TAG_SERVER];
	if (events & (EPOLLERR | EPOLLHUP)) {
		attempt_failed(worker, connection);
		connect_next(worker, connection);
		return;
	}
	uint8_t header[HEADER_MAX];
	size_t header_length = encode_header(worker, connection, header);
	note_events(server, events);
	connection->state = CONNECTION_OPEN;
	connection->active = worker->now;
	int error = relay_open(&worker->relay, client, server, header, header_length);
	if (!error && worker_watch(worker, client->fd, EVENTS, connection, TAG_CLIENT) < 0)
		error = -errno;
	if (error) {
		connection->service->counters.header_errors += error != -ECONNRESET;
		end(worker, connection, true);
		return;
	}
	if (connection->service->log)
		control_tell_opened(worker, connection);
	run(worker, connection);
}

void connection_event(struct worker *worker, struct connection *connection, enum event_tag which, uint32_t events)
{
	if (connection->state == CONNECTION_CONNECTING) {
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			connected(worker, connection, events);
		return;
	}
	if (connection->state != CONNECTION_OPEN)
		return;
	note_events(&connection->sides[which], events);
	run(worker, connection);
}

/* Lets the kernel find out about a peer that is no longer there. */
static void watch_peer(int fd)
{
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){KEEPALIVE_IDLE}, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){KEEPALIVE_INTERVAL}, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){KEEPALIVE_PROBES}, sizeof(int));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int));
}

void connection_timer(struct worker *worker, struct connection *connection)
{
	if (connection->state == CONNECTION_CONNECTING) {
		attempt_failed(worker, connection);
		connect_next(worker, connection);
		return;
	}
	/* The connect timer of a connection that stands is the first to come: short ones never pay for keepalive. */
	if (!connection->watched) {
		connection->watched = true;
		watch_peer(connection->sides[TAG_CLIENT].fd);
		watch_peer(connection->sides[TAG_SERVER].fd);
	}
	uint64_t deadline = connection->active + connection->service->idle_timeout;
	if (worker->now >= deadline)
		end(worker, connection, false);
	else
		wheel_add(&worker->wheel, &connection->timer, deadline);
}
