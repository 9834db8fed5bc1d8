/* Pipes for splice, lent to a connection only while data is in flight in them,
 * and the memory for bytes that a full socket did not take. Both bounded. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What one pipe is asked to hold. */
#define PIPE_BYTES (256u << 10)
#define PIPES_MAX 128u

struct pipe {
	struct pipe *next;
	int read_end, write_end;
	uint32_t bytes; /* in it now */
};

struct pipe_pool {
	struct pipe *idle;
	uint32_t open, most; /* pipes that exist; may exist */
};

/* An empty pipe, or NULL: none is left. */
struct pipe *pipe_borrow(struct pipe_pool *pool);
/* NULL is fine; a pipe that still holds data is closed. */
void pipe_return(struct pipe_pool *pool, struct pipe **pipe);
void pipe_pool_free(struct pipe_pool *pool);

/* Bytes that wait for a socket. */
struct leftover {
	uint32_t at, length;
	uint8_t data[];
};
