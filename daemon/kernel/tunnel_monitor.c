/* The listener for changes of links, addresses and routes (rtnetlink's
 * multicast groups). It tells only that something of a tunnel may have
 * changed: looking and comparing is the engine's. It never writes. */
#include "tunnel_kernel.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READS_MOST 64
#define ROOM 65536

int tunnel_monitor_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
				     .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
						  RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
	if (bind(fd, (struct sockaddr *)&groups, sizeof(groups)) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static bool knows_index(const struct tunnel_list *tunnels, uint32_t index)
{
	for (size_t i = 0; i < tunnels->count; i++) {
		if (tunnels->items[i].index == index)
			return true;
	}
	return false;
}

/* A route that is ours was added or removed: by its origin, for its device may be gone. */
static bool concerns(const struct nlmsghdr *message, const struct tunnel_list *tunnels)
{
	const void *head = mnl_nlmsg_get_payload(message);
	size_t length = mnl_nlmsg_get_payload_len(message);
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return length >= sizeof(struct ifinfomsg) &&
		       knows_index(tunnels, (uint32_t)((const struct ifinfomsg *)head)->ifi_index);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return length >= sizeof(struct ifaddrmsg) &&
		       knows_index(tunnels, ((const struct ifaddrmsg *)head)->ifa_index);
	case RTM_DELROUTE:
		return length >= sizeof(struct rtmsg) &&
		       ((const struct rtmsg *)head)->rtm_protocol == TUNNEL_ROUTE_PROTOCOL;
	default:
		return false;
	}
}

bool tunnel_monitor_read(int fd, const struct tunnel_list *tunnels)
{
	alignas(struct nlmsghdr) static uint8_t buffer[ROOM];
	bool found = false;
	for (int reads = 0; reads < READS_MOST; reads++) {
		ssize_t length = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (length < 0 && errno == ENOBUFS) /* something was lost: look */
			found = true;
		if (length <= 0)
			break;
		int left = (int)length;
		for (const struct nlmsghdr *message = (const void *)buffer; link_message_ok(message, left);
		     message = mnl_nlmsg_next(message, &left))
			found |= concerns(message, tunnels);
	}
	return found;
}
