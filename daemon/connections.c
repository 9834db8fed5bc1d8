/* Flows of both data planes as people want to see them: who, which forward,
 * which node, how long, how much. Reads conntrack; changes nothing. */
#include "connections.h"

#include "kernel/conntrack.h"
#include "kernel/header.h"

#include "../rules/state/state.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* The UNIQUE_ID as the node was told; null when it was told none. */
static json_t *unique_id(uint64_t id)
{
	return id ? json_sprintf("%016llx", (unsigned long long)id) : json_null();
}

static json_t *endpoint(const struct addr *address, uint16_t port)
{
	char text[ADDR_TEXT_MAX];
	addr_format(address, text);
	return json_sprintf(address->family == FAMILY_V6 ? "[%s]:%u" : "%s:%u", text, port);
}

void connections_add_proxied(const struct model *model, const struct report *report, const char *forward, json_t *list)
{
	for (size_t i = 0; i < report->connection_count; i++) {
		const struct report_connection *c = &report->connections[i];
		if (forward && strcmp(forward, c->forward) != 0)
			continue;
		const struct forward *owner = model_find_forward(model, c->forward);
		bool header = owner && owner->proxy_protocol != PROXY_NONE;
		char node[ADDR_TEXT_MAX];
		json_array_append_new(
			list,
			json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "protocol", "tcp", "client",
				  endpoint(&c->client.addr, c->client.port), "forward", show_text(c->forward), "node",
				  show_text(c->node), "node_address",
				  c->node ? show_text(addr_format(&c->node_address, node)) : json_null(), "plane", "proxy",
				  "state", c->connecting ? "connecting" : "established", "age_seconds",
				  (json_int_t)(c->age_ms / 1000), "bytes_in", (json_int_t)c->bytes_in, "bytes_out",
				  (json_int_t)c->bytes_out, "header",
				  !header ? json_null()
					  : show_text(headers_state_names[c->connecting ? HEADERS_WAITING
											: HEADERS_DELIVERED]),
				  "unique_id", unique_id(c->unique_id)));
	}
}

/* Who listens for what: forwards by the port that is dialled, so that a full conntrack is matched in one pass. */
struct dialled {
	const struct forward *forward;
	uint32_t next; /* another forward on the same port, on an address of its own; 0: none */
};

struct dial_table {
	uint32_t first[2][65536]; /* tcp, udp; index in entries, 0: nobody */
	struct dialled *entries;
};

static struct dial_table *dial_table_new(const struct model *model, struct arena *arena)
{
	size_t ports = 0, used = 1;
	for (size_t i = 0; i < model->forward_count; i++)
		for (size_t j = 0; j < model->forwards[i].port_count; j++)
			ports += (size_t)(model->forwards[i].ports[j].last - model->forwards[i].ports[j].first) + 1;
	struct dial_table *table = arena_new_of(arena, struct dial_table);
	if (table)
		table->entries = arena_array(arena, ports + 1, struct dialled);
	if (!table || !table->entries)
		return NULL;
	for (size_t i = 0; i < model->forward_count; i++) {
		const struct forward *forward = &model->forwards[i];
		uint32_t *first = table->first[forward->protocol == PROTOCOL_UDP];
		for (size_t j = 0; j < forward->port_count; j++) {
			for (uint32_t port = forward->ports[j].first; port <= forward->ports[j].last; port++) {
				table->entries[used] = (struct dialled){forward, first[port]};
				first[port] = (uint32_t)used++;
			}
		}
	}
	return table;
}

/* The forward that a flow was let in by: by what was dialled; an address of its own beats any. */
static const struct forward *forward_of(const struct dial_table *table, const struct flow *flow)
{
	const struct forward *found = NULL;
	uint32_t at = table->first[flow->protocol == IPPROTO_UDP][flow->original.to_port];
	for (; at; at = table->entries[at].next) {
		const struct forward *forward = table->entries[at].forward;
		if (!forward->listen_address.family)
			found = forward;
		else if (addr_equal(&forward->listen_address, &flow->original.to))
			return forward;
	}
	return found;
}

struct listing {
	const struct dial_table *table;
	const char *forward;
	json_t *list;
	struct headers_flow *headers; /* sorted, for connections that have a header */
	size_t header_count;
	struct show_use *uses; /* by index of the forward */
};

static int compare_flows(const void *left, const void *right)
{
	const struct headers_flow *a = left, *b = right;
	int order = addr_compare(&a->peer, &b->peer);
	if (order == 0)
		order = (int)a->peer_port - (int)b->peer_port;
	if (order == 0)
		order = addr_compare(&a->node, &b->node);
	return order ? order : (int)a->node_port - (int)b->node_port;
}

