/* Spool: a request's body as it arrives, in a memfd that is sealed and handed
 * to main. All spools together share one budget. */
#pragma once

#include <stddef.h>

#define SPOOL_BUDGET (128u << 20)

struct spool {
	int fd; /* -1: nothing yet */
	size_t length;
};

#define SPOOL_INIT {.fd = -1}

/* Append. 0, -EFBIG (above MSG_BODY_MAX), -EBUSY (*used would pass SPOOL_BUDGET), or -errno. */
int spool_write(struct spool *spool, const void *data, size_t length, size_t *used);
/* After the last write: nobody can change the content any more. 0 or -errno. */
int spool_seal(struct spool *spool);
/* Give all of it back; fine at any time. */
void spool_reset(struct spool *spool, size_t *used);
