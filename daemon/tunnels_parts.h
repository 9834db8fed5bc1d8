/* What the files of tunnels share. Internal to them. */
#pragma once

#include "tunnels.h"

#include "tunnel_health.h"
#include "tunnel_probe.h"

struct peer_entry {
	char *name;
	struct peer_run run; /* .peer is name; the keys are filled in when it is published */
	uint8_t preshared[2][TUNNEL_KEY_SIZE]; /* fingerprints, by slot; zeros: not read or made yet */
	struct addr seen[2];                   /* where it was last seen, by slot */
	uint16_t seen_port[2];
	struct tunnel_health health;
	struct tunnel_probe probe;
	uint64_t ask_at;      /* look its name up again, not before */
	uint64_t ask_wait;    /* seconds */
	char unresolved[80];  /* why its name has no address; "": it has, or is none */
};

struct tunnel_entry {
	char *name;
	char *second; /* the other device */
	uint8_t public_key[2][TUNNEL_KEY_SIZE]; /* of each slot; zeros: not read or made yet */
	bool loaded;                            /* rotation is what the disk has */
	struct rotation rotation;
	struct peer_entry *peers;
	size_t count;
};

struct tunnels {
	struct runtime *runtime;
	struct tunnel_keys *keys;
	struct tunnel_kernel *kernel;
	struct tunnel_entry *entries;
	size_t count;
	struct tunnel_run *view;
	struct peer_run *peer_view;
};

struct tunnel_entry *tunnels_find(const struct tunnels *tunnels, const char *name);
struct peer_entry *tunnels_find_peer(const struct tunnel_entry *entry, const char *name);
/* The device of a slot: the tunnel's name, or the second one. */
const char *tunnels_device(const struct tunnel_entry *entry, unsigned slot);
/* The lists as the run data wants them. 0 or -ENOMEM. */
int tunnels_publish(struct tunnels *tunnels);
/* tunnels_rotate.c: read what the disk says, and the keys of what is in force and next. 0 or -errno. */
int tunnels_load(const struct tunnels *tunnels, struct tunnel_entry *entry);
/* For what the change of keys waits at a peer; NULL: it does not. */
const char *tunnels_wait_text(const struct tunnel_entry *entry, const char *peer);
/* The tunnel is in force. */
void tunnels_adopt(struct tunnels *tunnels, const struct tunnel *tunnel);
/* The keys of a peer, on each slot that is used. 0 or -errno. */
int tunnels_load_peer(const struct tunnels *tunnels, struct tunnel_entry *entry, const struct peer *peer);
