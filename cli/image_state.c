/* The boot state as text and back. GRUB's own format: a line that says what it
 * is, lines NAME=VALUE, then "#" up to the end. No value here holds a
 * character that GRUB would escape. */
#include "image_state.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SIGNATURE "# GRUB Environment Block\n"

const char *const slot_names[] = {"a", "b"};
const char *const slot_state_names[] = {"empty", "writing", "ready", "good", "bad"};
static_assert(sizeof(slot_names) / sizeof(*slot_names) == SLOTS, "a name for each slot");
static_assert(sizeof(slot_state_names) / sizeof(*slot_state_names) == SLOT_STATES, "a name for each state");

enum slot slot_other(enum slot slot)
{
	return slot == SLOT_A ? SLOT_B : SLOT_A;
}

bool image_version_valid(const char *text)
{
	size_t length = strlen(text);
	return length > 0 && length <= IMAGE_VERSION_MOST &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+~:_-") == length;
}

/* A name's place in names, or otherwise. */
static unsigned find(const char *const *names, unsigned count, const char *name, unsigned otherwise)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return otherwise;
}

static void take(struct boot_state *state, const char *name, const char *value)
{
	static const char *const counts[] = {"0", "1", "2"};
	static_assert(sizeof(counts) / sizeof(*counts) == IMAGE_TRIES + 1, "a word for each count");
	if (strcmp(name, "slot") == 0)
		state->slot = (enum slot)find(slot_names, SLOTS, value, SLOT_A);
	if (strcmp(name, "left") == 0)
		state->left = find(counts, IMAGE_TRIES + 1, value, 0);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (strncmp(name, "state_", 6) == 0 && strcmp(name + 6, slot_names[i]) == 0)
			state->slots[i].state = (enum slot_state)find(slot_state_names, SLOT_STATES, value, SLOT_EMPTY);
		if (strncmp(name, "version_", 8) == 0 && strcmp(name + 8, slot_names[i]) == 0 && image_version_valid(value))
			snprintf(state->slots[i].version, sizeof(state->slots[i].version), "%s", value);
	}
}

int boot_state_parse(const char block[BOOT_STATE_SIZE], struct boot_state *ret_state)
{
	char text[BOOT_STATE_SIZE + 1], *rest = text + strlen(SIGNATURE), *line, *save = NULL;
	char trial[2] = "";
	memcpy(text, block, BOOT_STATE_SIZE);
	text[BOOT_STATE_SIZE] = 0;
	if (strncmp(text, SIGNATURE, strlen(SIGNATURE)) != 0)
		return -EINVAL;
	struct boot_state state = {.slot = SLOT_A};
	for (line = strtok_r(rest, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		/* The filling, or the remark that grub-editenv makes. */
		if (*line == '#')
			continue;
		char *value = strchr(line, '=');
		if (!value)
			return -EINVAL;
		*value++ = 0;
		if (strcmp(line, "trial") == 0 && strlen(value) == 1)
			trial[0] = *value;
		take(&state, line, value);
	}
	state.trial = strcmp(trial, slot_names[slot_other(state.slot)]) == 0;
	*ret_state = state;
	return 0;
}

void boot_state_print(const struct boot_state *state, char ret_block[BOOT_STATE_SIZE])
{
	/* The longest text is far from the sector's end: two versions are the only long things in it. */
	static_assert(sizeof(SIGNATURE) + 120 + 2 * IMAGE_VERSION_MOST < BOOT_STATE_SECTOR, "it fits the first sector");
	char text[BOOT_STATE_SECTOR];
	int length = snprintf(text, sizeof(text), SIGNATURE "slot=%s\ntrial=%s\nleft=%u\nstate_a=%s\nstate_b=%s\n"
			      "version_a=%s\nversion_b=%s\n", slot_names[state->slot],
			      state->trial ? slot_names[slot_other(state->slot)] : "", state->left,
			      slot_state_names[state->slots[SLOT_A].state], slot_state_names[state->slots[SLOT_B].state],
			      state->slots[SLOT_A].version, state->slots[SLOT_B].version);
	memset(ret_block, '#', BOOT_STATE_SIZE);
	memcpy(ret_block, text, (size_t)length);
}

bool boot_state_equal(const struct boot_state *a, const struct boot_state *b)
{
	char texts[2][BOOT_STATE_SIZE];
	boot_state_print(a, texts[0]);
	boot_state_print(b, texts[1]);
	return memcmp(texts[0], texts[1], BOOT_STATE_SIZE) == 0;
}

enum slot boot_state_next(const struct boot_state *state)
{
	enum slot other = slot_other(state->slot);
	if (state->trial)
		return state->left ? other : state->slot;
	return !state->left && state->slots[other].state == SLOT_GOOD ? other : state->slot;
}
