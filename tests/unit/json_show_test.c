/* The answers that show things: the example with hand-made run data, and texts
 * that nobody would write on purpose. */
#include "../../daemon/json_show.h"
#include "../../rules/state/compile.h"
#include "model_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1714564800u /* 2024-05-01T12:00:00Z */
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct backend_health pairs[] = {
	{"k8s-1", 30022, true}, {"k8s-1", 30080, true}, {"k8s-1", 30443, true}, {"k8s-2", 30443, false}};
static const struct show_health health[] = {
	{"k8s-1", 30022, true, "connected", NOW - 60},
	{"k8s-1", 30080, true, "HTTP 200", NOW - 60},
	{"k8s-1", 30443, true, "connected", NOW - 60},
	{"k8s-2", 30443, false, "connection refused", NOW - 5},
};
static const char *const draining[] = {"k8s-2"};
static const struct counter_value counters[] = {
	{"rule-no-smtp", 7, 420},    {"fwd-https", 1000, 60000},  {"fwd-https-limit", 11, 660},
	{"fwd-https-down", 3, 180},  {"rule-ping", 5, 300},       {"rule-ping-limit", 2, 120},
	{"default", 99, 5940},       {"management", 4, 240},      {"blocklist-abuse", 6, 360},
	{"implied", 50, 3000},       {"spoofed", 1, 60},
};
static const struct show_use uses[] = {{"https", 12, 123000, 1, 500, 456}};

struct fixture {
	struct arena *arena;
	struct model *model;
	struct rundata run;
	struct show show;
};

static int setup(void **context)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	char *text;
	fixture->arena = arena_new();
	assert_int_equal(test_load_example(fixture->arena, &text, &fixture->model), 0);
	fixture->run = (struct rundata){
		.health = pairs, .health_count = COUNT(pairs), .draining = draining, .draining_count = 1, .now = NOW};
	fixture->show = (struct show){.model = fixture->model,
				      .run = &fixture->run,
				      .now = NOW,
				      .counters = counters,
				      .counter_count = COUNT(counters),
				      .health = health,
				      .health_count = COUNT(health),
				      .uses = uses,
				      .use_count = COUNT(uses),
				      .tunnels_why = "not built yet"};
	*context = fixture;
	return 0;
}

static int teardown(void **context)
{
	struct fixture *fixture = *context;
	model_free(&fixture->model);
	arena_free(&fixture->arena);
	free(fixture);
	return 0;
}

/* The item whose key is value. */
static const json_t *item(const json_t *list, const char *key, const char *value)
{
	size_t i;
	const json_t *found;
	json_array_foreach (list, i, found)
		if (json_is_string(json_object_get(found, key)) &&
		    !strcmp(json_string_value(json_object_get(found, key)), value))
			return found;
	fail_msg("nothing whose %s is %s", key, value);
	return NULL;
}

