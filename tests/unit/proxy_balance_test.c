/* Balancing: fair, sticky, and never a backend that must not be taken. What is
 * counted here are choices over fixed lists of backends; nothing is random, so
 * the bounds are exact or far from what the hash gives. */
#include "../../daemon/proxy/balance.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define MOST 8
static struct balance_entry entries[MOST];
static struct balance_entry *list[MOST];
static uint32_t turn;
static const struct balance_tried untried;

static int reset(void **state)
{
	(void)state;
	turn = 0;
	for (int i = 0; i < MOST; i++) {
		char name[8];
		int length = snprintf(name, sizeof(name), "k8s-%d", i);
		entries[i] = (struct balance_entry){.usable = true, .hash = balance_hash(name, (size_t)length)};
		list[i] = &entries[i];
	}
	return 0;
}

static struct addr client(uint32_t number)
{
	struct addr addr = {.family = FAMILY_V4, .bytes = {198, 18}};
	addr.bytes[2] = (uint8_t)(number >> 8);
	addr.bytes[3] = (uint8_t)number;
	return addr;
}

static long pick(enum balance how, size_t count, uint32_t who)
{
	struct addr addr = client(who);
	return balance_pick(how, list, count, &addr, &untried, 1000, &turn);
}

static void round_robin_is_fair_without_those_that_are_down(void **state)
{
	(void)state;
	int hits[MOST] = {0};
	entries[1].usable = entries[2].usable = false;
	for (uint32_t i = 0; i < 600; i++)
		hits[pick(BALANCE_ROUND_ROBIN, 5, i)]++;
	assert_int_equal(hits[0], 200);
	assert_int_equal(hits[3], 200);
	assert_int_equal(hits[4], 200);
}

static void least_connections_takes_the_emptiest_and_shares_ties(void **state)
{
	(void)state;
	int hits[MOST] = {0};
	entries[0].open = 7;
	for (int i = 0; i < 30; i++) {
		long at = pick(BALANCE_LEAST_CONNECTIONS, 4, 1);
		entries[at].open++;
		hits[at]++;
	}
	/* 7 + 30 connections on four: 9, 9, 9 and 10 of them. */
	assert_in_range(hits[0], 2, 3);
	for (int i = 1; i < 4; i++)
		assert_in_range(hits[i], 9, 10);
	reset(NULL);
	for (int i = 0; i < 4; i++)
		hits[i] = 0;
	for (int i = 0; i < 40; i++) /* each connection ends at once: the ties rotate */
		hits[pick(BALANCE_LEAST_CONNECTIONS, 4, 1)]++;
	for (int i = 0; i < 4; i++)
		assert_int_equal(hits[i], 10);
}

static void source_is_sticky_and_spreads(void **state)
{
	(void)state;
	int hits[MOST] = {0};
	for (uint32_t i = 0; i < 4000; i++) {
		long first = pick(BALANCE_SOURCE, 4, i);
		assert_int_equal(pick(BALANCE_SOURCE, 4, i), first);
		hits[first]++;
	}
	for (int i = 0; i < 4; i++)
		assert_in_range(hits[i], 850, 1150);
}

static void source_moves_only_the_clients_of_the_backend_that_goes(void **state)
{
	(void)state;
	long before[4000];
	for (uint32_t i = 0; i < 4000; i++)
		before[i] = pick(BALANCE_SOURCE, 4, i);
	entries[2].usable = false;
	for (uint32_t i = 0; i < 4000; i++)
		if (before[i] != 2)
			assert_int_equal(pick(BALANCE_SOURCE, 4, i), before[i]);
		else
			assert_int_not_equal(pick(BALANCE_SOURCE, 4, i), 2);
	entries[2].usable = true;
	/* A new backend takes its share, and from nobody else anything. */
	for (uint32_t i = 0; i < 4000; i++) {
		long now = pick(BALANCE_SOURCE, 5, i);
		assert_true(now == before[i] || now == 4);
	}
}

static void source_ignores_the_order_of_the_list(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 500; i++) {
		const struct balance_entry *chosen = list[pick(BALANCE_SOURCE, 5, i)];
		struct balance_entry *swap = list[i % 5];
		list[i % 5] = list[(i + 2) % 5];
		list[(i + 2) % 5] = swap;
		assert_ptr_equal(list[pick(BALANCE_SOURCE, 5, i)], chosen);
	}
}

static void ipv6_clients_of_one_network_stay_together(void **state)
{
	(void)state;
	struct addr a = {.family = FAMILY_V6, .bytes = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8}}, b = a;
	b.bytes[15] = 99;
	assert_int_equal(balance_pick(BALANCE_SOURCE, list, 8, &a, &untried, 0, &turn),
			 balance_pick(BALANCE_SOURCE, list, 8, &b, &untried, 0, &turn));
}

static void tried_ones_are_not_taken_again(void **state)
{
	(void)state;
	static const enum balance all[] = {BALANCE_ROUND_ROBIN, BALANCE_SOURCE, BALANCE_LEAST_CONNECTIONS};
	for (size_t how = 0; how < 3; how++) {
		struct balance_tried tried = {0};
		struct addr addr = client(5);
		for (int i = 0; i < 3; i++) {
			long at = balance_pick(all[how], list, 3, &addr, &tried, 0, &turn);
			assert_in_range(at, 0, 2);
			for (size_t j = 0; j < tried.count; j++)
				assert_ptr_not_equal(tried.entries[j], list[at]);
			tried.entries[tried.count++] = list[at];
		}
		assert_int_equal(balance_pick(all[how], list, 3, &addr, &tried, 0, &turn), -ENOENT);
	}
}

static void a_backend_that_failed_lately_is_the_last_choice(void **state)
{
	(void)state;
	static const enum balance all[] = {BALANCE_ROUND_ROBIN, BALANCE_SOURCE, BALANCE_LEAST_CONNECTIONS};
	for (size_t how = 0; how < 3; how++) {
		reset(NULL);
		entries[0].avoid_until = 1001;
		for (uint32_t i = 0; i < 100; i++)
			assert_int_equal(pick(all[how], 2, i), 1);
		entries[1].avoid_until = 1001;
		assert_in_range(pick(all[how], 2, 1), 0, 1);
		entries[1].usable = false;
		assert_int_equal(pick(all[how], 2, 1), 0);
	}
}

static void none_is_none(void **state)
{
	(void)state;
	assert_int_equal(pick(BALANCE_ROUND_ROBIN, 0, 1), -ENOENT);
	for (int i = 0; i < MOST; i++)
		entries[i].usable = false;
	assert_int_equal(pick(BALANCE_ROUND_ROBIN, MOST, 1), -ENOENT);
	assert_int_equal(pick(BALANCE_SOURCE, MOST, 1), -ENOENT);
	assert_int_equal(pick(BALANCE_LEAST_CONNECTIONS, MOST, 1), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(round_robin_is_fair_without_those_that_are_down, reset),
		cmocka_unit_test_setup(least_connections_takes_the_emptiest_and_shares_ties, reset),
		cmocka_unit_test_setup(source_is_sticky_and_spreads, reset),
		cmocka_unit_test_setup(source_moves_only_the_clients_of_the_backend_that_goes, reset),
		cmocka_unit_test_setup(source_ignores_the_order_of_the_list, reset),
		cmocka_unit_test_setup(ipv6_clients_of_one_network_stay_together, reset),
		cmocka_unit_test_setup(tried_ones_are_not_taken_again, reset),
		cmocka_unit_test_setup(a_backend_that_failed_lately_is_the_last_choice, reset),
		cmocka_unit_test_setup(none_is_none, reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
