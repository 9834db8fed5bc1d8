/* Tunnels from the model to a fake kernel through the engine: the diff, what is
 * written and what is not, faults at every step, foreign changes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../daemon/engine.h"
#include "../../rules/state/compile.h"
#include "fake_kernel.h"
#include "fake_tunnels.h"
#include "model_help.h"

#define NOW 1700000000u
#define HEAD "version: 1\ninterfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }\nwireguard:\n"
#define WG0_HEAD "  wg0:\n    listen: 51820\n    address: [198.18.88.1/24, \"2001:db8:88::1/64\"]\n    peers:\n"
#define ONE "      one: { public_key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=, allowed_ips: ["
#define TWO "      two: { public_key: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=, allowed_ips: ["

static const char small[] = HEAD WG0_HEAD ONE "198.18.88.13/32], keepalive: 25s, endpoint: \"198.51.100.1:51820\" }\n";
static const char large[] = HEAD WG0_HEAD ONE "198.18.88.13/32, 198.18.100.0/24], preshared_key: true }\n" TWO
					      "\"2001:db8:100::/64\"], endpoint: \"[2001:db8::9]:1\" }\n"
					      "  wg1: { listen: 51821, address: 198.18.90.1/24, mtu: 1300 }\n";

struct setting {
	struct arena *arena;
	struct kernel *kernel;
	struct tunnel_kernel *tunnels;
	struct runtime *runtime;
	struct engine *engine;
	struct peer_run peers[2];
	struct tunnel_run runs[2];
};

static int set_up(void **state)
{
	struct setting *s = calloc(1, sizeof(*s));
	s->arena = arena_new();
	s->kernel = fake_kernel_new();
	s->tunnels = fake_tunnels_new();
	s->runtime = runtime_new();
	s->engine = engine_new(s->kernel, s->runtime);
	engine_use_tunnels(s->engine, s->tunnels);
	s->peers[0] = (struct peer_run){.peer = "one", .preshared = {1}};
	s->peers[1] = (struct peer_run){.peer = "two"};
	s->runs[0] = (struct tunnel_run){.tunnel = "wg0", .public_key = {10}, .peers = s->peers, .peer_count = 2};
	s->runs[1] = (struct tunnel_run){.tunnel = "wg1", .public_key = {11}};
	runtime_set_tunnels(s->runtime, s->runs, 2);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct setting *s = *state;
	engine_free(&s->engine);
	runtime_free(&s->runtime);
	s->kernel->ops->close(&s->kernel);
	s->tunnels->ops->close(&s->tunnels);
	arena_free(&s->arena);
	free(s);
	return 0;
}

static struct model *load(struct setting *s, const char *text)
{
	char *told;
	struct model *model = NULL;
	int r = test_load_text(s->arena, text, &told, &model);
	if (r != 0)
		print_message("%s", told);
	assert_int_equal(r, 0);
	return model;
}

static struct engine_report apply(struct setting *s, const char *text, int expected)
{
	struct engine_report report;
	struct model *model = load(s, text);
	int r = engine_apply(s->engine, &model, NOW, s->arena, &report);
	if (r != expected)
		print_message("%d: %s\n", r, report.error ? report.error : "no error");
	assert_int_equal(r, expected);
	model_free(&model);
	return report;
}

static size_t planned(struct setting *s, const char *text)
{
	struct engine_report report;
	struct model *model = load(s, text);
	assert_int_equal(engine_plan(s->engine, model, NOW, s->arena, &report), 0);
	model_free(&model);
	for (size_t i = 0; i < report.step_count; i++)
		print_message("%s\n", report.steps[i]);
	return report.step_count;
}

static struct tunnel_state *device(struct setting *s, const char *name)
{
	size_t count;
	struct tunnel_state *items = fake_tunnels_items(s->tunnels, &count);
	for (size_t i = 0; i < count; i++)
		if (strcmp(items[i].name, name) == 0)
			return &items[i];
	return NULL;
}

static void a_second_apply_writes_nothing(void **state)
{
	struct setting *s = *state;
	assert_true(apply(s, large, 0).step_count > 0);
	assert_int_equal(planned(s, large), 0);
	const struct tunnel_state *wg0 = device(s, "wg0");
	assert_int_equal(wg0->peer_count, 2);
	assert_int_equal(wg0->route_count, 2);
	assert_int_equal(wg0->address_count, 2);
	assert_int_equal(wg0->mtu, TUNNEL_DEFAULT_MTU);
	assert_true(wg0->up);
	assert_int_equal(device(s, "wg1")->mtu, 1300);
	size_t commits = fake_tunnels_commits(s->tunnels);
	apply(s, large, 0);
	assert_int_equal(fake_tunnels_commits(s->tunnels), commits);
}

static void what_is_removed_is_removed(void **state)
{
	struct setting *s = *state;
	apply(s, large, 0);
	apply(s, small, 0);
	const struct tunnel_state *wg0 = device(s, "wg0");
	assert_null(device(s, "wg1"));
	assert_int_equal(wg0->peer_count, 1);
	assert_true(tunnel_key_is_zero(wg0->peers[0].preshared));
	assert_int_equal(wg0->peers[0].keepalive, 25);
	assert_int_equal(wg0->route_count, 0);
	apply(s, large, 0);
	assert_int_equal(device(s, "wg0")->peers[0].keepalive, 0);
	struct engine_report report;
	assert_int_equal(engine_flush(s->engine, s->arena, &report), 0);
	assert_null(device(s, "wg0"));
}

static bool plans(struct setting *s, const char *what)
{
	struct engine_report report;
	struct model *model = load(s, large);
	assert_int_equal(engine_plan(s->engine, model, NOW, s->arena, &report), 0);
	model_free(&model);
	for (size_t i = 0; i < report.step_count; i++)
		if (strncmp(report.steps[i], what, strlen(what)) == 0)
			return true;
	return false;
}

/* The next slot beside the one in force, one peer moved to it, then the end; at each a second look writes nothing. */
static void new_keys_have_a_device_of_their_own(void **state)
{
	struct setting *s = *state;
	apply(s, large, 0);
	uint8_t configured[32];
	memcpy(configured, device(s, "wg0")->peers[0].public_key, 32);
	s->runs[0].next = (struct tunnel_slot){.device = "wg0-2", .listen = 51822, .public_key = {20}};
	s->peers[0].next = (struct peer_keys){.known = true, .public_key = {30}, .preshared = {2}};
	memcpy(s->peers[0].configured, configured, 32);
	runtime_set_tunnels(s->runtime, s->runs, 2);
	apply(s, large, 0);
	assert_int_equal(planned(s, large), 0);
	const struct tunnel_state *old = device(s, "wg0"), *next = device(s, "wg0-2");
	assert_true(next->listen == 51822 && next->up && next->public_key[0] == 20);
	assert_int_equal(next->peer_count, 1);
	assert_true(next->peers[0].public_key[0] == 30 && next->peers[0].preshared[0] == 2);
	assert_true(tunnel_prefixes_equal(next->addresses, next->address_count, old->addresses, old->address_count));
	/* Those that no network covers, and while there are two devices all others too. */
	assert_int_equal(old->route_count, 3);
	assert_int_equal(next->route_count, 0);

	/* It moves: its routes are replaced, and at no time is there none. */
	s->peers[0].moved = true;
	runtime_set_tunnels(s->runtime, s->runs, 2);
	assert_true(plans(s, "add route"));
	assert_false(plans(s, "delete route"));
	apply(s, large, 0);
	assert_int_equal(planned(s, large), 0);
	assert_int_equal(device(s, "wg0")->route_count, 1);
	assert_int_equal(device(s, "wg0-2")->route_count, 2);

	s->runs[0].device = "wg0-2";
	s->runs[0].listen = 51822;
	s->runs[0].public_key[0] = 20;
	s->runs[0].next = (struct tunnel_slot){0};
	s->peers[0].public_key[0] = 30;
	s->peers[0].preshared[0] = 2;
	s->peers[0].moved = false;
	runtime_set_tunnels(s->runtime, s->runs, 2);
	apply(s, large, 0);
	assert_int_equal(planned(s, large), 0);
	assert_null(device(s, "wg0"));
	assert_int_equal(device(s, "wg0-2")->peer_count, 2);
	assert_int_equal(device(s, "wg0-2")->route_count, 2);
}

