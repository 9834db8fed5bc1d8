/* The image's initial ram disk: verified read-only root of the slot that the command line names, a tmpfs over it for
 * what need not last, and /data for what must (data.c). Nothing here waits for longer than a device takes to appear, and
 * no process is started but a modprobe beside it and a sysctl at its end: on a small machine each costs as much as all
 * the rest. */
#include "initrd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_STEP 50000u /* us */
#define WAIT_STEPS 200u	 /* 10 s: for disks that are slow to appear */
#define MODULES_MAX 64u
#define DIRECTORIES_OPEN 16

static char slot[16] = "?";

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list arguments;
	int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return;
	dprintf(fd, "edged: ");
	va_start(arguments, format);
	vdprintf(fd, format, arguments);
	va_end(arguments);
	dprintf(fd, "\n");
	close(fd);
}

/* The kernel restarts panic= seconds after its first process ended, and the boot loader counts: a slot that does not get
 * far is left. */
_Noreturn static void give_up(const char *what, int error)
{
	say("slot %s: %s: %s", slot, what, strerror(error));
	_exit(1);
}

/* What fits, with a NUL behind it. Its length, or -errno. */
static ssize_t read_file(const char *path, char *space, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t length = read(fd, space, size - 1);
	int error = errno;
	close(fd);
	if (length < 0)
		return -error;
	space[length] = '\0';
	return length;
}

