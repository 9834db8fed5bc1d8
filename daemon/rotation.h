/* The change of a tunnel's keys, as edged's side of it: where it stands, and
 * its text on disk. Pure: no files, no clock. docs/tunnels.md has the steps.
 *
 * A tunnel has two slots, each with a device, a port and a private key of its
 * own: slot 0 is the tunnel's name and `listen`, slot 1 the second ones. One is
 * in force. A rotation fills the other, lets each peer move to it, and makes it
 * the one in force; the keys of the old one are then removed. The text is
 * replaced as a whole, so that each step is done or not. */
#pragma once

#include "../rules/model/model.h"
#include "../rules/model/rundata.h"

struct rotation_peer {
	char name[MODEL_NAME_MAX + 1];
	uint8_t configured[32]; /* the file's key when now and next were agreed */
	struct peer_keys now, next; /* without preshared: those are in files */
	bool moved;             /* our packets to it take the next device */
	bool done;              /* and so do its packets to us: it said so, or has no agent that could */
	/* Not on disk. */
	bool clock_wrong; /* its agent says that its clock is not right yet */
};

struct rotation {
	unsigned slot; /* in force */
	bool rotating;
	uint64_t id;      /* of the rotation under way, or of the last one; 0: none yet */
	uint64_t since;   /* seconds since the epoch: when the keys in force were made */
	uint64_t started; /* of the rotation under way */
	uint16_t second_listen; /* port of slot 1; 0: never used */
	struct rotation_peer *peers;
	size_t count;
};

void rotation_clear(struct rotation *rotation);
struct rotation_peer *rotation_peer(const struct rotation *rotation, const char *name);
/* The peer is there from now on. 0 or -ENOMEM. */
int rotation_know(struct rotation *rotation, const struct peer *peer);
/* The tunnel is in force: peers that it does not have are forgotten, and what was agreed in the place of another key than
 * the file has now is void. True when something changed. */
bool rotation_keep_only(struct rotation *rotation, const struct tunnel *tunnel);
void rotation_begin(struct rotation *rotation, const struct tunnel *tunnel, uint64_t id, uint64_t now, uint16_t second_listen);
/* The next key of a peer with an agent. */
void rotation_agree(struct rotation_peer *peer, const uint8_t public_key[32], uint16_t port);
/* Has every peer of the tunnel moved? */
bool rotation_is_complete(const struct rotation *rotation, const struct tunnel *tunnel);
void rotation_finish(struct rotation *rotation, uint64_t now);
/* Are the keys older than every (milliseconds; 0: they never are)? */
bool rotation_is_due(const struct rotation *rotation, milliseconds every, uint64_t now);
/* Why this clock cannot be right, a static sentence; NULL: it may be. written: the newest time that is on disk. */
const char *rotation_clock_is_wrong(uint64_t now, uint64_t written);

#define ROTATION_TEXT_MOST (16u << 20)
/* JSON, to be freed; NULL: out of memory. */
char *rotation_print(const struct rotation *rotation);
/* 0, -EBADMSG or -ENOMEM. */
int rotation_parse(const char *text, size_t length, struct rotation *ret_rotation);
