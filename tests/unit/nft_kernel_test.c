/* The real kernel_ops against a real kernel, each test in a network namespace of
 * its own: apply, read back, refuse, restore. nft(8) plays the other tools. Without
 * the right to make a namespace all is skipped. */
#include "nft_kit.h"
#include "nft_sample.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void what_is_applied_is_read_back(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	struct state *state = nft_sample(0), *none = state_new();
	kit_apply_well(&kit, state);
	kit_in_force(&kit, state);
	kit_apply_well(&kit, none);
	struct state *observed = kit_observe(&kit, none);
	assert_false(observed->present);
	state_free(&observed);
	state_free(&none);
	state_free(&state);
	kit_close(&kit);
}

/* Line breaks and runs of blanks, which differ among versions of nft, as one blank. */
static void one_line(char *text)
{
	char *to = text;
	for (const char *from = text; *from; from++) {
		bool blank = strchr(" \t\n", *from) != NULL;
		if (!blank || (to > text && to[-1] != ' '))
			*to++ = blank ? ' ' : *from;
	}
	*to = '\0';
}

/* Each line must be in what nft prints, in this order. */
static void assert_listed(const char *listing, const char *const *lines, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *found = strstr(listing, lines[i]);
		if (!found)
			fail_msg("nft does not print \"%s\", or not here, in\n%s", lines[i], listing);
		listing = found;
	}
}

static void nft_prints_it_sensibly(void **context)
{
	(void)context;
	NEEDS_ROOT();
	static const char *const lines[] = {
		"counter default", "map backends {", "typeof numgen inc mod 1 : ip daddr", "0 : 192.0.2.11, 1 : 192.0.2.12",
		"typeof numgen inc mod 1 : ip6 daddr", "set banned6", "flags interval,timeout", "comment \"by operators\"",
		"2001:db8:100::/64 timeout 1h", "2001:db8:200::", "set bans4", "size 1000", "flags dynamic,timeout",
		"timeout 10m", "gc-interval 30s", "set list4", "0.0.0.0/8, 192.0.2.1", "240.0.0.0/4", "set list6",
		"2001:db8::-2001:db8:0:ffff::", "ff00::/8", "type mark . ifname . inet_proto . inet_service", "set pairs",
		"type ipv4_addr . inet_service", "192.0.2.1 . 53", "22, 8000-8010, 65280-65535", "type inet_proto",
		"type inet_service : verdict", "22 : accept, 25 : drop, 443 : goto service",
		"type filter hook prerouting priority mangle; policy accept;", "iifname \"lo\" accept comment \"lo\"",
		"ct state established,related accept comment \"established\"", "counter name \"spoofed\" drop",
		"ip saddr @list4 drop comment \"blocklist-abuse\"", "ct mark set 0x90000001 goto fresh",
		"dnat ip to numgen inc mod 3 map @backends:30095 comment \"fwd-https\"", "redirect to :443",
		"type filter hook forward priority filter; policy drop;",
		"update @rate4 { ip saddr limit rate 50/second burst 100 packets } return comment \"limit per source\"",
		"add @open4 { ip saddr ct count 400 }", "tcp dport @ports accept comment \"ports\"",
		"tcp dport != 80-443 log prefix \"edged:ports \" group 1 snaplen 64", "tcp dport vmap @services",
		"reject with tcp reset", "reject with icmpx admin-prohibited", "type route hook output priority mangle",
		"oifname \"wan0\" masquerade fully-random", "snat ip to 203.0.113.10 comment \"snat-addr\"",
	};
	struct kit kit;
	kit_open(&kit, -1);
	struct state *state = nft_sample(0);
	kit_apply_well(&kit, state);
	char *listing = kit_output("nft list ruleset");
	one_line(listing);
	assert_listed(listing, lines, sizeof(lines) / sizeof(lines[0]));
	free(listing);
	state_free(&state);
	kit_close(&kit);
	assert_int_equal(kit_run("nft flush ruleset"), 0);
}

/* A step that the kernel refuses, whatever state it is in. */
static const struct chain nowhere = {.name = "nowhere"};
static const struct counter no_counter = {.name = "no-counter"};

