/* The prober without its sockets: rise and fall, the timetable, and reading the
 * status of HTTP answers. */
#include "../../daemon/proxy/probe_http.h"
#include "../../daemon/proxy/probe_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* results: '+' and '-'; expected: what main hears after each: 'U', 'D' or '.'. */
static void run(bool up, uint32_t rise, uint32_t fall, const char *results, const char *expected)
{
	struct probe_state state = {.up = up};
	for (size_t i = 0; results[i]; i++) {
		bool told = probe_state_take(&state, results[i] == '+', rise, fall);
		char heard = !told ? '.' : state.up ? 'U' : 'D';
		if (heard != expected[i])
			fail_msg("%s: result %zu gave %c instead of %c", results, i, heard, expected[i]);
	}
}

static void test_starts_down(void **context)
{
	(void)context;
	run(false, 2, 3, "++++", ".U..");
	run(false, 1, 1, "+", "U");
	run(false, 2, 3, "-++", "D.U");
	run(false, 3, 3, "++-+++", "..D..U"); /* in a row, not in sum */
	run(false, 2, 3, "------", "D.....");
}

static void test_adopted_up(void **context)
{
	(void)context;
	run(true, 2, 3, "++", "U.");
	run(true, 2, 3, "---", "..D");
	run(true, 2, 3, "--+---", "..U..D");
	run(true, 2, 1, "-", "D");
}

static void test_changes(void **context)
{
	(void)context;
	run(false, 2, 3, "++---++", ".U..D.U");
	run(false, 2, 3, "++--+--+---", ".U........D");
	run(false, 1, 1, "+-+-", "UDUD");
}

static void test_extreme_counts(void **context)
{
	(void)context;
	struct probe_state state = {.up = true};
	for (int i = 0; i < 100000; i++)
		assert_false(probe_state_take(&state, false, UINT32_MAX, UINT32_MAX));
	assert_true(state.up);
}

static void test_regular_times(void **context)
{
	(void)context;
	struct probe_state state = {.up = true, .proven = true};
	/* Slots at 300, 2300, 4300: at least half an interval after the last beginning. */
	assert_int_equal(probe_next(&state, 300, 2000, 300, 310), 2300);
	assert_int_equal(probe_next(&state, 300, 2000, 1300, 1310), 2300);
	assert_int_equal(probe_next(&state, 300, 2000, 1301, 1310), 4300);
	/* A probe that took longer than the interval skips what it missed. */
	assert_int_equal(probe_next(&state, 300, 2000, 300, 5000), 6300);
	assert_int_equal(probe_next(&state, 0, 1, 7, 7), 8);
	for (uint64_t phase = 0; phase < 50; phase++)
		for (uint64_t begun = 1000; begun < 1100; begun++) {
			uint64_t next = probe_next(&state, phase, 50, begun, begun + 1);
			assert_int_equal(next % 50, phase);
			assert_in_range(next - begun, 25, 75);
		}
}

static void test_quick_start(void **context)
{
	(void)context;
	struct probe_state state = {0};
	assert_int_equal(probe_next(&state, 300, 2000, 1000, 1005), 1205);
	assert_int_equal(probe_next(&state, 0, 500, 1000, 1005), 1105);
	assert_int_equal(probe_next(&state, 0, 50, 1000, 1005), 1055);
	assert_int_equal(probe_next(&state, 0, 60000, 1000, 1005), 2005);
	for (int i = 0; i < 3; i++)
		probe_state_take(&state, false, 2, 3);
	assert_int_equal(probe_next(&state, 300, 2000, 1000, 1005), 2300); /* proven down */
}

static void test_phases_spread(void **context)
{
	(void)context;
	unsigned int tenth[10] = {0};
	char node[16];
	for (int i = 0; i < 1000; i++) {
		snprintf(node, sizeof(node), "k8s-%d", i);
		tenth[probe_phase(node, 30080, 2000) / 200]++;
	}
	for (int i = 0; i < 10; i++)
		assert_in_range(tenth[i], 50, 150);
	assert_int_equal(probe_phase("k8s-1", 80, 2000), probe_phase("k8s-1", 80, 2000));
	assert_int_not_equal(probe_phase("k8s-1", 80, 2000), probe_phase("k8s-1", 443, 2000));
}

static int status(const char *text)
{
	return probe_http_status(text, strlen(text));
}

static void test_http_status(void **context)
{
	(void)context;
	assert_int_equal(status("HTTP/1.1 200 OK\r\n"), 200);
	assert_int_equal(status("HTTP/1.0 503 no\r\n"), 503);
	assert_int_equal(status("HTTP/1.1 204\r\n"), 204);
	assert_int_equal(status("HTTP/1.1 200 "), 200);
	assert_int_equal(status(""), 0);
	assert_int_equal(status("HTT"), 0);
	assert_int_equal(status("HTTP/1.1 20"), 0);
	assert_int_equal(status("HTTP/1.1 200"), 0);
	assert_int_equal(status("SSH"), -1);
	assert_int_equal(status("HTTP/2.0 200 OK\r\n"), -1);
	assert_int_equal(status("HTTP/1.1 2000 OK\r\n"), -1);
	assert_int_equal(status("HTTP/1.1 099 OK\r\n"), -1);
	assert_int_equal(status("HTTP/1.1\t200 OK\r\n"), -1);
	assert_int_equal(status("HTTP/1.1 2x0 OK\r\n"), -1);
}

static void test_http_interim(void **context)
{
	(void)context;
	assert_int_equal(status("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 no\r\n"), 404);
	assert_int_equal(status("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n"), 200);
	assert_int_equal(status("HTTP/1.1 100 Continue\r\nX: y\r\n"), 0);
	assert_int_equal(status("HTTP/1.1 101 Switching\r\n\r\n"), -1);
	assert_int_equal(status("HTTP/1.1 100 Continue\r\n\r\nnonsense"), -1);
}

static void test_http_endless(void **context)
{
	(void)context;
	/* In an allocation of its own, so that reading behind it is seen. */
	size_t length = PROBE_ANSWER_MOST;
	char *text = malloc(length);
	const char start[] = "HTTP/1.1 100 Continue\r\n";
	memset(text, 'a', length);
	memcpy(text, start, strlen(start));
	assert_int_equal(probe_http_status(text, length - 1), 0);
	assert_int_equal(probe_http_status(text, length), -1);
	for (size_t i = 0; i + 25 <= length; i += 25)
		memcpy(text + i, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	assert_int_equal(probe_http_status(text, length), -1);
	for (size_t cut = 0; cut < 60; cut++) {
		char *piece = malloc(cut + 1);
		memcpy(piece, text, cut);
		assert_int_equal(probe_http_status(piece, cut), 0);
		free(piece);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starts_down),   cmocka_unit_test(test_adopted_up),
		cmocka_unit_test(test_changes),       cmocka_unit_test(test_extreme_counts),
		cmocka_unit_test(test_regular_times), cmocka_unit_test(test_quick_start),
		cmocka_unit_test(test_phases_spread), cmocka_unit_test(test_http_status),
		cmocka_unit_test(test_http_interim),  cmocka_unit_test(test_http_endless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
