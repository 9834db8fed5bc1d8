/* Owns one anonymous mapping per slab and the chain of what is free in it. Knows
 * nothing of the objects but their size. Not thread-safe: each worker has its
 * own. */
#include "slab.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int slab_init(struct slab *slab, size_t size, size_t capacity)
{
	size_t bytes;
	size = (size + 15) & ~(size_t)15;
	if (__builtin_mul_overflow(size, capacity, &bytes))
		return -ENOMEM;
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -ENOMEM;
	/* One object must not cost a huge page. */
	(void)madvise(base, bytes, MADV_NOHUGEPAGE);
	*slab = (struct slab){.base = base, .size = size, .capacity = capacity};
	return 0;
}

void slab_free(struct slab *slab)
{
	if (slab->base)
		munmap(slab->base, slab->size * slab->capacity);
	*slab = (struct slab){0};
}

void *slab_take(struct slab *slab)
{
	void *object = slab->idle;
	if (object)
		memcpy(&slab->idle, object, sizeof(slab->idle));
	else if (slab->touched < slab->capacity)
		object = slab->base + slab->size * slab->touched++;
	else
		return NULL;
	slab->used++;
	return memset(object, 0, slab->size);
}

void slab_give(struct slab *slab, void *object)
{
	if (--slab->used) {
		memset(object, 0, slab->size);
		memcpy(object, &slab->idle, sizeof(slab->idle));
		slab->idle = object;
		return;
	}
	/* Empty: a peak's memory goes back, a few pages stay. */
	size_t keep = 1u << 16, used = slab->size * slab->touched;
	if (used > keep)
		(void)madvise(slab->base + keep, used - keep, MADV_DONTNEED);
	memset(slab->base, 0, used < keep ? used : keep);
	slab->touched = 0;
	slab->idle = NULL;
}

void *slab_at(const struct slab *slab, size_t index)
{
	return index < slab->touched ? slab->base + slab->size * index : NULL;
}
