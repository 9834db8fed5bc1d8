/* Who says what to whom while keys are changed. Everything it decides from is on
 * disk (rotation.h) or observed, so that it goes on where a former main was: it
 * asks again and again, at growing intervals, and every answer may come twice.
 * What an agent says is taken from its tunnel alone. */
#include "tunnel_rotate.h"

#include "agent_message.h"
#include "clock.h"
#include "log.h"

#include "../rules/state/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 100u
#define IDLE_MS 1000u
#define ASK_MS_FIRST 200u
#define ASK_MS_MOST 2000u
#define TELL_MOST 60u         /* times that an agent is told that it is over */
#define HANDSHAKE_MOST 180u   /* seconds: REJECT_AFTER_TIME of the WireGuard paper */

/* A conversation with one agent. */
struct talk {
	struct talk *next;
	struct server *server;
	char *tunnel, *peer;
	char device[MODEL_IFNAME_MAX + 1]; /* that the socket is bound to */
	struct event *event;               /* of the socket; NULL: none */
	struct addr to;
	uint64_t id;
	uint64_t up; /* the change of keys in which it said that its next device is up */
	enum agent_verb last;
	uint64_t at, wait; /* milliseconds: not to be asked again before */
	unsigned told;     /* how often it was told that it is over; 0: it is not */
};

struct tunnel_rotate {
	struct event *tick;
	struct talk *talks;
	bool resumed;           /* agents have been told of what a former main may have ended */
	const char *clock_told; /* why the clock was wrong when it was last logged */
};

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void close_socket(struct talk *talk)
{
	if (!talk->event)
		return;
	int fd = event_get_fd(talk->event);
	event_free(talk->event);
	close(fd);
	talk->event = NULL;
}

static void free_talk(struct talk *talk)
{
	close_socket(talk);
	free(talk->tunnel);
	free(talk->peer);
	free(talk);
}

static void drop_talk(struct tunnel_rotate *all, struct talk *talk)
{
	for (struct talk **at = &all->talks; *at; at = &(*at)->next) {
		if (*at == talk) {
			*at = talk->next;
			free_talk(talk);
			return;
		}
	}
}

static struct talk *have_talk(struct server *server, const char *tunnel, const char *peer)
{
	struct tunnel_rotate *all = server->tunnel_rotate;
	for (struct talk *talk = all->talks; talk; talk = talk->next) {
		if (strcmp(talk->tunnel, tunnel) == 0 && strcmp(talk->peer, peer) == 0)
			return talk;
	}
	struct talk *talk = calloc(1, sizeof(*talk));
	if (!talk)
		return NULL;
	*talk = (struct talk){.next = all->talks, .server = server, .tunnel = strdup(tunnel), .peer = strdup(peer)};
	if (!talk->tunnel || !talk->peer) {
		free_talk(talk);
		return NULL;
	}
	all->talks = talk;
	return talk;
}

static const struct tunnel *find_tunnel(const struct server *server, const char *name)
{
	const struct model *model = engine_model(server->engine);
	for (size_t i = 0; model && i < model->tunnel_count; i++) {
		if (strcmp(model->tunnels[i].name, name) == 0)
			return &model->tunnels[i];
	}
	return NULL;
}

static const struct peer *find_peer(const struct tunnel *tunnel, const char *name)
{
	for (size_t i = 0; tunnel && i < tunnel->peer_count; i++) {
		if (strcmp(tunnel->peers[i].name, name) == 0)
			return &tunnel->peers[i];
	}
	return NULL;
}

/* Our address that the peer knows: of its network, or else the first of its family. */
static const struct addr *own_address(const struct tunnel *tunnel, const struct addr *to)
{
	const struct addr *first = NULL;
	for (size_t i = 0; i < tunnel->address_count; i++) {
		const struct prefix *own = &tunnel->addresses[i];
		struct prefix network = prefix_of(&own->addr, own->length);
		if (own->addr.family != to->family)
			continue;
		if (prefix_contains(&network, to))
			return &own->addr;
		first = first ? first : &own->addr;
	}
	return first;
}

static void on_message(evutil_socket_t fd, short what, void *context);

/* A socket on the device that the peer's packets take now. */
static int have_socket(struct talk *talk, const struct tunnel *tunnel, const struct peer *peer)
{
	struct server *server = talk->server;
	struct tunnel_slot slots[COMPILE_SLOTS];
	const struct rundata *run = runtime_view(server->runtime, server_now());
	(void)compile_slots(run, tunnel, slots);
	const char *device = slots[compile_peer_slot(run, tunnel, peer)].device;
	const struct addr *to = tunnels_inside(peer), *own = to ? own_address(tunnel, to) : NULL;
	if (!own)
		return -EADDRNOTAVAIL;
	if (talk->event && strcmp(talk->device, device) == 0 && addr_equal(&talk->to, to))
		return 0;
	close_socket(talk);
	int fd = agent_socket(own, device);
	if (fd < 0)
		return fd;
	talk->event = event_new(server->base, fd, EV_READ | EV_PERSIST, on_message, talk);
	if (!talk->event || event_add(talk->event, NULL) < 0) {
		if (talk->event)
			event_free(talk->event);
		talk->event = NULL;
		close(fd);
		return -ENOMEM;
	}
	strncpy(talk->device, device, sizeof(talk->device) - 1);
	talk->to = *to;
	return 0;
}

