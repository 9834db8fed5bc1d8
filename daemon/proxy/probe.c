/* The prober's process: the pairs to probe, their timetable, and what main is
 * told. Pairs that stay across a configuration keep their state and timers.
 * How a probe is made is probe_attempt.c's matter, what follows from a result
 * probe_state.c's. */
#include "probe.h"

#include "../msg.h"
#include "config.h"
#include "probe_attempt.h"
#include "probe_state.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <syslog.h>
#include <time.h>

/* More wait for their turn: descriptors are bounded, and so is what a start costs the nodes. */
#define ATTEMPTS_MOST 512
#define MESSAGES_AT_ONCE 64

struct prober;

struct pair {
	struct prober *prober;
	const struct proxy_probe *probe; /* in the configuration's arena */
	struct probe_state state;
	struct attempt *attempt;
	struct event *timer;
	uint64_t begun;
	bool queued;   /* due, and waits for a free attempt */
	bool unsent;   /* main has not been told the state yet */
	char why[ATTEMPT_WHY_MOST + 1];
	TAILQ_ENTRY(pair) due;
};

TAILQ_HEAD(pair_queue, pair);

struct prober {
	struct event_base *base;
	struct event *channel;  /* reading */
	struct event *writable; /* while main does not read what it is told */
	SSL_CTX *tls;
	struct arena *arena; /* of the configuration in force */
	struct pair **pairs; /* sorted by node, port */
	size_t pair_count;
	struct pair_queue due;
	size_t attempts;
	struct msg_buffer buffer;
};

static void begin(struct pair *pair);

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void say(int priority, const char *text)
{
	cleanup_wire struct wire_writer writer = {0};
	wire_put_u32(&writer, (uint32_t)priority);
	wire_put_text(&writer, text);
	(void)msg_send(MSG_FD, MSG_LOG, 0, &writer, NULL, 0);
}

/* Tell main, or try again once it reads. */
static void announce(struct pair *pair)
{
	cleanup_wire struct wire_writer writer = {0};
	wire_put_text(&writer, pair->probe->node);
	wire_put_u32(&writer, pair->probe->port);
	wire_put_u32(&writer, pair->state.up);
	wire_put_text(&writer, pair->why);
	int error = msg_send(MSG_FD, MSG_PROXY_HEALTH, 0, &writer, NULL, 0);
	pair->unsent = error == -EAGAIN || error == -ENOMEM || error == -ENOBUFS;
	if (pair->unsent)
		event_add(pair->prober->writable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct prober *prober = context;
	for (size_t i = 0; i < prober->pair_count; i++) {
		struct pair *pair = prober->pairs[i];
		if (pair->unsent)
			announce(pair);
		if (pair->unsent)
			return;
	}
}

static void schedule_at(struct pair *pair, uint64_t at)
{
	uint64_t now = now_ms();
	uint64_t left = at > now ? at - now : 0;
	struct timeval after = {.tv_sec = (time_t)(left / 1000), .tv_usec = (suseconds_t)(left % 1000 * 1000)};
	event_add(pair->timer, &after);
}

static void schedule(struct pair *pair)
{
	const struct proxy_probe *probe = pair->probe;
	milliseconds interval = probe->health.interval;
	schedule_at(pair, probe_next(&pair->state, probe_phase(probe->node, probe->port, interval), interval,
				     pair->begun, now_ms()));
}

static void set_queued(struct pair *pair, bool queued)
{
	if (queued == pair->queued)
		return;
	if (queued)
		TAILQ_INSERT_TAIL(&pair->prober->due, pair, due);
	else
		TAILQ_REMOVE(&pair->prober->due, pair, due);
	pair->queued = queued;
}

/* Let those in who wait, as far as there is room. */
static void fill(struct prober *prober)
{
	while (prober->attempts < ATTEMPTS_MOST && !TAILQ_EMPTY(&prober->due)) {
		struct pair *next = TAILQ_FIRST(&prober->due);
		set_queued(next, false);
		begin(next);
	}
}

static void on_done(void *context, enum attempt_result result, const char *why)
{
	struct pair *pair = context;
	pair->attempt = NULL;
	const struct health *health = &pair->probe->health;
	if (result != ATTEMPT_VOID &&
	    probe_state_take(&pair->state, result == ATTEMPT_SUCCEEDED, health->rise, health->fall)) {
		snprintf(pair->why, sizeof(pair->why), "%s", why);
		announce(pair);
	}
	schedule(pair);
	pair->prober->attempts--;
	fill(pair->prober);
}

static void begin(struct pair *pair)
{
	struct prober *prober = pair->prober;
	if (prober->attempts >= ATTEMPTS_MOST) {
		set_queued(pair, true);
		return;
	}
	pair->begun = now_ms();
	int error = attempt_start(prober->base, prober->tls, pair->probe, on_done, pair, &pair->attempt);
	if (error) {
		say(LOG_WARNING, "prober: a probe could not be made (memory, descriptors or ports are short)");
		schedule(pair);
	} else {
		prober->attempts++;
	}
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	begin(context);
}

static void stop_attempt(struct pair *pair)
{
	set_queued(pair, false);
	if (!pair->attempt)
		return;
	attempt_cancel(&pair->attempt);
	pair->prober->attempts--;
}

static void pair_free(struct pair *pair)
{
	if (!pair)
		return;
	stop_attempt(pair);
	if (pair->timer)
		event_free(pair->timer);
	free(pair);
}

static struct pair *pair_new(struct prober *prober, const struct proxy_probe *probe)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	if (!pair)
		return NULL;
	*pair = (struct pair){.prober = prober, .probe = probe, .state = {.up = probe->up}};
	pair->timer = evtimer_new(prober->base, on_timer, pair);
	if (!pair->timer) {
		free(pair);
		return NULL;
	}
	return pair;
}

