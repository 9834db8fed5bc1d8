/* The flowtable in the compiled ruleset: there when it is asked for and can be,
 * with the bans ahead of it, and gone where flows need the ruleset. */
#include "ask_help.h"

#include "../../rules/state/compile.h"

#include <string.h>

static const char yaml[] = "version: 1\n"
			   "flowtable: true\n"
			   "interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }\n"
			   "nodes: { a: { address: 192.0.2.11 } }\n"
			   "pools: { web: { nodes: [a], health: { check: none } } }\n"
			   "forwards:\n"
			   "  web: { listen: 443, to: \"web:30443\", proxy_protocol: v2,\n"
			   "         limits: { new_per_source: 5/second, ban: 10m }, reason: r }\n";

static const struct header_device both[] = {{"ens3", 2}, {"ens4", 3}}, lan[] = {{"ens4", 3}};
static const char rule[] = "\t\tiifname \"ens4\" oifname \"ens3\" ct state & established != 0 ct mark & 0x88000000 "
			   "0x80000000 flow add @offload comment \"from here on below the ruleset\"\n";

static int setup(void **state)
{
	static struct ask_fixture fixture;
	*state = &fixture;
	int r = ask_fixture_load(&fixture, yaml, NULL);
	fixture.run.flow_devices = both;
	fixture.run.flow_device_count = 2;
	fixture.run.header_devices = lan;
	fixture.run.header_device_count = 1;
	return r;
}

static int teardown(void **state)
{
	ask_fixture_free(*state);
	return 0;
}

static char *compiled(const struct ask_fixture *f, struct arena *arena)
{
	cleanup_state struct state *made = NULL;
	assert_int_equal(compile_state(f->model, &f->run, &made), 0);
	return state_print(made, arena);
}

static void bans_stand_ahead_of_it(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	const char *text = compiled(*state, arena);
	const char *flowtable = strstr(text, "\tflowtable offload {"), *chain = strstr(text, "\tchain ingress {\n");
	if (!flowtable || !chain || !strstr(text, " flow add @offload"))
		fail_msg("%s", text);
	assert_non_null(strstr(flowtable, "elements = { \"ens3\", \"ens4\" }"));
	assert_non_null(strstr(chain, "type filter hook ingress devices = { ens3, ens4 } priority -10; policy accept;"));
	const char *end = strstr(chain, "\t}\n"), *bans4 = strstr(chain, "@bans4"), *bans6 = strstr(chain, "@bans6");
	assert_true(bans4 && bans4 < end && bans6 && bans6 < end);
	if (!strstr(text, rule))
		fail_msg("no rule \"%s\" in:\n%s", rule, strstr(text, "\tchain forward"));
}

static void not_there_where_it_cannot_be(void **state)
{
	struct ask_fixture *f = *state;
	cleanup_arena struct arena *arena = arena_new();
	/* Flows that need the header programs, and these are gone: such flows must meet the ruleset, which drops them. */
	f->run.header_device_count = 0;
	assert_null(strstr(compiled(f, arena), "offload"));
	f->run.header_device_count = 1;
	/* This kernel has none; or a device is not there. */
	for (size_t count = 0; count < 2; count++) {
		f->run.flow_device_count = count;
		assert_null(strstr(compiled(f, arena), "offload"));
	}
	f->run.flow_device_count = 2;
	assert_non_null(strstr(compiled(f, arena), "offload"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bans_stand_ahead_of_it, setup, teardown),
		cmocka_unit_test_setup_teardown(not_there_where_it_cannot_be, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
