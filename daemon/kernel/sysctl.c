/* Reading and writing one kernel parameter. Refuses names that would lead out
 * of /proc/sys. It never decides which there should be. */
#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define ROOT "/proc/sys/"

/* path has PATH_MAX bytes. */
static int path_of(const char *name, char *path)
{
	size_t used = sizeof(ROOT) - 1, start = used;
	memcpy(path, ROOT, used);
	for (; *name && used < PATH_MAX - 1; name++)
		path[used++] = *name == '.' ? '/' : *name == '/' ? '.' : *name;
	path[used] = '\0';
	if (*name || used == start)
		return -EINVAL;
	/* No empty part, and neither "." nor "..". */
	for (const char *part = path + start;; part++) {
		size_t length = strcspn(part, "/");
		if (length == 0 || (length <= 2 && strspn(part, ".") >= length))
			return -EINVAL;
		part += length;
		if (!*part)
			return 0;
	}
}

static int open_path(const char *name, int flags)
{
	char path[PATH_MAX];
	int rc = path_of(name, path);
	if (rc < 0)
		return rc;
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int sysctl_read(const char *name, char *value)
{
	int fd = open_path(name, O_RDONLY);
	if (fd < 0)
		return fd;
	ssize_t size = read(fd, value, SYSCTL_VALUE_MAX - 1);
	int rc = size < 0 ? -errno : 0;
	close(fd);
	if (rc < 0)
		return rc;
	if (size > 0 && value[size - 1] == '\n')
		size--;
	value[size] = '\0';
	return 0;
}

int sysctl_write(const char *name, const char *value)
{
	int fd = open_path(name, O_WRONLY);
	if (fd < 0)
		return fd;
	size_t length = strlen(value);
	ssize_t size = write(fd, value, length);
	int rc = size < 0 ? -errno : (size_t)size != length ? -EIO : 0;
	close(fd);
	return rc;
}
