/* The state of role main, shared by the files that answer requests, apply
 * configurations and keep the clock. One instance; single-threaded. */
#pragma once

#include "engine.h"
#include "history.h"
#include "kernel/kernel.h"
#include "metrics.h"
#include "options.h"
#include "push.h"
#include "role.h"
#include "runtime.h"
#include "takeover.h"
#include "tunnels.h"

#include <event2/event.h>
#include <jansson.h>

struct gather;
struct tunnel_watch;
struct tunnel_rotate;
struct injection;
struct pressure;

struct server {
	struct options options;
	struct event_base *base;
	struct kernel *kernel;
	struct runtime *runtime;
	struct tunnels *tunnels;
	struct tunnel_watch *tunnel_watch; /* foreign changes of tunnels, and what is wrong with one */
	struct tunnel_rotate *tunnel_rotate; /* the change of keys */
	struct injection *injection;
	struct pressure *pressure;
	struct flow_log *flow_log; /* NULL: no forward wants its connections logged */
	struct engine *engine;
	struct push *push;
	struct roles *roles;
	struct history *history;
	struct gather *gathers; /* questions to the workers that wait for answers */
	uint32_t next_gather;

	struct event *refresh;  /* run data changed: commit soon */
	struct event *deadline; /* of a pending confirmation */
	struct event *expiry;   /* the next ban ends */
	struct event *tick;     /* once a second: watchdog, drift */
	struct event *monitor_event;
	struct monitor *monitor;
	struct front *front;
	int lock;

	uint32_t revision;       /* in force */
	uint64_t applied_at;     /* since when the revision is in force, in seconds since the epoch; 0: not known */
	uint64_t started_at;
	uint64_t repairs;
	bool tunnels_foreign; /* tunnels were seen not to be as they shall, since the last refresh */
	unsigned ticks; /* seconds that the loop has run, more or less */
	bool flowtable, flowtable_tried; /* the kernel has flowtables; that was looked for */
	bool outgoing_workers;   /* a former main's workers still accept */
	struct takeover former;  /* the sockets of those that are units */
	bool health_unsaved;     /* to be written with the next refresh */
	int runtime_unsaved;     /* errno of the last try to write health, drains and bans to disk, or 0 */
	bool closed;             /* nothing valid to run: default deny only */
	const char *closed_why;
	struct diag_list warnings; /* of the configuration in force, in warnings_arena */
	struct arena *warnings_arena;
	struct metrics_applies applies;
};

uint64_t server_now(void); /* seconds since the epoch */
/* Run data changed: bring kernel and forwarder in line, within some milliseconds, changes in between together. */
void server_refresh_soon(struct server *server);
/* Do now what server_refresh_soon has put off: before an answer, so that what is shown is in force. */
void server_settle(struct server *server);
/* Set the timers for the next ban's end and the pending confirmation. */
void server_set_timers(struct server *server);
