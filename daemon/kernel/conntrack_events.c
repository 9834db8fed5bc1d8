/* The listener for flows that come to stand. Of a flow's half a dozen
 * notifications one says "established": the others are passed over before they
 * are parsed. It changes nothing. */
#include "conntrack_events.h"

#include "nft_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define READS_MOST 64        /* in one call, so that a flood of connections cannot hold the event loop */
#define ROOM (1024 * 1024)   /* of the socket, in bytes: some thousand notifications */

struct conntrack_events {
	struct nft_socket socket;
};

int conntrack_events_open(struct conntrack_events **ret_events)
{
	struct conntrack_events *events = calloc(1, sizeof(*events));
	if (!events)
		return -ENOMEM;
	events->socket = NFT_SOCKET_NONE;
	int group = NFNLGRP_CONNTRACK_UPDATE, r = nft_socket_open(&events->socket);
	if (r == 0)
		(void)setsockopt(events->socket.fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){ROOM}, sizeof(int));
	if (r == 0 && setsockopt(events->socket.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		r = -errno;
	if (r < 0) {
		conntrack_events_close(&events);
		return r;
	}
	*ret_events = events;
	return 0;
}

void conntrack_events_close(struct conntrack_events **events)
{
	if (!events || !*events)
		return;
	nft_socket_close(&(*events)->socket);
	free(*events);
	*events = NULL;
}

int conntrack_events_fd(const struct conntrack_events *events)
{
	return events->socket.fd;
}

struct glance {
	uint32_t mark;
	uint8_t state;
};

static int take_state(const struct nlattr *attribute, void *data)
{
	struct glance *glance = data;
	if (mnl_attr_get_type(attribute) == CTA_PROTOINFO_TCP_STATE && mnl_attr_validate(attribute, MNL_TYPE_U8) >= 0)
		glance->state = mnl_attr_get_u8(attribute);
	return MNL_CB_OK;
}

static int take_tcp(const struct nlattr *attribute, void *data)
{
	if (mnl_attr_get_type(attribute) == CTA_PROTOINFO_TCP)
		(void)mnl_attr_parse_nested(attribute, take_state, data);
	return MNL_CB_OK;
}

static int take_glance(const struct nlattr *attribute, void *data)
{
	struct glance *glance = data;
	if (mnl_attr_get_type(attribute) == CTA_MARK && mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
		glance->mark = ntohl(mnl_attr_get_u32(attribute));
	else if (mnl_attr_get_type(attribute) == CTA_PROTOINFO)
		(void)mnl_attr_parse_nested(attribute, take_tcp, glance);
	return MNL_CB_OK;
}

static bool came_to_stand(const struct nlmsghdr *message, uint32_t mark, uint32_t mask)
{
	struct glance glance = {0};
	if (message->nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW) ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(struct nfgenmsg))
		return false;
	(void)mnl_attr_parse(message, sizeof(struct nfgenmsg), take_glance, &glance);
	return glance.state == TCP_CONNTRACK_ESTABLISHED && (glance.mark & mask) == mark;
}

bool conntrack_events_read(struct conntrack_events *events, uint32_t mark, uint32_t mask,
			   void (*look)(void *context, const struct flow *flow), void *context)
{
	bool lost = false;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	for (int reads = 0; reads < READS_MOST; reads++) {
		long size = nft_socket_receive(&events->socket, MSG_DONTWAIT);
		if (size == -ENOBUFS)
			lost = true;
		if (size == 0 || (size < 0 && size != -ENOBUFS))
			break;
		int left = size < 0 ? 0 : (int)size;
		for (const struct nlmsghdr *message = (const void *)events->socket.buffer; mnl_nlmsg_ok(message, left);
		     message = mnl_nlmsg_next(message, &left)) {
			struct flow flow;
			if (came_to_stand(message, mark, mask) &&
			    conntrack_flow_of(message, (uint64_t)now.tv_sec * 1000000000u, &flow) == 0)
				look(context, &flow);
		}
	}
	return lost;
}
