/* wireguard-go: processes of their own that outlive this one, known by their
 * socket alone. It starts them, ends them and asks them; every wait is
 * bounded, every buffer that held a key is wiped. */
#include "tunnel_uapi.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM "/usr/bin/wireguard-go"
#define SOCKET_FOLDER "/var/run/wireguard"
#define ANSWER_MS 2000
#define START_MS 5000
#define STOP_MS 2000
#define LOOK_MS 5
#define ANSWER_MOST (64u << 20)

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int path_of(const char *device, struct sockaddr_un *ret_address)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length = snprintf(address.sun_path, sizeof(address.sun_path), SOCKET_FOLDER "/%s.sock", device);
	if (length < 0 || (size_t)length >= sizeof(address.sun_path) || strchr(device, '/'))
		return -EINVAL;
	*ret_address = address;
	return 0;
}

/* A connected socket, or -ENOTCONN when nobody listens. */
static int connect_to(const char *device)
{
	struct sockaddr_un address;
	int r = path_of(device, &address);
	if (r < 0)
		return r;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	r = errno == ENOENT || errno == ECONNREFUSED ? -ENOTCONN : errno == EAGAIN ? -ETIMEDOUT : -errno;
	close(fd);
	return r;
}

/* Signals (a role that ended) make it no shorter: what is behind fd would be taken for broken. */
static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd wait = {.fd = fd, .events = events};
	for (;;) {
		int64_t left = deadline - now_ms();
		int ready = left > 0 ? poll(&wait, 1, (int)left) : 0;
		if (ready >= 0)
			return ready ? 0 : -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int send_all(int fd, const char *text, size_t length, int64_t deadline)
{
	while (length) {
		ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN)
			return -errno;
		if (sent < 0) {
			int r = wait_for(fd, POLLOUT, deadline);
			if (r < 0)
				return r;
			continue;
		}
		text += sent;
		length -= (size_t)sent;
	}
	return 0;
}

/* What an answer is read into; what it leaves behind is wiped. */
struct answer {
	char *text;
	size_t length, room;
};

static void answer_free(struct answer *answer)
{
	if (answer->text) {
		explicit_bzero(answer->text, answer->room);
		free(answer->text);
	}
	*answer = (struct answer){0};
}
#define cleanup_answer __attribute__((cleanup(answer_free)))

static int answer_grow(struct answer *answer)
{
	size_t room = answer->room ? answer->room * 2 : 16384;
	char *text = room <= ANSWER_MOST ? malloc(room) : NULL;
	if (!text)
		return room <= ANSWER_MOST ? -ENOMEM : -EMSGSIZE;
	if (answer->length)
		memcpy(text, answer->text, answer->length);
	size_t length = answer->length;
	answer_free(answer);
	*answer = (struct answer){.text = text, .length = length, .room = room};
	return 0;
}

static int receive_all(int fd, int64_t deadline, struct answer *answer)
{
	while (!uapi_is_complete(answer->text, answer->length)) {
		int r = answer->length == answer->room ? answer_grow(answer) : 0;
		if (r < 0)
			return r;
		ssize_t length = recv(fd, answer->text + answer->length, answer->room - answer->length, 0);
		if (length == 0)
			return -ECONNRESET;
		if (length < 0 && errno != EAGAIN)
			return -errno;
		/* Also when there is always a little more: the time is for the whole of it. */
		r = length < 0 ? wait_for(fd, POLLIN, deadline) : now_ms() > deadline ? -ETIMEDOUT : 0;
		if (r < 0)
			return r;
		if (length > 0)
			answer->length += (size_t)length;
	}
	return 0;
}

static int exchange(const char *device, const char *request, size_t length, struct answer *answer)
{
	int64_t deadline = now_ms() + ANSWER_MS;
	int fd = connect_to(device);
	if (fd < 0)
		return fd;
	int r = send_all(fd, request, length, deadline);
	if (r == 0)
		r = receive_all(fd, deadline, answer);
	close(fd);
	return r;
}

