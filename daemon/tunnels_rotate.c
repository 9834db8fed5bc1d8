/* The change of a tunnel's keys on disk and in the run data. Each step is one
 * replaced file: what the disk says is what is published, and a step that cannot
 * be written has not been taken. It sends nothing, and decides no step. */
#include "tunnels_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

const struct rotation *tunnels_rotation(const struct tunnels *tunnels, const char *tunnel)
{
	const struct tunnel_entry *entry = tunnels_find(tunnels, tunnel);
	return entry ? &entry->rotation : NULL;
}

static int save(const struct tunnels *tunnels, const struct tunnel_entry *entry)
{
	return tunnel_keys_save_rotation(tunnels->keys, entry->name, &entry->rotation);
}

/* Since when the keys in force are there is known from the first time on. A disk that is full is no reason to have no
 * tunnel: then it is known from the next start on. */
static void first_time(const struct tunnels *tunnels, struct tunnel_entry *entry)
{
	uint64_t now = (uint64_t)time(NULL);
	if (entry->rotation.since || rotation_clock_is_wrong(now, 0))
		return;
	entry->rotation.since = now;
	if (save(tunnels, entry) < 0)
		entry->rotation.since = 0;
}

int tunnels_load(const struct tunnels *tunnels, struct tunnel_entry *entry)
{
	struct rotation *rotation = &entry->rotation;
	int r = entry->loaded ? 0 : tunnel_keys_load_rotation(tunnels->keys, entry->name, rotation);
	if (r < 0)
		return r;
	entry->loaded = true;
	for (unsigned slot = 0; r == 0 && slot < 2; slot++) {
		bool used = slot == rotation->slot || rotation->rotating;
		if (used && tunnel_key_is_zero(entry->public_key[slot]))
			r = tunnel_keys_private(tunnels->keys, tunnels_device(entry, slot), entry->public_key[slot]);
		/* What a rotation that was cut short has left. */
		if (!used)
			r = tunnel_keys_forget(tunnels->keys, tunnels_device(entry, slot));
	}
	if (r == 0)
		first_time(tunnels, entry);
	return r;
}

const char *tunnels_wait_text(const struct tunnel_entry *entry, const char *name)
{
	const struct rotation_peer *peer = rotation_peer(&entry->rotation, name);
	if (!entry->rotation.rotating || !peer || (peer->moved && peer->done))
		return NULL;
	if (peer->moved)
		return "its agent has not said yet that it has moved";
	if (!peer->next.known)
		return peer->clock_wrong ? "its agent's clock is not right yet" : "its agent has not answered yet";
	return "no handshake with the new key yet";
}

void tunnels_adopt(struct tunnels *tunnels, const struct tunnel *tunnel)
{
	struct tunnel_entry *entry = tunnels_find(tunnels, tunnel->name);
	/* What cannot be written now is found again at the next start. */
	if (entry && rotation_keep_only(&entry->rotation, tunnel)) {
		(void)save(tunnels, entry);
		(void)tunnels_publish(tunnels);
	}
}

int tunnels_load_peer(const struct tunnels *tunnels, struct tunnel_entry *entry, const struct peer *peer)
{
	struct peer_entry *known = tunnels_find_peer(entry, peer->name);
	const struct rotation *rotation = &entry->rotation;
	int r = rotation_know(&entry->rotation, peer);
	for (unsigned slot = 0; r == 0 && slot < 2; slot++) {
		bool used = slot == rotation->slot || rotation->rotating;
		if (used && peer->preshared_key && tunnel_key_is_zero(known->preshared[slot]))
			r = tunnel_keys_preshared(tunnels->keys, tunnels_device(entry, slot), peer->name,
						  known->preshared[slot]);
	}
	return r;
}

static int copy(const struct rotation *rotation, struct rotation *ret_copy)
{
	struct rotation made = *rotation;
	made.peers = calloc(rotation->count + 1, sizeof(*made.peers));
	if (!made.peers)
		return -ENOMEM;
	for (size_t i = 0; i < rotation->count; i++)
		made.peers[i] = rotation->peers[i];
	*ret_copy = made;
	return 0;
}

/* before: what stood there, taken over. */
static int commit(struct tunnels *tunnels, struct tunnel_entry *entry, struct rotation *before)
{
	int r = save(tunnels, entry);
	struct rotation *dropped = before;
	if (r < 0) {
		struct rotation failed = entry->rotation;
		entry->rotation = *before;
		*dropped = failed;
	}
	rotation_clear(dropped);
	return r < 0 ? r : tunnels_publish(tunnels);
}

