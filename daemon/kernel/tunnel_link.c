/* rtnetlink through libmnl: links, addresses and routes of tunnel devices. It
 * decides nothing; waits at most ANSWER_MS for an answer; retries nothing. */
#include "tunnel_link.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MS 5000
#define ANSWER_ROOM 65536
#define SIGNALS_MOST 1000 /* while one answer is waited for */
#define REQUEST_ROOM 1024

typedef int link_answer(const struct nlmsghdr *message, void *data);

int link_open(struct link_socket *ret_socket)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	int one = 1;
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one)) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	*ret_socket = (struct link_socket){.fd = fd};
	return 0;
}

void link_close(struct link_socket *socket)
{
	if (socket->fd >= 0)
		close(socket->fd);
	*socket = LINK_SOCKET_NONE;
}

/* 1: go on; 0: the end; or -errno. */
static int take(const struct nlmsghdr *message, uint32_t sequence, link_answer *callback, void *data)
{
	if (message->nlmsg_seq != sequence)
		return 1;
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		return -EINTR;
	if (message->nlmsg_type == NLMSG_DONE) {
		/* A dump that failed half way says so here, and nowhere else (net/netlink/af_netlink.c, netlink_dump). */
		int result = 0;
		if (mnl_nlmsg_get_payload_len(message) >= sizeof(result))
			memcpy(&result, mnl_nlmsg_get_payload(message), sizeof(result));
		return result < 0 ? result : 0;
	}
	if (message->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
		return mnl_nlmsg_get_payload_len(message) < sizeof(error->error) || error->error > 0 ? -EBADMSG : error->error;
	}
	int r = callback ? callback(message, data) : 0;
	return r < 0 ? r : 1;
}

