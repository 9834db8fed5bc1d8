/* What the editing verbs know of the file: which section a noun is, and its
 * keys with their paths. All of it comes from the configuration's schema
 * (rules/model/schema.h), so that a new key there is an option here. */
#pragma once

#include "options.h"

struct key;

#define EDIT_KEYS_MOST 24

struct edit_key {
	const char *path[4];     /* {"limits", "ban", NULL} */
	const char *text;        /* "limits.ban" */
	const struct key *key;
};

struct edit_section {
	const char *noun;        /* "forward": the first word of the command */
	const char *section;     /* "forwards"; of a peer "wireguard" */
	bool list;               /* entries of a list, with a name: in each */
	bool nested;             /* a peer: below peers: of an entry of the section */
	struct edit_key keys[EDIT_KEYS_MOST + 1];
	size_t key_count;
	struct option_spec add_options[EDIT_KEYS_MOST + 12];
};

/* Options of set and remove; those of a peer, which name its tunnel. */
extern const struct option_spec edit_set_options[], edit_peer_options[];

/* Ends with a section without a noun. */
enum { EDIT_FORWARD, EDIT_RULE, EDIT_SNAT, EDIT_NODE, EDIT_PEER, EDIT_BLOCKLIST, EDIT_SECTIONS };
extern struct edit_section edit_sections[EDIT_SECTIONS + 1];

/* Build the sections from the schema. Once, before the command table is used; -ENOMEM. */
int edit_keys_init(struct arena *arena);
/* The section that "forward add" and so on edits, or NULL. */
const struct edit_section *edit_section_of(const struct command *command);
/* The key called text ("limits.ban", "proxy-protocol"), or NULL. */
const struct edit_key *edit_key_find(const struct edit_section *section, const char *text);
/* The nearest key to a wrong one, or NULL. */
const char *edit_key_nearest(const struct edit_section *section, const char *text);
/* A value as YAML text: a list is given as "a,b". "" stays "". NULL: out of memory. */
char *edit_yaml_value(struct arena *arena, const struct key *key, const char *text);
/* One scalar, quoted where it must be. NULL: out of memory. */
char *edit_yaml_scalar(struct arena *arena, const char *text);
