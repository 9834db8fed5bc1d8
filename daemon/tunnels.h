/* Tunnels, as main keeps them: keys, what is known of endpoints and of who is
 * dead, and the listener for foreign changes. Gives the run data that the
 * compiler makes tunnels from. */
#pragma once

#include "json_show.h"
#include "runtime.h"
#include "tunnel_keys.h"

struct tunnels;

/* 0 or -errno. runtime stays the caller's, and is told of every change. */
int tunnels_open(const char *state_dir, struct runtime *runtime, struct tunnels **ret_tunnels);
void tunnels_close(struct tunnels **tunnels);
struct tunnel_kernel *tunnels_kernel(struct tunnels *tunnels);
const struct tunnel_keys *tunnels_keys(const struct tunnels *tunnels);
/* "kernel" or "userspace". */
const char *tunnels_backend(struct tunnels *tunnels);
/* Before model is compiled: keys that are missing are made. What was known stays, so that going back works. */
int tunnels_prepare(struct tunnels *tunnels, const struct model *model, struct arena *arena, const char **ret_error);
/* model is in force: forget what it does not have. */
void tunnels_keep_only(struct tunnels *tunnels, const struct model *model);
/* What was observed: where peers are. A device that is made anew starts there. */
void tunnels_note(struct tunnels *tunnels, const struct model *model, const struct tunnel_list *seen);
/* Every few seconds, after a look: probe, and judge. True when some peer is dead, or lives again. */
bool tunnels_judge(struct tunnels *tunnels, const struct model *model, const struct tunnel_list *seen, uint64_t now,
		   uint64_t uptime);
/* Names of endpoints that are to be looked up now: ask is called with each. */
void tunnels_lookups(struct tunnels *tunnels, const struct model *model, uint64_t now,
		     void (*ask)(void *context, const char *name), void *context);
/* addr FAMILY_NONE: it could not be, for this reason. True when an endpoint changed. */
bool tunnels_resolved(struct tunnels *tunnels, const struct model *model, const char *name, const struct addr *addr,
		      const char *why);
/* The peer as it was observed on the device that its packets take; NULL: it is not there. ret_device (may be NULL): that
 * device, or NULL when it is not there or broken. */
const struct tunnel_peer *tunnels_seen(const struct tunnels *tunnels, const struct tunnel_list *seen,
				       const struct tunnel *tunnel, const struct peer *peer,
				       const struct tunnel_state **ret_device);
/* The peer's own address inside: the first single one that it may send from; NULL: it has none. */
const struct addr *tunnels_inside(const struct peer *peer);

/* The change of keys (rotation.h). Each step is on disk when it returns, and in the run data; 0 or -errno, and nothing
 * has changed. NULL: no such tunnel. */
const struct rotation *tunnels_rotation(const struct tunnels *tunnels, const char *tunnel);
int tunnels_rotate(struct tunnels *tunnels, const struct model *model, const struct tunnel *tunnel, uint64_t now);
int tunnels_agree(struct tunnels *tunnels, const char *tunnel, const char *peer, const uint8_t public_key[TUNNEL_KEY_SIZE],
		  uint16_t port);
int tunnels_move(struct tunnels *tunnels, const char *tunnel, const char *peer, bool moved, bool done);
int tunnels_finish(struct tunnels *tunnels, const struct tunnel *tunnel, uint64_t now);
void tunnels_clock_wrong(struct tunnels *tunnels, const char *tunnel, const char *peer);
/* What of peer is known; NULL when nothing is. */
const struct peer_run *tunnels_peer(const struct tunnels *tunnels, const char *tunnel, const char *peer);
/* Health of all peers, in arena. */
const struct show_peer *tunnels_peers(const struct tunnels *tunnels, struct arena *arena, size_t *ret_count);
