/* User data: what the kernel keeps for us with a rule, set or element and
 * never looks at. A list of type (one byte), length (one byte), value, as
 * nft(8) writes it, so that its comments show up there. Types from 0xe0 on are
 * our own; nft skips those that it does not know. */
#pragma once

#include "../../rules/base/arena.h"

#include <stddef.h>
#include <stdint.h>

#define UDATA_MAX 256 /* NFT_USERDATA_MAXLEN */

/* Our own types, of sets: */
#define UDATA_SET_WITH 0xe0 /* what rules attach to the elements: see nft_set.c */
/* of the counters that keep a content hash: */
#define UDATA_COUNTER_HASH 0xe0 /* 32 bytes */
/* and of elements: */
#define UDATA_ELEMENT_EXPIRES 0xe0 /* u64: seconds since the epoch */
/* Numbers of ours are big-endian. */

struct udata {
	uint8_t bytes[UDATA_MAX];
	size_t length;
};

/* -EMSGSIZE: no room, or more than 255 bytes. */
int udata_put(struct udata *udata, uint8_t type, const void *value, size_t length);
/* With its terminator, as nft wants it. */
int udata_put_text(struct udata *udata, uint8_t type, const char *text);
/* The first value of that type and its length; NULL when there is none or the list is broken before it. */
const uint8_t *udata_find(const void *list, size_t list_length, uint8_t type, size_t *ret_length);
/* A terminated copy in arena of a text; "" when there is none. NULL when out of memory. */
const char *udata_text(const void *list, size_t list_length, uint8_t type, struct arena *arena);
