/* Tunnel steps -> devices, addresses, routes and one request for each device.
 * The only place where keys are loaded; they are wiped before it returns. What
 * is gone already when it is to be removed is no error. */
#include "tunnel_kernel.h"

#include "tunnel_backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *explain(int error)
{
	switch (-error) {
	case ENOENT:
		return "this kernel has no WireGuard, and wireguard-go is not installed";
	case ECHILD:
		return "wireguard-go ended at once (is the name taken, or /dev/net/tun missing?)";
	case ETIMEDOUT:
		return "no answer in time";
	case ENOTCONN:
		return "nobody answers for the device";
	case ENOKEY:
		return "its key file cannot be read";
	case EEXIST:
		return "it is there already, and not edged's";
	case EADDRINUSE:
		return "the port is in use";
	case EPERM:
		return "not allowed: no CAP_NET_ADMIN";
	case ENODEV:
		return "the device is not there";
	default:
		return strerrordesc_np(-error);
	}
}

static int fail(struct real_tunnels *real, int error, const struct step *step, struct commit_error *ret_error)
{
	const char *what = explain(error);
	snprintf(real->what, sizeof(real->what), "%s", what ? what : "refused");
	*ret_error = (struct commit_error){.error = error, .step = step, .what = real->what};
	return error;
}

static int delete_tunnel(struct real_tunnels *real, const struct step *step)
{
	int r = link_delete(&real->socket, step->tunnel->index);
	if (step->tunnel->backend == TUNNEL_BACKEND_USERSPACE) {
		int stopped = userspace_stop(step->tunnel->name);
		r = r == 0 || r == -ENODEV ? stopped : r;
	}
	return r == -ENODEV ? 0 : r;
}

static int add_tunnel(struct real_tunnels *real, const struct step *step)
{
	int r = tunnel_kernel_backend(&real->kernel) == TUNNEL_BACKEND_KERNEL
			? link_add_wireguard(&real->socket, step->tunnel->name)
			: 0;
	struct link link;
	if (r == 0 && real->backend == TUNNEL_BACKEND_USERSPACE) {
		/* wireguard-go would take a tun device that is there; and one that lost its device still has the socket. */
		if (link_find(&real->socket, step->tunnel->name, &link) == 0)
			return -EEXIST;
		userspace_stop(step->tunnel->name);
		r = userspace_start(step->tunnel->name);
	}
	if (r == 0)
		r = link_find(&real->socket, step->tunnel->name, &link);
	/* Down, with our alias: from now on it is known as ours. */
	return r == 0 ? link_set(&real->socket, link.index, step->tunnel->mtu, false) : r;
}

static int prepare_peer(struct real_tunnels *real, const struct step *step, struct peer_change *change)
{
	const struct tunnel_peer *peer = step->peer, *before = step->peer_before;
	*change = (struct peer_change){
		.peer = peer,
		.remove = step->kind == STEP_DELETE_PEER,
		.is_new = !before,
		.set_preshared = before ? memcmp(before->preshared, peer->preshared, TUNNEL_KEY_SIZE) != 0
					: !tunnel_key_is_zero(peer->preshared),
		.set_keepalive = before ? before->keepalive != peer->keepalive : peer->keepalive != 0,
		.set_endpoint = step->set_endpoint,
		.set_allowed = !before || !tunnel_prefixes_equal(before->allowed, before->allowed_count, peer->allowed,
								 peer->allowed_count)};
	if (change->remove || !change->set_preshared || tunnel_key_is_zero(peer->preshared))
		return 0;
	int r = real->secrets->preshared_key(real->secrets->context, step->tunnel->name, peer->name, change->preshared);
	return r < 0 && r != -ENOMEM ? -ENOKEY : r;
}

static bool is_of_request(const struct step *step)
{
	return step->kind == STEP_SET_TUNNEL || step->kind == STEP_DELETE_PEER || step->kind == STEP_SET_PEER;
}

