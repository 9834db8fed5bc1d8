/* verity NAME DEVICE BLOCKS ROOT-HASH: makes /dev/mapper/NAME, the first BLOCKS
 * blocks (of 4096 bytes) of DEVICE, each read checked against the hash tree
 * that follows them (veritysetup's format, version 1, SHA-256, its superblock
 * in the block after the data). A block that is wrong restarts the machine.
 * Linked statically, for the initial ram disk. */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define BLOCK 4096u
#define SECTORS (BLOCK / 512u)
#define SALT_MAX 256u
#define SALT_SIZE_AT 80u /* in the superblock: cryptsetup, lib/verity/verity.c, struct verity_sb */
#define SALT_AT 88u

static int fail(const char *what)
{
	fprintf(stderr, "verity: %s: %s\n", what, strerror(errno));
	return 1;
}

/* As hexadecimal digits; "-" for none. */
static int read_salt(const char *device, uint64_t blocks, char salt[2 * SALT_MAX + 1])
{
	unsigned char head[BLOCK];
	int fd = open(device, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : pread(fd, head, sizeof(head), (off_t)(blocks * BLOCK));
	if (fd >= 0)
		close(fd);
	unsigned length = SALT_MAX + 1;
	if (size == sizeof(head))
		length = (unsigned)(head[SALT_SIZE_AT] | head[SALT_SIZE_AT + 1] << 8);
	if (size != sizeof(head) || memcmp(head, "verity\0\0", 8) != 0 || length > SALT_MAX)
		return -1;
	strcpy(salt, "-");
	for (unsigned i = 0; i < length; i++)
		snprintf(salt + 2 * (size_t)i, 3, "%02x", head[SALT_AT + i]);
	return 0;
}

static struct dm_ioctl *prepare(void *space, size_t size, const char *name, uint32_t flags)
{
	struct dm_ioctl *request = space;
	memset(space, 0, size);
	*request = (struct dm_ioctl){.version = {4, 0, 0}, .data_size = (uint32_t)size,
				     .data_start = sizeof(*request), .flags = flags};
	snprintf(request->name, sizeof(request->name), "%s", name);
	return request;
}

int main(int argc, char **argv)
{
	alignas(struct dm_ioctl) static char space[BLOCK];
	char salt[2 * SALT_MAX + 1];
	uint64_t blocks = argc == 5 ? strtoull(argv[3], NULL, 10) : 0;
	if (blocks == 0 || strlen(argv[4]) != 64)
		return fprintf(stderr, "usage: verity NAME DEVICE BLOCKS ROOT-HASH\n"), 2;
	if (read_salt(argv[2], blocks, salt) < 0)
		return fail("no hash tree behind the data");
	int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	struct dm_ioctl *request = prepare(space, sizeof(space), argv[1], 0);
	if (control < 0 || ioctl(control, DM_DEV_CREATE, request) < 0)
		return fail("the device mapper");
	dev_t number = (dev_t)request->dev;

	request = prepare(space, sizeof(space), argv[1], DM_READONLY_FLAG);
	request->target_count = 1;
	struct dm_target_spec *target = (struct dm_target_spec *)(void *)(space + sizeof(*request));
	*target = (struct dm_target_spec){.length = blocks * SECTORS, .target_type = "verity"};
	char *parameters = (char *)(target + 1);
	size_t room = sizeof(space) - (size_t)(parameters - space);
	int length = snprintf(parameters, room, "1 %s %s %u %u %llu %llu sha256 %s %s 1 restart_on_corruption",
			      argv[2], argv[2], BLOCK, BLOCK, (unsigned long long)blocks,
			      (unsigned long long)blocks + 1, argv[4], salt);
	if (length < 0 || (size_t)length >= room || ioctl(control, DM_TABLE_LOAD, request) < 0)
		return fail("the table");
	request = prepare(space, sizeof(space), argv[1], 0);
	if (ioctl(control, DM_DEV_SUSPEND, request) < 0) /* without the suspend flag: resume */
		return fail("starting it");
	char path[sizeof(request->name) + sizeof("/dev/mapper/")];
	snprintf(path, sizeof(path), "/dev/mapper/%s", argv[1]);
	if (mknod(path, S_IFBLK | 0600, makedev(number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xfff00))) < 0 &&
	    errno != EEXIST)
		return fail(path);
	return 0;
}
