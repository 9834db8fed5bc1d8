/* The real kernel_ops against a real kernel, each test in a network namespace of
 * its own: apply, read back, refuse, restore, own, adopt. nft(8) plays
 * the other tools. Without the right to make a namespace all is skipped. */
#include "../../daemon/kernel/kernel.h"
#include "../../daemon/kernel/nft_monitor.h"
#include "../../daemon/kernel/nft_object.h"
#include "nft_sample.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool isolated;

/* Runs a command of another tool; 0 when it succeeds. */
static int run(const char *command)
{
	int status = system(command);
	return status == -1 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status);
}

/* What a command prints; the caller frees it. */
static char *output_of(const char *command)
{
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	size_t room = 1 << 20;
	char *text = calloc(1, room);
	assert_non_null(text);
	size_t length = fread(text, 1, room - 1, pipe);
	text[length] = '\0';
	assert_int_equal(pclose(pipe), 0);
	return text;
}

static int fresh_namespace(void **context)
{
	isolated = unshare(CLONE_NEWNET) == 0;
	*context = NULL;
	return 0;
}

#define NEEDS_ROOT()       \
	do {               \
		if (!isolated) \
			skip();    \
	} while (0)

struct kit {
	struct kernel *kernel;
	struct arena *arena;
};

static void kit_open(struct kit *kit, int owner_fd)
{
	*kit = (struct kit){.arena = arena_new()};
	assert_non_null(kit->arena);
	assert_int_equal(kernel_open(owner_fd, &kit->kernel), 0);
}

static void kit_close(struct kit *kit)
{
	kit->kernel->ops->close(&kit->kernel);
	assert_null(kit->kernel);
	arena_free(&kit->arena);
}

static struct state *observe(struct kit *kit, const struct state *like)
{
	struct state *state;
	assert_int_equal(kit->kernel->ops->observe(kit->kernel, like, &state), 0);
	return state;
}

/* Steps to desired from what is there; the observation is kept for as long as the steps. */
static struct steps plan(struct kit *kit, const struct state *desired, struct state **ret_observed)
{
	struct steps steps = {0};
	*ret_observed = observe(kit, desired);
	assert_int_equal(diff_states(*ret_observed, NULL, desired, kit->arena, &steps), 0);
	return steps;
}

static int apply(struct kit *kit, const struct state *desired, struct commit_error *error)
{
	struct state *observed;
	struct steps steps = plan(kit, desired, &observed);
	*error = (struct commit_error){0};
	int rc = steps.count ? kit->kernel->ops->commit(kit->kernel, &steps, error) : 0;
	state_free(&observed);
	return rc;
}

static void apply_well(struct kit *kit, const struct state *desired)
{
	struct commit_error error;
	if (apply(kit, desired, &error) != 0)
		fail_msg("%d, %s, step %s at line %u", error.error, error.what,
			 error.step ? step_names[error.step->kind] : "none", error.step ? error.step->at.line : 0);
}

static void assert_in_force(struct kit *kit, const struct state *desired)
{
	struct state *observed;
	struct steps steps = plan(kit, desired, &observed);
	if (steps.count)
		fail_msg("the kernel holds something else:\n%s", steps_print(&steps, kit->arena));
	state_free(&observed);
}

