/* Where the slots are: the partitions of the disk whose root is running, and
 * the boot state on it. */
#pragma once

#include "image_state.h"

struct arena;

enum slot_part { PART_BOOT, PART_ROOT };
#define SLOT_PARTS 2

struct image_places {
	enum slot booted;
	const char *state;                     /* devices, or files in tests */
	const char *parts[SLOTS][SLOT_PARTS];
	const char *keep;                      /* a folder on the data partition */
};

/* root is "" but in tests, which have a tree of their own. 0; -ENODEV: this machine was not started from a slot;
 * -ENXIO: a partition is missing; -ENOMEM. *ret_places points into arena. */
int image_places_find(struct arena *arena, const char *root, struct image_places *ret_places);

/* The file descriptor of the state or -errno; to write, it is locked against other edgectls: -EBUSY: one is at it. */
int image_state_open(const struct image_places *places, bool to_write);
/* 0, -EINVAL (there is none, or it is damaged), -EIO and the like. */
int image_state_read(int fd, struct boot_state *ret_state);
/* On the disk when it returns 0. */
int image_state_write(int fd, const struct boot_state *state);
