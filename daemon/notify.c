/* The service manager's protocol, by libsystemd: readiness, watchdog, and the
 * store of descriptors. Without a manager each call does nothing. It keeps no
 * state but names in that store, and decides nothing. */
#include "notify.h"

#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define OWNER_NAME "nft-owner"
#define WORKER_NAME "worker-"
#define FORMER_MOST 16

static char former[FORMER_MOST][32];
static size_t former_count;

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

/* Names of former mains' workers, to be removed from the store by. */
static void remember(const char *name)
{
	for (size_t i = 0; i < former_count; i++)
		if (strcmp(former[i], name) == 0)
			return;
	if (former_count < FORMER_MOST)
		snprintf(former[former_count++], sizeof(former[0]), "%s", name);
}

int notify_take_stored(void (*worker)(void *context, int fd), void *context)
{
	char **names = NULL;
	int owner = -1;
	int count = sd_listen_fds_with_names(1, &names);
	for (int i = 0; i < count; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		if (owner < 0 && strcmp(names[i], OWNER_NAME) == 0) {
			owner = fd;
		} else if (strncmp(names[i], WORKER_NAME, sizeof(WORKER_NAME) - 1) == 0) {
			remember(names[i]);
			worker(context, fd);
		} else {
			close(fd);
		}
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

void notify_store_worker(int fd)
{
	char text[64];
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=" WORKER_NAME "%d", (int)getpid());
	sd_pid_notify_with_fds(0, 0, text, &fd, 1);
}

void notify_forget_workers(void)
{
	char text[64];
	for (size_t i = 0; i < former_count; i++) {
		snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%.31s", former[i]);
		sd_notify(0, text);
	}
	former_count = 0;
}
