/* Types of the network: addresses, prefixes, ports, sockets. Each reads one
 * value of the document into a field of the model and prints it back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "types.h"
#include "values.h"

char *list_add(struct arena *arena, char *list, const char *text)
{
	return arena_printf(arena, "%s%s%s", list ? list : "[", list ? ", " : "", text);
}

int list_close(struct arena *arena, char *list, char **ret_text)
{
	return list ? type_give(arena_printf(arena, "%s]", list), ret_text) : type_unset(ret_text);
}

/* ::ffff:192.0.2.1 is how sockets write an IPv4 peer: a rule on it would wait for packets that never come. */
static int refuse_mapped(struct reader *reader, const struct where *where, const struct doc_node *node,
			 const struct prefix *prefix)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (prefix->addr.family != FAMILY_V6 || prefix->length <= 96 || memcmp(prefix->addr.bytes, mapped, 12) != 0)
		return 0;
	struct prefix v4 = {.addr = {.family = FAMILY_V4}, .length = (uint8_t)(prefix->length - 96)};
	memcpy(v4.addr.bytes, prefix->addr.bytes + 12, 4);
	char right[PREFIX_TEXT_MAX];
	return reader_error(reader, where, node->at,
			    "\"%s\" is IPv4 written as IPv6, which no packet carries (write %s)", node->text,
			    prefix_format(&v4, right));
}

int read_host_address(struct reader *reader, const struct where *where, const struct doc_node *node, const char *text,
		      size_t length, struct addr *ret_addr)
{
	struct addr addr;
	if (addr_parse(text, length, &addr) < 0)
		return type_refuse(reader, where, node, "an address (like 192.0.2.1 or 2001:db8::1)");
	bool multicast = addr.family == FAMILY_V4 ? addr.bytes[0] >= 224 : addr.bytes[0] == 0xff;
	if (addr_is_zero(&addr) || multicast)
		return type_refuse(reader, where, node, "the address of one machine");
	struct prefix whole = {.addr = addr, .length = addr_bits(addr.family)};
	int r = refuse_mapped(reader, where, node, &whole);
	if (r == 0)
		*ret_addr = addr;
	return r;
}

static int read_address(struct reader *reader, const struct where *where, const struct key *key,
			const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "an address");
	return r < 0 ? r
		     : read_host_address(reader, where, node, node->text, node->length, FIELD(entry, key, struct addr));
}

/* An IPv6 address that ends with a colon would be a key to YAML, so those stand in quotes. */
char *print_prefix(struct arena *arena, const struct prefix *prefix)
{
	char text[PREFIX_TEXT_MAX];
	prefix_format(prefix, text);
	return arena_printf(arena, prefix->addr.family == FAMILY_V6 ? "\"%s\"" : "%s", text);
}

static int print_address(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const struct addr *addr = FIELD_CONST(entry, key, struct addr);
	struct prefix prefix = {.addr = *addr, .length = addr_bits(addr->family)};
	return type_give(print_prefix(arena, &prefix), ret_text);
}

const struct value_type address_type = {.name = "address", .read = read_address, .print = print_address};

static int read_addresses(struct reader *reader, const struct where *where, const struct key *key,
			  const struct doc_node *node, void *entry)
{
	const struct doc_node *items;
	size_t count;
	int r = expect_values(reader, where, node, key, &items, &count);
	if (r < 0)
		return r;
	struct addr *addresses = arena_array(reader->arena, count, struct addr);
	if (!addresses)
		return -ENOMEM;
	int worst = 0;
	for (size_t i = 0; i < count; i++) {
		r = expect_scalar(reader, where, &items[i], "an address");
		if (r == 0)
			r = read_host_address(reader, where, &items[i], items[i].text, items[i].length, &addresses[i]);
		for (size_t j = 0; r == 0 && j < i; j++)
			if (addr_equal(&addresses[i], &addresses[j]))
				r = reader_error(reader, where, items[i].at, "%s is listed twice", items[i].text);
		worst = r < 0 ? r : worst;
	}
	if (worst < 0)
		return worst;
	*FIELD(entry, key, struct addr *) = addresses;
	*FIELD_COUNT(entry, key) = count;
	return 0;
}

