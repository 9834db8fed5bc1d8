/* Health, drains and bans in main's memory. Owns its strings; no clock, no
 * files, no sockets. */
#include "runtime.h"

#include "../rules/state/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct health_entry {
	char *node, *why;
	uint16_t port;
	bool up;
	uint64_t since;
};

struct runtime {
	struct health_entry *health; /* sorted by node, port */
	size_t health_count, health_capacity;
	char **draining;
	size_t draining_count, draining_capacity;
	struct ban *bans;
	size_t ban_count, ban_capacity;
	bool owner, synproxy;
	char **pressed;
	size_t pressed_count;
	struct header_device *headers; /* their names are owned */
	size_t header_count;
	const char *header_why;
	struct header_device *flows; /* likewise */
	size_t flow_count;
	bool has_tunnels;
	const struct tunnel_run *tunnels; /* not owned */
	size_t tunnel_count;
	/* The views, made anew after each change. */
	struct backend_health *health_view;
	struct show_health *show_view;
	struct rundata view;
};

struct runtime *runtime_new(void)
{
	return calloc(1, sizeof(struct runtime));
}

static void free_headers(struct header_device *headers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free((char *)(uintptr_t)headers[i].name);
	free(headers);
}

static void free_texts(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

void runtime_free(struct runtime **runtime)
{
	if (!runtime || !*runtime)
		return;
	struct runtime *r = *runtime;
	for (size_t i = 0; i < r->health_count; i++) {
		free(r->health[i].node);
		free(r->health[i].why);
	}
	for (size_t i = 0; i < r->draining_count; i++)
		free(r->draining[i]);
	free_headers(r->headers, r->header_count);
	free_headers(r->flows, r->flow_count);
	free_texts(r->pressed, r->pressed_count);
	free(r->health);
	free(r->draining);
	free(r->bans);
	free(r->health_view);
	free(r->show_view);
	free(r);
	*runtime = NULL;
}

static int grow(void **items, size_t count, size_t *capacity, size_t size)
{
	if (count < *capacity)
		return 0;
	size_t room = *capacity ? *capacity * 2 : 16;
	void *grown = reallocarray(*items, room, size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*capacity = room;
	return 0;
}

static int compare_pair(const struct health_entry *entry, const char *node, uint16_t port)
{
	int order = strcmp(entry->node, node);
	return order ? order : (int)entry->port - (int)port;
}

/* Where the pair is, or would be. */
static size_t place_of(const struct runtime *runtime, const char *node, uint16_t port)
{
	size_t low = 0, high = runtime->health_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare_pair(&runtime->health[middle], node, port) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int runtime_set_health(struct runtime *runtime, const char *node, uint16_t port, bool up, const char *why, uint64_t since)
{
	size_t at = place_of(runtime, node, port);
	bool known = at < runtime->health_count && compare_pair(&runtime->health[at], node, port) == 0;
	char *reason = strdup(why ? why : "");
	if (!reason)
		return -ENOMEM;
	if (known) {
		struct health_entry *entry = &runtime->health[at];
		bool changed = entry->up != up;
		free(entry->why);
		entry->why = reason;
		entry->up = up;
		if (changed)
			entry->since = since;
		return changed;
	}
	char *name = strdup(node);
	if (!name || grow((void **)&runtime->health, runtime->health_count, &runtime->health_capacity,
			  sizeof(*runtime->health)) < 0) {
		free(name);
		free(reason);
		return -ENOMEM;
	}
	memmove(&runtime->health[at + 1], &runtime->health[at], (runtime->health_count - at) * sizeof(*runtime->health));
	runtime->health[at] = (struct health_entry){.node = name, .why = reason, .port = port, .up = up, .since = since};
	runtime->health_count++;
	return 1;
}

int runtime_set_draining(struct runtime *runtime, const char *node, bool draining)
{
	for (size_t i = 0; i < runtime->draining_count; i++) {
		if (strcmp(runtime->draining[i], node) != 0)
			continue;
		if (draining)
			return 0;
		free(runtime->draining[i]);
		runtime->draining[i] = runtime->draining[--runtime->draining_count];
		return 1;
	}
	if (!draining)
		return 0;
	char *name = strdup(node);
	if (!name || grow((void **)&runtime->draining, runtime->draining_count, &runtime->draining_capacity,
			  sizeof(*runtime->draining)) < 0) {
		free(name);
		return -ENOMEM;
	}
	runtime->draining[runtime->draining_count++] = name;
	return 1;
}

static bool same_prefix(const struct prefix *a, const struct prefix *b)
{
	return a->length == b->length && addr_equal(&a->addr, &b->addr);
}

int runtime_ban(struct runtime *runtime, const struct prefix *prefix, uint64_t expires)
{
	for (size_t i = 0; i < runtime->ban_count; i++) {
		if (!same_prefix(&runtime->bans[i].prefix, prefix))
			continue;
		bool changed = runtime->bans[i].expires != expires;
		runtime->bans[i].expires = expires;
		return changed;
	}
	int r = grow((void **)&runtime->bans, runtime->ban_count, &runtime->ban_capacity, sizeof(*runtime->bans));
	if (r < 0)
		return r;
	runtime->bans[runtime->ban_count++] = (struct ban){.prefix = *prefix, .expires = expires};
	return 1;
}

int runtime_unban(struct runtime *runtime, const struct prefix *prefix)
{
	for (size_t i = 0; i < runtime->ban_count; i++) {
		if (same_prefix(&runtime->bans[i].prefix, prefix)) {
			runtime->bans[i] = runtime->bans[--runtime->ban_count];
			return 1;
		}
	}
	return 0;
}

int runtime_expire(struct runtime *runtime, uint64_t now)
{
	size_t kept = 0, before = runtime->ban_count;
	for (size_t i = 0; i < before; i++)
		if (!runtime->bans[i].expires || runtime->bans[i].expires > now)
			runtime->bans[kept++] = runtime->bans[i];
	runtime->ban_count = kept;
	return kept != before;
}

static bool has_pair(const struct model *model, const char *node, uint16_t port)
{
	for (size_t i = 0; i < model->forward_count; i++) {
		const struct forward *forward = &model->forwards[i];
		if (compile_health_port(forward) != port)
			continue;
		for (size_t j = 0; j < forward->pool->node_count; j++)
			if (strcmp(forward->pool->nodes[j]->name, node) == 0)
				return true;
	}
	return false;
}

void runtime_keep_only(struct runtime *runtime, const struct model *model)
{
	size_t kept = 0;
	for (size_t i = 0; i < runtime->health_count; i++) {
		if (has_pair(model, runtime->health[i].node, runtime->health[i].port)) {
			runtime->health[kept++] = runtime->health[i];
			continue;
		}
		free(runtime->health[i].node);
		free(runtime->health[i].why);
	}
	runtime->health_count = kept;
	kept = 0;
	for (size_t i = 0; i < runtime->draining_count; i++) {
		if (model_find_node(model, runtime->draining[i]))
			runtime->draining[kept++] = runtime->draining[i];
		else
			free(runtime->draining[i]);
	}
	runtime->draining_count = kept;
}

uint64_t runtime_next_expiry(const struct runtime *runtime)
{
	uint64_t next = 0;
	for (size_t i = 0; i < runtime->ban_count; i++)
		if (runtime->bans[i].expires && (!next || runtime->bans[i].expires < next))
			next = runtime->bans[i].expires;
	return next;
}

void runtime_set_kernel(struct runtime *runtime, bool owner, bool synproxy)
{
	runtime->owner = owner;
	runtime->synproxy = synproxy;
}

static bool same_devices(const struct header_device *had, size_t had_count, const struct header_device *devices, size_t count)
{
	if (had_count != count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (had[i].index != devices[i].index || strcmp(had[i].name, devices[i].name) != 0)
			return false;
	return true;
}

/* Replaces a list by a copy of another one. */
static int take_devices(struct header_device **list, size_t *list_count, const struct header_device *devices, size_t count)
{
	struct header_device *copy = calloc(count + 1, sizeof(*copy));
	size_t copied = 0;
	while (copy && copied < count && (copy[copied].name = strdup(devices[copied].name))) {
		copy[copied].index = devices[copied].index;
		copied++;
	}
	if (!copy || copied < count) {
		free_headers(copy, copied);
		return -ENOMEM;
	}
	free_headers(*list, *list_count);
	*list = copy;
	*list_count = count;
	return 0;
}

int runtime_set_flow_devices(struct runtime *runtime, const struct header_device *devices, size_t count)
{
	if (same_devices(runtime->flows, runtime->flow_count, devices, count))
		return 0;
	int r = take_devices(&runtime->flows, &runtime->flow_count, devices, count);
	return r < 0 ? r : 1;
}

int runtime_set_headers(struct runtime *runtime, const struct header_device *devices, size_t count, const char *why)
{
	if (same_devices(runtime->headers, runtime->header_count, devices, count) && runtime->header_why == why)
		return 0;
	int r = take_devices(&runtime->headers, &runtime->header_count, devices, count);
	if (r < 0)
		return r;
	runtime->header_why = why;
	return 1;
}

void runtime_set_tunnels(struct runtime *runtime, const struct tunnel_run *tunnels, size_t count)
{
	runtime->has_tunnels = true;
	runtime->tunnels = tunnels;
	runtime->tunnel_count = count;
}

int runtime_set_pressed(struct runtime *runtime, const char *const *forwards, size_t count)
{
	bool same = runtime->pressed_count == count;
	for (size_t i = 0; i < count && same; i++)
		same = strcmp(runtime->pressed[i], forwards[i]) == 0;
	if (same)
		return 0;
	char **copy = calloc(count + 1, sizeof(*copy));
	size_t copied = 0;
	while (copy && copied < count && (copy[copied] = strdup(forwards[copied])))
		copied++;
	if (!copy || copied < count) {
		free_texts(copy, copied);
		return -ENOMEM;
	}
	free_texts(runtime->pressed, runtime->pressed_count);
	runtime->pressed = copy;
	runtime->pressed_count = count;
	return 1;
}

const struct rundata *runtime_view(struct runtime *runtime, uint64_t now)
{
	size_t count = runtime->health_count;
	struct backend_health *view = reallocarray(runtime->health_view, count ? count : 1, sizeof(*view));
	if (view)
		runtime->health_view = view;
	struct show_health *show = reallocarray(runtime->show_view, count ? count : 1, sizeof(*show));
	if (show)
		runtime->show_view = show;
	for (size_t i = 0; view && show && i < count; i++) {
		const struct health_entry *entry = &runtime->health[i];
		view[i] = (struct backend_health){.node = entry->node, .port = entry->port, .up = entry->up};
		show[i] = (struct show_health){
			.node = entry->node, .port = entry->port, .up = entry->up, .why = entry->why, .since = entry->since};
	}
	runtime->view = (struct rundata){
		/* Without memory for the view every backend counts as down: closed, not open. */
		.health = view,
		.health_count = view && show ? count : 0,
		.draining = (const char *const *)runtime->draining,
		.draining_count = runtime->draining_count,
		.bans = runtime->bans,
		.ban_count = runtime->ban_count,
		.now = now,
		.kernel_owner = runtime->owner,
		.kernel_synproxy = runtime->synproxy,
		.pressed = (const char *const *)runtime->pressed,
		.pressed_count = runtime->pressed_count,
		.header_devices = runtime->headers,
		.header_device_count = runtime->header_count,
		.header_why = runtime->header_why,
		.flow_devices = runtime->flows,
		.flow_device_count = runtime->flow_count,
		.has_tunnels = runtime->has_tunnels,
		.tunnels = runtime->tunnels,
		.tunnel_count = runtime->tunnel_count,
	};
	return &runtime->view;
}

const struct show_health *runtime_health(const struct runtime *runtime, size_t *ret_count)
{
	*ret_count = runtime->view.health_count;
	return runtime->show_view;
}
