/* Types that name other entries, and the forms made of them: places, targets,
 * listens. What they name has been read before (see the sections' passes), so a
 * name becomes a pointer at once. */
#include <errno.h>
#include <string.h>

#include "../text/bytes.h"
#include "types.h"
#include "values.h"

static int no_such(struct reader *reader, const struct where *where, const struct doc_node *node, enum kind kind,
		   const char *name)
{
	struct name_list list = reader_names(reader, kind);
	return reader_error(reader, where, node->at, "no %s is called \"%.*s\" %s", schema_kinds[kind]->noun,
			    bytes_shown(name), name, suggest_name(reader, name, &list));
}

/* The entry that node names, in *ret_entry. */
static int find_entry(struct reader *reader, const struct where *where, const struct doc_node *node, enum kind kind,
		      void *ret_entry)
{
	int r = expect_scalar(reader, where, node, "a name");
	if (r < 0)
		return r;
	void *entry = strmap_get(reader->names[kind], node->text);
	if (!entry)
		return no_such(reader, where, node, kind, node->text);
	memcpy(ret_entry, &entry, sizeof(entry));
	return 0;
}

static int read_tunnel(struct reader *reader, const struct where *where, const struct key *key,
		       const struct doc_node *node, void *entry)
{
	return find_entry(reader, where, node, KIND_TUNNEL, FIELD(entry, key, struct tunnel *));
}

static int print_tunnel(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const struct tunnel *tunnel = *FIELD_CONST(entry, key, const struct tunnel *);
	return tunnel ? type_give(arena_strdup(arena, tunnel->name), ret_text) : type_unset(ret_text);
}

const struct value_type tunnel_type = {.name = "a tunnel's name", .read = read_tunnel, .print = print_tunnel};

static int read_forward(struct reader *reader, const struct where *where, const struct key *key,
			const struct doc_node *node, void *entry)
{
	return find_entry(reader, where, node, KIND_FORWARD, FIELD(entry, key, struct forward *));
}

static int print_forward(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const struct forward *forward = *FIELD_CONST(entry, key, const struct forward *);
	return forward ? type_give(arena_strdup(arena, forward->name), ret_text) : type_unset(ret_text);
}

const struct value_type forward_type = {.name = "a forward's name", .read = read_forward, .print = print_forward};

static int read_rule(struct reader *reader, const struct where *where, const struct key *key,
		     const struct doc_node *node, void *entry)
{
	struct rule *rule = NULL;
	int r = find_entry(reader, where, node, KIND_RULE, &rule);
	if (r == 0 && rule)
		*FIELD(entry, key, const char *) = rule->name;
	return r;
}

static int print_rule(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const char *name = *FIELD_CONST(entry, key, const char *);
	return name ? type_give(arena_strdup(arena, name), ret_text) : type_unset(ret_text);
}

const struct value_type rule_type = {.name = "a rule's name", .read = read_rule, .print = print_rule};

static int read_nodes(struct reader *reader, const struct where *where, const struct key *key,
		      const struct doc_node *node, void *entry)
{
	const struct doc_node *items;
	size_t count;
	int r = expect_values(reader, where, node, key, &items, &count);
	if (r < 0)
		return r;
	const struct node **nodes = arena_array(reader->arena, count, const struct node *);
	if (!nodes)
		return -ENOMEM;
	int worst = 0;
	for (size_t i = 0; i < count; i++) {
		r = find_entry(reader, where, &items[i], KIND_NODE, &nodes[i]);
		for (size_t j = 0; r == 0 && j < i; j++)
			if (nodes[i] == nodes[j])
				r = reader_error(reader, where, items[i].at, "%s is listed twice", nodes[i]->name);
		worst = r < 0 ? r : worst;
	}
	if (worst < 0)
		return worst;
	*FIELD(entry, key, const struct node **) = nodes;
	*FIELD_COUNT(entry, key) = count;
	return 0;
}

