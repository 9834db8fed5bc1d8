/* Finds entries of the configuration in its files' trees, and their names.
 * Reads only. */
#include "edit_session.h"

#include "edit_keys.h"
#include "text.h"

#include <string.h>

#define KNOWN_MOST 12 /* names that an error lists */

const struct doc_node *edit_at(const struct doc_node *node, const char *const *path)
{
	for (; node && *path; path++) {
		const struct doc_node *found = NULL;
		if (node->kind == DOC_MAPPING)
			found = doc_get(node, *path);
		for (size_t i = 0; node->kind == DOC_SEQUENCE && !found && i < node->count; i++) {
			const struct doc_node *entry = &node->children[i];
			const struct doc_node *name = entry->kind == DOC_MAPPING ? doc_get(entry, "name") : NULL;
			if (name && name->kind == DOC_SCALAR && strcmp(name->text, *path) == 0)
				found = entry;
		}
		node = found;
	}
	return node;
}

/* Where the name at the end of path stands, which is not where its value does. */
static unsigned name_line(struct edit_session *session, struct edit_file *file, const char *const *path)
{
	const struct doc_node *node = edit_tree(session, file), *name;
	for (; path[1]; path++) {
		const char *step[] = {path[0], NULL};
		node = edit_at(node, step);
	}
	for (size_t i = 0; node->kind == DOC_MAPPING && i < node->count; i++)
		if (strcmp(node->keys[i].text, *path) == 0)
			return node->keys[i].at.line;
	const struct doc_node *entry = edit_at(node, path);
	name = entry && entry->kind == DOC_MAPPING ? doc_get(entry, "name") : NULL;
	return name ? name->at.line : node->at.line;
}

bool edit_find(struct edit_session *session, const char *name, struct edit_place *ret_place)
{
	const char *plain[] = {session->section->section, name, NULL};
	const char *nested[] = {session->section->section, session->tunnel, "peers", name, NULL};
	for (size_t i = 0; i < session->file_count; i++) {
		const char *const *path = session->section->nested ? nested : plain;
		const struct doc_node *node = edit_look(session, &session->files[i], path);
		if (node) {
			struct edit_file *file = &session->files[i];
			*ret_place = (struct edit_place){file, node, name_line(session, file, path)};
			return true;
		}
	}
	return false;
}

static const char *entry_name(const struct doc_node *entries, size_t i)
{
	if (entries->kind == DOC_MAPPING)
		return entries->keys[i].text;
	const struct doc_node *entry = &entries->children[i];
	const struct doc_node *name = entry->kind == DOC_MAPPING ? doc_get(entry, "name") : NULL;
	return name && name->kind == DOC_SCALAR ? name->text : NULL;
}

static void add_names(struct arena *arena, const struct doc_node *entries, struct word_list *all)
{
	for (size_t i = 0; entries && entries->kind != DOC_SCALAR && i < entries->count; i++) {
		const char *name = entry_name(entries, i);
		if (name && word_list_add(arena, all, name) < 0)
			return;
	}
}

static void add_section(struct arena *arena, const struct edit_section *section, const struct doc_node *root,
			struct word_list *all)
{
	const struct doc_node *entries = root && root->kind == DOC_MAPPING ? doc_get(root, section->section) : NULL;
	if (!section->nested)
		add_names(arena, entries, all);
	for (size_t i = 0; section->nested && entries && entries->kind == DOC_MAPPING && i < entries->count; i++) {
		if (entries->children[i].kind == DOC_MAPPING)
			add_names(arena, doc_get(&entries->children[i], "peers"), all);
	}
}

struct word_list edit_names(struct arena *arena, const struct edit_section *section, const char *text)
{
	struct word_list all = {0};
	struct doc_node *root = NULL;
	struct diag_list diags;
	diag_init(&diags, arena);
	if (doc_parse(arena, "", text, strlen(text), &diags, &root) == 0)
		add_section(arena, section, root, &all);
	return all;
}

int edit_find_or_fail(struct edit_session *session, const char *name, struct edit_place *ret_place)
{
	struct cli *cli = session->cli;
	const char *noun = session->section->noun, *all = "";
	struct word_list names = {0};
	if (edit_find(session, name, ret_place))
		return CLI_DONE;
	for (size_t i = 0; i < session->file_count; i++)
		add_section(cli->arena, session->section, edit_tree(session, &session->files[i]), &names);
	if (session->broken)
		return CLI_REFUSED;
	const char *nearest = text_nearest(name, names.words, names.count);
	for (size_t i = 0; i < names.count && names.count <= KNOWN_MOST; i++)
		all = cli_format(cli, "%s%s%s", all, i ? ", " : "", names.words[i]);
	if (nearest)
		cli_error(cli, "there is no %s \"%s\": did you mean \"%s\"?", noun, name, nearest);
	else if (*all)
		cli_error(cli, "there is no %s \"%s\" (known: %s)", noun, name, all);
	else
		cli_error(cli, "there is no %s \"%s\" among %zu", noun, name, names.count);
	return CLI_REFUSED;
}
