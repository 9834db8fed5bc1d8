/* Finds the partitions of the running image by way of /sys, so that a second
 * disk with the same names (one mounted for rescue, say) is never taken for
 * our own; reads and writes the boot state. Never writes a slot. */
#include "image_places.h"

#include "../rules/base/arena.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* The first most - 1 bytes of a file as text; its length or -errno. */
static ssize_t read_text(const char *path, char *ret_text, size_t most)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t length = read(fd, ret_text, most - 1);
	int error = errno;
	close(fd);
	if (length < 0)
		return -error;
	ret_text[length] = 0;
	return length;
}

static int find_booted(struct arena *arena, const char *root, enum slot *ret_slot)
{
	char text[4096], *save = NULL;
	const char *path = arena_printf(arena, "%s/proc/cmdline", root);
	if (!path)
		return -ENOMEM;
	if (read_text(path, text, sizeof(text)) < 0)
		return -ENODEV;
	for (char *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		for (unsigned i = 0; i < SLOTS; i++) {
			if (strncmp(word, "edged.slot=", 11) == 0 && strcmp(word + 11, slot_names[i]) == 0) {
				*ret_slot = (enum slot)i;
				return 0;
			}
		}
	}
	return -ENODEV;
}

/* The folder in /sys of the disk below the device mapper's "root"; -ENODEV. */
static int find_disk(struct arena *arena, const char *root, const char **ret_folder)
{
	char name[64];
	struct dirent *entry;
	const char *blocks = arena_printf(arena, "%s/sys/block", root), *found = NULL;
	DIR *folder = blocks ? opendir(blocks) : NULL;
	while (folder && !found && (entry = readdir(folder))) {
		const char *path = arena_printf(arena, "%s/%s/dm/name", blocks, entry->d_name);
		if (path && read_text(path, name, sizeof(name)) > 0 && strcmp(name, "root\n") == 0)
			found = arena_printf(arena, "%s/%s/slaves", blocks, entry->d_name);
	}
	if (folder)
		closedir(folder);
	folder = found ? opendir(found) : NULL;
	if (!folder)
		return -ENODEV;
	while ((entry = readdir(folder)) && entry->d_name[0] == '.')
		;
	const char *path = entry ? arena_printf(arena, "%s/%s", found, entry->d_name) : NULL;
	closedir(folder);
	char *real = path ? realpath(path, NULL) : NULL, *end = real ? strrchr(real, '/') : NULL;
	if (end)
		*end = 0;
	*ret_folder = real ? arena_strdup(arena, real) : NULL;
	free(real);
	return !path ? -ENODEV : *ret_folder ? 0 : -ENOMEM;
}

/* The value of "name=" in the lines of a uevent file, or NULL. */
static const char *value_of(struct arena *arena, const char *text, const char *name)
{
	size_t length = strlen(name);
	for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, name, length) == 0 && line[length] == '=')
			return arena_strndup(arena, line + length + 1, strcspn(line + length + 1, "\n"));
	}
	return NULL;
}

static void take_partition(struct arena *arena, const char *root, const char *uevent, struct image_places *places)
{
	const char *part = value_of(arena, uevent, "PARTNAME"), *name = value_of(arena, uevent, "DEVNAME");
	const char *device = part && name ? arena_printf(arena, "%s/dev/%s", root, name) : NULL;
	if (!device)
		return;
	if (strcmp(part, "state") == 0)
		places->state = device;
	for (unsigned i = 0; i < SLOTS; i++) {
		if (strncmp(part, "boot-", 5) == 0 && strcmp(part + 5, slot_names[i]) == 0)
			places->parts[i][PART_BOOT] = device;
		if (strncmp(part, "root-", 5) == 0 && strcmp(part + 5, slot_names[i]) == 0)
			places->parts[i][PART_ROOT] = device;
	}
}

int image_places_find(struct arena *arena, const char *root, struct image_places *ret_places)
{
	struct image_places places = {.keep = arena_printf(arena, "%s/data/image", root)};
	const char *disk;
	char uevent[1024];
	int r = find_booted(arena, root, &places.booted);
	if (r == 0)
		r = find_disk(arena, root, &disk);
	if (r < 0)
		return r;
	DIR *folder = opendir(disk);
	struct dirent *entry;
	while (folder && (entry = readdir(folder))) {
		const char *path = arena_printf(arena, "%s/%s/uevent", disk, entry->d_name);
		if (path && read_text(path, uevent, sizeof(uevent)) > 0)
			take_partition(arena, root, uevent, &places);
	}
	if (folder)
		closedir(folder);
	bool whole = places.state != NULL;
	for (unsigned i = 0; i < SLOTS; i++)
		whole = whole && places.parts[i][PART_BOOT] && places.parts[i][PART_ROOT];
	if (!whole)
		return -ENXIO;
	if (!places.keep)
		return -ENOMEM;
	*ret_places = places;
	return 0;
}

int image_state_open(const struct image_places *places, bool to_write)
{
	int fd = open(places->state, (to_write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!to_write || flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	int error = errno == EWOULDBLOCK ? EBUSY : errno;
	close(fd);
	return -error;
}

int image_state_read(int fd, struct boot_state *ret_state)
{
	char block[BOOT_STATE_SIZE];
	ssize_t length = pread(fd, block, sizeof(block), BOOT_STATE_AT);
	if (length < 0)
		return -errno;
	return length == sizeof(block) ? boot_state_parse(block, ret_state) : -EINVAL;
}

int image_state_write(int fd, const struct boot_state *state)
{
	char block[BOOT_STATE_SIZE];
	boot_state_print(state, block);
	ssize_t length = pwrite(fd, block, sizeof(block), BOOT_STATE_AT);
	if (length < 0)
		return -errno;
	if (length != sizeof(block))
		return -EIO;
	return fsync(fd) == 0 ? 0 : -errno;
}
