/* Which data plane serves a forward: what via asks for, what the kernel can do
 * for a family of clients, and where the header programs are attached. */
#include "ask_help.h"

#include "../../rules/state/compile.h"

#include <string.h>

static const char yaml[] =
	"version: 1\n"
	"interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }\n"
	"nodes:\n"
	"  a: { address: 192.0.2.11 }\n"
	"  b: { address: 198.18.88.13, tunnel: wg0 }\n"
	"  c: { address: \"2001:db8::13\" }\n"
	"pools:\n"
	"  both: { nodes: [a, b] }\n"
	"  near: { nodes: [a] }\n"
	"  least: { nodes: [a], balance: least_connections }\n"
	"  six: { nodes: [c] }\n"
	"  blind: { nodes: [b], health: { check: none } }\n"
	"wireguard:\n"
	"  wg0:\n"
	"    listen: 51820\n"
	"    address: 198.18.88.1/24\n"
	"    peers: { b: { public_key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=, allowed_ips: [198.18.88.13/32] } }\n"
	"forwards:\n"
	"  auto: { listen: 1, to: \"both:1\", proxy_protocol: v2, reason: r }\n"
	"  plain: { listen: 2, to: \"both:1\", reason: r }\n"
	"  kernel: { listen: 3, to: \"both:1\", proxy_protocol: v1, via: kernel, reason: r }\n"
	"  proxy: { listen: 4, to: \"both:1\", via: proxy, reason: r }\n"
	"  least: { listen: 5, to: \"least:1\", reason: r }\n"
	"  six: { listen: 6, to: \"six:1\", reason: r }\n"
	"  near: { listen: 7, to: \"near:1\", proxy_protocol: v2, reason: r }\n"
	"  udp: { listen: 8/udp, to: \"both:1\", reason: r }\n";

static const struct header_device lan_and_tunnel[] = {{"ens4", 4}, {"wg0", 9}};

static int setup(void **state)
{
	static struct ask_fixture fixture;
	*state = &fixture;
	return ask_fixture_load(&fixture, yaml, NULL);
}

static int teardown(void **state)
{
	ask_fixture_free(*state);
	return 0;
}

#define CHECK(name, family, due, text) check(*state, __LINE__, name, family, due, text)

static void check(struct ask_fixture *f, int line, const char *name, enum family family, enum plane due, const char *why)
{
	const struct forward *forward = model_find_forward(f->model, name);
	struct plane_choice choice = compile_plane(f->model, &f->run, forward, family);
	if (choice.plane != due || !strstr(choice.why, why))
		fail_msg("%s:%d: %s IPv%d: plane %d (%s), due is %d (%s)", __FILE__, line, name, (int)family,
			 (int)choice.plane, choice.why, (int)due, why);
}

static void attach(struct ask_fixture *f, size_t count)
{
	f->run.header_devices = lan_and_tunnel;
	f->run.header_device_count = count;
}

static void a_dead_tunnel_cuts_its_nodes_off(void **state)
{
	struct ask_fixture *f = *state;
	const struct node *node = model_find_node(f->model, "b");
	const struct pool *blind = NULL;
	for (size_t i = 0; i < f->model->pool_count; i++)
		if (strcmp(f->model->pools[i].name, "blind") == 0)
			blind = &f->model->pools[i];
	assert_non_null(blind);
	struct peer_run peer = {.peer = "b"};
	const struct tunnel_run tunnel = {.tunnel = "wg0", .peers = &peer, .peer_count = 1};
	struct rundata run = {.has_tunnels = true, .tunnels = &tunnel, .tunnel_count = 1};
	assert_true(compile_backend_usable(&run, blind, node, 1));
	peer.dead = true;
	assert_false(compile_backend_usable(&run, blind, node, 1));
	run.tunnel_count = 0;
	assert_true(compile_backend_usable(&run, blind, node, 1));
}

static void without_backends_nothing_is_served(void **state)
{
	attach(*state, 2);
	CHECK("auto", FAMILY_V4, PLANE_NONE, "no backend is up");
	CHECK("kernel", FAMILY_V4, PLANE_NONE, "no backend is up");
	CHECK("proxy", FAMILY_V4, PLANE_NONE, "no backend is up");
}

static void what_needs_no_header_needs_no_programs(void **state)
{
	ask_fixture_up(*state, "a", 1);
	ask_fixture_up(*state, "b", 1);
	ask_fixture_up(*state, "c", 1);
	CHECK("plain", FAMILY_V4, PLANE_KERNEL, "the kernel can serve it");
	CHECK("udp", FAMILY_V4, PLANE_KERNEL, "udp");
	CHECK("udp", FAMILY_V6, PLANE_NONE, "no node of the client's family");
	CHECK("proxy", FAMILY_V4, PLANE_PROXY, "via: proxy");
	CHECK("least", FAMILY_V4, PLANE_PROXY, "least_connections");
	CHECK("six", FAMILY_V6, PLANE_KERNEL, "can serve");
	CHECK("six", FAMILY_V4, PLANE_PROXY, "client's family");
	CHECK("plain", FAMILY_V6, PLANE_PROXY, "client's family");
}

static void a_header_needs_programs_on_every_nodes_device(void **state)
{
	struct ask_fixture *f = *state;
	ask_fixture_up(f, "a", 1);
	f->run.header_why = "this kernel lacks what is needed";
	CHECK("auto", FAMILY_V4, PLANE_PROXY, "this kernel lacks");
	CHECK("kernel", FAMILY_V4, PLANE_NONE, "this kernel lacks");
	f->run.header_why = NULL;
	CHECK("auto", FAMILY_V4, PLANE_PROXY, "not attached");
	attach(f, 1);
	CHECK("auto", FAMILY_V4, PLANE_KERNEL, "can serve");
	ask_fixture_up(f, "b", 1);
	CHECK("auto", FAMILY_V4, PLANE_PROXY, "not attached");
	CHECK("near", FAMILY_V4, PLANE_KERNEL, "can serve");
	attach(f, 2);
	CHECK("auto", FAMILY_V4, PLANE_KERNEL, "can serve");
}

/* Asked for, the kernel serves by the nodes that it reaches, and nothing else ever does. */
static void via_kernel_is_never_served_otherwise(void **state)
{
	struct ask_fixture *f = *state;
	ask_fixture_up(f, "a", 1);
	ask_fixture_up(f, "b", 1);
	CHECK("kernel", FAMILY_V4, PLANE_NONE, "not attached");
	attach(f, 1);
	CHECK("kernel", FAMILY_V4, PLANE_KERNEL, "via: kernel");
	const struct forward *forward = model_find_forward(f->model, "kernel");
	assert_true(compile_kernel_backend(f->model, &f->run, forward, forward->pool->nodes[0], FAMILY_V4));
	assert_false(compile_kernel_backend(f->model, &f->run, forward, forward->pool->nodes[1], FAMILY_V4));
	assert_false(compile_kernel_backend(f->model, &f->run, forward, forward->pool->nodes[0], FAMILY_V6));
	CHECK("kernel", FAMILY_V6, PLANE_NONE, "client's family");
}

#define PLANE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLANE_TEST(a_dead_tunnel_cuts_its_nodes_off),
		PLANE_TEST(without_backends_nothing_is_served),
		PLANE_TEST(what_needs_no_header_needs_no_programs),
		PLANE_TEST(a_header_needs_programs_on_every_nodes_device),
		PLANE_TEST(via_kernel_is_never_served_otherwise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
