/* Binding, keeping and lending the forwarder's listening sockets: one for each
 * worker and listener, with SO_REUSEPORT. Never accepts. */
#include "listener.h"

#include "log.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct bound {
	uint32_t id;
	struct addr address;
	uint16_t port;
	int *sockets; /* one per worker */
	bool *lent;
};

struct listeners {
	struct bound *items;
	size_t count, capacity;
	unsigned workers;
};

struct listeners *listeners_new(unsigned workers)
{
	struct listeners *listeners = calloc(1, sizeof(*listeners));
	if (listeners)
		listeners->workers = workers;
	return listeners;
}

static void bound_free(struct bound *bound, unsigned workers)
{
	for (unsigned i = 0; bound->sockets && i < workers; i++)
		if (bound->sockets[i] >= 0)
			close(bound->sockets[i]);
	free(bound->sockets);
	free(bound->lent);
	*bound = (struct bound){0};
}

void listeners_free(struct listeners **listeners)
{
	if (!listeners || !*listeners)
		return;
	for (size_t i = 0; i < (*listeners)->count; i++)
		bound_free(&(*listeners)->items[i], (*listeners)->workers);
	free((*listeners)->items);
	free(*listeners);
	*listeners = NULL;
}

static int bind_to(int fd, const struct addr *address, uint16_t port, bool v6)
{
	if (v6) {
		struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
		if (address->family)
			memcpy(&to.sin6_addr, address->bytes, 16);
		return bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
	}
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	if (address->family)
		memcpy(&to.sin_addr, address->bytes, 4);
	return bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

static int open_family(const struct addr *address, uint16_t port, bool reuse, bool v6)
{
	int on = 1, off = 0;
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (reuse)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, address->family ? &on : &off, sizeof(on));
	/* The address may come later than the daemon. */
	if (address->family)
		setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof(on));
	int r = bind_to(fd, address, port, v6);
	if (r == 0 && listen(fd, 4096) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int listener_open(const struct addr *address, uint16_t port, bool reuse)
{
	if (address->family)
		return open_family(address, port, reuse, address->family == FAMILY_V6);
	int fd = open_family(address, port, reuse, true);
	/* A kernel without IPv6. */
	return fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL ? open_family(address, port, reuse, false) : fd;
}

static struct bound *find(struct listeners *listeners, uint32_t id)
{
	for (size_t i = 0; i < listeners->count; i++)
		if (listeners->items[i].id == id)
			return &listeners->items[i];
	return NULL;
}

static int add(struct listeners *listeners, const struct proxy_listener *wanted)
{
	if (listeners->count == listeners->capacity) {
		size_t capacity = listeners->capacity ? listeners->capacity * 2 : 16;
		struct bound *grown = realloc(listeners->items, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		listeners->items = grown;
		listeners->capacity = capacity;
	}
	struct bound bound = {.id = wanted->id,
			      .address = wanted->address,
			      .port = wanted->port,
			      .sockets = malloc(listeners->workers * sizeof(int)),
			      .lent = calloc(listeners->workers, sizeof(bool))};
	int r = bound.sockets && bound.lent ? 0 : -ENOMEM;
	for (unsigned i = 0; bound.sockets && i < listeners->workers; i++)
		bound.sockets[i] = -1;
	for (unsigned i = 0; r == 0 && i < listeners->workers; i++) {
		r = listener_open(&wanted->address, wanted->port, true);
		if (r >= 0) {
			bound.sockets[i] = r;
			r = 0;
		}
	}
	if (r < 0) {
		bound_free(&bound, listeners->workers);
		return r;
	}
	listeners->items[listeners->count++] = bound;
	return 0;
}

int listeners_prepare(struct listeners *listeners, const struct proxy_config *config,
		      const struct proxy_listener **ret_failed)
{
	size_t before = listeners->count;
	for (size_t i = 0; i < config->listener_count; i++) {
		if (find(listeners, config->listeners[i].id))
			continue;
		int r = add(listeners, &config->listeners[i]);
		if (r < 0) {
			while (listeners->count > before)
				bound_free(&listeners->items[--listeners->count], listeners->workers);
			*ret_failed = &config->listeners[i];
			return r;
		}
	}
	return 0;
}

void listeners_prepare_some(struct listeners *listeners, struct proxy_config *config)
{
	size_t kept = 0;
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct proxy_listener *wanted = &config->listeners[i];
		int r = find(listeners, wanted->id) ? 0 : add(listeners, wanted);
		if (r == 0)
			config->listeners[kept++] = *wanted;
		else
			log_error("proxy",
				  "forward \"%s\" does not listen on port %u: %s (see `ss -ltnp sport = :%u`); tried "
				  "again at the next change",
				  config->forwards[wanted->forward].name, wanted->port, strerror(-r), wanted->port);
	}
	config->listener_count = kept;
}

void listeners_retire(struct listeners *listeners, const struct proxy_config *config)
{
	size_t kept = 0;
	for (size_t i = 0; i < listeners->count; i++) {
		bool wanted = false;
		for (size_t j = 0; j < config->listener_count && !wanted; j++)
			wanted = config->listeners[j].id == listeners->items[i].id;
		if (wanted)
			listeners->items[kept++] = listeners->items[i];
		else
			bound_free(&listeners->items[i], listeners->workers);
	}
	listeners->count = kept;
}

int listeners_lend(struct listeners *listeners, struct roles *roles, unsigned worker)
{
	for (size_t i = 0; i < listeners->count; i++) {
		struct bound *bound = &listeners->items[i];
		if (bound->lent[worker])
			continue;
		struct wire_writer writer cleanup_wire = {0};
		wire_put_u32(&writer, bound->id);
		int r = roles_send(roles, ROLE_PROXY, worker, MSG_PROXY_LISTENER, 0, &writer, &bound->sockets[worker],
				   1);
		if (r < 0)
			return r;
		bound->lent[worker] = true;
	}
	return 0;
}

void listeners_forget(struct listeners *listeners, unsigned worker)
{
	for (size_t i = 0; i < listeners->count; i++)
		listeners->items[i].lent[worker] = false;
}