static int print_addresses(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const struct addr *addresses = *FIELD_CONST(entry, key, const struct addr *);
	char *list = NULL;
	for (size_t i = 0; i < *FIELD_COUNT_CONST(entry, key); i++) {
		struct prefix prefix = {.addr = addresses[i], .length = addr_bits(addresses[i].family)};
		char *one = print_prefix(arena, &prefix);
		list = one ? list_add(arena, list, one) : NULL;
		if (!list)
			return -ENOMEM;
	}
	return list_close(arena, list, ret_text);
}

const struct value_type addresses_type = {
	.name = "list of addresses", .list = true, .read = read_addresses, .print = print_addresses};

int read_prefix(struct reader *reader, const struct where *where, const struct doc_node *node,
		struct prefix *ret_prefix)
{
	struct prefix prefix;
	int r = prefix_parse(node->text, node->length, &prefix);
	if (r == -ERANGE) {
		char right[PREFIX_TEXT_MAX];
		return reader_error(reader, where, node->at, "%s has bits set behind its length (the network is %s)",
				    node->text, prefix_format(&prefix, right));
	}
	if (r < 0)
		return type_refuse(reader, where, node, "an address or a prefix (like 192.0.2.0/24 or 2001:db8::/32)");
	r = refuse_mapped(reader, where, node, &prefix);
	if (r == 0)
		*ret_prefix = prefix;
	return r;
}

/* A prefix of which the address is meant as well: "198.18.88.1/24". */
static int read_own_prefix(struct reader *reader, const struct where *where, const struct doc_node *node,
			   struct prefix *ret_prefix)
{
	struct prefix masked;
	const char *slash = strchr(node->text, '/');
	int r = prefix_parse(node->text, node->length, &masked);
	if ((r < 0 && r != -ERANGE) || !slash)
		return type_refuse(reader, where, node,
				   "an own address with the length of its network (like 198.18.88.1/24)");
	struct prefix own = masked;
	r = read_host_address(reader, where, node, node->text, (size_t)(slash - node->text), &own.addr);
	if (r < 0)
		return r;
	if (addr_equal(&own.addr, &masked.addr) && own.length < addr_bits(own.addr.family) - 1)
		return reader_error(reader, where, node->at,
				    "%s is the network (the own address in it is wanted, like 198.18.88.1/24)",
				    node->text);
	*ret_prefix = own;
	return 0;
}

static int read_prefix_list(struct reader *reader, const struct where *where, const struct key *key,
			    const struct doc_node *node, void *entry,
			    int (*read_one)(struct reader *, const struct where *, const struct doc_node *,
					    struct prefix *))
{
	const struct doc_node *items;
	size_t count;
	int r = expect_values(reader, where, node, key, &items, &count);
	if (r < 0)
		return r;
	struct prefix *prefixes = arena_array(reader->arena, count, struct prefix);
	if (!prefixes)
		return -ENOMEM;
	int worst = 0;
	for (size_t i = 0; i < count; i++) {
		r = expect_scalar(reader, where, &items[i], "a prefix like 192.0.2.0/24");
		if (r == 0)
			r = read_one(reader, where, &items[i], &prefixes[i]);
		for (size_t j = 0; r == 0 && j < i; j++)
			if (addr_equal(&prefixes[i].addr, &prefixes[j].addr) &&
			    prefixes[i].length == prefixes[j].length)
				r = reader_error(reader, where, items[i].at, "%s is listed twice", items[i].text);
		worst = r < 0 ? r : worst;
	}
	if (worst < 0)
		return worst;
	*FIELD(entry, key, struct prefix *) = prefixes;
	*FIELD_COUNT(entry, key) = count;
	return 0;
}

static int read_prefixes(struct reader *reader, const struct where *where, const struct key *key,
			 const struct doc_node *node, void *entry)
{
	return read_prefix_list(reader, where, key, node, entry, read_prefix);
}

static int read_own_prefixes(struct reader *reader, const struct where *where, const struct key *key,
			     const struct doc_node *node, void *entry)
{
	return read_prefix_list(reader, where, key, node, entry, read_own_prefix);
}

static int print_prefix_list(struct arena *arena, const struct key *key, const void *entry, bool with_length,
			     char **ret_text)
{
	const struct prefix *prefixes = *FIELD_CONST(entry, key, const struct prefix *);
	char *list = NULL;
	for (size_t i = 0; i < *FIELD_COUNT_CONST(entry, key); i++) {
		char text[ADDR_TEXT_MAX];
		char *one = with_length ? arena_printf(arena, "\"%s/%u\"", addr_format(&prefixes[i].addr, text),
						       prefixes[i].length)
					: print_prefix(arena, &prefixes[i]);
		list = one ? list_add(arena, list, one) : NULL;
		if (!list)
			return -ENOMEM;
	}
	return list_close(arena, list, ret_text);
}