/* One wrong step at every place of a long list: each time it is the one that is blamed, and nothing has changed. */
static void a_refused_step_changes_nothing_wherever_it_is(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	struct state *before = nft_sample(0), *none = state_new(), *observed;
	struct steps steps = kit_plan(&kit, before, &observed);
	static const struct step wrong[] = {
		{.kind = STEP_DELETE_CHAIN, .chain = &nowhere, .at = {"wrong.yaml", 1, 1}},
		{.kind = STEP_DELETE_COUNTER, .counter = &no_counter, .at = {"wrong.yaml", 2, 1}},
	};
	struct step *items = arena_array(kit.arena, steps.count + 1, struct step);
	for (size_t at = 0; at <= steps.count; at++) {
		memcpy(items, steps.items, at * sizeof(*items));
		items[at] = wrong[at % 2];
		memcpy(items + at + 1, steps.items + at, (steps.count - at) * sizeof(*items));
		struct steps bad = {.items = items, .count = steps.count + 1};
		struct commit_error error = {0};
		assert_int_equal(kit.kernel->ops->commit(kit.kernel, &bad, &error), -ENOENT);
		assert_ptr_equal(error.step, &items[at]);
		assert_int_equal(error.error, -ENOENT);
		kit_in_force(&kit, none);
	}
	state_free(&observed);
	kit_apply_well(&kit, before);
	/* The same on the way down, from a ruleset that is there. */
	struct state *part = nft_sample(0);
	part->counter_count = 1;
	part->set_count = 0;
	part->chain_count = 1;
	part->chains[0].rule_count = 1;
	steps = kit_plan(&kit, part, &observed);
	items = arena_array(kit.arena, steps.count + 1, struct step);
	assert_true(steps.count > 20);
	for (size_t at = 0; at <= steps.count; at++) {
		memcpy(items, steps.items, at * sizeof(*items));
		items[at] = wrong[at % 2];
		memcpy(items + at + 1, steps.items + at, (steps.count - at) * sizeof(*items));
		struct steps bad = {.items = items, .count = steps.count + 1};
		struct commit_error error = {0};
		assert_int_equal(kit.kernel->ops->commit(kit.kernel, &bad, &error), -ENOENT);
		assert_ptr_equal(error.step, &items[at]);
		kit_in_force(&kit, before);
	}
	state_free(&observed);
	kit_apply_well(&kit, part);
	kit_in_force(&kit, part);
	kit_apply_well(&kit, before);
	kit_in_force(&kit, before);
	kit_apply_well(&kit, none);
	state_free(&part);
	state_free(&before);
	state_free(&none);
	kit_close(&kit);
}

/* More errors than a socket holds: the first one is still the one that is told. */
static void many_errors_tell_the_first(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	struct state *state = nft_sample(0);
	kit_apply_well(&kit, state);
	struct state *observed = kit_observe(&kit, state);
	size_t count = 30000;
	struct step *items = arena_array(kit.arena, count, struct step);
	for (size_t i = 0; i < count; i++)
		items[i] = (struct step){.kind = STEP_DELETE_CHAIN, .chain = &nowhere};
	items[0] = (struct step){.kind = STEP_SET_CHAIN, .chain = &state->chains[0]};
	struct steps steps = {.items = items, .count = count};
	struct commit_error error = {0};
	assert_int_equal(kit.kernel->ops->commit(kit.kernel, &steps, &error), -ENOENT);
	assert_ptr_equal(error.step, &items[1]);
	kit_in_force(&kit, state);
	state_free(&observed);
	struct state *none = state_new();
	kit_apply_well(&kit, none);
	state_free(&none);
	state_free(&state);
	kit_close(&kit);
}

static void a_foreign_change_in_between_is_noticed(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	struct state *state = nft_sample(0), *observed;
	struct commit_error error = {0};
	struct steps early = {0};
	assert_int_equal(kit.kernel->ops->commit(kit.kernel, &early, &error), -EINVAL);
	struct steps steps = kit_plan(&kit, state, &observed);
	assert_int_equal(kit_run("nft add table ip other"), 0);
	assert_int_equal(kit.kernel->ops->commit(kit.kernel, &steps, &error), -ERESTART);
	assert_null(error.step);
	state_free(&observed);
	kit_apply_well(&kit, state);
	kit_in_force(&kit, state);
	/* Without reading again, the generation of our own commit is good. */
	struct step again = {.kind = STEP_SET_CHAIN, .chain = &state->chains[0]};
	struct steps one = {.items = &again, .count = 1};
	for (int i = 0; i < 100; i++)
		assert_int_equal(kit.kernel->ops->commit(kit.kernel, &one, &error), 0);
	assert_int_equal(kit_run("nft delete table ip other"), 0);
	assert_int_equal(kit.kernel->ops->commit(kit.kernel, &one, &error), -ERESTART);
	assert_int_equal(kit_run("nft flush ruleset"), 0);
	state_free(&state);
	kit_close(&kit);
}

