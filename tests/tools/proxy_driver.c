/* Plays main for the proxy role: starts workers, makes their listeners and
 * configurations from lines on standard input, prints what they answer. For
 * network tests and benchmarks; needs no privileges.
 *
 *   proxy_driver WORKERS [NOFILE]
 *   forward NAME HEADER BALANCE CONNECT_MS IDLE_MS TARGET_PORT   header: none v1 v2; balance as in the file
 *   backend NODE ADDRESS up|down                                 of the last forward
 *   listen ID ADDRESS|any PORT [none]                            for the last forward, or by destination alone
 *   commit              the configuration so far, to all workers; "applied GENERATION" or "refused"
 *   counters | connections                                       one line each, then "end"
 *   raw TYPE HEX [fd]   a message of arbitrary bytes (with a descriptor of an empty memfd)
 *   stop | leave        MSG_STOP to all; exit and leave the workers running */
#include "../../daemon/msg.h"
#include "../../daemon/proxy/config.h"
#include "../../daemon/proxy/listener.h"
#include "../../daemon/proxy/report.h"
#include "../../daemon/proxy/worker.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS_MAX 64
#define LISTENERS_MAX 4096
#define BACKENDS_MAX 4096
#define FORWARDS_MAX 1024

static struct {
	int count;
	pid_t pids[WORKERS_MAX];
	int sockets[WORKERS_MAX];
} workers;

static struct {
	struct proxy_config config;
	struct proxy_forward forwards[FORWARDS_MAX];
	struct proxy_backend backends[BACKENDS_MAX];
	size_t backend_count;
	struct proxy_listener listeners[LISTENERS_MAX];
} draft = {.config = {.forwards = draft.forwards, .listeners = draft.listeners}};

static uint32_t sent_ids[LISTENERS_MAX];
static size_t sent_count;

static void start_worker(int index)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		err(1, "socketpair");
	fflush(stdout); /* a child must not write it a second time */
	pid_t pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		for (int i = 0; i < index; i++)
			close(workers.sockets[i]);
		close(pair[0]);
		if (pair[1] != MSG_FD && (dup2(pair[1], MSG_FD) < 0 || close(pair[1]) < 0))
			err(1, "dup2");
		(void)fcntl(MSG_FD, F_SETFD, FD_CLOEXEC);
		/* Who reads our output must see its end although the workers live on. */
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "r", stdin))
			err(1, "/dev/null");
		int error = proxy_worker_main(index, workers.count);
		if (error)
			fprintf(stderr, "worker %d: %s\n", index, strerror(-error));
		_exit(error ? 1 : 0);
	}
	close(pair[1]);
	workers.pids[index] = pid;
	workers.sockets[index] = pair[0];
}

/* Wait for a message of this type and id from a worker; others are printed (log) or dropped. */
static int wait_for(int index, enum msg_type type, uint32_t id, struct msg_buffer *buffer, struct msg *ret_msg)
{
	for (;;) {
		struct pollfd poll_fd = {.fd = workers.sockets[index], .events = POLLIN};
		if (poll(&poll_fd, 1, 30000) <= 0)
			return -ETIMEDOUT;
		int got = msg_receive(workers.sockets[index], buffer, ret_msg);
		if (got <= 0)
			return got ? got : -ECONNRESET;
		if (ret_msg->type == type && ret_msg->id == id)
			return 0;
		if (ret_msg->type == MSG_LOG) {
			cleanup_arena struct arena *arena = arena_new();
			struct wire_reader reader = {.data = ret_msg->payload, .length = ret_msg->length};
			wire_get_u32(&reader);
			char *text = wire_get_text(&reader, arena, 4096);
			printf("log %d %s\n", index, text ? text : "?");
		}
		msg_close_fds(ret_msg);
	}
}

static int listening_socket(const struct proxy_listener *listener)
{
	bool any = listener->address.family == FAMILY_NONE;
	struct endpoint end = {.addr = listener->address, .port = listener->port};
	if (any)
		end.addr.family = FAMILY_V6;
	struct sockaddr_storage address;
	socklen_t length = (socklen_t)endpoint_to_sockaddr(&end, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)) < 0 ||
	    (address.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){!any}, sizeof(int)) < 0) ||
	    bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 4096) < 0)
		err(1, "port %u", listener->port);
	return fd;
}