static void a_peer_that_roamed_keeps_its_address(void **state)
{
	struct setting *s = *state;
	apply(s, small, 0);
	struct tunnel_peer *peer = (struct tunnel_peer *)(uintptr_t)device(s, "wg0")->peers;
	peer->endpoint.bytes[3] = 99;
	peer->endpoint_port = 4;
	assert_int_equal(planned(s, small), 0);
	s->peers[0].dead = true;
	assert_int_equal(planned(s, small), 1);
	struct engine_report report;
	assert_int_equal(engine_refresh(s->engine, NOW, s->arena, &report), 0);
	assert_int_equal(device(s, "wg0")->peers[0].endpoint.bytes[3], 1);
	assert_int_equal(device(s, "wg0")->peers[0].endpoint_port, 51820);
}

/* One that calls us is known again at once by each device that is made anew, by where that one saw it. */
static void a_device_made_anew_knows_where_its_peers_were(void **state)
{
	struct setting *s = *state;
	struct engine_report report;
	s->runs[0].next = (struct tunnel_slot){.device = "wg0-2", .listen = 51822, .public_key = {20}};
	s->peers[0].next = (struct peer_keys){.known = true, .preshared = {2}};
	s->peers[0].moved = true;
	runtime_set_tunnels(s->runtime, s->runs, 2);
	apply(s, large, 0);
	for (uint8_t i = 0; i < 2; i++) {
		s->peers[0].seen[i] = (struct addr){.family = FAMILY_V4, .bytes = {198, 51, 100, (uint8_t)(7 + i)}};
		s->peers[0].seen_port[i] = (uint16_t)(1000 + i);
	}
	runtime_set_tunnels(s->runtime, s->runs, 2);
	device(s, "wg0")->broken = device(s, "wg0-2")->broken = true;
	assert_int_equal(engine_refresh(s->engine, NOW, s->arena, &report), 0);
	assert_int_equal(device(s, "wg0-2")->peers[0].endpoint.bytes[3], 8);
	assert_int_equal(device(s, "wg0-2")->peers[0].endpoint_port, 1001);
	const struct tunnel_peer *old = tunnel_find_peer(device(s, "wg0"), device(s, "wg0-2")->peers[0].public_key);
	assert_int_equal(old->endpoint.bytes[3], 7);
	assert_int_equal(old->endpoint_port, 1000);
}