static int print_nodes(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const struct node *const *nodes = *FIELD_CONST(entry, key, const struct node *const *);
	char *list = NULL;
	for (size_t i = 0; i < *FIELD_COUNT_CONST(entry, key); i++) {
		list = list_add(arena, list, nodes[i]->name);
		if (!list)
			return -ENOMEM;
	}
	return list_close(arena, list, ret_text);
}

const struct value_type nodes_type = {
	.name = "list of nodes' names", .list = true, .read = read_nodes, .print = print_nodes};

static int read_target(struct reader *reader, const struct where *where, const struct key *key,
		       const struct doc_node *node, void *entry)
{
	(void)key;
	struct forward *forward = entry;
	int r = expect_scalar(reader, where, node, "POOL:PORT");
	if (r < 0)
		return r;
	const char *colon = strchr(node->text, ':');
	char *name = arena_strndup(reader->scratch, node->text, colon ? (size_t)(colon - node->text) : node->length);
	if (!name)
		return -ENOMEM;
	if (colon && value_port(colon + 1, strlen(colon + 1), &forward->target_port) < 0)
		return type_refuse(reader, where, node,
				   "a pool and a port on its nodes (like ingress:30443; 1 to 65535)");
	forward->pool = strmap_get(reader->names[KIND_POOL], name);
	return forward->pool ? 0 : no_such(reader, where, node, KIND_POOL, name);
}

static int print_target(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	(void)key;
	const struct forward *forward = entry;
	if (!forward->target_port)
		return type_give(arena_strdup(arena, forward->pool->name), ret_text);
	return type_give(arena_printf(arena, "\"%s:%u\"", forward->pool->name, forward->target_port), ret_text);
}

const struct value_type target_type = {.name = "POOL:PORT", .read = read_target, .print = print_target};

/* Cut "/tcp" and the like off the end of text; *length shrinks. False when it is something else. */
static bool cut_protocol(const char *text, size_t *length, enum protocol *protocol)
{
	const char *slash = memrchr(text, '/', *length);
	if (!slash)
		return true;
	size_t word = *length - (size_t)(slash - text) - 1;
	for (unsigned i = PROTOCOL_TCP; protocol_names[i]; i++) {
		if (strlen(protocol_names[i]) == word && memcmp(protocol_names[i], slash + 1, word) == 0) {
			*protocol = (enum protocol)i;
			*length = (size_t)(slash - text);
			return true;
		}
	}
	return false;
}

static const char listen_right[] =
	"PORT or ADDRESS:PORT, with /tcp or /udp (like 443, \"80,443\", 203.0.113.10:53/udp)";

static int read_listen(struct reader *reader, const struct where *where, const struct key *key,
		       const struct doc_node *node, void *entry)
{
	(void)key;
	struct forward *forward = entry;
	forward->protocol = PROTOCOL_TCP;
	if (node->kind == DOC_SEQUENCE && node->count > 0)
		return read_ports(reader, where, node, NULL, 0, &forward->ports, &forward->port_count);
	int r = expect_scalar(reader, where, node, "a port like 443");
	if (r < 0)
		return r;
	const char *ports = node->text, *host;
	size_t length = node->length, host_length;
	if (!cut_protocol(node->text, &length, &forward->protocol) || forward->protocol == PROTOCOL_ICMP)
		return type_refuse(reader, where, node, listen_right);
	if (memchr(node->text, ':', length)) {
		if (value_host_port(node->text, length, &host, &host_length, &ports, &length) < 0)
			return type_refuse(reader, where, node, listen_right);
		struct addr any;
		if (addr_parse(host, host_length, &any) == 0 && addr_is_zero(&any))
			return reader_error(reader, where, node->at,
					    "\"%.*s\" listens on every address (write the port alone)",
					    bytes_shown(node->text), node->text);
		r = read_host_address(reader, where, node, host, host_length, &forward->listen_address);
		if (r < 0)
			return r;
	}
	return read_ports(reader, where, node, ports, length, &forward->ports, &forward->port_count);
}

