/* The worker's answers as bytes and back. The decoder runs in main and treats
 * its input as hostile. */
#include "report.h"

#include <errno.h>

static uint64_t *const *counter_fields(struct service_counters *counters, uint64_t *fields[7])
{
	fields[0] = &counters->accepted;
	fields[1] = &counters->open;
	fields[2] = &counters->bytes_in;
	fields[3] = &counters->bytes_out;
	fields[4] = &counters->refused;
	fields[5] = &counters->connect_failures;
	fields[6] = &counters->header_errors;
	return fields;
}
_Static_assert(sizeof(struct service_counters) == 7 * sizeof(uint64_t), "a counter is missing above");

static void put_connection(const struct report_connection *connection, struct wire_writer *writer)
{
	wire_put_text(writer, connection->forward);
	wire_put_text(writer, connection->node);
	wire_put_addr(writer, &connection->client.addr);
	wire_put_u32(writer, connection->client.port);
	wire_put_addr(writer, &connection->node_address);
	wire_put_u64(writer, connection->age_ms);
	wire_put_u64(writer, connection->idle_ms);
	wire_put_u64(writer, connection->bytes_in);
	wire_put_u64(writer, connection->bytes_out);
	wire_put_u64(writer, connection->unique_id);
	wire_put_u32(writer, connection->connecting);
}

void report_encode(const struct report *report, struct wire_writer *writer)
{
	wire_put_u32(writer, report->kind);
	wire_put_u32(writer, (uint32_t)report->service_count);
	for (size_t i = 0; i < report->service_count; i++) {
		struct service_counters counters = report->services[i].counters;
		uint64_t *fields[7];
		counter_fields(&counters, fields);
		wire_put_text(writer, report->services[i].forward);
		for (size_t j = 0; j < 7; j++)
			wire_put_u64(writer, *fields[j]);
	}
	wire_put_u64(writer, report->connections_total);
	wire_put_u32(writer, (uint32_t)report->connection_count);
	for (size_t i = 0; i < report->connection_count; i++)
		put_connection(&report->connections[i], writer);
}

/* Zeroed items; at least one byte of each is still to come. */
static void *get_array(struct wire_reader *reader, struct arena *arena, uint32_t most, size_t size, size_t *ret_count)
{
	size_t count = wire_get_bounded(reader, most);
	if (reader->failed || count > reader->length - reader->at) {
		reader->failed = true;
		return NULL;
	}
	void *items = arena_calloc(arena, count + 1, size);
	if (!items)
		reader->failed = true;
	else
		*ret_count = count;
	return items;
}

static void get_service(struct wire_reader *reader, struct arena *arena, struct report_service *service)
{
	uint64_t *fields[7];
	service->forward = wire_get_text(reader, arena, MODEL_NAME_MAX);
	if (!service->forward)
		reader->failed = true;
	counter_fields(&service->counters, fields);
	for (size_t i = 0; i < 7; i++)
		*fields[i] = wire_get_u64(reader);
}

static void get_connection(struct wire_reader *reader, struct arena *arena, struct report_connection *connection)
{
	connection->forward = wire_get_text(reader, arena, MODEL_NAME_MAX);
	if (!connection->forward)
		reader->failed = true;
	connection->node = wire_get_text(reader, arena, MODEL_NAME_MAX);
	connection->client.addr = wire_get_addr(reader);
	connection->client.port = (uint16_t)wire_get_bounded(reader, UINT16_MAX);
	connection->node_address = wire_get_addr(reader);
	connection->age_ms = wire_get_u64(reader);
	connection->idle_ms = wire_get_u64(reader);
	connection->bytes_in = wire_get_u64(reader);
	connection->bytes_out = wire_get_u64(reader);
	connection->unique_id = wire_get_u64(reader);
	connection->connecting = wire_get_bounded(reader, 1);
}

int report_decode(const void *data, size_t length, struct arena *arena, struct report **ret_report)
{
	struct wire_reader reader = {.data = data, .length = length};
	struct report *report = arena_new_of(arena, struct report);
	if (!report)
		return -ENOMEM;
	report->kind = (enum report_kind)wire_get_bounded(&reader, REPORT_CONNECTIONS);
	/* Twice: forwards that are gone but still have connections are listed too. */
	report->services =
		get_array(&reader, arena, 2 * MODEL_MAX_FORWARDS, sizeof(*report->services), &report->service_count);
	for (size_t i = 0; i < report->service_count && !reader.failed; i++)
		get_service(&reader, arena, &report->services[i]);
	report->connections_total = wire_get_u64(&reader);
	report->connections = get_array(&reader, arena, REPORT_CONNECTIONS_MAX, sizeof(*report->connections),
					&report->connection_count);
	for (size_t i = 0; i < report->connection_count && !reader.failed; i++)
		get_connection(&reader, arena, &report->connections[i]);
	int error = wire_finish(&reader);
	if (!error)
		*ret_report = report;
	return error;
}
