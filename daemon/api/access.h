/* Access: who is at the other end, and what he may do. */
#pragma once

#include "routes.h"

#include <openssl/types.h>
#include <sys/types.h>

#define ACCESS_USER_MAX 80

struct identity {
	enum right right;
	char user[ACCESS_USER_MAX]; /* "alice", "uid 1234", "tls:laptop"; printable */
};

/* Common names of client certificates; not owned. */
struct access_names {
	const char *const *writers, *const *readers;
	size_t writer_count, reader_count;
};

#define ACCESS_GROUP_WRITE "edge"
#define ACCESS_GROUP_READ "edge-view"

/* By the peer credentials of a connected local socket: root and members of
 * ACCESS_GROUP_WRITE write, members of ACCESS_GROUP_READ read, others get
 * RIGHT_NONE. /etc/group and /etc/passwd are read directly, so that no name
 * service can hold a request up. 0 or -errno. */
int access_of_socket(int fd, struct identity *ret_identity);
/* By a verified client certificate: its one common name. 0, or -EACCES without a usable one. */
int access_of_certificate(const SSL *ssl, const struct access_names *names, struct identity *ret_identity);
