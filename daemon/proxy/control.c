/* Messages of main: listeners, configurations, queries, stop. Everything is
 * checked as hostile; a message that is wrong changes nothing and is logged. */
#include "control.h"
#include "../msg.h"
#include "listener.h"
#include "report.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syslog.h>
#include <unistd.h>

void control_send(struct worker *worker, enum msg_type type, uint32_t id, const struct wire_writer *payload)
{
	/* A main that does not read its messages loses them; serving goes on. */
	if (worker->control >= 0)
		(void)msg_send(worker->control, type, id, payload, NULL, 0);
}

static int apply(struct worker *worker, const struct proxy_config *config)
{
	struct listener_plan *plan = NULL;
	int error = listeners_plan(worker, config, &plan);
	if (!error)
		error = service_table_apply(&worker->services, config);
	if (error) {
		listener_plan_free(&plan);
		return error;
	}
	listeners_commit(worker, &plan);
	worker->generation = config->generation;
	return 0;
}

static int take_config(struct worker *worker, const struct msg *msg)
{
	const void *data;
	size_t length;
	struct proxy_config *config;
	if (msg->fd_count != 1)
		return -EBADMSG;
	int error = msg_body_map(msg->fds[0], &data, &length);
	if (error)
		return error;
	struct arena *arena = arena_new();
	error = arena ? proxy_config_decode(data, length, arena, &config) : -ENOMEM;
	if (!error)
		error = apply(worker, config);
	arena_free(&arena);
	if (length)
		(void)munmap((void *)(uintptr_t)data, length);
	return error;
}

/* What is in force afterwards: of a configuration that was refused, the one before. */
static int answer_config(struct worker *worker, const struct msg *msg)
{
	int error = take_config(worker, msg);
	cleanup_wire struct wire_writer payload = {0};
	wire_put_u32(&payload, worker->generation);
	control_send(worker, MSG_PROXY_APPLIED, msg->id, &payload);
	return error;
}

static int take_listener(struct worker *worker, struct msg *msg)
{
	struct wire_reader reader = {.data = msg->payload, .length = msg->length};
	uint32_t id = wire_get_u32(&reader);
	if (wire_finish(&reader) || msg->fd_count != 1)
		return -EBADMSG;
	msg->fd_count = 0;
	return listeners_add(worker, id, msg->fds[0]);
}

static int report_services(struct worker *worker, struct arena *arena, struct report *report)
{
	report->services = arena_array(arena, worker->services.count + 1, struct report_service);
	if (!report->services)
		return -ENOMEM;
	for (size_t i = 0; i < worker->services.count; i++) {
		const struct service *service = worker->services.items[i];
		report->services[report->service_count++] =
			(struct report_service){.forward = service->name, .counters = service->counters};
	}
	return 0;
}

static struct report_connection connection_report(const struct worker *worker, const struct connection *connection)
{
	return (struct report_connection){
		.forward = connection->service->name,
		.node = connection->backend ? connection->backend->name : NULL,
		.client = connection->client,
		.node_address = connection->backend ? connection->backend->address : (struct addr){0},
		.age_ms = worker->now - connection->opened,
		.idle_ms = worker->now - connection->active,
		.bytes_in = connection->sides[TAG_CLIENT].bytes,
		.bytes_out = connection->sides[TAG_SERVER].bytes,
		.unique_id = connection->unique_id,
		.connecting = connection->state == CONNECTION_CONNECTING,
	};
}

void control_tell_opened(struct worker *worker, const struct connection *connection)
{
	struct report_connection opened = connection_report(worker, connection);
	struct report report = {
		.kind = REPORT_CONNECTIONS, .connections = &opened, .connection_count = 1, .connections_total = 1};
	cleanup_wire struct wire_writer payload = {0};
	report_encode(&report, &payload);
	if (!payload.failed)
		control_send(worker, MSG_PROXY_OPENED, 0, &payload);
}

