/* The watcher over a pending confirmation. It touches nothing while an edged
 * holds the lock: that one has the same deadline. */
#include "guard.h"

#include "history.h"
#include "log.h"
#include "server.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Main is given this long to act on its own timer. */
#define GRACE_SECONDS 2

int guard_start(const struct options *options)
{
	char *arguments[] = {(char *)"edged", (char *)"--expire-pending", (char *)"--config", (char *)options->config,
			     (char *)"--state-dir", (char *)options->state_dir, (char *)"--runtime-dir",
			     (char *)options->runtime_dir, NULL};
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		/* Twice, so that it is nobody's child and nobody's session. */
		if (setsid() < 0 || fork() != 0)
			_exit(0);
		close_range(3, ~0u, 0);
		execv("/proc/self/exe", arguments);
		_exit(1);
	}
	int status;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/* Until the pending record may be another one, or until the time (CLOCK_BOOTTIME, which goes on in suspend). */
static void wait_for(int changes, uint64_t seconds)
{
	cleanup_fd int timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
	struct itimerspec end = {.it_value.tv_sec = (time_t)seconds};
	struct pollfd sources[] = {{.fd = timer, .events = POLLIN}, {.fd = changes, .events = POLLIN}};
	if (timer < 0 || timerfd_settime(timer, 0, &end, NULL) < 0) {
		/* Without a timer: the plain sleep, which nothing ends before its time. */
		struct timespec wait = {.tv_sec = (time_t)seconds};
		clock_nanosleep(CLOCK_BOOTTIME, 0, &wait, NULL);
		return;
	}
	if (poll(sources, 2, -1) > 0 && (sources[1].revents & POLLIN)) {
		char events[4096];
		if (read(changes, events, sizeof(events)) < 0)
			return;
	}
}

int guard_main(const struct options *options)
{
	/* A confirmation removes the record: then there is nothing to guard any more. -1 is a source that poll skips. */
	cleanup_fd int changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (changes >= 0)
		inotify_add_watch(changes, options->state_dir, IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM);
	uint32_t guarded = 0;
	for (;;) {
		struct history_pending pending;
		int r = history_look(options->state_dir, &pending);
		if (r < 0)
			log_error("guard", "cannot read the history in \"%s\": %s", options->state_dir, strerror(-r));
		if (r <= 0)
			return r;
		/* Another one: it has a guard of its own. */
		if (guarded && pending.revision != guarded)
			return 0;
		guarded = pending.revision;
		uint64_t left = history_pending_seconds_left(&pending);
		if (left == 0)
			break;
		wait_for(changes, left + GRACE_SECONDS);
	}
	return server_expire(options);
}