static void another_endpoint_in_the_file_is_written(void **state)
{
	struct setting *s = *state;
	static const char other[] = HEAD WG0_HEAD ONE "198.18.88.13/32], keepalive: 25s, endpoint: \"198.51.100.2:51820\" }\n";
	apply(s, small, 0);
	apply(s, other, 0);
	assert_int_equal(device(s, "wg0")->peers[0].endpoint.bytes[3], 2);
}

static void a_fault_at_every_step_changes_nothing(void **state)
{
	struct setting *s = *state;
	apply(s, small, 0);
	for (size_t step = 1;; step++) {
		fake_tunnels_fail_at(s->tunnels, step, -EIO);
		struct engine_report report;
		struct model *model = load(s, large);
		int r = engine_apply(s->engine, &model, NOW, s->arena, &report);
		model_free(&model);
		if (r == 0) {
			assert_true(step > 8);
			break;
		}
		assert_int_equal(r, -EIO);
		assert_non_null(strstr(report.error, "tunnel wg"));
		assert_true(report.at.line > 0);
		assert_true(engine_in_sync(s->engine));
		assert_int_equal(planned(s, small), 0);
	}
	assert_int_equal(planned(s, large), 0);
}

static void one_that_cannot_be_had_keeps_no_other(void **state)
{
	struct setting *s = *state;
	fake_tunnels_refuse(s->tunnels, "wg0");
	engine_tolerate_tunnels(s->engine, true);
	struct engine_report report = apply(s, large, 0);
	assert_non_null(report.tunnel_error);
	assert_null(device(s, "wg0"));
	assert_true(device(s, "wg1")->up);
	assert_false(engine_in_sync(s->engine));
	fake_tunnels_refuse(s->tunnels, NULL);
	assert_true(engine_tunnels_differ(s->engine));
	assert_int_equal(engine_refresh(s->engine, NOW, s->arena, &report), 0);
	assert_null(report.tunnel_error);
	assert_true(engine_in_sync(s->engine));
	assert_int_equal(device(s, "wg0")->peer_count, 2);
}

