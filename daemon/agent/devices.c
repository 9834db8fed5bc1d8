/* The agent's desired tunnels: one device, or two while keys are changed, with
 * the edge as their only peer. Both take what the edge sends; the routes say
 * which one our packets take. Others' devices are never touched. */
#include "devices.h"

#include "../../rules/model/model.h"
#include "../../rules/state/diff.h"
#include "../../rules/state/state.h"
#include "../kernel/tunnel.h"
#include "../log.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOKUP_SECONDS 10
#define HANDSHAKE_MOST 180u /* REJECT_AFTER_TIME of the WireGuard paper */

struct agent_devices {
	char names[2][MODEL_IFNAME_MAX + 1];
	unsigned indexes[2]; /* 0: not there */
	struct tunnel_kernel *kernel;
	struct addr edge; /* what the host's name resolved to; FAMILY_NONE: not yet */
	uint64_t looked_at;
	bool dead;
	char error[256]; /* told last */
};

int agent_devices_open(const struct agent_config *config, const struct tunnel_keys *keys, struct agent_devices **ret_devices)
{
	struct agent_devices *devices = calloc(1, sizeof(*devices));
	if (!devices)
		return -ENOMEM;
	const struct tunnel like = {.name = config->device};
	snprintf(devices->names[0], sizeof(devices->names[0]), "%s", config->device);
	model_second_device(&like, devices->names[1]);
	int r = tunnel_kernel_open(tunnel_keys_secrets(keys), &devices->kernel);
	if (r < 0) {
		log_error("agent", "cannot speak with the kernel: %s", strerror(-r));
		free(devices);
		return r;
	}
	*ret_devices = devices;
	return 0;
}

void agent_devices_close(struct agent_devices **devices)
{
	if (!*devices)
		return;
	(*devices)->kernel->ops->close(&(*devices)->kernel);
	free(*devices);
	*devices = NULL;
}

const char *agent_devices_name(const struct agent_devices *devices, unsigned slot)
{
	return devices->names[slot];
}

uint16_t agent_devices_listen(const struct agent_config *config, unsigned slot)
{
	return config->listen && slot ? (uint16_t)(config->listen + 1) : config->listen;
}

bool agent_devices_has(const struct agent_devices *devices, unsigned index)
{
	return index && (devices->indexes[0] == index || devices->indexes[1] == index);
}

/* Waits for an answer: nobody else does. */
static void look_up(struct agent_devices *devices, const char *host)
{
	uint64_t now = (uint64_t)time(NULL);
	struct addr found;
	if (addr_parse(host, strlen(host), &found) == 0) {
		devices->edge = found;
		return;
	}
	bool wanted = devices->edge.family == FAMILY_NONE || devices->dead;
	if (!wanted || (now >= devices->looked_at && now < devices->looked_at + LOOKUP_SECONDS))
		return;
	devices->looked_at = now;
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
	struct addrinfo *list = NULL;
	if (getaddrinfo(host, NULL, &hints, &list) != 0)
		return;
	for (const struct addrinfo *item = list; item; item = item->ai_next) {
		if (item->ai_family != AF_INET && item->ai_family != AF_INET6)
			continue;
		bool v4 = item->ai_family == AF_INET;
		const struct sockaddr_in *in4 = (const void *)item->ai_addr;
		const struct sockaddr_in6 *in6 = (const void *)item->ai_addr;
		devices->edge = (struct addr){.family = v4 ? FAMILY_V4 : FAMILY_V6};
		memcpy(devices->edge.bytes, v4 ? (const void *)&in4->sin_addr : (const void *)&in6->sin6_addr,
		       addr_size(devices->edge.family));
		break;
	}
	freeaddrinfo(list);
}

/* What is being put together. */
struct making {
	struct arena *arena;
	struct agent_devices *devices;
	const struct agent_config *config;
	const struct agent_state *state;
	const struct tunnel_keys *keys;
	const struct tunnel_list *seen;
};

static int make_routes(const struct making *m, struct tunnel_state *tunnel)
{
	struct prefix *routes = arena_array(m->arena, m->config->allowed_count + 1, struct prefix);
	if (!routes)
		return -ENOMEM;
	for (size_t i = 0; i < m->config->allowed_count; i++)
		if (m->config->allowed[i].length)
			routes[tunnel->route_count++] = m->config->allowed[i];
	tunnel->routes = routes;
	return 0;
}

static int make_peer(const struct making *m, unsigned slot, const struct agent_edge *edge, struct tunnel_peer *ret_peer)
{
	struct tunnel_peer peer = {.name = AGENT_EDGE,
				   .keepalive = m->config->keepalive,
				   .endpoint = m->devices->edge,
				   .endpoint_port = edge->port,
				   .endpoint_back = m->devices->dead,
				   .allowed = m->config->allowed,
				   .allowed_count = m->config->allowed_count};
	memcpy(peer.public_key, edge->public_key, TUNNEL_KEY_SIZE);
	/* The edge waits for the first handshake: somebody has to begin it. */
	if (slot != m->state->slot && m->state->phase == AGENT_BOTH && !peer.keepalive)
		peer.keepalive = 1;
	int r = 0;
	if (edge->has_preshared)
		r = tunnel_keys_preshared(m->keys, m->devices->names[slot], AGENT_EDGE, peer.preshared);
	if (r == 0)
		*ret_peer = peer;
	return r;
}

