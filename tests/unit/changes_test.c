/* The lines that tell people what changed between two configurations: what is
 * new, gone, changed and moved, and that other spellings of the same change
 * nothing. */
#include "../../rules/state/changes.h"
#include "model_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct model *load(struct arena *arena, const char *text)
{
	char *diags;
	struct model *model = NULL;
	if (test_load_text(arena, text, &diags, &model) < 0)
		fail_msg("%s", diags);
	return model;
}

/* The lines, joined. NULL as before: no model. */
static const char *changes(struct arena *arena, const char *before, const char *after)
{
	cleanup_model struct model *old = before ? load(arena, before) : NULL, *new = load(arena, after);
	struct changes changes = {0};
	assert_int_equal(changes_list(old, new, arena, &changes), 0);
	const char *text = "";
	for (size_t i = 0; i < changes.count; i++)
		text = arena_printf(arena, "%s%s\n", text, changes.lines[i]);
	return text;
}

#define HEAD "version: 1\ninterfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }\n"
#define NODES "nodes:\n  k1: { address: 192.0.2.11 }\n  k2: { address: 192.0.2.12 }\n"
#define POOL "pools:\n  ingress: { nodes: [k1, k2] }\n"
#define FORWARD(more) "forwards:\n  https: { listen: 443, to: \"ingress:30443\", reason: web" more " }\n"
#define RULE(name, more) "  - { name: " name ", from: lan, to: wan, protocol: tcp, " more " }\n"
#define TUNNEL(peer, more) \
	HEAD "wireguard:\n  wg0:\n    listen: 51820\n    address: 198.18.88.1/24\n    peers:\n      " peer \
	     ": { public_key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=, allowed_ips: [198.18.88.13/32]" more " }\n"

static void test_nothing(void **unused)
{
	(void)unused;
	cleanup_arena struct arena *arena = arena_new();
	const char *text = HEAD NODES POOL FORWARD("") "rules:\n" RULE("a", "action: drop");
	assert_string_equal(changes(arena, text, text), "");
	/* Other lines, the same meaning. */
	assert_string_equal(changes(arena, text, HEAD "# a comment\n\n" NODES POOL FORWARD(", via: auto") "rules:\n"
						  RULE("a", "action: drop, log: false")),
			    "");
}

static void test_new_and_gone(void **unused)
{
	(void)unused;
	cleanup_arena struct arena *arena = arena_new();
	const char *small = HEAD "nodes:\n  k1: { address: 192.0.2.11 }\n";
	const char *large = HEAD
		NODES POOL FORWARD(", from: [lan]") "rules:\n" RULE("no-smtp", "port: [25, 465], action: drop") "snat:\n"
						    "  egress: { from: [192.0.2.0/24], out: wan, "
						    "to: masquerade, reason: out }\n"
						    "management: { from: [198.51.100.0/24], ssh: 22, reason: ops }\n"
						    "floating_ips: [203.0.113.10]\n";
	assert_string_equal(changes(arena, small, large),
			    "+ floating_ips: [203.0.113.10]\n"
			    "+ management: from [198.51.100.0/24], ssh 22, reason ops (f.yaml:14)\n"
			    "+ node k2: 192.0.2.12 (f.yaml:5)\n"
			    "+ pool ingress: [k1, k2] round_robin (f.yaml:7)\n"
			    "+ forward https: 443/tcp -> ingress:30443 from [lan] (f.yaml:9)\n"
			    "+ SNAT rule egress: [192.0.2.0/24] out wan -> masquerade (f.yaml:13)\n"
			    "+ rule no-smtp: drop tcp 25,465 from [lan] to [wan] (f.yaml:11)\n");
	assert_string_equal(changes(arena, large, small),
			    "- floating_ips: [203.0.113.10]\n- management\n- node k2\n- pool ingress\n- forward https\n"
			    "- SNAT rule egress\n"
			    "- rule no-smtp\n");
	assert_string_equal(changes(arena, NULL, small),
			    "+ wan: device ens3 (f.yaml:2)\n+ lan: device ens4, networks [192.0.2.0/24] (f.yaml:2)\n"
			    "+ node k1: 192.0.2.11 (f.yaml:4)\n");
}

static void test_changed(void **unused)
{
	(void)unused;
	cleanup_arena struct arena *arena = arena_new();
	assert_string_equal(
		changes(arena, HEAD NODES POOL FORWARD(", limits: { new_per_source: 5/second burst 20, ban: 10m }") "rules:\n"
			     RULE("a", "action: drop"),
			HEAD "nodes:\n  k1: { address: 192.0.2.21 }\n  k2: { address: 192.0.2.12 }\n"
			     "pools:\n  ingress: { nodes: [k2], balance: source }\n"
			FORWARD(", proxy_protocol: v2, limits: { new_per_source: 6/second burst 20 }") "rules:\n"
			RULE("a", "action: reject, limit: 10/second burst 20")),
		"~ node k1: address 192.0.2.11 -> 192.0.2.21\n"
		"~ pool ingress: nodes [k1, k2] -> [k2], balance round_robin -> source\n"
		"~ forward https: proxy_protocol none -> v2, limits.new_per_source 5/second burst 20 -> 6/second burst 20, "
		"limits.ban 10m -> none\n"
		"~ rule a: limit none -> 10/second burst 20, action drop -> reject\n");
	assert_string_equal(changes(arena, HEAD, "version: 1\ninterfaces: { wan: ens9 }\n"),
			    "~ wan: device ens3 -> ens9\n- lan\n");
}

