/* Edit: change YAML text in place. Only the lines concerned change; comments,
 * order, quoting and indentation of everything else stay byte for byte.
 *
 * A path names a node from the root: keys, ended by NULL. An entry of a list is
 * named by its "name:" ({"rules", "ping", "limit", NULL}), or by its number from
 * 0 in brackets ({"expect", "[2]", NULL}).
 *
 * A value is YAML text of its own ("443", "[a, b]", "{ listen: 80, to: web:30080 }"),
 * in any style; it is written in the style of its new neighbours.
 *
 * All return 0 with *ret_text (in arena, terminated), which parses to the
 * document that was asked for; -EINVAL when text or value is not YAML, or the
 * path leads through something that is no mapping or list (diags says which);
 * -ENOENT when what is to be removed or replaced is not there; -EEXIST when what
 * is to be added is there already; -ENOMEM. Pure text: whether the result is a
 * valid configuration is for model_load to say. */
#pragma once

#include "../base/arena.h"
#include "../base/diag.h"

#include <stddef.h>

struct doc_node;

struct edit_text {
	const char *file; /* name for diagnostics */
	const char *text;
	size_t length;
	/* Each file is parsed once before and once after a change. Who has the tree of text, or wants the
	 * result's, says so; both may be NULL. *ret_root is in the arena, NULL for an empty file. */
	const struct doc_node *root;
	const struct doc_node **ret_root;
};

/* Set what path names: replaces its value, or adds it at the end of its mapping.
 * Missing mappings on the way are made; a missing entry of a list is -ENOENT. */
int edit_set(const struct edit_text *in, const char *const *path, const char *value, struct arena *arena,
	     struct diag_list *diags, char **ret_text);
/* As edit_set, but -EEXIST when path is there. */
int edit_add(const struct edit_text *in, const char *const *path, const char *value, struct arena *arena,
	     struct diag_list *diags, char **ret_text);
/* Add value at the end of the list that path names (which is made when missing),
 * or, with before (an entry's name or "[2]"; may be NULL), in front of that entry. */
int edit_append(const struct edit_text *in, const char *const *path, const char *before, const char *value,
		struct arena *arena, struct diag_list *diags, char **ret_text);
/* Remove what path names, with its key, its trailing comment, and the comment lines
 * directly above it that stand in its column. The last entry of a mapping or list
 * takes an empty section with it; at the end of the file the blank lines above go too. */
int edit_remove(const struct edit_text *in, const char *const *path, struct arena *arena, struct diag_list *diags,
		char **ret_text);
