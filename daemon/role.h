/* Roles: the others are `edged --role NAME`, each an unprivileged user's process
 * with a SOCK_SEQPACKET at MSG_FD, and are started again when they die: by main
 * itself, or, where it has no right to, by the service manager's sockets. */
#pragma once

#include "msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct roles;

enum role { ROLE_PROXY, ROLE_PROBER, ROLE_API, ROLE_WATCH, ROLE_KINDS };
extern const char *const role_names[ROLE_KINDS]; /* "proxy", "prober", "api", "watch" */

struct role_info {
	enum role role;
	unsigned index;
	pid_t pid; /* 0: not running, or (of a unit) nothing heard of it yet */
	const char *state; /* "running", "starting", "restarting" */
	uint64_t restarts;
};

struct role_events {
	/* A role is ready (again): give it its configuration. */
	void (*ready)(void *context, enum role role, unsigned index);
	/* A message; its descriptors are closed afterwards unless set to -1. */
	void (*message)(void *context, enum role role, unsigned index, struct msg *msg);
	void *context;
};

/* The API, the prober, the watcher and one proxy worker per core. units: the folder of the sockets that start them
 * (role_unit.h; not copied), or NULL: they are started here. 0 or -errno; a user that does not exist is -ENOENT (logged
 * with what to do). */
int roles_start(struct event_base *base, unsigned workers, const char *units, const struct role_events *events,
		struct roles **ret_roles);
/* As msg_send; -ENOTCONN while the role is not running. */
int roles_send(struct roles *roles, enum role role, unsigned index, enum msg_type type, uint32_t id,
	       const struct wire_writer *payload, const int *fds, size_t fd_count);
unsigned roles_workers(const struct roles *roles);
size_t roles_list(const struct roles *roles, struct role_info *ret_list, size_t room);
/* Let go of the children: they get MSG_STOP (proxies serve what is open). */
void roles_stop(struct roles **roles);
