/* A disk that fails: the system calls that change files, replaced for a whole
 * test program (which includes this file) by ones that count, fail, or lose
 * power. Power loss is worse than a kill: what was written and not synced is
 * gone (files become empty), and names changed in a folder since its last sync
 * go back, the latest first. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DISK_EXIT 77 /* the exit status of a process that was ended */

enum disk_fault {
	DISK_FINE,
	DISK_FAILS,           /* that one call fails: ENOSPC where something is made or written, else EIO */
	DISK_FULL,            /* from that call on nothing can be made or written; the rest works */
	DISK_KILLED,          /* the process ends at that call; the disk keeps all */
	DISK_POWER_OUT,       /* the power fails: nothing unsynced is kept */
	DISK_POWER_OUT_LATER, /* the power fails: no unsynced data is kept, but the first half of the names */
	DISK_POWER_OUT_MIXED, /* the power fails: no unsynced data is kept, but the names of all folders except one */
	DISK_FAULTS
};

/* A change of names in a folder since that folder was synced. */
struct change {
	enum { MADE, MADE_FOLDER, RENAMED, EXCHANGED, REMOVED, REMOVED_FOLDER, SYNCED } what;
	int dir; /* a duplicate */
	ino_t inode; /* the folder's */
	char name[256], other[256]; /* other: renamed from */
};

/* A file that was written to and not synced. */
struct dirty {
	int fd; /* a duplicate; -1: synced */
	ino_t inode;
};

static enum disk_fault fault;
static size_t calls, at_call, change_count, dirty_count;
static const char *stash;
static struct change changes[4096];
static struct dirty dirties[4096];

