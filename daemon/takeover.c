/* The list of workers in the runtime folder. A pid alone proves nothing: the
 * start time in /proc (proc(5), stat field 22) is compared too. */
#include "takeover.h"

#include "log.h"
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST TAKEOVER_MOST

/* 0 when there is no such process. */
static unsigned long long start_time(pid_t pid)
{
	char path[64], text[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	/* The name in parentheses may hold anything: count from behind it. State is field 3. */
	char *at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

static int path_of(const char *runtime_dir, const char *name, char *path, size_t size)
{
	int length = snprintf(path, size, "%s/%s", runtime_dir, name);
	return length > 0 && (size_t)length < size ? 0 : -ENAMETOOLONG;
}

void takeover_begin(const char *runtime_dir)
{
	char from[512], to[512], line[64];
	if (path_of(runtime_dir, "workers", from, sizeof(from)) < 0 || path_of(runtime_dir, "workers.old", to, sizeof(to)) < 0)
		return;
	FILE *in = fopen(from, "re");
	if (!in)
		return;
	/* Appended: a main that was killed before it had finished left its predecessor's list. */
	FILE *out = fopen(to, "ae");
	for (int i = 0; out && i < MOST && fgets(line, sizeof(line), in); i++)
		fputs(line, out);
	if (out)
		fclose(out);
	fclose(in);
	unlink(from);
}

void takeover_write(const char *runtime_dir, const struct roles *roles)
{
	char path[512], next[520];
	if (path_of(runtime_dir, "workers", path, sizeof(path)) < 0)
		return;
	snprintf(next, sizeof(next), "%s.new", path);
	FILE *file = fopen(next, "we");
	if (!file) {
		log_warning("takeover", "cannot write \"%s\": %s; after a crash old workers would go on beside new ones", next,
			    strerror(errno));
		return;
	}
	struct role_info list[MOST];
	size_t count = roles_list(roles, list, MOST);
	for (size_t i = 0; i < count; i++)
		if (list[i].role == ROLE_PROXY && list[i].pid)
			fprintf(file, "%d %llu\n", (int)list[i].pid, start_time(list[i].pid));
	if (fclose(file) != 0 || rename(next, path) < 0)
		log_warning("takeover", "cannot write \"%s\": %s", path, strerror(errno));
}

void takeover_inherit(void *context, int fd)
{
	struct takeover *takeover = context;
	if (takeover->count < TAKEOVER_MOST)
		takeover->sockets[takeover->count++] = fd;
	else
		close(fd);
}

static void finish_units(struct takeover *takeover)
{
	for (size_t i = 0; i < takeover->count; i++) {
		(void)msg_send(takeover->sockets[i], MSG_STOP, 0, NULL, NULL, 0);
		close(takeover->sockets[i]);
	}
	if (takeover->count)
		log_info("takeover", "%zu workers of the former edged serve their open connections and end",
			 takeover->count);
	takeover->count = 0;
	notify_forget_workers();
}

void takeover_finish(const char *runtime_dir, struct takeover *takeover)
{
	char path[512], line[64];
	finish_units(takeover);
	if (path_of(runtime_dir, "workers.old", path, sizeof(path)) < 0)
		return;
	FILE *file = fopen(path, "re");
	if (!file)
		return;
	for (int i = 0; i < MOST && fgets(line, sizeof(line), file); i++) {
		int pid;
		unsigned long long start;
		if (sscanf(line, "%d %llu", &pid, &start) != 2 || pid <= 1 || start == 0 || start_time(pid) != start)
			continue;
		if (kill(pid, SIGUSR1) == 0)
			log_info("takeover", "worker %d of the former edged serves its open connections and ends", pid);
	}
	fclose(file);
	unlink(path);
}
