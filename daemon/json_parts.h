/* What the files of json_show share: putting values into objects, and texts of
 * the model; and the table of counters, which metrics are filled from too. */
#pragma once

#include "json_show.h"

#include "../rules/base/arena.h"
#include "../rules/base/strmap.h"

/* Takes value over in any case; false when it, or object, is NULL or memory is out. */
bool part_put(json_t *object, const char *key, json_t *value);
bool part_put_text(json_t *object, const char *key, const char *text);
bool part_put_number(json_t *object, const char *key, uint64_t number);
bool part_put_bool(json_t *object, const char *key, bool value);
/* file and line; null and 0 for what came from no file. */
bool part_put_place(json_t *object, struct origin at);
/* Append to list; as put. */
bool part_append(json_t *list, json_t *value);
bool part_append_text(json_t *list, const char *text);
/* list when fine, else NULL and list is gone. */
json_t *part_done(json_t *list, bool fine);

/* Counters by name, for many look-ups. */
struct counters {
	struct arena *arena; /* also for texts */
	struct strmap *map;
};
/* False when out of memory; counters_free in any case. */
bool counters_init(struct counters *counters, const struct show *show);
void counters_free(struct counters *counters);
#define cleanup_counters __attribute__((cleanup(counters_free)))
/* The counter PREFIXnameSUFFIX; zeros when there is none. */
struct counter_value counter_get(const struct counters *counters, const char *prefix, const char *name,
				 const char *suffix);

/* "443", "80,443", "8000-8010". NULL when out of memory. */
char *ports_text(struct arena *arena, const struct port_range *ports, size_t count);
/* As the file writes a place. */
const char *place_text(struct arena *arena, const struct place *place);
/* What a tunnel's addresses look like: the own address with the network's length. */
const char *interface_text(struct arena *arena, const struct prefix *prefix);
