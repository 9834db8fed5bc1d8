/* Settings: what the machine knows beside its configuration, as a small text
 * file, one item a line:
 *
 *	address wan|lan 198.51.100.2/24    an address of this machine
 *	up NODE PORT                       this backend answers
 *	drain NODE
 *	ban PREFIX
 *	injection                          the header-injection programs are attached to lan and tunnels
 */
#pragma once

#include "../../../rules/ask/ask.h"

struct own_address {
	enum place_kind leg; /* WAN or LAN */
	struct addr addr;
	uint8_t length;
};

struct settings {
	struct rundata run;
	bool injection; /* the programs are attached to lan and tunnels */
	struct own_address *addresses;
	size_t address_count;
	struct surroundings around; /* the same addresses, and those of the test's own tap */
};

#define SETTINGS_TAP_V4 "198.18.255.1"
#define SETTINGS_TAP_V6 "2001:db8:ffff::1"
#define SETTINGS_TAP_V4_LENGTH 30
#define SETTINGS_TAP_V6_LENGTH 64

/* Says of lan and every tunnel, which must be there, that the programs are attached. */
int settings_attach(struct settings *settings, const struct model *model, struct arena *arena);
/* In arena. 0, -EINVAL (says which line on standard error), -ENOMEM or -errno of reading. */
int settings_read(const char *path, struct arena *arena, struct settings *ret_settings);
/* The whole file as text; NULL with errno. */
char *settings_slurp(const char *path, struct arena *arena, size_t *ret_length);
