/* What main knows of tunnels beyond configuration and kernel: which key is
 * whose, kept in lists of its own and given to the runtime as run data. */
#include "tunnels.h"

#include "tunnels_parts.h"

#include "../rules/state/compile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_SECONDS_FIRST 2u
#define ASK_SECONDS_MOST 60u

static void free_entry(struct tunnel_entry *entry)
{
	for (size_t i = 0; i < entry->count; i++) {
		tunnel_probe_close(&entry->peers[i].probe);
		free(entry->peers[i].name);
	}
	rotation_clear(&entry->rotation);
	free(entry->peers);
	free(entry->second);
	free(entry->name);
}

void tunnels_close(struct tunnels **tunnels)
{
	if (!tunnels || !*tunnels)
		return;
	struct tunnels *all = *tunnels;
	for (size_t i = 0; i < all->count; i++)
		free_entry(&all->entries[i]);
	if (all->kernel)
		all->kernel->ops->close(&all->kernel);
	tunnel_keys_close(&all->keys);
	free(all->entries);
	free(all->view);
	free(all->peer_view);
	free(all);
	*tunnels = NULL;
}

int tunnels_open(const char *state_dir, struct runtime *runtime, struct tunnels **ret_tunnels)
{
	struct tunnels *tunnels = calloc(1, sizeof(*tunnels));
	if (!tunnels)
		return -ENOMEM;
	tunnels->runtime = runtime;
	int r = tunnel_keys_open(state_dir, &tunnels->keys);
	if (r == 0)
		r = tunnel_kernel_open(tunnel_keys_secrets(tunnels->keys), &tunnels->kernel);
	if (r < 0) {
		tunnels_close(&tunnels);
		return r;
	}
	runtime_set_tunnels(runtime, NULL, 0);
	*ret_tunnels = tunnels;
	return 0;
}

struct tunnel_kernel *tunnels_kernel(struct tunnels *tunnels)
{
	return tunnels->kernel;
}

const struct tunnel_keys *tunnels_keys(const struct tunnels *tunnels)
{
	return tunnels->keys;
}

const char *tunnels_backend(struct tunnels *tunnels)
{
	return tunnel_backend_names[tunnel_kernel_backend(tunnels->kernel)];
}

struct tunnel_entry *tunnels_find(const struct tunnels *tunnels, const char *name)
{
	for (size_t i = 0; i < tunnels->count; i++) {
		if (strcmp(tunnels->entries[i].name, name) == 0)
			return &tunnels->entries[i];
	}
	return NULL;
}

struct peer_entry *tunnels_find_peer(const struct tunnel_entry *entry, const char *name)
{
	for (size_t i = 0; entry && i < entry->count; i++) {
		if (strcmp(entry->peers[i].name, name) == 0)
			return &entry->peers[i];
	}
	return NULL;
}

const struct peer_run *tunnels_peer(const struct tunnels *tunnels, const char *tunnel, const char *peer)
{
	const struct peer_entry *entry = tunnels_find_peer(tunnels_find(tunnels, tunnel), peer);
	return entry ? &entry->run : NULL;
}

static const char *why_text(const struct peer_entry *peer, struct arena *arena)
{
	const char *why = peer->health.known ? peer->health.why : "not looked at yet";
	if (*peer->unresolved && !peer->health.up)
		return arena_printf(arena, "%s; endpoint: %s", why, peer->unresolved);
	return arena_strdup(arena, why);
}

const struct show_peer *tunnels_peers(const struct tunnels *tunnels, struct arena *arena, size_t *ret_count)
{
	size_t count = 0;
	for (size_t i = 0; i < tunnels->count; i++)
		count += tunnels->entries[i].count;
	struct show_peer *peers = arena_array(arena, count + 1, struct show_peer);
	*ret_count = 0;
	for (size_t i = 0; peers && i < tunnels->count; i++) {
		const struct tunnel_entry *entry = &tunnels->entries[i];
		for (size_t j = 0; j < entry->count; j++)
			peers[(*ret_count)++] = (struct show_peer){.tunnel = entry->name,
								   .peer = entry->peers[j].name,
								   .up = entry->peers[j].health.up,
								   .failed = entry->peers[j].health.failed,
								   .why = why_text(&entry->peers[j], arena),
								   .waits = tunnels_wait_text(entry, entry->peers[j].name)};
	}
	return peers;
}

const char *tunnels_device(const struct tunnel_entry *entry, unsigned slot)
{
	return slot ? entry->second : entry->name;
}