static void send_listener(const struct proxy_listener *listener)
{
	for (size_t i = 0; i < sent_count; i++)
		if (sent_ids[i] == listener->id)
			return;
	sent_ids[sent_count++] = listener->id;
	cleanup_wire struct wire_writer payload = {0};
	wire_put_u32(&payload, listener->id);
	for (int i = 0; i < workers.count; i++) {
		int fd = listening_socket(listener);
		if (i == 0 && workers.count > 1 && !getenv("NO_STEER") && listener_steer(fd, workers.count) < 0)
			err(1, "steer");
		if (msg_send(workers.sockets[i], MSG_PROXY_LISTENER, 0, &payload, &fd, 1) < 0)
			err(1, "send");
		close(fd);
	}
}

static void commit(void)
{
	static struct msg_buffer buffer;
	struct msg msg;
	draft.config.generation++;
	for (size_t i = 0; i < draft.config.listener_count; i++)
		send_listener(&draft.config.listeners[i]);
	cleanup_wire struct wire_writer body = {0};
	proxy_config_encode(&draft.config, &body);
	int fd = msg_body_new(body.data, body.length), error = 0;
	for (int i = 0; i < workers.count; i++)
		if (msg_send(workers.sockets[i], MSG_PROXY_CONFIG, draft.config.generation, NULL, &fd, 1) < 0)
			err(1, "send");
	close(fd);
	for (int i = 0; i < workers.count; i++) {
		if (wait_for(i, MSG_PROXY_APPLIED, draft.config.generation, &buffer, &msg) < 0)
			err(1, "no answer");
		struct wire_reader reader = {.data = msg.payload, .length = msg.length};
		if (wire_get_u32(&reader) != draft.config.generation || wire_finish(&reader))
			error = -EBADMSG;
	}
	/* A worker closes what a configuration does not name: it would have to be sent again. */
	sent_count = 0;
	for (size_t i = 0; i < draft.config.listener_count && !error; i++)
		sent_ids[sent_count++] = draft.config.listeners[i].id;
	if (error)
		printf("refused\n");
	else
		printf("applied %u\n", draft.config.generation);
	draft.config.forward_count = draft.config.listener_count = draft.backend_count = 0;
}

static void print_report(int index, const struct report *report)
{
	char text[ADDR_TEXT_MAX], node[ADDR_TEXT_MAX];
	for (size_t i = 0; i < report->service_count; i++) {
		const struct service_counters *c = &report->services[i].counters;
		printf("%d %s accepted=%lu open=%lu in=%lu out=%lu refused=%lu connect_failures=%lu header_errors=%lu\n",
		       index, report->services[i].forward, c->accepted, c->open, c->bytes_in, c->bytes_out, c->refused,
		       c->connect_failures, c->header_errors);
	}
	for (size_t i = 0; i < report->connection_count; i++) {
		const struct report_connection *c = &report->connections[i];
		printf("%d %s %s %u -> %s %s age=%lu idle=%lu in=%lu out=%lu%s\n", index, c->forward,
		       addr_format(&c->client.addr, text), c->client.port, c->node ? c->node : "-",
		       c->node ? addr_format(&c->node_address, node) : "-", c->age_ms, c->idle_ms, c->bytes_in,
		       c->bytes_out, c->connecting ? " connecting" : "");
	}
}

static void query(enum report_kind kind)
{
	static struct msg_buffer buffer;
	struct msg msg;
	cleanup_wire struct wire_writer payload = {0};
	wire_put_u32(&payload, kind);
	for (int i = 0; i < workers.count; i++) {
		cleanup_arena struct arena *arena = arena_new();
		const void *data;
		size_t length;
		struct report *report;
		if (msg_send(workers.sockets[i], MSG_PROXY_QUERY, 7, &payload, NULL, 0) < 0 ||
		    wait_for(i, MSG_PROXY_ANSWER, 7, &buffer, &msg) < 0 || msg.fd_count != 1 ||
		    msg_body_map(msg.fds[0], &data, &length) < 0 || report_decode(data, length, arena, &report) < 0) {
			printf("failed\n");
			continue;
		}
		print_report(i, report);
		munmap((void *)(uintptr_t)data, length);
		msg_close_fds(&msg);
	}
	printf("end\n");
}

static void send_raw(const char *rest)
{
	int type, at;
	char with_fd[8] = "";
	static char hex[2 * MSG_INLINE_MAX + 1];
	static uint8_t bytes[MSG_INLINE_MAX];
	hex[0] = '\0';
	if (sscanf(rest, "%d %n", &type, &at) < 1)
		errx(1, "raw: %s", rest);
	sscanf(rest + at, "%65536s %7s", hex, with_fd);
	size_t length = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
	for (size_t i = 0; i < length; i++)
		sscanf(hex + 2 * i, "%2hhx", &bytes[i]);
	struct wire_writer payload = {.data = bytes, .length = length};
	int fd = strcmp(with_fd, "fd") == 0 ? msg_body_new("", 0) : -1;
	for (int i = 0; i < workers.count; i++)
		if (msg_send(workers.sockets[i], (enum msg_type)type, 0, &payload, &fd, fd >= 0) < 0)
			err(1, "send");
	if (fd >= 0)
		close(fd);
	printf("sent\n");
}

