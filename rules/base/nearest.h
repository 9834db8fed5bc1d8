/* The known word that a mistyped one was probably meant to be. */
#pragma once

#include <stddef.h>

/* Usage: nearest_to, then nearest_consider for each known word; name is the
 * first of the nearest ones, NULL while none is near enough. Words are not
 * copied. */
struct nearest {
	const char *wrong;
	size_t length;
	const char *name;
	unsigned distance; /* what is looked for is nearer than this */
};

struct nearest nearest_to(const char *wrong);
void nearest_consider(struct nearest *nearest, const char *known);
