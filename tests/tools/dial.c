/* Opens connections as fast as it can, one request over each, and measures them:
 * a client that costs little, for the benchmarks. With a header it sends the
 * PROXY protocol's version 2 itself, as a segment of its own and ahead of the
 * request: what the header costs the two ends, whoever adds it.
 *
 *   dial ADDRESS PORT CONNECTIONS SECONDS [header]
 *
 * IPv4. Prints how many were served per second, and the 50th, 99th and 99.9th
 * percentile of their time, from connect() to the server's end, in microseconds. */
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
	uint64_t served, failed;
	uint32_t *times; /* how many took so many microseconds */
};

struct connection {
	int fd;
	bool asked;
	uint64_t began; /* microseconds */
};

static struct sockaddr_in server;
static uint64_t end;
static bool with_header;
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
	connection->asked = true;
	epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
	return (!with_header || send_header(connection->fd)) &&
	       send(connection->fd, request, length, MSG_NOSIGNAL) == (ssize_t)length;
}

/* True when the connection is over. */
static bool go_on(int epoll, struct dialer *dialer, struct connection *connection)
{
	char bytes[4096];
	if (!connection->asked) {
		if (ask(epoll, connection))
			return false;
		dialer->failed++;
		return true;
	}
	ssize_t got = recv(connection->fd, bytes, sizeof(bytes), 0);
	if (got > 0 || (got < 0 && errno == EAGAIN))
		return false;
	uint64_t took = now() - connection->began;
	if (got == 0) {
		dialer->served++;
		dialer->times[took < LONGEST ? took : LONGEST]++;
	} else {
		dialer->failed++;
	}
	return true;
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
	while (now() < end) {
		int count = epoll_wait(epoll, events, 64, 100);
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

static unsigned percentile(const struct dialer *dialers, uint64_t served, unsigned thousandths)
{
	uint64_t before = 0;
	for (unsigned time = 0; time <= LONGEST; time++) {
		for (int i = 0; i < THREADS; i++)
			before += dialers[i].times[time];
		if (before * 1000 >= served * thousandths)
			return time;
	}
	return LONGEST;
}

int main(int count, char **arguments)
{
	struct dialer dialers[THREADS] = {0};
	if (count < 5 || count > 6 || inet_pton(AF_INET, arguments[1], &server.sin_addr) != 1)
		errx(2, "usage: dial ADDRESS PORT CONNECTIONS SECONDS [header]");
	server.sin_family = AF_INET;
	server.sin_port = htons((uint16_t)atoi(arguments[2]));
	with_header = count == 6;
	double seconds = atof(arguments[4]);
	snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: %.40s\r\nConnection: close\r\n\r\n", arguments[1]);
	end = now() + (uint64_t)(seconds * 1e6);
	for (int i = 0; i < THREADS; i++) {
		dialers[i].connections = (unsigned)atoi(arguments[3]) / THREADS;
		if (pthread_create(&dialers[i].thread, NULL, run, &dialers[i]) != 0)
			errx(1, "no thread");
	}
	uint64_t served = 0, failed = 0;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(dialers[i].thread, NULL);
		served += dialers[i].served;
		failed += dialers[i].failed;
	}
	if (!served || failed)
		errx(1, "%llu served, %llu failed", (unsigned long long)served, (unsigned long long)failed);
	printf("%.0f %u %u %u\n", (double)served / seconds, percentile(dialers, served, 500),
	       percentile(dialers, served, 990), percentile(dialers, served, 999));
	for (int i = 0; i < THREADS; i++)
		free(dialers[i].times);
	return 0;
}
