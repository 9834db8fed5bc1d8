/* A NETLINK_NETFILTER socket: one request and all its answers, with everything
 * bounded (interrupted calls, time, size) and answers taken from the kernel
 * alone. Not thread-safe. */
#pragma once

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#define NFT_SOCKET_BUFFER 65536 /* of one answer; a dump comes in parts of at most 32 KiB */

struct nft_socket {
	int fd;
	uint32_t port;     /* the netlink port id, which is what owns a table */
	uint32_t sequence; /* of the last request */
	uint8_t *buffer;   /* NFT_SOCKET_BUFFER bytes */
};

#define NFT_SOCKET_NONE ((struct nft_socket){.fd = -1})

/* In the calling thread's network namespace. */
int nft_socket_open(struct nft_socket *ret_socket);
/* Take over fd, an open NETLINK_NETFILTER socket (also after failure it stays the caller's). -EINVAL: it is none. */
int nft_socket_adopt(int fd, struct nft_socket *ret_socket);
void nft_socket_close(struct nft_socket *socket);
/* Throw away what was sent to us and nobody has read. */
void nft_socket_drain(struct nft_socket *socket);

/* One message: 0 to go on, else the answer of nft_socket_ask. */
typedef int nft_answer(const struct nlmsghdr *message, void *data);
/* Send request (its sequence number is set here) and hand every answer to callback, to the end of
 * the dump, or to the acknowledgement, or until the one answer of a request that is no dump.
 * -EINTR: the ruleset changed during the dump, ask again. Other errors are the kernel's own or the
 * callback's. After a failed dump the socket is not clean: nft_socket_reopen it. */
int nft_socket_ask(struct nft_socket *socket, struct nlmsghdr *request, nft_answer *callback, void *data);
/* Close and open: ends a dump that nobody wants to read to its end. Not for an owning socket. */
int nft_socket_reopen(struct nft_socket *socket);
/* recv() that retries EINTR at most 10 times and drops what does not come from the kernel.
 * Bytes, 0 when there is nothing (flags with MSG_DONTWAIT), or -errno. */
long nft_socket_receive(struct nft_socket *socket, int flags);