static struct tunnel_run view_of(const struct tunnel_entry *entry)
{
	const struct rotation *rotation = &entry->rotation;
	unsigned slot = rotation->slot, next = !slot;
	struct tunnel_run view = {.tunnel = entry->name,
				  .device = tunnels_device(entry, slot),
				  .listen = slot ? rotation->second_listen : 0,
				  .peer_count = entry->count};
	memcpy(view.public_key, entry->public_key[slot], TUNNEL_KEY_SIZE);
	if (rotation->rotating) {
		view.next.device = tunnels_device(entry, next);
		view.next.listen = next ? rotation->second_listen : 0;
		memcpy(view.next.public_key, entry->public_key[next], TUNNEL_KEY_SIZE);
	}
	return view;
}

static struct peer_run view_of_peer(const struct tunnel_entry *entry, const struct peer_entry *peer)
{
	struct peer_run view = peer->run;
	unsigned slot = entry->rotation.slot;
	const struct rotation_peer *known = rotation_peer(&entry->rotation, peer->name);
	if (known) {
		memcpy(view.configured, known->configured, TUNNEL_KEY_SIZE);
		memcpy(view.public_key, known->now.public_key, TUNNEL_KEY_SIZE);
		view.port = known->now.port;
		view.next = known->next;
		view.moved = known->moved;
	}
	memcpy(view.preshared, peer->preshared[slot], TUNNEL_KEY_SIZE);
	memcpy(view.next.preshared, peer->preshared[!slot], TUNNEL_KEY_SIZE);
	for (unsigned i = 0; i < COMPILE_SLOTS; i++) {
		view.seen[i] = peer->seen[i ? !slot : slot];
		view.seen_port[i] = peer->seen_port[i ? !slot : slot];
	}
	return view;
}

int tunnels_publish(struct tunnels *tunnels)
{
	size_t peers = 0;
	for (size_t i = 0; i < tunnels->count; i++)
		peers += tunnels->entries[i].count;
	struct tunnel_run *view = calloc(tunnels->count + 1, sizeof(*view));
	struct peer_run *peer_view = calloc(peers + 1, sizeof(*peer_view));
	if (!view || !peer_view) {
		free(view);
		free(peer_view);
		return -ENOMEM;
	}
	peers = 0;
	for (size_t i = 0; i < tunnels->count; i++) {
		const struct tunnel_entry *entry = &tunnels->entries[i];
		view[i] = view_of(entry);
		view[i].peers = &peer_view[peers];
		for (size_t j = 0; j < entry->count; j++)
			peer_view[peers++] = view_of_peer(entry, &entry->peers[j]);
	}
	free(tunnels->view);
	free(tunnels->peer_view);
	tunnels->view = view;
	tunnels->peer_view = peer_view;
	runtime_set_tunnels(tunnels->runtime, view, tunnels->count);
	return 0;
}

/* A peer as the device of one slot has it: 0 is in force, 1 is next. */
static const struct tunnel_peer *seen_by(const struct tunnels *tunnels, const struct tunnel_list *seen,
					 const struct tunnel *tunnel, const struct peer *peer, size_t slot,
					 const struct tunnel_state **ret_device)
{
	struct tunnel_slot slots[COMPILE_SLOTS];
	const struct rundata run = {.tunnels = tunnels->view, .tunnel_count = tunnels->view ? tunnels->count : 0};
	size_t count = compile_slots(&run, tunnel, slots);
	const uint8_t *key = compile_peer_key(&run, tunnel, peer, slot);
	const struct tunnel_state *device = slot < count ? tunnel_find(seen, slots[slot].device) : NULL;
	device = device && !device->broken ? device : NULL;
	if (ret_device)
		*ret_device = device;
	return device && key ? tunnel_find_peer(device, key) : NULL;
}

const struct tunnel_peer *tunnels_seen(const struct tunnels *tunnels, const struct tunnel_list *seen,
				       const struct tunnel *tunnel, const struct peer *peer,
				       const struct tunnel_state **ret_device)
{
	const struct rundata run = {.tunnels = tunnels->view, .tunnel_count = tunnels->view ? tunnels->count : 0};
	return seen_by(tunnels, seen, tunnel, peer, compile_peer_slot(&run, tunnel, peer), ret_device);
}

static void note_peer(struct peer_entry *entry, unsigned slot, const struct tunnel_peer *seen)
{
	if (!entry || !seen || seen->endpoint.family == FAMILY_NONE)
		return;
	entry->seen[slot] = seen->endpoint;
	entry->seen_port[slot] = seen->endpoint_port;
}

