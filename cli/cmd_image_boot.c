/* What edged-image.service runs at each boot, after edged was started: a slot on
 * trial is committed as soon as it is healthy, or left again; any other boot is
 * written down as one that came up. */
#include "cmd_image.h"

#include "api.h"
#include "commands.h"
#include "image_health.h"
#include "image_install.h"

#include <time.h>

#define HEALTHY_WITHIN 300 /* seconds: nodes are probed again, tunnels shake hands */

static int64_t seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

/* NULL as soon as it is well, else what is not at the end of the time; *ret_silent: edged has not answered once. */
static const char *wait_healthy(struct cli *cli, const json_t *before, bool *ret_silent)
{
	int64_t end = seconds() + HEALTHY_WITHIN;
	*ret_silent = true;
	for (;;) {
		cleanup_json json_t *now = health_look(cli);
		const char *trouble = health_trouble(cli, before, now);
		*ret_silent &= !now;
		if (!trouble || seconds() >= end)
			return trouble;
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	}
}

/* "slot b (version 2)" */
static const char *slot_text(struct cli *cli, const struct image *image, enum slot slot)
{
	const char *version = image->state.slots[slot].version;
	return cli_format(cli, "slot %s (version %s)", slot_names[slot], *version ? version : "unknown");
}

static int leave_trial(struct cli *cli, struct image *image, const char *trouble)
{
	enum slot booted = image->places.booted;
	cli_error(cli, "%s is not kept: %s", slot_text(cli, image, booted), trouble);
	cli_hint(cli, "slot %s comes back: the machine restarts", slot_names[image->state.slot]);
	boot_failed_trial(&image->state, booted);
	/* When this cannot be written, GRUB still counts. */
	image_save(cli, image);
	return image_restart(cli);
}

static void say(struct cli *cli, const struct image *image, enum boot_verdict verdict)
{
	enum slot this = image->places.booted;
	const char *own = slot_text(cli, image, this), *other = slot_text(cli, image, slot_other(this));
	switch (verdict) {
	case BOOT_SETTLED:
	case BOOT_PROVEN:
	case BOOT_WAITING:
		break;
	case BOOT_COMMITTED:
		cli_line(cli, "%s is healthy and committed", own);
		break;
	case BOOT_RETURNED:
		cli_line(cli, "%s did not come up: %s runs as before", other, own);
		break;
	case BOOT_FELL_BACK:
		cli_line(cli, "%s does not come up any more: %s takes its place", other, own);
		break;
	}
}

int cmd_image_boot(struct cli *cli)
{
	cleanup_image struct image image = {.fd = -1};
	int result = image_open(cli, false, &image);
	if (result != CLI_DONE)
		return result;
	const struct boot_state at_first = image.state;
	bool trial = boot_on_trial(&image.state, image.places.booted);
	cleanup_json json_t *before = trial ? health_kept(image.places.keep) : NULL;
	bool silent;
	const char *trouble = wait_healthy(cli, before, &silent);
	image_close(&image);
	result = image_open(cli, true, &image);
	if (result != CLI_DONE)
		return result;
	/* Committed, rolled back or installed by the operator while this waited: that stands. */
	if (!boot_state_equal(&at_first, &image.state))
		return CLI_DONE;
	if (trouble && boot_on_trial(&image.state, image.places.booted))
		return leave_trial(cli, &image, trouble);
	if (trouble) {
		cli_error(cli, "this boot counts as one that failed: %s", trouble);
		/* Not one that has answered: it may be serving. Where edged never started, there is no network. */
		if (!silent || !boot_restart_helps(&image.state, image.places.booted))
			return CLI_REFUSED;
		cli_hint(cli, "slot %s was good: the machine restarts, and takes it when this one fails twice",
			 slot_names[slot_other(image.places.booted)]);
		return image_restart(cli);
	}
	enum boot_verdict verdict = boot_came_up(&image.state, image.places.booted);
	say(cli, &image, verdict);
	return verdict == BOOT_SETTLED || verdict == BOOT_WAITING ? CLI_DONE : image_save(cli, &image);
}
