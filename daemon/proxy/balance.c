/* Round robin, least connections and rendezvous hashing over an array of
 * backends. Keeps no state of its own and reads no clock. */
#include "balance.h"

#include <errno.h>
#include <string.h>

static uint64_t mix(uint64_t value)
{
	/* The finaliser of MurmurHash3. */
	value ^= value >> 33;
	value *= 0xff51afd7ed558ccdull;
	value ^= value >> 33;
	value *= 0xc4ceb9fe1a85ec53ull;
	return value ^ value >> 33;
}

uint64_t balance_hash(const void *data, size_t length)
{
	uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ ((const uint8_t *)data)[i]) * 0x100000001b3ull;
	return mix(hash);
}

static uint64_t client_hash(const struct addr *client)
{
	struct addr unit = addr_source_unit(client);
	uint64_t words[2];
	memcpy(words, unit.bytes, sizeof(words));
	return mix(words[0] + mix(words[1] + (uint64_t)unit.family));
}

static bool eligible(const struct balance_entry *entry, const struct balance_tried *tried)
{
	if (!entry->usable)
		return false;
	for (size_t i = 0; i < tried->count; i++)
		if (tried->entries[i] == entry)
			return false;
	return true;
}

/* True when a is the better choice. Equal ones: the first that is asked about stays. */
static bool better(enum balance how, const struct balance_entry *a, const struct balance_entry *b, uint64_t client,
		   uint64_t now)
{
	bool avoid_a = a->avoid_until > now, avoid_b = b->avoid_until > now;
	if (avoid_a != avoid_b)
		return avoid_b;
	switch (how) {
	case BALANCE_ROUND_ROBIN:
		return false;
	case BALANCE_LEAST_CONNECTIONS:
		return a->open < b->open;
	case BALANCE_SOURCE:
		return mix(client ^ a->hash) > mix(client ^ b->hash);
	}
	return false;
}

long balance_pick(enum balance how, struct balance_entry *const *entries, size_t count, const struct addr *client,
		  const struct balance_tried *tried, uint64_t now, uint32_t *turn)
{
	if (!count)
		return -ENOENT;
	uint64_t hash = how == BALANCE_SOURCE ? client_hash(client) : 0;
	size_t start = how == BALANCE_SOURCE ? 0 : *turn % count;
	long best = -ENOENT;
	for (size_t i = 0; i < count; i++) {
		size_t at = start + i < count ? start + i : start + i - count;
		if (!eligible(entries[at], tried))
			continue;
		if (best < 0 || better(how, entries[at], entries[best], hash, now))
			best = (long)at;
		if (how == BALANCE_ROUND_ROBIN && entries[best]->avoid_until <= now)
			break;
	}
	if (best >= 0)
		*turn = (uint32_t)best + 1;
	return best;
}