void tunnels_note(struct tunnels *tunnels, const struct model *model, const struct tunnel_list *seen)
{
	for (size_t i = 0; model && i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		const struct tunnel_entry *entry = tunnels_find(tunnels, tunnel->name);
		for (size_t j = 0; entry && j < tunnel->peer_count; j++) {
			const struct peer *peer = &tunnel->peers[j];
			struct peer_entry *known = tunnels_find_peer(entry, peer->name);
			unsigned slot = entry->rotation.slot;
			note_peer(known, slot, seen_by(tunnels, seen, tunnel, peer, 0, NULL));
			note_peer(known, !slot, seen_by(tunnels, seen, tunnel, peer, 1, NULL));
		}
	}
	(void)tunnels_publish(tunnels);
}

/* The peer's own address inside: the first single one that it may send from. */
const struct addr *tunnels_inside(const struct peer *peer)
{
	for (size_t i = 0; i < peer->allowed_ip_count; i++) {
		if (peer->allowed_ips[i].length == addr_bits(peer->allowed_ips[i].addr.family))
			return &peer->allowed_ips[i].addr;
	}
	return NULL;
}

static bool judge_peer(struct peer_entry *entry, const struct peer *peer, const struct tunnel_peer *seen,
		       const struct tunnel_state *state, uint64_t now, uint64_t uptime)
{
	const struct addr *address = tunnels_inside(peer);
	uint32_t mtu = state ? state->mtu : 0;
	/* One that has yet to call us cannot be called: wireguard-go would log each attempt. */
	if (seen && address && seen->endpoint.family != FAMILY_NONE)
		tunnel_probe_step(&entry->probe, address, mtu);
	bool changed = tunnel_health_look(&entry->health, seen, &entry->probe.path, mtu, now, uptime);
	bool dead = seen && !entry->health.up && !entry->health.hopeful;
	if (entry->health.up)
		entry->ask_wait = 0; /* the next time that it dies, its name is asked for often again */
	changed |= dead != entry->run.dead;
	entry->run.dead = dead;
	return changed;
}

bool tunnels_judge(struct tunnels *tunnels, const struct model *model, const struct tunnel_list *seen, uint64_t now,
		   uint64_t uptime)
{
	bool changed = false;
	for (size_t i = 0; model && i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		const struct tunnel_entry *entry = tunnels_find(tunnels, tunnel->name);
		for (size_t j = 0; j < tunnel->peer_count; j++) {
			struct peer_entry *peer = tunnels_find_peer(entry, tunnel->peers[j].name);
			const struct tunnel_state *state;
			const struct tunnel_peer *found =
				tunnels_seen(tunnels, seen, tunnel, &tunnel->peers[j], &state);
			if (peer)
				changed |= judge_peer(peer, &tunnel->peers[j], found, state, now, uptime);
		}
	}
	if (changed)
		(void)tunnels_publish(tunnels);
	return changed;
}

static bool is_name(const struct peer *peer)
{
	struct addr literal;
	return peer->endpoint_host && addr_parse(peer->endpoint_host, strlen(peer->endpoint_host), &literal) < 0;
}

void tunnels_lookups(struct tunnels *tunnels, const struct model *model, uint64_t now,
		     void (*ask)(void *context, const char *name), void *context)
{
	for (size_t i = 0; model && i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		const struct tunnel_entry *entry = tunnels_find(tunnels, tunnel->name);
		for (size_t j = 0; j < tunnel->peer_count; j++) {
			struct peer_entry *peer = tunnels_find_peer(entry, tunnel->peers[j].name);
			if (!peer || !is_name(&tunnel->peers[j]) || now < peer->ask_at)
				continue;
			/* While it lives, wherever it is, nobody needs to know what its name says now. */
			if (peer->run.endpoint.family != FAMILY_NONE && !peer->run.dead)
				continue;
			ask(context, tunnel->peers[j].endpoint_host);
			peer->ask_wait = peer->ask_wait * 2 > ASK_SECONDS_MOST ? ASK_SECONDS_MOST
					 : peer->ask_wait		       ? peer->ask_wait * 2
									       : ASK_SECONDS_FIRST;
			peer->ask_at = now + peer->ask_wait;
		}
	}
}

static bool resolve_peer(struct peer_entry *peer, const struct tunnel *tunnel, const struct addr *addr, const char *why)
{
	static const struct addr none;
	if (addr->family != FAMILY_NONE && model_leads_inside(tunnel, addr)) {
		addr = &none;
		why = "its address lies inside the tunnel itself";
	}
	if (addr->family == FAMILY_NONE) {
		/* What it was once known by stays. */
		snprintf(peer->unresolved, sizeof(peer->unresolved), "%s", why ? why : "it has no address");
		return false;
	}
	*peer->unresolved = '\0';
	if (addr_equal(addr, &peer->run.endpoint))
		return false;
	peer->run.endpoint = *addr;
	return true;
}