/* Say it, unless the same was said a moment ago. */
static void say(struct server *server, const struct tunnel *tunnel, const struct peer *peer, enum agent_verb verb, uint64_t id)
{
	struct talk *talk = have_talk(server, tunnel->name, peer->name);
	if (!talk)
		return;
	bool same = talk->last == verb && talk->id == id;
	if (same && now_ms() < talk->at)
		return;
	talk->wait = !same ? ASK_MS_FIRST : talk->wait * 2 > ASK_MS_MOST ? ASK_MS_MOST : talk->wait * 2;
	talk->at = now_ms() + talk->wait;
	talk->last = verb;
	talk->id = id;
	struct agent_message message = {.verb = verb, .id = id};
	int r = have_socket(talk, tunnel, peer);
	if (r == 0 && verb == AGENT_OFFER) {
		struct tunnel_slot slots[COMPILE_SLOTS];
		if (compile_slots(runtime_view(server->runtime, server_now()), tunnel, slots) < COMPILE_SLOTS)
			return;
		message.port = slots[1].listen;
		memcpy(message.public_key, slots[1].public_key, TUNNEL_KEY_SIZE);
		message.has_preshared = peer->preshared_key;
		if (peer->preshared_key)
			r = tunnel_keys_reveal_preshared(tunnels_keys(server->tunnels), slots[1].device, peer->name,
							 message.preshared);
	}
	/* What cannot be sent is sent again. */
	if (r == 0)
		(void)agent_send(event_get_fd(talk->event), &talk->to, &message);
	explicit_bzero(&message, sizeof(message));
}

static void in_force(struct server *server)
{
	server_refresh_soon(server);
	server_settle(server);
}

/* Has the peer spoken with our next key, and may flows with a header take that device? */
static bool is_up(struct server *server, const struct tunnel *tunnel, const struct peer *peer, bool *ret_there)
{
	struct tunnel_slot slots[COMPILE_SLOTS];
	const struct rundata *run = runtime_view(server->runtime, server_now());
	if (compile_slots(run, tunnel, slots) < COMPILE_SLOTS)
		return false;
	const struct tunnel_state *device = tunnel_find(engine_tunnels(server->engine, false), slots[1].device);
	const uint8_t *key = compile_peer_key(run, tunnel, peer, 1);
	const struct tunnel_peer *seen = device && !device->broken && key ? tunnel_find_peer(device, key) : NULL;
	*ret_there = seen;
	if (!seen || !seen->handshake || server_now() > seen->handshake + HANDSHAKE_MOST)
		return false;
	return compile_header_on(run, slots[1].device) || !compile_header_on(run, slots[0].device);
}

static void moved(struct server *server, const struct tunnel *tunnel, const struct peer *peer)
{
	int r = tunnels_move(server->tunnels, tunnel->name, peer->name, true, !peer->agent);
	if (r < 0) {
		log_error("tunnel", "the change of %s's keys cannot be written: %s", tunnel->name, strerror(-r));
		return;
	}
	log_info("tunnel", "peer %s of %s has moved to the new keys", peer->name, tunnel->name);
	in_force(server);
	if (peer->agent)
		say(server, tunnel, peer, AGENT_MOVE, tunnels_rotation(server->tunnels, tunnel->name)->id);
}

/* A handshake alone does not tell that a node's next device can be used: who makes it may have ended half way. */
static bool says_up(struct server *server, const struct tunnel *tunnel, const struct peer *peer, uint64_t id)
{
	const struct talk *talk = peer->agent ? have_talk(server, tunnel->name, peer->name) : NULL;
	return !peer->agent || (talk && talk->up == id);
}

/* The next step of one peer. */
static void step_peer(struct server *server, const struct tunnel *tunnel, const struct peer *peer)
{
	const struct rotation *rotation = tunnels_rotation(server->tunnels, tunnel->name);
	const struct rotation_peer *known = rotation ? rotation_peer(rotation, peer->name) : NULL;
	bool there = false;
	if (!known || !rotation->rotating)
		return;
	if (peer->agent && !known->next.known)
		say(server, tunnel, peer, AGENT_OFFER, rotation->id);
	else if (!known->moved && is_up(server, tunnel, peer, &there) && says_up(server, tunnel, peer, rotation->id))
		moved(server, tunnel, peer);
	else if (!known->moved && peer->agent && there)
		say(server, tunnel, peer, AGENT_READY, rotation->id);
	else if (known->moved && !known->done && peer->agent)
		say(server, tunnel, peer, AGENT_MOVE, rotation->id);
	else if (known->moved && !known->done)
		(void)tunnels_move(server->tunnels, tunnel->name, peer->name, true, true);
}