static int print_listen(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	(void)key;
	const struct forward *forward = entry;
	char address[ADDR_TEXT_MAX] = "";
	bool v6 = forward->listen_address.family == FAMILY_V6;
	if (forward->listen_address.family != FAMILY_NONE)
		addr_format(&forward->listen_address, address);
	char *ports = print_ports(arena, forward->ports, forward->port_count);
	if (!ports)
		return -ENOMEM;
	return type_give(arena_printf(arena, "\"%s%s%s%s%s/%s\"", v6 ? "[" : "", address, v6 ? "]" : "",
				      *address ? ":" : "", ports, protocol_names[forward->protocol]),
			 ret_text);
}

const struct value_type listen_type = {.name = "LISTEN", .read = read_listen, .print = print_listen};

/* wan, lan, or a tunnel. False when it is none of them. */
static bool find_leg(const struct reader *reader, const char *text, enum place_kind *ret_kind,
		     const struct tunnel **ret_tunnel)
{
	*ret_tunnel = NULL;
	if (strcmp(text, "wan") == 0 || strcmp(text, "lan") == 0) {
		*ret_kind = text[0] == 'w' ? PLACE_WAN : PLACE_LAN;
		return true;
	}
	*ret_tunnel = strmap_get(reader->names[KIND_TUNNEL], text);
	*ret_kind = PLACE_TUNNEL;
	return *ret_tunnel;
}

static int refuse_absent_leg(struct reader *reader, const struct where *where, const struct doc_node *node,
			     enum place_kind kind)
{
	const struct interface *leg = kind == PLACE_WAN ? &reader->model->wan : &reader->model->lan;
	if ((kind != PLACE_WAN && kind != PLACE_LAN) || leg->at.line || leg->device)
		return 0;
	return reader_error(reader, where, node->at, "this machine has no %s (add interfaces.%s)", node->text,
			    node->text);
}

static int refuse_place(struct reader *reader, const struct where *where, const struct doc_node *node)
{
	const char *known = "wan, lan, self, any";
	static const enum kind kinds[] = {KIND_TUNNEL, KIND_BLOCKLIST};
	for (size_t k = 0; k < 2; k++) {
		struct name_list list = reader_names(reader, kinds[k]);
		for (size_t i = 0; i < list.count && i < 8 && known; i++) {
			const char *name = *(const char *const *)(const void *)((const char *)list.items +
										i * list.stride + list.offset);
			known = arena_printf(reader->scratch, "%s, %.*s", known, bytes_shown(name), name);
		}
	}
	return reader_error(reader, where, node->at, "\"%.*s\" is no place (known: %s; or an address or prefix)",
			    bytes_shown(node->text), node->text, known ? known : "");
}

static int read_place(struct reader *reader, const struct where *where, const struct doc_node *node,
		      struct place *ret_place)
{
	struct place place = {.kind = PLACE_PREFIX, .at = node->at};
	int r = expect_scalar(reader, where, node,
			      "a place: wan, lan, self, any, a tunnel, an address, a prefix, a blocklist");
	if (r < 0)
		return r;
	if (find_leg(reader, node->text, &place.kind, &place.tunnel)) {
		r = refuse_absent_leg(reader, where, node, place.kind);
	} else if (strcmp(node->text, "self") == 0) {
		place.kind = PLACE_SELF;
	} else if (strcmp(node->text, "any") == 0) {
		place.kind = PLACE_ANY;
	} else if ((place.blocklist = strmap_get(reader->names[KIND_BLOCKLIST], node->text))) {
		place.kind = PLACE_BLOCKLIST;
	} else {
		place.kind = PLACE_PREFIX;
		r = prefix_parse(node->text, node->length, &place.prefix);
		if (r == -EINVAL)
			return refuse_place(reader, where, node);
		r = read_prefix(reader, where, node, &place.prefix);
	}
	if (r == 0)
		*ret_place = place;
	return r;
}

