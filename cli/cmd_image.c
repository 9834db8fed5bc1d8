/* image: the two slots of a machine that was started from an image. Each
 * command changes the boot state at most, but for install, which writes the
 * slot that is not running. What happens at boot is in cmd_image_boot.c. */
#include "cmd_image.h"

#include "api.h"
#include "commands.h"
#include "image_health.h"
#include "image_install.h"
#include "options.h"
#include "table.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define KEYS_OF_OPERATOR "/data/etc/image-keys"
#define KEYS_OF_BUILD "/usr/share/edged/image-keys"

int image_open(struct cli *cli, bool to_write, struct image *ret_image)
{
	struct image image = {.fd = -1};
	int r = image_places_find(cli->arena, "", &image.places);
	if (r == -ENODEV) {
		cli_error(cli, "this machine was not started from an image with slots; a package is upgraded with apt");
		return CLI_REFUSED;
	}
	if (r < 0) {
		cli_error(cli, "the disk does not have the partitions of an image with slots: %s", strerror(-r));
		return CLI_REFUSED;
	}
	image.fd = image_state_open(&image.places, to_write);
	if (image.fd == -EACCES || image.fd == -EPERM)
		cli_error(cli, "only root may do that: doas edgectl image ...");
	else if (image.fd == -EBUSY)
		cli_error(cli, "another edgectl is changing the slots: wait until it has ended");
	else if (image.fd < 0)
		cli_error(cli, "%s: %s", image.places.state, strerror(-image.fd));
	if (image.fd < 0)
		return CLI_REFUSED;
	r = image_state_read(image.fd, &image.state);
	if (r < 0) {
		/* GRUB takes slot a then. What runs is good; nothing is known of the other one. */
		image.state = (struct boot_state){.slot = image.places.booted, .left = 0};
		image.state.slots[image.places.booted].state = SLOT_GOOD;
		image.state.slots[slot_other(image.places.booted)].state = SLOT_BAD;
		cli_error(cli, "the boot state is damaged; edgectl image commit writes a new one");
	}
	*ret_image = image;
	return CLI_DONE;
}

void image_close(struct image *image)
{
	if (image->fd >= 0)
		close(image->fd);
	image->fd = -1;
}

int image_save(struct cli *cli, const struct image *image)
{
	int r = image_state_write(image->fd, &image->state);
	if (r == 0)
		return CLI_DONE;
	cli_error(cli, "the boot state cannot be written: %s", strerror(-r));
	return CLI_REFUSED;
}

int image_restart(struct cli *cli)
{
	fflush(NULL);
	execl("/usr/bin/systemctl", "systemctl", "reboot", (char *)NULL);
	cli_error(cli, "cannot restart: %s", strerror(errno));
	return CLI_REFUSED;
}

static int restart_if_wanted(struct cli *cli)
{
	if (option_given(cli->parsed, "reboot"))
		return image_restart(cli);
	cli_line(cli, "next: systemctl reboot");
	return CLI_DONE;
}

static json_t *image_json(const struct image *image)
{
	const struct boot_state *state = &image->state;
	json_t *slots = cli_need(json_array());
	for (unsigned i = 0; i < SLOTS; i++) {
		const char *text = state->slots[i].version, *version = *text ? text : NULL;
		json_t *slot = json_pack("{s:s, s:s, s:s?, s:b, s:b}", "slot", slot_names[i], "state",
					 slot_state_names[state->slots[i].state], "version", version, "booted",
					 i == image->places.booted, "next", i == boot_state_next(state));
		if (json_array_append_new(slots, slot) < 0)
			cli_need(NULL);
	}
	return cli_need(json_pack("{s:s, s:s, s:s, s:s?, s:i, s:o}", "booted", slot_names[image->places.booted], "next",
				  slot_names[boot_state_next(state)], "committed", slot_names[state->slot], "trial",
				  state->trial ? slot_names[slot_other(state->slot)] : NULL, "tries_left", (int)state->left,
				  "slots", slots));
}

static const char *state_text(struct cli *cli, const struct boot_state *state, enum slot slot)
{
	static const char *const texts[] = {"empty", "not complete: an install was cut off", "installed", "good",
					    "did not come up"};
	const char *text = texts[state->slots[slot].state];
	if (slot == state->slot)
		return cli_format(cli, "committed, %u of %u tries left", state->left, IMAGE_TRIES);
	return state->trial ? cli_format(cli, "on trial, %u of %u tries left", state->left, IMAGE_TRIES) : text;
}

int cmd_image_status(struct cli *cli)
{
	cleanup_image struct image image = {.fd = -1};
	int result = image_open(cli, false, &image);
	if (result != CLI_DONE)
		return result;
	if (cli->json) {
		cleanup_json json_t *answer = image_json(&image);
		return api_print(cli, answer);
	}
	struct table *table = table_new(cli);
	static const char *const titles[] = {"slot", "version", "state", "", ""};
	for (unsigned i = 0; i < sizeof(titles) / sizeof(*titles); i++)
		table_column(table, titles[i], ALIGN_LEFT);
	for (unsigned i = 0; i < SLOTS; i++) {
		bool bad = image.state.slots[i].state == SLOT_BAD;
		table_cell(table, TONE_PLAIN, slot_names[i]);
		table_cell(table, TONE_PLAIN, image.state.slots[i].version);
		table_cell(table, bad ? TONE_BAD : TONE_PLAIN, state_text(cli, &image.state, (enum slot)i));
		table_cell(table, TONE_PLAIN, i == image.places.booted ? "runs now" : " ");
		table_cell(table, TONE_PLAIN, i == boot_state_next(&image.state) ? "boots next" : " ");
	}
	table_print(table, "");
	return CLI_DONE;
}

