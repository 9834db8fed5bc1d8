/* The diff of tunnels: devices that come and go, our key and port, addresses,
 * routes, and peers by public key. A merge of sorted lists throughout, so that
 * what was removed is really removed. */
#include "diff.h"

#include "diff_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Is the endpoint to be written? known: the peer as it was last asked for, or NULL. */
static bool wants_endpoint(const struct tunnel_peer *observed, const struct tunnel_peer *known,
			   const struct tunnel_peer *desired)
{
	if (!observed)
		return desired->endpoint.family != FAMILY_NONE;
	if (desired->endpoint.family == FAMILY_NONE)
		return false;
	if (addr_equal(&observed->endpoint, &desired->endpoint) && observed->endpoint_port == desired->endpoint_port)
		return false;
	bool moved = known && (!addr_equal(&known->endpoint, &desired->endpoint) ||
			       known->endpoint_port != desired->endpoint_port);
	return observed->endpoint.family == FAMILY_NONE || desired->endpoint_back || moved;
}

static bool peer_differs(const struct tunnel_peer *observed, const struct tunnel_peer *desired)
{
	return memcmp(observed->preshared, desired->preshared, TUNNEL_KEY_SIZE) != 0 ||
	       observed->keepalive != desired->keepalive ||
	       !tunnel_prefixes_equal(observed->allowed, observed->allowed_count, desired->allowed, desired->allowed_count);
}

static int diff_peers(struct diff *diff, const struct tunnel_state *observed, const struct tunnel_state *known,
		      const struct tunnel_state *desired)
{
	static const struct tunnel_state none;
	const struct tunnel_state *a = observed ? observed : &none, *b = desired;
	int r = 0;
	for (size_t i = 0, j = 0; r == 0 && (i < a->peer_count || j < b->peer_count);) {
		const struct tunnel_peer *old = i < a->peer_count ? &a->peers[i] : NULL;
		const struct tunnel_peer *new = j < b->peer_count ? &b->peers[j] : NULL;
		int order = !old ? 1 : !new ? -1 : tunnel_compare_peers(old, new);
		struct step step = {.kind = STEP_SET_PEER, .tunnel = b, .peer = new};
		if (order < 0) {
			step.kind = STEP_DELETE_PEER;
			step.peer = old;
			step.at = b->at;
			r = diff_add(diff, &step);
		} else {
			step.at = new->at;
			step.peer_before = order == 0 ? old : NULL;
			const struct tunnel_peer *before = known ? tunnel_find_peer(known, new->public_key) : NULL;
			step.set_endpoint = wants_endpoint(step.peer_before, before, new);
			if (order > 0 || step.set_endpoint || peer_differs(old, new))
				r = diff_add(diff, &step);
		}
		i += order <= 0;
		j += order >= 0;
	}
	return r;
}

/* One sorted list of prefixes against another. */
static int diff_prefixes(struct diff *diff, const struct tunnel_state *tunnel, const struct prefix *a, size_t count_a,
			 const struct prefix *b, size_t count_b, enum step_kind delete, enum step_kind add)
{
	int r = 0;
	for (size_t i = 0, j = 0; r == 0 && (i < count_a || j < count_b);) {
		int order = i == count_a ? 1 : j == count_b ? -1 : tunnel_compare_prefixes(&a[i], &b[j]);
		struct step step = {.kind = order < 0 ? delete : add, .tunnel = tunnel, .at = tunnel->at};
		step.prefix = order < 0 ? &a[i] : &b[j];
		if (order)
			r = diff_add(diff, &step);
		i += order <= 0;
		j += order >= 0;
	}
	return r;
}

/* A tunnel other than this one that has the route. */
static bool is_elsewhere(const struct tunnel_list *list, const struct tunnel_state *tunnel, const struct prefix *route)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct tunnel_state *other = &list->items[i];
		if (strcmp(other->name, tunnel->name) != 0 && other->route_count &&
		    bsearch(route, other->routes, other->route_count, sizeof(*route), tunnel_compare_prefixes))
			return true;
	}
	return false;
}

/* A route that goes over to another tunnel is replaced there, in one step: were it removed first, its packets would for a
 * moment leave by the default route, in the clear. */