/* value, a member of object, printed compactly, is text. */
static void assert_member(const json_t *object, const char *key, const char *text)
{
	char *printed = json_dumps(json_object_get(object, key), JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	assert_non_null(printed);
	assert_string_equal(printed, text);
	free(printed);
}

static void test_forwards(void **context)
{
	const struct fixture *fixture = *context;
	json_t *list = show_forwards(&fixture->show);
	assert_int_equal(json_array_size(list), 4);
	const json_t *https = item(list, "name", "https");
	assert_member(https, "listen", "\"443\"");
	assert_member(https, "protocol", "\"tcp\"");
	assert_member(https, "pool", "\"ingress\"");
	assert_member(https, "target_port", "30443");
	assert_member(https, "proxy_protocol", "\"v2\"");
	assert_member(https, "plane", "\"proxy\"");
	assert_member(https, "backends", "{\"total\":3,\"up\":1}");
	assert_member(https, "connections", "{\"open\":12,\"total\":1000}");
	assert_member(https, "packets", "500");
	assert_member(https, "bytes", "123456");
	assert_member(https, "limited", "11");
	assert_member(https, "refused", "4");
	assert_member(https, "file", "\"edged.yaml\"");
	assert_member(https, "reason", "\"public web\"");
	assert_true(json_integer_value(json_object_get(https, "line")) > 1);
	const json_t *internal = item(list, "name", "internal-web");
	assert_member(internal, "plane", "\"none\"");
	assert_member(internal, "why", "\"no backend is up\"");
	assert_member(internal, "connections", "{\"open\":0,\"total\":0}");
	json_decref(list);
}

static void test_nodes(void **context)
{
	const struct fixture *fixture = *context;
	json_t *list = show_nodes(&fixture->show);
	const json_t *first = item(list, "name", "k8s-1"), *second = item(list, "name", "k8s-2");
	assert_member(first, "address", "\"192.0.2.11\"");
	assert_member(first, "tunnel", "null");
	assert_member(first, "draining", "false");
	assert_member(first, "pools", "[\"ingress\"]");
	assert_int_equal(json_array_size(json_object_get(first, "ports")), 4);
	const json_t *port = json_array_get(json_object_get(first, "ports"), 0);
	assert_member(port, "port", "30080");
	assert_member(port, "up", "true");
	assert_member(port, "why", "\"HTTP 200\"");
	assert_member(port, "since", "\"2024-05-01T11:59:00Z\"");
	assert_member(second, "draining", "true");
	port = json_array_get(json_object_get(second, "ports"), 0);
	assert_member(port, "up", "false");
	assert_member(port, "why", "\"not probed yet\"");
	assert_member(port, "since", "null");
	assert_member(item(list, "name", "k8s-3"), "tunnel", "\"wg0\"");
	json_decref(list);
}

/* A node behind a tunnel that is down: the tunnel is to blame, and nothing else is blamed on it. */
static void test_a_node_behind_a_dead_tunnel(void **context)
{
	const struct fixture *fixture = *context;
	const struct show_health dead[] = {{.node = "k8s-1", .port = 30080, .why = "refused"},
					     {.node = "k8s-3", .port = 30080, .why = "timeout after 1s"}};
	struct show_peer peer = {.tunnel = "wg0", .peer = "k8s-3", .why = "no handshake for 190 s"};
	struct show show = fixture->show;
	show.health = dead;
	show.health_count = COUNT(dead);
	show.peers = &peer;
	show.peer_count = 1;
	json_t *list = show_nodes(&show);
	assert_member(json_array_get(json_object_get(item(list, "name", "k8s-3"), "ports"), 0), "why",
		      "\"timeout after 1s: tunnel wg0: no handshake for 190 s\"");
	assert_member(json_array_get(json_object_get(item(list, "name", "k8s-1"), "ports"), 0), "why", "\"refused\"");
	json_decref(list);
	peer.up = true;
	list = show_nodes(&show);
	assert_member(json_array_get(json_object_get(item(list, "name", "k8s-3"), "ports"), 0), "why",
		      "\"timeout after 1s\"");
	json_decref(list);
}

static size_t place_of(const json_t *list, const char *name)
{
	size_t i;
	const json_t *found;
	json_array_foreach (list, i, found)
		if (!strcmp(json_string_value(json_object_get(found, "name")), name))
			return i;
	fail_msg("no rule %s", name);
	return 0;
}

static void test_rules(void **context)
{
	const struct fixture *fixture = *context;
	json_t *list = show_rules(&fixture->show);
	static const char *const order[] = {"spoofed", "neighbour-discovery", "dhcp-wan", "wireguard-wg0", "blocklist-abuse",
					    "management", "ping", "node-dns", "node-https", "no-smtp", "default"};
	for (size_t i = 1; i < COUNT(order); i++)
		assert_true(place_of(list, order[i - 1]) < place_of(list, order[i]));
	const json_t *ping = item(list, "name", "ping");
	assert_member(ping, "implied", "false");
	assert_member(ping, "from", "[\"any\"]");
	assert_member(ping, "to", "[\"self\"]");
	assert_member(ping, "protocol", "\"icmp\"");
	assert_member(ping, "ports", "null");
	assert_member(ping, "action", "\"accept\"");
	assert_member(ping, "limit", "\"10/second burst 20\"");
	assert_member(ping, "packets", "5");
	assert_member(ping, "limited", "2");
	assert_member(item(list, "name", "node-https"), "ports", "\"80,443\"");
	assert_member(item(list, "name", "node-https"), "from", "[\"192.0.2.0/24\"]");
	assert_member(item(list, "name", "no-smtp"), "limited", "null");
	const json_t *management = item(list, "name", "management");
	assert_member(management, "from", "[\"198.51.100.128/25\"]");
	assert_member(management, "ports", "\"22\"");
	assert_member(management, "packets", "4");
	const json_t *wireguard = item(list, "name", "wireguard-wg0");
	assert_member(wireguard, "implied", "true");
	assert_member(wireguard, "ports", "\"51820\"");
	assert_member(wireguard, "packets", "null");
	assert_member(item(list, "name", "blocklist-abuse"), "packets", "6");
	assert_member(item(list, "name", "default"), "packets", "99");
	json_decref(list);
}

static void test_tunnels(void **context)
{
	struct fixture *fixture = *context;
	json_t *list = show_tunnels(&fixture->show);
	const json_t *wg0 = item(list, "name", "wg0");
	assert_member(wg0, "listen", "51820");
	assert_member(wg0, "active", "false");
	assert_member(wg0, "why", "\"not built yet\"");
	assert_member(wg0, "addresses", "[\"198.18.88.1/24\"]");
	const json_t *peer = item(json_object_get(wg0, "peers"), "name", "k8s-3");
	assert_member(peer, "allowed_ips", "[\"198.18.88.13\"]");
	assert_member(peer, "endpoint", "\"node3.example.net:51820\"");
	assert_member(peer, "public_key", "\"HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=\"");
	assert_member(peer, "handshake_age_seconds", "null");
	json_decref(list);
	const struct tunnel_state seen = {.name = "wg0", .up = true, .mtu = 1420, .backend = TUNNEL_BACKEND_USERSPACE};
	const struct tunnel_list tunnels = {.items = &seen, .count = 1};
	fixture->show.tunnels = &tunnels;
	list = show_tunnels(&fixture->show);
	assert_member(item(list, "name", "wg0"), "active", "true");
	assert_member(item(list, "name", "wg0"), "why", "null");
	assert_member(item(list, "name", "wg0"), "backend", "\"userspace\"");
	json_decref(list);
}

static void test_limits(void **context)
{
	struct fixture *fixture = *context;
	struct state *state;
	assert_int_equal(compile_state(fixture->model, &fixture->run, &state), 0);
	static const struct dynamic_element some[3] = {0};
	const struct show_dynamic dynamics[] = {{"new4-https", some, 3}, {"open6-https", some, 1}};
	fixture->show.desired = state;
	fixture->show.dynamics = dynamics;
	fixture->show.dynamic_count = COUNT(dynamics);
	json_t *list = show_limits(&fixture->show);
	char *text = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS);
	static const char *const parts[] = {
		"{\"dropped\":11,\"family\":null,\"forward\":\"https\",\"limit\":\"new_total\",\"size\":null,\"sources\":null,"
		"\"value\":\"5000/second burst 10000\"}",
		"{\"dropped\":11,\"family\":\"ipv4\",\"forward\":\"https\",\"limit\":\"open_per_source\",\"size\":65536,"
		"\"sources\":null,\"value\":\"400\"}",
		"\"family\":\"ipv6\",\"forward\":\"https\",\"limit\":\"open_per_source\",\"size\":65536,\"sources\":1,",
		"\"family\":\"ipv4\",\"forward\":\"https\",\"limit\":\"new_per_source\",\"size\":65536,\"sources\":3,"
		"\"value\":\"50/second burst 100\"}",
		"\"family\":\"ipv4\",\"forward\":\"git-ssh\",\"limit\":\"ban\",\"size\":65536,\"sources\":null,"
		"\"value\":\"10m\"",
	};
	for (size_t i = 0; i < COUNT(parts); i++)
		if (!strstr(text, parts[i]))
			fail_msg("not there: %s\nin %s", parts[i], text);
	free(text);
	json_decref(list);
	state_free(&state);
}

