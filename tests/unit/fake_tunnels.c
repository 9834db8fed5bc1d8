/* The fake kernel for tunnels: a few devices in memory, changed step by step as
 * the real one is, with nothing of the diff's own code. */
#include "fake_tunnels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fake_tunnels {
	struct tunnel_kernel kernel; /* first: what others see */
	struct arena *arena;         /* grows until the end of the test */
	struct tunnel_state items[FAKE_TUNNELS_MOST];
	size_t count, commits, fail_step;
	int fail_error;
	const char *refused;
	uint32_t next_index;
};

static struct fake_tunnels *fake_of(const struct tunnel_kernel *kernel)
{
	return (struct fake_tunnels *)(uintptr_t)kernel;
}

static void *must(void *pointer)
{
	if (!pointer)
		abort();
	return pointer;
}

static struct tunnel_state *held(struct fake_tunnels *fake, const char *name)
{
	for (size_t i = 0; i < fake->count; i++)
		if (strcmp(fake->items[i].name, name) == 0)
			return &fake->items[i];
	return NULL;
}

static struct tunnel_peer *copy_peers(struct arena *arena, const struct tunnel_state *tunnel)
{
	struct tunnel_peer *peers = must(arena_array(arena, tunnel->peer_count + 1, struct tunnel_peer));
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		peers[i] = tunnel->peers[i];
		peers[i].name = NULL;
		peers[i].endpoint_back = false;
		peers[i].allowed = must(arena_memdup(arena, peers[i].allowed, peers[i].allowed_count * sizeof(struct prefix)));
	}
	return peers;
}

static int observe(struct tunnel_kernel *kernel, const struct tunnel_list *like, struct tunnel_list *ret_list)
{
	struct fake_tunnels *fake = fake_of(kernel);
	struct arena *arena = must(arena_new());
	struct tunnel_state *items = must(arena_array(arena, fake->count + 1, struct tunnel_state));
	size_t count = 0;
	for (size_t i = 0; i < fake->count; i++) {
		const struct tunnel_state *item = &fake->items[i];
		if (item->foreign && !tunnel_find(like, item->name))
			continue;
		items[count] = *item;
		items[count].name = must(arena_strdup(arena, item->name));
		items[count].peers = copy_peers(arena, item);
		items[count].addresses =
			must(arena_memdup(arena, item->addresses, item->address_count * sizeof(struct prefix)));
		items[count].routes = must(arena_memdup(arena, item->routes, item->route_count * sizeof(struct prefix)));
		count++;
	}
	qsort(items, count, sizeof(*items), tunnel_compare);
	*ret_list = (struct tunnel_list){.arena = arena, .items = items, .count = count};
	return 0;
}

static int change_prefix(struct arena *arena, const struct prefix **list, size_t *count, const struct prefix *prefix,
			 bool add)
{
	struct prefix *copy = must(arena_array(arena, *count + 1, struct prefix));
	size_t kept = 0;
	bool found = false;
	for (size_t i = 0; i < *count; i++) {
		bool same = tunnel_compare_prefixes(&(*list)[i], prefix) == 0;
		found |= same;
		if (!same || add)
			copy[kept++] = (*list)[i];
	}
	if (found == add)
		return add ? -EEXIST : -ENOENT;
	if (add)
		copy[kept++] = *prefix;
	qsort(copy, kept, sizeof(*copy), tunnel_compare_prefixes);
	*list = copy;
	*count = kept;
	return 0;
}

static int change_peer(struct fake_tunnels *fake, struct tunnel_state *tunnel, const struct step *step)
{
	struct tunnel_peer *peers = copy_peers(fake->arena, tunnel);
	size_t kept = 0;
	struct tunnel_peer old = {0};
	bool found = false;
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		if (memcmp(peers[i].public_key, step->peer->public_key, TUNNEL_KEY_SIZE) == 0) {
			old = peers[i];
			found = true;
		} else {
			peers[kept++] = peers[i];
		}
	}
	if (found != (step->kind == STEP_DELETE_PEER || step->peer_before))
		return found ? -EEXIST : -ENOENT;
	if (step->kind == STEP_SET_PEER) {
		struct tunnel_peer new = *step->peer;
		new.name = NULL;
		new.endpoint_back = false;
		new.allowed = must(arena_memdup(fake->arena, new.allowed, new.allowed_count * sizeof(struct prefix)));
		if (!step->set_endpoint) {
			new.endpoint = old.endpoint;
			new.endpoint_port = old.endpoint_port;
		}
		peers[kept++] = new;
	}
	qsort(peers, kept, sizeof(*peers), tunnel_compare_peers);
	tunnel->peers = peers;
	tunnel->peer_count = kept;
	return 0;
}