static int word(const char *text, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	errx(1, "what is %s?", text);
}

static struct addr address(const char *text)
{
	struct addr addr = {0};
	if (strcmp(text, "any") != 0 && addr_parse(text, strlen(text), &addr) < 0)
		errx(1, "no address: %s", text);
	return addr;
}

static void read_forward(const char *rest)
{
	static const char *const headers[] = {"none", "v1", "v2", NULL};
	static const char *const balances[] = {"round_robin", "source", "least_connections", NULL};
	char name[64], header[16], balance[32];
	unsigned long connect_ms, idle_ms;
	unsigned port;
	if (sscanf(rest, "%63s %15s %31s %lu %lu %u", name, header, balance, &connect_ms, &idle_ms, &port) != 6)
		errx(1, "forward: %s", rest);
	draft.forwards[draft.config.forward_count++] = (struct proxy_forward){
		.name = strdup(name),
		.header = (enum proxy_header)word(header, headers),
		.balance = (enum balance)word(balance, balances),
		.connect_timeout = connect_ms,
		.idle_timeout = idle_ms,
		.target_port = (uint16_t)port,
		.backends = &draft.backends[draft.backend_count],
	};
}

static void read_backend(const char *rest)
{
	char name[64], text[64], usable[8];
	struct proxy_forward *forward = &draft.forwards[draft.config.forward_count - 1];
	if (sscanf(rest, "%63s %63s %7s", name, text, usable) != 3)
		errx(1, "backend: %s", rest);
	forward->backends[forward->backend_count++] =
		(struct proxy_backend){.name = strdup(name), .address = address(text), .usable = strcmp(usable, "up") == 0};
	draft.backend_count++;
}

static void read_listen(const char *rest)
{
	char text[64], none[8] = "";
	unsigned id, port;
	if (sscanf(rest, "%u %63s %u %7s", &id, text, &port, none) < 3)
		errx(1, "listen: %s", rest);
	draft.listeners[draft.config.listener_count++] = (struct proxy_listener){
		.id = id,
		.forward = *none ? PROXY_FORWARD_NONE : (uint32_t)draft.config.forward_count - 1,
		.address = address(text),
		.port = (uint16_t)port,
	};
}

static void stop(void)
{
	for (int i = 0; i < workers.count; i++)
		(void)msg_send(workers.sockets[i], MSG_STOP, 0, NULL, NULL, 0);
	printf("stopping\n");
}

static bool command(char *line)
{
	char verb[32];
	int at = 0;
	if (sscanf(line, "%31s %n", verb, &at) < 1)
		return true;
	const char *rest = line + at;
	if (strcmp(verb, "forward") == 0)
		read_forward(rest);
	else if (strcmp(verb, "backend") == 0)
		read_backend(rest);
	else if (strcmp(verb, "listen") == 0)
		read_listen(rest);
	else if (strcmp(verb, "commit") == 0)
		commit();
	else if (strcmp(verb, "counters") == 0)
		query(REPORT_COUNTERS);
	else if (strcmp(verb, "connections") == 0)
		query(REPORT_CONNECTIONS);
	else if (strcmp(verb, "raw") == 0)
		send_raw(rest);
	else if (strcmp(verb, "stop") == 0)
		stop();
	else if (strcmp(verb, "leave") == 0)
		return false;
	else
		errx(1, "what is %s?", verb);
	fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	static char line[3 * MSG_INLINE_MAX];
	static struct msg_buffer buffer;
	struct msg msg;
	if (argc < 2 || (workers.count = atoi(argv[1])) < 1 || workers.count > WORKERS_MAX)
		errx(2, "usage: proxy_driver WORKERS [NOFILE]");
	if (argc > 2) {
		rlim_t most = (rlim_t)atol(argv[2]);
		if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){most, most}) < 0)
			err(1, "RLIMIT_NOFILE");
	}
	for (int i = 0; i < workers.count; i++) {
		start_worker(i);
		if (wait_for(i, MSG_READY, 0, &buffer, &msg) < 0)
			errx(1, "worker %d did not start", i);
		printf("worker %d %d\n", i, workers.pids[i]);
	}
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		if (!command(line))
			return 0;
	/* The end of input ends the workers; those that were stopped end by themselves. */
	for (int i = 0; i < workers.count; i++)
		kill(workers.pids[i], SIGTERM);
	for (int i = 0; i < workers.count; i++)
		waitpid(workers.pids[i], NULL, 0);
	return 0;
}