static void test_bans(void **context)
{
	struct fixture *fixture = *context;
	struct ban bans[3] = {{.expires = NOW + 90}, {.expires = 0}, {.expires = NOW}};
	assert_int_equal(prefix_parse("203.0.113.0/24", 14, &bans[0].prefix), 0);
	assert_int_equal(prefix_parse("2001:db8::/64", 13, &bans[1].prefix), 0);
	assert_int_equal(prefix_parse("192.0.2.7", 9, &bans[2].prefix), 0);
	struct dynamic_element v4 = {.expires_ms = 1500}, v6 = {.expires_ms = 60000};
	assert_int_equal(addr_parse("198.51.100.9", 12, &v4.addr), 0);
	assert_int_equal(addr_parse("2001:db8:7::", 12, &v6.addr), 0);
	const struct show_dynamic dynamics[] = {{"bans4", &v4, 1}, {"bans6", &v6, 1}, {"new4-https", &v4, 1}};
	fixture->run.bans = bans;
	fixture->run.ban_count = 3;
	fixture->show.dynamics = dynamics;
	fixture->show.dynamic_count = COUNT(dynamics);
	json_t *list = show_bans(&fixture->show);
	assert_int_equal(json_array_size(list), 4);
	const json_t *operators = item(list, "address", "203.0.113.0/24");
	assert_member(operators, "by", "\"operator\"");
	assert_member(operators, "seconds_left", "90");
	assert_member(operators, "expires", "\"2024-05-01T12:01:30Z\"");
	assert_member(item(list, "address", "2001:db8::/64"), "expires", "null");
	assert_member(item(list, "address", "2001:db8::/64"), "seconds_left", "null");
	assert_member(item(list, "address", "198.51.100.9"), "by", "\"limit\"");
	assert_member(item(list, "address", "198.51.100.9"), "seconds_left", "2");
	assert_member(item(list, "address", "2001:db8:7::/64"), "expires", "\"2024-05-01T12:01:00Z\"");
	json_decref(list);
}

