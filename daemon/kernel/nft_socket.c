/* NETLINK_NETFILTER sockets: open, take over, ask and read answers. Knows
 * nothing of what the messages mean. It never waits longer than RECEIVE_SECONDS
 * for one part of an answer. */
#include "nft_socket.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define RECEIVE_SECONDS 60
#define INTERRUPTS_MOST 10
#define RECEIVE_BUFFER (4 << 20) /* errors of a batch: one for each message that fails */

static int prepare(struct nft_socket *socket)
{
	struct sockaddr_nl self = {0};
	socklen_t length = sizeof(self);
	if (getsockname(socket->fd, (struct sockaddr *)&self, &length) < 0)
		return -errno;
	if (self.nl_family != AF_NETLINK || self.nl_pid == 0)
		return -EINVAL;
	struct timeval wait = {.tv_sec = RECEIVE_SECONDS};
	if (setsockopt(socket->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
		return -errno;
	int one = 1, room = RECEIVE_BUFFER;
	/* An error then quotes the header of the message alone, and says which attribute it was. */
	if (setsockopt(socket->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one)) < 0 ||
	    setsockopt(socket->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one)) < 0)
		return -errno;
	if (setsockopt(socket->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		(void)setsockopt(socket->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	socket->buffer = malloc(NFT_SOCKET_BUFFER);
	if (!socket->buffer)
		return -ENOMEM;
	socket->port = self.nl_pid;
	return 0;
}

static int open_fd(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (fd < 0)
		return -errno;
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int nft_socket_open(struct nft_socket *ret_socket)
{
	struct nft_socket opened = {.fd = open_fd()};
	if (opened.fd < 0)
		return opened.fd;
	int rc = prepare(&opened);
	if (rc < 0) {
		nft_socket_close(&opened);
		return rc;
	}
	*ret_socket = opened;
	return 0;
}

int nft_socket_adopt(int fd, struct nft_socket *ret_socket)
{
	int protocol = -1;
	socklen_t length = sizeof(protocol);
	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) < 0)
		return -errno;
	struct nft_socket adopted = {.fd = fd};
	int rc = protocol == NETLINK_NETFILTER ? prepare(&adopted) : -EINVAL;
	if (rc < 0)
		return rc;
	nft_socket_drain(&adopted);
	*ret_socket = adopted;
	return 0;
}

void nft_socket_close(struct nft_socket *socket)
{
	if (socket->fd >= 0)
		close(socket->fd);
	free(socket->buffer);
	*socket = NFT_SOCKET_NONE;
}

int nft_socket_reopen(struct nft_socket *socket)
{
	struct nft_socket fresh;
	int rc = nft_socket_open(&fresh);
	if (rc < 0)
		return rc;
	fresh.sequence = socket->sequence;
	nft_socket_close(socket);
	*socket = fresh;
	return 0;
}

long nft_socket_receive(struct nft_socket *socket, int flags)
{
	for (int interrupts = 0;;) {
		struct sockaddr_nl from = {0};
		socklen_t length = sizeof(from);
		ssize_t size = recvfrom(socket->fd, socket->buffer, NFT_SOCKET_BUFFER, flags | MSG_TRUNC,
					(struct sockaddr *)&from, &length);
		if (size < 0 && errno == EINTR && ++interrupts <= INTERRUPTS_MOST)
			continue;
		if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return flags & MSG_DONTWAIT ? 0 : -ETIMEDOUT;
		if (size < 0)
			return -errno;
		if (from.nl_pid != 0)
			continue; /* somebody else may write to our port too */
		if (size > NFT_SOCKET_BUFFER)
			return -EMSGSIZE;
		if (size > 0)
			return size;
	}
}

void nft_socket_drain(struct nft_socket *socket)
{
	/* ENOBUFS is reported once and then gone; anything else ends it. */
	for (int errors = 0; errors < INTERRUPTS_MOST;) {
		long size = nft_socket_receive(socket, MSG_DONTWAIT);
		if (size == 0)
			return;
		if (size < 0)
			errors++;
	}
}

/* 1: this was the last one; 0: go on; or an error. */
static int take(const struct nlmsghdr *message, bool dump, nft_answer *callback, void *data)
{
	if (message->nlmsg_type == NLMSG_ERROR) {
		if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
			return -EBADMSG;
		int error = ((const struct nlmsgerr *)NLMSG_DATA(message))->error;
		return error ? error : 1;
	}
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		return -EINTR;
	if (message->nlmsg_type == NLMSG_DONE) {
		if (message->nlmsg_len < NLMSG_LENGTH(sizeof(int)))
			return 1;
		int error;
		memcpy(&error, NLMSG_DATA(message), sizeof(error)); /* how the dump ended */
		return error < 0 ? error : 1;
	}
	if (message->nlmsg_type < NLMSG_MIN_TYPE)
		return 0;
	int rc = callback ? callback(message, data) : 0;
	return rc ? rc : !dump;
}

int nft_socket_ask(struct nft_socket *socket, struct nlmsghdr *request, nft_answer *callback, void *data)
{
	bool dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	request->nlmsg_seq = ++socket->sequence;
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	if (sendto(socket->fd, request, request->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	for (;;) {
		long size = nft_socket_receive(socket, 0);
		if (size < 0)
			return (int)size;
		const struct nlmsghdr *message = (const struct nlmsghdr *)socket->buffer;
		for (int left = (int)size; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			if (message->nlmsg_seq != request->nlmsg_seq)
				continue; /* left over from a request before */
			int rc = take(message, dump, callback, data);
			if (rc)
				return rc < 0 ? rc : 0;
		}
	}
}
