/* Starting, watching and restarting the unprivileged roles, as children of main
 * or by the service manager. Owns their sockets and process ids; knows no
 * message but READY and LOG. */
#include "role.h"

#include "log.h"
#include "notify.h"
#include "role_unit.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const role_names[ROLE_KINDS] = {
	[ROLE_PROXY] = "proxy", [ROLE_PROBER] = "prober", [ROLE_API] = "api", [ROLE_WATCH] = "watch"};
static const char *const role_users[ROLE_KINDS] = {
	[ROLE_PROXY] = "edged-proxy", [ROLE_PROBER] = "edged-proxy", [ROLE_API] = "edged-api",
	[ROLE_WATCH] = "edged-watch"};

#define RESTART_FIRST_MS 20u
#define RESTART_MOST_MS 2000u
#define WORKER_FILES 262144u

struct child {
	struct roles *roles;
	enum role role;
	unsigned index;
	pid_t pid;
	int socket;
	bool ready;
	uint64_t restarts;
	unsigned wait_ms; /* before the next start; falls back once a child has been ready */
	struct event *read, *again;
};

struct roles {
	struct event_base *base;
	const char *units; /* NULL: they are processes of ours */
	struct role_events events;
	struct event *sigchld;
	struct child *children;
	size_t count;
	unsigned workers;
	uid_t uid[ROLE_KINDS];
	gid_t gid[ROLE_KINDS];
	int executable;
};

static void set_files(unsigned files)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_max < files)
		files = (unsigned)limit.rlim_max;
	limit.rlim_cur = limit.rlim_max = files;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* In the child, between fork and exec: only async-signal-safe calls. */
static void become(const struct child *child, int socket)
{
	const struct roles *roles = child->roles;
	if (dup2(socket, MSG_FD) < 0)
		_exit(71);
	/* dup2 onto itself keeps close-on-exec. */
	fcntl(MSG_FD, F_SETFD, 0);
	set_files(child->role == ROLE_PROXY ? WORKER_FILES : 4096);
	if (getuid() == 0 &&
	    (setgroups(0, NULL) < 0 ||
	     setresgid(roles->gid[child->role], roles->gid[child->role], roles->gid[child->role]) < 0 ||
	     setresuid(roles->uid[child->role], roles->uid[child->role], roles->uid[child->role]) < 0))
		_exit(72);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(73);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);

	char index[16], workers[16];
	unsigned values[2] = {child->index, roles->workers};
	char *texts[2] = {index, workers};
	for (int i = 0; i < 2; i++) {
		char *at = texts[i] + 15;
		*at = '\0';
		unsigned value = values[i];
		do
			*--at = (char)('0' + value % 10);
		while (value /= 10);
		texts[i] = at;
	}
	char *arguments[] = {(char *)"edged",
			     (char *)"--role",
			     (char *)role_names[child->role],
			     (char *)"--worker",
			     texts[0],
			     (char *)"--workers",
			     texts[1],
			     NULL};
	char *environment[] = {(char *)"PATH=/usr/bin:/bin", (char *)"LANG=C.UTF-8",
			       getenv("ASAN_OPTIONS") ? (char *)"ASAN_OPTIONS=detect_leaks=0" : NULL, NULL};
	unsigned executable = (unsigned)roles->executable;
	close_range(executable + 1, ~0u, 0);
	close_range(MSG_FD + 1, executable - 1, 0);
	fexecve(roles->executable, arguments, environment);
	_exit(74);
}

static void on_message(evutil_socket_t fd, short what, void *context);

static int listen_to(struct child *child, int socket)
{
	child->socket = socket;
	child->ready = false;
	child->read = event_new(child->roles->base, socket, EV_READ | EV_PERSIST, on_message, child);
	return child->read && event_add(child->read, NULL) == 0 ? 0 : -ENOMEM;
}

static int start_unit(struct child *child)
{
	int socket, r = role_unit_connect(child->roles->units, role_names[child->role], child->index, &socket);
	if (r < 0)
		return r;
	/* What is open in a worker outlives main: the next one finds it here. */
	if (child->role == ROLE_PROXY)
		notify_store_worker(socket);
	return listen_to(child, socket);
}

static int start_child(struct child *child)
{
	if (child->roles->units)
		return start_unit(child);
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid < 0) {
		int error = -errno;
		close(pair[0]);
		close(pair[1]);
		return error;
	}
	if (pid == 0)
		become(child, pair[1]);
	close(pair[1]);
	child->pid = pid;
	return listen_to(child, pair[0]);
}

