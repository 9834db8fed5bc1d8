/* The real kernel_ops while things happen: packets' elements, counters, system
 * parameters, signals, the monitor, somebody who changes things all the time. */
#include "../../daemon/kernel/nft_monitor.h"
#include "nft_kit.h"
#include "nft_sample.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* A chain that is never there. */
static const struct chain nowhere = {.name = "nowhere"};

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
	kit_apply_well(&kit, state);
	assert_int_equal(kit.kernel->ops->dynamic_elements(kit.kernel, "bans4", kit.arena, &elements, &count), 0);
	assert_int_equal(count, 0);
	assert_int_equal(kit_run("nft 'add element inet edged bans4 { 192.0.2.1 timeout 1h, 192.0.2.2 }'"), 0);
	kit_in_force(&kit, state);
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
	kit_apply_well(&kit, state);
	assert_int_equal(kit.kernel->ops->dynamic_elements(kit.kernel, "bans4", kit.arena, &elements, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(kit_run("nft flush ruleset"), 0);
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
	kit_apply_well(&kit, state);
	struct state *without = nft_sample(0);
	for (size_t i = 0; i < without->set_count; i++) {
		if (strcmp(without->sets[i].name, "banned6") == 0) {
			without->sets[i].elements++;
			without->sets[i].element_count--;
		}
	}
	struct steps steps = kit_plan(&kit, without, &observed);
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
	kit_apply_well(&kit, without);
	kit_in_force(&kit, without);
	assert_int_equal(kit_run("nft flush ruleset"), 0);
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
	kit_apply_well(&kit, state);
	assert_int_equal(kit_run("nft delete counter inet edged default 2>/dev/null"), 1); /* rules use it */
	assert_int_equal(kit_run("nft 'flush chain inet edged fresh; delete counter inet edged default;"
			     "add counter inet edged default { packets 7 bytes 700 }'"), 0);
	kit_apply_well(&kit, state);
	kit_in_force(&kit, state);
	assert_int_equal(kit.kernel->ops->counters(kit.kernel, kit.arena, &values, &count), 0);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		bool used = strcmp(values[i].name, "default") == 0;
		assert_int_equal(values[i].packets, used ? 7 : 0);
		assert_int_equal(values[i].bytes, used ? 700 : 0);
	}
	assert_int_equal(kit_run("nft flush ruleset"), 0);
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
	assert_int_equal(kit_run("echo 0 > /proc/sys/net/ipv4/conf/lo/rp_filter"), 0);
	/* A wrong step later: the parameter goes back. */
	struct steps steps = kit_plan(&kit, state, &observed);
	struct step *items = arena_array(kit.arena, steps.count + 1, struct step);
	memcpy(items, steps.items, steps.count * sizeof(*items));
	items[steps.count] = (struct step){.kind = STEP_DELETE_CHAIN, .chain = &nowhere};
	struct steps bad = {.items = items, .count = steps.count + 1};
	struct commit_error error = {0};
	assert_int_equal(kit.kernel->ops->commit(kit.kernel, &bad, &error), -ENOENT);
	expect_parameter("0");
	state_free(&observed);
	kit_apply_well(&kit, state);
	expect_parameter("2");
	kit_in_force(&kit, state);
	/* One that is not there is blamed, and what came before it is put back. */
	wanted[0].value = "1";
	state->sysctl_count = 2;
	assert_int_equal(kit_apply(&kit, state, &error), -ENOENT);
	assert_int_equal(error.step->kind, STEP_SET_SYSCTL);
	assert_ptr_equal(error.step->sysctl, &wanted[1]);
	expect_parameter("2");
	/* No name leads out of /proc/sys. */
	static const char *const names[] = {"", ".", "..", "net.//.passwd", "net./.x", ".net", "net..ipv4"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		wanted[1].name = names[i];
		assert_int_equal(kit_apply(&kit, state, &error), -EINVAL);
	}
	assert_int_equal(kit_run("nft flush ruleset"), 0);
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
	kit_apply_well(&kit, state);
	assert_true(wait_readable(monitor_fd(monitor), 1000));
	assert_int_equal(monitor_read(monitor), MONITOR_OWN);
	assert_int_equal(monitor_read(monitor), MONITOR_NOTHING);
	assert_int_equal(kit_run("nft add table ip other"), 0);
	assert_true(wait_readable(monitor_fd(monitor), 1000));
	assert_int_equal(monitor_read(monitor), MONITOR_NOTHING);
	state->owner = false;
	struct state *none = state_new();
	kit_apply_well(&kit, none);
	kit_apply_well(&kit, state);
	assert_int_equal(monitor_read(monitor), MONITOR_OWN);
	assert_int_equal(kit_run("nft add rule inet edged input accept"), 0);
	assert_true(wait_readable(monitor_fd(monitor), 1000));
	assert_int_equal(monitor_read(monitor), MONITOR_FOREIGN);
	kit_apply_well(&kit, state);
	assert_int_equal(kit_run("nft delete table inet edged"), 0);
	assert_int_equal(monitor_read(monitor), MONITOR_FOREIGN);
	assert_int_equal(monitor_read(monitor), MONITOR_NOTHING);
	/* While it does not listen. */
	kit_apply_well(&kit, state);
	assert_int_equal(monitor_read(monitor), MONITOR_OWN);
	monitor_pause(monitor);
	assert_int_equal(kit_run("nft add rule inet edged input accept"), 0);
	monitor_resume(monitor);
	assert_true(wait_readable(monitor_fd(monitor), 1000));
	assert_int_equal(monitor_read(monitor), MONITOR_FOREIGN);
	kit_apply_well(&kit, state);
	assert_int_equal(monitor_read(monitor), MONITOR_OWN);
	assert_int_equal(kit_run("nft delete table inet edged"), 0);
	assert_int_equal(monitor_read(monitor), MONITOR_FOREIGN);
	/* More than the socket holds. */
	int small = 4096;
	assert_int_equal(setsockopt(monitor_fd(monitor), SOL_SOCKET, SO_RCVBUFFORCE, &small, sizeof(small)), 0);
	assert_int_equal(kit_run("(echo 'table inet edged { set s { type mark; elements = {'; seq -s, 1 5000;"
				 "echo '}'; echo '}'; echo '}') | nft -f -"), 0);
	assert_int_equal(monitor_read(monitor), MONITOR_LOST);
	assert_int_equal(monitor_read(monitor), MONITOR_NOTHING);
	monitor_close(&monitor);
	assert_null(monitor);
	assert_int_equal(kit_run("nft flush ruleset"), 0);
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
		kit_apply_well(&kit, state);
		kit_in_force(&kit, state);
		kit_apply_well(&kit, none);
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
		cmocka_unit_test_setup(dynamic_elements_come_and_go, kit_namespace),
		cmocka_unit_test_setup(a_timed_element_that_runs_out_means_read_again, kit_namespace),
		cmocka_unit_test_setup(counters_count, kit_namespace),
		cmocka_unit_test_setup(system_parameters_follow_the_batch, kit_namespace),
		cmocka_unit_test_setup(the_monitor_tells_own_from_foreign, kit_namespace),
		cmocka_unit_test_setup(interrupted_calls_are_made_again, kit_namespace),
		cmocka_unit_test_setup(a_state_is_of_one_moment, kit_namespace),
	};
	return cmocka_run_group_tests_name("nft_live", tests, NULL, NULL);
}
