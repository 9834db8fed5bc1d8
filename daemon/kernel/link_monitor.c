/* The listener for devices and filters. It says only that something has
 * changed: who wants to know what looks for himself. It changes nothing. */
#include "link_monitor.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READS_MOST 64 /* in one call, so that a flood of changes cannot hold the event loop */

struct link_monitor {
	int fd;
};

static int join(int fd, int group)
{
	return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ? -errno : 0;
}

int link_monitor_open(struct link_monitor **ret_monitor)
{
	struct link_monitor *monitor = calloc(1, sizeof(*monitor));
	if (!monitor)
		return -ENOMEM;
	monitor->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	/* A socket without a port is taken for the kernel's own, and hears nothing of what the kernel itself says. */
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	int r = monitor->fd < 0 || bind(monitor->fd, (struct sockaddr *)&any, sizeof(any)) < 0 ? -errno : 0;
	if (r == 0)
		r = join(monitor->fd, RTNLGRP_LINK);
	if (r == 0)
		r = join(monitor->fd, RTNLGRP_TC);
	if (r < 0) {
		link_monitor_close(&monitor);
		return r;
	}
	*ret_monitor = monitor;
	return 0;
}

void link_monitor_close(struct link_monitor **monitor)
{
	if (!monitor || !*monitor)
		return;
	if ((*monitor)->fd >= 0)
		close((*monitor)->fd);
	free(*monitor);
	*monitor = NULL;
}

int link_monitor_fd(const struct link_monitor *monitor)
{
	return monitor->fd;
}

static bool matters(const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
	case RTM_NEWQDISC:
	case RTM_DELQDISC:
	case RTM_NEWTFILTER:
	case RTM_DELTFILTER:
		return true;
	default:
		return false;
	}
}

bool link_monitor_read(struct link_monitor *monitor)
{
	alignas(struct nlmsghdr) char buffer[32768];
	bool changed = false;
	for (int reads = 0; reads < READS_MOST; reads++) {
		ssize_t size = recv(monitor->fd, buffer, sizeof(buffer), MSG_DONTWAIT | MSG_TRUNC);
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		/* Lost (ENOBUFS), or more than there is room for: whatever it was. */
		if (size < 0 || (size_t)size > sizeof(buffer)) {
			changed = true;
			continue;
		}
		unsigned left = (unsigned)size;
		for (const struct nlmsghdr *message = (const struct nlmsghdr *)buffer; NLMSG_OK(message, left);
		     message = NLMSG_NEXT(message, left))
			changed |= matters(message);
	}
	return changed;
}
