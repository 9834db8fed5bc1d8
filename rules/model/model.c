/* Loading a model: files -> documents -> one document -> structs -> checks.
 * Owns the model's life. Never opens a file: texts come from the caller. */
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocklist.h"
#include "reader.h"

#define FILES_MAX 1000u

struct model_names {
	struct strmap *nodes, *forwards;
};

void model_free(struct model **model)
{
	if (!model || !*model)
		return;
	for (size_t i = 0; i < (*model)->blocklist_count; i++)
		blocklist_content_free(&(*model)->blocklists[i].content);
	/* The model lies in its own arena. */
	struct arena *arena = (*model)->arena;
	*model = NULL;
	arena_free(&arena);
}

static struct model *model_new(void)
{
	struct arena *arena = arena_new();
	if (!arena)
		return NULL;
	struct model *model = arena_new_of(arena, struct model);
	if (model)
		model->arena = arena;
	else
		arena_free(&arena);
	return model;
}

/* A file that says nothing is an empty mapping, so that what is missing is reported. */
static struct doc_node *empty_document(struct reader *reader, const char *file)
{
	struct doc_node *node = arena_new_of(reader->scratch, struct doc_node);
	if (node)
		*node = (struct doc_node){.kind = DOC_MAPPING, .at = {.file = file, .line = 1, .column = 1}};
	return node;
}

/* The documents of all files; those that are not YAML are reported and counted in *ret_bad. */
static int parse_files(struct reader *reader, struct doc_node **roots, size_t *ret_bad)
{
	const struct source_set *sources = reader->sources;
	size_t bad = 0;
	for (size_t i = 0; i < sources->main_count; i++) {
		const struct source_file *file = &sources->main[i];
		char *name = arena_strdup(reader->arena, file->name);
		if (!name)
			return -ENOMEM;
		int r = doc_parse(reader->scratch, name, file->text, file->length, reader->diags, &roots[i]);
		if (r == 0 && i == 0 && !roots[0]) {
			roots[0] = empty_document(reader, name);
			r = roots[0] ? 0 : -ENOMEM;
		}
		if (r == -ENOMEM)
			return r;
		if (i == 0)
			reader->top.file = name;
		bad += r < 0;
	}
	*ret_bad = bad;
	return 0;
}

static int make_names(struct reader *reader)
{
	for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
		bool kept = kind == KIND_NODE || kind == KIND_FORWARD;
		reader->names[kind] = strmap_new(kept ? reader->arena : reader->scratch);
		if (!reader->names[kind])
			return -ENOMEM;
	}
	struct model_names *names = arena_new_of(reader->arena, struct model_names);
	if (!names)
		return -ENOMEM;
	*names = (struct model_names){.nodes = reader->names[KIND_NODE], .forwards = reader->names[KIND_FORWARD]};
	reader->model->names = names;
	return 0;
}

/* 0 also when errors were reported. */
static int read_all(struct reader *reader)
{
	const struct source_set *sources = reader->sources;
	size_t bad = 0;
	if (sources->main_count > FILES_MAX) {
		reader_error(reader, NULL, (struct origin){.file = sources->main[0].name},
			     "%zu files are too many (at most %u)", sources->main_count, FILES_MAX);
		return 0;
	}
	struct doc_node **roots = arena_array(reader->scratch, sources->main_count, struct doc_node *);
	int r = roots ? parse_files(reader, roots, &bad) : -ENOMEM;
	/* With one file unread, names would be missing everywhere: what is wrong with it comes first. */
	if (r < 0 || bad > 0)
		return r;
	const struct doc_node *root = NULL;
	r = merge_documents(reader, roots, sources->main_count, &root);
	if (r == 0)
		r = make_names(reader);
	if (r == 0)
		r = read_root(reader, root);
	if (r == 0)
		r = check_listens(reader);
	if (r == 0)
		r = check_network(reader);
	return r;
}

int model_load(const struct source_set *sources, const struct model *previous, struct diag_list *diags,
	       struct model **ret_model)
{
	cleanup_model struct model *model = model_new();
	cleanup_arena struct arena *scratch = arena_new();
	if (!model || !scratch)
		return -ENOMEM;
	struct reader reader = {
		.arena = model->arena,
		.scratch = scratch,
		.diags = diags,
		.sources = sources,
		.previous = previous,
		.model = model,
	};
	size_t errors = diags->errors;
	int r = read_all(&reader);
	/* Warnings speak of a configuration that could be used. */
	if (r == 0 && diags->errors == errors)
		check_warnings(&reader);
	diag_sort(diags);
	if (r == 0 && diags->errors > errors)
		r = -EINVAL;
	if (r < 0)
		return r;
	*ret_model = model;
	model = NULL;
	return 0;
}