static int diff_routes(struct diff *diff, const struct tunnel_state *observed, const struct tunnel_state *desired)
{
	const struct prefix *a = observed->routes, *b = desired->routes;
	int r = 0;
	for (size_t i = 0, j = 0; r == 0 && (i < observed->route_count || j < desired->route_count);) {
		int order = i == observed->route_count	? 1
			    : j == desired->route_count ? -1
							: tunnel_compare_prefixes(&a[i], &b[j]);
		struct step step = {.kind = STEP_DELETE_ROUTE, .tunnel = desired, .prefix = order < 0 ? &a[i] : &b[j],
				    .at = desired->at};
		bool moves = order < 0 && is_elsewhere(&diff->desired->tunnels, desired, &a[i]);
		if (order > 0) {
			step.kind = STEP_ADD_ROUTE;
			step.replace = is_elsewhere(&diff->observed->tunnels, desired, &b[j]);
		}
		if (order && !moves)
			r = diff_add(diff, &step);
		i += order <= 0;
		j += order >= 0;
	}
	return r;
}

/* observed: NULL when the device is made anew. */
static int diff_one(struct diff *diff, const struct tunnel_state *observed, const struct tunnel_state *known,
		    const struct tunnel_state *desired)
{
	static const struct tunnel_state none;
	const struct tunnel_state *a = observed ? observed : &none;
	struct step step = {.kind = STEP_SET_TUNNEL, .tunnel = desired, .at = desired->at};
	int r = 0;
	if (a->listen != desired->listen || memcmp(a->public_key, desired->public_key, TUNNEL_KEY_SIZE) != 0 || !observed)
		r = diff_add(diff, &step);
	if (r == 0)
		r = diff_peers(diff, observed, known, desired);
	step.kind = STEP_SET_LINK;
	if (r == 0 && (a->mtu != desired->mtu || a->up != desired->up || a->foreign))
		r = diff_add(diff, &step);
	if (r == 0)
		r = diff_prefixes(diff, desired, a->addresses, a->address_count, desired->addresses,
				  desired->address_count, STEP_DELETE_ADDRESS, STEP_ADD_ADDRESS);
	/* A device that was down has lost its routes, or loses them with an address. */
	if (r == 0)
		r = diff_routes(diff, a, desired);
	return r;
}

static int keep_tunnel(struct diff *diff, const struct tunnel_state *observed, const struct tunnel_state *desired)
{
	const struct tunnel_state *known = diff->known ? tunnel_find(&diff->known->tunnels, desired->name) : NULL;
	bool ours = memcmp(observed->public_key, desired->public_key, TUNNEL_KEY_SIZE) == 0;
	if (!observed->broken && (!observed->foreign || ours))
		return diff_one(diff, observed, known, desired);
	int r = 0;
	/* Somebody else's device is left alone: adding ours fails, and says so. */
	if (!observed->foreign)
		r = diff_add(diff, &(struct step){.kind = STEP_DELETE_TUNNEL, .tunnel = observed, .at = desired->at});
	if (r == 0)
		r = diff_add(diff, &(struct step){.kind = STEP_ADD_TUNNEL, .tunnel = desired, .at = desired->at});
	return r < 0 ? r : diff_one(diff, NULL, known, desired);
}

int diff_tunnels(struct diff *diff)
{
	const struct tunnel_list *a = &diff->observed->tunnels, *b = &diff->desired->tunnels;
	int r = 0;
	for (size_t i = 0, j = 0; r == 0 && (i < a->count || j < b->count);) {
		const struct tunnel_state *old = i < a->count ? &a->items[i] : NULL, *new = j < b->count ? &b->items[j] : NULL;
		int order = !old ? 1 : !new ? -1 : strcmp(old->name, new->name);
		if (order < 0 && !old->foreign)
			r = diff_add(diff, &(struct step){.kind = STEP_DELETE_TUNNEL, .tunnel = old});
		if (order > 0)
			r = diff_add(diff, &(struct step){.kind = STEP_ADD_TUNNEL, .tunnel = new, .at = new->at});
		if (r == 0 && order > 0)
			r = diff_one(diff, NULL, NULL, new);
		if (order == 0)
			r = keep_tunnel(diff, old, new);
		i += order <= 0;
		j += order >= 0;
	}
	return r;
}