/* The bundle of the command line, its signature and content checked. */
static int open_bundle(struct cli *cli, struct bundle **ret_bundle)
{
	const char *own = option_text(cli->parsed, "keys"), *why = NULL;
	const char *const folders[] = {own ? own : KEYS_OF_OPERATOR, own ? NULL : KEYS_OF_BUILD, NULL};
	cleanup_bundle struct bundle *bundle = NULL;
	int r = bundle_open(cli->arena, argument_text(cli->parsed, 0), folders, &bundle, &why);
	if (r == 0)
		r = bundle_check(bundle, &why);
	if (r < 0) {
		cli_error(cli, "%s", why);
		return CLI_REFUSED;
	}
	*ret_bundle = bundle;
	bundle = NULL;
	return CLI_DONE;
}

int cmd_image_check(struct cli *cli)
{
	cleanup_bundle struct bundle *bundle = NULL;
	int result = open_bundle(cli, &bundle);
	if (result != CLI_DONE)
		return result;
	if (cli->json) {
		cleanup_json json_t *answer = json_pack("{s:s, s:s}", "version", bundle_manifest(bundle)->version, "key",
							bundle_key(bundle));
		return api_print(cli, cli_need(answer));
	}
	cli_line(cli, "version %s, complete, signed by %s", bundle_manifest(bundle)->version, bundle_key(bundle));
	return CLI_DONE;
}

struct keep {
	struct cli *cli;
	const char *folder;
};

static int keep_answers(void *data)
{
	struct keep *keep = data;
	cleanup_json json_t *look = health_look(keep->cli);
	/* Without an answer the trial asks for the ruleset alone. */
	if (!look)
		look = cli_need(json_object());
	return health_keep(keep->folder, look);
}

int cmd_image_install(struct cli *cli)
{
	cleanup_image struct image image = {.fd = -1};
	cleanup_bundle struct bundle *bundle = NULL;
	const char *why = NULL;
	int result = image_open(cli, true, &image);
	if (result != CLI_DONE)
		return result;
	if (image.places.booted != image.state.slot) {
		cli_error(cli, "slot %s runs, but is not committed: edgectl image commit, or restart to get back to slot %s",
			  slot_names[image.places.booted], slot_names[image.state.slot]);
		return CLI_REFUSED;
	}
	result = open_bundle(cli, &bundle);
	if (result != CLI_DONE)
		return result;
	const char *to = slot_names[slot_other(image.places.booted)], *version = bundle_manifest(bundle)->version;
	if (!cli->json)
		cli_line(cli, "signed by %s; writing version %s into slot %s ...", bundle_key(bundle), version, to);
	fflush(cli->out);
	struct keep keep = {cli, image.places.keep};
	if (image_install(cli->arena, &image.places, image.fd, &image.state, bundle, keep_answers, &keep, &why) < 0) {
		cli_error(cli, "%s", why);
		cli_hint(cli, "slot %s runs and boots next, as before", slot_names[image.places.booted]);
		return CLI_REFUSED;
	}
	if (cli->json) {
		cleanup_json json_t *answer = image_json(&image);
		int printed = api_print(cli, answer);
		return option_given(cli->parsed, "reboot") ? image_restart(cli) : printed;
	}
	cli_line(cli, "slot %s is tried at the next boot, and kept when what answers now answers then; else slot %s comes back",
		 to, slot_names[image.places.booted]);
	return restart_if_wanted(cli);
}

int cmd_image_commit(struct cli *cli)
{
	cleanup_image struct image image = {.fd = -1};
	int result = image_open(cli, true, &image);
	if (result != CLI_DONE)
		return result;
	bool trial = boot_on_trial(&image.state, image.places.booted);
	if (!option_given(cli->parsed, "force")) {
		cleanup_json json_t *now = health_look(cli), *before = trial ? health_kept(image.places.keep) : NULL;
		const char *trouble = health_trouble(cli, before, now);
		if (trouble) {
			cli_error(cli, "not committed: %s", trouble);
			cli_hint(cli, "next: put it right and try again, or edgectl image commit --force");
			return CLI_REFUSED;
		}
	}
	struct boot_state was = image.state;
	if (boot_came_up(&image.state, image.places.booted) == BOOT_WAITING)
		cli_line(cli, "slot %s is committed; slot %s is tried at the next boot", slot_names[image.places.booted],
			 slot_names[slot_other(image.places.booted)]);
	else
		cli_line(cli, "slot %s is committed%s", slot_names[image.places.booted],
			 was.slot == image.places.booted && !was.trial ? ", as it was" : "");
	return image_save(cli, &image);
}

int cmd_image_rollback(struct cli *cli)
{
	cleanup_image struct image image = {.fd = -1};
	int result = image_open(cli, true, &image);
	if (result != CLI_DONE)
		return result;
	enum slot booted = image.places.booted, other = slot_other(booted);
	if (boot_roll_back(&image.state, booted) < 0) {
		cli_error(cli, "there is nothing to go back to: slot %s is %s; install a bundle", slot_names[other],
			  state_text(cli, &image.state, other));
		return CLI_REFUSED;
	}
	result = image_save(cli, &image);
	if (result != CLI_DONE)
		return result;
	enum slot next = boot_state_next(&image.state);
	if (next == booted) {
		cli_line(cli, "slot %s goes on; slot %s is not tried", slot_names[booted], slot_names[other]);
		return CLI_DONE;
	}
	cli_line(cli, "slot %s (version %s) boots next", slot_names[next], image.state.slots[next].version);
	return restart_if_wanted(cli);
}
