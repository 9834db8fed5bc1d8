/* Turns the configuration's schema into the options of the editing verbs, and
 * what people type into YAML. Knows no file and no daemon. */
#include "edit_keys.h"

#include "text.h"

#include "../rules/model/schema.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define CONFIRM_OPTIONS \
	{.name = "message", .letter = 'm', .kind = VALUE_TEXT, .value = "TEXT", .help = "a line for the history: why"}, \
	{.name = "confirm-within", .kind = VALUE_DURATION, .value = "DURATION", CONFIRM_BOUNDS, \
	 .help = "go back by itself unless edgectl confirm comes within so long"}, \
	{.name = "dry-run", .help = "only show what would change, in the file and in the kernel"}, \
	{.name = "include-edits", .help = "also apply what was edited in the files and not applied yet"}
#define TUNNEL_OPTION \
	{.name = "tunnel", .kind = VALUE_TEXT, .value = "NAME", .names = NAMES_TUNNELS, \
	 .help = "the tunnel (may be left out when there is one)"}

const struct option_spec edit_set_options[] = {CONFIRM_OPTIONS, {0}};
const struct option_spec edit_peer_options[] = {TUNNEL_OPTION, CONFIRM_OPTIONS, {0}};

static const struct option_spec common_options[] = {
	{.name = "into", .kind = VALUE_TEXT, .value = "FILE", .help = "the file that it goes to (default edged.yaml)"},
	CONFIRM_OPTIONS,
	{0},
};
static const struct option_spec rule_options[] = {
	{.name = "before", .kind = VALUE_TEXT, .value = "RULE", .names = NAMES_RULES, .help = "in front of this rule"},
	{.name = "after", .kind = VALUE_TEXT, .value = "RULE", .names = NAMES_RULES,
	 .help = "behind this rule (default: at the end)"},
	{0},
};
static const struct option_spec node_options[] = {
	{.name = "pool", .kind = VALUE_LIST, .value = "POOL,...", .help = "the pools that it joins"},
	{0},
};
static const struct option_spec peer_options[] = {TUNNEL_OPTION, {0}};

struct edit_section edit_sections[EDIT_SECTIONS + 1] = {
	[EDIT_FORWARD] = {.noun = "forward", .section = "forwards"},
	[EDIT_RULE] = {.noun = "rule", .section = "rules", .list = true},
	[EDIT_SNAT] = {.noun = "snat", .section = "snat"},
	[EDIT_NODE] = {.noun = "node", .section = "nodes"},
	[EDIT_PEER] = {.noun = "peer", .section = "wireguard", .nested = true},
	[EDIT_BLOCKLIST] = {.noun = "blocklist", .section = "blocklists"},
};

/* How help calls a value. */
static const char *value_name(struct arena *arena, const struct key *key)
{
	const char *joined = "";
	bool plain = true;
	for (size_t i = 0; joined && key->words && key->words[i]; i++)
		joined = arena_printf(arena, "%s%s%s", joined, i ? "|" : "", key->words[i]);
	if (key->words && joined && key->type->list)
		return arena_printf(arena, "%s,...", joined);
	if (key->words || !joined)
		return joined;
	if (key->type == &bool_type)
		return "true|false";
	if (key->type->list)
		return "A,B,...";
	for (const char *p = key->type->name; *p; p++)
		plain = plain && (isalpha((unsigned char)*p) || *p == ':');
	char *name = arena_strdup(arena, plain ? key->type->name : "VALUE");
	for (char *p = name; p && *p; p++)
		*p = (char)toupper((unsigned char)*p);
	return name;
}

/* Without the marks that the reference in docs/ sets around literal text. */
static const char *help_of(struct arena *arena, const struct key *key)
{
	char *text = arena_strdup(arena, key->text), *to = text;
	for (const char *from = text; from && *from; from++)
		if (*from != '`')
			*to++ = *from;
	if (to)
		*to = 0;
	return text;
}

static int add_key(struct arena *arena, struct edit_section *section, const struct key *part, const struct key *key)
{
	static const char *const words_of_bool[] = {"true", "false", NULL};
	if (section->list && !part && strcmp(key->name, "name") == 0)
		return 0;
	assert(section->key_count < EDIT_KEYS_MOST);
	struct edit_key *edit = &section->keys[section->key_count];
	edit->key = key;
	edit->path[0] = part ? part->name : key->name;
	edit->path[1] = part ? key->name : NULL;
	edit->text = part ? arena_printf(arena, "%s.%s", part->name, key->name) : key->name;
	char *option = edit->text ? arena_strdup(arena, edit->text) : NULL;
	for (char *p = option; p && *p; p++)
		*p = *p == '.' || *p == '_' ? '-' : *p;
	const char *value = value_name(arena, key), *help = help_of(arena, key);
	if (!option || !value || !help)
		return -ENOMEM;
	section->add_options[section->key_count++] = (struct option_spec){
		.name = option,
		.kind = key->type->list ? VALUE_LIST : key->words || key->type == &bool_type ? VALUE_WORD : VALUE_TEXT,
		.words = key->type->list ? NULL : key->words ? key->words : key->type == &bool_type ? words_of_bool : NULL,
		.value = value,
		.help = help,
		.required = key->required && !part,
		.key = edit->text,
		.names = key->type == &tunnel_type ? NAMES_TUNNELS : NAMES_NONE,
	};
	return 0;
}

