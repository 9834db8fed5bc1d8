/* Which connections were let in, for who wants them in the log. Of the kernel's
 * flows conntrack tells, of the user-space forwarder's its workers. It never
 * touches a flow. Lines are bounded: what is above is counted in one line. */
#include "flow_log.h"

#include "engine.h"
#include "injection.h"
#include "kernel/conntrack_events.h"
#include "kernel/header.h"
#include "log.h"
#include "msg.h"
#include "proxy/report.h"
#include "server_state.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG "flow"
#define LINES_PER_SECOND 500u

struct flow_log {
	struct conntrack_events *events; /* NULL: no forward of the kernel's wants lines */
	struct event *event;
	unsigned lines, skipped; /* in this second */
};

static bool wanted(const struct model *model)
{
	for (size_t i = 0; model && i < model->forward_count; i++)
		if (model->forwards[i].log)
			return true;
	return false;
}

/* As nftables chose it: by the port, and an address of its own goes before any. */
static const struct forward *forward_of(const struct model *model, const struct flow *flow)
{
	const struct forward *found = NULL;
	for (size_t i = 0; i < model->forward_count; i++) {
		const struct forward *forward = &model->forwards[i];
		bool exact = forward->listen_address.family != FAMILY_NONE, listens = false;
		if (forward->protocol != PROTOCOL_TCP || (exact && !addr_equal(&forward->listen_address, &flow->original.to)))
			continue;
		for (size_t j = 0; j < forward->port_count; j++)
			listens = listens || (forward->ports[j].first <= flow->original.to_port &&
					      flow->original.to_port <= forward->ports[j].last);
		if (listens && (exact || !found))
			found = forward;
		if (listens && exact)
			break;
	}
	return found;
}

static void put_line(struct flow_log *log, const char *forward, const struct endpoint *client, const char *node,
		     const struct addr *node_address, const char *plane, uint64_t unique_id)
{
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX], id[40] = "";
	if (log->lines >= LINES_PER_SECOND) {
		log->skipped++;
		return;
	}
	log->lines++;
	bool v6 = client->addr.family == FAMILY_V6;
	addr_format(&client->addr, from);
	addr_format(node_address, to);
	if (unique_id)
		snprintf(id, sizeof(id), ", unique id %016" PRIx64, unique_id);
	log_info(LOG, "%s: %s%s%s:%u to %s (%s) by %s%s", forward, v6 ? "[" : "", from, v6 ? "]" : "", client->port, node, to,
		 plane, id);
}

static void on_flow(void *context, const struct flow *flow)
{
	struct server *server = context;
	const struct model *model = engine_model(server->engine);
	const struct forward *forward = model && !(flow->mark & MARK_PROXY) ? forward_of(model, flow) : NULL;
	if (!forward || !forward->log)
		return;
	const char *node = "?";
	for (size_t i = 0; i < forward->pool->node_count; i++)
		if (addr_equal(&forward->pool->nodes[i]->address, &flow->reply.from))
			node = forward->pool->nodes[i]->name;
	struct headers_flow known = {.node = flow->reply.from,
				     .peer = flow->reply.to,
				     .node_port = flow->reply.from_port,
				     .peer_port = flow->reply.to_port};
	const struct headers *headers = injection_headers(server->injection);
	bool told = (flow->mark & MARK_HEADER_ID) && headers && headers_find(headers, &known) == 0;
	struct endpoint client = {flow->original.from, flow->original.from_port};
	put_line(server->flow_log, forward->name, &client, node, &flow->reply.from, "the kernel",
		 told ? known.unique_id : 0);
}

static void on_events(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct server *server = context;
	if (conntrack_events_read(server->flow_log->events, MARK_FORWARD, MARK_FORWARD, on_flow, server))
		log_warning(LOG, "connections came faster than the kernel could tell of: some are not in the log");
}

void flow_log_proxied(struct server *server, const struct msg *msg)
{
	cleanup_arena struct arena *arena = arena_new();
	struct report *report;
	if (!server->flow_log || !arena || report_decode(msg->payload, msg->length, arena, &report) < 0)
		return;
	const struct model *model = engine_model(server->engine);
	for (size_t i = 0; model && i < report->connection_count && i < 1; i++) {
		const struct report_connection *c = &report->connections[i];
		const struct forward *forward = model_find_forward(model, c->forward);
		const struct node *node = c->node ? model_find_node(model, c->node) : NULL;
		if (forward && forward->log)
			put_line(server->flow_log, forward->name, &c->client, node ? node->name : "?", &c->node_address,
				 "the forwarder", c->unique_id);
	}
}

void flow_log_tick(struct server *server)
{
	struct flow_log *log = server->flow_log;
	if (log && log->skipped)
		log_warning(LOG, "%u more connections are not in the log one by one", log->skipped);
	if (log)
		log->lines = log->skipped = 0;
}

static int start(struct server *server)
{
	struct flow_log *log = calloc(1, sizeof(*log));
	if (!log)
		return -ENOMEM;
	server->flow_log = log;
	int r = conntrack_events_open(&log->events);
	if (r < 0)
		return r;
	log->event = event_new(server->base, conntrack_events_fd(log->events), EV_READ | EV_PERSIST, on_events, server);
	return log->event && event_add(log->event, NULL) == 0 ? 0 : -ENOMEM;
}

void flow_log_update(struct server *server)
{
	bool wants = server->base && wanted(engine_model(server->engine));
	if (wants == (server->flow_log != NULL))
		return;
	int r = wants ? start(server) : -ECANCELED;
	if (r < 0)
		flow_log_close(server);
	if (wants && r < 0)
		log_error(LOG, "connections cannot be logged: %s", strerror(-r));
}

void flow_log_close(struct server *server)
{
	struct flow_log *log = server->flow_log;
	if (!log)
		return;
	if (log->event)
		event_free(log->event);
	conntrack_events_close(&log->events);
	free(log);
	server->flow_log = NULL;
}