static int receive(struct link_socket *socket, void *buffer, size_t room, size_t *ret_length)
{
	struct pollfd wait = {.fd = socket->fd, .events = POLLIN};
	int ready, signals = 0;
	do
		ready = poll(&wait, 1, ANSWER_MS);
	while (ready < 0 && errno == EINTR && ++signals < SIGNALS_MOST);
	if (ready <= 0)
		return ready < 0 ? -EIO : -ETIMEDOUT;
	struct sockaddr_nl from = {0};
	socklen_t from_length = sizeof(from);
	ssize_t length = recvfrom(socket->fd, buffer, room, MSG_TRUNC | MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
	if (length < 0)
		return -errno;
	if ((size_t)length > room)
		return -EMSGSIZE;
	*ret_length = from.nl_pid == 0 ? (size_t)length : 0;
	return 0;
}

bool link_message_ok(const struct nlmsghdr *message, int left)
{
	return left >= (int)sizeof(*message) && message->nlmsg_len >= sizeof(*message) && message->nlmsg_len <= (unsigned)left;
}

static int ask(struct link_socket *socket, struct nlmsghdr *request, link_answer *callback, void *data)
{
	alignas(struct nlmsghdr) static uint8_t buffer[ANSWER_ROOM];
	request->nlmsg_seq = ++socket->sequence;
	if (send(socket->fd, request, request->nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		size_t length = 0;
		int r = receive(socket, buffer, sizeof(buffer), &length);
		if (r < 0)
			return r;
		int left = (int)length;
		for (const struct nlmsghdr *message = (const void *)buffer; link_message_ok(message, left);
		     message = mnl_nlmsg_next(message, &left)) {
			r = take(message, socket->sequence, callback, data);
			if (r <= 0)
				return r;
		}
	}
}

static struct nlmsghdr *begin(void *room, uint16_t type, uint16_t flags, size_t header)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(room);
	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	mnl_nlmsg_put_extra_header(message, header);
	return message;
}

/* Attributes by number; what is above most is left out. */
static void index_attributes(const void *data, size_t length, const struct nlattr **ret_table, size_t most)
{
	int left = (int)length;
	for (const struct nlattr *attribute = data; mnl_attr_ok(attribute, left); attribute = mnl_attr_next(attribute)) {
		if (mnl_attr_get_type(attribute) <= most)
			ret_table[mnl_attr_get_type(attribute)] = attribute;
		left -= (int)NLMSG_ALIGN(attribute->nla_len);
	}
}

static void index_message(const struct nlmsghdr *message, size_t header, const struct nlattr **ret_table, size_t most)
{
	index_attributes(mnl_nlmsg_get_payload_offset(message, header), mnl_nlmsg_get_payload_len(message) - header,
			 ret_table, most);
}

static bool has(const struct nlattr *attribute, size_t length)
{
	return attribute && mnl_attr_get_payload_len(attribute) >= length;
}

static bool is_text(const struct nlattr *attribute, const char *text)
{
	size_t length = strlen(text);
	return has(attribute, length + 1) && memcmp(mnl_attr_get_payload(attribute), text, length + 1) == 0;
}

/* "tun" also names taps; those have hardware addresses, and nothing of ours. */
static enum link_kind read_kind(const struct nlattr *info)
{
	const struct nlattr *table[IFLA_INFO_KIND + 1] = {0};
	if (!info)
		return LINK_OTHER;
	index_attributes(mnl_attr_get_payload(info), mnl_attr_get_payload_len(info), table, IFLA_INFO_KIND);
	return is_text(table[IFLA_INFO_KIND], "wireguard") ? LINK_WIREGUARD
	       : is_text(table[IFLA_INFO_KIND], "tun")	   ? LINK_TUN
							   : LINK_OTHER;
}

static int read_link(const struct nlmsghdr *message, struct link *ret_link)
{
	const struct ifinfomsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *table[IFLA_LINKINFO + 3] = {0}; /* up to IFLA_IFALIAS */
	_Static_assert(IFLA_LINKINFO + 2 == IFLA_IFALIAS, "the table has room for the alias");
	if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*head))
		return -EBADMSG;
	index_message(message, sizeof(*head), table, IFLA_IFALIAS);
	const struct nlattr *name = table[IFLA_IFNAME];
	size_t length = name ? strnlen(mnl_attr_get_payload(name), mnl_attr_get_payload_len(name)) : 0;
	if (length == 0 || length >= IFNAMSIZ)
		return -EBADMSG;
	struct link link = {.index = (uint32_t)head->ifi_index,
			    .up = head->ifi_flags & IFF_UP,
			    .mtu = has(table[IFLA_MTU], 4) ? mnl_attr_get_u32(table[IFLA_MTU]) : 0,
			    .kind = read_kind(table[IFLA_LINKINFO]),
			    .ours = is_text(table[IFLA_IFALIAS], TUNNEL_ALIAS)};
	memcpy(link.name, mnl_attr_get_payload(name), length);
	*ret_link = link;
	return 0;
}

struct link_collect {
	struct arena *arena;
	struct link *links;
	struct link_prefix *prefixes;
	size_t count, capacity;
};

static int collect_link(const struct nlmsghdr *message, void *data)
{
	struct link_collect *collect = data;
	struct link *links =
		arena_grow(collect->arena, collect->links, collect->count, sizeof(*links), &collect->capacity);
	if (!links)
		return -ENOMEM;
	collect->links = links;
	int r = read_link(message, &links[collect->count]);
	collect->count += r == 0;
	return r;
}