static bool speaks_of(const struct diag_list *diags, const char *section)
{
	size_t length = strlen(section);
	for (size_t i = 0; i < diags->count; i++) {
		const char *path = diags->items[i].path;
		if (diags->items[i].severity == DIAG_ERROR && path && strncmp(path, section, length) == 0 &&
		    (path[length] == '\0' || path[length] == '.' || path[length] == '['))
			return true;
	}
	return false;
}

static int copy_management(const struct management *from, struct model *to)
{
	struct management copy = *from;
	copy.from = arena_memdup(to->arena, from->from, from->from_count * sizeof(*from->from));
	copy.ports = arena_memdup(to->arena, from->ports, from->port_count * sizeof(*from->ports));
	copy.reason = arena_strdup(to->arena, from->reason ? from->reason : "");
	copy.at.file = arena_strdup(to->arena, from->at.file ? from->at.file : "");
	if (!copy.from || !copy.ports || !copy.reason || !copy.at.file)
		return -ENOMEM;
	to->management = copy;
	return 0;
}

int model_load_management(const struct source_set *sources, struct model **ret_model)
{
	cleanup_model struct model *broken = model_new(), *model = model_new();
	cleanup_arena struct arena *scratch = arena_new();
	if (!broken || !model || !scratch)
		return -ENOMEM;
	struct diag_list diags;
	diag_init(&diags, scratch);
	struct reader reader = {
		.arena = broken->arena, .scratch = scratch, .diags = &diags, .sources = sources, .model = broken};
	int r = read_all(&reader);
	/* Without names it was not read that far. */
	if (r == 0 && (!broken->names || speaks_of(&diags, "management")))
		r = -EINVAL;
	if (r == 0 && broken->management.present)
		r = copy_management(&broken->management, model);
	if (r < 0)
		return r;
	*ret_model = model;
	model = NULL;
	return 0;
}

bool model_never_banned(const struct model *model, const struct addr *address)
{
	for (size_t i = 0; i < model->management.from_count; i++)
		if (prefix_contains(&model->management.from[i], address))
			return true;
	for (size_t i = 0; i < model->node_count; i++)
		if (addr_equal(&model->nodes[i].address, address))
			return true;
	return false;
}

const struct node *model_find_node(const struct model *model, const char *name)
{
	return strmap_get(model->names->nodes, name);
}

const struct forward *model_find_forward(const struct model *model, const char *name)
{
	return strmap_get(model->names->forwards, name);
}

void model_second_device(const struct tunnel *tunnel, char ret_device[MODEL_IFNAME_MAX + 1])
{
	int room = MODEL_IFNAME_MAX - (int)strlen(MODEL_SECOND_DEVICE_SUFFIX);
	snprintf(ret_device, MODEL_IFNAME_MAX + 1, "%.*s" MODEL_SECOND_DEVICE_SUFFIX, room, tunnel->name);
}

static bool is_port_of_tunnel(const struct model *model, uint16_t port)
{
	for (size_t i = 0; i < model->tunnel_count; i++)
		if (model->tunnels[i].listen == port || model->tunnels[i].second_listen == port)
			return true;
	return false;
}

uint16_t model_second_listen(const struct model *model, const struct tunnel *tunnel)
{
	if (tunnel->second_listen)
		return tunnel->second_listen;
	uint16_t port = tunnel->listen;
	do
		port = port == UINT16_MAX ? 1024 : (uint16_t)(port + 1);
	while (is_port_of_tunnel(model, port));
	return port;
}

bool model_leads_inside(const struct tunnel *tunnel, const struct addr *addr)
{
	for (size_t i = 0; i < tunnel->address_count; i++) {
		struct prefix network = prefix_of(&tunnel->addresses[i].addr, tunnel->addresses[i].length);
		if (prefix_contains(&network, addr))
			return true;
	}
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		const struct peer *peer = &tunnel->peers[i];
		/* The default routes are none here: they take nothing from the machine's own way out. */
		for (size_t j = 0; j < peer->allowed_ip_count; j++) {
			if (peer->allowed_ips[j].length && prefix_contains(&peer->allowed_ips[j], addr))
				return true;
		}
	}
	return false;
}
