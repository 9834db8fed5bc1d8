/* Cross checks on what is listened on: no port twice, no forward that another
 * listener of this machine would hide. */
#include <errno.h>
#include <stdlib.h>

#include "reader.h"
#include "values.h"

/* One port range of one forward. */
struct listen {
	const struct forward *forward;
	struct port_range ports;
};

static int compare_listens(const void *left, const void *right)
{
	const struct listen *a = left, *b = right;
	if (a->forward->protocol != b->forward->protocol)
		return a->forward->protocol < b->forward->protocol ? -1 : 1;
	int order = addr_compare(&a->forward->listen_address, &b->forward->listen_address);
	if (order)
		return order;
	if (a->ports.first != b->ports.first)
		return a->ports.first < b->ports.first ? -1 : 1;
	return a->forward->index < b->forward->index ? -1 : 1;
}

static bool same_socket(const struct forward *a, const struct forward *b)
{
	return a->protocol == b->protocol && addr_equal(&a->listen_address, &b->listen_address);
}

static void refuse_overlap(struct reader *reader, const struct listen *a, const struct listen *b)
{
	bool a_first = a->forward->index < b->forward->index;
	const struct forward *first = a_first ? a->forward : b->forward, *second = a_first ? b->forward : a->forward;
	struct origin at = reader_key_at(reader, KIND_FORWARD, first->index, "listen");
	reader_refuse(reader, KIND_FORWARD, second->index, "listen", "%s port %u is forward %s's already (%s:%u)",
		      protocol_names[second->protocol],
		      a->ports.first > b->ports.first ? a->ports.first : b->ports.first, first->name, at.file, at.line);
}

/* Sorted by first port, a range overlaps an earlier one exactly when it starts before the furthest end so far. */
static int check_forwards(struct reader *reader)
{
	const struct model *model = reader->model;
	size_t count = 0, used = 0;
	for (size_t i = 0; i < model->forward_count; i++)
		count += model->forwards[i].port_count;
	struct listen *listens = arena_array(reader->scratch, count, struct listen);
	if (!listens)
		return -ENOMEM;
	for (size_t i = 0; i < model->forward_count; i++)
		for (size_t j = 0; j < model->forwards[i].port_count; j++)
			listens[used++] = (struct listen){&model->forwards[i], model->forwards[i].ports[j]};
	if (count == 0)
		return 0;
	qsort(listens, count, sizeof(*listens), compare_listens);
	const struct listen *furthest = &listens[0];
	for (size_t i = 1; i < count; i++) {
		bool same = same_socket(furthest->forward, listens[i].forward);
		if (same && listens[i].ports.first <= furthest->ports.last)
			refuse_overlap(reader, furthest, &listens[i]);
		if (!same || listens[i].ports.last > furthest->ports.last)
			furthest = &listens[i];
	}
	return 0;
}

static bool listens_on(const struct forward *forward, enum protocol protocol, uint16_t port)
{
	for (size_t i = 0; i < forward->port_count && forward->protocol == protocol; i++)
		if (port >= forward->ports[i].first && port <= forward->ports[i].last)
			return true;
	return false;
}

static int check_tunnel_ports(struct reader *reader)
{
	const struct model *model = reader->model;
	const struct tunnel **owners = arena_array(reader->scratch, 65536, const struct tunnel *);
	if (!owners)
		return -ENOMEM;
	for (size_t i = 0; i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i], *first = owners[tunnel->listen];
		if (tunnel->listen == 0)
			continue;
		if (first)
			reader_refuse(reader, KIND_TUNNEL, i, "listen", "port %u is tunnel %s's already (%s:%u)",
				      tunnel->listen, first->name, first->at.file, first->at.line);
		else
			owners[tunnel->listen] = tunnel;
	}
	for (size_t i = 0; i < model->forward_count; i++) {
		const struct forward *forward = &model->forwards[i];
		for (size_t t = 0; t < model->tunnel_count && forward->protocol == PROTOCOL_UDP; t++)
			if (model->tunnels[t].listen && listens_on(forward, PROTOCOL_UDP, model->tunnels[t].listen))
				reader_refuse(reader, KIND_FORWARD, i, "listen",
					      "udp port %u is tunnel %s's (%s:%u), and a forward would take it away",
					      model->tunnels[t].listen, model->tunnels[t].name,
					      model->tunnels[t].at.file, model->tunnels[t].at.line);
	}
	return 0;
}

