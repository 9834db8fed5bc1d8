/* The agent's datagrams: their bytes, and the sockets that carry them.
 * Format, all numbers big-endian: 0 magic (8), 8 version, 9 verb, 10 flags (1: a
 * preshared key), 11 zero, 12 port (2), 14 zero (2), 16 id (8), 24 public key
 * (32), 56 preshared key (32). It never takes what was forwarded. */
#include "agent_message.h"

#include "../rules/base/addr.h"

#include <endian.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC "edgedkey"
#define VERSION 1
#define FLAG_PRESHARED 1
#define READS_MOST 64

void agent_message_write(const struct agent_message *message, uint8_t ret_bytes[AGENT_MESSAGE_SIZE])
{
	uint16_t port = htobe16(message->port);
	uint64_t id = htobe64(message->id);
	memset(ret_bytes, 0, AGENT_MESSAGE_SIZE);
	memcpy(ret_bytes, MAGIC, 8);
	ret_bytes[8] = VERSION;
	ret_bytes[9] = (uint8_t)message->verb;
	ret_bytes[10] = message->has_preshared ? FLAG_PRESHARED : 0;
	memcpy(ret_bytes + 12, &port, sizeof(port));
	memcpy(ret_bytes + 16, &id, sizeof(id));
	memcpy(ret_bytes + 24, message->public_key, 32);
	if (message->has_preshared)
		memcpy(ret_bytes + 56, message->preshared, 32);
}

int agent_message_read(const uint8_t *bytes, size_t length, struct agent_message *ret_message)
{
	static const uint8_t none[32];
	if (length != AGENT_MESSAGE_SIZE || memcmp(bytes, MAGIC, 8) != 0 || bytes[8] != VERSION || bytes[9] < AGENT_OFFER ||
	    bytes[9] > AGENT_WAIT || bytes[10] & ~FLAG_PRESHARED || bytes[11] || bytes[14] || bytes[15])
		return -EBADMSG;
	struct agent_message message = {.verb = (enum agent_verb)bytes[9], .has_preshared = bytes[10] & FLAG_PRESHARED};
	bool has_key = memcmp(bytes + 24, none, 32) != 0;
	bool wants_key = message.verb == AGENT_OFFER || message.verb == AGENT_ACCEPT;
	if (has_key != wants_key || (memcmp(bytes + 56, none, 32) != 0) != message.has_preshared ||
	    (message.has_preshared && message.verb != AGENT_OFFER))
		return -EBADMSG;
	memcpy(&message.port, bytes + 12, sizeof(message.port));
	memcpy(&message.id, bytes + 16, sizeof(message.id));
	message.port = be16toh(message.port);
	message.id = be64toh(message.id);
	if (!message.id || (message.verb == AGENT_OFFER && !message.port) || (message.port && !wants_key))
		return -EBADMSG;
	memcpy(message.public_key, bytes + 24, 32);
	memcpy(message.preshared, bytes + 56, 32);
	*ret_message = message;
	explicit_bzero(message.preshared, sizeof(message.preshared));
	return 0;
}

static socklen_t to_sockaddr(const struct addr *addr, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;
	if (addr->family == FAMILY_V4) {
		*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(AGENT_PORT)};
		memcpy(&v4->sin_addr, addr->bytes, 4);
		return sizeof(*v4);
	}
	*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(AGENT_PORT)};
	memcpy(&v6->sin6_addr, addr->bytes, 16);
	return sizeof(*v6);
}

static int set_options(int fd, bool v6, const char *device)
{
	int one = 1, hops = AGENT_HOPS;
	int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, level, v6 ? IPV6_UNICAST_HOPS : IP_TTL, &hops, sizeof(hops)) < 0 ||
	    setsockopt(fd, level, v6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, level, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &one, sizeof(one)) < 0)
		return -errno;
	if (device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device) + 1) < 0)
		return -errno;
	return 0;
}

int agent_socket(const struct addr *local, const char *device)
{
	struct sockaddr_storage address = {0};
	bool v6 = local->family == FAMILY_V6;
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int r = set_options(fd, v6, device);
	if (r == 0 && bind(fd, (struct sockaddr *)&address, to_sockaddr(local, &address)) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* 1: a message that is right; 0: another one; or -errno. */
static int receive_one(int fd, struct agent_message *ret_message, struct addr *ret_from, unsigned *ret_index)
{
	uint8_t bytes[AGENT_MESSAGE_SIZE + 1];
	union {
		struct cmsghdr head;
		uint8_t room[256];
	} control;
	struct sockaddr_storage address = {0};
	struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr head = {.msg_name = &address, .msg_namelen = sizeof(address), .msg_iov = &part, .msg_iovlen = 1,
			      .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t length = recvmsg(fd, &head, MSG_DONTWAIT);
	if (length < 0)
		return -errno;
	int hops = 0;
	unsigned index = 0;
	for (struct cmsghdr *item = CMSG_FIRSTHDR(&head); item; item = CMSG_NXTHDR(&head, item)) {
		bool v4 = item->cmsg_level == IPPROTO_IP, v6 = item->cmsg_level == IPPROTO_IPV6;
		if ((v4 && item->cmsg_type == IP_TTL) || (v6 && item->cmsg_type == IPV6_HOPLIMIT))
			memcpy(&hops, CMSG_DATA(item), sizeof(hops));
		else if (v4 && item->cmsg_type == IP_PKTINFO)
			index = (unsigned)((const struct in_pktinfo *)CMSG_DATA(item))->ipi_ifindex;
		else if (v6 && item->cmsg_type == IPV6_PKTINFO)
			index = ((const struct in6_pktinfo *)CMSG_DATA(item))->ipi6_ifindex;
	}
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
	bool is_v4 = address.ss_family == AF_INET;
	struct addr from = {.family = is_v4 ? FAMILY_V4 : FAMILY_V6};
	memcpy(from.bytes, is_v4 ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr, addr_size(from.family));
	bool right = hops == AGENT_HOPS && index && ntohs(is_v4 ? v4->sin_port : v6->sin6_port) == AGENT_PORT &&
		     agent_message_read(bytes, (size_t)length, ret_message) == 0;
	explicit_bzero(bytes, sizeof(bytes));
	if (!right)
		return 0;
	*ret_from = from;
	*ret_index = index;
	return 1;
}

int agent_receive(int fd, struct agent_message *ret_message, struct addr *ret_from, unsigned *ret_index)
{
	for (int i = 0; i < READS_MOST; i++) {
		int r = receive_one(fd, ret_message, ret_from, ret_index);
		if (r == 1)
			return 0;
		/* An ICMP error of an earlier one: nobody listens there, now. */
		if (r < 0 && r != -ECONNREFUSED && r != -EHOSTUNREACH && r != -ENETUNREACH)
			return r == -EWOULDBLOCK ? -EAGAIN : r;
	}
	return -EAGAIN;
}

int agent_send(int fd, const struct addr *to, const struct agent_message *message)
{
	uint8_t bytes[AGENT_MESSAGE_SIZE];
	struct sockaddr_storage address = {0};
	socklen_t length = to_sockaddr(to, &address);
	agent_message_write(message, bytes);
	ssize_t sent = sendto(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address, length);
	explicit_bzero(bytes, sizeof(bytes));
	return sent < 0 ? -errno : 0;
}
