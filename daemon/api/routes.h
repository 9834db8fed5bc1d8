/* Routes: which method and path exist, what right each needs, how long main
 * may take. The one list: docs/openapi.yaml is held against it by a test. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum right { RIGHT_NONE, RIGHT_READ, RIGHT_WRITE };

struct route {
	const char *method;  /* GET also serves HEAD */
	const char *pattern; /* "{name}" stands for one non-empty segment */
	enum right right;
	bool slow; /* main may need minutes: it commits, or loads blocklists */
};

extern const struct route routes[];
extern const size_t route_count;

/* target is path?query. The route, or NULL with *ret_status 404, or 405 and
 * ret_allow (ROUTE_ALLOW_MAX bytes) filled with the methods that the path knows. */
#define ROUTE_ALLOW_MAX 64
const struct route *route_find(const char *method, const char *target, unsigned int *ret_status, char *ret_allow);
