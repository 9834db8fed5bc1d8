/* A peer's health from numbers: what counts as dead, as alive again, and what a
 * flapping tunnel does not do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../daemon/tunnel_health.h"

#define NOW 1700000000u

static const struct tunnel_path nothing;

static bool look(struct tunnel_health *health, uint64_t handshake, uint64_t received, uint64_t now)
{
	const struct tunnel_peer peer = {.handshake = handshake, .received = received,
					 .endpoint = {.family = FAMILY_V4, .bytes = {192, 0, 2, 1}}};
	return tunnel_health_look(health, &peer, &nothing, 1420, now, now);
}

static void a_peer_comes_up_at_its_first_handshake(void **state)
{
	(void)state;
	struct tunnel_health health = {0};
	assert_false(look(&health, 0, 0, NOW));
	assert_non_null(strstr(health.why, "no handshake yet"));
	assert_false(look(&health, NOW, 100, NOW + 2));
	assert_true(look(&health, NOW, 200, NOW + 4));
	assert_true(health.up);
	struct tunnel_health first = {0};
	assert_true(look(&first, NOW, 100, NOW)); /* adopted while it lives */
	assert_true(first.up);
}

static void a_new_peer_has_time_for_its_first_handshake(void **state)
{
	(void)state;
	struct tunnel_health health = {0};
	look(&health, 0, 0, NOW);
	assert_true(health.hopeful && !health.up);
	look(&health, NOW + 1, 100, NOW + 2);
	assert_true(health.hopeful && !health.up);
	look(&health, NOW + 1, 200, NOW + 4);
	assert_true(health.up && health.was_up);
	/* Once only: who dies in that time is dead. */
	tunnel_health_look(&health, NULL, &nothing, 1420, NOW + 5, NOW + 5);
	assert_false(health.hopeful);
	struct tunnel_health silent = {0};
	look(&silent, 0, 0, NOW);
	look(&silent, 0, 0, NOW + 8);
	assert_true(silent.hopeful);
	look(&silent, 0, 0, NOW + 9);
	assert_false(silent.hopeful || silent.up);
}

static void silence_and_an_old_handshake_are_death(void **state)
{
	(void)state;
	struct tunnel_health health = {0};
	look(&health, NOW, 100, NOW);
	for (unsigned s = 2; s <= 18; s += 2)
		assert_false(look(&health, NOW, 100, NOW + s));
	assert_false(look(&health, NOW, 100, NOW + 20));
	assert_true(look(&health, NOW, 100, NOW + 22));
	assert_false(health.up);
	assert_non_null(strstr(health.why, "receive: nothing came for 22 s"));
	struct tunnel_health old = {0};
	assert_false(look(&old, NOW, 100, NOW + 181));
	assert_non_null(strstr(old.why, "handshake: the last one was 181 s ago"));
}

static void a_single_look_changes_nothing(void **state)
{
	(void)state;
	struct tunnel_health health = {0};
	look(&health, NOW, 100, NOW);
	for (unsigned i = 0; i < 20; i++) {
		assert_false(tunnel_health_look(&health, NULL, &nothing, 1420, NOW + i, NOW + i));
		assert_false(look(&health, NOW, 101 + i, NOW + i));
		assert_true(health.up);
	}
}

static void a_device_made_anew_counts_from_zero(void **state)
{
	(void)state;
	struct tunnel_health health = {0};
	look(&health, NOW, 1000000, NOW);
	assert_false(look(&health, NOW + 17, 148, NOW + 17));
	assert_false(look(&health, NOW + 17, 148, NOW + 30));
	assert_true(health.up);
}

static void the_path_mtu_is_named(void **state)
{
	(void)state;
	struct tunnel_health health = {0};
	const struct tunnel_peer peer = {.handshake = NOW, .received = 5};
	struct tunnel_path path = {.small_answered = 9, .full_missed = 3};
	tunnel_health_look(&health, &peer, &path, 1420, NOW, NOW);
	assert_true(health.up);
	assert_non_null(strstr(health.why, "packets of 1420 bytes do not come through"));
	path = (struct tunnel_path){.full_missed = 99}; /* it answers no probe at all: nothing is known */
	tunnel_health_look(&health, &peer, &path, 1420, NOW, NOW);
	assert_null(strstr(health.why, "path MTU"));
}

static void a_path_that_was_dead_is_not_said_to_be_narrow(void **state)
{
	(void)state;
	struct tunnel_health health = {0};
	struct tunnel_path path = {0};
	const struct tunnel_peer peer = {.handshake = NOW, .received = 5};
	for (int i = 0; i < 40; i++)
		tunnel_path_count(&path, i % 4 == 3, i < 4); /* all answered, then none: the peer is away */
	tunnel_health_look(&health, &peer, &path, 1420, NOW, NOW);
	assert_null(strstr(health.why, "path MTU"));
	for (int i = 0; i < 6; i++)
		tunnel_path_count(&path, i % 2, i % 2 == 0); /* small ones are answered, large ones are not */
	tunnel_health_look(&health, &peer, &path, 1420, NOW, NOW);
	assert_non_null(strstr(health.why, "path MTU"));
}

/* The wall clock is set; time goes on as before. */
static void a_clock_that_jumps_kills_nobody(void **state)
{
	(void)state;
	static const int64_t jumps[] = {3600, -3600, 10 * 365 * 86400ll};
	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		struct tunnel_health health = {0};
		struct tunnel_peer peer = {.handshake = NOW, .received = 100};
		uint64_t jumped = (uint64_t)((int64_t)NOW + jumps[i]);
		assert_true(tunnel_health_look(&health, &peer, &nothing, 1420, NOW, 1000));
		peer.received++;
		tunnel_health_look(&health, &peer, &nothing, 1420, NOW + 2, 1002);
		for (unsigned s = 4; s < 120; s += 2) {
			peer.received += s % 10 == 0;
			tunnel_health_look(&health, &peer, &nothing, 1420, jumped + s, 1000 + s);
			assert_true(health.up);
		}
		/* And it keeps nobody alive. */
		for (unsigned s = 120; s < 150; s += 2)
			tunnel_health_look(&health, &peer, &nothing, 1420, jumped + s, 1000 + s);
		assert_false(health.up);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_comes_up_at_its_first_handshake),
		cmocka_unit_test(a_new_peer_has_time_for_its_first_handshake),
		cmocka_unit_test(silence_and_an_old_handshake_are_death),
		cmocka_unit_test(a_single_look_changes_nothing),
		cmocka_unit_test(a_device_made_anew_counts_from_zero),
		cmocka_unit_test(the_path_mtu_is_named),
		cmocka_unit_test(a_path_that_was_dead_is_not_said_to_be_narrow),
		cmocka_unit_test(a_clock_that_jumps_kills_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
