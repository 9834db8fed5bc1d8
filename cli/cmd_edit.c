/* forward, rule, snat, node, peer, blocklist: add, set, remove. Works out
 * which place of which file is meant and what is to stand there; the text is
 * changed by rules/text/edit.h, the rest is an apply. */
#include "commands.h"

#include "cli.h"
#include "edit_keys.h"
#include "edit_session.h"
#include "text.h"

#include "../rules/model/schema.h"
#include "../rules/model/values.h"

#include <string.h>

#define PATH_MOST 10

/* The path of entry name in the session's section, with more (may be NULL) behind it. */
static void path_of(const struct edit_session *session, const char *name, const char *const *more,
		    const char *ret_path[PATH_MOST])
{
	size_t n = 0;
	ret_path[n++] = session->section->section;
	if (session->section->nested) {
		ret_path[n++] = session->tunnel;
		ret_path[n++] = "peers";
	}
	ret_path[n++] = name;
	for (; more && *more; more++)
		ret_path[n++] = *more;
	ret_path[n] = NULL;
}

/* The new entry as YAML, from the options that were given; keys of one part stand together in the table. */
static const char *entry_yaml(struct cli *cli, const struct edit_section *section, const char *name)
{
	const char *yaml = section->list ? cli_format(cli, "{ name: %s", name) : "{", *part = NULL;
	for (size_t i = 0; i < section->key_count; i++) {
		const struct edit_key *key = &section->keys[i];
		const char *given = option_text(cli->parsed, section->add_options[i].name);
		if (!given)
			continue;
		const char *value = cli_need(edit_yaml_value(cli->arena, key->key, given));
		const char *own = key->path[1] ? key->path[0] : NULL, *leaf = own ? key->path[1] : key->path[0];
		bool same = own && part && strcmp(own, part) == 0;
		if (part && !same)
			yaml = cli_format(cli, "%s }", yaml);
		const char *comma = yaml[1] && !(part && !same && !yaml[2]) ? "," : "";
		yaml = own && !same ? cli_format(cli, "%s%s %s: { %s: %s", yaml, comma, own, leaf, value) :
				      cli_format(cli, "%s%s %s: %s", yaml, comma, leaf, value);
		part = own;
	}
	return cli_format(cli, part ? "%s } }" : "%s }", yaml);
}

/* In front of which entry a rule goes: *ret_before NULL is the end. The file is that of the rule that was named. */
static int rule_position(struct edit_session *session, struct edit_file **file, const char **ret_before)
{
	static const char *const path[] = {"rules", NULL};
	struct cli *cli = session->cli;
	const char *before = option_text(cli->parsed, "before"), *after = option_text(cli->parsed, "after");
	struct edit_place place;
	if (before && after) {
		cli_error(cli, "--before and --after cannot both be given");
		return CLI_USAGE;
	}
	if (!before && !after)
		return CLI_DONE;
	int result = edit_find_or_fail(session, before ? before : after, &place);
	if (result != CLI_DONE)
		return result;
	*file = place.file;
	*ret_before = before;
	const struct doc_node *rules = edit_look(session, place.file, path);
	for (size_t i = 0; after && i + 1 < rules->count; i++) {
		if (&rules->children[i] == place.node)
			*ret_before = cli_format(cli, "[%zu]", i + 1);
	}
	return CLI_DONE;
}

/* Where a new entry goes: --into, the file of the peer's tunnel, or the main one. */
static int target_file(struct edit_session *session, struct edit_file **ret_file)
{
	const char *tunnel[] = {session->section->section, session->tunnel, NULL};
	const char *into = option_text(session->cli->parsed, "into");
	for (size_t i = 0; !into && session->section->nested && i < session->file_count; i++) {
		if (edit_look(session, &session->files[i], tunnel))
			into = session->files[i].name;
	}
	return edit_file_named(session, into ? into : "edged.yaml", ret_file);
}

/* node add --pool: the node's name at the end of each pool's nodes. */
static int join_pools(struct edit_session *session, const char *node)
{
	const char *pools = option_text(session->cli->parsed, "pool");
	for (const char *at = pools; at && *at; at += strspn(at, ", ")) {
		const char *pool = cli_format(session->cli, "%.*s", (int)strcspn(at, ", "), at);
		const char *path[] = {"pools", pool, "nodes", NULL};
		size_t i = 0;
		while (i < session->file_count && !edit_look(session, &session->files[i], path))
			i++;
		if (i == session->file_count) {
			cli_error(session->cli, "there is no pool \"%s\"", pool);
			return CLI_REFUSED;
		}
		int result = edit_do_append(session, &session->files[i], path, NULL, node);
		if (result != CLI_DONE)
			return result;
		at += strlen(pool);
	}
	return CLI_DONE;
}

int cmd_edit_add(struct cli *cli)
{
	const struct edit_section *section = edit_section_of(cli->parsed->command);
	const char *name = argument_text(cli->parsed, 0), *before = NULL, *path[PATH_MOST];
	const char *list[] = {section->section, NULL};
	struct edit_session session;
	struct edit_place place;
	struct edit_file *file = NULL;
	if (!value_is_name(name, strlen(name))) {
		cli_error(cli, "\"%s\" is no name: a letter or digit, then letters, digits, '.', '_', '-', at most %d", name,
			  MODEL_NAME_MAX);
		return CLI_USAGE;
	}
	int result = edit_session_open(cli, section, &session);
	if (result != CLI_DONE)
		return result;
	if (edit_find(&session, name, &place)) {
		cli_error(cli, "there is a %s \"%s\" already (%s:%u): edgectl %s set %s KEY=VALUE changes it", section->noun,
			  name, place.file->name, place.line, section->noun, name);
		return CLI_REFUSED;
	}
	result = session.broken ? CLI_REFUSED : target_file(&session, &file);
	if (result == CLI_DONE && section->list)
		result = rule_position(&session, &file, &before);
	if (result != CLI_DONE)
		return result;
	path_of(&session, name, NULL, path);
	const char *yaml = entry_yaml(cli, section, name);
	result = section->list ? edit_do_append(&session, file, list, before, yaml) : edit_do_add(&session, file, path, yaml);
	if (result == CLI_DONE)
		result = join_pools(&session, name);
	return result == CLI_DONE ? edit_session_send(&session) : result;
}

