/* The rotation's state: its steps, and its text. It decides nothing about when,
 * speaks with nobody, and has no secret in it: public keys alone. */
#include "rotation.h"

#include "../rules/state/tunnel.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define cleanup_json __attribute__((cleanup(drop_json)))
#define KEY_TEXT 44
/* 2026-01-01: this program did not exist before. */
#define CLOCK_LEAST 1767225600u
/* 2100-01-01: it will not be used then. */
#define CLOCK_MOST 4102444800u
/* A clock may have been set back by so much, with good reason. */
#define BACK_MOST 300u

static void drop_json(json_t **json)
{
	json_decref(*json);
}

void rotation_clear(struct rotation *rotation)
{
	free(rotation->peers);
	*rotation = (struct rotation){0};
}

struct rotation_peer *rotation_peer(const struct rotation *rotation, const char *name)
{
	for (size_t i = 0; i < rotation->count; i++) {
		if (strcmp(rotation->peers[i].name, name) == 0)
			return &rotation->peers[i];
	}
	return NULL;
}

static int add_peer(struct rotation *rotation, const char *name, struct rotation_peer **ret_peer)
{
	struct rotation_peer *peers = reallocarray(rotation->peers, rotation->count + 1, sizeof(*peers));
	if (!peers)
		return -ENOMEM;
	rotation->peers = peers;
	struct rotation_peer *peer = &peers[rotation->count++];
	*peer = (struct rotation_peer){0};
	strncpy(peer->name, name, MODEL_NAME_MAX);
	*ret_peer = peer;
	return 0;
}

/* A peer without agent is known on the next device from the beginning, by the key that it has. */
static void expect(const struct rotation *rotation, struct rotation_peer *peer, bool agent)
{
	if (!rotation->rotating || agent || peer->next.known)
		return;
	peer->next = peer->now;
	peer->next.known = true;
}

int rotation_know(struct rotation *rotation, const struct peer *peer)
{
	struct rotation_peer *known = rotation_peer(rotation, peer->name);
	int r = known ? 0 : add_peer(rotation, peer->name, &known);
	if (r < 0)
		return r;
	if (tunnel_key_is_zero(known->configured))
		memcpy(known->configured, peer->public_key, sizeof(known->configured));
	expect(rotation, known, peer->agent);
	return 0;
}

static const struct peer *find_peer(const struct tunnel *tunnel, const char *name)
{
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		if (strcmp(tunnel->peers[i].name, name) == 0)
			return &tunnel->peers[i];
	}
	return NULL;
}

bool rotation_keep_only(struct rotation *rotation, const struct tunnel *tunnel)
{
	size_t kept = 0, before = rotation->count;
	bool changed = false;
	for (size_t i = 0; i < before; i++) {
		struct rotation_peer *known = &rotation->peers[i];
		const struct peer *peer = find_peer(tunnel, known->name);
		if (!peer)
			continue;
		if (memcmp(known->configured, peer->public_key, sizeof(known->configured)) != 0) {
			known->now = known->next = (struct peer_keys){0};
			known->moved = known->done = false;
			memcpy(known->configured, peer->public_key, sizeof(known->configured));
			expect(rotation, known, peer->agent);
			changed = true;
		}
		rotation->peers[kept++] = *known;
	}
	rotation->count = kept;
	return changed || kept != before;
}

void rotation_begin(struct rotation *rotation, const struct tunnel *tunnel, uint64_t id, uint64_t now, uint16_t second_listen)
{
	rotation->rotating = true;
	rotation->id = id;
	rotation->started = now;
	if (rotation->slot == 0)
		rotation->second_listen = second_listen;
	for (size_t i = 0; i < rotation->count; i++) {
		rotation->peers[i].next = (struct peer_keys){0};
		rotation->peers[i].moved = rotation->peers[i].done = false;
	}
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		struct rotation_peer *peer = rotation_peer(rotation, tunnel->peers[i].name);
		if (peer)
			expect(rotation, peer, tunnel->peers[i].agent);
	}
}

void rotation_agree(struct rotation_peer *peer, const uint8_t public_key[32], uint16_t port)
{
	peer->next = (struct peer_keys){.known = true, .port = port};
	memcpy(peer->next.public_key, public_key, sizeof(peer->next.public_key));
	peer->clock_wrong = false;
}

bool rotation_is_complete(const struct rotation *rotation, const struct tunnel *tunnel)
{
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		const struct rotation_peer *peer = rotation_peer(rotation, tunnel->peers[i].name);
		if (!peer || !peer->moved || !peer->done)
			return false;
	}
	return rotation->rotating;
}

void rotation_finish(struct rotation *rotation, uint64_t now)
{
	rotation->slot = !rotation->slot;
	rotation->rotating = false;
	rotation->since = now;
	rotation->started = 0;
	for (size_t i = 0; i < rotation->count; i++) {
		struct rotation_peer *peer = &rotation->peers[i];
		peer->now = peer->next;
		peer->now.known = false;
		peer->next = (struct peer_keys){0};
		peer->moved = peer->done = false;
	}
}

bool rotation_is_due(const struct rotation *rotation, milliseconds every, uint64_t now)
{
	if (!every || rotation->rotating || !rotation->since)
		return false;
	/* Made by a clock that was ahead: nobody knows how old they are. (Whether now is right is for the caller.) */
	if (rotation->since > now)
		return rotation->since - now > BACK_MOST;
	return now - rotation->since >= every / 1000;
}