static void test_history(void **context)
{
	(void)context;
	static const struct show_revision revisions[] = {
		{1, NOW, "root", NULL, "first", false, false, true},
		{3, NOW + 2, "uid 7", "m", "2 changes", true, true, false},
		{2, 0, NULL, "x", "y", false, false, false}};
	json_t *list = show_history(revisions, 3);
	assert_member(json_array_get(list, 0), "revision", "3");
	assert_member(json_array_get(list, 0), "current", "true");
	assert_member(json_array_get(list, 0), "pending", "true");
	assert_member(json_array_get(list, 1), "user", "null");
	assert_member(json_array_get(list, 1), "time", "null");
	assert_member(json_array_get(list, 1), "lapsed", "false");
	assert_member(json_array_get(list, 2), "lapsed", "true");
	assert_member(json_array_get(list, 2), "message", "null");
	assert_member(json_array_get(list, 2), "time", "\"2024-05-01T12:00:00Z\"");
	json_decref(list);
	list = show_history(NULL, 0);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
}

static void assert_text(const char *text, const char *expected)
{
	json_t *json = show_text(text);
	assert_string_equal(json_string_value(json), expected);
	json_decref(json);
}

static void test_texts_become_utf8(void **context)
{
	(void)context;
	assert_text("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x92\xa1", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x92\xa1");
	assert_text("a\xff\xc3", "a??");
	assert_text("\xc0\xaf\xed\xa0\x80\xf5z", "??" "???" "?z");
	assert_text("\xe2\x82", "??");
	json_t *none = show_text(NULL);
	assert_true(json_is_null(none));
	json_decref(none);
}

static void test_errors(void **context)
{
	const struct fixture *fixture = *context;
	struct diag_list diags;
	diag_init(&diags, fixture->arena);
	diag_add(&diags, DIAG_ERROR, (struct origin){"edged.yaml", 41, 9}, "pools.ingress.nodes", "no node \"%s\"", "k\xff");
	diag_add(&diags, DIAG_WARNING, (struct origin){"edged.yaml", 1, 1}, NULL, "hm");
	json_t *json = show_error("refused", &diags);
	assert_member(json, "error", "\"refused\"");
	assert_int_equal(json_array_size(json_object_get(json, "diagnostics")), 1);
	assert_true(strstr(json_string_value(json_array_get(json_object_get(json, "diagnostics"), 0)),
			   "edged.yaml:41:9: pools.ingress.nodes: no node"));
	json_decref(json);
	json = show_error("refused", NULL);
	assert_null(json_object_get(json, "diagnostics"));
	json_decref(json);
	json = show_diags(&diags, DIAG_WARNING);
	assert_int_equal(json_array_size(json), 1);
	json_decref(json);
}

static void test_listening_addresses(void **context)
{
	struct fixture *fixture = *context;
	static const char text[] = "version: 1\n"
				   "interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }\n"
				   "nodes: { a: { address: 192.0.2.11 } }\n"
				   "pools: { p: { nodes: [a] } }\n"
				   "forwards:\n"
				   "  one: { listen: \"203.0.113.10:443\", to: \"p:1\", reason: x }\n"
				   "  two: { listen: \"[2001:db8::1]:80,8000-8010\", to: p, reason: x }\n"
				   "  three: { listen: 53/udp, to: \"p:53\", reason: x }\n";
	char *diags;
	struct model *model;
	if (test_load_text(fixture->arena, text, &diags, &model))
		fail_msg("%s", diags);
	fixture->show.model = model;
	json_t *list = show_forwards(&fixture->show);
	assert_member(item(list, "name", "one"), "listen", "\"203.0.113.10:443\"");
	assert_member(item(list, "name", "two"), "listen", "\"[2001:db8::1]:80,8000-8010\"");
	assert_member(item(list, "name", "two"), "target_port", "null");
	assert_member(item(list, "name", "three"), "protocol", "\"udp\"");
	json_decref(list);
	model_free(&model);
}

static size_t allocations_left;

static void *scarce_malloc(size_t size)
{
	return allocations_left && allocations_left-- ? malloc(size) : NULL;
}

/* However early memory runs out: NULL, no crash, and nothing is lost (the sanitizer build sees that). */
static void test_out_of_memory(void **context)
{
	struct fixture *fixture = *context;
	json_t *(*const functions[])(const struct show *) = {show_forwards, show_nodes,  show_rules,
							     show_tunnels,  show_limits, show_bans};
	const struct ban ban = {.expires = NOW + 9, .prefix = {.addr = {.family = FAMILY_V4}, .length = 8}};
	fixture->run.bans = &ban;
	fixture->run.ban_count = 1;
	json_set_alloc_funcs(scarce_malloc, free);
	for (size_t i = 0; i < COUNT(functions); i++) {
		json_t *list = NULL;
		size_t room = 0;
		for (; !list && room < 10000; room += room < 40 ? 1 : 7) {
			allocations_left = room;
			list = functions[i](&fixture->show);
		}
		assert_non_null(list);
		assert_true(room > 1);
		json_decref(list);
	}
	json_set_alloc_funcs(malloc, free);
}

#define SHOW_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SHOW_TEST(test_forwards), SHOW_TEST(test_nodes),  SHOW_TEST(test_a_node_behind_a_dead_tunnel),
		SHOW_TEST(test_rules),    SHOW_TEST(test_tunnels),
		SHOW_TEST(test_limits),   SHOW_TEST(test_bans),   SHOW_TEST(test_history), SHOW_TEST(test_texts_become_utf8),
		SHOW_TEST(test_errors),   SHOW_TEST(test_listening_addresses), SHOW_TEST(test_out_of_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
