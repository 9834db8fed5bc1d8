/* The service manager's protocol, by libsystemd: readiness, watchdog, and the
 * store of descriptors. Without a manager each call does nothing. It keeps no
 * state and decides nothing. */
#include "notify.h"

#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define OWNER_NAME "nft-owner"

void notify_ready(void)
{
	sd_notify(0, "READY=1");
}

void notify_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

void notify_status(const char *format, ...)
{
	char text[256] = "STATUS=";
	va_list args;
	va_start(args, format);
	vsnprintf(text + 7, sizeof(text) - 7, format, args);
	va_end(args);
	sd_notify(0, text);
}

unsigned notify_watchdog_seconds(void)
{
	uint64_t microseconds = 0;
	if (sd_watchdog_enabled(0, &microseconds) <= 0)
		return 0;
	unsigned half = (unsigned)(microseconds / 2000000);
	return half ? half : 1;
}

void notify_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}

int notify_take_owner(void)
{
	char **names = NULL;
	int owner = -1;
	int count = sd_listen_fds_with_names(1, &names);
	for (int i = 0; i < count; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		if (owner < 0 && names && strcmp(names[i], OWNER_NAME) == 0)
			owner = fd;
		else
			close(fd);
		free(names[i]);
	}
	free(names);
	return owner;
}

void notify_store_owner(int fd)
{
	if (fd < 0)
		return;
	/* FDPOLL=0: the store must not let go of a socket because an error is queued on it. */
	if (sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=" OWNER_NAME, &fd, 1) <= 0)
		log_info("notify", "no service manager keeps the owning socket: between a crash and the next start the "
				   "table can be flushed by others");
}