int userspace_get(const char *device, struct arena *arena, struct tunnel_state *ret_tunnel)
{
	static const char request[] = "get=1\n\n";
	struct answer answer cleanup_answer = {0};
	int r = exchange(device, request, sizeof(request) - 1, &answer);
	return r < 0 ? r : uapi_parse(answer.text, answer.length, arena, ret_tunnel);
}

int userspace_set(const struct tunnel_change *change)
{
	struct answer answer cleanup_answer = {0}, request cleanup_answer = {.room = uapi_room(change)};
	request.text = malloc(request.room);
	if (!request.text)
		return -ENOMEM;
	request.length = uapi_print(change, request.text, request.room);
	int r = exchange(change->device, request.text, request.length, &answer);
	return r < 0 ? r : uapi_parse_result(answer.text, answer.length);
}

/* In the child of the child, which init inherits: a process that is nobody's, and that no signal to us reaches. */
static void become(const char *device, int alive)
{
	/* One byte: less than the smallest core file, and what keeps the kernel from calling a program that takes cores
	 * (fs/coredump.c), which none at all does not. */
	static const struct rlimit no_core = {1, 1}, none_at_all = {0, 0};
	char *arguments[] = {(char *)PROGRAM, (char *)"-f", (char *)device, NULL};
	char *environment[] = {(char *)"LOG_LEVEL=error", (char *)"PATH=/usr/bin:/bin",
			       (char *)"WG_PROCESS_FOREGROUND=1", (char *)"GOTRACEBACK=none", NULL};
	int null = open("/dev/null", O_RDWR);
	setsid();
	if (setrlimit(RLIMIT_CORE, &no_core) < 0)
		setrlimit(RLIMIT_CORE, &none_at_all);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	/* Errors of its own go where ours go. */
	if (null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0 || dup2(alive, 3) < 0)
		_exit(71);
	fcntl(3, F_SETFD, 0);
	close_range(4, ~0u, 0);
	execve(PROGRAM, arguments, environment);
	_exit(74);
}

/* *ret_alive: readable (at its end) once the process is gone. */
static int spawn(const char *device, int *ret_alive)
{
	int alive[2];
	if (access(PROGRAM, X_OK) < 0)
		return -ENOENT;
	if (pipe2(alive, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		pid_t child = fork();
		if (child == 0)
			become(device, alive[1]);
		_exit(child < 0 ? 70 : 0);
	}
	int status = 0, r = pid < 0 ? -errno : 0;
	close(alive[1]);
	while (r == 0 && waitpid(pid, &status, 0) < 0)
		r = errno == EINTR ? 0 : -errno;
	if (r == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		r = -EAGAIN;
	if (r < 0)
		close(alive[0]);
	else
		*ret_alive = alive[0];
	return r;
}

int userspace_start(const char *device)
{
	int alive = -1, r = spawn(device, &alive);
	if (r < 0)
		return r;
	int64_t deadline = now_ms() + START_MS;
	do {
		struct pollfd gone = {.fd = alive};
		r = connect_to(device);
		if (r >= 0) {
			close(r);
			break;
		}
		if (poll(&gone, 1, LOOK_MS) > 0)
			r = -ECHILD;
	} while (r == -ENOTCONN && now_ms() < deadline);
	close(alive);
	return r >= 0 ? 0 : r == -ENOTCONN ? -ETIMEDOUT : r;
}

static void end_process(pid_t pid)
{
	int process = pidfd_open(pid, 0);
	if (process < 0)
		return;
	pidfd_send_signal(process, SIGTERM, NULL, 0);
	if (wait_for(process, POLLIN, now_ms() + STOP_MS) < 0) {
		pidfd_send_signal(process, SIGKILL, NULL, 0);
		(void)wait_for(process, POLLIN, now_ms() + STOP_MS);
	}
	close(process);
}

int userspace_stop(const char *device)
{
	struct sockaddr_un address;
	int r = path_of(device, &address);
	if (r < 0)
		return r;
	int fd = connect_to(device);
	struct ucred who;
	socklen_t length = sizeof(who);
	/* The folder is root's: who listens there is who was started there. */
	if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0 && who.pid > 0)
		end_process(who.pid);
	if (fd >= 0)
		close(fd);
	unlink(address.sun_path);
	return 0;
}
