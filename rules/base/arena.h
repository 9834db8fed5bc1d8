/* Arena: many small allocations with one lifetime, freed together.
 *
 * Usage: one arena per document, model or state. A NULL return means out of
 * memory; nothing else fails. Memory from an arena is zeroed and aligned for
 * any type. Not thread-safe. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

struct arena;

/* Make an empty arena; NULL when out of memory. The caller owns it. */
struct arena *arena_new(void);
/* Free the arena and all that was allocated from it; NULL is fine. */
void arena_free(struct arena **arena);

/* size bytes, zeroed. */
void *arena_alloc(struct arena *arena, size_t size);
/* count * size bytes, zeroed; NULL also when the product overflows. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);
/* A copy of size bytes. */
void *arena_memdup(struct arena *arena, const void *data, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
/* The first length bytes of text, terminated. */
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
/* Grow an array: the new address of items with room for at least count + 1
 * elements of size bytes; *capacity is updated. The old place is not reused
 * before the arena is freed. */
void *arena_grow(struct arena *arena, void *items, size_t count, size_t size, size_t *capacity);
/* Bytes handed out so far. */
size_t arena_used(const struct arena *arena);

#define cleanup_arena __attribute__((cleanup(arena_free)))
#define arena_new_of(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define arena_array(arena, count, type) ((type *)arena_calloc((arena), (count), sizeof(type)))
