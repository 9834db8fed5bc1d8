/* The agent's state as text: which device is in force, how far a change of keys
 * is, and what the edge is known by. It keeps nothing secret, decides nothing,
 * and never changes a device. */
#include "state.h"

#include "../store.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MOST 64
#define TEXT_MOST 65536

static void drop_json(json_t **json)
{
	json_decref(*json);
}
#define cleanup_json __attribute__((cleanup(drop_json)))

static json_t *edge_json(const struct agent_edge *edge)
{
	char text[TUNNEL_KEY_TEXT];
	tunnel_key_format(edge->public_key, text);
	return json_pack("{s:s, s:i, s:b}", "key", text, "port", edge->port, "preshared", edge->has_preshared);
}

int agent_state_save(int folder, const char *device, const struct agent_state *state)
{
	char name[NAME_MOST], configured[TUNNEL_KEY_TEXT];
	snprintf(name, sizeof(name), "%s.state", device);
	tunnel_key_format(state->configured, configured);
	cleanup_json json_t *json =
		json_pack("{s:i, s:i, s:i, s:I, s:I, s:s, s:o, s:o}", "version", 1, "slot", (int)state->slot, "phase",
			  (int)state->phase, "id", (json_int_t)state->id, "since", (json_int_t)state->since, "configured",
			  configured, "now", edge_json(&state->now), "next", edge_json(&state->next));
	char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	int r = text ? store_replace(folder, name, text, strlen(text), 0600) : -ENOMEM;
	free(text);
	return r;
}

static bool read_number(const json_t *json, const char *name, uint64_t most, uint64_t *ret_number)
{
	const json_t *item = json_object_get(json, name);
	if (!json_is_integer(item) || json_integer_value(item) < 0 || (uint64_t)json_integer_value(item) > most)
		return false;
	*ret_number = (uint64_t)json_integer_value(item);
	return true;
}

static bool read_key(const json_t *json, const char *name, uint8_t ret_key[TUNNEL_KEY_SIZE])
{
	const json_t *item = json_object_get(json, name);
	return json_is_string(item) && tunnel_key_parse(json_string_value(item), json_string_length(item), ret_key) == 0;
}

static bool read_edge(const json_t *json, const char *name, struct agent_edge *ret_edge)
{
	const json_t *item = json_object_get(json, name);
	uint64_t port;
	if (!read_number(item, "port", UINT16_MAX, &port) || !json_is_boolean(json_object_get(item, "preshared")) ||
	    !read_key(item, "key", ret_edge->public_key))
		return false;
	ret_edge->port = (uint16_t)port;
	ret_edge->has_preshared = json_is_true(json_object_get(item, "preshared"));
	return true;
}

int agent_state_load(int folder, const char *device, struct agent_state *ret_state)
{
	cleanup_arena struct arena *arena = arena_new();
	char name[NAME_MOST], *text;
	size_t length;
	snprintf(name, sizeof(name), "%s.state", device);
	int r = arena ? store_read(folder, name, TEXT_MOST, arena, &text, &length) : -ENOMEM;
	if (r < 0)
		return r;
	cleanup_json json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
	struct agent_state state = {0};
	uint64_t version, slot, phase;
	if (!read_number(json, "version", 1, &version) || version != 1 || !read_number(json, "slot", 1, &slot) ||
	    !read_number(json, "phase", AGENT_LEAVING, &phase) || !read_number(json, "id", INT64_MAX, &state.id) ||
	    !read_number(json, "since", INT64_MAX, &state.since) || !read_key(json, "configured", state.configured) ||
	    !read_edge(json, "now", &state.now) || !read_edge(json, "next", &state.next))
		return -EBADMSG;
	state.slot = (unsigned)slot;
	state.phase = (enum agent_phase)phase;
	*ret_state = state;
	return 0;
}