static bool is_loopback(const struct addr *addr)
{
	static const struct addr v6 = {.family = FAMILY_V6, .bytes = {[15] = 1}};
	return addr->family == FAMILY_V4 ? addr->bytes[0] == 127 : addr_equal(addr, &v6);
}

/* Whoever dials such an address never gets here. */
static void check_addresses(struct reader *reader)
{
	const struct model *model = reader->model;
	for (size_t i = 0; i < model->forward_count; i++) {
		const struct addr *addr = &model->forwards[i].listen_address;
		char text[ADDR_TEXT_MAX];
		if (addr->family == FAMILY_NONE)
			continue;
		if (is_loopback(addr))
			reader_refuse(reader, KIND_FORWARD, i, "listen",
				      "%s is reached from this machine only (leave the address out, or write one that "
				      "clients dial)",
				      addr_format(addr, text));
		for (size_t j = 0; j < model->node_count; j++)
			if (addr_equal(addr, &model->nodes[j].address))
				reader_refuse(reader, KIND_FORWARD, i, "listen",
					      "%s is node %s's address (%s:%u), not this machine's",
					      addr_format(addr, text), model->nodes[j].name, model->nodes[j].at.file,
					      model->nodes[j].at.line);
	}
}

/* sshd listens on every address of this machine, loopback's too. */
static void check_ssh(struct reader *reader, const struct listen_tcp *server, const char *section)
{
	const struct management *management = &reader->model->management;
	const struct where up = {.name = section}, where = {.up = &up, .name = "listen"};
	for (size_t i = 0; i < management->port_count && server->address.family != FAMILY_NONE; i++)
		if (server->port >= management->ports[i].first && server->port <= management->ports[i].last)
			reader_error(reader, &where, server->at, "tcp port %u is management's ssh (%s:%u)", server->port,
				     management->at.file, management->at.line);
}

/* What a forward listens for never reaches a server on this machine. */
static void check_server(struct reader *reader, const struct listen_tcp *server, const char *section)
{
	const struct model *model = reader->model;
	const struct where up = {.name = section}, where = {.up = &up, .name = "listen"};
	if (server->address.family == FAMILY_NONE || is_loopback(&server->address))
		return;
	for (size_t i = 0; i < model->forward_count; i++) {
		const struct forward *forward = &model->forwards[i];
		bool here = forward->listen_address.family == FAMILY_NONE || addr_is_zero(&server->address) ||
			    addr_equal(&forward->listen_address, &server->address);
		if (here && listens_on(forward, PROTOCOL_TCP, server->port))
			reader_error(reader, &where, server->at, "tcp port %u is forward %s's already (%s:%u)",
				     server->port, forward->name, forward->at.file, forward->at.line);
	}
}

static void check_servers(struct reader *reader)
{
	const struct listen_tcp *metrics = &reader->model->metrics, *api = &reader->model->api.listen;
	check_server(reader, metrics, "metrics");
	check_server(reader, api, "api");
	check_ssh(reader, metrics, "metrics");
	check_ssh(reader, api, "api");
	bool both = metrics->address.family != FAMILY_NONE && api->address.family != FAMILY_NONE;
	bool same = addr_equal(&metrics->address, &api->address) || addr_is_zero(&metrics->address) ||
		    addr_is_zero(&api->address);
	const struct where up = {.name = "api"}, where = {.up = &up, .name = "listen"};
	if (both && same && metrics->port == api->port)
		reader_error(reader, &where, api->at, "tcp port %u is taken by metrics already (%s:%u)", api->port,
			     metrics->at.file, metrics->at.line);
}

int check_listens(struct reader *reader)
{
	int r = check_forwards(reader);
	if (r == 0)
		r = check_tunnel_ports(reader);
	if (r == 0) {
		check_addresses(reader);
		check_servers(reader);
	}
	return r;
}
