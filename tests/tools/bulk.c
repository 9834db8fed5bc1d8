/* A plain source and sink of bytes for the forwarder's benchmark: ordinary send
 * and recv through one buffer, as most programs do; never splice or sendfile.
 *
 *   bulk serve PORT                       strips a PROXY header; then "u" sinks, "d" sends until the client leaves
 *   bulk serve PORT plain                 the same, without a header
 *   bulk up|down ADDRESS PORT STREAMS SECONDS    prints bytes per second, the first fifth of the time left out */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (256u << 10)

static atomic_ullong moved;
static bool plain; /* no header comes first */

static bool read_exactly(int fd, uint8_t *data, size_t length)
{
	return recv(fd, data, length, MSG_WAITALL) == (ssize_t)length;
}

/* Either version. */
static bool skip_header(int fd)
{
	uint8_t data[128];
	if (!read_exactly(fd, data, 12))
		return false;
	if (data[0] == '\r')
		return read_exactly(fd, data, 4) && data[3] < sizeof(data) && read_exactly(fd, data, data[3]);
	for (int i = 0; i < 96 && data[0] != '\n'; i++)
		if (!read_exactly(fd, data, 1))
			return false;
	return data[0] == '\n';
}

/* Until the other side ends it. */
static void move(int fd, bool sending)
{
	uint8_t *block = calloc(1, BLOCK);
	ssize_t count;
	do {
		count = sending ? send(fd, block, BLOCK, MSG_NOSIGNAL) : recv(fd, block, BLOCK, 0);
		if (count > 0)
			atomic_fetch_add_explicit(&moved, (unsigned long long)count, memory_order_relaxed);
	} while (count > 0);
	free(block);
}

static void *serve_one(void *argument)
{
	int fd = (int)(intptr_t)argument;
	uint8_t way;
	if ((plain || skip_header(fd)) && read_exactly(fd, &way, 1))
		move(fd, way == 'd');
	close(fd);
	return NULL;
}

static int serve(uint16_t port)
{
	int listener = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 128) < 0)
		err(1, "port %u", port);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		pthread_t thread;
		if (fd < 0)
			continue;
		if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) == 0)
			pthread_detach(thread);
		else
			close(fd);
	}
}

struct stream {
	struct sockaddr_in address;
	bool up;
};

static void *run_stream(void *argument)
{
	const struct stream *stream = argument;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&stream->address, sizeof(stream->address)) < 0)
		err(1, "connect");
	if (send(fd, stream->up ? "u" : "d", 1, MSG_NOSIGNAL) != 1)
		err(1, "send");
	move(fd, stream->up);
	errx(1, "the stream has ended");
}

static unsigned long long sleep_and_read(double seconds)
{
	struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
	nanosleep(&time, NULL);
	return atomic_load(&moved);
}

int main(int argc, char **argv)
{
	plain = argc == 4 && strcmp(argv[3], "plain") == 0;
	if ((argc == 3 || plain) && strcmp(argv[1], "serve") == 0)
		return serve((uint16_t)atoi(argv[2]));
	if (argc != 6)
		errx(2, "usage: bulk serve PORT [plain] | bulk up|down ADDRESS PORT STREAMS SECONDS");
	struct stream stream = {.up = strcmp(argv[1], "up") == 0,
				.address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))}};
	double seconds = atof(argv[5]);
	if (inet_pton(AF_INET, argv[2], &stream.address.sin_addr) != 1)
		errx(2, "no address: %s", argv[2]);
	for (int i = atoi(argv[4]); i > 0; i--) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, run_stream, &stream) != 0)
			errx(1, "thread");
	}
	unsigned long long start = sleep_and_read(seconds / 5);
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	unsigned long long end = sleep_and_read(seconds * 4 / 5);
	clock_gettime(CLOCK_MONOTONIC, &to);
	double took = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	printf("%.0f\n", (double)(end - start) / took);
	return 0;
}
