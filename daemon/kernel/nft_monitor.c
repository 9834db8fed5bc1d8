/* The listener for changes of the ruleset. Notifications of one transaction
 * come before that of the generation it made, and carry the netlink port of
 * who asked for it. During our own commits nobody listens; should one slip in
 * nevertheless, a filter inside the kernel drops all of it but its generation.
 * It never repairs anything. */
#include "nft_monitor.h"

#include "nft_kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define READS_MOST 64 /* in one call, so that a flood of changes cannot hold the event loop */
#define TYPE(message) ((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (message)))

struct monitor {
	struct kernel *kernel;
	struct nft_socket socket;
	bool touched; /* somebody else has touched our table, in a transaction whose end did not come yet */
	bool deaf;    /* could not listen again after a pause */
};

/* Let through what is not from our own port, and every new generation. The filter loads in network byte order. */
static int filter_own(int fd, uint32_t port)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port), 0, 2),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(TYPE(NFT_MSG_NEWGEN)), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static int listen_to(const struct monitor *monitor, bool listen)
{
	int group = NFNLGRP_NFTABLES;
	return setsockopt(monitor->socket.fd, SOL_NETLINK, listen ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP, &group,
			  sizeof(group)) < 0 ? -errno : 0;
}

int monitor_open(struct kernel *kernel, struct monitor **ret_monitor)
{
	struct monitor *monitor = calloc(1, sizeof(*monitor));
	if (!monitor)
		return -ENOMEM;
	*monitor = (struct monitor){.kernel = kernel, .socket = NFT_SOCKET_NONE};
	int rc = nft_socket_open(&monitor->socket);
	if (rc == 0)
		rc = filter_own(monitor->socket.fd, kernel_owner_port(kernel));
	if (rc == 0)
		rc = listen_to(monitor, true);
	if (rc < 0) {
		monitor_close(&monitor);
		return rc;
	}
	nft_kernel_of(kernel)->monitor = monitor;
	*ret_monitor = monitor;
	return 0;
}

void monitor_close(struct monitor **monitor)
{
	if (!monitor || !*monitor)
		return;
	struct nft_kernel *kernel = nft_kernel_of((*monitor)->kernel);
	if (kernel->monitor == *monitor)
		kernel->monitor = NULL;
	nft_socket_close(&(*monitor)->socket);
	free(*monitor);
	*monitor = NULL;
}

int monitor_fd(const struct monitor *monitor)
{
	return monitor->socket.fd;
}

void monitor_pause(struct monitor *monitor)
{
	if (monitor)
		(void)listen_to(monitor, false);
}

/* Ask for the generation: it comes as any notification does, and if it is none of our own, somebody has changed
 * something meanwhile, whatever it was. */
void monitor_resume(struct monitor *monitor)
{
	if (!monitor)
		return;
	alignas(struct nlmsghdr) char request[64];
	struct nlmsghdr *message = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETGEN, NFPROTO_INET, 0, 0);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	monitor->touched = true;
	if (listen_to(monitor, true) < 0 ||
	    sendto(monitor->socket.fd, message, message->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		monitor->deaf = true;
}

struct seen {
	const char *table;
	uint32_t generation;
};

/* The first attribute of every object is its table's name, that of a generation its number. */
static int take_first(const struct nlattr *attribute, void *data)
{
	struct seen *seen = data;
	if (mnl_attr_get_type(attribute) != 1)
		return MNL_CB_OK;
	if (mnl_attr_get_payload_len(attribute) == sizeof(uint32_t))
		seen->generation = ntohl(mnl_attr_get_u32(attribute));
	if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
		seen->table = mnl_attr_get_str(attribute);
	return MNL_CB_STOP;
}

static enum monitor_change take(struct monitor *monitor, const struct nlmsghdr *message)
{
	struct seen seen = {0};
	if (message->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || mnl_nlmsg_get_payload_len(message) < sizeof(struct nfgenmsg))
		return MONITOR_NOTHING;
	(void)mnl_attr_parse(message, sizeof(struct nfgenmsg), take_first, &seen);
	if (message->nlmsg_type != TYPE(NFT_MSG_NEWGEN)) {
		const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
		if (head->nfgen_family == NFPROTO_INET && seen.table && strcmp(seen.table, STATE_TABLE) == 0)
			monitor->touched = true;
		return MONITOR_NOTHING;
	}
	bool touched = monitor->touched;
	monitor->touched = false;
	if (kernel_is_own_generation(monitor->kernel, seen.generation))
		return MONITOR_OWN;
	return touched ? MONITOR_FOREIGN : MONITOR_NOTHING;
}

enum monitor_change monitor_read(struct monitor *monitor)
{
	enum monitor_change worst = monitor->deaf ? MONITOR_LOST : MONITOR_NOTHING;
	if (monitor->deaf)
		monitor->deaf = listen_to(monitor, true) < 0;
	for (int reads = 0; reads < READS_MOST; reads++) {
		long size = nft_socket_receive(&monitor->socket, MSG_DONTWAIT);
		if (size == 0)
			break;
		if (size < 0) {
			worst = MONITOR_LOST;
			continue;
		}
		const struct nlmsghdr *message = (const struct nlmsghdr *)monitor->socket.buffer;
		for (int left = (int)size; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			enum monitor_change change = take(monitor, message);
			if (change > worst)
				worst = change;
		}
	}
	return worst;
}