static void what_is_applied_is_read_back(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	struct state *state = nft_sample(0), *none = state_new();
	apply_well(&kit, state);
	assert_in_force(&kit, state);
	apply_well(&kit, none);
	struct state *observed = observe(&kit, none);
	assert_false(observed->present);
	state_free(&observed);
	state_free(&none);
	state_free(&state);
	kit_close(&kit);
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
	apply_well(&kit, state);
	char *listing = output_of("nft list ruleset");
	assert_listed(listing, lines, sizeof(lines) / sizeof(lines[0]));
	free(listing);
	state_free(&state);
	kit_close(&kit);
	assert_int_equal(run("nft flush ruleset"), 0);
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
	struct steps steps = plan(&kit, before, &observed);
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
		assert_in_force(&kit, none);
	}
	state_free(&observed);
	apply_well(&kit, before);
	/* The same on the way down, from a ruleset that is there. */
	struct state *part = nft_sample(0);
	part->counter_count = 1;
	part->set_count = 0;
	part->chain_count = 1;
	part->chains[0].rule_count = 1;
	steps = plan(&kit, part, &observed);
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
		assert_in_force(&kit, before);
	}
	state_free(&observed);
	apply_well(&kit, part);
	assert_in_force(&kit, part);
	apply_well(&kit, before);
	assert_in_force(&kit, before);
	apply_well(&kit, none);
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
	apply_well(&kit, state);
	struct state *observed = observe(&kit, state);
	size_t count = 30000;
	struct step *items = arena_array(kit.arena, count, struct step);
	for (size_t i = 0; i < count; i++)
		items[i] = (struct step){.kind = STEP_DELETE_CHAIN, .chain = &nowhere};
	items[0] = (struct step){.kind = STEP_SET_CHAIN, .chain = &state->chains[0]};
	struct steps steps = {.items = items, .count = count};
	struct commit_error error = {0};
	assert_int_equal(kit.kernel->ops->commit(kit.kernel, &steps, &error), -ENOENT);
	assert_ptr_equal(error.step, &items[1]);
	assert_in_force(&kit, state);
	state_free(&observed);
	struct state *none = state_new();
	apply_well(&kit, none);
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
	struct steps steps = plan(&kit, state, &observed);
	assert_int_equal(run("nft add table ip other"), 0);
	assert_int_equal(kit.kernel->ops->commit(kit.kernel, &steps, &error), -ERESTART);
	assert_null(error.step);
	state_free(&observed);
	apply_well(&kit, state);
	assert_in_force(&kit, state);
	/* Without reading again, the generation of our own commit is good. */
	struct step again = {.kind = STEP_SET_CHAIN, .chain = &state->chains[0]};
	struct steps one = {.items = &again, .count = 1};
	for (int i = 0; i < 100; i++)
		assert_int_equal(kit.kernel->ops->commit(kit.kernel, &one, &error), 0);
	assert_int_equal(run("nft delete table ip other"), 0);
	assert_int_equal(kit.kernel->ops->commit(kit.kernel, &one, &error), -ERESTART);
	assert_int_equal(run("nft flush ruleset"), 0);
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
	apply_well(&kit, state);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct state *observed;
		assert_int_equal(run(commands[i]), 0);
		struct steps steps = plan(&kit, state, &observed);
		if (steps.count == 0)
			fail_msg("not seen: %s", commands[i]);
		state_free(&observed);
		apply_well(&kit, state);
		assert_in_force(&kit, state);
	}
	assert_int_equal(run("nft flush ruleset"), 0);
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
	apply_well(&kit, small);
	assert_in_force(&kit, small);
	apply_well(&kit, large);
	assert_in_force(&kit, large);
	struct state *observed = observe(&kit, large);
	const struct set *set = state_set(observed, "large");
	assert_int_equal(set->range_count, 0);
	assert_memory_equal(set->hash, state_set(large, "large")->hash, sizeof(set->hash));
	assert_int_equal(observed->counter_count, large->counter_count);
	state_free(&observed);
	struct counter_value *values;
	size_t count;
	assert_int_equal(kit.kernel->ops->counters(kit.kernel, kit.arena, &values, &count), 0);
	assert_int_equal(count, large->counter_count);
	apply_well(&kit, larger);
	assert_in_force(&kit, larger);
	apply_well(&kit, large);
	assert_in_force(&kit, large);
	apply_well(&kit, small);
	assert_in_force(&kit, small);
	char *listing = output_of("nft list ruleset");
	assert_null(strstr(listing, STATE_HASH_PREFIX));
	free(listing);
	apply_well(&kit, large);
	assert_int_equal(run("nft delete counter inet edged hash-large"), 0);
	struct steps steps = plan(&kit, large, &observed);
	assert_true(steps.count > 0);
	assert_int_equal(state_set(observed, "large")->range_count, STATE_HASHED_ABOVE + 1);
	state_free(&observed);
	assert_int_equal(run("nft flush ruleset"), 0);
	state_free(&small);
	state_free(&large);
	state_free(&larger);
	kit_close(&kit);
}

