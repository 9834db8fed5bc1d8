/* The loader's work: a bpffs of our own in the runtime folder, the programs
 * loaded and pinned there. One-shot, as root, before main; it parses nothing
 * that comes from the network, and attaches nothing. Live maps are kept when
 * their layout is the same; programs are replaced by a rename, so that at any
 * moment one whole set of pins is there. */
#include "header.h"

#include "../log.h"
#include "../store.h"
#include "header_pins.h"
#include "sysctl.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <header.skel.h>
#include <limits.h>
#include <linux/magic.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG "loader"
#define ROOM_LEAST 4096u
#define ROOM_MOST 4194304u
#define ROOM_DEFAULT 65536u

#define VERIFIER_LINES 6

/* Of the verifier's log only the end: there is the reason. */
static int print_warnings(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char *text;
	if (level != LIBBPF_WARN || vasprintf(&text, format, arguments) < 0)
		return 0;
	size_t length = strlen(text), begin = length;
	for (int lines = 0; begin > 0; begin--)
		if (text[begin - 1] == '\n' && begin < length && ++lines > VERIFIER_LINES)
			break;
	for (const char *at = text + begin; *at; at += strspn(at, "\n")) {
		size_t size = strcspn(at, "\n");
		log_text(4, LOG, at, size);
		at += size;
	}
	free(text);
	return 0;
}

/* conntrack's functions are found in the BTF of its module, once it is there. Where it is built in, modprobe has
 * nothing to do, or does not exist. */
