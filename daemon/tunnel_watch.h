/* Main's eye on tunnels: foreign changes are repaired, what cannot be had is
 * tried again. */
#pragma once

#include "server_state.h"

/* Opens server->tunnels and listens; the engine keeps tunnels from then on. 0 or -errno (logged). */
int tunnel_watch_open(struct server *server);
void tunnel_watch_close(struct server *server);
/* After the kernel was brought in line: error NULL, or what is wrong with a tunnel. Logged once, tried again. */
void tunnel_watch_tell(struct server *server, const char *error);
/* Have names of endpoints looked up that need it. */
void tunnel_watch_ask(struct server *server);
/* Role watch answers. */
void tunnel_watch_resolved(struct server *server, const struct msg *msg);
/* What is wrong, or NULL. */
const char *tunnel_watch_error(const struct server *server);
