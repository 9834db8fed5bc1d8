/* Gather: ask every forwarder worker the same thing, answer a request when all
 * have replied or a short time is over. A stuck worker delays an answer, never main. */
#pragma once

#include "request.h"

#define GATHER_COUNTERS 0u
#define GATHER_CONNECTIONS 1u
#define GATHER_WORKERS_MAX 256

/* One body per worker that answered, mapped; data is NULL for an empty one. */
struct gathered {
	const void *data[GATHER_WORKERS_MAX];
	size_t length[GATHER_WORKERS_MAX];
	size_t count;
};

/* id: of the request that will be answered; text: a copy of what the callback
 * needs to remember (may be NULL). Calls back in every case, maybe at once. */
void gather_start(struct server *server, uint32_t what, uint32_t id, const char *text,
		  void (*done)(struct server *server, uint32_t id, const char *text, const struct gathered *gathered));
/* A MSG_PROXY_ANSWER came. Takes its descriptor. */
void gather_answer(struct server *server, struct msg *msg);
void gather_free_all(struct server *server);
