/* Where the agent stands: what is on its disk, as one file that is replaced as
 * a whole. No secret is in it; keys are in files of their own (tunnel_keys.h),
 * named by device. The edge leads; docs/tunnels.md has the steps. */
#pragma once

#include "../tunnel_keys.h"

enum agent_phase {
	AGENT_IDLE,     /* one device */
	AGENT_PREPARED, /* the keys of the next device are made, the edge knows ours */
	AGENT_BOTH,     /* both devices are up; our packets take the one in force */
	AGENT_LEAVING,  /* our packets take the next one */
};

/* The edge, as one of our devices has it. */
struct agent_edge {
	uint8_t public_key[TUNNEL_KEY_SIZE];
	uint16_t port;
	bool has_preshared;
};

struct agent_state {
	unsigned slot; /* in force: 0: the configuration's name, 1: the second device */
	enum agent_phase phase;
	uint64_t id;    /* of the rotation under way, or of the last one */
	uint64_t since; /* seconds since the epoch: when the keys in force were made */
	uint8_t configured[TUNNEL_KEY_SIZE]; /* digest of the configuration's keys that all of this began with */
	struct agent_edge now, next;
};

/* 0, -ENOENT, -EBADMSG or another -errno. */
int agent_state_load(int folder, const char *device, struct agent_state *ret_state);
int agent_state_save(int folder, const char *device, const struct agent_state *state);
