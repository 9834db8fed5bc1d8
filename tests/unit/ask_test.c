/* The evaluator, line by line of docs/ruleset.md: what it decides and why.
 * One configuration serves nearly all of the cases. */
#include "ask_help.h"

#include "../../rules/ask/answer_print.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const config =
	"version: 1\n"
	"interfaces:\n"
	"  wan: ens3\n"
	"  lan: { device: ens4, networks: [192.0.2.0/24, 2001:db8:10::/64] }\n"
	"floating_ips: [203.0.113.10, 2001:db8:1::10]\n"
	"management: { from: [198.51.100.128/25], ssh: 22, reason: r }\n"
	"nodes:\n"
	"  a: { address: 192.0.2.11 }\n"
	"  b: { address: 192.0.2.12 }\n"
	"  t: { address: 198.18.88.13, tunnel: wg0 }\n"
	"  x: { address: \"2001:db8:10::11\" }\n"
	"pools:\n"
	"  plain: { nodes: [a, b], health: { check: tcp } }\n"
	"  mixed: { nodes: [a, t], health: { check: none } }\n"
	"  dual: { nodes: [a, x], health: { check: none } }\n"
	"  busy: { nodes: [a], balance: least_connections, health: { check: none } }\n"
	"forwards:\n"
	"  web: { listen: 80, to: plain:30080, reason: r }\n"
	"  web-here: { listen: \"203.0.113.10:80\", from: [198.51.100.0/26], to: mixed:30081, reason: r }\n"
	"  inside: { listen: 8443, from: [lan, wg0], to: mixed:31443, reason: r }\n"
	"  ranged: { listen: 9000-9003, to: dual, snat: \"on\", reason: r }\n"
	"  blind: { listen: 9100, to: mixed:9100, snat: \"off\", reason: r }\n"
	"  slow: { listen: 9200, to: busy:9200, reason: r }\n"
	"  quic: { listen: 443/udp, to: dual:443, reason: r }\n"
	"  routed: { listen: \"203.0.113.77:80\", to: mixed:80, reason: r }\n"
	"  listed: { listen: 9300, from: [friends], to: mixed:9300, reason: r }\n"
	"snat:\n"
	"  egress: { from: [192.0.2.0/25], out: wan, to: masquerade, reason: r }\n"
	"  fixed: { from: [192.0.2.0/24], out: wan, to: 203.0.113.9, reason: r }\n"
	"  tunnel: { from: [192.0.2.0/24], out: wg0, to: masquerade, reason: r }\n"
	"wireguard:\n"
	"  wg0:\n"
	"    listen: 51820\n"
	"    address: 198.18.88.1/24\n"
	"    peers:\n"
	"      p: { public_key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=, "
	"allowed_ips: [198.18.88.13/32, 198.18.99.0/24] }\n"
	"blocklists:\n"
	"  bad: { file: bad.txt, reason: r }\n"
	"  friends: { file: friends.txt, reason: r }\n"
	"rules:\n"
	"  - { name: no-web, from: 198.51.100.99, to: any, protocol: tcp, port: 80, action: drop }\n"
	"  - { name: all-web, from: 198.51.100.96/28, to: self, protocol: tcp, action: accept, reason: r }\n"
	"  - { name: ping, from: any, to: self, protocol: icmp, limit: 10/second, action: accept, reason: r }\n"
	"  - { name: out, from: [lan, wg0], to: wan, protocol: tcp, port: [80, 8000-8010], action: accept, reason: r }\n"
	"  - { name: into-tunnel, from: lan, to: wg0, action: accept, reason: r }\n"
	"  - { name: to-list, from: any, to: friends, protocol: udp, action: accept, reason: r }\n"
	"  - { name: to-node, from: wg0, to: 192.0.2.11, protocol: udp, port: 53, action: accept, reason: r }\n"
	"  - { name: no-smtp, from: lan, to: wan, protocol: tcp, port: 25, action: reject }\n"
	"  - { name: to-lan, from: 198.51.100.48/28, to: lan, protocol: any, action: accept, reason: r }\n";

static const struct test_file files[] = {
	{"bad.txt", "198.51.100.200\n203.0.113.64/27\n2001:db8:bad::/48\n"},
	{"friends.txt", "192.0.2.240/31\n198.51.100.2/31\n2001:db8:f00::/48\n"},
	{NULL, NULL},
};