static int read_places(struct reader *reader, const struct where *where, const struct key *key,
		       const struct doc_node *node, void *entry)
{
	const struct doc_node *items;
	size_t count;
	int r = expect_values(reader, where, node, key, &items, &count);
	if (r < 0)
		return r;
	struct place *places = arena_array(reader->arena, count, struct place);
	if (!places)
		return -ENOMEM;
	int worst = 0;
	for (size_t i = 0; i < count; i++) {
		r = read_place(reader, where, &items[i], &places[i]);
		worst = r < 0 ? r : worst;
	}
	if (worst < 0)
		return worst;
	*FIELD(entry, key, struct place *) = places;
	*FIELD_COUNT(entry, key) = count;
	return 0;
}

static char *print_place(struct arena *arena, const struct place *place)
{
	switch (place->kind) {
	case PLACE_TUNNEL:
		return arena_strdup(arena, place->tunnel->name);
	case PLACE_BLOCKLIST:
		return arena_strdup(arena, place->blocklist->name);
	case PLACE_PREFIX:
		return print_prefix(arena, &place->prefix);
	case PLACE_ANY:
	case PLACE_WAN:
	case PLACE_LAN:
	case PLACE_SELF:
		break;
	}
	return arena_strdup(arena, place_kind_names[place->kind]);
}

static int print_places(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const struct place *places = *FIELD_CONST(entry, key, const struct place *);
	char *list = NULL;
	for (size_t i = 0; i < *FIELD_COUNT_CONST(entry, key); i++) {
		char *place = print_place(arena, &places[i]);
		list = place ? list_add(arena, list, place) : NULL;
		if (!list)
			return -ENOMEM;
	}
	return list_close(arena, list, ret_text);
}

const struct value_type places_type = {
	.name = "list of places", .list = true, .read = read_places, .print = print_places};

/* The kind at key->offset, the tunnel at key->count_offset. */
static int read_leg(struct reader *reader, const struct where *where, const struct key *key,
		    const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "wan, lan or a tunnel's name");
	if (r < 0)
		return r;
	enum place_kind kind;
	const struct tunnel *tunnel;
	if (!find_leg(reader, node->text, &kind, &tunnel)) {
		struct name_list list = reader_names(reader, KIND_TUNNEL);
		return reader_error(reader, where, node->at, "\"%.*s\" is neither wan nor lan nor a tunnel %s",
				    bytes_shown(node->text), node->text, suggest_name(reader, node->text, &list));
	}
	*FIELD(entry, key, enum place_kind) = kind;
	*(const struct tunnel **)(void *)FIELD_COUNT(entry, key) = tunnel;
	return refuse_absent_leg(reader, where, node, kind);
}

static int print_leg(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const struct tunnel *tunnel = *(const struct tunnel *const *)(const void *)FIELD_COUNT_CONST(entry, key);
	enum place_kind kind = *FIELD_CONST(entry, key, enum place_kind);
	return type_give(arena_strdup(arena, tunnel ? tunnel->name : place_kind_names[kind]), ret_text);
}

const struct value_type leg_type = {.name = "wan, lan or a tunnel's name", .read = read_leg, .print = print_leg};

static int read_snat_to(struct reader *reader, const struct where *where, const struct key *key,
			const struct doc_node *node, void *entry)
{
	int r = expect_scalar(reader, where, node, "masquerade, or an address");
	if (r < 0 || strcmp(node->text, "masquerade") == 0)
		return r;
	struct addr addr;
	if (addr_parse(node->text, node->length, &addr) < 0)
		return type_refuse(reader, where, node, "an address of this machine, or \"masquerade\"");
	return read_host_address(reader, where, node, node->text, node->length, FIELD(entry, key, struct addr));
}

static int print_snat_to(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	const struct addr *addr = FIELD_CONST(entry, key, struct addr);
	if (addr->family == FAMILY_NONE)
		return type_give(arena_strdup(arena, "masquerade"), ret_text);
	struct prefix prefix = {.addr = *addr, .length = addr_bits(addr->family)};
	return type_give(print_prefix(arena, &prefix), ret_text);
}

