/* Listeners: the forwarder's listening sockets, bound by main (ports below 1024
 * need a right that workers lack) and lent to the workers. Main keeps its own
 * copy of each, so that what is queued in one outlives a worker. */
#pragma once

#include "proxy/config.h"
#include "role.h"

struct listeners;

struct listeners *listeners_new(unsigned workers);
void listeners_free(struct listeners **listeners);
/* Bind what config names and is not bound yet. All or nothing: on failure the new
 * ones are closed and *ret_failed tells which could not be had. 0 or -errno. */
int listeners_prepare(struct listeners *listeners, const struct proxy_config *config,
		      const struct proxy_listener **ret_failed);
/* The same, but what cannot be had is logged and left out of config: at a start
 * a port that somebody else has must not keep the rest from working. */
void listeners_prepare_some(struct listeners *listeners, struct proxy_config *config);
/* Close main's copies of those that config no longer names. */
void listeners_retire(struct listeners *listeners, const struct proxy_config *config);
/* Send a worker those that it has not been given. 0 or -errno. */
int listeners_lend(struct listeners *listeners, struct roles *roles, unsigned worker);
/* A worker that started anew has none. */
void listeners_forget(struct listeners *listeners, unsigned worker);
/* A bound, listening TCP socket; FAMILY_NONE: any address of both families. reuse: SO_REUSEPORT. */
int listener_open(const struct addr *address, uint16_t port, bool reuse);
