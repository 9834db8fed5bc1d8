/* The rotation's state by itself: its steps, its text, and what it makes of a
 * text that is broken; when it is due, and which clocks are not believed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../daemon/rotation.h"

#define NOW 1800000000u
#define DAY 86400u
#define TEXT(version, slot, rotating, id, listen, peers) \
	"{\"version\":" version ",\"slot\":" slot ",\"rotating\":" rotating ",\"id\":" id ",\"since\":0,\"started\":0," \
	"\"second_listen\":" listen ",\"peers\":[" peers "]}"

static struct peer peers[] = {{.name = "with", .public_key = {1}, .agent = true}, {.name = "without", .public_key = {2}}};
static const struct tunnel wg0 = {.name = "wg0", .listen = 51820, .peers = peers, .peer_count = 2};

static struct rotation known(void)
{
	struct rotation rotation = {.since = NOW - DAY};
	assert_int_equal(rotation_know(&rotation, &peers[0]), 0);
	assert_int_equal(rotation_know(&rotation, &peers[1]), 0);
	return rotation;
}

static void all_peers_move_before_it_ends(void **state)
{
	(void)state;
	struct rotation rotation = known();
	static const uint8_t new_key[32] = {9};
	rotation_begin(&rotation, &wg0, 77, NOW, 51821);
	struct rotation_peer *with = rotation_peer(&rotation, "with"), *without = rotation_peer(&rotation, "without");
	assert_true(rotation.rotating && rotation.second_listen == 51821);
	assert_false(with->next.known);
	assert_true(without->next.known);
	rotation_agree(with, new_key, 4000);
	with->moved = with->done = true;
	assert_false(rotation_is_complete(&rotation, &wg0));
	without->moved = without->done = true;
	assert_true(rotation_is_complete(&rotation, &wg0));
	rotation_finish(&rotation, NOW + 5);
	assert_true(rotation.slot == 1 && !rotation.rotating && rotation.since == NOW + 5 && rotation.id == 77);
	assert_memory_equal(with->now.public_key, new_key, 32);
	assert_int_equal(with->now.port, 4000);
	assert_false(with->moved || with->done || with->next.known);
	/* The way back needs no new port. */
	rotation_begin(&rotation, &wg0, 78, NOW + 9, 60000);
	assert_int_equal(rotation.second_listen, 51821);
	rotation_clear(&rotation);
}

static void an_operators_key_voids_what_was_agreed(void **state)
{
	(void)state;
	struct rotation rotation = known();
	rotation_begin(&rotation, &wg0, 77, NOW, 51821);
	rotation_agree(rotation_peer(&rotation, "with"), (const uint8_t[32]){9}, 0);
	rotation_peer(&rotation, "with")->moved = true;
	assert_false(rotation_keep_only(&rotation, &wg0));
	struct peer changed = {.name = "with", .public_key = {5}, .agent = true};
	const struct tunnel other = {.name = "wg0", .peers = &changed, .peer_count = 1};
	/* A model that is only looked at changes nothing; one in force does. */
	assert_int_equal(rotation_know(&rotation, &changed), 0);
	assert_true(rotation_peer(&rotation, "with")->next.known);
	assert_true(rotation_keep_only(&rotation, &other));
	assert_int_equal(rotation.count, 1);
	assert_false(rotation.peers[0].next.known || rotation.peers[0].moved);
	assert_int_equal(rotation.peers[0].configured[0], 5);
	rotation_clear(&rotation);
}

static void its_text_reads_back(void **state)
{
	(void)state;
	struct rotation rotation = known(), back;
	rotation_begin(&rotation, &wg0, 77, NOW, 51821);
	rotation_agree(rotation_peer(&rotation, "with"), (const uint8_t[32]){9, 8, 7}, 4000);
	rotation_peer(&rotation, "without")->moved = true;
	char *text = rotation_print(&rotation);
	assert_int_equal(rotation_parse(text, strlen(text), &back), 0);
	char *again = rotation_print(&back);
	assert_string_equal(text, again);
	/* Cut anywhere it is refused, and any byte changed is refused or another state, never a crash. */
	for (size_t i = 0; i + 1 < strlen(text); i++) {
		struct rotation broken = {0};
		assert_int_not_equal(rotation_parse(text, i, &broken), 0);
		assert_null(broken.peers);
		char old = text[i];
		text[i] = (char)(old ^ 5);
		if (rotation_parse(text, strlen(text), &broken) == 0)
			rotation_clear(&broken);
		text[i] = old;
	}
	free(text);
	free(again);
	rotation_clear(&rotation);
	rotation_clear(&back);
}

static void texts_that_do_not_fit_are_refused(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"", "{}", "[]", "null",
		TEXT("2", "0", "false", "0", "0", ""),
		TEXT("1", "2", "false", "0", "1", ""),
		/* a slot in use without a port */
		TEXT("1", "1", "false", "0", "0", ""),
		TEXT("1", "0", "true", "1", "0", ""),
		TEXT("1", "0", "false", "-1", "0", ""),
		TEXT("1", "0", "false", "0", "0", "{}"),
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct rotation rotation = {0};
		assert_int_equal(rotation_parse(texts[i], strlen(texts[i]), &rotation), -EBADMSG);
	}
}

static void it_is_due_by_the_age_of_the_keys(void **state)
{
	(void)state;
	struct rotation rotation = {.since = NOW};
	assert_false(rotation_is_due(&rotation, 30ull * DAY * 1000, NOW + 30 * DAY - 1));
	assert_true(rotation_is_due(&rotation, 30ull * DAY * 1000, NOW + 30 * DAY));
	assert_false(rotation_is_due(&rotation, 0, NOW + 900 * DAY));
	rotation.rotating = true;
	assert_false(rotation_is_due(&rotation, 1000, NOW + DAY));
	/* Not known since when: not before it is. */
	rotation = (struct rotation){0};
	assert_false(rotation_is_due(&rotation, 1000, NOW));
	/* Made while the clock was ahead. */
	rotation.since = NOW + 900 * DAY;
	assert_true(rotation_is_due(&rotation, 30ull * DAY * 1000, NOW));
}

static void clocks_that_cannot_be_right_are_not_believed(void **state)
{
	(void)state;
	assert_non_null(rotation_clock_is_wrong(0, 0));
	assert_non_null(rotation_clock_is_wrong(1600000000, 0));
	assert_non_null(rotation_clock_is_wrong(5000000000, 0));
	assert_non_null(rotation_clock_is_wrong(NOW, NOW + DAY));
	assert_null(rotation_clock_is_wrong(NOW, NOW + 60));
	assert_null(rotation_clock_is_wrong(NOW, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_peers_move_before_it_ends),
		cmocka_unit_test(an_operators_key_voids_what_was_agreed),
		cmocka_unit_test(its_text_reads_back),
		cmocka_unit_test(texts_that_do_not_fit_are_refused),
		cmocka_unit_test(it_is_due_by_the_age_of_the_keys),
		cmocka_unit_test(clocks_that_cannot_be_right_are_not_believed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
