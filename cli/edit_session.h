/* One edit of the running configuration: fetched from edged, changed file by
 * file, sent back as an apply that edged refuses when somebody was faster. */
#pragma once

#include "cli.h"

#include "text.h"

#include "../rules/text/doc.h"

#include <stdint.h>

struct edit_section;

struct edit_file {
	const char *name;
	const char *before;           /* as edged has it; "" for a new file */
	const char *text;             /* as it is now */
	const struct doc_node *root;  /* of text, once it has been needed: parsing a large file takes a while */
	bool parsed;
};

struct edit_session {
	struct cli *cli;
	const struct edit_section *section;
	const char *tunnel; /* of a peer */
	int64_t revision;
	struct edit_file *files;
	size_t file_count, file_capacity;
	bool broken; /* a file does not parse, which has been printed */
};

/* Where an entry stands. */
struct edit_place {
	struct edit_file *file;
	const struct doc_node *node;
	unsigned line; /* of its name */
};

/* All return an enum cli_exit, with what went wrong printed. */

/* Fetch the files; refuses when some were edited and not applied, without --include-edits. */
int edit_session_open(struct cli *cli, const struct edit_section *section, struct edit_session *ret_session);
/* To read alone: such edits are no reason to refuse. */
int edit_session_look(struct cli *cli, const struct edit_section *section, struct edit_session *ret_session);
/* Apply the files as they are now; or with --dry-run show what that would change. */
int edit_session_send(struct edit_session *session);

/* The entry called name; false when no file has it. */
bool edit_find(struct edit_session *session, const char *name, struct edit_place *ret_place);
/* As edit_find, but a missing entry is an error that names the nearest. */
int edit_find_or_fail(struct edit_session *session, const char *name, struct edit_place *ret_place);
/* The file called name, made new when there is none. */
int edit_file_named(struct edit_session *session, const char *name, struct edit_file **ret_file);
/* Names of a section's entries in one file's text; of a peer, of all tunnels. None where it does not parse. */
struct word_list edit_names(struct arena *arena, const struct edit_section *section, const char *text);
/* What path names below node (as in rules/text/edit.h, without "[n]"), or NULL. */
const struct doc_node *edit_at(const struct doc_node *node, const char *const *path);
/* What path names in file, or NULL, also when the file does not parse (then the session is broken). */
const struct doc_node *edit_look(struct edit_session *session, struct edit_file *file, const char *const *path);
/* The whole file's tree, or NULL in the same way. */
const struct doc_node *edit_tree(struct edit_session *session, struct edit_file *file);

/* Change one file by rules/text/edit.h. path ends with NULL. */
int edit_do_set(struct edit_session *session, struct edit_file *file, const char *const *path, const char *value);
int edit_do_add(struct edit_session *session, struct edit_file *file, const char *const *path, const char *value);
int edit_do_append(struct edit_session *session, struct edit_file *file, const char *const *path, const char *before,
		   const char *value);
int edit_do_remove(struct edit_session *session, struct edit_file *file, const char *const *path);