/* The modules that the list names, in its order. One that this machine has no use for does not load: no matter. */
static void load_modules(const char *list)
{
	static char names[4096];
	char path[PATH_MAX], *rest = names;
	snprintf(path, sizeof(path), "/modules/%s", list);
	if (read_file(path, names, sizeof(names)) < 0)
		return;
	for (const char *name; (name = strtok_r(rest, "\n", &rest)) != NULL;) {
		snprintf(path, sizeof(path), "/modules/%s", name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		syscall(SYS_finit_module, fd, "", 0);
		close(fd);
	}
}

/* The device of the partition of this name, among the devices in a folder of /sys. */
static bool find_partition(const char *folder, const char *name, char ret_device[PATH_MAX])
{
	bool found = false;
	DIR *entries = opendir(folder);
	for (const struct dirent *entry; entries && !found && (entry = readdir(entries)) != NULL;) {
		char path[PATH_MAX], lines[1024], *rest = lines;
		const char *device = "", *partition = "";
		if (snprintf(path, sizeof(path), "%s/%s/uevent", folder, entry->d_name) >= (int)sizeof(path) ||
		    read_file(path, lines, sizeof(lines)) < 0)
			continue;
		for (const char *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) {
			if (strncmp(line, "DEVNAME=", 8) == 0)
				device = line + 8;
			if (strncmp(line, "PARTNAME=", 9) == 0)
				partition = line + 9;
		}
		found = strcmp(partition, name) == 0;
		if (found)
			snprintf(ret_device, PATH_MAX, "/dev/%s", device);
	}
	if (entries)
		closedir(entries);
	return found;
}

static bool wait_partition(const char *folder, const char *name, char ret_device[PATH_MAX])
{
	for (unsigned step = 0; !find_partition(folder, name, ret_device); step++) {
		if (step >= WAIT_STEPS)
			return false;
		usleep(WAIT_STEP);
	}
	return true;
}

static void must_mount(const char *what, const char *where, const char *type, unsigned long flags, const char *options)
{
	if (mount(what, where, type, flags, options) < 0)
		give_up(where, errno);
}

/* What the firewall needs of the kernel, while the service manager starts on the other processor. */
static void load_rules_modules(void)
{
	static char names[4096];
	char *rest = names, *arguments[MODULES_MAX + 4] = {"modprobe", "--all", "--quiet"};
	size_t count = 3;
	if (read_file("/lower/usr/lib/modules-load.d/edged.conf", names, sizeof(names)) < 0)
		return;
	for (char *line; count < MODULES_MAX + 3 && (line = strtok_r(rest, "\n", &rest)) != NULL;)
		if (*line != '#')
			arguments[count++] = line;
	if (fork() != 0)
		return;
	if (chroot("/lower") == 0 && chdir("/") == 0)
		execv("/sbin/modprobe", arguments);
	_exit(1);
}

/* The root of the slot is on /new then, writable until the next restart. ret_disk: the folder in /sys of its disk. */
static void mount_root(uint64_t blocks, const char *hash, char ret_disk[PATH_MAX])
{
	char name[32], device[PATH_MAX], link[PATH_MAX + 32];
	snprintf(name, sizeof(name), "root-%s", slot);
	/* Every driver more keeps the firewall waiting; udev loads what else there is. */
	if (!find_partition("/sys/class/block", name, device))
		load_modules("more");
	if (!wait_partition("/sys/class/block", name, device))
		give_up("no partition of its name", ENODEV);
	int r = verity_open(device, blocks, hash);
	if (r < 0)
		give_up("the root cannot be set up", -r);
	must_mount("/dev/mapper/root", "/lower", "erofs", MS_RDONLY, NULL);
	must_mount("tmpfs", "/upper", "tmpfs", 0, "mode=755,size=25%");
	mkdir("/upper/upper", 0755);
	mkdir("/upper/work", 0755);
	must_mount("overlay", "/new", "overlay", 0, "lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work");

	snprintf(link, sizeof(link), "/sys/class/block/%s/..", device + strlen("/dev/"));
	if (!realpath(link, ret_disk))
		give_up(link, errno);
}

/* What Debian sets, of the kernel: edged's own settings come after it, and the service manager would take a second for it.
 * In the root that was entered. */
static void apply_sysctl(void)
{
	char *const arguments[] = {"systemd-sysctl", NULL};
	pid_t child = fork();
	if (child == 0) {
		execv("/usr/lib/systemd/systemd-sysctl", arguments);
		_exit(1);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)status;
	(void)kind;
	if (place->level > 0)
		remove(path); /* where something is mounted: it stays */
	return 0;
}

/* As switch_root(8) does it: the memory of this file system is free, and the service manager runs in the root. */
_Noreturn static void switch_root(void)
{
	char *const arguments[] = {"/lib/systemd/systemd", NULL};
	must_mount("/proc", "/new/proc", NULL, MS_MOVE, NULL);
	must_mount("/sys", "/new/sys", NULL, MS_MOVE, NULL);
	must_mount("/dev", "/new/dev", NULL, MS_MOVE, NULL);
	nftw("/", remove_entry, DIRECTORIES_OPEN, FTW_DEPTH | FTW_MOUNT | FTW_PHYS);
	if (chdir("/new") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		give_up("the root cannot be entered", errno);
	apply_sysctl();
	execv(arguments[0], arguments);
	give_up(arguments[0], errno);
}

int main(void)
{
	static char line[4096];
	char disk[PATH_MAX], device[PATH_MAX], *rest = line;
	const char *hash = "";
	uint64_t blocks = 0;
	umask(022);
	must_mount("proc", "/proc", "proc", 0, NULL);
	must_mount("sysfs", "/sys", "sysfs", 0, NULL);
	must_mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	load_modules("first");
	read_file("/proc/cmdline", line, sizeof(line));
	for (const char *word; (word = strtok_r(rest, " \n", &rest)) != NULL;) {
		if (strncmp(word, "edged.slot=", 11) == 0)
			snprintf(slot, sizeof(slot), "%s", word + 11);
		if (strncmp(word, "edged.hash=", 11) == 0)
			hash = word + 11;
		if (strncmp(word, "edged.blocks=", 13) == 0)
			blocks = strtoull(word + 13, NULL, 10);
	}
	mount_root(blocks, hash, disk);
	load_rules_modules();
	/* A data partition that cannot be mounted must not keep the machine from booting closed. */
	int r = wait_partition(disk, "data", device) ? data_mount(device) : -ENODEV;
	if (r < 0)
		say("no data partition (%s): nothing of this boot will last", strerror(-r));
	switch_root();
}