static void drop_socket(struct child *child)
{
	if (child->read)
		event_free(child->read);
	child->read = NULL;
	if (child->socket >= 0)
		close(child->socket);
	child->socket = -1;
	child->ready = false;
}

static void schedule(struct child *child)
{
	struct timeval wait = {child->wait_ms / 1000, (int)(child->wait_ms % 1000) * 1000};
	child->wait_ms = child->wait_ms * 4 > RESTART_MOST_MS ? RESTART_MOST_MS : child->wait_ms * 4;
	event_add(child->again, &wait);
}

static void on_again(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct child *child = context;
	int r = start_child(child);
	if (r < 0) {
		log_error("role", "cannot start %s: %s; trying again", role_names[child->role], strerror(-r));
		drop_socket(child);
		schedule(child);
	}
}

/* Of a child, SIGCHLD tells; a unit's process ends with its connection, or at least has no other. */
static void lost(struct child *child)
{
	drop_socket(child);
	if (!child->roles->units)
		return;
	log_warning("role", "%s %u (pid %d) is gone: starting it again", role_names[child->role], child->index,
		    (int)child->pid);
	child->pid = 0;
	child->restarts++;
	schedule(child);
}

static void end_child(struct child *child)
{
	if (child->roles->units)
		lost(child);
	else if (child->pid > 0)
		kill(child->pid, SIGKILL);
}

static void on_message(evutil_socket_t fd, short what, void *context)
{
	(void)what;
	struct child *child = context;
	static struct msg_buffer buffer;
	/* Bounded, so that one role cannot keep main from the others. */
	for (int i = 0; i < 64; i++) {
		struct msg msg;
		int r = msg_receive((int)fd, &buffer, &msg);
		if (r == -EAGAIN)
			return;
		if (r <= 0) {
			if (r < 0 && r != -ECONNRESET)
				log_error("role", "%s %u sent what is no message (%s): it is ended",
					  role_names[child->role], child->index, strerror(-r));
			if (r < 0 && !child->roles->units)
				end_child(child);
			lost(child);
			return;
		}
		if (child->roles->units)
			child->pid = msg.sender;
		if (msg.type == MSG_READY) {
			child->ready = true;
			child->wait_ms = RESTART_FIRST_MS;
			child->roles->events.ready(child->roles->events.context, child->role, child->index);
		} else if (msg.type == MSG_LOG) {
			struct wire_reader reader = {.data = msg.payload, .length = msg.length};
			uint32_t priority = wire_get_bounded(&reader, 7);
			size_t length = 0;
			const char *text = wire_get_bytes(&reader, 1024, &length);
			if (wire_finish(&reader) == 0)
				log_text((int)priority, role_names[child->role], text, length);
		} else {
			child->roles->events.message(child->roles->events.context, child->role, child->index, &msg);
		}
		msg_close_fds(&msg);
		if (child->socket != (int)fd)
			return;
	}
}

static void on_sigchld(evutil_socket_t signal_number, short what, void *context)
{
	(void)signal_number;
	(void)what;
	struct roles *roles = context;
	for (size_t i = 0; i < roles->count; i++) {
		struct child *child = &roles->children[i];
		int status;
		if (child->pid <= 0 || waitpid(child->pid, &status, WNOHANG) != child->pid)
			continue;
		if (WIFSIGNALED(status))
			log_warning("role", "%s %u (pid %d) was ended by signal %d: starting it again",
				    role_names[child->role], child->index, (int)child->pid, WTERMSIG(status));
		else
			log_warning("role", "%s %u (pid %d) ended with status %d: starting it again",
				    role_names[child->role], child->index, (int)child->pid, WEXITSTATUS(status));
		child->pid = 0;
		child->restarts++;
		drop_socket(child);
		schedule(child);
	}
}

static int find_users(struct roles *roles)
{
	for (enum role role = 0; role < ROLE_KINDS; role++) {
		struct passwd *user = getpwnam(role_users[role]);
		if (!user && getuid() == 0) {
			log_error("role",
				  "there is no user \"%s\" for role %s: make it with `systemd-sysusers edged.conf`, or "
				  "`make deps`",
				  role_users[role], role_names[role]);
			return -ENOENT;
		}
		roles->uid[role] = user ? user->pw_uid : getuid();
		roles->gid[role] = user ? user->pw_gid : getgid();
	}
	return 0;
}

