/* The device mapper's verity target over a slot's root (initrd.h), by the device mapper's own ioctls: no udev, no
 * libdevmapper. Never reads the data itself. */
#include "initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define BLOCK 4096u
#define SECTORS (BLOCK / 512u)
#define SALT_MAX 256u
#define SALT_SIZE_AT 80u /* in the superblock: cryptsetup, lib/verity/verity.c, struct verity_sb */
#define SALT_AT 88u
#define NAME "root"

/* As hexadecimal digits; "-" for none. -ENODATA: no hash tree behind the data. */
static int read_salt(const char *device, uint64_t blocks, char salt[2 * SALT_MAX + 1])
{
	unsigned char head[BLOCK];
	int fd = open(device, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t size = pread(fd, head, sizeof(head), (off_t)(blocks * BLOCK));
	close(fd);
	unsigned length = SALT_MAX + 1;
	if (size == sizeof(head))
		length = (unsigned)(head[SALT_SIZE_AT] | head[SALT_SIZE_AT + 1] << 8);
	if (size != sizeof(head) || memcmp(head, "verity\0\0", 8) != 0 || length > SALT_MAX)
		return -ENODATA;
	strcpy(salt, "-");
	for (unsigned i = 0; i < length; i++)
		snprintf(salt + 2 * (size_t)i, 3, "%02x", head[SALT_AT + i]);
	return 0;
}

static struct dm_ioctl *prepare(void *space, size_t size, uint32_t flags)
{
	struct dm_ioctl *request = space;
	memset(space, 0, size);
	*request = (struct dm_ioctl){.version = {4, 0, 0}, .data_size = (uint32_t)size,
				     .data_start = sizeof(*request), .flags = flags};
	strcpy(request->name, NAME);
	return request;
}

int verity_open(const char *device, uint64_t blocks, const char *root_hash)
{
	alignas(struct dm_ioctl) static char space[BLOCK];
	char salt[2 * SALT_MAX + 1];
	if (blocks == 0 || strlen(root_hash) != 64)
		return -EINVAL;
	int r = read_salt(device, blocks, salt);
	if (r < 0)
		return r;
	int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -errno;
	struct dm_ioctl *request = prepare(space, sizeof(space), 0);
	r = ioctl(control, DM_DEV_CREATE, request) < 0 ? -errno : 0;
	dev_t number = (dev_t)request->dev;

	request = prepare(space, sizeof(space), DM_READONLY_FLAG);
	request->target_count = 1;
	struct dm_target_spec *target = (struct dm_target_spec *)(void *)(space + sizeof(*request));
	*target = (struct dm_target_spec){.length = blocks * SECTORS, .target_type = "verity"};
	char *parameters = (char *)(target + 1);
	size_t room = sizeof(space) - (size_t)(parameters - space);
	int length = snprintf(parameters, room, "1 %s %s %u %u %llu %llu sha256 %s %s 1 restart_on_corruption",
			      device, device, BLOCK, BLOCK, (unsigned long long)blocks,
			      (unsigned long long)blocks + 1, root_hash, salt);
	if (r == 0 && (length < 0 || (size_t)length >= room))
		r = -ENAMETOOLONG;
	if (r == 0 && ioctl(control, DM_TABLE_LOAD, request) < 0)
		r = -errno;
	request = prepare(space, sizeof(space), 0);
	if (r == 0 && ioctl(control, DM_DEV_SUSPEND, request) < 0) /* without the suspend flag: resume */
		r = -errno;
	close(control);
	if (r == 0 && mknod("/dev/mapper/" NAME, S_IFBLK | 0600,
			    makedev(number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xfff00))) < 0 &&
	    errno != EEXIST)
		r = -errno;
	return r;
}
