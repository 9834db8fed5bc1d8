/* Observing tunnels: devices by our alias or by a name that is asked for, with
 * what their backend, their addresses and our routes say. It never writes,
 * except to find out once whether this kernel has WireGuard. */
#include "tunnel_kernel.h"

#include "tunnel_backend.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_AGAIN_MOST 10
#define PROBE_DEVICE "edged-probe"

struct seen {
	struct arena *arena;
	struct link *links;
	struct link_prefix *addresses, *routes;
	size_t link_count, address_count, route_count;
};

static int look(struct link_socket *socket, struct arena *arena, struct seen *ret_seen)
{
	struct seen seen = {.arena = arena};
	int r = link_list(socket, arena, &seen.links, &seen.link_count);
	if (r == 0)
		r = link_addresses(socket, arena, &seen.addresses, &seen.address_count);
	if (r == 0)
		r = link_routes(socket, arena, &seen.routes, &seen.route_count);
	if (r == 0)
		*ret_seen = seen;
	return r;
}

/* Those of one device, sorted. */
static int pick(struct arena *arena, const struct link_prefix *all, size_t count, uint32_t index,
		const struct prefix **ret_prefixes, size_t *ret_count)
{
	size_t found = 0;
	for (size_t i = 0; i < count; i++)
		found += all[i].index == index;
	struct prefix *prefixes = arena_array(arena, found + 1, struct prefix);
	if (!prefixes)
		return -ENOMEM;
	found = 0;
	for (size_t i = 0; i < count; i++) {
		if (all[i].index == index)
			prefixes[found++] = all[i].prefix;
	}
	qsort(prefixes, found, sizeof(*prefixes), tunnel_compare_prefixes);
	*ret_prefixes = prefixes;
	*ret_count = found;
	return 0;
}

/* Does that error say that the device is of no use, and is to be made anew? Not one of our own (no descriptor, no memory),
 * nor a kernel that is busy: every session would be lost for nothing. */
static bool is_broken(enum link_kind kind, int error)
{
	bool busy = error == -EAGAIN || error == -ETIMEDOUT;
	bool own = error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM || error == -EINTR;
	return error < 0 && !own && !(busy && kind == LINK_WIREGUARD);
}

static int observe_one(const struct seen *seen, const struct link *link, struct tunnel_state *ret_tunnel)
{
	struct tunnel_state tunnel = {.name = arena_strdup(seen->arena, link->name),
				      .index = link->index,
				      .mtu = link->mtu,
				      .up = link->up};
	int r = tunnel.name ? 0 : -ENOMEM;
	if (r == 0 && link->kind == LINK_WIREGUARD) {
		tunnel.backend = TUNNEL_BACKEND_KERNEL;
		r = wireguard_get(link->name, seen->arena, &tunnel);
	} else if (r == 0 && link->kind == LINK_TUN) {
		tunnel.backend = TUNNEL_BACKEND_USERSPACE;
		r = userspace_get(link->name, seen->arena, &tunnel);
	}
	if (r == -ENODEV && link->kind == LINK_WIREGUARD)
		return r;
	tunnel.broken = is_broken(link->kind, r);
	if (r < 0 && !tunnel.broken)
		return r;
	/* Made by us and not yet marked (ended in between), it has no key. */
	bool empty = r == 0 && tunnel.backend != TUNNEL_BACKEND_NONE && tunnel_key_is_zero(tunnel.public_key);
	tunnel.foreign = !link->ours && !empty;
	r = pick(seen->arena, seen->addresses, seen->address_count, link->index, &tunnel.addresses,
		 &tunnel.address_count);
	if (r == 0)
		r = pick(seen->arena, seen->routes, seen->route_count, link->index, &tunnel.routes, &tunnel.route_count);
	if (r == 0)
		*ret_tunnel = tunnel;
	return r;
}

