/* The agent's configuration: the file that wg-quick would take, as `edgectl peer
 * export` prints it, with one peer, the edge. */
#pragma once

#include "../../rules/base/addr.h"
#include "../../rules/base/arena.h"
#include "../../rules/state/tunnel.h"

#define AGENT_HOST_MOST 255

struct agent_config {
	const char *device; /* the file's name, without its folder and ".conf" */
	uint8_t private_key[TUNNEL_KEY_SIZE], preshared[TUNNEL_KEY_SIZE]; /* secrets: wiped by who has it */
	bool has_preshared;
	uint8_t edge[TUNNEL_KEY_SIZE];
	struct prefix *addresses, *allowed; /* sorted */
	size_t address_count, allowed_count;
	uint16_t listen; /* 0: any */
	uint32_t mtu;
	uint16_t keepalive;
	char host[AGENT_HOST_MOST + 1]; /* of the edge */
	uint16_t port;
};

/* 0; or -EINVAL with *ret_error, one sentence in arena; or -errno. */
int agent_config_parse(const char *path, const char *text, size_t length, struct arena *arena,
		       struct agent_config *ret_config, const char **ret_error);
