/* Expectations and questions as text: what holds, what is said of what does
 * not, and what cannot be read. */
#include "ask_help.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* examples/edged.yaml with everything that it refers to, from the folder that the tests run in. */
static char *slurp(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = calloc(1, 1 << 16);
	if (!file || !text)
		fail_msg("cannot read %s", path);
	size_t length = fread(text, 1, (1 << 16) - 1, file);
	text[length] = '\0';
	fclose(file);
	return text;
}

static void the_example_holds(void **state)
{
	(void)state;
	char *yaml = slurp("examples/edged.yaml"), *list = slurp("examples/blocklists/abuse.txt");
	const struct test_file files[] = {{"blocklists/abuse.txt", list}, {NULL, NULL}};
	struct ask_fixture f;
	assert_int_equal(ask_fixture_load(&f, yaml, files), 0);
	struct diag_list diags;
	diag_init(&diags, f.arena);
	assert_int_equal(f.model->expectation_count, 6);
	assert_int_equal(ask_expectations(f.model, NULL, f.arena, &diags), 0);
	assert_int_equal(diags.count, 0);
	ask_fixture_free(&f);
	free(yaml);
	free(list);
}

static const char *const base = "version: 1\n"
				"interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }\n"
				"floating_ips: [203.0.113.10]\n"
				"management: { from: [198.51.100.128/25], ssh: 22, reason: r }\n"
				"nodes: { b: { address: 192.0.2.12 }, a: { address: 192.0.2.11 } }\n"
				"pools: { p: { nodes: [b, a], health: { check: tcp } } }\n"
				"forwards:\n"
				"  x: { listen: 443, to: p:30443, proxy_protocol: v2, reason: r }\n"
				"  y: { listen: 444, to: p:30444, reason: r }\n"
				"rules:\n"
				"  - { name: stop, from: lan, to: wan, protocol: tcp, port: 25, action: reject }\n"
				"  - { name: go, from: lan, to: wan, action: accept, reason: r }\n"
				"blocklists: { bad: { file: bad.txt, reason: r } }\n"
				"expect:\n";

static const struct test_file bad_list[] = {{"bad.txt", "198.51.100.9\n"}, {NULL, NULL}};

/* The line that one expectation leads to; "" when it holds. */
static void expect_line(const char *expectation, const char *due)
{
	struct ask_fixture f;
	struct diag_list diags;
	char *yaml = NULL;
	assert_true(asprintf(&yaml, "%s  - { %s }\n", base, expectation) > 0);
	assert_int_equal(ask_fixture_load(&f, yaml, bad_list), 0);
	diag_init(&diags, f.arena);
	size_t failed = ask_expectations(f.model, NULL, f.arena, &diags);
	assert_int_equal(failed, diags.errors);
	assert_string_equal(failed > 0 ? diag_format(f.arena, &diags.items[0]) : "", due);
	ask_fixture_free(&f);
	free(yaml);
}

static void what_does_not_hold_is_told(void **state)
{
	(void)state;
	expect_line("from: 198.51.100.77, in: wan, to: \"203.0.113.10:443/tcp\", verdict: accept, forward: x", "");
	expect_line(
		"from: 198.51.100.77, in: wan, to: \"203.0.113.10:443/tcp\", verdict: drop",
		"edged.yaml:15:5: expect[0]: 198.51.100.77 to 203.0.113.10:443/tcp in wan would be accepted by forward \"x\" "
		"(edged.yaml:8), expected drop");
	expect_line(
		"from: 198.51.100.77, in: wan, to: \"203.0.113.10:443/tcp\", verdict: accept, forward: y",
		"edged.yaml:15:5: expect[0]: 198.51.100.77 to 203.0.113.10:443/tcp in wan would be accepted by forward \"x\" "
		"(edged.yaml:8), expected accept by forward \"y\"");
	expect_line(
		"from: 198.51.100.77, in: wan, to: \"203.0.113.10:6443/tcp\", verdict: reject",
		"edged.yaml:15:5: expect[0]: 198.51.100.77 to 203.0.113.10:6443/tcp in wan would be dropped by default: "
		"no rule and no forward covers it, expected reject");
	expect_line(
		"from: 192.0.2.7, in: lan, to: \"203.0.113.99:25/tcp\", verdict: accept",
		"edged.yaml:15:5: expect[0]: 192.0.2.7 to 203.0.113.99:25/tcp in lan would be rejected by rule \"stop\" "
		"(edged.yaml:11), expected accept");
	expect_line(
		"from: 192.0.2.7, in: lan, to: \"203.0.113.99:26/tcp\", verdict: accept, rule: stop",
		"edged.yaml:15:5: expect[0]: 192.0.2.7 to 203.0.113.99:26/tcp in lan would be accepted by rule \"go\" "
		"(edged.yaml:12), expected accept by rule \"stop\"");
	expect_line("from: 192.0.2.7, in: wan, to: \"203.0.113.10:443/tcp\", verdict: accept",
		    "edged.yaml:15:5: expect[0]: 192.0.2.7 to 203.0.113.10:443/tcp in wan would be dropped as spoofed, "
		    "expected accept");
	expect_line(
		"from: 198.51.100.9, in: wan, to: \"self:22/tcp\", verdict: accept",
		"edged.yaml:15:5: expect[0]: 198.51.100.9 to self:22/tcp in wan would be dropped by blocklist \"bad\" "
		"(edged.yaml:13), expected accept");
	expect_line("from: 198.51.100.200, in: wan, to: \"self:22/tcp\", verdict: drop",
		    "edged.yaml:15:5: expect[0]: 198.51.100.200 to self:22/tcp in wan would be accepted by management "
		    "(edged.yaml:4), expected drop");
}

struct text_case {
	const char *from, *to, *in, *error;
};

