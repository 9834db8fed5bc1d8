/* The boot state of a machine with two slots: what GRUB reads at power-on and
 * counts in, as the environment block that docs/image.md describes. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum slot { SLOT_A, SLOT_B };
#define SLOTS 2

enum slot_state {
	SLOT_EMPTY,
	SLOT_WRITING, /* an install did not end, or has not yet */
	SLOT_READY,   /* installed, has not proven itself */
	SLOT_GOOD,    /* has been committed */
	SLOT_BAD,     /* did not come up */
};
#define SLOT_STATES 5

/* Boots that a slot gets to prove itself. */
#define IMAGE_TRIES 2
#define IMAGE_VERSION_MOST 64
/* GRUB's block; all that matters is in its first sector of 512 bytes, which a disk writes whole or not at all. */
#define BOOT_STATE_SIZE 1024
#define BOOT_STATE_SECTOR 512
/* Where it lies on its partition: image/assemble.sh makes a FAT whose first cluster it is. */
#define BOOT_STATE_AT 4096

struct boot_state {
	enum slot slot; /* the committed one */
	bool trial;     /* the other one is to be tried */
	unsigned left;  /* boots left for the one on trial, else for the committed one */
	struct {
		enum slot_state state;
		char version[IMAGE_VERSION_MOST + 1]; /* "": none */
	} slots[SLOTS];
};

extern const char *const slot_names[SLOTS];
extern const char *const slot_state_names[SLOT_STATES];

enum slot slot_other(enum slot slot);
/* 1 to IMAGE_VERSION_MOST letters, digits and .+~:_- */
bool image_version_valid(const char *text);

/* Unknown names in the block are ignored, missing ones are: slot a, no trial, none left, empty. -EINVAL: no such block. */
int boot_state_parse(const char block[BOOT_STATE_SIZE], struct boot_state *ret_state);
void boot_state_print(const struct boot_state *state, char ret_block[BOOT_STATE_SIZE]);
bool boot_state_equal(const struct boot_state *a, const struct boot_state *b);
/* The slot that GRUB boots next: the rules of image/boot/grub.cfg. */
enum slot boot_state_next(const struct boot_state *state);