static void test_moved_rules(void **unused)
{
	(void)unused;
	cleanup_arena struct arena *arena = arena_new();
	const char *a = RULE("a", "action: drop"), *b = RULE("b", "action: drop"), *c = RULE("c", "action: drop"),
		   *d = RULE("d", "action: drop");
	const char *abc = arena_printf(arena, HEAD "rules:\n%s%s%s", a, b, c);
	assert_string_equal(changes(arena, abc, arena_printf(arena, HEAD "rules:\n%s%s%s", b, c, a)),
			    "~ rule a: moved behind c\n");
	assert_string_equal(changes(arena, abc, arena_printf(arena, HEAD "rules:\n%s%s%s", c, a, b)),
			    "~ rule c: moved to the top\n");
	assert_string_equal(changes(arena, abc, arena_printf(arena, HEAD "rules:\n%s%s%s%s", d, a, b, c)),
			    "+ rule d: drop tcp from [lan] to [wan] (f.yaml:4)\n");
	assert_string_equal(changes(arena, abc, arena_printf(arena, HEAD "rules:\n%s%s", a, c)), "- rule b\n");
}

static void test_expectations_and_peers(void **unused)
{
	(void)unused;
	cleanup_arena struct arena *arena = arena_new();
	const char *expect = "expect:\n  - { from: 198.51.100.7, in: wan, to: \"203.0.113.10:22/tcp\", verdict: drop }\n";
	const char *other = "expect:\n  - { from: 198.51.100.7, in: wan, to: \"203.0.113.10:23/tcp\", verdict: drop }\n";
	const char *lines = changes(arena, arena_printf(arena, HEAD "%s", expect), arena_printf(arena, HEAD "%s", other));
	assert_string_equal(lines, "+ expectation: drop 198.51.100.7 by wan to 203.0.113.10:23/tcp (f.yaml:4)\n"
				   "- expectation: drop 198.51.100.7 by wan to 203.0.113.10:22/tcp\n");
	const char *one = TUNNEL("n3", ""), *two = TUNNEL("n3", ", keepalive: 25s"), *three = TUNNEL("n4", "");
	assert_string_equal(changes(arena, one, two), "~ tunnel wg0 peer n3: keepalive none -> 25s\n");
	assert_string_equal(changes(arena, one, three),
			    "+ tunnel wg0 peer n4: [198.18.88.13] (f.yaml:8)\n- tunnel wg0 peer n3\n");
}

static void test_blocklists(void **unused)
{
	(void)unused;
	cleanup_arena struct arena *arena = arena_new();
	static const char *const contents[] = {"192.0.2.1\n", "192.0.2.2\n", "192.0.2.1\n198.51.100.0/24\n"};
	struct model *models[3];
	for (size_t i = 0; i < 3; i++) {
		const char *text = HEAD "blocklists:\n  abuse: { file: a.txt, reason: r }\n";
		struct source_file files[] = {{.name = "f.yaml", .text = text, .length = strlen(text)},
					      {.name = "a.txt", .text = contents[i], .length = strlen(contents[i])}};
		struct test_files set = {.files = files, .main = 1, .count = 2};
		char *diags;
		assert_int_equal(test_load(arena, &set, NULL, &diags, &models[i]), 0);
	}
	struct changes changes;
	assert_int_equal(changes_list(models[0], models[1], arena, &changes), 0);
	assert_int_equal(changes.count, 1);
	assert_string_equal(changes.lines[0], "~ blocklist abuse: content changed");
	assert_int_equal(changes_list(models[0], models[2], arena, &changes), 0);
	assert_int_equal(changes.count, 1);
	assert_string_equal(changes.lines[0], "~ blocklist abuse: entries 1 -> 2");
	for (size_t i = 0; i < 3; i++)
		model_free(&models[i]);
}

/* Thousands of rules and forwards, one changed. */
static void test_many(void **unused)
{
	(void)unused;
	enum { FORWARDS = 1000, RULES = 5000, ROOM = 2000000 };
	cleanup_arena struct arena *arena = arena_new();
	char *texts[2];
	for (int side = 0; side < 2; side++) {
		char *text = texts[side] = malloc(ROOM);
		size_t length = (size_t)snprintf(text, ROOM, "%s", HEAD NODES POOL "forwards:\n");
		for (int i = 0; i < FORWARDS; i++)
			length += (size_t)snprintf(text + length, ROOM - length,
						   "  f%d: { listen: %d, to: \"ingress:%d\", reason: r }\n", i, 1000 + i,
						   side && i == 500 ? 20001 : 20000);
		length += (size_t)snprintf(text + length, ROOM - length, "rules:\n");
		for (int i = 0; i < RULES; i++)
			length += (size_t)snprintf(text + length, ROOM - length,
						   "  - { name: r%d, from: lan, to: 198.51.%d.%d, protocol: tcp, port: %d, "
						   "action: drop }\n", i, i / 250, i % 250, 1 + i);
	}
	assert_string_equal(changes(arena, texts[0], texts[1]), "~ forward f500: to ingress:20000 -> ingress:20001\n");
	free(texts[0]);
	free(texts[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),	     cmocka_unit_test(test_new_and_gone),
		cmocka_unit_test(test_changed),	     cmocka_unit_test(test_moved_rules),
		cmocka_unit_test(test_blocklists),   cmocka_unit_test(test_expectations_and_peers),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
