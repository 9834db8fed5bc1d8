/* The HTTP client: one request over edged's local socket, or by TLS 1.3 with a
 * client certificate. Knows nothing of JSON or commands. */
#pragma once

#include "../rules/base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More is refused: an answer is held in memory. */
#define CLIENT_MOST_BYTES (256u << 20)

struct client_target {
	const char *socket;           /* used when host is NULL */
	const char *host;             /* "name:port" */
	const char *cert, *key, *ca;  /* with host */
	uint64_t timeout_ms;
};

struct client_answer {
	long status;        /* of HTTP */
	char *body;         /* terminated; in the arena */
	size_t length;
};

/* body NULL: none. 0 with *ret_answer whatever the status; or -ENOENT, -ECONNREFUSED (nobody there), -EACCES,
 * -ETIMEDOUT, -EMSGSIZE (more than CLIENT_MOST_BYTES), -ECONNRESET (broken off), -EKEYREJECTED (certificates),
 * -EPROTO (no HTTP), -ENOMEM. *ret_why (may stay NULL) is libcurl's own sentence. */
int client_request(const struct client_target *target, const char *method, const char *path, const char *body,
		   size_t length, struct arena *arena, struct client_answer *ret_answer, const char **ret_why);
