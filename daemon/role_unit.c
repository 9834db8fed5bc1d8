/* The connection between main and a role's unit, at both of its ends. It sends
 * and reads nothing, and waits for nobody. */
#include "role_unit.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Abstract, so that nothing is left behind: the byte 0, this, the role, the index, and what makes it our own. */
#define NAME "edged-role/"

static socklen_t name_of(const char *role, unsigned index, struct sockaddr_un *ret_address)
{
	static unsigned count;
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	int length = snprintf(ret_address->sun_path + 1, sizeof(ret_address->sun_path) - 1, NAME "%s/%u/%d-%u", role,
			      index, (int)getpid(), count++);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

int role_unit_connect(const char *folder, const char *role, unsigned index, int *ret_socket)
{
	struct sockaddr_un own, to = {.sun_family = AF_UNIX};
	int length = snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s", folder, role), one = 1;
	if (length < 0 || (size_t)length >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	socklen_t size = name_of(role, index, &own);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&own, size) < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		int error = -errno;
		close(fd);
		return error;
	}
	*ret_socket = fd;
	return 0;
}

unsigned role_unit_index(int socket)
{
	struct sockaddr_un peer = {0};
	/* A byte less: the name's end is always there. */
	socklen_t size = sizeof(peer) - 1;
	if (getpeername(socket, (struct sockaddr *)&peer, &size) < 0 || peer.sun_family != AF_UNIX ||
	    strncmp(peer.sun_path + 1, NAME, sizeof(NAME) - 1) != 0)
		return 0;
	const char *at = strchr(peer.sun_path + sizeof(NAME), '/');
	return at ? (unsigned)strtoul(at + 1, NULL, 10) : 0;
}
