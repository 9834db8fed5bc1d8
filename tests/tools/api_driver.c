/* Plays main for the api role: gives it its sockets, answers its requests with
 * what it was asked, and misbehaves on request ("?main=...").
 *
 *   api_driver --socket PATH [--uid N] [--metrics ADDR:PORT]
 *              [--tls ADDR:PORT CERT KEY CA] [--writer NAME]... [--reader NAME]...
 *
 * Prints "ready PID-OF-THE-ROLE" and lives until standard input ends; exits with 1 when the role ended by itself. */
#include "../../daemon/api/api.h"
#include "../../daemon/msg.h"
#include "../../rules/base/arena.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMES_MOST 8

struct options {
	const char *socket, *metrics, *tls, *files[3];
	const char *writers[NAMES_MOST], *readers[NAMES_MOST];
	uint32_t writer_count, reader_count;
	uid_t uid;
};

static struct options parse(int argc, char **argv)
{
	struct options options = {.uid = 65534};
	for (int i = 1; i + 1 < argc; i++) {
		const char *name = argv[i], *value = argv[++i];
		if (!strcmp(name, "--socket")) {
			options.socket = value;
		} else if (!strcmp(name, "--uid")) {
			options.uid = (uid_t)strtoul(value, NULL, 10);
		} else if (!strcmp(name, "--metrics")) {
			options.metrics = value;
		} else if (!strcmp(name, "--writer") && options.writer_count < NAMES_MOST) {
			options.writers[options.writer_count++] = value;
		} else if (!strcmp(name, "--reader") && options.reader_count < NAMES_MOST) {
			options.readers[options.reader_count++] = value;
		} else if (!strcmp(name, "--tls") && i + 3 < argc) {
			options.tls = value;
			for (int j = 0; j < 3; j++)
				options.files[j] = argv[++i];
		} else {
			errx(2, "unknown option %s", name);
		}
	}
	if (!options.socket)
		errx(2, "--socket is missing");
	return options;
}

static int listen_local(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	unlink(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 || chmod(path, 0666) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		err(1, "%s", path);
	return fd;
}

static int listen_tcp(const char *text)
{
	char host[64];
	unsigned int port;
	struct sockaddr_in name = {.sin_family = AF_INET};
	if (sscanf(text, "%63[^:]:%u", host, &port) != 2 || inet_pton(AF_INET, host, &name.sin_addr) != 1)
		errx(2, "not an address and port: %s", text);
	name.sin_port = htons((uint16_t)port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 || listen(fd, SOMAXCONN) < 0)
		err(1, "%s", text);
	return fd;
}

static pid_t start_role(const struct options *options, int *ret_channel)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		err(1, "socketpair");
	pid_t pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		if (dup2(pair[1], MSG_FD) < 0)
			err(1, "dup2");
		for (int fd = MSG_FD + 1; fd < 64; fd++)
			close(fd);
		if (!freopen("/dev/null", "r", stdin) || setgroups(0, NULL) < 0 || setgid(options->uid) < 0 ||
		    setuid(options->uid) < 0)
			err(1, "dropping privileges");
		exit(api_main() ? 3 : 0);
	}
	close(pair[1]);
	*ret_channel = pair[0];
	return pid;
}

static void give_listener(int channel, uint32_t kind, int fd)
{
	cleanup_wire struct wire_writer writer = {0};
	wire_put_u32(&writer, kind);
	if (msg_send(channel, MSG_API_LISTENER, 0, &writer, &fd, 1))
		errx(1, "the role does not take a listener");
	close(fd);
}

static void give_tls(int channel, const struct options *options)
{
	cleanup_wire struct wire_writer writer = {0};
	int fds[3];
	for (size_t i = 0; i < 3; i++) {
		fds[i] = open(options->files[i], O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0)
			err(1, "%s", options->files[i]);
	}
	wire_put_u32(&writer, options->writer_count);
	for (uint32_t i = 0; i < options->writer_count; i++)
		wire_put_text(&writer, options->writers[i]);
	wire_put_u32(&writer, options->reader_count);
	for (uint32_t i = 0; i < options->reader_count; i++)
		wire_put_text(&writer, options->readers[i]);
	if (msg_send(channel, MSG_API_TLS, 0, &writer, fds, 3))
		errx(1, "the role does not take TLS");
	for (size_t i = 0; i < 3; i++)
		close(fds[i]);
}

static void answer(int channel, uint32_t id, uint32_t status, const char *type, int body)
{
	cleanup_wire struct wire_writer writer = {0};
	wire_put_u32(&writer, status);
	wire_put_text(&writer, type);
	int error = msg_send(channel, MSG_API_ANSWER, id, &writer, &body, body >= 0 ? 1 : 0);
	if (error)
		errx(1, "answering: %s", strerror(-error));
}

static void answer_text(int channel, uint32_t id, const char *type, const void *text, size_t length)
{
	int body = msg_body_new(text, length);
	answer(channel, id, 200, type, body);
	close(body);
}

