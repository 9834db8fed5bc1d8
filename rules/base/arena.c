/* The arena allocator: blocks that double in size, freed together. It never
 * returns memory early and never logs. */
#include "arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A test of full memory makes them small, so that every allocation is one of its own. */
#ifndef FIRST_BLOCK
#define FIRST_BLOCK 4096u
#define LARGEST_BLOCK (1u << 20)
#endif

struct block {
	struct block *next;
	size_t size;
	size_t used;
	alignas(max_align_t) unsigned char data[];
};

struct arena {
	struct block *blocks;
	size_t next_size;
	size_t total;
};

struct arena *arena_new(void)
{
	struct arena *arena = calloc(1, sizeof(*arena));
	if (arena)
		arena->next_size = FIRST_BLOCK;
	return arena;
}

void arena_free(struct arena **arena)
{
	if (!arena || !*arena)
		return;
	struct block *block = (*arena)->blocks;
	while (block) {
		struct block *next = block->next;
		free(block);
		block = next;
	}
	free(*arena);
	*arena = NULL;
}

static struct block *add_block(struct arena *arena, size_t size)
{
	size_t room = arena->next_size;
	if (room < size)
		room = size;
	if (room > SIZE_MAX - sizeof(struct block))
		return NULL;
	/* Zeroed here once: what a large block comes from, the kernel has zeroed already. */
	struct block *block = calloc(1, sizeof(*block) + room);
	if (!block)
		return NULL;
	block->size = room;
	block->used = 0;
	/* A block made for one large object goes behind the current one, whose rest stays in use. */
	if (room > arena->next_size && arena->blocks) {
		block->next = arena->blocks->next;
		arena->blocks->next = block;
	} else {
		block->next = arena->blocks;
		arena->blocks = block;
	}
	if (arena->next_size < LARGEST_BLOCK)
		arena->next_size *= 2;
	return block;
}

static size_t round_up(size_t size)
{
	const size_t align = alignof(max_align_t);
	return (size + align - 1) & ~(align - 1);
}

void *arena_alloc(struct arena *arena, size_t size)
{
	if (size > SIZE_MAX - alignof(max_align_t))
		return NULL;
	size = round_up(size);
	struct block *block = arena->blocks;
	if (!block || block->size - block->used < size) {
		block = add_block(arena, size);
		if (!block)
			return NULL;
	}
	void *place = block->data + block->used;
	block->used += size;
	arena->total += size;
	return place;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
	size_t total;
	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	return arena_alloc(arena, total);
}

void *arena_memdup(struct arena *arena, const void *data, size_t size)
{
	void *copy = arena_alloc(arena, size);
	if (copy && size)
		memcpy(copy, data, size);
	return copy;
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
	char *copy = arena_alloc(arena, length + 1);
	if (copy)
		memcpy(copy, text, length);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *arena_vprintf(struct arena *arena, const char *format, va_list args)
{
	/* Most texts fit into what is left of the block: printed once, in place. */
	struct block *block = arena->blocks;
	size_t room = block ? block->size - block->used : 0;
	char *rest = room ? (char *)block->data + block->used : NULL;
	va_list again;
	va_copy(again, args);
	int length = vsnprintf(rest, room, format, again);
	va_end(again);
	if (length < 0)
		return NULL;
	if (round_up((size_t)length + 1) <= room)
		return arena_alloc(arena, (size_t)length + 1);
	if (room)
		memset(rest, 0, room);
	char *text = arena_alloc(arena, (size_t)length + 1);
	if (text)
		vsnprintf(text, (size_t)length + 1, format, args);
	return text;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *text = arena_vprintf(arena, format, args);
	va_end(args);
	return text;
}

void *arena_grow(struct arena *arena, void *items, size_t count, size_t size, size_t *capacity)
{
	if (count < *capacity)
		return items;
	size_t room = *capacity ? *capacity * 2 : 8;
	void *grown = arena_calloc(arena, room, size);
	if (!grown)
		return NULL;
	if (count)
		memcpy(grown, items, count * size);
	*capacity = room;
	return grown;
}

size_t arena_used(const struct arena *arena)
{
	return arena->total;
}