static int compare_probes(const struct proxy_probe *a, const struct proxy_probe *b)
{
	int order = strcmp(a->node, b->node);
	return order ? order : (a->port > b->port) - (a->port < b->port);
}

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *const *left = a, *const *right = b;
	return compare_probes((*left)->probe, (*right)->probe);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* The same question to the same place. */
static bool same_probe(const struct proxy_probe *a, const struct proxy_probe *b)
{
	const struct health *x = &a->health, *y = &b->health;
	return addr_equal(&a->address, &b->address) && a->header == b->header && x->check == y->check &&
	       x->interval == y->interval && x->timeout == y->timeout && x->rise == y->rise && x->fall == y->fall &&
	       same_text(x->path, y->path) && same_text(x->host, y->host) && x->status_first == y->status_first &&
	       x->status_last == y->status_last;
}

/* pairs of the new configuration, sorted and without duplicates, all of them new. NULL when out of memory. */
static struct pair **make_pairs(struct prober *prober, const struct proxy_config *config, size_t *ret_count)
{
	struct pair **pairs = calloc(config->probe_count + 1, sizeof(*pairs));
	size_t made = 0;
	while (pairs && made < config->probe_count) {
		pairs[made] = pair_new(prober, &config->probes[made]);
		if (!pairs[made])
			break;
		made++;
	}
	if (!pairs || made < config->probe_count) {
		for (size_t i = 0; pairs && i < made; i++)
			pair_free(pairs[i]);
		free(pairs);
		return NULL;
	}
	qsort(pairs, made, sizeof(*pairs), compare_pairs);
	size_t kept = 0;
	for (size_t i = 0; i < made; i++)
		if (kept && !compare_pairs(&pairs[kept - 1], &pairs[i]))
			pair_free(pairs[i]);
		else
			pairs[kept++] = pairs[i];
	*ret_count = kept;
	return pairs;
}

/* old goes on as what fresh says; fresh is freed. */
static void carry_over(struct pair *old, struct pair *fresh)
{
	bool same = same_probe(old->probe, fresh->probe);
	old->probe = fresh->probe;
	pair_free(fresh);
	if (old->attempt)
		attempt_move(old->attempt, old->probe);
	if (same)
		return;
	/* What has been counted was another question's answers; the state stands until they are in. */
	stop_attempt(old);
	old->state.successes = old->state.failures = 0;
	schedule_at(old, now_ms());
}

