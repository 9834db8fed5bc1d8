/* Balancing: which backend a new connection goes to. Pure. */
#pragma once

#include "../../rules/model/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What balancing looks at in a backend. */
struct balance_entry {
	uint64_t hash;        /* balance_hash of its name */
	uint64_t avoid_until; /* a connection attempt failed lately: take another one while there is any */
	uint32_t open;        /* connections that this worker has with it */
	bool usable;
};

/* What must not be taken again within one connection: those that failed it. */
#define BALANCE_TRIED_MAX 3
struct balance_tried {
	const struct balance_entry *entries[BALANCE_TRIED_MAX];
	size_t count;
};

uint64_t balance_hash(const void *data, size_t length);
/* An index, or -ENOENT when no entry is usable and untried. turn is the round
 * robin's state and breaks the ties of least_connections. With BALANCE_SOURCE the
 * choice depends on the client's address and the backends' names alone
 * (rendezvous hashing, so that a backend that goes moves its own clients only). */
long balance_pick(enum balance how, struct balance_entry *const *entries, size_t count, const struct addr *client,
		  const struct balance_tried *tried, uint64_t now, uint32_t *turn);
