/* The data partition's folders over the root's. A folder of the image that is not there yet is copied whole, under
 * another name first: a power cut leaves all of it or nothing. Never removes what is there. */
#include "initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA "/new/data/"
#define HALF DATA ".half"
#define DIRECTORIES_OPEN 16
#define ADMIN 1000u /* edge-admin: image/customize.sh */

static size_t source_length; /* of nftw's path: what precedes the name in the copy */
static struct passwd owner;

static int copy_file(const char *from, const char *to, const struct stat *status)
{
	int error = 0, in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	off_t left = status->st_size;
	if (in < 0 || out < 0)
		error = errno;
	while (!error && left > 0) {
		ssize_t sent = sendfile(out, in, NULL, (size_t)left);
		if (sent <= 0)
			error = sent < 0 ? errno : EIO;
		else
			left -= sent;
	}
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return -error;
}

/* nftw's: a folder before what is in it. With its owner and rights, whatever the umask. */
static int copy_entry(const char *from, const struct stat *status, int kind, struct FTW *place)
{
	char to[PATH_MAX], target[PATH_MAX];
	(void)place;
	int r = 0;
	if (snprintf(to, sizeof(to), HALF "%s", from + source_length) >= (int)sizeof(to))
		return -ENAMETOOLONG;
	if (kind == FTW_D) {
		r = mkdir(to, 0700) < 0 ? -errno : 0;
	} else if (kind == FTW_SL) {
		ssize_t length = readlink(from, target, sizeof(target) - 1);
		target[length > 0 ? length : 0] = '\0';
		r = length < 0 || symlink(target, to) < 0 ? -errno : 0;
	} else if (S_ISREG(status->st_mode)) {
		r = copy_file(from, to, status);
	} else {
		return 0;
	}
	if (r < 0 || lchown(to, status->st_uid, status->st_gid) < 0)
		return r < 0 ? r : -errno;
	if (kind == FTW_SL)
		return 0;
	const struct timespec times[] = {status->st_atim, status->st_mtim};
	utimensat(AT_FDCWD, to, times, 0);
	return chmod(to, status->st_mode & 07777) < 0 ? -errno : 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)status;
	(void)kind;
	(void)place;
	return remove(path) < 0 ? -errno : 0;
}

/* As mkdir -p: all but the last name of the path. */
static void make_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
}

static int make_folder(const char *name)
{
	char from[PATH_MAX], to[PATH_MAX];
	snprintf(from, sizeof(from), "/lower/%s", name);
	snprintf(to, sizeof(to), DATA "%s", name);
	if (access(to, F_OK) == 0)
		return 0;
	nftw(HALF, remove_entry, DIRECTORIES_OPEN, FTW_DEPTH | FTW_PHYS);
	source_length = strlen(from);
	int r = nftw(from, copy_entry, DIRECTORIES_OPEN, FTW_PHYS);
	if (r != 0)
		return r < -1 ? r : -errno;
	sync();
	make_parents(to);
	return rename(HALF, to) < 0 ? -errno : 0;
}

static int own_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)kind;
	(void)place;
	if (status->st_uid == 0 && lchown(path, owner.pw_uid, owner.pw_gid) < 0)
		return -errno;
	return 0;
}

/* What an editor that root runs left root's, in edged's own folder. */
static void return_to_edged(const char *folder)
{
	FILE *users = fopen("/lower/etc/passwd", "re");
	const struct passwd *user = NULL;
	while (users && (user = fgetpwent(users)) != NULL && strcmp(user->pw_name, "edged") != 0)
		;
	if (user) {
		owner = *user;
		nftw(folder, own_entry, DIRECTORIES_OPEN, FTW_PHYS);
	}
	if (users)
		fclose(users);
}

static int write_all(const char *path, const char *text, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
	ssize_t written = fd < 0 ? -1 : write(fd, text, length);
	int error = errno;
	if (fd >= 0)
		close(fd);
	return written == (ssize_t)length ? 0 : written < 0 ? -error : -ENOSPC;
}

/* One identity for the life of the data partition: machine-id(5). */
static void keep_identity(void)
{
	char id[64] = "", uuid[64] = "";
	size_t length = 0;
	FILE *file = fopen(DATA "machine-id", "re");
	if (file && fgets(id, sizeof(id), file))
		length = strlen(id);
	if (file)
		fclose(file);
	if (length != 33) {
		file = fopen("/proc/sys/kernel/random/uuid", "re");
		if (!file || !fgets(uuid, sizeof(uuid), file))
			uuid[0] = '\0';
		if (file)
			fclose(file);
		length = 0;
		for (const char *from = uuid; *from; from++)
			if (*from != '-')
				id[length++] = *from;
		write_all(DATA "machine-id", id, length);
	}
	write_all("/new/etc/machine-id", id, length);
}

int data_mount(const char *device)
{
	static const char *const folders[] = {"etc/edged", "etc/systemd/network", "etc/ssh/keys", "home/edge-admin",
					      "var/lib/edged", "var/lib/cloud", "var/log"};
	if (mount(device, "/new/data", "ext4", MS_NOSUID | MS_NODEV, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		char from[PATH_MAX], to[PATH_MAX];
		snprintf(from, sizeof(from), DATA "%s", folders[i]);
		snprintf(to, sizeof(to), "/new/%s", folders[i]);
		if (make_folder(folders[i]) == 0)
			mount(from, to, NULL, MS_BIND, NULL);
	}
	return_to_edged(DATA "etc/edged");
	mkdir(DATA "image", 0700);
	mkdir(DATA "etc/image-keys", 0755);
	chmod(DATA "image", 0700);
	chmod(DATA "var/lib/edged", 0700);
	if (chown(DATA "home/edge-admin", ADMIN, ADMIN) < 0)
		return -errno;
	keep_identity();
	return 0;
}
