/* What the image commands share: the slots of this machine, opened. */
#pragma once

#include "cli.h"
#include "image_places.h"

struct image {
	int fd; /* of the boot state; -1 at first */
	struct image_places places;
	struct boot_state state;
};

void image_close(struct image *image);
#define cleanup_image __attribute__((cleanup(image_close)))

/* Returns an enum cli_exit; what is wrong is printed. to_write: only one edgectl at a time. */
int image_open(struct cli *cli, bool to_write, struct image *ret_image);
/* The state, changed, onto the disk: an enum cli_exit. */
int image_save(struct cli *cli, const struct image *image);
/* Ask systemd to restart the machine; returns only when that fails. */
int image_restart(struct cli *cli);