static void load_module(const char *name)
{
	char *arguments[] = {"modprobe", "-q", (char *)name, NULL}, *environment[] = {NULL};
	pid_t pid;
	if (posix_spawn(&pid, "/sbin/modprobe", NULL, NULL, arguments, environment) == 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			continue;
}

static bool is_bpffs(const char *path)
{
	struct statfs info;
	return statfs(path, &info) == 0 && info.f_type == BPF_FS_MAGIC;
}

static int mount_folder(const char *runtime_dir, const char *folder)
{
	if ((mkdir(runtime_dir, 0755) < 0 && errno != EEXIST) || (mkdir(folder, 0700) < 0 && errno != EEXIST))
		return -errno;
	if (is_bpffs(folder))
		return 0;
	/* The runtime folder is main's: what is there under this name must not lead elsewhere. */
	cleanup_fd int fd = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char target[32];
	snprintf(target, sizeof(target), "/proc/self/fd/%d", fd);
	if (fd < 0 || mount("bpf", target, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return -errno;
	return 0;
}

/* Main need not be root: what is pinned belongs to whom the runtime folder belongs to. */
static int give_away(const char *runtime_dir, const char *folder)
{
	struct stat owner;
	if (stat(runtime_dir, &owner) < 0)
		return -errno;
	if (owner.st_uid == geteuid())
		return 0;
	cleanup_fd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char path[PATH_MAX];
	for (int i = 0; fd >= 0 && i < HEADER_PROGRAMS + HEADER_MAPS; i++) {
		if (i < HEADER_PROGRAMS)
			snprintf(path, sizeof(path), "%s", header_program_names[i]);
		else
			snprintf(path, sizeof(path), "%s" HEADER_MAP_SUFFIX, header_map_names[i - HEADER_PROGRAMS]);
		if (fchownat(fd, path, owner.st_uid, owner.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
	}
	return fd < 0 || fchown(fd, owner.st_uid, owner.st_gid) < 0 ? -errno : 0;
}

/* Twice what conntrack can hold: entries that are not yet swept are at most as many as live ones. */
static __u32 room_for_flows(void)
{
	char value[SYSCTL_VALUE_MAX];
	unsigned long most = ROOM_DEFAULT;
	if (sysctl_read("net.netfilter.nf_conntrack_max", value) == 0)
		most = strtoul(value, NULL, 10);
	if (most > ROOM_MOST / 2)
		return ROOM_MOST;
	return most < ROOM_LEAST / 2 ? ROOM_LEAST : (__u32)most * 2;
}

/* New maps, though conntrack has entries: some may be of flows that had an entry in older maps. */
static bool flows_may_live(void)
{
	char value[SYSCTL_VALUE_MAX];
	return sysctl_read("net.netfilter.nf_conntrack_count", value) < 0 || strtoul(value, NULL, 10) > 0;
}

static void maps_of(struct header_bpf *programs, struct bpf_map *maps[HEADER_MAPS])
{
	maps[HEADER_MAP_FLOWS] = programs->maps.flows;
	maps[HEADER_MAP_SWEEP] = programs->maps.sweep;
	maps[HEADER_MAP_COUNTERS] = programs->maps.counters;
	maps[HEADER_MAP_USAGE] = programs->maps.usage;
}

static void programs_of(struct header_bpf *from, struct bpf_program *programs[HEADER_PROGRAMS])
{
	programs[HEADER_TO_NODE_ETHER] = from->progs.to_node_ether;
	programs[HEADER_TO_NODE_PLAIN] = from->progs.to_node_plain;
	programs[HEADER_FROM_NODE_ETHER] = from->progs.from_node_ether;
	programs[HEADER_FROM_NODE_PLAIN] = from->progs.from_node_plain;
}

/* The maps of a former loader, with the flows in them: all of them, or none. */
static bool adopt_maps(const char *folder, struct bpf_map *maps[HEADER_MAPS])
{
	int fds[HEADER_MAPS], count = 0;
	char path[PATH_MAX];
	for (; count < HEADER_MAPS; count++) {
		if (header_pin_path(folder, header_map_names[count], HEADER_MAP_SUFFIX, path) < 0)
			break;
		fds[count] = bpf_obj_get(path);
		if (fds[count] < 0)
			break;
	}
	bool all = count == HEADER_MAPS;
	for (int i = 0; i < count; i++) {
		if (all && bpf_map__reuse_fd(maps[i], fds[i]) < 0)
			all = false;
		close(fds[i]);
	}
	return all;
}

static int pin_maps(const char *folder, struct bpf_map *maps[HEADER_MAPS], __u32 room)
{
	char path[PATH_MAX];
	__u32 room_index = FLOW_ROOM, suspect_index = FLOW_SUSPECT, suspect = flows_may_live();
	if (bpf_map_update_elem(bpf_map__fd(maps[HEADER_MAP_USAGE]), &room_index, &room, BPF_ANY) < 0 ||
	    bpf_map_update_elem(bpf_map__fd(maps[HEADER_MAP_USAGE]), &suspect_index, &suspect, BPF_ANY) < 0)
		return -errno;
	for (int i = 0; i < HEADER_MAPS; i++) {
		int r = header_pin_path(folder, header_map_names[i], HEADER_MAP_SUFFIX, path);
		if (r < 0)
			return r;
		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
		if (bpf_obj_pin(bpf_map__fd(maps[i]), path) < 0)
			return -errno;
	}
	return 0;
}

static int pin_programs(const char *folder, struct bpf_program *programs[HEADER_PROGRAMS])
{
	char path[PATH_MAX], fresh[PATH_MAX];
	for (int i = HEADER_PROGRAMS - 1; i >= 0; i--) {
		int r = header_pin_path(folder, header_program_names[i], "", path);
		if (r == 0)
			r = header_pin_path(folder, header_program_names[i], "-new", fresh);
		if (r < 0)
			return r;
		if (unlink(fresh) < 0 && errno != ENOENT)
			return -errno;
		if (bpf_obj_pin(bpf_program__fd(programs[i]), fresh) < 0 || rename(fresh, path) < 0)
			return -errno;
	}
	return 0;
}

static bool is_ours(const char *name)
{
	for (int i = 0; i < HEADER_PROGRAMS; i++)
		if (strcmp(name, header_program_names[i]) == 0)
			return true;
	for (int i = 0; i < HEADER_MAPS; i++) {
		size_t length = strlen(header_map_names[i]);
		if (strncmp(name, header_map_names[i], length) == 0 && strcmp(name + length, HEADER_MAP_SUFFIX) == 0)
			return true;
	}
	return false;
}

/* Pins of other layouts, or (all) every one. */
static void remove_pins(const char *folder, bool all)
{
	DIR *dir = opendir(folder);
	if (!dir)
		return;
	char path[PATH_MAX];
	for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		if (entry->d_name[0] != '.' && (all || !is_ours(entry->d_name)) &&
		    header_pin_path(folder, entry->d_name, "", path) == 0)
			unlink(path);
	closedir(dir);
}

static int load_into(const char *folder, struct header_bpf *object, __u32 room)
{
	struct bpf_map *maps[HEADER_MAPS];
	struct bpf_program *programs[HEADER_PROGRAMS];
	maps_of(object, maps);
	programs_of(object, programs);
	bool adopted = adopt_maps(folder, maps);
	if (!adopted && (bpf_map__set_max_entries(maps[HEADER_MAP_FLOWS], room) < 0 ||
			 bpf_map__set_max_entries(maps[HEADER_MAP_SWEEP], room + 1024) < 0))
		return -EINVAL;
	int r = header_bpf__load(object);
	if (r == 0 && !adopted)
		r = pin_maps(folder, maps, room);
	if (r == 0)
		r = pin_programs(folder, programs);
	if (r < 0)
		return r;
	remove_pins(folder, false);
	log_info(LOG, "the header programs are in %s, with %s flow map for %u flows", folder,
		 adopted ? "the former" : "a new", bpf_map__max_entries(maps[HEADER_MAP_FLOWS]));
	return 0;
}

int headers_load(const char *runtime_dir, uint32_t room)
{
	char folder[PATH_MAX];
	int r = header_pin_path(runtime_dir, HEADER_FOLDER, "", folder);
	if (r < 0)
		return r;
	libbpf_set_print(print_warnings);
	load_module("nf_conntrack");
	r = mount_folder(runtime_dir, folder);
	if (r < 0) {
		log_error(LOG, "a BPF file system at %s: %s", folder, strerror(-r));
		return r;
	}
	struct header_bpf *object = header_bpf__open();
	r = object ? load_into(folder, object, room ? room : room_for_flows()) : -errno;
	if (r == 0)
		r = give_away(runtime_dir, folder);
	header_bpf__destroy(object);
	if (r < 0)
		log_error(LOG, "the header programs do not load on this kernel: %s", strerror(-r));
	return r;
}

int headers_unload(const char *runtime_dir)
{
	char folder[PATH_MAX];
	int r = header_pin_path(runtime_dir, HEADER_FOLDER, "", folder);
	if (r < 0 || !is_bpffs(folder))
		return r;
	remove_pins(folder, true);
	return umount2(folder, MNT_DETACH) < 0 ? -errno : 0;
}
