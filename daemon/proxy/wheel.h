/* Timer wheel: coarse deadlines of many connections at no cost per byte moved.
 *
 * An entry fires at or after its deadline, at most one tick late. A deadline
 * that lies beyond the wheel's span fires at the end of the span: the owner
 * compares with its real deadline and adds the entry again. So a deadline that
 * moves with every byte needs no call here: only its owner's time stamp moves. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_SLOTS 256u
#define WHEEL_TICK_MS 128u

/* Lives inside its owner; zeroed when it is in no wheel. */
struct wheel_entry {
	struct wheel_entry *next, *previous;
	uint32_t slot;
};

struct wheel {
	struct wheel_entry slots[WHEEL_SLOTS]; /* heads of circular lists */
	uint64_t filled[WHEEL_SLOTS / 64];     /* bit per slot that may hold entries */
	uint64_t tick;                         /* the next tick to be looked at */
};

/* now: milliseconds of a clock that never steps back, here and below. */
void wheel_init(struct wheel *wheel, uint64_t now);
/* Adds, or moves an entry that is in the wheel already. */
void wheel_add(struct wheel *wheel, struct wheel_entry *entry, uint64_t deadline);
/* Fine for an entry that is in no wheel. */
void wheel_remove(struct wheel_entry *entry);
/* Takes out and returns one entry whose slot has come; NULL when there is none. */
struct wheel_entry *wheel_expire(struct wheel *wheel, uint64_t now);
/* Milliseconds until wheel_expire may return something; -1: never. */
int wheel_wait(const struct wheel *wheel, uint64_t now);
