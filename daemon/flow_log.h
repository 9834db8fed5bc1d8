/* Flow log: a line for each connection of a forward that says `log: true`, of
 * both data planes alike, so that a line of an ingress can be matched with it. */
#pragma once

struct flow_log;
struct msg;
struct server;

/* Listen as long as a forward of the configuration in force wants it: after each apply. */
void flow_log_update(struct server *server);
/* MSG_PROXY_OPENED came. */
void flow_log_proxied(struct server *server, const struct msg *msg);
/* Once a second: how many lines were one too many. */
void flow_log_tick(struct server *server);
void flow_log_close(struct server *server);