static void another_tool_cannot_flush_an_owned_table(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit, next;
	kit_open(&kit, -1);
	if (!kernel_has_owner_persist(kit.kernel)) {
		kit_close(&kit);
		skip();
	}
	struct state *state = nft_sample(0);
	state->owner = true;
	apply_well(&kit, state);
	assert_in_force(&kit, state);
	assert_int_equal(run("nft flush ruleset"), 0);
	assert_in_force(&kit, state);
	assert_int_not_equal(run("nft delete table inet edged 2>/dev/null"), 0);
	assert_int_not_equal(run("nft add rule inet edged input accept 2>/dev/null"), 0);
	assert_in_force(&kit, state);
	/* A second one is not the owner, and cannot change it. */
	kit_open(&next, -1);
	struct state *observed = observe(&next, state), *none = state_new();
	assert_true(observed->present && observed->persist && !observed->owner);
	state_free(&observed);
	struct commit_error error;
	assert_int_equal(apply(&next, none, &error), -EPERM);
	assert_in_force(&kit, state);
	/* The socket lives on while its first user is gone. */
	int fd = dup(kernel_owner_fd(kit.kernel));
	assert_true(fd >= 0);
	kit_close(&kit);
	kit_close(&next);
	assert_int_equal(run("nft flush ruleset"), 0);
	kit_open(&kit, fd);
	assert_in_force(&kit, state);
	state->chains[0].policy_drop = true;
	apply_well(&kit, state);
	assert_in_force(&kit, state);
	/* Nobody holds it: the table stays, and a fresh socket adopts it. */
	kit_close(&kit);
	kit_open(&kit, -1);
	observed = observe(&kit, state);
	assert_true(observed->present && observed->persist && !observed->owner);
	assert_int_equal(observed->chain_count, state->chain_count);
	state_free(&observed);
	apply_well(&kit, state);
	assert_in_force(&kit, state);
	assert_int_equal(run("nft flush ruleset"), 0);
	assert_in_force(&kit, state);
	/* An orphan can be flushed. */
	kit_close(&kit);
	assert_int_equal(run("nft flush ruleset"), 0);
	kit_open(&kit, -1);
	assert_in_force(&kit, none);
	/* A table without persist has to be made anew for an owner. */
	state->owner = false;
	apply_well(&kit, state);
	assert_in_force(&kit, state);
	state->owner = true;
	apply_well(&kit, state);
	assert_in_force(&kit, state);
	assert_int_equal(run("nft flush ruleset"), 0);
	assert_in_force(&kit, state);
	apply_well(&kit, none);
	assert_in_force(&kit, none);
	state_free(&none);
	state_free(&state);
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
	char *listing = output_of("nft list ruleset");
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

static void dynamic_elements_come_and_go(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	struct state *state = nft_sample(0);
	const struct set *bans = state_set(state, "bans4");
	struct dynamic_element *elements;
	size_t count = 99;
	apply_well(&kit, state);
	assert_int_equal(kit.kernel->ops->dynamic_elements(kit.kernel, "bans4", kit.arena, &elements, &count), 0);
	assert_int_equal(count, 0);
	assert_int_equal(run("nft 'add element inet edged bans4 { 192.0.2.1 timeout 1h, 192.0.2.2 }'"), 0);
	assert_in_force(&kit, state);
	assert_int_equal(kit.kernel->ops->dynamic_elements(kit.kernel, "bans4", kit.arena, &elements, &count), 0);
	assert_int_equal(count, 2);
	const struct addr first = {FAMILY_V4, {192, 0, 2, 1}}, second = {FAMILY_V4, {192, 0, 2, 2}};
	for (size_t i = 0; i < count; i++) {
		bool hour = addr_equal(&elements[i].addr, &first);
		assert_true(hour || addr_equal(&elements[i].addr, &second));
		assert_true(elements[i].expires_ms > (hour ? 3500000u : 500000u));
		assert_true(elements[i].expires_ms <= (hour ? 3600000u : 600000u));
	}
	assert_int_equal(kit.kernel->ops->dynamic_remove(kit.kernel, bans, &first), 0);
	assert_int_equal(kit.kernel->ops->dynamic_remove(kit.kernel, bans, &first), -ENOENT);
	assert_int_equal(kit.kernel->ops->dynamic_elements(kit.kernel, "bans4", kit.arena, &elements, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(kit.kernel->ops->dynamic_elements(kit.kernel, "none", kit.arena, &elements, &count), -ENOENT);
	assert_int_equal(kit.kernel->ops->dynamic_elements(kit.kernel, "ports", kit.arena, &elements, &count), -EINVAL);
	const struct addr wrong = {FAMILY_V6, {0x20}};
	assert_int_equal(kit.kernel->ops->dynamic_remove(kit.kernel, bans, &wrong), -EINVAL);
	/* A commit that does not concern the set leaves what the packets put there. */
	state->chains[0].policy_drop = true;
	apply_well(&kit, state);
	assert_int_equal(kit.kernel->ops->dynamic_elements(kit.kernel, "bans4", kit.arena, &elements, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(run("nft flush ruleset"), 0);
	state_free(&state);
	kit_close(&kit);
}

static void a_timed_element_that_runs_out_means_read_again(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	struct state *state = nft_sample(0), *observed;
	apply_well(&kit, state);
	struct state *without = nft_sample(0);
	for (size_t i = 0; i < without->set_count; i++) {
		if (strcmp(without->sets[i].name, "banned6") == 0) {
			without->sets[i].elements++;
			without->sets[i].element_count--;
		}
	}
	struct steps steps = plan(&kit, without, &observed);
	assert_true(steps.count > 0);
	/* As if its time were over just now. */
	struct element *gone = arena_memdup(kit.arena, steps.items[0].elements,
					    steps.items[0].element_count * sizeof(struct element));
	gone[0].key[0] = 0x30;
	gone[0].key_end[0] = 0x30;
	steps.items[0].elements = gone;
	struct commit_error error = {0};
	assert_int_equal(steps.items[0].kind, STEP_DELETE_ELEMENTS);
	assert_int_equal(kit.kernel->ops->commit(kit.kernel, &steps, &error), -ERESTART);
	state_free(&observed);
	apply_well(&kit, without);
	assert_in_force(&kit, without);
	assert_int_equal(run("nft flush ruleset"), 0);
	state_free(&state);
	state_free(&without);
	kit_close(&kit);
}

static void counters_count(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	struct counter_value *values;
	size_t count = 99;
	assert_int_equal(kit.kernel->ops->counters(kit.kernel, kit.arena, &values, &count), 0);
	assert_int_equal(count, 0);
	struct state *state = nft_sample(0);
	apply_well(&kit, state);
	assert_int_equal(run("nft delete counter inet edged default 2>/dev/null"), 1); /* rules use it */
	assert_int_equal(run("nft 'flush chain inet edged fresh; delete counter inet edged default;"
			     "add counter inet edged default { packets 7 bytes 700 }'"), 0);
	apply_well(&kit, state);
	assert_in_force(&kit, state);
	assert_int_equal(kit.kernel->ops->counters(kit.kernel, kit.arena, &values, &count), 0);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		bool used = strcmp(values[i].name, "default") == 0;
		assert_int_equal(values[i].packets, used ? 7 : 0);
		assert_int_equal(values[i].bytes, used ? 700 : 0);
	}
	assert_int_equal(run("nft flush ruleset"), 0);
	state_free(&state);
	kit_close(&kit);
}

#define PARAMETER "net.ipv4.conf.lo.rp_filter"

static void expect_parameter(const char *value)
{
	char text[16] = "";
	FILE *file = fopen("/proc/sys/net/ipv4/conf/lo/rp_filter", "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	assert_string_equal(text, value);
}

static void system_parameters_follow_the_batch(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	struct state *state = nft_sample(0), *observed;
	struct sysctl wanted[] = {{PARAMETER, "2"}, {"net.ipv4.conf.none0/100.rp_filter", "1"}};
	state->sysctls = wanted;
	state->sysctl_count = 1;
	assert_int_equal(run("echo 0 > /proc/sys/net/ipv4/conf/lo/rp_filter"), 0);
	/* A wrong step later: the parameter goes back. */
	struct steps steps = plan(&kit, state, &observed);
	struct step *items = arena_array(kit.arena, steps.count + 1, struct step);
	memcpy(items, steps.items, steps.count * sizeof(*items));
	items[steps.count] = (struct step){.kind = STEP_DELETE_CHAIN, .chain = &nowhere};
	struct steps bad = {.items = items, .count = steps.count + 1};
	struct commit_error error = {0};
	assert_int_equal(kit.kernel->ops->commit(kit.kernel, &bad, &error), -ENOENT);
	expect_parameter("0");
	state_free(&observed);
	apply_well(&kit, state);
	expect_parameter("2");
	assert_in_force(&kit, state);
	/* One that is not there is blamed, and what came before it is put back. */
	wanted[0].value = "1";
	state->sysctl_count = 2;
	assert_int_equal(apply(&kit, state, &error), -ENOENT);
	assert_int_equal(error.step->kind, STEP_SET_SYSCTL);
	assert_ptr_equal(error.step->sysctl, &wanted[1]);
	expect_parameter("2");
	/* No name leads out of /proc/sys. */
	static const char *const names[] = {"", ".", "..", "net.//.passwd", "net./.x", ".net", "net..ipv4"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		wanted[1].name = names[i];
		assert_int_equal(apply(&kit, state, &error), -EINVAL);
	}
	assert_int_equal(run("nft flush ruleset"), 0);
	state_free(&state);
	kit_close(&kit);
}

static bool wait_readable(int fd, int milliseconds)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	return poll(&wait, 1, milliseconds) == 1;
}

static void the_monitor_tells_own_from_foreign(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	struct monitor *monitor;
	kit_open(&kit, -1);
	struct state *state = nft_sample(STATE_HASHED_ABOVE + 1);
	state->owner = kernel_has_owner_persist(kit.kernel);
	assert_int_equal(monitor_open(kit.kernel, &monitor), 0);
	assert_int_equal(monitor_read(monitor), MONITOR_NOTHING);
	apply_well(&kit, state);
	assert_true(wait_readable(monitor_fd(monitor), 1000));
	assert_int_equal(monitor_read(monitor), MONITOR_OWN);
	assert_int_equal(monitor_read(monitor), MONITOR_NOTHING);
	assert_int_equal(run("nft add table ip other"), 0);
	assert_true(wait_readable(monitor_fd(monitor), 1000));
	assert_int_equal(monitor_read(monitor), MONITOR_NOTHING);
	state->owner = false;
	struct state *none = state_new();
	apply_well(&kit, none);
	apply_well(&kit, state);
	assert_int_equal(monitor_read(monitor), MONITOR_OWN);
	assert_int_equal(run("nft add rule inet edged input accept"), 0);
	assert_true(wait_readable(monitor_fd(monitor), 1000));
	assert_int_equal(monitor_read(monitor), MONITOR_FOREIGN);
	apply_well(&kit, state);
	assert_int_equal(run("nft delete table inet edged"), 0);
	assert_int_equal(monitor_read(monitor), MONITOR_FOREIGN);
	assert_int_equal(monitor_read(monitor), MONITOR_NOTHING);
	/* While it does not listen. */
	apply_well(&kit, state);
	assert_int_equal(monitor_read(monitor), MONITOR_OWN);
	monitor_pause(monitor);
	assert_int_equal(run("nft add rule inet edged input accept"), 0);
	monitor_resume(monitor);
	assert_true(wait_readable(monitor_fd(monitor), 1000));
	assert_int_equal(monitor_read(monitor), MONITOR_FOREIGN);
	apply_well(&kit, state);
	assert_int_equal(monitor_read(monitor), MONITOR_OWN);
	assert_int_equal(run("nft delete table inet edged"), 0);
	assert_int_equal(monitor_read(monitor), MONITOR_FOREIGN);
	/* More than the socket holds. */
	assert_int_equal(run("(echo 'table inet edged { set s { type mark; elements = {'; seq -s, 1 400000; echo '}'; echo '}';"
			     "echo '}') | nft -f -"), 0);
	enum monitor_change change = monitor_read(monitor);
	assert_true(change == MONITOR_LOST || change == MONITOR_FOREIGN);
	monitor_close(&monitor);
	assert_null(monitor);
	assert_int_equal(run("nft flush ruleset"), 0);
	state_free(&none);
	state_free(&state);
	kit_close(&kit);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
	(void)signal;
	alarms++;
}

/* Signals all the time: every call still comes to its end, and to the right one. */
static void interrupted_calls_are_made_again(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	struct state *state = nft_sample(5000), *none = state_new();
	struct sigaction action = {.sa_handler = on_alarm}, former;
	struct itimerval often = {{0, 200}, {0, 200}}, never = {0};
	assert_int_equal(sigaction(SIGALRM, &action, &former), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (int i = 0; i < 20; i++) {
		apply_well(&kit, state);
		assert_in_force(&kit, state);
		apply_well(&kit, none);
	}
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &former, NULL), 0);
	assert_true(alarms > 20);
	state_free(&none);
	state_free(&state);
	kit_close(&kit);
}

/* Somebody changes things all the time: an observation is of one generation, or there is none. */
static void a_state_is_of_one_moment(void **context)
{
	(void)context;
	NEEDS_ROOT();
	struct kit kit;
	kit_open(&kit, -1);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		execlp("sh", "sh", "-c",
		       "i=0; while [ $i -lt 400 ]; do nft 'table inet edged { chain a { jump b; } ; chain b { accept; } ; }';"
		       "nft delete table inet edged; i=$((i+1)); done", NULL);
		_exit(127);
	}
	int seen = 0, refused = 0, status = 0;
	while (waitpid(child, &status, WNOHANG) == 0) {
		struct state *state;
		int rc = kit.kernel->ops->observe(kit.kernel, NULL, &state);
		assert_true(rc == 0 || rc == -EAGAIN);
		if (rc < 0) {
			refused++;
			continue;
		}
		if (state->present) {
			assert_int_equal(state->chain_count, 2);
			assert_int_equal(state->chains[0].rule_count, 1);
			assert_int_equal(state->chains[1].rule_count, 1);
			seen++;
		}
		state_free(&state);
	}
	assert_int_equal(status, 0);
	assert_true(seen > 0);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_applied_is_read_back, fresh_namespace),
		cmocka_unit_test_setup(nft_prints_it_sensibly, fresh_namespace),
		cmocka_unit_test_setup(a_refused_step_changes_nothing_wherever_it_is, fresh_namespace),
		cmocka_unit_test_setup(many_errors_tell_the_first, fresh_namespace),
		cmocka_unit_test_setup(a_foreign_change_in_between_is_noticed, fresh_namespace),
		cmocka_unit_test_setup(foreign_things_are_removed, fresh_namespace),
		cmocka_unit_test_setup(large_sets_are_compared_by_their_hash, fresh_namespace),
		cmocka_unit_test_setup(another_tool_cannot_flush_an_owned_table, fresh_namespace),
		cmocka_unit_test_setup(the_probe_leaves_nothing, fresh_namespace),
		cmocka_unit_test_setup(only_a_netfilter_socket_is_taken_over, fresh_namespace),
		cmocka_unit_test_setup(dynamic_elements_come_and_go, fresh_namespace),
		cmocka_unit_test_setup(a_timed_element_that_runs_out_means_read_again, fresh_namespace),
		cmocka_unit_test_setup(counters_count, fresh_namespace),
		cmocka_unit_test_setup(system_parameters_follow_the_batch, fresh_namespace),
		cmocka_unit_test_setup(the_monitor_tells_own_from_foreign, fresh_namespace),
		cmocka_unit_test_setup(interrupted_calls_are_made_again, fresh_namespace),
		cmocka_unit_test_setup(a_state_is_of_one_moment, fresh_namespace),
	};
	return cmocka_run_group_tests_name("nft_kernel", tests, NULL, NULL);
}
