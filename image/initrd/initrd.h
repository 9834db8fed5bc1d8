/* The initial ram disk is one static program. Functions return 0 or -errno, but where they say otherwise. */
#ifndef EDGED_INITRD_H
#define EDGED_INITRD_H

#include <stdint.h>

/* Makes /dev/mapper/root, the first blocks (of 4096 bytes) of the device, each read checked against the hash tree that
 * follows them (veritysetup's format, version 1, SHA-256, its superblock in the block after the data). root_hash: 64
 * hexadecimal digits. A block that is wrong restarts the machine. */
int verity_open(const char *device, uint64_t blocks, const char *root_hash);

/* Mounts what lasts, the file system of the device, on /new/data, and its folders over /new's; /new is as the image has
 * it. Makes what is not there yet. A folder that cannot be made stays the image's, and lasts until the next restart. */
int data_mount(const char *device);

#endif
