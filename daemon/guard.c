/* The watcher over a pending confirmation. It touches nothing while an edged
 * holds the lock: that one has the same deadline. */
#include "guard.h"

#include "history.h"
#include "log.h"
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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

int guard_main(const struct options *options)
{
	for (;;) {
		struct history_pending pending;
		int r = history_look(options->state_dir, &pending);
		if (r < 0)
			log_error("guard", "cannot read the history in \"%s\": %s", options->state_dir, strerror(-r));
		if (r <= 0)
			return r;
		uint64_t left = history_pending_seconds_left(&pending);
		if (left == 0)
			break;
		/* By the clock that goes on in suspend; a confirmation in between is seen afterwards. */
		struct timespec wait = {.tv_sec = (time_t)(left + GRACE_SECONDS)};
		clock_nanosleep(CLOCK_BOOTTIME, 0, &wait, NULL);
	}
	return server_expire(options);
}