static int read_schema(struct arena *arena, struct edit_section *section, const struct section *schema)
{
	for (const struct key *key = schema->keys; key->name; key++) {
		int r = 0;
		if (key->type)
			r = add_key(arena, section, NULL, key);
		for (const struct key *inner = !key->type && key->section->shape == SHAPE_PART ? key->section->keys : NULL;
		     r == 0 && inner && inner->name; inner++)
			r = add_key(arena, section, key, inner);
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct section *schema_of(const struct edit_section *section)
{
	if (section->nested)
		return &schema_peers;
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (strcmp(schema_kinds[i]->name, section->section) == 0)
			return schema_kinds[i];
	assert(!"a noun without a section");
	return NULL;
}

int edit_keys_init(struct arena *arena)
{
	for (struct edit_section *section = edit_sections; section->noun; section++) {
		const struct option_spec *own = section->list ? rule_options : section->nested ? peer_options :
						strcmp(section->noun, "node") == 0 ? node_options : NULL;
		section->key_count = 0;
		int r = read_schema(arena, section, schema_of(section));
		if (r < 0)
			return r;
		size_t count = section->key_count;
		for (const struct option_spec *spec = own; spec && spec->name; spec++)
			section->add_options[count++] = *spec;
		for (const struct option_spec *spec = common_options; spec->name; spec++)
			section->add_options[count++] = *spec;
		section->add_options[count] = (struct option_spec){0};
	}
	return 0;
}

const struct edit_section *edit_section_of(const struct command *command)
{
	for (const struct edit_section *section = edit_sections; command && section->noun; section++) {
		size_t length = strlen(section->noun);
		if (strncmp(command->name, section->noun, length) == 0 && command->name[length] == ' ')
			return section;
	}
	return NULL;
}

const struct edit_key *edit_key_find(const struct edit_section *section, const char *text)
{
	for (size_t i = 0; i < section->key_count; i++)
		if (strcmp(section->keys[i].text, text) == 0 || strcmp(section->add_options[i].name, text) == 0)
			return &section->keys[i];
	return NULL;
}

const char *edit_key_nearest(const struct edit_section *section, const char *text)
{
	const char *known[EDIT_KEYS_MOST];
	for (size_t i = 0; i < section->key_count; i++)
		known[i] = section->keys[i].text;
	const char *nearest = text_nearest(text, known, section->key_count);
	/* "ban" for "limits.ban". */
	for (size_t i = 0; !nearest && i < section->key_count; i++)
		if (section->keys[i].path[1] && strcmp(section->keys[i].path[1], text) == 0)
			nearest = known[i];
	return nearest;
}

/* True when text stands for itself in YAML, in any context: begins and ends
 * with a letter or digit, and has nothing in it that could be markup. */
static bool is_plain(const char *text)
{
	static const char inside[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._/=+-";
	size_t length = strspn(text, inside);
	if (!isalnum((unsigned char)text[0]))
		return false;
	/* "ingress:30443" */
	if (text[length] == ':' && text[length + 1]) {
		size_t digits = strspn(text + length + 1, "0123456789/tcpud");
		return text[length - 1] != ' ' && !text[length + 1 + digits];
	}
	return !text[length] && text[length - 1] != ' ';
}

char *edit_yaml_scalar(struct arena *arena, const char *text)
{
	if (is_plain(text) && strcasecmp(text, "null") != 0)
		return arena_strdup(arena, text);
	size_t length = strlen(text);
	char *quoted = arena_calloc(arena, length + 1, 4), *out = quoted;
	if (!quoted)
		return NULL;
	*out++ = '"';
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			*out++ = '\\';
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			out += snprintf(out, 5, "\\x%02x", (unsigned char)*p);
		else
			*out++ = *p;
	}
	*out = '"';
	return quoted;
}

char *edit_yaml_value(struct arena *arena, const struct key *key, const char *text)
{
	if (!*text || !key->type->list || !strchr(text, ','))
		return edit_yaml_scalar(arena, text);
	const char *list = "[";
	for (const char *at = text; list && at; at = *at ? at + 1 : NULL) {
		size_t length = strcspn(at, ",");
		const char *one = arena_strndup(arena, at, length);
		while (one && *one == ' ')
			one++;
		const char *scalar = one ? edit_yaml_scalar(arena, one) : NULL;
		list = scalar ? arena_printf(arena, "%s%s%s", list, at == text ? "" : ", ", scalar) : NULL;
		at += length;
		if (!*at)
			break;
	}
	return list ? arena_printf(arena, "%s]", list) : NULL;
}
