/* The agent's devices: what its state asks for, made so by the same diff and
 * the same kernel operations as edged's tunnels. */
#pragma once

#include "config.h"
#include "state.h"

#define AGENT_EDGE "edge" /* the peer's name, for its preshared keys' files */

struct agent_devices;

int agent_devices_open(const struct agent_config *config, const struct tunnel_keys *keys, struct agent_devices **ret_devices);
/* The devices stay. */
void agent_devices_close(struct agent_devices **devices);
const char *agent_devices_name(const struct agent_devices *devices, unsigned slot);
/* The port of a slot; 0: any. */
uint16_t agent_devices_listen(const struct agent_config *config, unsigned slot);
/* Bring them in line. 0 or -errno; logged once. */
int agent_devices_apply(struct agent_devices *devices, const struct agent_config *config, const struct agent_state *state,
			const struct tunnel_keys *keys);
/* Is that the index of one of them, as last seen? */
bool agent_devices_has(const struct agent_devices *devices, unsigned index);
