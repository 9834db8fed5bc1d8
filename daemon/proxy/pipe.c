/* Owns the pool of pipes: how many there may be, their size, and that only
 * empty ones are lent again. Never blocks, never grows past its bound, moves no
 * data. */
#include "pipe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void destroy(struct pipe_pool *pool, struct pipe *pipe)
{
	close(pipe->read_end);
	close(pipe->write_end);
	free(pipe);
	pool->open--;
}

struct pipe *pipe_borrow(struct pipe_pool *pool)
{
	struct pipe *pipe = pool->idle;
	if (pipe) {
		pool->idle = pipe->next;
		return pipe;
	}
	if (pool->open >= pool->most)
		return NULL;
	pipe = calloc(1, sizeof(*pipe));
	int ends[2];
	if (!pipe || pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(pipe);
		return NULL;
	}
	pipe->read_end = ends[0];
	pipe->write_end = ends[1];
	pool->open++;
	/* Refused above the user's share of pipe pages: then it stays at its default. */
	(void)fcntl(ends[1], F_SETPIPE_SZ, (int)PIPE_BYTES);
	return pipe;
}

void pipe_return(struct pipe_pool *pool, struct pipe **pipe)
{
	struct pipe *mine = *pipe;
	*pipe = NULL;
	if (!mine)
		return;
	if (mine->bytes) {
		destroy(pool, mine);
		return;
	}
	mine->next = pool->idle;
	pool->idle = mine;
}

void pipe_pool_free(struct pipe_pool *pool)
{
	while (pool->idle) {
		struct pipe *pipe = pool->idle;
		pool->idle = pipe->next;
		destroy(pool, pipe);
	}
}