/* What starting them here takes. */
static int prepare_children(struct roles *roles)
{
	/* The program as it is now: an upgrade that replaces the file must not mix versions. */
	int executable = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	roles->executable = fcntl(executable, F_DUPFD_CLOEXEC, MSG_FD + 2);
	if (executable >= 0)
		close(executable);
	int r = roles->executable < 0 ? -errno : find_users(roles);
	if (r < 0)
		return r;
	roles->sigchld = evsignal_new(roles->base, SIGCHLD, on_sigchld, roles);
	return roles->sigchld && event_add(roles->sigchld, NULL) == 0 ? 0 : -ENOMEM;
}

static void add_child(struct roles *roles, enum role role, unsigned index)
{
	struct child *child = &roles->children[roles->count++];
	*child =
		(struct child){.roles = roles, .role = role, .index = index, .socket = -1, .wait_ms = RESTART_FIRST_MS};
	child->again = evtimer_new(roles->base, on_again, child);
}

int roles_start(struct event_base *base, unsigned workers, const char *units, const struct role_events *events,
		struct roles **ret_roles)
{
	struct roles *roles = calloc(1, sizeof(*roles));
	if (!roles)
		return -ENOMEM;
	roles->executable = -1;
	roles->base = base;
	roles->units = units;
	roles->events = *events;
	roles->workers = workers;
	roles->children = calloc(workers + 3, sizeof(*roles->children));
	int r = !roles->children ? -ENOMEM : units ? 0 : prepare_children(roles);
	if (r < 0)
		goto fail;
	add_child(roles, ROLE_API, 0);
	add_child(roles, ROLE_PROBER, 0);
	add_child(roles, ROLE_WATCH, 0);
	for (unsigned i = 0; i < workers; i++)
		add_child(roles, ROLE_PROXY, i);
	for (size_t i = 0; i < roles->count; i++)
		on_again(-1, 0, &roles->children[i]);
	*ret_roles = roles;
	return 0;
fail:
	roles_stop(&roles);
	return r;
}

static struct child *find(struct roles *roles, enum role role, unsigned index)
{
	for (size_t i = 0; i < roles->count; i++)
		if (roles->children[i].role == role && roles->children[i].index == index)
			return &roles->children[i];
	return NULL;
}

int roles_send(struct roles *roles, enum role role, unsigned index, enum msg_type type, uint32_t id,
	       const struct wire_writer *payload, const int *fds, size_t fd_count)
{
	struct child *child = find(roles, role, index);
	if (!child || !child->ready)
		return -ENOTCONN;
	int r = msg_send(child->socket, type, id, payload, fds, fd_count);
	for (int i = 0; r == -EAGAIN && i < 10; i++) {
		/* A role that does not read for a second is stuck: it is started anew rather than waited for. */
		struct pollfd wait = {.fd = child->socket, .events = POLLOUT};
		poll(&wait, 1, 100);
		r = msg_send(child->socket, type, id, payload, fds, fd_count);
	}
	if (r == -EAGAIN) {
		log_error("role", "%s %u does not read its messages: it is ended", role_names[role], index);
		end_child(child);
	}
	return r;
}

unsigned roles_workers(const struct roles *roles)
{
	return roles->workers;
}

size_t roles_list(const struct roles *roles, struct role_info *ret_list, size_t room)
{
	size_t count = 0;
	for (size_t i = 0; i < roles->count && count < room; i++) {
		const struct child *child = &roles->children[i];
		ret_list[count++] = (struct role_info){.role = child->role,
						       .index = child->index,
						       .pid = child->pid,
						       .state = child->ready          ? "running"
								: child->socket >= 0 ? "starting"
										     : "restarting",
						       .restarts = child->restarts};
	}
	return count;
}

void roles_stop(struct roles **roles)
{
	if (!roles || !*roles)
		return;
	struct roles *all = *roles;
	for (size_t i = 0; i < all->count; i++) {
		struct child *child = &all->children[i];
		if (child->socket >= 0)
			msg_send(child->socket, MSG_STOP, 0, NULL, NULL, 0);
		drop_socket(child);
		if (child->again)
			event_free(child->again);
	}
	if (all->sigchld)
		event_free(all->sigchld);
	if (all->executable >= 0)
		close(all->executable);
	free(all->children);
	free(all);
	*roles = NULL;
}
