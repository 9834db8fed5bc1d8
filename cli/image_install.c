/* The order of writes that leaves the old or the new slot at any power cut, and
 * the boot state's transitions. GRUB has the other half: it counts and chooses
 * (image/boot/grub.cfg). */
#include "image_install.h"

#include "../rules/base/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int open_part(struct arena *arena, const char *device, const char **ret_why)
{
	int fd = open(device, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	int error = errno;
	const char *why = arena_printf(arena, "%s cannot be opened: %s", device, strerror(error));
	*ret_why = why ? why : "out of memory";
	return -error;
}

static int write_part(struct bundle *bundle, enum slot_part part, int fd, const char **ret_why)
{
	int r = bundle_copy(bundle, part, fd, ret_why);
	return r == 0 ? bundle_compare(bundle, part, fd, ret_why) : r;
}

static int save(struct arena *arena, int fd, const struct boot_state *state, const char **ret_why)
{
	int r = image_state_write(fd, state);
	if (r == 0)
		return 0;
	const char *why = arena_printf(arena, "the boot state cannot be written: %s", strerror(-r));
	*ret_why = why ? why : "out of memory";
	return r;
}

static int install(struct arena *arena, const int *parts, enum slot to, int state_fd, struct boot_state *state,
		   struct bundle *bundle, int (*before)(void *data), void *data, const char **ret_why)
{
	struct boot_state next = *state;
	next.trial = false;
	next.slots[to].state = SLOT_WRITING;
	next.slots[to].version[0] = 0;
	int r = save(arena, state_fd, &next, ret_why);
	if (r < 0)
		return r;
	*state = next;
	/* The kernel last: a slot that somebody boots by hand half-written does not start at all. */
	r = write_part(bundle, PART_ROOT, parts[PART_ROOT], ret_why);
	if (r == 0)
		r = write_part(bundle, PART_BOOT, parts[PART_BOOT], ret_why);
	if (r < 0)
		return r;
	r = before(data);
	if (r < 0) {
		*ret_why = "what answers now cannot be kept on the data partition, to judge the trial by: is it full?";
		return r;
	}
	next.trial = true;
	next.left = IMAGE_TRIES;
	next.slots[to].state = SLOT_READY;
	snprintf(next.slots[to].version, sizeof(next.slots[to].version), "%s", bundle_manifest(bundle)->version);
	r = save(arena, state_fd, &next, ret_why);
	if (r == 0)
		*state = next;
	return r;
}

int image_install(struct arena *arena, const struct image_places *places, int state_fd, struct boot_state *state,
		  struct bundle *bundle, int (*before)(void *data), void *data, const char **ret_why)
{
	enum slot to = slot_other(places->booted);
	int parts[SLOT_PARTS] = {-1, -1}, r = 0;
	/* What cannot work is refused while the slot still is what it was. */
	for (unsigned i = 0; i < SLOT_PARTS && r == 0; i++) {
		parts[i] = open_part(arena, places->parts[to][i], ret_why);
		r = parts[i] < 0 ? parts[i] : bundle_fits(bundle, (enum slot_part)i, parts[i], ret_why);
	}
	if (r == 0)
		r = install(arena, parts, to, state_fd, state, bundle, before, data, ret_why);
	for (unsigned i = 0; i < SLOT_PARTS; i++) {
		if (parts[i] >= 0)
			close(parts[i]);
	}
	return r;
}

bool boot_on_trial(const struct boot_state *state, enum slot booted)
{
	return state->trial && booted != state->slot;
}

enum boot_verdict boot_came_up(struct boot_state *state, enum slot booted)
{
	enum slot other = slot_other(booted);
	enum boot_verdict verdict = BOOT_SETTLED;
	if (boot_on_trial(state, booted))
		verdict = BOOT_COMMITTED;
	else if (booted != state->slot)
		verdict = BOOT_FELL_BACK;
	else if (state->trial && state->left)
		return BOOT_WAITING;
	else if (state->trial)
		verdict = BOOT_RETURNED;
	else if (state->left != IMAGE_TRIES || state->slots[booted].state != SLOT_GOOD)
		verdict = BOOT_PROVEN;
	if (verdict == BOOT_RETURNED || verdict == BOOT_FELL_BACK)
		state->slots[other].state = SLOT_BAD;
	state->slot = booted;
	state->slots[booted].state = SLOT_GOOD;
	state->trial = false;
	state->left = IMAGE_TRIES;
	return verdict;
}

void boot_failed_trial(struct boot_state *state, enum slot booted)
{
	state->slots[booted].state = SLOT_BAD;
	state->trial = false;
	state->left = IMAGE_TRIES;
}

bool boot_restart_helps(const struct boot_state *state, enum slot booted)
{
	/* In the other one's place already, nothing better is left: no machine restarts for ever. */
	return !state->trial && booted == state->slot && state->slots[slot_other(booted)].state == SLOT_GOOD;
}

int boot_roll_back(struct boot_state *state, enum slot booted)
{
	enum slot other = slot_other(booted);
	if (boot_on_trial(state, booted)) {
		boot_failed_trial(state, booted);
		return 0;
	}
	if (state->trial) {
		/* Not tried yet: it need not be. */
		state->trial = false;
		state->left = IMAGE_TRIES;
		return 0;
	}
	if (state->slots[other].state != SLOT_GOOD)
		return -ENOENT;
	state->slot = other;
	state->left = IMAGE_TRIES;
	return 0;
}
