/* What changes slots: an install, and what becomes of the boot state after a boot. */
#pragma once

#include "image_bundle.h"

/* Write a checked bundle into the slot that is not running and put it on trial. state_fd is open to write, *state what it
 * holds, kept up to date. before is called when the slot is written and its trial not yet decided on; when it fails,
 * there is none. 0, or -errno with *ret_why in arena: the slot that runs is the next one then, and the other may be
 * unusable. */
int image_install(struct arena *arena, const struct image_places *places, int state_fd, struct boot_state *state,
		  struct bundle *bundle, int (*before)(void *data), void *data, const char **ret_why);

enum boot_verdict {
	BOOT_SETTLED,      /* nothing to be done */
	BOOT_WAITING,      /* the other slot is to be tried at the next boot */
	BOOT_PROVEN,       /* the committed slot came up */
	BOOT_COMMITTED,    /* the slot on trial came up */
	BOOT_RETURNED,     /* the trial is over, it did not come up */
	BOOT_FELL_BACK,    /* the committed slot did not come up, the other one did, and takes its place */
};

/* This boot is on trial. */
bool boot_on_trial(const struct boot_state *state, enum slot booted);
/* booted came up and is healthy: what that means, put into *state. */
enum boot_verdict boot_came_up(struct boot_state *state, enum slot booted);
/* booted, which is on trial, is not healthy: the other one comes back. */
void boot_failed_trial(struct boot_state *state, enum slot booted);
/* booted, which is not on trial, is of no use: a restart counts as one of its boots, and leads to one that was good. */
bool boot_restart_helps(const struct boot_state *state, enum slot booted);
/* The operator wants the other slot. 0 with what GRUB boots next in *state; -ENOENT: it holds nothing that was ever good. */
int boot_roll_back(struct boot_state *state, enum slot booted);