static ino_t inode_of(int fd)
{
	struct stat info;
	return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

static int real_unlinkat(int dir, const char *name, int flags)
{
	return (int)syscall(SYS_unlinkat, dir, name, flags);
}

static int real_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

static void stash_path(size_t index, char *path)
{
	snprintf(path, 300, "%s/%zu", stash, index);
}

static void undo(size_t index)
{
	struct change *change = &changes[index];
	char path[300];
	switch (change->what) {
	case MADE:
		real_unlinkat(change->dir, change->name, 0);
		break;
	case MADE_FOLDER:
		/* What is in it and was synced is lost with it. */
		snprintf(path, sizeof(path), "rm -rf /proc/self/fd/%d/%s", change->dir, change->name);
		if (system(path) != 0)
			abort();
		break;
	case RENAMED:
		real_renameat2(change->dir, change->name, change->dir, change->other, 0);
		break;
	case EXCHANGED:
		real_renameat2(change->dir, change->name, change->dir, change->other, RENAME_EXCHANGE);
		break;
	case REMOVED:
		stash_path(index, path);
		/* The folder may be gone for good. */
		if (linkat(AT_FDCWD, path, change->dir, change->name, 0) < 0 && errno != ENOENT)
			abort();
		break;
	case REMOVED_FOLDER:
		syscall(SYS_mkdirat, change->dir, change->name, 0700);
		break;
	case SYNCED:
		break;
	}
}

static void lose_power(void)
{
	size_t first = 0, keep = fault == DISK_POWER_OUT_LATER ? change_count / 2 : 0;
	while (first < change_count && changes[first].what == SYNCED)
		first++;
	for (size_t i = 0; i < dirty_count; i++) {
		if (dirties[i].fd >= 0 && ftruncate(dirties[i].fd, 0) < 0)
			abort();
	}
	for (size_t i = change_count; i-- > keep;) {
		if (fault != DISK_POWER_OUT_MIXED || changes[i].inode == changes[first].inode)
			undo(i);
	}
}

static void record(int dir, const char *name, const char *other, int what)
{
	if (fault == DISK_FINE)
		return;
	if (change_count == sizeof(changes) / sizeof(changes[0]))
		abort();
	struct change *change = &changes[change_count++];
	*change = (struct change){.what = (typeof(change->what))what, .dir = dup(dir), .inode = inode_of(dir)};
	snprintf(change->name, sizeof(change->name), "%s", name);
	snprintf(change->other, sizeof(change->other), "%s", other);
}

/* True when this call must fail, with errno. makes: it needs room on the disk. */
static bool strikes(bool makes)
{
	if (fault == DISK_FINE)
		return false;
	calls++;
	if (fault == DISK_FULL && calls >= at_call && makes) {
		errno = ENOSPC;
		return true;
	}
	if (calls != at_call || fault == DISK_FULL)
		return false;
	if (fault == DISK_FAILS) {
		errno = makes ? ENOSPC : EIO;
		return true;
	}
	if (fault >= DISK_POWER_OUT)
		lose_power();
	_exit(DISK_EXIT);
}

/* From now on, the call-th call meets fault. stash_folder: on the same file system, for what is deleted and may
 * have to come back. */
static void disk_set(enum disk_fault new_fault, size_t call, const char *stash_folder)
{
	fault = new_fault;
	at_call = call;
	calls = change_count = dirty_count = 0;
	stash = stash_folder;
}

/* Calls since disk_set. */
static size_t disk_calls(void)
{
	return calls;
}

int openat(int dir, const char *name, int flags, ...)
{
	mode_t mode = 0;
	if (flags & (O_CREAT | O_TMPFILE)) {
		va_list args;
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	bool makes = flags & O_CREAT;
	if (makes && strikes(true))
		return -1;
	int fd = (int)syscall(SYS_openat, dir, name, flags, mode);
	if (makes && fd >= 0)
		record(dir, name, "", MADE);
	return fd;
}

ssize_t write(int fd, const void *data, size_t length)
{
	if (fault == DISK_FINE)
		return syscall(SYS_write, fd, data, length);
	if (dirty_count == sizeof(dirties) / sizeof(dirties[0]))
		abort();
	dirties[dirty_count++] = (struct dirty){.fd = dup(fd), .inode = inode_of(fd)};
	/* A part of it gets there before the call fails. */
	size_t part = length > 4096 ? length / 2 : length;
	bool last = fault == DISK_FULL ? calls + 1 >= at_call : calls + 1 == at_call;
	if (last && syscall(SYS_write, fd, data, length / 2) < 0)
		abort();
	return strikes(true) ? -1 : syscall(SYS_write, fd, data, part);
}

int fchmod(int fd, mode_t mode)
{
	return strikes(false) ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

int fsync(int fd)
{
	if (strikes(false))
		return -1;
	ino_t inode = fault == DISK_FINE ? 0 : inode_of(fd);
	for (size_t i = 0; fault != DISK_FINE && i < dirty_count; i++) {
		if (dirties[i].inode == inode && dirties[i].fd >= 0) {
			close(dirties[i].fd);
			dirties[i].fd = -1;
		}
	}
	for (size_t i = 0; fault != DISK_FINE && i < change_count; i++) {
		if (changes[i].inode == inode)
			changes[i].what = SYNCED;
	}
	return (int)syscall(SYS_fsync, fd);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	if (strikes(true))
		return -1;
	int r = (int)syscall(SYS_mkdirat, dir, name, mode);
	if (r == 0)
		record(dir, name, "", MADE_FOLDER);
	return r;
}

int unlinkat(int dir, const char *name, int flags)
{
	if (strikes(false))
		return -1;
	if (fault != DISK_FINE && !(flags & AT_REMOVEDIR)) {
		char path[300];
		stash_path(change_count, path);
		real_unlinkat(AT_FDCWD, path, 0);
		if (linkat(dir, name, AT_FDCWD, path, 0) < 0)
			return real_unlinkat(dir, name, flags);
	}
	int r = real_unlinkat(dir, name, flags);
	if (r == 0)
		record(dir, name, "", flags & AT_REMOVEDIR ? REMOVED_FOLDER : REMOVED);
	return r;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	if (strikes(false))
		return -1;
	int r = real_renameat2(from_dir, from, to_dir, to, flags);
	if (r == 0)
		record(to_dir, to, from, flags & RENAME_EXCHANGE ? EXCHANGED : RENAMED);
	return r;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return renameat2(from_dir, from, to_dir, to, 0);
}