static int setup(void **state)
{
	static struct ask_fixture fixture;
	*state = &fixture;
	if (ask_fixture_load(&fixture, config, files) < 0)
		return -1;
	ask_fixture_own(&fixture, "203.0.113.2 192.0.2.1 2001:db8:1::2 2001:db8:10::1");
	ask_fixture_up(&fixture, "a", 30080);
	static struct prefix networks[2];
	prefix_parse("192.0.2.0/24", 12, &networks[0]);
	prefix_parse("2001:db8:10::/64", 16, &networks[1]);
	fixture.around.networks = networks;
	fixture.around.network_count = 2;
	return 0;
}

static int teardown(void **state)
{
	ask_fixture_free(*state);
	return 0;
}

static void bans_come_first(void **state)
{
	struct ask_fixture *f = *state;
	struct ban bans[] = {{.expires = 100}, {.expires = 50}, {.expires = 0}};
	prefix_parse("198.51.100.96/27", 16, &bans[0].prefix);
	prefix_parse("198.51.100.77", 13, &bans[1].prefix);
	prefix_parse("192.0.2.9", 9, &bans[2].prefix);
	f->run.bans = bans;
	f->run.ban_count = 3;
	f->run.now = 50;
	ask_check(f, "198.51.100.100", "self:80", "wan", EXPECT_DROP, DECIDED_BAN, NULL);
	ask_check(f, "198.51.100.230", "self:22", "wan", EXPECT_ACCEPT, DECIDED_MANAGEMENT, "management");
	ask_check(f, "198.51.100.77", "self:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "web"); /* it has run out */
	ask_check(f, "192.0.2.9", "self:80", "lan", EXPECT_DROP, DECIDED_BAN, NULL);
	ask_check(f, "192.0.2.9", "self:80", "wan", EXPECT_DROP, DECIDED_BAN, NULL); /* before the spoof check */
	/* A ban from before they were management, or a node. */
	prefix_parse("0.0.0.0/0", 9, &bans[0].prefix);
	ask_check(f, "198.51.100.230", "self:22", "wan", EXPECT_ACCEPT, DECIDED_MANAGEMENT, "management");
	ask_check(f, "192.0.2.11", "self:80", "lan", EXPECT_ACCEPT, DECIDED_FORWARD, "web");
	ask_check(f, "203.0.113.99", "self:80", "wan", EXPECT_DROP, DECIDED_BAN, NULL);
	f->run.ban_count = 0;
}

static void sources_come_in_by_their_own_leg(void **state)
{
	struct ask_fixture *f = *state;
	static const char *const spoofed[][2] = {
		{"192.0.2.9", "wan"},       {"192.0.2.9", "wg0"},    {"198.51.100.77", "lan"}, {"198.51.100.77", "wg0"},
		{"198.18.88.13", "wan"},    {"198.18.88.13", "lan"}, {"198.18.99.4", "wan"},   {"203.0.113.2", "wan"},
		{"192.0.2.1", "lan"},       {"198.18.88.1", "wg0"},  {"127.0.0.1", "wan"},     {"224.0.0.9", "wan"},
		{"255.255.255.255", "wan"}, {"0.0.0.0", "wan"},      {"192.0.2.255", "lan"},   {"198.18.88.255", "wg0"},
	};
	for (size_t i = 0; i < sizeof(spoofed) / sizeof(spoofed[0]); i++)
		ask_check(f, spoofed[i][0], "203.0.113.10:80", spoofed[i][1], EXPECT_DROP, DECIDED_SPOOFED, NULL);
	ask_check(f, "2001:db8:10::5", "[2001:db8:1::10]:9000", "wan", EXPECT_DROP, DECIDED_SPOOFED, NULL);
	ask_check(f, "::1", "[2001:db8:1::10]:9000", "wan", EXPECT_DROP, DECIDED_SPOOFED, NULL);
	ask_check(f, "198.51.100.77", "127.0.0.1:80", "wan", EXPECT_DROP, DECIDED_SPOOFED, NULL);
	ask_check(f, "0.0.0.0", "203.0.113.10:80", "wan", EXPECT_DROP, DECIDED_SPOOFED, NULL);
	ask_check(f, "192.0.2.9", "203.0.113.10:80", "lan", EXPECT_ACCEPT, DECIDED_FORWARD, "web");
	ask_check(f, "198.18.99.4", "203.0.113.10:80", "wg0", EXPECT_ACCEPT, DECIDED_FORWARD, "web");
	ask_check(f, "fe80::1", "[fe80::2]:80", "lan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "fe80::1", "ff02::1/icmp", "lan", EXPECT_ACCEPT, DECIDED_RULE, "ping");
	ask_check(f, "fe80::1", "[2001:db8:1::2]:9000", "lan", EXPECT_DROP, DECIDED_SPOOFED, NULL);
	ask_check(f, "fe80::1", "[2001:db8:f01::2]:80", "lan", EXPECT_DROP, DECIDED_SPOOFED, NULL);
	ask_check(f, "2001:db8:f01::1", "[::]:9000", "wan", EXPECT_DROP, DECIDED_SPOOFED, NULL);
	ask_check(f, "::", "[2001:db8:1::2]:9000", "wan", EXPECT_DROP, DECIDED_SPOOFED, NULL);
	ask_check(f, "0.0.0.0", "255.255.255.255/icmp", "lan", EXPECT_ACCEPT, DECIDED_RULE, "ping");
}

static void destinations_have_a_zone(void **state)
{
	struct ask_fixture *f = *state;
	/* ping is "to: self": it tells what is this machine. */
	static const char *const self[] = {"203.0.113.2", "203.0.113.10",    "192.0.2.1",   "198.18.88.1",
					   "224.0.0.1",   "255.255.255.255", "192.0.2.255", "198.18.88.255"};
	static const char *const others[] = {"203.0.113.11", "192.0.2.11", "198.18.88.13", "203.0.113.255"};
	static const char *const client = "198.51.100.77";
	for (size_t i = 0; i < sizeof(self) / sizeof(self[0]); i++)
		ask_check(f, client, arena_printf(f->arena, "%s/icmp", self[i]), "wan", EXPECT_ACCEPT, DECIDED_RULE,
			  "ping");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ask_check(f, client, arena_printf(f->arena, "%s/icmp", others[i]), "wan", EXPECT_DROP, DECIDED_DEFAULT,
			  NULL);
	ask_check(f, "2001:db8:f01::1", "ff02::1/icmp", "wan", EXPECT_ACCEPT, DECIDED_RULE, "ping");
	ask_check(f, "2001:db8:f01::1", "2001:db8:10::/icmp", "wan", EXPECT_ACCEPT, DECIDED_RULE, "ping"); /* anycast */
	ask_check(f, "192.0.2.9", "198.18.88.200:7/udp", "lan", EXPECT_ACCEPT, DECIDED_RULE, "into-tunnel");
	ask_check(f, "192.0.2.9", "198.18.99.200:7/udp", "lan", EXPECT_ACCEPT, DECIDED_RULE, "into-tunnel");
	ask_check(f, "192.0.2.9", "198.18.100.1:7/udp", "lan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "192.0.2.9", "203.0.113.99:80", "lan", EXPECT_ACCEPT, DECIDED_RULE, "out");
	ask_check(f, "198.51.100.49", "192.0.2.77:7", "wan", EXPECT_ACCEPT, DECIDED_RULE, "to-lan");
}

static void implied_accepts(void **state)
{
	struct ask_fixture *f = *state;
	ask_check(f, "198.51.100.77", "self:51820/udp", "wan", EXPECT_ACCEPT, DECIDED_IMPLIED, "wg0");
	ask_check(f, "192.0.2.9", "203.0.113.10:51820/udp", "lan", EXPECT_ACCEPT, DECIDED_IMPLIED, "wg0");
	ask_check(f, "198.18.88.13", "self:51820/udp", "wg0", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.77", "self:51820/tcp", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.77", "203.0.113.99:51820/udp", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.77:67", "203.0.113.2:68/udp", "wan", EXPECT_ACCEPT, DECIDED_IMPLIED, "dhcp");
	ask_check(f, "192.0.2.9:67", "255.255.255.255:68/udp", "lan", EXPECT_ACCEPT, DECIDED_IMPLIED, "dhcp");
	ask_check(f, "198.51.100.77:66", "203.0.113.2:68/udp", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.77", "203.0.113.2:68/udp", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.18.88.13:67", "self:68/udp", "wg0", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "[2001:db8:f01::1]:547", "[2001:db8:1::2]:546/udp", "wan", EXPECT_ACCEPT, DECIDED_IMPLIED, "dhcp");
	ask_check(f, "[2001:db8:f01::1]:67", "[2001:db8:1::2]:68/udp", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
}

static void blocklists_hold_for_wan(void **state)
{
	struct ask_fixture *f = *state;
	ask_check(f, "198.51.100.200", "self:22", "wan", EXPECT_DROP, DECIDED_BLOCKLIST, "bad"); /* before management */
	ask_check(f, "203.0.113.64", "self:80", "wan", EXPECT_DROP, DECIDED_BLOCKLIST, "bad");
	ask_check(f, "203.0.113.95", "self:80", "wan", EXPECT_DROP, DECIDED_BLOCKLIST, "bad");
	ask_check(f, "203.0.113.63", "self:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "web");
	ask_check(f, "203.0.113.96", "self:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "web");
	ask_check(f, "2001:db8:bad:1::1", "[2001:db8:1::10]:9000", "wan", EXPECT_DROP, DECIDED_BLOCKLIST, "bad");
	ask_check(f, "198.51.100.200", "self:51820/udp", "wan", EXPECT_ACCEPT, DECIDED_IMPLIED, "wg0");
}

static void management_is_for_this_machine(void **state)
{
	struct ask_fixture *f = *state;
	ask_check(f, "198.51.100.128", "self:22", "wan", EXPECT_ACCEPT, DECIDED_MANAGEMENT, "management");
	ask_check(f, "198.51.100.128", "203.0.113.10:22", "wan", EXPECT_ACCEPT, DECIDED_MANAGEMENT, "management");
	ask_check(f, "198.51.100.127", "self:22", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.128", "self:22/udp", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.128", "self:23", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.128", "255.255.255.255:22", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.128", "192.0.2.11:22", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
}

static void rules_in_order(void **state)
{
	struct ask_fixture *f = *state;
	ask_check(f, "198.51.100.99", "self:80", "wan", EXPECT_DROP, DECIDED_RULE, "no-web"); /* beats the forward */
	ask_check(f, "198.51.100.98", "self:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD,
		  "web"); /* not shadowed by all-web */
	ask_check(f, "198.51.100.98", "self:81", "wan", EXPECT_ACCEPT, DECIDED_RULE, "all-web");
	ask_check(f, "198.51.100.98", "self:8443", "wan", EXPECT_ACCEPT, DECIDED_RULE,
		  "all-web"); /* inside is not for wan */
	ask_check(f, "192.0.2.9", "203.0.113.99:25", "lan", EXPECT_REJECT, DECIDED_RULE, "no-smtp");
	ask_check(f, "198.18.88.13", "203.0.113.99:25", "wg0", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.18.88.13", "203.0.113.99:8005", "wg0", EXPECT_ACCEPT, DECIDED_RULE, "out");
	ask_check(f, "192.0.2.9", "203.0.113.99:8011", "lan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "192.0.2.9", "203.0.113.99:80/udp", "lan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.18.88.13", "192.0.2.11:53/udp", "wg0", EXPECT_ACCEPT, DECIDED_RULE, "to-node");
	ask_check(f, "198.18.88.13", "192.0.2.12:53/udp", "wg0", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "192.0.2.9", "198.51.100.3:1/udp", "lan", EXPECT_ACCEPT, DECIDED_RULE, "to-list");
	ask_check(f, "192.0.2.9", "198.51.100.4:1/udp", "lan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.49", "192.0.2.11/icmp", "wan", EXPECT_ACCEPT, DECIDED_RULE, "to-lan");
	/* "self" has no address: a prefix does not match it. */
	ask_check(f, "192.0.2.9", "self:53/udp", "lan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
}

static void forwards_listen_on_own_addresses(void **state)
{
	struct ask_fixture *f = *state;
	static const char *const here[] = {"self", "203.0.113.2", "192.0.2.1", "198.18.88.1"};
	for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++)
		ask_check(f, "198.51.100.1", arena_printf(f->arena, "%s:80", here[i]), "wan", EXPECT_ACCEPT,
			  DECIDED_FORWARD, "web");
	ask_check(f, "198.51.100.1", "203.0.113.10:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD,
		  "web-here"); /* beats web */
	ask_check(f, "198.51.100.77", "203.0.113.10:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD,
		  "web"); /* passed over */
	ask_check(f, "198.51.100.77", "203.0.113.77:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "routed");
	ask_check(f, "198.51.100.77", "203.0.113.78:80", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.77", "192.0.2.11:80", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.77", "self:80/udp", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	/* Not their own address: broadcast, multicast, anycast. */
	ask_check(f, "192.0.2.9", "192.0.2.255:80", "lan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "192.0.2.9", "224.0.0.1:80", "lan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "2001:db8:10::9", "[2001:db8:10::]:9000", "lan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.77", "self:8443", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "192.0.2.9", "203.0.113.10:8443", "lan", EXPECT_ACCEPT, DECIDED_FORWARD, "inside");
	ask_check(f, "198.18.88.13", "203.0.113.10:8443", "wg0", EXPECT_ACCEPT, DECIDED_FORWARD, "inside");
	ask_check(f, "192.0.2.241", "self:9300", "lan", EXPECT_ACCEPT, DECIDED_FORWARD, "listed");
	ask_check(f, "192.0.2.242", "self:9300", "lan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	ask_check(f, "198.51.100.3", "self:9300", "wan", EXPECT_DROP, DECIDED_BLOCKLIST,
		  "friends"); /* every list is one */
}

static void backends_decide_on_the_plane(void **state)
{
	struct ask_fixture *f = *state;
	struct answer answer = ask_check(f, "198.51.100.77", "self:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "web");
	assert_int_equal(answer.plane, PLANE_KERNEL);
	assert_string_equal(ask_nodes(f, &answer), "a"); /* b has not answered yet */
	assert_int_equal(answer.target_port, 30080);
	answer = ask_check(f, "198.51.100.77", "self:9002", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "ranged");
	assert_string_equal(ask_nodes(f, &answer), "a");
	assert_int_equal(answer.target_port, 9002);
	answer = ask_check(f, "2001:db8:f01::1", "[2001:db8:1::10]:9002", "wan", EXPECT_ACCEPT, DECIDED_FORWARD,
			   "ranged");
	assert_string_equal(ask_nodes(f, &answer), "x");
	answer = ask_check(f, "198.51.100.77", "self:9200", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "slow");
	assert_int_equal(answer.plane, PLANE_PROXY);
	assert_true(answer.snat);
	/* IPv4 nodes only: another family goes through the forwarder. */
	answer = ask_check(f, "2001:db8:f01::1", "[2001:db8:1::10]:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "web");
	assert_int_equal(answer.plane, PLANE_PROXY);
	assert_string_equal(ask_nodes(f, &answer), "a");

	static const char *const draining[] = {"a"};
	f->run.draining = draining;
	f->run.draining_count = 1;
	answer = ask_check(f, "198.51.100.77", "self:80", "wan", EXPECT_REJECT, DECIDED_NO_BACKEND, "web");
	assert_int_equal(answer.plane, PLANE_NONE);
	assert_string_equal(answer.forward->name, "web");
	ask_check(f, "198.51.100.98", "self:80", "wan", EXPECT_REJECT, DECIDED_NO_BACKEND,
		  "web"); /* not all-web either */
	ask_check(f, "198.51.100.77", "self:443/udp", "wan", EXPECT_REJECT, DECIDED_NO_BACKEND,
		  "quic"); /* no family change */
	ask_check(f, "2001:db8:f01::1", "[2001:db8:1::10]:443/udp", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "quic");
	f->run.draining_count = 0;
}

static void nodes_see_whom(void **state)
{
	struct ask_fixture *f = *state;
	struct question question;
	struct answer answer =
		ask_check(f, "198.51.100.1", "203.0.113.10:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "web-here");
	ask_question(f, "198.51.100.1", "203.0.113.10:80", "wan", &question);
	assert_string_equal(ask_nodes(f, &answer), "a t");
	assert_true(answer.snat);
	assert_false(ask_node_sees_edge(&answer, &question, answer.nodes[0]));
	assert_true(ask_node_sees_edge(&answer, &question, answer.nodes[1])); /* behind a tunnel */
	answer = ask_check(f, "198.51.100.77", "self:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "web");
	assert_false(answer.snat);
	assert_null(answer.snat_rule);
	answer = ask_check(f, "192.0.2.9", "self:80", "lan", EXPECT_ACCEPT, DECIDED_FORWARD, "web"); /* hairpin */
	assert_true(answer.snat);
	answer = ask_check(f, "198.51.100.77", "self:9000", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "ranged");
	assert_true(answer.snat); /* on */
	answer = ask_check(f, "192.0.2.9", "self:9100", "lan", EXPECT_ACCEPT, DECIDED_FORWARD, "blind");
	assert_false(answer.snat); /* off, even through the tunnel */
}

static void outbound_sources(void **state)
{
	struct ask_fixture *f = *state;
	static const char *const cases[][3] = {
		{"192.0.2.9", "203.0.113.99:80", "egress"},
		{"192.0.2.200", "203.0.113.99:80", "fixed"},
		{"192.0.2.9", "198.18.88.200:80", "tunnel"},
		{"2001:db8:10::9", "[2001:db8:f01::1]:80", NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct question question;
		struct answer answer;
		ask_question(f, cases[i][0], cases[i][1], "lan", &question);
		assert_int_equal(ask_packet(f->model, &f->run, &f->around, &question, f->arena, &answer), 0);
		assert_int_equal(answer.verdict, EXPECT_ACCEPT);
		assert_string_equal(answer.snat_rule ? answer.snat_rule->name : "none",
				    cases[i][2] ? cases[i][2] : "none");
	}
	struct answer answer =
		ask_check(f, "198.18.88.13", "203.0.113.99:80", "wg0", EXPECT_ACCEPT, DECIDED_RULE, "out");
	assert_null(answer.snat_rule);
	answer = ask_check(f, "192.0.2.9", "203.0.113.10/icmp", "lan", EXPECT_ACCEPT, DECIDED_RULE, "ping");
	assert_null(answer.snat_rule);
}

static void steps_name_lines(void **state)
{
	struct ask_fixture *f = *state;
	struct answer answer =
		ask_check(f, "192.0.2.9", "203.0.113.99:25", "lan", EXPECT_REJECT, DECIDED_RULE, "no-smtp");
	const char *text = ask_steps(f, &answer);
	assert_non_null(strstr(text, "way: in by lan, 203.0.113.99 is out by wan (the default route)\n"));
	assert_non_null(strstr(text, "rules: no-web (edged.yaml:41) does not match: from 198.51.100.99\n"));
	assert_non_null(strstr(text, "rules: ping (edged.yaml:43) does not match: to self\n"));
	assert_non_null(strstr(text, "rules: out (edged.yaml:44) does not match: port 80,8000-8010\n"));
	assert_non_null(strstr(text, "rules: to-list (edged.yaml:46) does not match: to friends\n"));
	assert_non_null(strstr(text, "rules: no-smtp (edged.yaml:48) matches: reject\n"));
	assert_null(strstr(text, "to-lan")); /* behind the one that decided */

	answer = ask_check(f, "198.51.100.77", "self:8443", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	text = ask_steps(f, &answer);
	assert_non_null(strstr(text, "blocklists: none of 2 holds the source\n"));
	assert_non_null(strstr(text, "forwards: inside (edged.yaml:20) listens there, but not for this source\n"));
	assert_non_null(strstr(text, "default: dropped, nothing covers it\n"));

	answer = ask_check(f, "198.51.100.98", "self:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "web");
	text = ask_steps(f, &answer);
	assert_non_null(strstr(
		text, "rules: all-web (edged.yaml:42) matches and accepts: on to the forward that listens there\n"));
	assert_non_null(
		strstr(text, "forwards: web (edged.yaml:18) takes it, by the kernel: the kernel can serve it\n"));
	assert_non_null(strstr(text, "pool: a port 30080, which sees the client's address\n"));
	assert_non_null(strstr(text, "pool: b takes no new connection"));
}

static void tunnels_are_told_apart(void **state)
{
	(void)state;
	static const char *const two =
		"version: 1\n"
		"interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }\n"
		"wireguard:\n"
		"  wg0: { listen: 51820, address: 198.18.88.1/24, peers: { p: { public_key: "
		"HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=, allowed_ips: [198.18.88.13/32] } } }\n"
		"  wg1: { listen: 51821, address: 198.18.89.1/24, peers: { q: { public_key: "
		"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=, allowed_ips: [198.18.89.13/32, 198.18.88.99/32] } } }\n"
		"rules:\n"
		"  - { name: a, from: wg0, to: wg1, action: accept, reason: r }\n"
		"  - { name: b, from: wg1, to: wg0, action: accept, reason: r }\n";
	struct ask_fixture f;
	assert_int_equal(ask_fixture_load(&f, two, NULL), 0);
	ask_check(&f, "198.18.88.13", "198.18.89.13:7", "wg0", EXPECT_ACCEPT, DECIDED_RULE, "a");
	ask_check(&f, "198.18.89.13", "198.18.88.13:7", "wg1", EXPECT_ACCEPT, DECIDED_RULE, "b");
	ask_check(&f, "198.18.88.13", "198.18.89.13:7", "wg1", EXPECT_DROP, DECIDED_SPOOFED, NULL);
	/* The longer prefix is the way, into the tunnel and back. */
	ask_check(&f, "198.18.88.13", "198.18.88.99:7", "wg0", EXPECT_ACCEPT, DECIDED_RULE, "a");
	ask_check(&f, "198.18.88.99", "198.18.88.13:7", "wg1", EXPECT_ACCEPT, DECIDED_RULE, "b");
	ask_fixture_free(&f);
}

/* GRE, ESP and the like: nothing but a rule without a protocol lets them pass. */
static void other_protocols_need_a_rule_without_one(void **state)
{
	struct ask_fixture *f = *state;
	static const char *const to[] = {"203.0.113.10:80", "self:22", "self:443/udp", "198.18.88.200:7",
					 "self:51820/udp"};
	static const enum expect_verdict due[] = {EXPECT_DROP, EXPECT_DROP, EXPECT_DROP, EXPECT_ACCEPT, EXPECT_DROP};
	for (size_t i = 0; i < 5; i++) {
		struct question question;
		struct answer answer;
		ask_question(f, "192.0.2.9", to[i], "lan", &question);
		question.protocol = PROTOCOL_ANY;
		assert_int_equal(ask_packet(f->model, &f->run, &f->around, &question, f->arena, &answer), 0);
		assert_int_equal(answer.verdict, due[i]);
	}
}

/* A lockout from thousands of rules must still be a screenful. */
static void many_rules_are_counted(void **state)
{
	(void)state;
	char *yaml = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&yaml, &length);
	fputs("version: 1\ninterfaces: { wan: ens3 }\nrules:\n", out);
	for (int i = 0; i < 5000; i++) /* all but every thousandth miss in more than one condition */
		fprintf(out, "  - { name: r%d, from: 203.0.113.9, to: self, protocol: %s, port: %d, action: drop }\n",
			i, i % 1000 == 7 ? "tcp" : "udp", i % 1000 == 7 ? 80 : 1000 + i);
	fclose(out);
	struct ask_fixture f;
	assert_int_equal(ask_fixture_load(&f, yaml, NULL), 0);
	struct answer answer = ask_check(&f, "198.51.100.77", "self:80", "wan", EXPECT_DROP, DECIDED_DEFAULT, NULL);
	const char *text = ask_steps(&f, &answer);
	assert_non_null(strstr(text, "rules: r7 (edged.yaml:11) does not match: from 203.0.113.9\n"));
	assert_non_null(strstr(text, "rules: r4007 (edged.yaml:4011) does not match: from 203.0.113.9\n"));
	assert_non_null(strstr(text, "rules: 4995 others do not match\n"));
	assert_int_equal(answer.step_count, 9);
	ask_fixture_free(&f);
	free(yaml);
}

static void quick_is_the_same_without_steps(void **state)
{
	struct ask_fixture *f = *state;
	struct question question;
	struct answer answer;
	ask_question(f, "198.51.100.98", "self:80", "wan", &question);
	assert_int_equal(ask_packet_quick(f->model, &f->run, &f->around, &question, f->arena, &answer), 0);
	assert_int_equal(answer.by, DECIDED_FORWARD);
	assert_int_equal(answer.step_count, 0);
	assert_null(answer.steps);
}

static void senseless_questions(void **state)
{
	struct ask_fixture *f = *state;
	struct question good;
	struct answer answer = {.target_port = 7};
	ask_question(f, "198.51.100.98", "203.0.113.10:80", "wan", &good);
	struct question bad[4] = {good, good, good, good};
	bad[0].from = (struct addr){0};
	bad[1].to.family = FAMILY_V6;
	bad[2].in = PLACE_SELF;
	bad[3].in = PLACE_TUNNEL;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(ask_packet(f->model, &f->run, NULL, &bad[i], f->arena, &answer), -EINVAL);
	assert_int_equal(answer.target_port, 7); /* untouched */
	assert_int_equal(ask_packet(f->model, &f->run, NULL, &good, f->arena, &answer),
			 0); /* surroundings may be missing */
}

static void answers_as_text(void **state)
{
	struct ask_fixture *f = *state;
	struct question question;
	struct answer answer =
		ask_check(f, "198.51.100.1", "203.0.113.10:80", "wan", EXPECT_ACCEPT, DECIDED_FORWARD, "web-here");
	ask_question(f, "198.51.100.1", "203.0.113.10:80", "wan", &question);
	assert_string_equal(
		answer_print(&question, &answer, false, f->arena),
		"198.51.100.1 to 203.0.113.10:80/tcp in wan: accepted by forward \"web-here\" (edged.yaml:19)\n"
		"  by       the kernel (DNAT)\n"
		"  node     a (192.0.2.11) port 30081, sees the client's address\n"
		"  node     t (198.18.88.13) port 30081, sees the edge's address\n");
	assert_non_null(strstr(answer_print(&question, &answer, true, f->arena), "  steps\n    way: in by wan"));
	static const char *const decisions[][4] = {
		{"192.0.2.9", "self:80", "wan", "dropped as spoofed"},
		{"198.51.100.200", "self:80", "wan", "dropped by blocklist \"bad\" (edged.yaml:38)"},
		{"198.51.100.201", "self:22", "wan", "accepted by management (edged.yaml:6)"},
		{"198.51.100.201", "self:51820/udp", "wan", "accepted as implied by \"wg0\" (edged.yaml:32)"},
		{"198.51.100.201", "self:9", "wan", "dropped by default: no rule and no forward covers it"},
		{"2001:db8:f01::1", "[2001:db8:1::10]:9/udp", "wan",
		 "dropped by default: no rule and no forward covers it"},
	};
	for (size_t i = 0; i < sizeof(decisions) / sizeof(decisions[0]); i++) {
		ask_question(f, decisions[i][0], decisions[i][1], decisions[i][2], &question);
		assert_int_equal(ask_packet(f->model, &f->run, &f->around, &question, f->arena, &answer), 0);
		assert_string_equal(answer_decision(&answer, f->arena), decisions[i][3]);
	}
	ask_question(f, "2001:db8:f01::1", "[2001:db8:1::10]:9/udp", "wan", &question);
	assert_string_equal(question_print(&question, f->arena), "2001:db8:f01::1 to [2001:db8:1::10]:9/udp in wan");
	ask_question(f, "198.18.88.13:5", "self/icmp", "wg0", &question);
	assert_string_equal(question_print(&question, f->arena), "198.18.88.13:5 to self/icmp in wg0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bans_come_first),
		cmocka_unit_test(sources_come_in_by_their_own_leg),
		cmocka_unit_test(destinations_have_a_zone),
		cmocka_unit_test(implied_accepts),
		cmocka_unit_test(blocklists_hold_for_wan),
		cmocka_unit_test(management_is_for_this_machine),
		cmocka_unit_test(rules_in_order),
		cmocka_unit_test(forwards_listen_on_own_addresses),
		cmocka_unit_test(backends_decide_on_the_plane),
		cmocka_unit_test(nodes_see_whom),
		cmocka_unit_test(outbound_sources),
		cmocka_unit_test(steps_name_lines),
		cmocka_unit_test(tunnels_are_told_apart),
		cmocka_unit_test(other_protocols_need_a_rule_without_one),
		cmocka_unit_test(many_rules_are_counted),
		cmocka_unit_test(quick_is_the_same_without_steps),
		cmocka_unit_test(senseless_questions),
		cmocka_unit_test(answers_as_text),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