static int make_one(const struct making *m, unsigned slot, struct tunnel_state *ret_tunnel)
{
	const struct agent_config *config = m->config;
	const struct tunnel_state *seen = tunnel_find(m->seen, m->devices->names[slot]);
	bool next = slot != m->state->slot, leaving = m->state->phase == AGENT_LEAVING;
	struct tunnel_state tunnel = {.name = m->devices->names[slot],
				      .listen = agent_devices_listen(config, slot),
				      .mtu = config->mtu,
				      .up = true,
				      .addresses = config->addresses,
				      .address_count = config->address_count,
				      .peer_count = 1};
	/* Any port will do: the one that it has. */
	if (!tunnel.listen && seen)
		tunnel.listen = seen->listen;
	struct tunnel_peer *peer = arena_array(m->arena, 1, struct tunnel_peer);
	int r = peer ? tunnel_keys_private(m->keys, tunnel.name, tunnel.public_key) : -ENOMEM;
	if (r == 0)
		r = make_peer(m, slot, next ? &m->state->next : &m->state->now, peer);
	if (r == 0 && next == leaving)
		r = make_routes(m, &tunnel);
	tunnel.peers = peer;
	if (r == 0)
		*ret_tunnel = tunnel;
	return r;
}

static int make(const struct making *m, struct tunnel_list *ret_list)
{
	struct tunnel_state *items = arena_array(m->arena, 2, struct tunnel_state);
	size_t count = 0;
	int r = items ? 0 : -ENOMEM;
	for (unsigned slot = 0; r == 0 && slot < 2; slot++) {
		if (slot != m->state->slot && m->state->phase < AGENT_BOTH)
			continue;
		r = make_one(m, slot, &items[count]);
		count += r == 0;
	}
	/* "wg0" is before "wg0-2". */
	*ret_list = (struct tunnel_list){.items = items, .count = count};
	return r;
}

/* Of all devices that have our mark, those of this agent. */
static int observe(struct agent_devices *devices, struct tunnel_list *ret_all, struct tunnel_list *ret_own,
		   struct arena *arena)
{
	const struct tunnel_state names[2] = {{.name = devices->names[0]}, {.name = devices->names[1]}};
	const struct tunnel_list like = {.items = names, .count = 2};
	int r = devices->kernel->ops->observe(devices->kernel, &like, ret_all);
	struct tunnel_state *own = r == 0 ? arena_array(arena, 3, struct tunnel_state) : NULL;
	size_t count = 0;
	if (r == 0 && !own)
		r = -ENOMEM;
	devices->indexes[0] = devices->indexes[1] = 0;
	for (size_t i = 0; r == 0 && i < ret_all->count; i++) {
		for (unsigned slot = 0; slot < 2; slot++) {
			if (strcmp(ret_all->items[i].name, devices->names[slot]) != 0)
				continue;
			own[count++] = ret_all->items[i];
			devices->indexes[slot] = ret_all->items[i].index;
		}
	}
	*ret_own = (struct tunnel_list){.items = own, .count = count};
	return r;
}

/* What comes by the device that our packets do not take, or no longer, is right too. */
static void loosen(const char *name)
{
	char path[96];
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/rp_filter", name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "2", 1) < 0)
		log_warning("agent", "%s cannot be set: new connections may pause while keys are changed", path);
	close(fd);
}

static int bring_in_line(struct agent_devices *devices, const struct tunnel_list *seen, const struct tunnel_list *desired,
			 struct arena *arena, const char **ret_what)
{
	const struct state observed = {.tunnels = *seen}, wanted = {.tunnels = *desired};
	struct steps steps = {0};
	struct commit_error error = {0};
	int r = diff_states(&observed, NULL, &wanted, arena, &steps);
	if (r == 0 && steps.count)
		r = devices->kernel->ops->commit(devices->kernel, steps.items, steps.count, &error);
	for (size_t i = 0; i < steps.count; i++) {
		if (steps.items[i].kind != STEP_ADD_TUNNEL || r < 0)
			continue;
		unsigned slot = strcmp(steps.items[i].tunnel->name, devices->names[1]) == 0;
		loosen(devices->names[slot]);
		devices->indexes[slot] = if_nametoindex(devices->names[slot]);
	}
	if (r < 0)
		*ret_what = error.what ? arena_printf(arena, "%s: %s", step_names[error.step->kind], error.what) : strerror(-r);
	return r;
}

static void note_dead(struct agent_devices *devices, const struct tunnel_list *seen, const struct agent_state *state)
{
	unsigned slot = state->phase == AGENT_LEAVING ? !state->slot : state->slot;
	const struct tunnel_state *tunnel = tunnel_find(seen, devices->names[slot]);
	const struct tunnel_peer *peer = tunnel && tunnel->peer_count ? tunnel->peers : NULL;
	devices->dead = peer && (uint64_t)time(NULL) > peer->handshake + HANDSHAKE_MOST;
}

int agent_devices_apply(struct agent_devices *devices, const struct agent_config *config, const struct agent_state *state,
			const struct tunnel_keys *keys)
{
	cleanup_arena struct arena *arena = arena_new();
	struct tunnel_list all = {0}, seen, desired;
	const char *what = "out of memory";
	look_up(devices, config->host);
	int r = arena ? observe(devices, &all, &seen, arena) : -ENOMEM;
	if (r == 0) {
		note_dead(devices, &seen, state);
		const struct making making = {.arena = arena, .devices = devices, .config = config, .state = state,
					      .keys = keys, .seen = &seen};
		r = make(&making, &desired);
		what = strerror(-r);
	}
	if (r == 0)
		r = bring_in_line(devices, &seen, &desired, arena, &what);
	arena_free(&all.arena);
	if (r == 0 && *devices->error)
		log_info("agent", "the tunnel is as it shall be again");
	if (r < 0 && strcmp(devices->error, what) != 0)
		log_error("agent", "%s; it is tried again", what);
	snprintf(devices->error, sizeof(devices->error), "%s", r < 0 ? what : "");
	return r;
}
