/* The rotation's driver: starts it when it is due or asked for, talks with the
 * agents inside the tunnels, watches for handshakes on the next device, and takes
 * the steps of rotation.h. */
#pragma once

#include "server_state.h"

/* After server->tunnels and the engine. 0 or -errno. */
int tunnel_rotate_open(struct server *server);
void tunnel_rotate_close(struct server *server);
/* Begin to change the keys of a tunnel that is in force. 0; -ENOENT: no such tunnel; -EALREADY: under way; -ETIME: the clock
 * is not right, *ret_why says how; or -errno. */
int tunnel_rotate_start(struct server *server, const char *tunnel, const char **ret_why);
