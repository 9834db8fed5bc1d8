/* A slab: a fixed number of objects of one size, whose memory is taken from the
 * system when an object is first used and given back when all are free. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slab {
	uint8_t *base;
	size_t size, capacity;
	size_t touched; /* objects that were ever handed out since the slab was empty */
	size_t used;
	void *idle; /* chain of freed objects, through their first bytes */
};

/* Reserves address space only. 0 or -ENOMEM. */
int slab_init(struct slab *slab, size_t size, size_t capacity);
void slab_free(struct slab *slab);
/* A zeroed object, or NULL when all are in use. */
void *slab_take(struct slab *slab);
void slab_give(struct slab *slab, void *object);
/* Walk all objects that were handed out, freed ones included: the owner knows
 * which are alive. NULL at the end. */
void *slab_at(const struct slab *slab, size_t index);