/* As in the kernel: one route to a place, unless it is replaced. */
static int route_elsewhere(struct fake_tunnels *fake, const struct tunnel_state *tunnel, const struct step *step)
{
	for (size_t i = 0; step->kind == STEP_ADD_ROUTE && i < fake->count; i++) {
		struct tunnel_state *other = &fake->items[i];
		for (size_t j = 0; other != tunnel && j < other->route_count; j++) {
			if (tunnel_compare_prefixes(&other->routes[j], step->prefix) != 0)
				continue;
			if (!step->replace)
				return -EEXIST;
			return change_prefix(fake->arena, &other->routes, &other->route_count, step->prefix, false);
		}
	}
	return 0;
}

static int apply(struct fake_tunnels *fake, const struct step *step)
{
	struct tunnel_state *tunnel = held(fake, step->tunnel->name);
	if (step->kind == STEP_ADD_TUNNEL) {
		if (tunnel || (fake->refused && strcmp(fake->refused, step->tunnel->name) == 0))
			return -EEXIST;
		if (fake->count == FAKE_TUNNELS_MOST)
			abort();
		fake->items[fake->count++] =
			(struct tunnel_state){.name = must(arena_strdup(fake->arena, step->tunnel->name)),
					      .mtu = 1420,
					      .index = ++fake->next_index,
					      .backend = TUNNEL_BACKEND_KERNEL};
		return 0;
	}
	if (!tunnel)
		return -ENODEV;
	switch ((int)step->kind) {
	case STEP_DELETE_TUNNEL:
		*tunnel = fake->items[--fake->count];
		return 0;
	case STEP_SET_TUNNEL:
		tunnel->listen = step->tunnel->listen;
		memcpy(tunnel->public_key, step->tunnel->public_key, TUNNEL_KEY_SIZE);
		return 0;
	case STEP_DELETE_PEER:
	case STEP_SET_PEER:
		return change_peer(fake, tunnel, step);
	case STEP_SET_LINK:
		tunnel->mtu = step->tunnel->mtu;
		tunnel->up = step->tunnel->up;
		tunnel->foreign = false;
		return 0;
	case STEP_ADD_ADDRESS:
	case STEP_DELETE_ADDRESS:
		return change_prefix(fake->arena, &tunnel->addresses, &tunnel->address_count, step->prefix,
				     step->kind == STEP_ADD_ADDRESS);
	case STEP_ADD_ROUTE:
	case STEP_DELETE_ROUTE:
		if (route_elsewhere(fake, tunnel, step) < 0)
			return -EEXIST;
		return change_prefix(fake->arena, &tunnel->routes, &tunnel->route_count, step->prefix,
				     step->kind == STEP_ADD_ROUTE);
	default:
		return -EINVAL;
	}
}

static int commit(struct tunnel_kernel *kernel, const struct step *steps, size_t count, struct commit_error *ret_error)
{
	struct fake_tunnels *fake = fake_of(kernel);
	size_t fail_step = fake->fail_step;
	fake->fail_step = 0;
	fake->commits++;
	for (size_t i = 0; i < count; i++) {
		int r = i + 1 == fail_step ? fake->fail_error : apply(fake, &steps[i]);
		if (r < 0) {
			*ret_error = (struct commit_error){.error = r, .step = &steps[i], .what = "the fake refused it"};
			return r;
		}
	}
	return 0;
}

static void close_fake(struct tunnel_kernel **kernel)
{
	if (!kernel || !*kernel)
		return;
	struct fake_tunnels *fake = fake_of(*kernel);
	arena_free(&fake->arena);
	free(fake);
	*kernel = NULL;
}

static const struct tunnel_kernel_ops operations = {.observe = observe, .commit = commit, .close = close_fake};

struct tunnel_kernel *fake_tunnels_new(void)
{
	struct fake_tunnels *fake = must(calloc(1, sizeof(*fake)));
	fake->arena = must(arena_new());
	fake->kernel.ops = &operations;
	return &fake->kernel;
}

void fake_tunnels_fail_at(struct tunnel_kernel *kernel, size_t step, int error)
{
	fake_of(kernel)->fail_step = step;
	fake_of(kernel)->fail_error = error;
}

void fake_tunnels_refuse(struct tunnel_kernel *kernel, const char *name)
{
	fake_of(kernel)->refused = name;
}

struct tunnel_state *fake_tunnels_items(struct tunnel_kernel *kernel, size_t *ret_count)
{
	*ret_count = fake_of(kernel)->count;
	return fake_of(kernel)->items;
}

size_t fake_tunnels_commits(const struct tunnel_kernel *kernel)
{
	return fake_of(kernel)->commits;
}