static int print_prefixes(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	return print_prefix_list(arena, key, entry, false, ret_text);
}

static int print_own_prefixes(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	return print_prefix_list(arena, key, entry, true, ret_text);
}

const struct value_type prefixes_type = {
	.name = "list of prefixes", .list = true, .read = read_prefixes, .print = print_prefixes};
const struct value_type own_prefixes_type = {
	.name = "list of own addresses", .list = true, .read = read_own_prefixes, .print = print_own_prefixes};

static int compare_ports(const void *left, const void *right)
{
	const struct port_range *a = left, *b = right;
	return a->first < b->first ? -1 : a->first > b->first;
}

/* "80,443" split at its commas, appended to ranges. */
static int split_ports(struct reader *reader, const struct where *where, const struct doc_node *node, const char *text,
		       size_t length, struct port_range *ranges, size_t *count)
{
	const char *end = text + length;
	for (const char *part = text; part <= end;) {
		const char *comma = memchr(part, ',', (size_t)(end - part));
		const char *stop = comma ? comma : end;
		const char *first = part;
		part = stop + 1;
		while (first < stop && *first == ' ')
			first++;
		if (*count == PORTS_MOST)
			return reader_error(reader, where, node->at, "too many ports (at most %d ports or ranges)",
					    PORTS_MOST);
		if (value_port_range(first, (size_t)(stop - first), &ranges[*count]) < 0)
			return type_refuse(reader, where, node,
					   "a port (like 443, 8000-8010 or \"80,443\"; 1 to 65535)");
		++*count;
	}
	return 0;
}

/* One of ranges from index fresh on has a port of one before it: told where the later one stands. */
static int refuse_twice(struct reader *reader, const struct where *where, const struct doc_node *node,
			const struct port_range *ranges, size_t fresh, size_t count)
{
	for (size_t i = fresh; i < count; i++)
		for (size_t j = 0; j < i; j++)
			if (ranges[i].first <= ranges[j].last && ranges[j].first <= ranges[i].last)
				return reader_error(reader, where, node->at, "port %u is listed twice",
						    ranges[i].first > ranges[j].first ? ranges[i].first
										      : ranges[j].first);
	return 0;
}

int read_ports(struct reader *reader, const struct where *where, const struct doc_node *node, const char *text,
	       size_t length, struct port_range **ret_ports, size_t *ret_count)
{
	struct port_range ranges[PORTS_MOST];
	size_t count = 0;
	if (node->kind == DOC_SCALAR) {
		int r = split_ports(reader, where, node, text, length, ranges, &count);
		if (r == 0)
			r = refuse_twice(reader, where, node, ranges, 0, count);
		if (r < 0)
			return r;
	} else {
		const struct doc_node *items;
		size_t item_count;
		static const struct key any = {.name = ""};
		int r = expect_values(reader, where, node, &any, &items, &item_count);
		for (size_t i = 0; r == 0 && i < item_count; i++) {
			size_t fresh = count;
			r = expect_scalar(reader, where, &items[i], "a port");
			if (r == 0)
				r = split_ports(reader, where, &items[i], items[i].text, items[i].length, ranges,
						&count);
			if (r == 0)
				r = refuse_twice(reader, where, &items[i], ranges, fresh, count);
		}
		if (r < 0)
			return r;
	}
	qsort(ranges, count, sizeof(ranges[0]), compare_ports);
	struct port_range *ports = arena_memdup(reader->arena, ranges, count * sizeof(ranges[0]));
	if (!ports)
		return -ENOMEM;
	*ret_ports = ports;
	*ret_count = count;
	return 0;
}

static int read_ports_field(struct reader *reader, const struct where *where, const struct key *key,
			    const struct doc_node *node, void *entry)
{
	if (doc_is_empty(node) || node->kind == DOC_MAPPING)
		return reader_error(reader, where, node->at,
				    "the value is missing (a port like 443, 8000-8010 or [80, 443])");
	return read_ports(reader, where, node, node->text, node->length, FIELD(entry, key, struct port_range *),
			  FIELD_COUNT(entry, key));
}

