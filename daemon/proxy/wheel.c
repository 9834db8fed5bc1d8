/* The timer wheel: one level of slots, circular lists, a bitmap that finds the
 * next filled slot. Knows no clock and allocates nothing. */
#include "wheel.h"

#include <stddef.h>

void wheel_init(struct wheel *wheel, uint64_t now)
{
	*wheel = (struct wheel){.tick = now / WHEEL_TICK_MS};
	for (uint32_t i = 0; i < WHEEL_SLOTS; i++)
		wheel->slots[i].next = wheel->slots[i].previous = &wheel->slots[i];
}

void wheel_remove(struct wheel_entry *entry)
{
	if (!entry->next)
		return;
	entry->next->previous = entry->previous;
	entry->previous->next = entry->next;
	entry->next = entry->previous = NULL;
}

void wheel_add(struct wheel *wheel, struct wheel_entry *entry, uint64_t deadline)
{
	wheel_remove(entry);
	/* Rounded up: the slot's tick begins at or after the deadline. */
	uint64_t tick = deadline / WHEEL_TICK_MS + (deadline % WHEEL_TICK_MS != 0);
	if (tick < wheel->tick)
		tick = wheel->tick;
	if (tick - wheel->tick >= WHEEL_SLOTS)
		tick = wheel->tick + WHEEL_SLOTS - 1;
	uint32_t slot = (uint32_t)(tick % WHEEL_SLOTS);
	struct wheel_entry *head = &wheel->slots[slot];
	entry->slot = slot;
	entry->next = head;
	entry->previous = head->previous;
	head->previous->next = entry;
	head->previous = entry;
	wheel->filled[slot / 64] |= 1ull << slot % 64;
}

/* Ticks from wheel->tick to the next slot that may be filled; WHEEL_SLOTS when there is none. */
static uint32_t distance(const struct wheel *wheel)
{
	uint32_t first = (uint32_t)(wheel->tick % WHEEL_SLOTS);
	for (uint32_t ahead = 0; ahead < WHEEL_SLOTS;) {
		uint32_t slot = (first + ahead) % WHEEL_SLOTS;
		uint64_t word = wheel->filled[slot / 64] >> slot % 64;
		if (word) {
			uint32_t found = ahead + (uint32_t)__builtin_ctzll(word);
			return found < WHEEL_SLOTS ? found : WHEEL_SLOTS;
		}
		ahead += 64 - slot % 64;
	}
	return WHEEL_SLOTS;
}

struct wheel_entry *wheel_expire(struct wheel *wheel, uint64_t now)
{
	uint64_t last = now / WHEEL_TICK_MS;
	while (wheel->tick <= last) {
		uint32_t ahead = distance(wheel);
		if (ahead == WHEEL_SLOTS || wheel->tick + ahead > last) {
			wheel->tick = last + 1;
			return NULL;
		}
		wheel->tick += ahead;
		uint32_t slot = (uint32_t)(wheel->tick % WHEEL_SLOTS);
		struct wheel_entry *head = &wheel->slots[slot], *entry = head->next;
		bool found = entry != head;
		if (found)
			wheel_remove(entry);
		if (head->next == head)
			wheel->filled[slot / 64] &= ~(1ull << slot % 64);
		if (found)
			return entry;
	}
	return NULL;
}

int wheel_wait(const struct wheel *wheel, uint64_t now)
{
	uint32_t ahead = distance(wheel);
	if (ahead == WHEEL_SLOTS)
		return -1;
	uint64_t at = (wheel->tick + ahead) * WHEEL_TICK_MS;
	return at > now ? (int)(at - now) : 0;
}
