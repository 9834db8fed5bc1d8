/* Roles that the service manager starts: one socket per role, of which each
 * connection is an instance of the role's unit, with the connection as MSG_FD
 * (Accept=yes, systemd.socket(5)). So main needs no right to become others. */
#pragma once

/* A connection that starts one more of the role: index-th, known to it by the name of our end. The sender's pid comes
 * along with each message. The caller owns it. 0 or -errno; -EAGAIN, -ENOENT, -ECONNREFUSED: not now. */
int role_unit_connect(const char *folder, const char *role, unsigned index, int *ret_socket);
/* In the role: which one it is. 0 where its socket has no such name. */
unsigned role_unit_index(int socket);