const struct value_type snat_to_type = {
	.name = "masquerade, or an address", .read = read_snat_to, .print = print_snat_to};

/* "ADDRESS" or "ADDRESS:PORT". */
static int read_expect_from(struct reader *reader, const struct where *where, const struct key *key,
			    const struct doc_node *node, void *entry)
{
	(void)key;
	struct expectation *expectation = entry;
	int r = expect_scalar(reader, where, node, "ADDRESS or ADDRESS:PORT");
	if (r < 0)
		return r;
	const char *host, *port;
	size_t host_length, port_length;
	if (addr_parse(node->text, node->length, &expectation->from) == 0)
		return read_host_address(reader, where, node, node->text, node->length, &expectation->from);
	if (value_host_port(node->text, node->length, &host, &host_length, &port, &port_length) < 0 ||
	    value_port(port, port_length, &expectation->from_port) < 0)
		return type_refuse(reader, where, node,
				   "an address, or an address and a port (like 198.51.100.7:40000)");
	return read_host_address(reader, where, node, host, host_length, &expectation->from);
}

static int print_expect_from(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	(void)key;
	const struct expectation *expectation = entry;
	if (expectation->from_port) {
		char *text = value_print_address_port(arena, &expectation->from, expectation->from_port);
		return text ? type_give(arena_printf(arena, "\"%s\"", text), ret_text) : -ENOMEM;
	}
	struct prefix prefix = {.addr = expectation->from, .length = addr_bits(expectation->from.family)};
	return type_give(print_prefix(arena, &prefix), ret_text);
}

const struct value_type expect_from_type = {
	.name = "ADDRESS or ADDRESS:PORT", .read = read_expect_from, .print = print_expect_from};

static const char expect_right[] =
	"ADDRESS:PORT/PROTOCOL (like \"203.0.113.10:443/tcp\", \"self:22/tcp\", \"self/icmp\")";

static int read_expect_to(struct reader *reader, const struct where *where, const struct key *key,
			  const struct doc_node *node, void *entry)
{
	(void)key;
	struct expectation *expectation = entry;
	int r = expect_scalar(reader, where, node, "ADDRESS:PORT/PROTOCOL");
	if (r < 0)
		return r;
	const char *host = node->text, *port;
	size_t length = node->length, port_length;
	expectation->protocol = PROTOCOL_TCP;
	if (!cut_protocol(node->text, &length, &expectation->protocol))
		return type_refuse(reader, where, node, expect_right);
	if (expectation->protocol != PROTOCOL_ICMP &&
	    (value_host_port(node->text, length, &host, &length, &port, &port_length) < 0 ||
	     value_port(port, port_length, &expectation->to_port) < 0))
		return type_refuse(reader, where, node, expect_right);
	expectation->to_self = length == 4 && memcmp(host, "self", 4) == 0;
	if (expectation->to_self)
		return 0;
	if (addr_parse(host, length, &expectation->to) < 0)
		return type_refuse(reader, where, node, expect_right);
	return read_host_address(reader, where, node, host, length, &expectation->to);
}

static int print_expect_to(struct arena *arena, const struct key *key, const void *entry, char **ret_text)
{
	(void)key;
	const struct expectation *expectation = entry;
	char address[ADDR_TEXT_MAX] = "self";
	if (!expectation->to_self)
		addr_format(&expectation->to, address);
	if (expectation->protocol == PROTOCOL_ICMP)
		return type_give(arena_printf(arena, "\"%s/icmp\"", address), ret_text);
	bool v6 = strchr(address, ':');
	return type_give(arena_printf(arena, "\"%s%s%s:%u/%s\"", v6 ? "[" : "", address, v6 ? "]" : "",
				      expectation->to_port, protocol_names[expectation->protocol]),
			 ret_text);
}

const struct value_type expect_to_type = {
	.name = "ADDRESS:PORT/PROTOCOL", .read = read_expect_to, .print = print_expect_to};
