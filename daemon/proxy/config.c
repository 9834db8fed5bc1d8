/* The proxy's configuration as bytes and back. The decoder treats its input as
 * hostile: every count, index and enum is checked, and nothing of the input is
 * referred to afterwards. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BACKENDS_MAX MODEL_MAX_NODES
#define LISTENERS_MAX (1u << 16)
#define PROBES_MAX (1u << 20)
#define TEXT_MAX 1024
#define DURATION_MAX (366ull * 86400 * 1000) /* ms; keeps every sum of times far from overflow */

static void put_health(const struct health *health, struct wire_writer *writer)
{
	wire_put_u32(writer, health->check);
	wire_put_u64(writer, health->interval);
	wire_put_u64(writer, health->timeout);
	wire_put_u32(writer, health->rise);
	wire_put_u32(writer, health->fall);
	wire_put_text(writer, health->path);
	wire_put_text(writer, health->host);
	wire_put_u32(writer, health->status_first);
	wire_put_u32(writer, health->status_last);
}

static void put_forward(const struct proxy_forward *forward, struct wire_writer *writer)
{
	wire_put_text(writer, forward->name);
	wire_put_u32(writer, forward->header);
	wire_put_u32(writer, forward->tlvs);
	wire_put_u32(writer, forward->log);
	wire_put_u32(writer, forward->balance);
	wire_put_u64(writer, forward->connect_timeout);
	wire_put_u64(writer, forward->idle_timeout);
	wire_put_u32(writer, forward->target_port);
	wire_put_u32(writer, (uint32_t)forward->backend_count);
	for (size_t i = 0; i < forward->backend_count; i++) {
		const struct proxy_backend *backend = &forward->backends[i];
		wire_put_u32(writer, backend->node);
		wire_put_text(writer, backend->name);
		wire_put_addr(writer, &backend->address);
		wire_put_u32(writer, backend->usable);
	}
}

void proxy_config_encode(const struct proxy_config *config, struct wire_writer *writer)
{
	wire_put_u32(writer, config->generation);
	wire_put_u32(writer, (uint32_t)config->forward_count);
	for (size_t i = 0; i < config->forward_count; i++)
		put_forward(&config->forwards[i], writer);
	wire_put_u32(writer, (uint32_t)config->listener_count);
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct proxy_listener *listener = &config->listeners[i];
		wire_put_u32(writer, listener->id);
		wire_put_u32(writer, listener->forward);
		wire_put_addr(writer, &listener->address);
		wire_put_u32(writer, listener->port);
	}
	wire_put_u32(writer, (uint32_t)config->probe_count);
	for (size_t i = 0; i < config->probe_count; i++) {
		const struct proxy_probe *probe = &config->probes[i];
		wire_put_text(writer, probe->node);
		wire_put_addr(writer, &probe->address);
		wire_put_u32(writer, probe->port);
		put_health(&probe->health, writer);
		wire_put_u32(writer, probe->header);
		wire_put_u32(writer, probe->up);
	}
}

/* A name that must be there. */
static const char *get_name(struct wire_reader *reader, struct arena *arena)
{
	const char *name = wire_get_text(reader, arena, MODEL_NAME_MAX);
	if (!name || !*name)
		reader->failed = true;
	return name;
}

static uint16_t get_port(struct wire_reader *reader, bool zero_allowed)
{
	uint16_t port = (uint16_t)wire_get_bounded(reader, UINT16_MAX);
	if (!port && !zero_allowed)
		reader->failed = true;
	return port;
}

static milliseconds get_duration(struct wire_reader *reader)
{
	uint64_t value = wire_get_u64(reader);
	if (!value || value > DURATION_MAX)
		reader->failed = true;
	return value;
}

