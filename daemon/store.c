/* Files on disk: how one is read, replaced and removed so that neither a crash
 * nor a full disk leaves half of it. Knows nothing of what is in them. */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int store_folder(int dir, const char *name, mode_t mode)
{
	bool made = mkdirat(dir, name, mode) == 0;
	if (!made && errno != EEXIST)
		return -errno;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (made && dir != AT_FDCWD && fsync(dir) < 0) {
		int error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

int store_read_fd(int fd, size_t most, struct arena *arena, char **ret_text, size_t *ret_length)
{
	struct stat info;
	if (fstat(fd, &info) < 0)
		return -errno;
	if (!S_ISREG(info.st_mode))
		return -EINVAL;
	if (info.st_size < 0 || (uintmax_t)info.st_size > most)
		return -EFBIG;
	size_t room = (size_t)info.st_size;
	char *text = arena_alloc(arena, room + 1);
	if (!text)
		return -ENOMEM;
	size_t length = 0;
	while (length < room) {
		ssize_t got = read(fd, text + length, room - length);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break; /* cut off while we read */
		length += (size_t)got;
	}
	text[length] = '\0';
	*ret_text = text;
	*ret_length = length;
	return 0;
}

int store_read(int dir, const char *name, size_t most, struct arena *arena, char **ret_text, size_t *ret_length)
{
	/* O_NONBLOCK: a FIFO in a file's place must not hang us. */
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : store_read_fd(fd, most, arena, ret_text, ret_length);
}

static int write_all(int fd, const char *data, size_t length)
{
	while (length) {
		ssize_t done = write(fd, data, length);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		data += done;
		length -= (size_t)done;
	}
	return 0;
}

int store_write_new(int dir, const char *name, const void *data, size_t length, mode_t mode)
{
	cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = fchmod(fd, mode) < 0 ? -errno : 0; /* whatever the umask is */
	if (r == 0)
		r = write_all(fd, data, length);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, name, 0);
	return r;
}

static int temporary_name(const char *name, char *temporary)
{
	int length = snprintf(temporary, NAME_MAX + 1, STORE_TEMPORARY "%s", name);
	return length > NAME_MAX ? -ENAMETOOLONG : 0;
}

/* Only a file, or a link, may be replaced by a file. */
static int check_target(int dir, const char *name)
{
	struct stat info;
	if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return S_ISREG(info.st_mode) || S_ISLNK(info.st_mode) ? 0 : -EISDIR;
}

/* Put temporary in name's place. Where there was something the two are exchanged, so that a folder that cannot be
 * synced afterwards is put back as it was. */
static int put_in_place(int dir, const char *temporary, const char *name)
{
	bool exchanged = renameat2(dir, temporary, dir, name, RENAME_EXCHANGE) == 0;
	if (!exchanged && errno != ENOENT && errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (!exchanged && renameat(dir, temporary, dir, name) < 0)
		return -errno;
	if (fsync(dir) == 0) {
		if (exchanged)
			unlinkat(dir, temporary, 0);
		return 0;
	}
	int error = -errno;
	if (exchanged)
		renameat2(dir, temporary, dir, name, RENAME_EXCHANGE);
	else
		unlinkat(dir, name, 0);
	return error;
}

int store_replace(int dir, const char *name, const void *data, size_t length, mode_t mode)
{
	char temporary[NAME_MAX + 1];
	int r = temporary_name(name, temporary);
	if (r == 0)
		r = check_target(dir, name);
	if (r < 0)
		return r;
	unlinkat(dir, temporary, 0);
	r = store_write_new(dir, temporary, data, length, mode);
	if (r < 0)
		return r;
	r = put_in_place(dir, temporary, name);
	if (r < 0)
		unlinkat(dir, temporary, 0);
	return r;
}

int store_remove(int dir, const char *name)
{
	char temporary[NAME_MAX + 1];
	int r = temporary_name(name, temporary);
	if (r < 0)
		return r;
	if (renameat(dir, name, dir, temporary) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fsync(dir) < 0) {
		r = -errno;
		renameat(dir, temporary, dir, name);
		return r;
	}
	unlinkat(dir, temporary, 0);
	return 0;
}

static int remove_file(void *context, const char *name)
{
	return unlinkat(*(const int *)context, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int empty_and_remove(int dir, const char *name)
{
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : store_each(fd, remove_file, &fd);
	return r < 0 ? r : unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int store_remove_folder(int dir, const char *name)
{
	char temporary[NAME_MAX + 1];
	int r = temporary_name(name, temporary);
	if (r < 0)
		return r;
	empty_and_remove(dir, temporary);
	if (renameat(dir, name, dir, temporary) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fsync(dir) < 0)
		return -errno;
	return empty_and_remove(dir, temporary);
}

static int clean_one(void *context, const char *name)
{
	int dir = *(const int *)context;
	if (strncmp(name, STORE_TEMPORARY, strlen(STORE_TEMPORARY)) == 0 && unlinkat(dir, name, 0) < 0)
		empty_and_remove(dir, name);
	return 0;
}

void store_clean(int dir)
{
	store_each(dir, clean_one, &dir);
}

int store_each(int dir, int (*each)(void *context, const char *name), void *context)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *stream = fdopendir(fd);
	if (!stream) {
		int error = -errno;
		close(fd);
		return error;
	}
	int r = 0;
	while (r == 0) {
		errno = 0;
		const struct dirent *entry = readdir(stream);
		if (!entry) {
			r = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = each(context, entry->d_name);
	}
	closedir(stream);
	return r;
}