/* Whatever others put into the table is seen, and the diff removes it. */
static void foreign_things_are_removed(void **context)
{
	(void)context;
	NEEDS_ROOT();
	static const char *const commands[] = {
		"nft insert rule inet edged decide accept",
		"nft add rule inet edged decide meta mark set 1",
		"nft add rule inet edged input tcp dport { 22, 80 } accept",
		"nft add rule inet edged input counter packets 0 bytes 0 accept",
		"nft add rule inet edged fresh ct zone 1 accept",
		"nft 'add chain inet edged evil { type filter hook input priority -1; policy accept; }'",
		"nft 'add chain inet edged evil2; add rule inet edged evil2 accept; add rule inet edged input jump evil2'",
		"nft 'add set inet edged macs { type ether_addr; elements = { 02:00:00:00:00:01 }; }'",
		"nft 'add set inet edged cat { type ipv4_addr . inet_service; flags interval; }'",
		"nft 'add element inet edged list4 { 10.0.0.0/8, 192.0.2.2 }'",
		"nft 'add element inet edged services { 8080 : accept }'",
		"nft 'delete element inet edged ports { 22 }'",
		"nft flush chain inet edged decide",
		"nft 'chain inet edged input { policy accept; }'",
		"nft 'table inet edged { flags dormant; }'",
		"nft add counter inet edged odd",
		"nft delete table inet edged",
	};
	struct kit kit;
	kit_open(&kit, -1);
	struct state *state = nft_sample(0);
	kit_apply_well(&kit, state);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct state *observed;
		assert_int_equal(kit_run(commands[i]), 0);
		struct steps steps = kit_plan(&kit, state, &observed);
		if (steps.count == 0)
			fail_msg("not seen: %s", commands[i]);
		state_free(&observed);
		kit_apply_well(&kit, state);
		kit_in_force(&kit, state);
	}
	assert_int_equal(kit_run("nft flush ruleset"), 0);
	state_free(&state);
	kit_close(&kit);
}

static void large_sets_are_compared_by_their_hash(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	struct state *small = nft_sample(100), *large = nft_sample(STATE_HASHED_ABOVE + 1),
		     *larger = nft_sample(STATE_HASHED_ABOVE + 2);
	kit_apply_well(&kit, small);
	kit_in_force(&kit, small);
	kit_apply_well(&kit, large);
	kit_in_force(&kit, large);
	struct state *observed = kit_observe(&kit, large);
	const struct set *set = state_set(observed, "large");
	assert_int_equal(set->range_count, 0);
	assert_memory_equal(set->hash, state_set(large, "large")->hash, sizeof(set->hash));
	assert_int_equal(observed->counter_count, large->counter_count);
	state_free(&observed);
	struct counter_value *values;
	size_t count;
	assert_int_equal(kit.kernel->ops->counters(kit.kernel, kit.arena, &values, &count), 0);
	assert_int_equal(count, large->counter_count);
	kit_apply_well(&kit, larger);
	kit_in_force(&kit, larger);
	kit_apply_well(&kit, large);
	kit_in_force(&kit, large);
	kit_apply_well(&kit, small);
	kit_in_force(&kit, small);
	char *listing = kit_output("nft list ruleset");
	assert_null(strstr(listing, STATE_HASH_PREFIX));
	free(listing);
	kit_apply_well(&kit, large);
	assert_int_equal(kit_run("nft delete counter inet edged hash-large"), 0);
	struct steps steps = kit_plan(&kit, large, &observed);
	assert_true(steps.count > 0);
	assert_int_equal(state_set(observed, "large")->range_count, STATE_HASHED_ABOVE + 1);
	state_free(&observed);
	assert_int_equal(kit_run("nft flush ruleset"), 0);
	state_free(&small);
	state_free(&large);
	state_free(&larger);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_applied_is_read_back, kit_namespace),
		cmocka_unit_test_setup(nft_prints_it_sensibly, kit_namespace),
		cmocka_unit_test_setup(a_refused_step_changes_nothing_wherever_it_is, kit_namespace),
		cmocka_unit_test_setup(many_errors_tell_the_first, kit_namespace),
		cmocka_unit_test_setup(a_foreign_change_in_between_is_noticed, kit_namespace),
		cmocka_unit_test_setup(foreign_things_are_removed, kit_namespace),
		cmocka_unit_test_setup(large_sets_are_compared_by_their_hash, kit_namespace),
	};
	return cmocka_run_group_tests_name("nft_kernel", tests, NULL, NULL);
}