static struct addr get_address(struct wire_reader *reader)
{
	struct addr address = wire_get_addr(reader);
	if (address.family == FAMILY_NONE)
		reader->failed = true;
	return address;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts names; bad when one is there twice. */
static void refuse_duplicates(struct wire_reader *reader, const char **names, size_t count)
{
	qsort(names, count, sizeof(*names), compare_texts);
	for (size_t i = 1; i < count; i++)
		if (strcmp(names[i - 1], names[i]) == 0)
			reader->failed = true;
}

/* count zeroed items; at least one field of each follows, so that a count which
 * the message cannot hold is refused before memory is spent on it. */
static void *get_array(struct wire_reader *reader, struct arena *arena, uint32_t most, size_t size, size_t *ret_count)
{
	size_t count = wire_get_bounded(reader, most);
	if (reader->failed || count > reader->length - reader->at) {
		reader->failed = true;
		return NULL;
	}
	void *items = arena_calloc(arena, count ? count : 1, size);
	if (!items)
		reader->failed = true;
	else
		*ret_count = count;
	return items;
}

static void get_forward(struct wire_reader *reader, struct arena *arena, struct proxy_forward *forward)
{
	forward->name = get_name(reader, arena);
	forward->header = (enum proxy_header)wire_get_bounded(reader, PROXY_V2);
	forward->tlvs = wire_get_bounded(reader, forward->header == PROXY_V2 ? TLV_BITS : 0);
	forward->log = wire_get_bounded(reader, 1);
	forward->balance = (enum balance)wire_get_bounded(reader, BALANCE_LEAST_CONNECTIONS);
	forward->connect_timeout = get_duration(reader);
	forward->idle_timeout = get_duration(reader);
	forward->target_port = get_port(reader, true);
	forward->backends =
		get_array(reader, arena, BACKENDS_MAX, sizeof(*forward->backends), &forward->backend_count);
	for (size_t i = 0; i < forward->backend_count && !reader->failed; i++) {
		struct proxy_backend *backend = &forward->backends[i];
		backend->node = wire_get_bounded(reader, MODEL_MAX_NODES);
		backend->name = get_name(reader, arena);
		backend->address = get_address(reader);
		backend->usable = wire_get_bounded(reader, 1);
	}
	const char **names = arena_array(arena, forward->backend_count + 1, const char *);
	if (!names)
		reader->failed = true;
	if (reader->failed)
		return;
	for (size_t i = 0; i < forward->backend_count; i++)
		names[i] = forward->backends[i].name;
	refuse_duplicates(reader, names, forward->backend_count);
}

static void get_forwards(struct wire_reader *reader, struct arena *arena, struct proxy_config *config)
{
	config->forwards = get_array(reader, arena, MODEL_MAX_FORWARDS, sizeof(*config->forwards), &config->forward_count);
	const char **names = arena_array(arena, config->forward_count + 1, const char *);
	if (!names)
		reader->failed = true;
	for (size_t i = 0; i < config->forward_count && !reader->failed; i++) {
		get_forward(reader, arena, &config->forwards[i]);
		names[i] = config->forwards[i].name;
	}
	if (!reader->failed)
		refuse_duplicates(reader, names, config->forward_count);
}

static void get_listeners(struct wire_reader *reader, struct arena *arena, struct proxy_config *config)
{
	config->listeners = get_array(reader, arena, LISTENERS_MAX, sizeof(*config->listeners), &config->listener_count);
	for (size_t i = 0; i < config->listener_count && !reader->failed; i++) {
		struct proxy_listener *listener = &config->listeners[i];
		listener->id = wire_get_u32(reader);
		listener->forward = wire_get_u32(reader);
		listener->address = wire_get_addr(reader);
		listener->port = get_port(reader, false);
		bool none = listener->forward == PROXY_FORWARD_NONE && listener->address.family == FAMILY_NONE;
		if (listener->forward >= config->forward_count && !none)
			reader->failed = true;
	}
}

static void get_probe(struct wire_reader *reader, struct arena *arena, struct proxy_probe *probe)
{
	probe->node = get_name(reader, arena);
	probe->address = get_address(reader);
	probe->port = get_port(reader, false);
	struct health *health = &probe->health;
	health->check = (enum health_check)wire_get_bounded(reader, HEALTH_PROXY);
	health->interval = get_duration(reader);
	health->timeout = get_duration(reader);
	health->rise = wire_get_u32(reader);
	health->fall = wire_get_u32(reader);
	health->path = wire_get_text(reader, arena, TEXT_MAX);
	health->host = wire_get_text(reader, arena, TEXT_MAX);
	health->status_first = wire_get_u32(reader);
	health->status_last = wire_get_u32(reader);
	probe->header = (enum proxy_header)wire_get_bounded(reader, PROXY_V2);
	probe->up = wire_get_bounded(reader, 1);
	if (health->check == HEALTH_NONE || !health->rise || !health->fall)
		reader->failed = true;
}

int proxy_config_decode(const void *data, size_t length, struct arena *arena, struct proxy_config **ret_config)
{
	struct wire_reader reader = {.data = data, .length = length};
	struct proxy_config *config = arena_new_of(arena, struct proxy_config);
	if (!config)
		return -ENOMEM;
	config->generation = wire_get_u32(&reader);
	get_forwards(&reader, arena, config);
	get_listeners(&reader, arena, config);
	config->probes = get_array(&reader, arena, PROBES_MAX, sizeof(*config->probes), &config->probe_count);
	for (size_t i = 0; i < config->probe_count && !reader.failed; i++)
		get_probe(&reader, arena, &config->probes[i]);
	int error = wire_finish(&reader);
	if (!error)
		*ret_config = config;
	return error;
}