bool tunnels_resolved(struct tunnels *tunnels, const struct model *model, const char *name, const struct addr *addr,
		      const char *why)
{
	bool changed = false;
	for (size_t i = 0; model && i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		const struct tunnel_entry *entry = tunnels_find(tunnels, tunnel->name);
		for (size_t j = 0; j < tunnel->peer_count; j++) {
			struct peer_entry *peer = tunnels_find_peer(entry, tunnel->peers[j].name);
			if (peer && is_name(&tunnel->peers[j]) && strcmp(tunnel->peers[j].endpoint_host, name) == 0)
				changed |= resolve_peer(peer, tunnel, addr, why);
		}
	}
	if (changed)
		(void)tunnels_publish(tunnels);
	return changed;
}

static int add(struct tunnels *tunnels, const struct tunnel *tunnel, struct tunnel_entry **ret_entry)
{
	struct tunnel_entry *entries = reallocarray(tunnels->entries, tunnels->count + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	tunnels->entries = entries;
	char second[MODEL_IFNAME_MAX + 1];
	model_second_device(tunnel, second);
	struct tunnel_entry entry = {.name = strdup(tunnel->name), .second = strdup(second)};
	if (!entry.name || !entry.second) {
		free_entry(&entry);
		return -ENOMEM;
	}
	entries[tunnels->count] = entry;
	*ret_entry = &entries[tunnels->count++];
	return 0;
}

static int add_peer(struct tunnel_entry *entry, const char *name, struct peer_entry **ret_peer)
{
	struct peer_entry *peers = reallocarray(entry->peers, entry->count + 1, sizeof(*peers));
	if (!peers)
		return -ENOMEM;
	entry->peers = peers;
	struct peer_entry peer = {.name = strdup(name), .probe = TUNNEL_PROBE_NONE};
	if (!peer.name)
		return -ENOMEM;
	peer.run.peer = peer.name;
	peers[entry->count] = peer;
	*ret_peer = &peers[entry->count++];
	return 0;
}

static int prepare_peer(const struct tunnels *tunnels, struct tunnel_entry *entry, const struct peer *peer)
{
	struct peer_entry *known = tunnels_find_peer(entry, peer->name);
	int r = known ? 0 : add_peer(entry, peer->name, &known);
	return r == 0 ? tunnels_load_peer(tunnels, entry, peer) : r;
}

static int prepare(struct tunnels *tunnels, const struct tunnel *tunnel)
{
	struct tunnel_entry *entry = tunnels_find(tunnels, tunnel->name);
	int r = entry ? 0 : add(tunnels, tunnel, &entry);
	if (r == 0)
		r = tunnels_load(tunnels, entry);
	for (size_t i = 0; r == 0 && i < tunnel->peer_count; i++)
		r = prepare_peer(tunnels, entry, &tunnel->peers[i]);
	return r;
}

int tunnels_prepare(struct tunnels *tunnels, const struct model *model, struct arena *arena, const char **ret_error)
{
	for (size_t i = 0; i < model->tunnel_count; i++) {
		int r = prepare(tunnels, &model->tunnels[i]);
		if (r < 0) {
			*ret_error = arena_printf(arena, "the keys of tunnel %s cannot be read or made: %s",
						  model->tunnels[i].name, strerror(-r));
			(void)tunnels_publish(tunnels);
			return r;
		}
	}
	int r = tunnels_publish(tunnels);
	if (r < 0)
		*ret_error = "out of memory";
	return r;
}

static bool in_model(const struct model *model, const char *name)
{
	for (size_t i = 0; i < model->tunnel_count; i++) {
		if (strcmp(model->tunnels[i].name, name) == 0)
			return true;
	}
	return false;
}

void tunnels_keep_only(struct tunnels *tunnels, const struct model *model)
{
	size_t kept = 0, before = tunnels->count;
	for (size_t i = 0; i < before; i++) {
		struct tunnel_entry entry = tunnels->entries[i];
		if (!in_model(model, entry.name))
			continue;
		tunnels->entries[i] = tunnels->entries[kept];
		tunnels->entries[kept++] = entry;
	}
	/* What goes now stands behind the rest. The run data point to it until there are new ones. */
	tunnels->count = kept;
	if (tunnels_publish(tunnels) < 0) {
		tunnels->count = before;
		return;
	}
	for (size_t i = kept; i < before; i++)
		free_entry(&tunnels->entries[i]);
	for (size_t i = 0; i < model->tunnel_count; i++)
		tunnels_adopt(tunnels, &model->tunnels[i]);
}