static void somebody_elses_device_is_left_alone(void **state)
{
	struct setting *s = *state;
	apply(s, large, 0);
	struct tunnel_state *wg1 = device(s, "wg1");
	wg1->foreign = true;
	assert_int_equal(planned(s, large), 1); /* with our key it is ours: marked again */
	memset(wg1->public_key, 77, TUNNEL_KEY_SIZE);
	struct engine_report report;
	assert_int_equal(engine_refresh(s->engine, NOW, s->arena, &report), 0);
	assert_non_null(report.tunnel_error);
	assert_int_equal(device(s, "wg1")->public_key[0], 77);
}

static void a_broken_device_is_made_anew(void **state)
{
	struct setting *s = *state;
	apply(s, large, 0);
	uint32_t index = device(s, "wg0")->index;
	device(s, "wg0")->broken = true;
	assert_true(engine_tunnels_differ(s->engine));
	struct engine_report report;
	assert_int_equal(engine_refresh(s->engine, NOW, s->arena, &report), 0);
	assert_true(device(s, "wg0")->index != index);
	assert_int_equal(planned(s, large), 0);
}

static void the_devices_that_exist_are_listed(void **state)
{
	struct setting *s = *state;
	struct tunnel_device devices[2] = {0};
	assert_int_equal(tunnel_devices(engine_tunnels(s->engine, true), devices, 2), 0);
	apply(s, large, 0);
	assert_int_equal(tunnel_devices(engine_tunnels(s->engine, false), devices, 1), 2);
	assert_string_equal(devices[0].name, "wg0");
	assert_int_equal(devices[0].index, device(s, "wg0")->index);
	assert_null(devices[1].name);
	device(s, "wg0")->broken = true;
	assert_int_equal(tunnel_devices(engine_tunnels(s->engine, true), devices, 2), 1);
	assert_string_equal(devices[0].name, "wg1");
}

static void no_secret_is_printed(void **state)
{
	struct setting *s = *state;
	struct model *model = load(s, large);
	cleanup_state struct state *desired = NULL;
	assert_int_equal(compile_state(model, runtime_view(s->runtime, NOW), &desired), 0);
	const char *text = state_print(desired, s->arena);
	assert_non_null(strstr(text, "tunnel wg0 {"));
	assert_non_null(strstr(text, "preshared 01000000\n"));
	assert_non_null(strstr(text, "\troute 198.18.100.0/24, 2001:db8:100::/64\n"));
	assert_non_null(strstr(text, "endpoint [2001:db8::9]:1"));
	state_free(&desired);
	model_free(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_second_apply_writes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_removed_is_removed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(new_keys_have_a_device_of_their_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_peer_that_roamed_keeps_its_address, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_device_made_anew_knows_where_its_peers_were, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_endpoint_in_the_file_is_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_fault_at_every_step_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_cannot_be_had_keeps_no_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(somebody_elses_device_is_left_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_broken_device_is_made_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_devices_that_exist_are_listed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_secret_is_printed, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
