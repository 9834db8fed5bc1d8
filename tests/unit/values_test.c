/* The small formats of the configuration: what they take, what they refuse
 * (leaving the output untouched), and that they read back what they print. No
 * document is involved. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../rules/model/values.h"

static void durations(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		milliseconds value;
	} good[] = {{"250ms", 250}, {"2s", 2000}, {"10m", 600000}, {"1h", 3600000}, {"30d", 2592000000}, {"0s", 0}};
	static const char *const bad[] = {"",    "2",   "s",   "ms", "1.5s", "-1s",        " 1s",
					  "1s ", "1 s", "01s", "1S", "1w",   "4294967296s"};
	cleanup_arena struct arena *arena = arena_new();
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		milliseconds value = 1;
		assert_int_equal(value_duration(good[i].text, strlen(good[i].text), &value), 0);
		assert_int_equal(value, good[i].value);
		assert_string_equal(value_print_duration(arena, value), good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		milliseconds value = 7;
		assert_int_equal(value_duration(bad[i], strlen(bad[i]), &value), -EINVAL);
		assert_int_equal(value, 7);
	}
	assert_string_equal(value_print_duration(arena, 90000), "90s");
}

static void rates(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		struct rate value;
	} good[] = {
		{"50/second burst 100", {50, RATE_SECOND, 100}},
		{"3/minute", {3, RATE_MINUTE, 5}},
		{"  7/hour   burst  1 ", {7, RATE_HOUR, 1}},
		{"10000000/second", {10000000, RATE_SECOND, 10000000}},
	};
	static const char *const bad[] = {"",
					  "50",
					  "50/",
					  "/second",
					  "50/s",
					  "50/day",
					  "0/second",
					  "10000001/second",
					  "5/second burst",
					  "5/second burst 0",
					  "5/second 10",
					  "5/second burst 1 2",
					  "5 /second"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct rate value;
		assert_int_equal(value_rate(good[i].text, strlen(good[i].text), &value), 0);
		assert_memory_equal(&value, &good[i].value, sizeof(value));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rate value = {1, RATE_SECOND, 1};
		assert_int_equal(value_rate(bad[i], strlen(bad[i]), &value), -EINVAL);
		assert_int_equal(value.count, 1);
	}
}

static void ports(void **state)
{
	(void)state;
	static const char *const bad[] = {"",    "0",       "65536", "-", "1-", "-1",
					  "2-1", "1-65536", "080",   "a", "1 ", "99999999999"};
	cleanup_arena struct arena *arena = arena_new();
	struct port_range range;
	assert_int_equal(value_port_range("8000-8010", 9, &range), 0);
	assert_string_equal(value_print_port_range(arena, &range), "8000-8010");
	assert_int_equal(value_port_range("65535", 5, &range), 0);
	assert_string_equal(value_print_port_range(arena, &range), "65535");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(value_port_range(bad[i], strlen(bad[i]), &range), -EINVAL);
}

static void hosts_and_ports(void **state)
{
	(void)state;
	static const struct {
		const char *text, *host, *port; /* host NULL: refused */
	} cases[] = {
		{"192.0.2.1:80", "192.0.2.1", "80"},
		{"[2001:db8::1]:80", "2001:db8::1", "80"},
		{"a.example:x", "a.example", "x"},
		{"a:", "a", ""},
		{"80", NULL, NULL},
		{":80", NULL, NULL},
		{"2001:db8::1:80", NULL, NULL},
		{"[]:80", NULL, NULL},
		{"[192.0.2.1]:80", NULL, NULL},
		{"[2001:db8::1]", NULL, NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *host, *port;
		size_t host_length, port_length;
		int r = value_host_port(cases[i].text, strlen(cases[i].text), &host, &host_length, &port, &port_length);
		assert_int_equal(r, cases[i].host ? 0 : -EINVAL);
		if (!cases[i].host)
			continue;
		assert_int_equal(host_length, strlen(cases[i].host));
		assert_memory_equal(host, cases[i].host, host_length);
		assert_int_equal(port_length, strlen(cases[i].port));
		assert_memory_equal(port, cases[i].port, port_length);
	}
}

static void public_keys(void **state)
{
	(void)state;
	static const char text[] = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=";
	static const uint8_t first[] = {0x1c, 0x88, 0x28, 0xf7}, last[] = {0xfc, 0xca, 0x4c};
	cleanup_arena struct arena *arena = arena_new();
	uint8_t key[32];
	assert_int_equal(value_public_key(text, 44, key), 0);
	assert_memory_equal(key, first, sizeof(first));
	assert_memory_equal(key + 29, last, sizeof(last));
	assert_string_equal(value_print_public_key(arena, key), text);
	assert_int_equal(value_public_key(text, 43, key), -EINVAL);
	/* Bits behind the 32 bytes: two texts for one key. */
	assert_int_equal(value_public_key("HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykx=", 44, key), -EINVAL);
	assert_int_equal(value_public_key("HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8yk-=", 44, key), -EINVAL);
}

static bool is_host(const char *text)
{
	return value_is_host(text, strlen(text));
}

static void names(void **state)
{
	(void)state;
	assert_true(value_is_name("k8s-1", 5));
	assert_true(value_is_name("9.a_b", 5));
	assert_false(value_is_name("", 0));
	assert_false(value_is_name("-a", 2));
	assert_false(value_is_name("a/b", 3));
	assert_false(value_is_name("0123456789012345678901234567890123456789x", 41));
	assert_true(value_is_device("ens3.100@", 9));
	assert_false(value_is_device("0123456789abcdef", 16));
	assert_false(value_is_device("..", 2));
	assert_false(value_is_device("a b", 3));
	assert_false(value_is_device("a/b", 3));
	assert_true(is_host("node3.example.net"));
	assert_true(is_host("example.net."));
	assert_true(is_host("192.0.2.1"));
	assert_false(is_host(""));
	assert_false(is_host("."));
	assert_false(is_host("a..b"));
	assert_false(is_host("-a.b"));
	assert_false(is_host("a-.b"));
	assert_false(is_host("a_b"));
	assert_false(is_host("0123456789012345678901234567890123456789012345678901234567890123.x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),       cmocka_unit_test(rates),       cmocka_unit_test(ports),
		cmocka_unit_test(hosts_and_ports), cmocka_unit_test(public_keys), cmocka_unit_test(names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