const char *rotation_clock_is_wrong(uint64_t now, uint64_t written)
{
	if (now < CLOCK_LEAST)
		return "the clock shows a time before this program was written";
	if (now > CLOCK_MOST)
		return "the clock shows a time after this century";
	if (now + BACK_MOST < written)
		return "the clock shows a time before what was written last";
	return NULL;
}

static json_t *key_json(const uint8_t key[32])
{
	char text[KEY_TEXT + 1];
	if (tunnel_key_is_zero(key))
		return json_null();
	EVP_EncodeBlock((unsigned char *)text, key, 32);
	return json_string(text);
}

static json_t *keys_json(const struct peer_keys *keys)
{
	return json_pack("{s:b, s:o, s:i}", "known", keys->known, "key", key_json(keys->public_key), "port", keys->port);
}

char *rotation_print(const struct rotation *rotation)
{
	json_t *peers = json_array();
	for (size_t i = 0; peers && i < rotation->count; i++) {
		const struct rotation_peer *peer = &rotation->peers[i];
		json_t *item = json_pack("{s:s, s:o, s:o, s:o, s:b, s:b}", "name", peer->name, "configured",
					 key_json(peer->configured), "now", keys_json(&peer->now), "next",
					 keys_json(&peer->next), "moved", peer->moved, "done", peer->done);
		if (json_array_append_new(peers, item) < 0) {
			json_decref(peers);
			return NULL;
		}
	}
	cleanup_json json_t *json =
		json_pack("{s:i, s:i, s:b, s:I, s:I, s:I, s:i, s:o}", "version", 1, "slot", (int)rotation->slot, "rotating",
			  rotation->rotating, "id", (json_int_t)rotation->id, "since", (json_int_t)rotation->since, "started",
			  (json_int_t)rotation->started, "second_listen", rotation->second_listen, "peers", peers);
	return json ? json_dumps(json, JSON_INDENT(1)) : NULL;
}

static bool read_number(const json_t *json, const char *name, uint64_t most, uint64_t *ret_number)
{
	const json_t *item = json_object_get(json, name);
	json_int_t value = json_integer_value(item);
	if (!json_is_integer(item) || value < 0 || (uint64_t)value > most)
		return false;
	*ret_number = (uint64_t)value;
	return true;
}

/* null: none. */
static bool read_key(const json_t *json, const char *name, uint8_t ret_key[32])
{
	const json_t *item = json_object_get(json, name);
	uint8_t decoded[33];
	const char *text = json_string_value(item);
	if (json_is_null(item))
		return true;
	if (!text || json_string_length(item) != KEY_TEXT || text[KEY_TEXT - 1] != '=' || text[KEY_TEXT - 2] == '=' ||
	    EVP_DecodeBlock(decoded, (const unsigned char *)text, KEY_TEXT) != (int)sizeof(decoded))
		return false;
	memcpy(ret_key, decoded, 32);
	return true;
}

static bool read_keys(const json_t *json, const char *name, struct peer_keys *ret_keys)
{
	const json_t *item = json_object_get(json, name);
	uint64_t port;
	if (!json_is_boolean(json_object_get(item, "known")) || !read_number(item, "port", UINT16_MAX, &port) ||
	    !read_key(item, "key", ret_keys->public_key))
		return false;
	ret_keys->known = json_is_true(json_object_get(item, "known"));
	ret_keys->port = (uint16_t)port;
	return true;
}

static int read_peer(struct rotation *rotation, const json_t *json)
{
	const char *name = json_string_value(json_object_get(json, "name"));
	struct rotation_peer *peer;
	if (!name || !*name || strlen(name) > MODEL_NAME_MAX || rotation_peer(rotation, name))
		return -EBADMSG;
	int r = add_peer(rotation, name, &peer);
	if (r < 0)
		return r;
	const json_t *moved = json_object_get(json, "moved"), *done = json_object_get(json, "done");
	if (!json_is_boolean(moved) || !json_is_boolean(done) || !read_key(json, "configured", peer->configured) ||
	    !read_keys(json, "now", &peer->now) || !read_keys(json, "next", &peer->next))
		return -EBADMSG;
	peer->moved = json_is_true(moved);
	peer->done = json_is_true(done);
	return 0;
}

int rotation_parse(const char *text, size_t length, struct rotation *ret_rotation)
{
	cleanup_json json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
	struct rotation rotation = {0};
	uint64_t version, slot, listen;
	const json_t *rotating = json_object_get(json, "rotating"), *peers = json_object_get(json, "peers"), *item;
	if (!read_number(json, "version", 1, &version) || version != 1 || !read_number(json, "slot", 1, &slot) ||
	    !json_is_boolean(rotating) || !read_number(json, "id", INT64_MAX, &rotation.id) ||
	    !read_number(json, "since", INT64_MAX, &rotation.since) ||
	    !read_number(json, "started", INT64_MAX, &rotation.started) ||
	    !read_number(json, "second_listen", UINT16_MAX, &listen) || !json_is_array(peers))
		return -EBADMSG;
	/* A slot that is used has a port. */
	rotation.slot = (unsigned)slot;
	rotation.rotating = json_is_true(rotating);
	rotation.second_listen = (uint16_t)listen;
	int r = (slot || rotation.rotating) && !listen ? -EBADMSG : 0;
	size_t i;
	json_array_foreach(peers, i, item) {
		if (r == 0)
			r = read_peer(&rotation, item);
	}
	if (r < 0)
		rotation_clear(&rotation);
	else
		*ret_rotation = rotation;
	return r;
}