static void tell_done(struct server *server, const struct tunnel *tunnel)
{
	uint64_t id = tunnels_rotation(server->tunnels, tunnel->name)->id;
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		const struct peer *peer = &tunnel->peers[i];
		struct talk *talk = peer->agent ? have_talk(server, tunnel->name, peer->name) : NULL;
		if (!talk)
			continue;
		talk->told = 1;
		say(server, tunnel, peer, AGENT_DONE, id);
	}
}

/* A former main may have finished, and ended before it could say so. */
static void resume(struct server *server)
{
	const struct model *model = engine_model(server->engine);
	server->tunnel_rotate->resumed = model;
	for (size_t i = 0; model && i < model->tunnel_count; i++) {
		const struct rotation *rotation = tunnels_rotation(server->tunnels, model->tunnels[i].name);
		if (rotation && rotation->id && !rotation->rotating)
			tell_done(server, &model->tunnels[i]);
	}
}

static void finish_when_complete(struct server *server, const struct tunnel *tunnel)
{
	const struct rotation *rotation = tunnels_rotation(server->tunnels, tunnel->name);
	uint64_t now = server_now();
	if (!rotation || !rotation_is_complete(rotation, tunnel))
		return;
	if (rotation_clock_is_wrong(now, rotation->started))
		now = rotation->started;
	int r = tunnels_finish(server->tunnels, tunnel, now);
	if (r < 0) {
		log_error("tunnel", "the end of the change of %s's keys cannot be written: %s", tunnel->name, strerror(-r));
		return;
	}
	log_info("tunnel", "%s has new keys: all peers have moved, the old ones are gone", tunnel->name);
	in_force(server);
	tell_done(server, tunnel);
}

/* Can this public key be the peer's next one? One that is somebody else's would give him that one's traffic. */
static bool is_acceptable(const struct server *server, const struct tunnel *tunnel, const struct peer *peer,
			  const uint8_t key[TUNNEL_KEY_SIZE])
{
	struct tunnel_slot slots[COMPILE_SLOTS];
	const struct rundata *run = runtime_view(server->runtime, server_now());
	size_t count = compile_slots(run, tunnel, slots);
	for (size_t slot = 0; slot < count; slot++) {
		if (memcmp(slots[slot].public_key, key, TUNNEL_KEY_SIZE) == 0)
			return false;
		for (size_t i = 0; i < tunnel->peer_count; i++) {
			const struct peer *other = &tunnel->peers[i];
			const uint8_t *taken = compile_peer_key(run, tunnel, other, slot);
			bool same = taken && memcmp(taken, key, TUNNEL_KEY_SIZE) == 0;
			if (memcmp(other->public_key, key, TUNNEL_KEY_SIZE) == 0 || (same && (other != peer || slot == 0)))
				return false;
		}
	}
	return true;
}

static void take_answer(struct server *server, const struct tunnel *tunnel, const struct peer *peer,
			const struct agent_message *message)
{
	const struct rotation *rotation = tunnels_rotation(server->tunnels, tunnel->name);
	const struct rotation_peer *known = rotation_peer(rotation, peer->name);
	if (!known || !rotation->rotating || rotation->id != message->id || !peer->agent)
		return;
	int r = 0;
	if (message->verb == AGENT_WAIT && !known->next.known) {
		tunnels_clock_wrong(server->tunnels, tunnel->name, peer->name);
	} else if (message->verb == AGENT_ACCEPT && !known->next.known) {
		if (!is_acceptable(server, tunnel, peer, message->public_key)) {
			log_warning("tunnel", "peer %s of %s offers a key that is in use: not taken", peer->name, tunnel->name);
			return;
		}
		r = tunnels_agree(server->tunnels, tunnel->name, peer->name, message->public_key, message->port);
		if (r == 0)
			in_force(server);
	} else if (message->verb == AGENT_MOVED && known->moved && !known->done) {
		r = tunnels_move(server->tunnels, tunnel->name, peer->name, true, true);
	}
	if (r < 0)
		log_error("tunnel", "the change of %s's keys cannot be written: %s", tunnel->name, strerror(-r));
	step_peer(server, tunnel, peer);
	finish_when_complete(server, tunnel);
}

