/* Compile: model and run data -> desired state. Pure: the same input gives the
 * same state, byte for byte. */
#pragma once

#include "../model/model.h"
#include "../model/rundata.h"
#include "state.h"

/* Which data plane serves a forward of this family, and why. */
enum plane {
	PLANE_NONE, /* refused: no backend is up, or the plane that `via:` demands cannot serve it */
	PLANE_KERNEL,
	PLANE_PROXY
};

struct plane_choice {
	enum plane plane;
	const char *why; /* a static sentence: "balance: least_connections needs the user-space forwarder" */
	size_t healthy;  /* backends that are up and not draining */
};

/* The choice for clients of one family. */
struct plane_choice compile_plane(const struct model *model, const struct rundata *run, const struct forward *forward,
				  enum family family);
/* True when the programs that add the PROXY header are attached to device. */
bool compile_header_on(const struct rundata *run, const char *device);
/* True when the kernel sends new flows of clients of this family to node: it is usable, of that family, and on a device
 * where a header can be added if the forward wants one. */
bool compile_kernel_backend(const struct model *model, const struct rundata *run, const struct forward *forward,
			    const struct node *node, enum family family);
/* True when node answers on port, and is not draining. */
bool compile_backend_usable(const struct rundata *run, const struct pool *pool, const struct node *node, uint16_t port);
/* The port on the nodes for a dialled port. */
uint16_t compile_target_port(const struct forward *forward, uint16_t dialled);

/* The port that health is checked on: the target port, or the first port listened on. */
uint16_t compile_health_port(const struct forward *forward);

/* The tunnels that model and run data ask for, in arena. 0 or -ENOMEM. */
int compile_tunnels(const struct model *model, const struct rundata *run, struct arena *arena,
		    struct tunnel_list *ret_list);

/* The devices that a tunnel has: the one in force, and while keys are being changed the next. Number: 1 or 2. */
#define COMPILE_SLOTS 2
size_t compile_slots(const struct rundata *run, const struct tunnel *tunnel, struct tunnel_slot ret_slots[COMPILE_SLOTS]);
/* What a peer is known by on slot 0 or 1; NULL: it is not on that one. */
const uint8_t *compile_peer_key(const struct rundata *run, const struct tunnel *tunnel, const struct peer *peer, size_t slot);
/* The slot that packets to it take. */
size_t compile_peer_slot(const struct rundata *run, const struct tunnel *tunnel, const struct peer *peer);
/* The device that packets to this node, which is behind a tunnel, take. */
const char *compile_node_device(const struct rundata *run, const struct node *node);

/* True when SYNs from wan to this forward are answered by this machine in the nodes' place. */
bool compile_synproxy_on(const struct rundata *run, const struct forward *forward);

/* 0 with *ret_state (the caller frees it; it refers into model, which must
 * outlive it), or -ENOMEM. */
int compile_state(const struct model *model, const struct rundata *run, struct state **ret_state);
