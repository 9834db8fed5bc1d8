/* Whose the table is: owned by a socket, orphaned when that is closed, taken
 * over by another; and what other tools can do to it meanwhile. */
#include "../../daemon/kernel/nft_batch.h"
#include "../../daemon/kernel/nft_object.h"
#include "nft_kit.h"
#include "nft_sample.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An owned table with the sample in it; false where the kernel does not know how. */
static bool own_a_table(struct kit *kit, struct state *state)
{
	kit_open(kit, -1);
	if (!kernel_has_owner_persist(kit->kernel)) {
		kit_close(kit);
		return false;
	}
	state->owner = true;
	kit_apply_well(kit, state);
	kit_in_force(kit, state);
	return true;
}

#define NEEDS_OWNER(kit, state)              \
	do {                                 \
		NEEDS_ROOT();                \
		if (!own_a_table(kit, state)) \
			skip();              \
	} while (0)

static void another_tool_cannot_touch_an_owned_table(void **context)
{
	(void)context;
	struct kit kit, next;
	cleanup_state struct state *state = nft_sample(0), *none = state_new();
	NEEDS_OWNER(&kit, state);
	assert_int_equal(kit_run("nft flush ruleset"), 0);
	kit_in_force(&kit, state);
	assert_int_not_equal(kit_run("nft delete table inet edged 2>/dev/null"), 0);
	assert_int_not_equal(kit_run("nft add rule inet edged input accept 2>/dev/null"), 0);
	kit_in_force(&kit, state);
	/* A second one is not the owner, and cannot change it. */
	kit_open(&next, -1);
	struct state *observed = kit_observe(&next, state);
	assert_true(observed->present && observed->persist && !observed->owner);
	state_free(&observed);
	struct commit_error error;
	assert_int_equal(kit_apply(&next, none, &error), -EPERM);
	kit_in_force(&kit, state);
	kit_close(&next);
	kit_apply_well(&kit, none);
	kit_in_force(&kit, none);
	kit_close(&kit);
}

static void the_owning_socket_is_handed_on(void **context)
{
	(void)context;
	struct kit kit;
	cleanup_state struct state *state = nft_sample(0);
	NEEDS_OWNER(&kit, state);
	int fd = dup(kernel_owner_fd(kit.kernel));
	assert_true(fd >= 0);
	kit_close(&kit);
	assert_int_equal(kit_run("nft flush ruleset"), 0);
	kit_open(&kit, fd);
	kit_in_force(&kit, state);
	state->chains[0].policy_drop = true;
	kit_apply_well(&kit, state);
	kit_in_force(&kit, state);
	kit_close(&kit);
}

static void an_orphan_stays_and_is_adopted(void **context)
{
	(void)context;
	struct kit kit;
	cleanup_state struct state *state = nft_sample(0), *none = state_new();
	NEEDS_OWNER(&kit, state);
	kit_close(&kit);
	kit_open(&kit, -1);
	struct state *observed = kit_observe(&kit, state);
	assert_true(observed->present && observed->persist && !observed->owner);
	assert_int_equal(observed->chain_count, state->chain_count);
	state_free(&observed);
	kit_apply_well(&kit, state);
	kit_in_force(&kit, state);
	assert_int_equal(kit_run("nft flush ruleset"), 0);
	kit_in_force(&kit, state);
	/* While nobody holds it, it can be flushed. */
	kit_close(&kit);
	assert_int_equal(kit_run("nft flush ruleset"), 0);
	kit_open(&kit, -1);
	kit_in_force(&kit, none);
	kit_close(&kit);
}

/* What nft(8) from 1.0.9 on can do to an orphan: flags dormant, persist. */
static void put_to_sleep(void)
{
	struct nft_socket socket;
	struct nft_batch batch cleanup_batch = {0};
	struct nft_batch_result result;
	assert_int_equal(nft_socket_open(&socket), 0);
	assert_int_equal(nft_batch_begin(0, &batch), 0);
	struct nlmsghdr *message = nft_batch_add(&batch, 0, NFT_MSG_NEWTABLE, 0, OBJECT_ROOM);
	assert_int_equal(put_table(message, STATE_TABLE, TABLE_FLAG_DORMANT | TABLE_FLAG_PERSIST), 0);
	nft_batch_done(&batch, message);
	assert_int_equal(nft_batch_send(&batch, &socket, &result), 0);
	nft_socket_close(&socket);
}

static void a_dormant_orphan_is_woken(void **context)
{
	(void)context;
	struct kit kit;
	cleanup_state struct state *state = nft_sample(0);
	NEEDS_OWNER(&kit, state);
	kit_close(&kit);
	put_to_sleep();
	kit_open(&kit, -1);
	struct state *observed = kit_observe(&kit, state);
	assert_true(observed->dormant && observed->persist && !observed->owner);
	state_free(&observed);
	kit_apply_well(&kit, state);
	kit_in_force(&kit, state);
	observed = kit_observe(&kit, state);
	assert_true(!observed->dormant && observed->persist && observed->owner);
	state_free(&observed);
	kit_close(&kit);
}

static void a_table_without_persist_is_made_anew_for_an_owner(void **context)
{
	(void)context;
	struct kit kit;
	cleanup_state struct state *state = nft_sample(0), *none = state_new();
	NEEDS_OWNER(&kit, state);
	kit_apply_well(&kit, none);
	state->owner = false;
	kit_apply_well(&kit, state);
	kit_in_force(&kit, state);
	state->owner = true;
	kit_apply_well(&kit, state);
	kit_in_force(&kit, state);
	assert_int_equal(kit_run("nft flush ruleset"), 0);
	kit_in_force(&kit, state);
	kit_close(&kit);
}

static void the_probe_leaves_nothing(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	uint32_t before, after;
	assert_int_equal(kit.kernel->ops->generation(kit.kernel, &before), 0);
	(void)kernel_has_owner_persist(kit.kernel);
	assert_int_equal(kit.kernel->ops->generation(kit.kernel, &after), 0);
	assert_int_equal(before, after);
	char *listing = kit_output("nft list ruleset");
	assert_string_equal(listing, "");
	free(listing);
	kit_close(&kit);
}

static void only_a_netfilter_socket_is_taken_over(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kernel *kernel = NULL;
	int pair[2];
	assert_int_equal(pipe(pair), 0);
	assert_true(kernel_open(pair[0], &kernel) < 0);
	close(pair[1]);
	int fd = open("/dev/null", O_RDONLY);
	assert_true(kernel_open(fd, &kernel) < 0);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was closed */
	assert_null(kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(another_tool_cannot_touch_an_owned_table, kit_namespace),
		cmocka_unit_test_setup(the_owning_socket_is_handed_on, kit_namespace),
		cmocka_unit_test_setup(an_orphan_stays_and_is_adopted, kit_namespace),
		cmocka_unit_test_setup(a_dormant_orphan_is_woken, kit_namespace),
		cmocka_unit_test_setup(a_table_without_persist_is_made_anew_for_an_owner, kit_namespace),
		cmocka_unit_test_setup(the_probe_leaves_nothing, kit_namespace),
		cmocka_unit_test_setup(only_a_netfilter_socket_is_taken_over, kit_namespace),
	};
	return cmocka_run_group_tests_name("nft_owner", tests, NULL, NULL);
}