/* All that one request says: the steps of this tunnel among those from first on. */
static int prepare_change(struct real_tunnels *real, const struct step *steps, size_t count, const char *name,
			  struct tunnel_change *change)
{
	int r = 0;
	change->device = name;
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (!is_of_request(&steps[i]) || strcmp(steps[i].tunnel->name, name) != 0)
			continue;
		if (steps[i].kind == STEP_SET_TUNNEL) {
			change->set_device = true;
			change->listen = steps[i].tunnel->listen;
			r = real->secrets->private_key(real->secrets->context, name, change->private_key);
			r = r < 0 && r != -ENOMEM ? -ENOKEY : r;
		} else {
			r = prepare_peer(real, &steps[i], &change->peers[change->count]);
			change->count++;
		}
	}
	return r;
}

static int send_change(struct real_tunnels *real, const struct tunnel_change *change)
{
	struct link link;
	int r = link_find(&real->socket, change->device, &link);
	if (r < 0)
		return r;
	return link.kind == LINK_WIREGUARD ? wireguard_set(change) : userspace_set(change);
}

/* The first step of a tunnel's request sends all of it. */
static int request(struct real_tunnels *real, const struct step *steps, size_t count, size_t at)
{
	const char *name = steps[at].tunnel->name;
	for (size_t i = 0; i < at; i++) {
		if (is_of_request(&steps[i]) && strcmp(steps[i].tunnel->name, name) == 0)
			return 0;
	}
	struct tunnel_change change = {0};
	change.peers = calloc(count, sizeof(*change.peers));
	if (!change.peers)
		return -ENOMEM;
	int r = prepare_change(real, steps, count, name, &change);
	if (r == 0)
		r = send_change(real, &change);
	explicit_bzero(change.peers, count * sizeof(*change.peers));
	free(change.peers);
	explicit_bzero(&change, sizeof(change));
	return r;
}

static int on_link(struct real_tunnels *real, const struct step *step)
{
	struct link link;
	int r = link_find(&real->socket, step->tunnel->name, &link);
	if (r < 0)
		return r;
	bool add = step->kind == STEP_ADD_ADDRESS || step->kind == STEP_ADD_ROUTE;
	enum link_route_how how = !add ? LINK_ROUTE_DELETE : step->replace ? LINK_ROUTE_REPLACE : LINK_ROUTE_ADD;
	if (step->kind == STEP_SET_LINK)
		return link_set(&real->socket, link.index, step->tunnel->mtu, step->tunnel->up);
	if (step->kind == STEP_ADD_ADDRESS || step->kind == STEP_DELETE_ADDRESS)
		r = link_address(&real->socket, add, link.index, step->prefix);
	else
		r = link_route(&real->socket, how, link.index, step->prefix);
	bool gone = r == -ESRCH || r == -EADDRNOTAVAIL || r == -ENOENT;
	return !add && gone ? 0 : r;
}

static int commit_step(struct real_tunnels *real, const struct step *steps, size_t count, size_t at)
{
	const struct step *step = &steps[at];
	if (step->kind == STEP_DELETE_TUNNEL)
		return delete_tunnel(real, step);
	if (step->kind == STEP_ADD_TUNNEL)
		return add_tunnel(real, step);
	if (is_of_request(step))
		return request(real, steps, count, at);
	return step->kind > STEP_ADD_TUNNEL && step->kind < STEP_KINDS ? on_link(real, step) : -EINVAL;
}

int tunnels_commit(struct tunnel_kernel *kernel, const struct step *steps, size_t count, struct commit_error *ret_error)
{
	struct real_tunnels *real = real_tunnels_of(kernel);
	for (size_t i = 0; i < count; i++) {
		int r = commit_step(real, steps, count, i);
		if (r < 0)
			return fail(real, r, &steps[i], ret_error);
	}
	return 0;
}
