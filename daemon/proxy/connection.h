/* Connection: from the accepted socket through connecting to its end. */
#pragma once

#include "worker.h"

struct sockaddr_storage;

/* Take over an accepted socket. It is served, or refused with a RST, whatever happens. */
void connection_start(struct worker *worker, const struct listener *listener, int fd,
		      const struct sockaddr_storage *peer);
/* Epoll events of one of its sockets. */
void connection_event(struct worker *worker, struct connection *connection, enum event_tag side, uint32_t events);
void connection_timer(struct worker *worker, struct connection *connection);
/* Another turn for those that had more to do. */
void connection_go_on(struct worker *worker);
/* Free those that ended during this turn of the loop. */
void connection_bury(struct worker *worker);
/* Close a socket so that its peer sees a RST. */
void socket_reset(int fd);
