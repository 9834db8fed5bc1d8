/* rtnetlink, as far as tunnels need it: links of two kinds, their addresses
 * and our routes. Every request is acknowledged, and waits a bounded time. */
#pragma once

#include "../../rules/base/addr.h"
#include "../../rules/base/arena.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What edged's devices are known by; `ip link` shows it. */
#define TUNNEL_ALIAS "edged tunnel"
/* The origin of edged's routes (rtm_protocol); numbers above 4 are for whoever takes them (linux/rtnetlink.h). */
#define TUNNEL_ROUTE_PROTOCOL 237

enum link_kind { LINK_OTHER, LINK_WIREGUARD, LINK_TUN };

struct link {
	char name[IFNAMSIZ];
	uint32_t index, mtu;
	enum link_kind kind;
	bool up, ours;
};

struct link_prefix {
	uint32_t index; /* of the device */
	struct prefix prefix;
};

struct link_socket {
	int fd;
	uint32_t sequence;
};

#define LINK_SOCKET_NONE ((struct link_socket){.fd = -1})

/* Is the message whole? libmnl's own check takes a length of 2 GiB and more for a negative number. */
struct nlmsghdr;
bool link_message_ok(const struct nlmsghdr *message, int left);

int link_open(struct link_socket *ret_socket);
void link_close(struct link_socket *socket);
/* -EINTR: changed while it was read. */
int link_list(struct link_socket *socket, struct arena *arena, struct link **ret_links, size_t *ret_count);
int link_find(struct link_socket *socket, const char *name, struct link *ret_link);
/* Global addresses (host bits kept); routes of ours in the main table. */
int link_addresses(struct link_socket *socket, struct arena *arena, struct link_prefix **ret_items, size_t *ret_count);
int link_routes(struct link_socket *socket, struct arena *arena, struct link_prefix **ret_items, size_t *ret_count);

/* -EOPNOTSUPP: this kernel has no WireGuard. */
int link_add_wireguard(struct link_socket *socket, const char *name);
/* -ENODEV when it is not there. */
int link_delete(struct link_socket *socket, uint32_t index);
/* MTU, our alias, and up or down. */
int link_set(struct link_socket *socket, uint32_t index, uint32_t mtu, bool up);
int link_address(struct link_socket *socket, bool add, uint32_t index, const struct prefix *prefix);
/* An add is refused (-EEXIST) while there is another route to the same place; a replacement takes its place, at once. */
enum link_route_how { LINK_ROUTE_DELETE, LINK_ROUTE_ADD, LINK_ROUTE_REPLACE };
int link_route(struct link_socket *socket, enum link_route_how how, uint32_t index, const struct prefix *prefix);
