/* An HTTP client that costs little, for the benchmarks. "close": connections as
 * fast as it can, one request over each; "keep": requests over connections that
 * stay. With a header it sends the PROXY protocol's version 2 itself, as a segment
 * of its own and ahead of the request: what the header costs the two ends, whoever
 * adds it.
 *
 *   dial ADDRESS PORT CONNECTIONS SECONDS close|keep|RATE [header]
 *
 * RATE: "keep", but so many requests a second and no more, timed from when each
 * was due: an answer that is late makes the next one late too.
 *
 * IPv4. Prints how many requests were served per second, and the 50th, 99th and
 * 99.9th percentile of their time in microseconds: from connect() to the server's
 * end, or from the request to the last byte of the answer. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LONGEST 1000000u /* microseconds; what takes longer counts as this */
#define THREADS 2

struct dialer {
	pthread_t thread;
	unsigned connections;
	uint64_t served, failed, sent;
	uint32_t *times; /* how many took so many microseconds */
};

struct connection {
	int fd;
	bool asked, busy;
	uint64_t due; /* the oldest request that waits for the one under way; RATE */
	size_t got;     /* bytes of the answer */
	uint64_t began; /* microseconds */
};

static struct sockaddr_in server;
static uint64_t end;
static bool with_header, keep;
static double rate; /* of each thread, 0: no bound */
static size_t answer; /* bytes of it, all are alike; keep */
static char request[128];

static uint64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void dial(int epoll, struct connection *connection)
{
	int one = 1;
	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connection->fd < 0)
		err(1, "socket");
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connection->asked = false;
	connection->began = now();
	if (connect(connection->fd, (struct sockaddr *)&server, sizeof(server)) < 0 && errno != EINPROGRESS)
		err(1, "connect");
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};
	epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event);
}

/* Section 2.2 of the PROXY protocol. */
static bool send_header(int fd)
{
	uint8_t header[28] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
	struct sockaddr_in own;
	socklen_t size = sizeof(own);
	getsockname(fd, (struct sockaddr *)&own, &size);
	memcpy(header + 16, &own.sin_addr, 4);
	memcpy(header + 20, &server.sin_addr, 4);
	memcpy(header + 24, &own.sin_port, 2);
	memcpy(header + 26, &server.sin_port, 2);
	return send(fd, header, sizeof(header), MSG_NOSIGNAL) == sizeof(header);
}

static bool ask(int epoll, struct connection *connection)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
	size_t length = strlen(request);
	connection->busy = true;
	if (!connection->asked) {
		connection->asked = true;
		epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
		if (with_header && !send_header(connection->fd))
			return false;
	}
	if (keep)
		connection->began = now();
	connection->got = 0;
	return send(connection->fd, request, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static void served(struct dialer *dialer, const struct connection *connection)
{
	uint64_t took = now() - connection->began;
	dialer->served++;
	dialer->times[took < LONGEST ? took : LONGEST]++;
}

static bool ask_at(int epoll, struct connection *connection, uint64_t due)
{
	bool asked = ask(epoll, connection);
	connection->began = due;
	return asked;
}

static bool ask_if_due(int epoll, struct connection *connection)
{
	uint64_t due = connection->due;
	connection->due = 0;
	return !due || ask_at(epoll, connection, due);
}

/* Sends what is due by now, one connection after the other. Returns when the next one is. */
static uint64_t pace(int epoll, struct dialer *dialer, struct connection *connections, uint64_t began)
{
	for (;;) {
		uint64_t due = began + (uint64_t)((double)dialer->sent * 1e6 / rate);
		if (due > now())
			return due;
		struct connection *connection = &connections[dialer->sent++ % dialer->connections];
		if (!connection->busy) {
			if (!ask_at(epoll, connection, due))
				dialer->failed++;
		} else if (!connection->due) {
			connection->due = due;
		}
	}
}

/* True when the connection is over. */
static bool go_on(int epoll, struct dialer *dialer, struct connection *connection)
{
	char bytes[4096];
	if (!connection->asked) {
		if (rate > 0)
			return false;
		if (ask(epoll, connection))
			return false;
		dialer->failed++;
		return true;
	}
	ssize_t got = recv(connection->fd, bytes, sizeof(bytes), 0);
	if (got < 0 && errno == EAGAIN)
		return false;
	if (got > 0) {
		connection->got += (size_t)got;
		if (!keep || connection->got < answer)
			return false;
		served(dialer, connection);
		connection->busy = false;
		if (connection->got == answer && (rate > 0 ? ask_if_due(epoll, connection) : ask(epoll, connection)))
			return false;
	} else if (got == 0 && !keep) {
		served(dialer, connection);
		return true;
	}
	dialer->failed++;
	return true;
}

/* How long an answer is: asked once, with a pause at its end. */
static size_t learn_answer(void)
{
	struct timeval pause = {.tv_usec = 300000};
	char bytes[65536];
	size_t length = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof(server)) < 0 ||
	    send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		err(1, "connect");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof(pause));
	for (ssize_t got = 0; (got = recv(fd, bytes, sizeof(bytes), 0)) > 0;)
		length += (size_t)got;
	close(fd);
	if (!length)
		errx(1, "no answer");
	return length;
}