struct change {
	const struct edit_key *key;
	const char *value; /* "": take it out */
};

static int read_change(struct cli *cli, const struct edit_section *section, const char *text, struct change *ret_change)
{
	const char *equals = strchr(text, '='), *keys = "";
	if (!equals || equals == text) {
		cli_error(cli, "\"%s\" is not KEY=VALUE", text);
		return CLI_USAGE;
	}
	const char *name = cli_format(cli, "%.*s", (int)(equals - text), text);
	const struct edit_key *key = edit_key_find(section, name);
	if (!key) {
		const char *nearest = edit_key_nearest(section, name);
		for (size_t i = 0; i < section->key_count; i++)
			keys = cli_format(cli, "%s%s%s", keys, i ? ", " : "", section->keys[i].text);
		if (nearest)
			cli_error(cli, "a %s has no key \"%s\": did you mean \"%s\"?", section->noun, name, nearest);
		else
			cli_error(cli, "a %s has no key \"%s\" (known: %s)", section->noun, name, keys);
		return CLI_USAGE;
	}
	*ret_change = (struct change){key, equals + 1};
	return CLI_DONE;
}

/* "k8s-1: 192.0.2.11" is short for a mapping: written out before a second key goes in. */
static int write_out_short(struct edit_session *session, const char *name, struct edit_place *place)
{
	const char *path[PATH_MOST], *first = session->section->keys[0].text;
	if (place->node->kind != DOC_SCALAR)
		return CLI_DONE;
	path_of(session, name, NULL, path);
	const char *value = cli_need(edit_yaml_scalar(session->cli->arena, place->node->text));
	return edit_do_set(session, place->file, path, cli_format(session->cli, "{ %s: %s }", first, value));
}

int cmd_edit_set(struct cli *cli)
{
	const struct edit_section *section = edit_section_of(cli->parsed->command);
	const char *name = argument_text(cli->parsed, 0), *path[PATH_MOST];
	struct change changes[PARSED_ARGUMENTS_MOST];
	struct edit_session session;
	struct edit_place place;
	size_t count = cli->parsed->argument_count - 1;
	int result = CLI_DONE;
	for (size_t i = 0; result == CLI_DONE && i < count; i++)
		result = read_change(cli, section, cli->parsed->arguments[i + 1], &changes[i]);
	if (result == CLI_DONE)
		result = edit_session_open(cli, section, &session);
	if (result == CLI_DONE)
		result = edit_find_or_fail(&session, name, &place);
	if (result == CLI_DONE)
		result = write_out_short(&session, name, &place);
	for (size_t i = 0; result == CLI_DONE && i < count; i++) {
		const struct change *change = &changes[i];
		path_of(&session, name, change->key->path, path);
		if (*change->value)
			result = edit_do_set(&session, place.file, path,
					     cli_need(edit_yaml_value(cli->arena, change->key->key, change->value)));
		else if (edit_look(&session, place.file, path))
			result = edit_do_remove(&session, place.file, path);
	}
	return result == CLI_DONE ? edit_session_send(&session) : result;
}

static bool find_scalar(const struct doc_node *list, const char *text, size_t *ret_i)
{
	for (size_t i = 0; list && list->kind == DOC_SEQUENCE && i < list->count; i++) {
		if (list->children[i].kind == DOC_SCALAR && strcmp(list->children[i].text, text) == 0) {
			*ret_i = i;
			return true;
		}
	}
	return false;
}

/* A node leaves the pools that name it, or what is left would not be valid. */
static int leave_pools(struct edit_session *session, const char *node)
{
	static const char *const all[] = {"pools", NULL};
	for (size_t i = 0; i < session->file_count; i++) {
		struct edit_file *file = &session->files[i];
		const struct doc_node *pools = edit_look(session, file, all);
		for (size_t j = 0; pools && pools->kind == DOC_MAPPING && j < pools->count; j++) {
			const char *pool = pools->keys[j].text;
			const char *nodes[] = {pool, "nodes", NULL};
			size_t k;
			if (!find_scalar(edit_at(pools, nodes), node, &k))
				continue;
			const char *path[] = {"pools", pool, "nodes", cli_format(session->cli, "[%zu]", k), NULL};
			int result = edit_do_remove(session, file, path);
			if (result != CLI_DONE)
				return result;
			if (!session->cli->json)
				cli_line(session->cli, "%s leaves pool %s", node, pool);
			/* The text is another now, and so is the tree. */
			pools = edit_look(session, file, all);
		}
	}
	return CLI_DONE;
}

int cmd_edit_remove(struct cli *cli)
{
	const struct edit_section *section = edit_section_of(cli->parsed->command);
	const char *name = argument_text(cli->parsed, 0), *path[PATH_MOST];
	struct edit_session session;
	struct edit_place place;
	int result = edit_session_open(cli, section, &session);
	if (result == CLI_DONE)
		result = edit_find_or_fail(&session, name, &place);
	if (result != CLI_DONE)
		return result;
	path_of(&session, name, NULL, path);
	result = edit_do_remove(&session, place.file, path);
	if (result == CLI_DONE && strcmp(section->noun, "node") == 0)
		result = leave_pools(&session, name);
	return result == CLI_DONE ? edit_session_send(&session) : result;
}