static void on_message(evutil_socket_t fd, short what, void *context)
{
	(void)what;
	struct talk *talk = context;
	struct server *server = talk->server;
	struct agent_message message;
	struct addr from;
	unsigned index;
	if (agent_receive(fd, &message, &from, &index) < 0 || !addr_equal(&from, &talk->to) || message.id != talk->id)
		return;
	if (talk->told) {
		if (message.verb == AGENT_GONE)
			drop_talk(server->tunnel_rotate, talk);
		return;
	}
	const struct tunnel *tunnel = find_tunnel(server, talk->tunnel);
	const struct peer *peer = find_peer(tunnel, talk->peer);
	if (peer) {
		(void)engine_tunnels(server->engine, true);
		talk->up = message.verb == AGENT_UP ? message.id : talk->up;
		take_answer(server, tunnel, peer, &message);
	}
}

int tunnel_rotate_start(struct server *server, const char *name, const char **ret_why)
{
	const struct tunnel *tunnel = find_tunnel(server, name);
	const struct rotation *rotation = tunnels_rotation(server->tunnels, name);
	if (!tunnel || !rotation)
		return -ENOENT;
	if (rotation->rotating)
		return -EALREADY;
	*ret_why = clock_is_wrong(rotation->since > server->applied_at ? rotation->since : server->applied_at);
	if (*ret_why)
		return -ETIME;
	int r = tunnels_rotate(server->tunnels, engine_model(server->engine), tunnel, server_now());
	if (r < 0)
		return r;
	log_info("tunnel", "the keys of %s are being changed", name);
	in_force(server);
	return 0;
}

static void start_when_due(struct server *server, const struct tunnel *tunnel)
{
	const struct rotation *rotation = tunnels_rotation(server->tunnels, tunnel->name);
	const char *why = NULL;
	if (!rotation || !rotation_is_due(rotation, tunnel->rotate_every, server_now()))
		return;
	int r = tunnel_rotate_start(server, tunnel->name, &why);
	if (r < 0 && why != server->tunnel_rotate->clock_told)
		log_warning("tunnel", "the keys of %s are to be changed, but not now: %s", tunnel->name,
			    why ? why : strerror(-r));
	server->tunnel_rotate->clock_told = why;
}

/* Agents that have moved, but may still have the old device: it does no harm, and they also remove it by themselves. */
static void tell_again(struct server *server)
{
	struct talk *next;
	for (struct talk *talk = server->tunnel_rotate->talks; talk; talk = next) {
		next = talk->next;
		const struct tunnel *tunnel = find_tunnel(server, talk->tunnel);
		const struct peer *peer = find_peer(tunnel, talk->peer);
		const struct rotation *rotation = peer ? tunnels_rotation(server->tunnels, talk->tunnel) : NULL;
		if (!rotation || (talk->told && !rotation->rotating && talk->told > TELL_MOST)) {
			drop_talk(server->tunnel_rotate, talk);
		} else if (talk->told && rotation->rotating) {
			talk->told = 0;
		} else if (talk->told && now_ms() >= talk->at) {
			talk->told++;
			say(server, tunnel, peer, AGENT_DONE, talk->id);
		}
	}
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct server *server = context;
	const struct model *model = engine_model(server->engine);
	if (!server->tunnel_rotate->resumed)
		resume(server);
	bool busy = server->tunnel_rotate->talks != NULL, looked = false;
	for (size_t i = 0; model && i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		start_when_due(server, tunnel);
		const struct rotation *rotation = tunnels_rotation(server->tunnels, tunnel->name);
		if (!rotation || !rotation->rotating)
			continue;
		busy = true;
		if (!looked)
			(void)engine_tunnels(server->engine, true);
		looked = true;
		for (size_t j = 0; j < tunnel->peer_count; j++)
			step_peer(server, tunnel, &tunnel->peers[j]);
		finish_when_complete(server, tunnel);
	}
	tell_again(server);
	uint32_t wait = busy ? TICK_MS : IDLE_MS;
	const struct timeval next = {.tv_sec = wait / 1000, .tv_usec = (suseconds_t)(wait % 1000) * 1000};
	event_add(server->tunnel_rotate->tick, &next);
}

int tunnel_rotate_open(struct server *server)
{
	static const struct timeval first = {.tv_usec = TICK_MS * 1000};
	struct tunnel_rotate *made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->tick = event_new(server->base, -1, 0, on_tick, server);
	if (!made->tick || event_add(made->tick, &first) < 0) {
		if (made->tick)
			event_free(made->tick);
		free(made);
		return -ENOMEM;
	}
	server->tunnel_rotate = made;
	return 0;
}

void tunnel_rotate_close(struct server *server)
{
	struct tunnel_rotate *all = server->tunnel_rotate;
	if (!all)
		return;
	while (all->talks)
		drop_talk(all, all->talks);
	event_free(all->tick);
	free(all);
	server->tunnel_rotate = NULL;
}