/* Both lists are sorted: one walk through both. */
static void swap_pairs(struct prober *prober, struct pair **pairs, size_t count)
{
	struct pair **old = prober->pairs;
	size_t at = 0;
	for (size_t i = 0; i < count; i++) {
		while (at < prober->pair_count && compare_pairs(&old[at], &pairs[i]) < 0)
			pair_free(old[at++]);
		if (at < prober->pair_count && !compare_pairs(&old[at], &pairs[i])) {
			carry_over(old[at], pairs[i]);
			pairs[i] = old[at++];
		} else {
			schedule_at(pairs[i], now_ms());
		}
	}
	while (at < prober->pair_count)
		pair_free(old[at++]);
	free(old);
	prober->pairs = pairs;
	prober->pair_count = count;
	fill(prober);
}

static int load(const struct msg *msg, struct arena *arena, struct proxy_config **ret_config)
{
	const void *data;
	size_t length;
	int error = msg->fd_count == 1 ? msg_body_map(msg->fds[0], &data, &length) : -EBADMSG;
	if (error)
		return error;
	error = proxy_config_decode(data, length, arena, ret_config);
	if (data)
		munmap((void *)(uintptr_t)data, length);
	return error;
}

static void take_config(struct prober *prober, const struct msg *msg)
{
	struct arena *arena = arena_new();
	struct proxy_config *config = NULL;
	struct pair **pairs = NULL;
	size_t count = 0;
	int error = arena ? load(msg, arena, &config) : -ENOMEM;
	if (!error) {
		pairs = make_pairs(prober, config, &count);
		error = pairs ? 0 : -ENOMEM;
	}
	if (error) {
		say(LOG_ERR, error == -ENOMEM ? "prober: out of memory for a configuration: the former one goes on"
					      : "prober: main sent a broken configuration: the former one goes on");
		arena_free(&arena);
		return;
	}
	swap_pairs(prober, pairs, count);
	arena_free(&prober->arena);
	prober->arena = arena;
	cleanup_wire struct wire_writer writer = {0};
	wire_put_u32(&writer, config->generation);
	(void)msg_send(MSG_FD, MSG_PROXY_APPLIED, msg->id, &writer, NULL, 0);
}

static void on_channel(evutil_socket_t fd, short what, void *context)
{
	(void)what;
	struct prober *prober = context;
	for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
		struct msg msg;
		int got = msg_receive((int)fd, &prober->buffer, &msg);
		if (got == -EAGAIN)
			return;
		if (got == -EBADMSG) {
			say(LOG_ERR, "prober: main sent a message that is none");
			continue;
		}
		if (got <= 0) {
			event_base_loopbreak(prober->base);
			return;
		}
		if (msg.type == MSG_PROXY_CONFIG)
			take_config(prober, &msg);
		else if (msg.type == MSG_STOP)
			event_base_loopbreak(prober->base);
		else
			say(LOG_ERR, "prober: main sent a message that is not for this role");
		msg_close_fds(&msg);
	}
}

static void prober_clear(struct prober *prober)
{
	for (size_t i = 0; i < prober->pair_count; i++)
		pair_free(prober->pairs[i]);
	free(prober->pairs);
	arena_free(&prober->arena);
	SSL_CTX_free(prober->tls);
	if (prober->channel)
		event_free(prober->channel);
	if (prober->writable)
		event_free(prober->writable);
	/* libevent frees bufferevents from its loop. */
	event_base_loop(prober->base, EVLOOP_NONBLOCK);
	event_base_free(prober->base);
}

int prober_main(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	static struct prober prober;
	TAILQ_INIT(&prober.due);
	int flags = fcntl(MSG_FD, F_GETFL);
	if (flags < 0 || fcntl(MSG_FD, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	prober.base = event_base_new();
	if (!prober.base)
		return -ENOMEM;
	int error = -ENOMEM;
	prober.tls = attempt_tls_new();
	prober.channel = event_new(prober.base, MSG_FD, EV_READ | EV_PERSIST, on_channel, &prober);
	prober.writable = event_new(prober.base, MSG_FD, EV_WRITE, on_writable, &prober);
	if (prober.tls && prober.channel && prober.writable && !event_add(prober.channel, NULL))
		error = msg_send(MSG_FD, MSG_READY, 0, NULL, NULL, 0);
	if (!error)
		event_base_dispatch(prober.base);
	prober_clear(&prober);
	return error;
}
