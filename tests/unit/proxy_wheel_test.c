/* The timer wheel: never early, at most a tick late, nothing lost and nothing
 * fired that was removed. The clock is a number, so no time passes; the last test
 * drives it at random against a plain array. */
#include "../../daemon/proxy/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct wheel wheel;

static void fires_after_its_deadline(void **state)
{
	(void)state;
	for (uint64_t start = 0; start < 2000; start += 37) {
		struct wheel_entry entry = {0};
		uint64_t deadline = start + 1000, now = start;
		wheel_init(&wheel, start);
		wheel_add(&wheel, &entry, deadline);
		while (!wheel_expire(&wheel, now))
			now++;
		assert_true(now >= deadline);
		assert_true(now <= deadline + WHEEL_TICK_MS);
		assert_int_equal(wheel_wait(&wheel, now), -1);
	}
}

static void wait_leads_straight_to_it(void **state)
{
	(void)state;
	struct wheel_entry entry = {0};
	wheel_init(&wheel, 5000);
	assert_int_equal(wheel_wait(&wheel, 5000), -1);
	wheel_add(&wheel, &entry, 8000);
	int wait = wheel_wait(&wheel, 5000);
	assert_true(wait >= 3000 && wait <= 3000 + (int)WHEEL_TICK_MS);
	assert_null(wheel_expire(&wheel, 5000 + (uint64_t)wait - 1));
	assert_ptr_equal(wheel_expire(&wheel, 5000 + (uint64_t)wait), &entry);
}

static void beyond_the_span_fires_at_its_end(void **state)
{
	(void)state;
	struct wheel_entry entry = {0};
	wheel_init(&wheel, 0);
	wheel_add(&wheel, &entry, 3600 * 1000);
	assert_null(wheel_expire(&wheel, (WHEEL_SLOTS - 1) * WHEEL_TICK_MS - 1));
	assert_ptr_equal(wheel_expire(&wheel, (WHEEL_SLOTS - 1) * WHEEL_TICK_MS), &entry);
}

static void a_deadline_in_the_past_fires_at_once(void **state)
{
	(void)state;
	struct wheel_entry entry = {0};
	wheel_init(&wheel, 1000);
	assert_null(wheel_expire(&wheel, 1000000));
	wheel_add(&wheel, &entry, 3);
	assert_ptr_equal(wheel_expire(&wheel, 1000000 + WHEEL_TICK_MS), &entry);
}

static void removed_and_moved_entries_stay_silent(void **state)
{
	(void)state;
	struct wheel_entry a = {0}, b = {0};
	wheel_init(&wheel, 0);
	wheel_remove(&a);
	wheel_add(&wheel, &a, 500);
	wheel_add(&wheel, &b, 500);
	wheel_remove(&a);
	wheel_remove(&a);
	wheel_add(&wheel, &b, 9000);
	assert_null(wheel_expire(&wheel, 8000));
	assert_ptr_equal(wheel_expire(&wheel, 9000 + WHEEL_TICK_MS), &b);
	assert_null(wheel_expire(&wheel, 100000));
}

/* Random adds, moves, removals and jumps of the clock against a plain array of deadlines. */
static void agrees_with_a_plain_list(void **state)
{
	(void)state;
	enum { ENTRIES = 200, STEPS = 200000 };
	static struct wheel_entry entries[ENTRIES];
	static uint64_t deadlines[ENTRIES]; /* 0: not in the wheel */
	uint64_t now = 777;
	srand(1);
	memset(entries, 0, sizeof(entries));
	wheel_init(&wheel, now);
	for (int step = 0; step < STEPS; step++) {
		int at = rand() % ENTRIES;
		if (rand() % 4 == 0) {
			wheel_remove(&entries[at]);
			deadlines[at] = 0;
		} else {
			deadlines[at] = now + (uint64_t)(rand() % 40000);
			wheel_add(&wheel, &entries[at], deadlines[at]);
		}
		now += (uint64_t)(rand() % 100 == 0 ? rand() % 50000 : rand() % 30);
		struct wheel_entry *fired;
		while ((fired = wheel_expire(&wheel, now))) {
			long index = fired - entries;
			bool within_span = deadlines[index] <= now + WHEEL_TICK_MS * WHEEL_SLOTS;
			assert_true(deadlines[index] != 0);
			/* Fired at the end of the span: only when it was beyond it. */
			if (within_span && deadlines[index] > now)
				wheel_add(&wheel, fired, deadlines[index]);
			else
				deadlines[index] = 0;
		}
		for (int i = 0; i < ENTRIES; i++)
			assert_true(!deadlines[i] || deadlines[i] + 2 * WHEEL_TICK_MS > now);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_after_its_deadline),
		cmocka_unit_test(wait_leads_straight_to_it),
		cmocka_unit_test(beyond_the_span_fires_at_its_end),
		cmocka_unit_test(a_deadline_in_the_past_fires_at_once),
		cmocka_unit_test(removed_and_moved_entries_stay_silent),
		cmocka_unit_test(agrees_with_a_plain_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