int link_list(struct link_socket *socket, struct arena *arena, struct link **ret_links, size_t *ret_count)
{
	alignas(struct nlmsghdr) uint8_t room[REQUEST_ROOM] = {0};
	struct nlmsghdr *request = begin(room, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	struct link_collect collect = {.arena = arena};
	int r = ask(socket, request, collect_link, &collect);
	if (r < 0)
		return r;
	*ret_links = collect.links;
	*ret_count = collect.count;
	return 0;
}

static int take_link(const struct nlmsghdr *message, void *data)
{
	return read_link(message, data);
}

int link_find(struct link_socket *socket, const char *name, struct link *ret_link)
{
	alignas(struct nlmsghdr) uint8_t room[REQUEST_ROOM] = {0};
	struct nlmsghdr *request = begin(room, RTM_GETLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
	struct link link = {0};
	if (strlen(name) >= IFNAMSIZ)
		return -EINVAL;
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	int r = ask(socket, request, take_link, &link);
	if (r == 0)
		*ret_link = link;
	return r;
}

static int add_prefix(struct link_collect *collect, uint32_t index, uint8_t af, const struct nlattr *bytes, uint8_t length)
{
	struct link_prefix item = {.index = index,
				   .prefix = {.addr.family = af == AF_INET ? FAMILY_V4 : FAMILY_V6, .length = length}};
	size_t size = addr_size(item.prefix.addr.family);
	if (length > 8 * size || (bytes && mnl_attr_get_payload_len(bytes) != size))
		return -EBADMSG;
	if (bytes)
		memcpy(item.prefix.addr.bytes, mnl_attr_get_payload(bytes), size);
	struct link_prefix *items =
		arena_grow(collect->arena, collect->prefixes, collect->count, sizeof(*items), &collect->capacity);
	if (!items)
		return -ENOMEM;
	collect->prefixes = items;
	items[collect->count++] = item;
	return 0;
}

static int collect_address(const struct nlmsghdr *message, void *data)
{
	const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *table[IFA_LOCAL + 1] = {0};
	if (message->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(message) < sizeof(*head))
		return -EBADMSG;
	if ((head->ifa_family != AF_INET && head->ifa_family != AF_INET6) || head->ifa_scope == RT_SCOPE_LINK)
		return 0;
	index_message(message, sizeof(*head), table, IFA_LOCAL);
	const struct nlattr *bytes = table[IFA_LOCAL] ? table[IFA_LOCAL] : table[IFA_ADDRESS];
	return bytes ? add_prefix(data, head->ifa_index, head->ifa_family, bytes, head->ifa_prefixlen) : 0;
}

static int collect_route(const struct nlmsghdr *message, void *data)
{
	const struct rtmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *table[RTA_OIF + 1] = {0};
	if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof(*head))
		return -EBADMSG;
	if ((head->rtm_family != AF_INET && head->rtm_family != AF_INET6) || head->rtm_table != RT_TABLE_MAIN ||
	    head->rtm_protocol != TUNNEL_ROUTE_PROTOCOL || head->rtm_flags & RTM_F_CLONED)
		return 0;
	index_message(message, sizeof(*head), table, RTA_OIF);
	if (!has(table[RTA_OIF], 4))
		return 0;
	return add_prefix(data, mnl_attr_get_u32(table[RTA_OIF]), head->rtm_family, table[RTA_DST], head->rtm_dst_len);
}

static int list_prefixes(struct link_socket *socket, uint16_t type, size_t header, link_answer *callback,
			 struct arena *arena, struct link_prefix **ret_items, size_t *ret_count)
{
	alignas(struct nlmsghdr) uint8_t room[REQUEST_ROOM] = {0};
	struct nlmsghdr *request = begin(room, type, NLM_F_DUMP, header);
	/* The kernel leaves out what others have made: there may be a million routes. */
	if (type == RTM_GETROUTE)
		((struct rtmsg *)mnl_nlmsg_get_payload(request))->rtm_protocol = TUNNEL_ROUTE_PROTOCOL;
	struct link_collect collect = {.arena = arena};
	int r = ask(socket, request, callback, &collect);
	if (r < 0)
		return r;
	*ret_items = collect.prefixes;
	*ret_count = collect.count;
	return 0;
}

int link_addresses(struct link_socket *socket, struct arena *arena, struct link_prefix **ret_items, size_t *ret_count)
{
	return list_prefixes(socket, RTM_GETADDR, sizeof(struct ifaddrmsg), collect_address, arena, ret_items, ret_count);
}

int link_routes(struct link_socket *socket, struct arena *arena, struct link_prefix **ret_items, size_t *ret_count)
{
	return list_prefixes(socket, RTM_GETROUTE, sizeof(struct rtmsg), collect_route, arena, ret_items, ret_count);
}

int link_add_wireguard(struct link_socket *socket, const char *name)
{
	alignas(struct nlmsghdr) uint8_t room[REQUEST_ROOM] = {0};
	struct nlmsghdr *request =
		begin(room, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	struct nlattr *info = mnl_attr_nest_start(request, IFLA_LINKINFO);
	mnl_attr_put_strz(request, IFLA_INFO_KIND, "wireguard");
	mnl_attr_nest_end(request, info);
	return ask(socket, request, NULL, NULL);
}

int link_delete(struct link_socket *socket, uint32_t index)
{
	alignas(struct nlmsghdr) uint8_t room[REQUEST_ROOM] = {0};
	struct nlmsghdr *request = begin(room, RTM_DELLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
	((struct ifinfomsg *)mnl_nlmsg_get_payload(request))->ifi_index = (int)index;
	return ask(socket, request, NULL, NULL);
}

int link_set(struct link_socket *socket, uint32_t index, uint32_t mtu, bool up)
{
	alignas(struct nlmsghdr) uint8_t room[REQUEST_ROOM] = {0};
	struct nlmsghdr *request = begin(room, RTM_NEWLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
	struct ifinfomsg *head = mnl_nlmsg_get_payload(request);
	head->ifi_index = (int)index;
	head->ifi_change = IFF_UP;
	head->ifi_flags = up ? IFF_UP : 0;
	mnl_attr_put_u32(request, IFLA_MTU, mtu);
	mnl_attr_put_strz(request, IFLA_IFALIAS, TUNNEL_ALIAS);
	return ask(socket, request, NULL, NULL);
}

static uint8_t kernel_family(const struct prefix *prefix)
{
	return prefix->addr.family == FAMILY_V4 ? AF_INET : AF_INET6;
}

int link_address(struct link_socket *socket, bool add, uint32_t index, const struct prefix *prefix)
{
	alignas(struct nlmsghdr) uint8_t room[REQUEST_ROOM] = {0};
	uint16_t flags = NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
	struct nlmsghdr *request = begin(room, add ? RTM_NEWADDR : RTM_DELADDR, flags, sizeof(struct ifaddrmsg));
	struct ifaddrmsg *head = mnl_nlmsg_get_payload(request);
	*head = (struct ifaddrmsg){.ifa_family = kernel_family(prefix), .ifa_prefixlen = prefix->length, .ifa_index = index};
	size_t size = addr_size(prefix->addr.family);
	mnl_attr_put(request, IFA_LOCAL, size, prefix->addr.bytes);
	mnl_attr_put(request, IFA_ADDRESS, size, prefix->addr.bytes);
	/* There are no neighbours in a tunnel to ask for duplicates. */
	if (prefix->addr.family == FAMILY_V6 && add)
		mnl_attr_put_u32(request, IFA_FLAGS, IFA_F_NODAD);
	return ask(socket, request, NULL, NULL);
}

int link_route(struct link_socket *socket, enum link_route_how how, uint32_t index, const struct prefix *prefix)
{
	alignas(struct nlmsghdr) uint8_t room[REQUEST_ROOM] = {0};
	static const uint16_t flags[] = {[LINK_ROUTE_DELETE] = NLM_F_ACK,
					 [LINK_ROUTE_ADD] = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
					 [LINK_ROUTE_REPLACE] = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE};
	struct nlmsghdr *request = begin(room, how == LINK_ROUTE_DELETE ? RTM_DELROUTE : RTM_NEWROUTE, flags[how],
					 sizeof(struct rtmsg));
	struct rtmsg *head = mnl_nlmsg_get_payload(request);
	*head = (struct rtmsg){.rtm_family = kernel_family(prefix),
			       .rtm_dst_len = prefix->length,
			       .rtm_table = RT_TABLE_MAIN,
			       .rtm_protocol = TUNNEL_ROUTE_PROTOCOL,
			       .rtm_scope = prefix->addr.family == FAMILY_V4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
			       .rtm_type = RTN_UNICAST};
	mnl_attr_put(request, RTA_DST, addr_size(prefix->addr.family), prefix->addr.bytes);
	mnl_attr_put_u32(request, RTA_OIF, index);
	return ask(socket, request, NULL, NULL);
}
