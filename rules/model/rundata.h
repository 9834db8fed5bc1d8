/* Run data: what the running machine knows that no file says: which backends
 * answer, who drains, who is banned by an operator, what this kernel can do.
 * The second input of compile_state(), kept apart from the model so that
 * configuration and runtime never share a struct. */
#pragma once

#include "../base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Health of one backend: a node of the model and a port on it. Pairs that are
 * not listed are down, unless the pool's check is HEALTH_NONE. */
struct backend_health {
	const char *node; /* name */
	uint16_t port;
	bool up;
};

/* A ban by an operator, of whole prefixes. */
struct ban {
	struct prefix prefix;
	uint64_t expires; /* seconds since the epoch; 0: for good */
};

/* A device on which the programs that add the PROXY header are attached, both ways. */
struct header_device {
	const char *name;
	uint32_t index; /* of the device that has them: one made anew under its name has another */
};

/* A peer's keys on one of its tunnel's two devices. */
struct peer_keys {
	bool known;             /* on the next device: it can be there; on the one in force every peer is */
	uint8_t public_key[32]; /* zeros: the configuration's */
	uint16_t port;          /* that it listens on; 0: the configuration's */
	uint8_t preshared[32];  /* fingerprint of its preshared key (rules/state/tunnel.h); zeros: none */
};

/* What main knows of one peer of a tunnel. */
struct peer_run {
	const char *peer;
	uint8_t configured[32]; /* the configuration's key that other public keys here stand for; another one: they are void */
	struct peer_keys next;  /* while keys are being changed */
	bool moved;             /* its packets take the next device */
	uint8_t public_key[32]; /* in force; zeros: the configuration's */
	uint16_t port;          /* that it listens on; 0: the configuration's */
	uint8_t preshared[32]; /* fingerprint of its preshared key (rules/state/tunnel.h); zeros: none */
	struct addr endpoint;  /* what its endpoint's name resolved to; FAMILY_NONE: not yet */
	struct addr seen[2];   /* where its packets last came from, by the device in force and the next; FAMILY_NONE: nowhere */
	uint16_t seen_port[2];
	bool dead;             /* no handshake for too long */
};

/* A key of ours has a device and a port of its own. */
struct tunnel_slot {
	const char *device; /* NULL: the tunnel's name; of the next one: there is none */
	uint16_t listen;    /* 0: the configuration's */
	uint8_t public_key[32];
};

struct tunnel_run {
	const char *tunnel;
	uint8_t public_key[32]; /* of our own key in force */
	const char *device;     /* that has it; NULL: the tunnel's name */
	uint16_t listen;        /* 0: the configuration's */
	struct tunnel_slot next; /* while keys are being changed: the device that all peers move to */
	const struct peer_run *peers;
	size_t peer_count;
};

struct rundata {
	const struct backend_health *health; /* sorted by node, then port */
	size_t health_count;
	const char *const *draining; /* node names */
	size_t draining_count;
	const struct ban *bans;
	size_t ban_count;
	uint64_t now;          /* seconds since the epoch: for the bans' remaining time */
	const struct header_device *header_devices; /* where the kernel can add PROXY headers */
	size_t header_device_count;
	const char *header_why; /* why it cannot elsewhere, a static sentence; NULL: not attached */
	const char *const *lingering; /* forwards that the user-space forwarder served a moment ago */
	size_t lingering_count;
	const char *const *pressed; /* forwards under so many SYNs that synproxy: auto is on */
	size_t pressed_count;
	const struct header_device *flow_devices; /* of wan and lan, where the kernel has flowtables */
	size_t flow_device_count;
	bool kernel_synproxy;  /* the kernel can answer SYNs in the nodes' place */
	bool kernel_owner;     /* table flags owner and persist are there */
	bool has_tunnels;      /* this machine can hold tunnels; else none are part of the state */
	const struct tunnel_run *tunnels;
	size_t tunnel_count;
	uint32_t set_size;     /* room in each per-source set; 0: the default (65536) */
};
