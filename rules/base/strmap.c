/* The string map: open addressing with linear probing, at most half full, grown
 * by doubling inside the arena. Owns nothing but the table itself. */
#include "strmap.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define FIRST_SIZE 16u /* a power of two, as all sizes */

struct slot {
	const char *key;
	void *value;
	uint64_t hash;
};

struct strmap {
	struct arena *arena;
	struct slot *slots;
	size_t size, count;
};

struct strmap *strmap_new(struct arena *arena)
{
	struct strmap *map = arena_new_of(arena, struct strmap);
	if (!map)
		return NULL;
	map->arena = arena;
	map->size = FIRST_SIZE;
	map->slots = arena_array(arena, map->size, struct slot);
	return map->slots ? map : NULL;
}

/* FNV-1a, folded once more because linear probing uses the low bits. */
static uint64_t hash_of(const char *key)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 0x100000001b3u;
	return hash ^ (hash >> 32);
}

/* The slot that holds key, or the free one where it belongs. */
static struct slot *find(const struct strmap *map, const char *key, uint64_t hash)
{
	size_t at = hash & (map->size - 1);
	while (map->slots[at].key && (map->slots[at].hash != hash || strcmp(map->slots[at].key, key) != 0))
		at = (at + 1) & (map->size - 1);
	return &map->slots[at];
}

static int grow(struct strmap *map)
{
	struct strmap larger = *map;
	larger.size *= 2;
	larger.slots = arena_array(map->arena, larger.size, struct slot);
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->size; i++)
		if (map->slots[i].key)
			*find(&larger, map->slots[i].key, map->slots[i].hash) = map->slots[i];
	*map = larger;
	return 0;
}

int strmap_put(struct strmap *map, const char *key, void *value)
{
	uint64_t hash = hash_of(key);
	if (find(map, key, hash)->key)
		return -EEXIST;
	if ((map->count + 1) * 2 > map->size) {
		int r = grow(map);
		if (r < 0)
			return r;
	}
	*find(map, key, hash) = (struct slot){.key = key, .value = value, .hash = hash};
	map->count++;
	return 0;
}

void *strmap_get(const struct strmap *map, const char *key)
{
	return map ? find(map, key, hash_of(key))->value : NULL;
}