char *print_ports(struct arena *arena, const struct port_range *ports, size_t count)
{
	char *text = NULL;
	for (size_t i = 0; i < count; i++) {
		char *one = value_print_port_range(arena, &ports[i]);
		text = !one ? NULL : text ? arena_printf(arena, "%s,%s", text, one) : one;
		if (!text)
			return NULL;
	}
	return text;
}

static int print_ports_field(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const struct port_range *ports = *FIELD_CONST(entry, key, const struct port_range *);
	size_t count = *FIELD_COUNT_CONST(entry, key);
	if (count == 0)
		return type_unset(ret_text);
	char *text = print_ports(arena, ports, count);
	return text ? type_give(arena_printf(arena, count > 1 ? "\"%s\"" : "%s", text), ret_text) : -ENOMEM;
}

const struct value_type ports_type = {
	.name = "ports", .list = true, .read = read_ports_field, .print = print_ports_field};

static int read_port(struct reader *reader, const struct where *where, const struct key *key,
		     const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "a port from 1 to 65535");
	if (r < 0)
		return r;
	if (value_port(node->text, node->length, FIELD(entry, key, uint16_t)) < 0)
		return type_refuse(reader, where, node, "a port (1 to 65535)");
	return 0;
}

static int print_port(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	uint16_t port = *FIELD_CONST(entry, key, uint16_t);
	return port ? type_give(arena_printf(arena, "%u", port), ret_text) : type_unset(ret_text);
}

const struct value_type port_type = {.name = "port", .read = read_port, .print = print_port};

static int read_socket(struct reader *reader, const struct where *where, const struct key *key,
		       const struct doc_node *node, void *entry)
{
	static const char right[] = "an address and a port (like 127.0.0.1:9550 or \"[::1]:9550\")";
	int r = expect_scalar(reader, where, node, "ADDRESS:PORT");
	if (r < 0)
		return r;
	struct listen_tcp socket = {.at = node->at};
	const char *host, *port;
	size_t host_length, port_length;
	if (value_host_port(node->text, node->length, &host, &host_length, &port, &port_length) < 0 ||
	    addr_parse(host, host_length, &socket.address) < 0 || value_port(port, port_length, &socket.port) < 0)
		return type_refuse(reader, where, node, right);
	*FIELD(entry, key, struct listen_tcp) = socket;
	return 0;
}

static int print_socket(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const struct listen_tcp *socket = FIELD_CONST(entry, key, struct listen_tcp);
	if (socket->address.family == FAMILY_NONE)
		return type_unset(ret_text);
	char *text = value_print_address_port(arena, &socket->address, socket->port);
	return text ? type_give(arena_printf(arena, "\"%s\"", text), ret_text) : -ENOMEM;
}

const struct value_type socket_type = {.name = "ADDRESS:PORT", .read = read_socket, .print = print_socket};

static int read_endpoint(struct reader *reader, const struct where *where, const struct key *key,
			 const struct doc_node *node, void *entry)
{
	static const char right[] = "a host and a port (like node3.example.net:51820 or \"[2001:db8::3]:51820\")";
	(void)key;
	int r = expect_scalar(reader, where, node, "HOST:PORT");
	if (r < 0)
		return r;
	struct peer *peer = entry;
	const char *host, *port;
	size_t host_length, port_length;
	struct addr v6;
	if (value_host_port(node->text, node->length, &host, &host_length, &port, &port_length) < 0 ||
	    value_port(port, port_length, &peer->endpoint_port) < 0 ||
	    (!value_is_host(host, host_length) && addr_parse(host, host_length, &v6) < 0))
		return type_refuse(reader, where, node, right);
	peer->endpoint_host = arena_strndup(reader->arena, host, host_length);
	return peer->endpoint_host ? 0 : -ENOMEM;
}

static int print_endpoint(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	(void)key;
	const struct peer *peer = entry;
	if (!peer->endpoint_host)
		return type_unset(ret_text);
	bool v6 = strchr(peer->endpoint_host, ':');
	return type_give(
		arena_printf(arena, v6 ? "\"[%s]:%u\"" : "\"%s:%u\"", peer->endpoint_host, peer->endpoint_port),
		ret_text);
}

const struct value_type endpoint_type = {.name = "HOST:PORT", .read = read_endpoint, .print = print_endpoint};