static void *run(void *argument)
{
	struct dialer *dialer = argument;
	struct epoll_event events[64];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct connection *connections = calloc(dialer->connections, sizeof(*connections));
	dialer->times = calloc(LONGEST + 1, sizeof(*dialer->times));
	if (epoll < 0 || !connections || !dialer->times)
		err(1, "start");
	for (unsigned i = 0; i < dialer->connections; i++)
		dial(epoll, &connections[i]);
	uint64_t began = now() + 10000, next = began + 10000;
	while (now() < end) {
		if (rate > 0 && now() >= began)
			next = pace(epoll, dialer, connections, began);
		uint64_t time = now(), wait = rate > 0 ? next > time ? next - time : 0 : 100000;
		struct timespec most = {.tv_nsec = (long)(wait < 100000 ? wait : 100000) * 1000};
		int count = epoll_pwait2(epoll, events, 64, &most, NULL);
		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!go_on(epoll, dialer, connection))
				continue;
			close(connection->fd);
			dial(epoll, connection);
		}
	}
	for (unsigned i = 0; i < dialer->connections; i++)
		close(connections[i].fd);
	free(connections);
	close(epoll);
	return NULL;
}

static unsigned percentile(const struct dialer *dialers, uint64_t all, unsigned thousandths)
{
	uint64_t before = 0;
	for (unsigned time = 0; time <= LONGEST; time++) {
		for (int i = 0; i < THREADS; i++)
			before += dialers[i].times[time];
		if (before * 1000 >= all * thousandths)
			return time;
	}
	return LONGEST;
}

int main(int count, char **arguments)
{
	struct dialer dialers[THREADS] = {0};
	if (count < 6 || count > 7 || inet_pton(AF_INET, arguments[1], &server.sin_addr) != 1)
		errx(2, "usage: dial ADDRESS PORT CONNECTIONS SECONDS close|keep|RATE [header]");
	server.sin_family = AF_INET;
	server.sin_port = htons((uint16_t)atoi(arguments[2]));
	rate = atof(arguments[5]) / THREADS;
	keep = rate > 0 || strcmp(arguments[5], "keep") == 0;
	with_header = count == 7;
	double seconds = atof(arguments[4]);
	snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: %.40s\r\n%s\r\n", arguments[1],
		 keep ? "" : "Connection: close\r\n");
	if (keep)
		answer = learn_answer();
	end = now() + (uint64_t)(seconds * 1e6);
	for (int i = 0; i < THREADS; i++) {
		dialers[i].connections = (unsigned)atoi(arguments[3]) / THREADS;
		if (pthread_create(&dialers[i].thread, NULL, run, &dialers[i]) != 0)
			errx(1, "no thread");
	}
	uint64_t good = 0, failed = 0;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(dialers[i].thread, NULL);
		good += dialers[i].served;
		failed += dialers[i].failed;
	}
	if (!good || failed)
		errx(1, "%llu served, %llu failed", (unsigned long long)good, (unsigned long long)failed);
	printf("%.0f %u %u %u\n", (double)good / seconds, percentile(dialers, good, 500),
	       percentile(dialers, good, 990), percentile(dialers, good, 999));
	for (int i = 0; i < THREADS; i++)
		free(dialers[i].times);
	return 0;
}
