/* Answers of a userspace WireGuard: never a crash, never more than the bounds,
 * and what was taken is in order. */
#include "../../daemon/kernel/tunnel_uapi.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new();
	struct tunnel_state tunnel = {0};
	if (!arena)
		return 0;
	(void)uapi_parse_result((const char *)data, size);
	if (uapi_parse((const char *)data, size, arena, &tunnel) == 0) {
		if (!uapi_is_complete((const char *)data, size))
			abort();
		for (size_t i = 1; i < tunnel.peer_count; i++)
			if (tunnel_compare_peers(&tunnel.peers[i - 1], &tunnel.peers[i]) > 0)
				abort();
	}
	arena_free(&arena);
	return 0;
}
