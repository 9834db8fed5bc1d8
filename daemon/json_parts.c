/* Shared parts of the answers: objects that grow field by field, texts that
 * must be UTF-8, times, places, counters by name. */
#include "json_parts.h"

#include "../rules/model/values.h"
#include "utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool part_put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

bool part_put_text(json_t *object, const char *key, const char *text)
{
	return part_put(object, key, show_text(text));
}

bool part_put_number(json_t *object, const char *key, uint64_t number)
{
	/* JSON's own integers are signed; no counter of ours gets that far. */
	return part_put(object, key, json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number));
}

bool part_put_bool(json_t *object, const char *key, bool value)
{
	return part_put(object, key, json_boolean(value));
}

bool part_put_place(json_t *object, struct origin at)
{
	return part_put_text(object, "file", at.file) && part_put_number(object, "line", at.line);
}

bool part_append(json_t *list, json_t *value)
{
	return json_array_append_new(list, value) == 0;
}

bool part_append_text(json_t *list, const char *text)
{
	return part_append(list, show_text(text));
}

json_t *part_done(json_t *list, bool fine)
{
	if (fine)
		return list;
	json_decref(list);
	return NULL;
}

json_t *show_time(uint64_t seconds)
{
	struct tm parts;
	time_t when = (time_t)seconds;
	char text[40];
	if (!seconds || !gmtime_r(&when, &parts) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts))
		return json_null();
	return json_string(text);
}

json_t *show_text(const char *text)
{
	if (!text)
		return json_null();
	json_t *json = json_string(text);
	if (json)
		return json;
	char *clean = strdup(text);
	for (char *at = clean; at && *at;) {
		size_t length = utf8_sequence(at);
		if (!length)
			*at = '?';
		at += length ? length : 1;
	}
	json = clean ? json_string(clean) : NULL;
	free(clean);
	return json;
}

json_t *show_diags(const struct diag_list *diags, enum diag_severity severity)
{
	cleanup_arena struct arena *arena = arena_new();
	json_t *list = json_array();
	bool fine = arena && list;
	for (size_t i = 0; fine && diags && i < diags->count; i++) {
		if (diags->items[i].severity != severity)
			continue;
		const char *line = diag_format(arena, &diags->items[i]);
		fine = line && part_append_text(list, line);
	}
	if (fine && diags && diags->dropped) {
		char *more = arena_printf(arena, "and %zu more, errors and warnings", diags->dropped);
		fine = more && part_append_text(list, more);
	}
	return part_done(list, fine);
}

json_t *show_error(const char *text, const struct diag_list *diags)
{
	json_t *json = json_object();
	bool fine = part_put_text(json, "error", text) &&
		    (!diags || part_put(json, "diagnostics", show_diags(diags, DIAG_ERROR)));
	return part_done(json, fine);
}

bool counters_init(struct counters *counters, const struct show *show)
{
	counters->arena = arena_new();
	counters->map = counters->arena ? strmap_new(counters->arena) : NULL;
	for (size_t i = 0; counters->map && i < show->counter_count; i++) {
		/* The map holds plain pointers: the value is not written through it. */
		void *value = (void *)(uintptr_t)&show->counters[i];
		if (strmap_put(counters->map, show->counters[i].name, value) == -ENOMEM)
			return false;
	}
	return counters->map;
}

void counters_free(struct counters *counters)
{
	arena_free(&counters->arena);
}

struct counter_value counter_get(const struct counters *counters, const char *prefix, const char *name,
				 const char *suffix)
{
	char full[MODEL_NAME_MAX + 32];
	snprintf(full, sizeof(full), "%s%s%s", prefix, name, suffix);
	const struct counter_value *found = strmap_get(counters->map, full);
	return found ? *found : (struct counter_value){0};
}

char *ports_text(struct arena *arena, const struct port_range *ports, size_t count)
{
	char *text = arena_strdup(arena, "");
	for (size_t i = 0; text && i < count; i++) {
		const char *range = value_print_port_range(arena, &ports[i]);
		text = range ? arena_printf(arena, "%s%s%s", text, i ? "," : "", range) : NULL;
	}
	return text;
}

const char *place_text(struct arena *arena, const struct place *place)
{
	char prefix[PREFIX_TEXT_MAX];
	switch (place->kind) {
	case PLACE_TUNNEL:
		return place->tunnel->name;
	case PLACE_BLOCKLIST:
		return place->blocklist->name;
	case PLACE_PREFIX:
		return arena_strdup(arena, prefix_format(&place->prefix, prefix));
	case PLACE_ANY:
	case PLACE_WAN:
	case PLACE_LAN:
	case PLACE_SELF:
		return place_kind_names[place->kind];
	}
	return NULL;
}

const char *interface_text(struct arena *arena, const struct prefix *prefix)
{
	char address[ADDR_TEXT_MAX];
	return arena_printf(arena, "%s/%u", addr_format(&prefix->addr, address), prefix->length);
}