/* How far the header of a flow is, and its unique id; null where there is none. */
static void put_header(const struct listing *listing, const struct flow *flow, json_t *json)
{
	struct headers_flow key = {.node = flow->reply.from,
				   .peer = flow->reply.to,
				   .node_port = flow->reply.from_port,
				   .peer_port = flow->reply.to_port};
	const struct headers_flow *found = NULL;
	bool marked = flow->mark & MARK_HEADER_MASK;
	if (marked && listing->header_count)
		found = bsearch(&key, listing->headers, listing->header_count, sizeof(key), compare_flows);
	json_object_set_new(json, "header",
			    !marked ? json_null() : show_text(found ? headers_state_names[found->state] : "unknown"));
	json_object_set_new(json, "unique_id", unique_id(found && (flow->mark & MARK_HEADER_ID) ? found->unique_id : 0));
}

static enum flow_verdict list_flow(void *context, const struct flow *flow)
{
	struct listing *listing = context;
	if (flow->mark & MARK_PROXY)
		return FLOW_KEEP;
	const struct forward *forward = forward_of(listing->table, flow);
	if (!forward || (listing->forward && strcmp(listing->forward, forward->name) != 0))
		return FLOW_KEEP;
	const struct node *node = NULL;
	for (size_t i = 0; i < forward->pool->node_count && !node; i++)
		if (addr_equal(&forward->pool->nodes[i]->address, &flow->reply.from))
			node = forward->pool->nodes[i];
	char address[ADDR_TEXT_MAX];
	json_t *json = json_pack("{s:s, s:o, s:s, s:o, s:s, s:s, s:s, s:I, s:I, s:I}", "protocol",
				 flow->protocol == IPPROTO_UDP ? "udp" : "tcp", "client",
				 endpoint(&flow->original.from, flow->original.from_port), "forward", forward->name,
				 "node", show_text(node ? node->name : NULL), "node_address",
				 addr_format(&flow->reply.from, address), "plane", "kernel", "state", flow->state,
				 "age_seconds", (json_int_t)flow->age_seconds, "bytes_in", (json_int_t)flow->bytes_in,
				 "bytes_out", (json_int_t)flow->bytes_out);
	put_header(listing, flow, json);
	json_array_append_new(listing->list, json);
	return FLOW_KEEP;
}

void connections_add_kernel(const struct model *model, const struct headers *headers, const char *forward,
			    struct arena *arena, json_t *list)
{
	struct listing listing = {.table = dial_table_new(model, arena), .forward = forward, .list = list};
	if (headers && headers_flows(headers, &listing.headers, &listing.header_count) < 0)
		listing.header_count = 0;
	if (listing.header_count)
		qsort(listing.headers, listing.header_count, sizeof(*listing.headers), compare_flows);
	if (listing.table)
		conntrack_walk(MARK_FORWARD, MARK_FORWARD, list_flow, &listing);
	free(listing.headers);
}

static enum flow_verdict sum_flow(void *context, const struct flow *flow)
{
	struct listing *listing = context;
	const struct forward *forward = flow->mark & MARK_PROXY ? NULL : forward_of(listing->table, flow);
	if (forward) {
		struct show_use *use = &listing->uses[forward->index];
		use->open++;
		use->open_packets += flow->packets_in + flow->packets_out;
		use->open_bytes += flow->bytes_in + flow->bytes_out;
	}
	return FLOW_KEEP;
}

void connections_add_uses(const struct model *model, struct arena *arena, struct show_use *uses)
{
	struct listing listing = {.table = dial_table_new(model, arena), .uses = uses};
	if (listing.table)
		conntrack_walk(MARK_FORWARD, MARK_FORWARD, sum_flow, &listing);
}

#define HALF_OPEN_LOOKED 50000u

struct half_open {
	const struct dial_table *table;
	uint64_t *counts;
	size_t looked;
};

static enum flow_verdict count_half_open(void *context, const struct flow *flow)
{
	struct half_open *half = context;
	if (++half->looked > HALF_OPEN_LOOKED)
		return FLOW_STOP;
	if (strcmp(flow->state, "syn-sent") != 0 && strcmp(flow->state, "syn-received") != 0)
		return FLOW_KEEP;
	const struct forward *forward = forward_of(half->table, flow);
	if (forward)
		half->counts[forward->index]++;
	return FLOW_KEEP;
}

void connections_count_half_open(const struct model *model, struct arena *arena, uint64_t *counts)
{
	struct half_open half = {.table = dial_table_new(model, arena), .counts = counts};
	if (half.table)
		conntrack_walk(MARK_FORWARD, MARK_FORWARD, count_half_open, &half);
}