static int report_connections(struct worker *worker, struct arena *arena, struct report *report)
{
	report->connections_total = worker->connections.used;
	size_t most = worker->connections.used < REPORT_CONNECTIONS_MAX ? worker->connections.used : REPORT_CONNECTIONS_MAX;
	report->connections = arena_array(arena, most + 1, struct report_connection);
	if (!report->connections)
		return -ENOMEM;
	const struct connection *connection;
	for (size_t i = 0; report->connection_count < most && (connection = slab_at(&worker->connections, i)); i++) {
		if (connection->state != CONNECTION_CONNECTING && connection->state != CONNECTION_OPEN)
			continue;
		report->connections[report->connection_count++] = connection_report(worker, connection);
	}
	return 0;
}

/* Bytes of connections that are still open count as well. */
static void add_open_bytes(const struct worker *worker, struct report *report)
{
	const struct connection *connection;
	for (size_t i = 0; (connection = slab_at(&worker->connections, i)); i++) {
		if (connection->state != CONNECTION_OPEN)
			continue;
		for (size_t j = 0; j < report->service_count; j++) {
			if (report->services[j].forward != connection->service->name)
				continue;
			report->services[j].counters.bytes_in += connection->sides[TAG_CLIENT].bytes;
			report->services[j].counters.bytes_out += connection->sides[TAG_SERVER].bytes;
			break;
		}
	}
}

static int answer_query(struct worker *worker, const struct msg *msg)
{
	struct wire_reader reader = {.data = msg->payload, .length = msg->length};
	struct report report = {.kind = (enum report_kind)wire_get_bounded(&reader, REPORT_CONNECTIONS)};
	if (wire_finish(&reader))
		return -EBADMSG;
	cleanup_arena struct arena *arena = arena_new();
	if (!arena)
		return -ENOMEM;
	int error = report.kind == REPORT_COUNTERS ? report_services(worker, arena, &report)
						   : report_connections(worker, arena, &report);
	if (error)
		return error;
	if (report.kind == REPORT_COUNTERS)
		add_open_bytes(worker, &report);
	cleanup_wire struct wire_writer body = {0};
	report_encode(&report, &body);
	if (body.failed)
		return -ENOMEM;
	int fd = msg_body_new(body.data, body.length);
	if (fd < 0)
		return fd;
	error = msg_send(worker->control, MSG_PROXY_ANSWER, msg->id, NULL, &fd, 1);
	close(fd);
	return error;
}

static int dispatch(struct worker *worker, struct msg *msg)
{
	switch (msg->type) {
	case MSG_STOP:
		worker_stop(worker);
		return 0;
	case MSG_PROXY_CONFIG:
		return worker->stopping ? 0 : answer_config(worker, msg);
	case MSG_PROXY_LISTENER:
		return worker->stopping ? 0 : take_listener(worker, msg);
	case MSG_PROXY_QUERY:
		return answer_query(worker, msg);
	case MSG_READY:
	case MSG_LOG:
	case MSG_PROXY_APPLIED:
	case MSG_PROXY_ANSWER:
	case MSG_PROXY_OPENED:
	case MSG_PROXY_HEALTH:
	case MSG_API_REQUEST:
	case MSG_API_ANSWER:
	case MSG_API_LISTENER:
	case MSG_API_TLS:
	case MSG_WATCH_RESOLVE:
	case MSG_WATCH_RESOLVED:
	case MSG_TYPES:
		break;
	}
	return -EBADMSG; /* not for a worker */
}

static void hang_up(struct worker *worker)
{
	(void)epoll_ctl(worker->epoll, EPOLL_CTL_DEL, worker->control, NULL);
	close(worker->control);
	worker->control = -1;
}

void control_event(struct worker *worker)
{
	static struct msg_buffer buffer;
	/* A few at a time: connections have their turn in between. */
	for (int i = 0; i < 16 && worker->control >= 0; i++) {
		struct msg msg;
		int got = msg_receive(worker->control, &buffer, &msg);
		if (got == -EAGAIN)
			return;
		if (got <= 0 && got != -EBADMSG) {
			hang_up(worker);
			return;
		}
		int error = got == 1 ? dispatch(worker, &msg) : got;
		if (got == 1)
			msg_close_fds(&msg);
		if (error)
			worker_log(worker, LOG_ERR, "proxy: a message of main (type %d) was refused: %s",
				   got == 1 ? (int)msg.type : 0, strerror(-error));
	}
}
