/* One proxy worker: the role's entry point and what its parts share. */
#pragma once

#include "relay.h"
#include "service.h"
#include "slab.h"
#include "wheel.h"
#include "../msg.h"

#include <stdbool.h>
#include <stdint.h>

/* Serve until MSG_STOP (then until the last connection is gone) or SIGTERM. File
 * descriptor 3 is the socket to main; RLIMIT_NOFILE bounds the connections.
 * Returns 0, or -errno when it could not start. */
int proxy_worker_main(int worker, int worker_count);

/* What an epoll event is about: in the low bits of its data. */
enum event_tag { TAG_CLIENT, TAG_SERVER, TAG_LISTENER, TAG_CONTROL, TAG_SIGNAL, TAG_MASK = 7 };

enum connection_state { CONNECTION_FREE, CONNECTION_CONNECTING, CONNECTION_OPEN, CONNECTION_DEAD };

/* Aligned so that its address has room for a tag. */
struct connection {
	struct wheel_entry timer;  /* first: a freed object's first bytes belong to the slab */
	struct connection *next;   /* in the chain of those that go on, or of the dead */
	struct service *service;
	struct backend *backend;   /* held */
	struct side sides[2];      /* TAG_CLIENT, TAG_SERVER */
	struct endpoint client, destination;
	struct balance_tried tried;
	uint64_t opened, active;   /* ms */
	uint64_t unique_id;        /* what the node was told; 0: nothing */
	enum connection_state state;
	bool queued;               /* in the chain of those that go on */
	bool watched;              /* keepalive is on */
};

struct listener {
	uint32_t id;
	int fd;
	bool named;   /* in the present configuration */
	struct addr address;
	uint16_t port;
	struct service *service;          /* NULL: by original destination alone */
	struct listener **exact;          /* on any address: those with an address on the same port */
	size_t exact_count;
};

struct worker {
	int epoll, control, signals;
	int reserve;              /* given up for a moment to refuse when descriptors are out; or -1 */
	int index, count;
	bool stopping, stop_waits, control_waits;
	uint64_t now;             /* ms, monotonic, taken once per turn of the loop */
	uint64_t last_unique_id;
	uint64_t full_since;      /* 0: accepting; else ms since when there is no room */
	struct wheel wheel;
	struct wheel_entry retry; /* looks again whether there is room */
	struct slab connections;
	struct connection *going, *dead;
	struct service_table services;
	struct listener **listeners;
	size_t listener_count;
	uint32_t generation;
	uint64_t log_until;       /* ms; bounds messages */
	uint32_t logged;
	struct relay relay;
};

/* A line for main's log; silently dropped above ten in ten seconds. */
void worker_log(struct worker *worker, int priority, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Stop accepting; the loop ends with the last connection. */
void worker_stop(struct worker *worker);
int worker_watch(struct worker *worker, int fd, uint32_t events, void *object, enum event_tag tag);
