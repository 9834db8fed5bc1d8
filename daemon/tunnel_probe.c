/* The sockets of the probes inside tunnels. Not privileged: plain UDP to the
 * discard port (RFC 863), whose ICMP error the kernel hands back as an error of
 * the socket. */
#include "tunnel_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DISCARD_PORT 9
#define FULL_EVERY 4u /* one in so many is of full size; every other one while the last was missed */
#define MTU_MOST 9000u
#define SMALL 16u

static void set_target(struct tunnel_probe *probe, const struct addr *target, struct sockaddr_storage *address,
		       socklen_t *ret_length)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
	probe->target = *target;
	if (target->family == FAMILY_V4) {
		*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(DISCARD_PORT)};
		memcpy(&v4->sin_addr, target->bytes, 4);
		*ret_length = sizeof(*v4);
	} else {
		*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(DISCARD_PORT)};
		memcpy(&v6->sin6_addr, target->bytes, 16);
		*ret_length = sizeof(*v6);
	}
}

static void open_socket(struct tunnel_probe *probe, const struct addr *target)
{
	struct sockaddr_storage address = {0};
	socklen_t length;
	bool v6 = target->family == FAMILY_V6;
	set_target(probe, target, &address, &length);
	probe->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe->fd < 0)
		return;
	/* Do not fragment, and do not believe what was once learnt of the path. */
	int how = v6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE;
	(void)setsockopt(probe->fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &how,
			 sizeof(how));
	if (connect(probe->fd, (struct sockaddr *)&address, length) < 0)
		tunnel_probe_close(probe);
}

void tunnel_probe_close(struct tunnel_probe *probe)
{
	if (probe->fd >= 0)
		close(probe->fd);
	*probe = TUNNEL_PROBE_NONE;
}

static void take_answer(struct tunnel_probe *probe)
{
	char byte;
	ssize_t got = recv(probe->fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC);
	tunnel_path_count(&probe->path, probe->full, got >= 0 || errno == ECONNREFUSED);
}

void tunnel_probe_step(struct tunnel_probe *probe, const struct addr *target, uint32_t mtu)
{
	static const uint8_t zeros[MTU_MOST];
	if (probe->fd >= 0 && !addr_equal(&probe->target, target))
		tunnel_probe_close(probe);
	if (probe->fd < 0)
		open_socket(probe, target);
	if (probe->fd < 0)
		return;
	if (probe->sent)
		take_answer(probe);
	unsigned every = probe->path.full_missed ? 2 : FULL_EVERY;
	probe->full = ++probe->turn % every == 0;
	uint32_t head = target->family == FAMILY_V4 ? 28 : 48;
	size_t size = probe->full && mtu > head && mtu <= MTU_MOST ? mtu - head : SMALL;
	/* An error that came late would be taken for this one's: a probe that cannot be sent is a miss of the next look. */
	(void)send(probe->fd, zeros, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	probe->sent = true;
}