static uint64_t new_id(void)
{
	uint64_t id = 0;
	while (!id)
		id = getrandom(&id, sizeof(id), 0) == (ssize_t)sizeof(id) ? id & INT64_MAX : 0;
	return id;
}

/* Everything of the next slot is made anew, and is on disk before anything says that it is used. */
static int make_next(const struct tunnels *tunnels, struct tunnel_entry *entry, const struct tunnel *tunnel)
{
	unsigned next = !entry->rotation.slot;
	const char *device = tunnels_device(entry, next);
	int r = tunnel_keys_forget(tunnels->keys, device);
	if (r == 0)
		r = tunnel_keys_private(tunnels->keys, device, entry->public_key[next]);
	for (size_t i = 0; r == 0 && i < tunnel->peer_count; i++) {
		struct peer_entry *peer = tunnels_find_peer(entry, tunnel->peers[i].name);
		if (!peer)
			continue;
		memset(peer->preshared[next], 0, TUNNEL_KEY_SIZE);
		peer->seen[next] = (struct addr){0};
		if (tunnel->peers[i].preshared_key)
			r = tunnel_keys_preshared(tunnels->keys, device, peer->name, peer->preshared[next]);
	}
	return r;
}

int tunnels_rotate(struct tunnels *tunnels, const struct model *model, const struct tunnel *tunnel, uint64_t now)
{
	struct tunnel_entry *entry = tunnels_find(tunnels, tunnel->name);
	struct rotation before;
	if (!entry || entry->rotation.rotating)
		return entry ? -EALREADY : -ENOENT;
	int r = make_next(tunnels, entry, tunnel);
	if (r == 0)
		r = copy(&entry->rotation, &before);
	if (r < 0)
		return r;
	rotation_keep_only(&entry->rotation, tunnel);
	rotation_begin(&entry->rotation, tunnel, new_id(), now, model_second_listen(model, tunnel));
	return commit(tunnels, entry, &before);
}

/* The peer's part of the rotation, to be changed and committed; *ret_before is how it was. */
static int begin_step(struct tunnels *tunnels, const char *tunnel, const char *peer, struct tunnel_entry **ret_entry,
		      struct rotation_peer **ret_peer, struct rotation *ret_before)
{
	struct tunnel_entry *entry = tunnels_find(tunnels, tunnel);
	struct rotation_peer *found = entry ? rotation_peer(&entry->rotation, peer) : NULL;
	int r = found ? copy(&entry->rotation, ret_before) : -ENOENT;
	if (r < 0)
		return r;
	*ret_entry = entry;
	*ret_peer = found;
	return 0;
}

int tunnels_agree(struct tunnels *tunnels, const char *tunnel, const char *peer, const uint8_t public_key[TUNNEL_KEY_SIZE],
		  uint16_t port)
{
	struct tunnel_entry *entry;
	struct rotation_peer *its;
	struct rotation before;
	int r = begin_step(tunnels, tunnel, peer, &entry, &its, &before);
	if (r < 0)
		return r;
	rotation_agree(its, public_key, port);
	return commit(tunnels, entry, &before);
}

int tunnels_move(struct tunnels *tunnels, const char *tunnel, const char *peer, bool moved, bool done)
{
	struct tunnel_entry *entry;
	struct rotation_peer *its;
	struct rotation before;
	int r = begin_step(tunnels, tunnel, peer, &entry, &its, &before);
	if (r < 0)
		return r;
	its->moved = moved;
	its->done = done;
	return commit(tunnels, entry, &before);
}

int tunnels_finish(struct tunnels *tunnels, const struct tunnel *tunnel, uint64_t now)
{
	struct tunnel_entry *entry = tunnels_find(tunnels, tunnel->name);
	struct rotation before;
	int r = entry ? copy(&entry->rotation, &before) : -ENOENT;
	if (r < 0)
		return r;
	rotation_finish(&entry->rotation, now);
	r = commit(tunnels, entry, &before);
	if (r < 0)
		return r;
	unsigned old = !entry->rotation.slot;
	memset(entry->public_key[old], 0, TUNNEL_KEY_SIZE);
	for (size_t i = 0; i < entry->count; i++)
		memset(entry->peers[i].preshared[old], 0, TUNNEL_KEY_SIZE);
	/* If that fails, the next start tries again. */
	(void)tunnel_keys_forget(tunnels->keys, tunnels_device(entry, old));
	return tunnels_publish(tunnels);
}

void tunnels_clock_wrong(struct tunnels *tunnels, const char *tunnel, const char *peer)
{
	struct tunnel_entry *entry = tunnels_find(tunnels, tunnel);
	struct rotation_peer *known = entry ? rotation_peer(&entry->rotation, peer) : NULL;
	if (known)
		known->clock_wrong = true;
}