static int observe_into(struct link_socket *socket, const struct tunnel_list *like, struct arena *arena,
			struct tunnel_list *ret_list)
{
	struct seen seen;
	int r = look(socket, arena, &seen);
	struct tunnel_state *items = r == 0 ? arena_array(arena, seen.link_count + 1, struct tunnel_state) : NULL;
	size_t count = 0;
	if (r == 0 && !items)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < seen.link_count; i++) {
		if (!seen.links[i].ours && !tunnel_find(like, seen.links[i].name))
			continue;
		r = observe_one(&seen, &seen.links[i], &items[count]);
		count += r == 0;
		if (r == -ENODEV) /* gone meanwhile */
			r = 0;
	}
	if (r < 0)
		return r;
	qsort(items, count, sizeof(*items), tunnel_compare);
	*ret_list = (struct tunnel_list){.arena = arena, .items = items, .count = count};
	return 0;
}

/* A dump that failed leaves the rest of its answers in the socket. */
static int reopen(struct link_socket *socket)
{
	struct link_socket fresh;
	int r = link_open(&fresh);
	if (r < 0)
		return r;
	link_close(socket);
	*socket = fresh;
	return 0;
}

static int observe(struct tunnel_kernel *kernel, const struct tunnel_list *like, struct tunnel_list *ret_list)
{
	struct real_tunnels *real = real_tunnels_of(kernel);
	for (int tries = 0; tries < READ_AGAIN_MOST; tries++) {
		cleanup_arena struct arena *arena = arena_new();
		int r = arena ? observe_into(&real->socket, like, arena, ret_list) : -ENOMEM;
		if (r == 0)
			arena = NULL;
		if (r == 0)
			return 0;
		int opened = reopen(&real->socket);
		if (r != -EINTR || opened < 0)
			return r;
	}
	return -EAGAIN;
}

static void close_tunnels(struct tunnel_kernel **kernel)
{
	if (!kernel || !*kernel)
		return;
	struct real_tunnels *real = real_tunnels_of(*kernel);
	link_close(&real->socket);
	free(real);
	*kernel = NULL;
}

static const struct tunnel_kernel_ops ops = {.observe = observe, .commit = tunnels_commit, .close = close_tunnels};

int tunnel_kernel_open(const struct tunnel_secrets *secrets, struct tunnel_kernel **ret_kernel)
{
	struct real_tunnels *real = calloc(1, sizeof(*real));
	if (!real)
		return -ENOMEM;
	*real = (struct real_tunnels){.kernel.ops = &ops, .socket = LINK_SOCKET_NONE, .secrets = secrets};
	int r = link_open(&real->socket);
	if (r < 0) {
		free(real);
		return r;
	}
	*ret_kernel = &real->kernel;
	return 0;
}

enum tunnel_backend tunnel_kernel_backend(struct tunnel_kernel *kernel)
{
	if (kernel->ops != &ops)
		return TUNNEL_BACKEND_NONE;
	struct real_tunnels *real = real_tunnels_of(kernel);
	const char *wish = getenv("EDGED_WIREGUARD");
	struct link probe;
	if (real->backend == TUNNEL_BACKEND_NONE && wish && strcmp(wish, "userspace") == 0)
		real->backend = TUNNEL_BACKEND_USERSPACE;
	if (real->backend != TUNNEL_BACKEND_NONE)
		return real->backend;
	int r = link_add_wireguard(&real->socket, PROBE_DEVICE);
	if ((r == 0 || r == -EEXIST) && link_find(&real->socket, PROBE_DEVICE, &probe) == 0)
		(void)link_delete(&real->socket, probe.index);
	/* Any other error says nothing of what this kernel has: the next use of it fails too, and tells. */
	if (r != 0 && r != -EEXIST && r != -EOPNOTSUPP)
		return TUNNEL_BACKEND_KERNEL;
	real->backend = r == -EOPNOTSUPP ? TUNNEL_BACKEND_USERSPACE : TUNNEL_BACKEND_KERNEL;
	return real->backend;
}

size_t tunnel_devices(const struct tunnel_list *list, struct tunnel_device *ret_devices, size_t room)
{
	size_t count = 0;
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].foreign || list->items[i].broken)
			continue;
		if (count < room)
			ret_devices[count] = (struct tunnel_device){list->items[i].name, list->items[i].index};
		count++;
	}
	return count;
}
