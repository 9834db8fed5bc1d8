/* The rise/fall machine of one (node, port) and its timetable. Knows nothing of
 * how a probe is made. */
#include "probe_state.h"

#define QUICK_LEAST_MS 100
#define QUICK_MOST_MS 1000
#define QUICK_PARTS 10

bool probe_state_take(struct probe_state *state, bool success, uint32_t rise, uint32_t fall)
{
	bool was_up = state->up;
	if (success) {
		state->failures = 0;
		if (state->successes < rise)
			state->successes++;
		if (state->up || state->successes >= rise)
			state->up = state->proven = true;
	} else {
		state->successes = 0;
		if (state->failures < fall)
			state->failures++;
		if (state->failures >= fall) {
			state->up = false;
			state->proven = true;
		}
	}
	/* An adopted "up" is not confirmed by a failure that has not made it fall. An unknown "down" is not
	 * contradicted by a success that has not made it rise. */
	bool known = success == state->up;
	if (state->up == was_up && (state->announced || !known))
		return false;
	state->announced = true;
	return true;
}

milliseconds probe_phase(const char *node, uint16_t port, milliseconds interval)
{
	/* FNV-1a, 64 bits (RFC 9923). */
	uint64_t hash = 0xcbf29ce484222325u;
	for (; *node; node++)
		hash = (hash ^ (uint8_t)*node) * 0x100000001b3u;
	hash = (hash ^ (port & 0xffu)) * 0x100000001b3u;
	hash = (hash ^ (port >> 8)) * 0x100000001b3u;
	/* The upper half: the lower bits of FNV vary little between short names. */
	return interval ? (hash >> 20) % interval : 0;
}

uint64_t probe_next(const struct probe_state *state, milliseconds phase, milliseconds interval, uint64_t begun,
		    uint64_t now)
{
	if (!state->proven && !state->up) {
		milliseconds quick = interval / QUICK_PARTS;
		if (quick < QUICK_LEAST_MS)
			quick = QUICK_LEAST_MS;
		if (quick > QUICK_MOST_MS)
			quick = QUICK_MOST_MS;
		return now + (quick < interval ? quick : interval);
	}
	uint64_t earliest = begun + (interval + 1) / 2;
	if (earliest < now)
		earliest = now;
	uint64_t into = (earliest + interval - phase % interval) % interval;
	return into ? earliest + interval - into : earliest;
}