static void questions_that_cannot_be_read(void **state)
{
	(void)state;
	static const struct text_case cases[] = {
		{"198.51.100", "self:22", "wan", "from: \"198.51.100\" is no IP address"},
		{"", "self:22", "wan", "from: \"\" is no IP address"},
		{"198.51.100.1:0", "self:22", "wan", "from: \"0\" is no port (1 to 65535)"},
		{"198.51.100.1:", "self:22", "wan", "from: \"\" is no port (1 to 65535)"},
		{"198.51.100.1:65536", "self:22", "wan", "from: \"65536\" is no port (1 to 65535)"},
		{"198.51.100.1:022", "self:22", "wan", "from: \"022\" is no port (1 to 65535)"},
		{"198.51.100.1:99999999999999999999", "self:22", "wan",
		 "from: \"99999999999999999999\" is no port (1 to 65535)"},
		{"[2001:db8::1", "self:22", "wan", "from: \"[2001:db8::1\" has a '[' without a ']'"},
		{"[2001:db8::1]22", "self:22", "wan",
		 "from: \"[2001:db8::1]22\" has something else than :PORT behind the ']'"},
		{"self", "self:22", "wan", "from: \"self\" is no IP address"},
		{"198.51.100.1", "self:22/sctp", "wan", "to: \"sctp\" is no protocol (tcp, udp, icmp)"},
		{"198.51.100.1", "self:22/any", "wan", "to: \"any\" is no protocol (tcp, udp, icmp)"},
		{"198.51.100.1", "self:22/", "wan", "to: \"\" is no protocol (tcp, udp, icmp)"},
		{"198.51.100.1", "self", "wan",
		 "to: \"self\" has no port (ADDR:PORT[/tcp|/udp], self:PORT[/tcp|/udp], ADDR/icmp or self/icmp)"},
		{"198.51.100.1", "203.0.113.10/tcp", "wan",
		 "to: \"203.0.113.10/tcp\" has no port (ADDR:PORT[/tcp|/udp], self:PORT[/tcp|/udp], ADDR/icmp or self/icmp)"},
		{"2001:db8::1", "2001:db8::2:443", "wan",
		 "to: \"2001:db8::2:443\" has no port (an IPv6 address with a port is written [ADDR]:PORT)"},
		{"198.51.100.1", "203.0.113.10:8/icmp", "wan",
		 "to: \"203.0.113.10:8/icmp\" has a port, and icmp has none (ADDR/icmp)"},
		{"198.51.100.1", "me:22", "wan", "to: \"me\" is no IP address"},
		{"198.51.100.1", "[2001:db8::1]:22", "wan",
		 "to: \"[2001:db8::1]:22\" is not of the same address family as from: \"198.51.100.1\""},
		{"198.51.100.1", "self:22", "wg7", "in: nothing comes in by \"wg7\" (known: wan, lan)"},
		{"198.51.100.1", "self:22", "self", "in: nothing comes in by \"self\" (known: wan, lan)"},
	};
	struct ask_fixture f;
	char *yaml = NULL;
	assert_true(asprintf(&yaml, "%s  - { from: 198.51.100.1, in: wan, to: \"self:1/tcp\", verdict: drop }\n",
			     base) > 0);
	assert_int_equal(ask_fixture_load(&f, yaml, bad_list), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct question question = {.to_port = 7};
		const char *error = NULL;
		assert_int_equal(
			question_parse(f.model, cases[i].from, cases[i].to, cases[i].in, f.arena, &question, &error),
			-EINVAL);
		assert_string_equal(error, cases[i].error);
		assert_int_equal(question.to_port, 7); /* untouched */
	}
	ask_fixture_free(&f);
	free(yaml);
}

static void questions_that_can(void **state)
{
	(void)state;
	struct ask_fixture f;
	struct question question;
	const char *error = NULL;
	char *yaml = NULL;
	assert_true(asprintf(&yaml, "%s  - { from: 198.51.100.1, in: wan, to: \"self:1/tcp\", verdict: drop }\n",
			     base) > 0);
	assert_int_equal(ask_fixture_load(&f, yaml, bad_list), 0);
	assert_int_equal(question_parse(f.model, "198.51.100.1:5", "self:22", NULL, f.arena, &question, &error), 0);
	assert_true(question.to_self);
	assert_int_equal(question.from_port, 5);
	assert_int_equal(question.to_port, 22);
	assert_int_equal(question.protocol, PROTOCOL_TCP);
	assert_int_equal(question.in, PLACE_WAN);
	assert_int_equal(question_parse(f.model, "192.0.2.7", "203.0.113.10:53/udp", NULL, f.arena, &question, &error),
			 0);
	assert_int_equal(question.in, PLACE_LAN); /* where its source lives */
	assert_int_equal(question.protocol, PROTOCOL_UDP);
	assert_int_equal(question_parse(f.model, "[2001:db8::1]:9", "[2001:db8::2]:65535/tcp", "wan", f.arena,
					&question, &error),
			 0);
	assert_int_equal(question.from_port, 9);
	assert_int_equal(question.to_port, 65535);
	assert_int_equal(question_parse(f.model, "2001:db8::1", "2001:db8::2/icmp", "wan", f.arena, &question, &error),
			 0);
	assert_int_equal(question.protocol, PROTOCOL_ICMP);
	assert_int_equal(question.to_port, 0);
	assert_int_equal(question_parse(f.model, "2001:db8::1", "self/icmp", "lan", f.arena, &question, &error), 0);
	assert_true(question.to_self);
	ask_fixture_free(&f);
	free(yaml);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_holds),
		cmocka_unit_test(what_does_not_hold_is_told),
		cmocka_unit_test(questions_that_cannot_be_read),
		cmocka_unit_test(questions_that_can),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
