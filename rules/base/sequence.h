/* Sequences: which of a list of numbers may stay in place. */
#pragma once

#include "arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEQUENCE_NONE UINT32_MAX /* a number that is not there: never stays */

/* Mark the longest run of numbers that grow from one to the next (not
 * necessarily neighbours): ret_stays[i] for each; in O(n log n). All but
 * SEQUENCE_NONE must differ. 0 or -ENOMEM. */
int sequence_longest_run(struct arena *arena, const uint32_t *numbers, size_t count, bool *ret_stays);