/* What a main that is broken, or taken over, might do. True when it did. */
static bool misbehave(int channel, uint32_t id, const char *how)
{
	static const char text[] = "{}";
	if (!strncmp(how, "never", 5))
		return true;
	if (!strncmp(how, "exit", 4))
		exit(0);
	if (!strncmp(how, "garbage", 7)) {
		(void)!send(channel, "garbage", 7, MSG_NOSIGNAL);
		char large[MSG_INLINE_MAX + 16];
		memset(large, 'A', sizeof(large));
		(void)!send(channel, large, sizeof(large), MSG_NOSIGNAL);
		(void)msg_send(channel, MSG_API_REQUEST, id, NULL, NULL, 0);
		(void)msg_send(channel, MSG_API_LISTENER, 0, NULL, NULL, 0);
		(void)msg_send(channel, MSG_API_TLS, 0, NULL, NULL, 0);
		(void)msg_send(channel, MSG_API_ANSWER, id + 1000, NULL, NULL, 0);
		(void)msg_send(channel, MSG_API_ANSWER, id, NULL, NULL, 0);
		return true;
	}
	if (!strncmp(how, "status", 6)) {
		answer(channel, id, 99, "application/json", -1);
		return true;
	}
	if (!strncmp(how, "split", 5)) {
		answer(channel, id, 200, "text/plain\r\nSet-Cookie: x=y", -1);
		return true;
	}
	if (!strncmp(how, "unsealed", 8)) {
		int body = memfd_create("unsealed", MFD_CLOEXEC);
		(void)!write(body, text, 2);
		answer(channel, id, 200, "application/json", body);
		close(body);
		return true;
	}
	if (!strncmp(how, "twice", 5)) {
		answer_text(channel, id, "application/json", text, 2);
		answer_text(channel, id, "application/json", "again", 5);
		return true;
	}
	if (!strncmp(how, "empty", 5)) {
		answer(channel, id, 204, "application/json", -1);
		return true;
	}
	if (!strncmp(how, "large", 5)) {
		size_t length = 48u << 20;
		char *large = malloc(length);
		memset(large, 'x', length);
		answer_text(channel, id, "text/plain", large, length);
		free(large);
		return true;
	}
	return false;
}

static void take_request(int channel, struct msg *msg)
{
	struct arena *arena = arena_new();
	struct wire_reader reader = {.data = msg->payload, .length = msg->length};
	uint32_t may_write = wire_get_bounded(&reader, 1);
	const char *user = wire_get_text(&reader, arena, 200), *method = wire_get_text(&reader, arena, 20);
	const char *target = wire_get_text(&reader, arena, 5000);
	if (wire_finish(&reader))
		errx(1, "the role sent a broken request");
	const void *data = NULL;
	size_t length = 0, sum = 0;
	if (msg->fd_count && msg_body_map(msg->fds[0], &data, &length))
		errx(1, "the role sent a broken body");
	for (size_t i = 0; i < length; i++)
		sum += ((const uint8_t *)data)[i];
	if (data)
		munmap((void *)(uintptr_t)data, length);
	const char *how = strstr(target, "main=");
	if (!how || !misbehave(channel, msg->id, how + 5)) {
		json_t *json = json_pack("{s:b, s:s, s:s, s:s, s:I, s:I}", "may_write", (int)may_write, "user", user,
					 "method", method, "target", target, "length", (json_int_t)length, "sum",
					 (json_int_t)sum);
		char *text = json_dumps(json, JSON_COMPACT);
		answer_text(channel, msg->id, "application/json", text, strlen(text));
		free(text);
		json_decref(json);
	}
	arena_free(&arena);
}

/* False when the role is gone. */
static bool take_message(int channel)
{
	static struct msg_buffer buffer;
	struct msg msg;
	int got = msg_receive(channel, &buffer, &msg);
	if (got <= 0)
		return false;
	if (msg.type == MSG_API_REQUEST) {
		take_request(channel, &msg);
	} else if (msg.type == MSG_LOG) {
		struct arena *arena = arena_new();
		struct wire_reader reader = {.data = msg.payload, .length = msg.length};
		wire_get_u32(&reader);
		fprintf(stderr, "log: %s\n", wire_get_text(&reader, arena, 1000));
		arena_free(&arena);
	} else {
		errx(1, "the role sent a message of type %u", (unsigned int)msg.type);
	}
	msg_close_fds(&msg);
	return true;
}

int main(int argc, char **argv)
{
	struct options options = parse(argc, argv);
	int local = listen_local(options.socket);
	int channel;
	pid_t role = start_role(&options, &channel);
	static struct msg_buffer buffer;
	struct msg msg;
	if (msg_receive(channel, &buffer, &msg) != 1 || msg.type != MSG_READY)
		errx(1, "the role is not ready");
	give_listener(channel, 0, local);
	if (options.tls) {
		give_tls(channel, &options);
		give_listener(channel, 1, listen_tcp(options.tls));
	}
	if (options.metrics)
		give_listener(channel, 2, listen_tcp(options.metrics));
	printf("ready %d\n", role);
	fflush(stdout);

	bool role_lives = true;
	struct pollfd look[2] = {{.fd = channel, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	while (role_lives && poll(look, 2, -1) > 0) {
		if (look[1].revents)
			break;
		if (look[0].revents)
			role_lives = take_message(channel);
	}
	if (role_lives)
		(void)msg_send(channel, MSG_STOP, 0, NULL, NULL, 0);
	int status = 0;
	waitpid(role, &status, 0);
	unlink(options.socket);
	return role_lives && WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : 1;
}
