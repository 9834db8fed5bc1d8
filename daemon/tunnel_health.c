/* The checks of a tunnel's peer and their hysteresis. Decides from numbers
 * alone; what follows from a verdict is others'. */
#include "tunnel_health.h"

#include <stdio.h>
#include <string.h>

/* A session is not used for longer: REJECT_AFTER_TIME of the WireGuard paper. */
#define HANDSHAKE_MOST 180u
/* KEEPALIVE_TIMEOUT and REKEY_TIMEOUT, and a look more. */
#define SILENCE_MOST 18u
/* Seconds for a first handshake: REKEY_TIMEOUT, after which it is tried again, and the looks that see it. */
#define HOPE_MOST 9u
/* Looks in a row before up becomes down or the other way round. */
#define LOOKS_AGAINST 2u
#define FULL_MISSED_MOST 3u

#define SAY(health, ...) ((void)snprintf((health)->why, sizeof((health)->why), __VA_ARGS__))

void tunnel_path_count(struct tunnel_path *path, bool full, bool answered)
{
	uint32_t *answers = full ? &path->full_answered : &path->small_answered;
	uint32_t *missed = full ? &path->full_missed : &path->small_missed;
	*answers += answered;
	*missed = answered ? 0 : *missed + 1;
	/* Where small ones are missed as well, it is not their size. */
	if (path->small_missed)
		path->full_missed = 0;
}

/* Is it up, as this look alone has it? */
static bool judge(struct tunnel_health *health, const struct tunnel_peer *seen, const struct tunnel_path *path,
		  uint32_t mtu, uint64_t now, uint64_t uptime)
{
	health->failed = !seen ? "device" : "handshake";
	if (!seen) {
		SAY(health, "the device is not there");
		return false;
	}
	if (!seen->handshake) {
		SAY(health, "%s", seen->endpoint.family == FAMILY_NONE ? "no handshake yet, and no address to begin one with"
								       : "no handshake yet: no answer");
		return false;
	}
	unsigned long long age = now > seen->handshake ? now - seen->handshake : 0;
	unsigned long long silent = uptime > health->progress_at ? uptime - health->progress_at : 0;
	/* Nothing comes through a session that old: where something does, it is the clock that was set. */
	if (age > HANDSHAKE_MOST && !(health->progressed && silent <= SILENCE_MOST)) {
		SAY(health, "handshake: the last one was %llu s ago", age);
		return false;
	}
	health->failed = "receive";
	if (silent > SILENCE_MOST) {
		SAY(health, "receive: nothing came for %llu s", silent);
		return false;
	}
	bool too_large = path->small_answered && path->full_missed >= FULL_MISSED_MOST;
	health->failed = too_large ? "path_mtu" : NULL;
	if (too_large)
		SAY(health, "path MTU: packets of %u bytes do not come through: lower the mtu", mtu);
	else
		SAY(health, "handshake %llu s ago%s", age, path->full_answered ? ", full-size packets come through" : "");
	return true;
}

bool tunnel_health_look(struct tunnel_health *health, const struct tunnel_peer *seen, const struct tunnel_path *path,
			uint32_t mtu, uint64_t now, uint64_t uptime)
{
	/* A counter that fell is that of a device made anew. */
	if (seen && (seen->received != health->received || !health->known)) {
		health->progressed = health->known;
		health->received = seen->received;
		health->progress_at = uptime;
	}
	bool up = judge(health, seen, path, mtu, now, uptime);
	bool first = !health->known;
	if (first)
		health->first_at = uptime;
	health->hopeful = seen && !health->was_up && uptime - health->first_at < HOPE_MOST;
	health->known = true;
	health->against = up == health->up && !first ? 0 : health->against + 1;
	if (health->against < LOOKS_AGAINST && !first)
		return false;
	bool changed = first ? up : true;
	health->against = 0;
	health->up = up;
	health->was_up |= up;
	return changed;
}
