/* String map: names to pointers, in an arena. For tables of names that would be
 * quadratic to search. Entries are never removed; keys are not copied. */
#pragma once

#include "arena.h"

#include <stddef.h>

struct strmap;

/* An empty map; NULL when out of memory. */
struct strmap *strmap_new(struct arena *arena);
/* Add key, which must outlive the map. 0, -EEXIST (the map keeps the first value;
 * ask strmap_get for it), or -ENOMEM. value must not be NULL. */
int strmap_put(struct strmap *map, const char *key, void *value);
/* The value under key, or NULL. A NULL map is empty. */
void *strmap_get(const struct strmap *map, const char *key);
