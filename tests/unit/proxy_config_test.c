/* The proxy's configuration: made from a model, to bytes and back, and every
 * kind of hostile bytes refused. */
#include "../../daemon/proxy/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct addr addr(const char *text)
{
	struct addr result;
	assert_int_equal(addr_parse(text, strlen(text), &result), 0);
	return result;
}

/* Two forwards with backends of both families, three listeners, one probe. */
static void fill(struct proxy_config *config, struct arena *arena)
{
	*config = (struct proxy_config){.generation = 77, .forward_count = 2, .listener_count = 3, .probe_count = 1};
	config->forwards = arena_array(arena, 2, struct proxy_forward);
	config->listeners = arena_array(arena, 3, struct proxy_listener);
	config->probes = arena_array(arena, 1, struct proxy_probe);
	struct proxy_backend *backends = arena_array(arena, 2, struct proxy_backend);
	backends[0] = (struct proxy_backend){.node = 0, .name = "k8s-1", .address = addr("192.0.2.11"), .usable = true};
	backends[1] = (struct proxy_backend){.node = 1, .name = "k8s-2", .address = addr("2001:db8::12")};
	config->forwards[0] = (struct proxy_forward){.name = "https", .header = PROXY_V2, .tlvs = TLV_BITS, .log = true,
						     .balance = BALANCE_SOURCE, .connect_timeout = 3000,
						     .idle_timeout = 3600000, .backends = backends, .backend_count = 2,
						     .target_port = 30443};
	config->forwards[1] = (struct proxy_forward){.name = "any", .header = PROXY_NONE,
						     .balance = BALANCE_LEAST_CONNECTIONS, .connect_timeout = 1,
						     .idle_timeout = 1, .backends = backends, .backend_count = 1};
	config->listeners[0] = (struct proxy_listener){.id = 1, .forward = 0, .port = 443};
	config->listeners[1] = (struct proxy_listener){.id = 9, .forward = 1, .address = addr("203.0.113.10"), .port = 8000};
	config->listeners[2] = (struct proxy_listener){.id = 10, .forward = PROXY_FORWARD_NONE, .port = 8000};
	config->probes[0] = (struct proxy_probe){
		.node = "k8s-1", .address = addr("192.0.2.11"), .port = 30443, .header = PROXY_V2, .up = true,
		.health = {.check = HEALTH_HTTP, .interval = 2000, .timeout = 1000, .rise = 2, .fall = 3, .path = "/healthz",
			   .status_first = 200, .status_last = 399}};
}

static int encode(const struct proxy_config *config, struct arena *arena, struct proxy_config **ret_config)
{
	cleanup_wire struct wire_writer writer = {0};
	proxy_config_encode(config, &writer);
	assert_false(writer.failed);
	return proxy_config_decode(writer.data, writer.length, arena, ret_config);
}

static void comes_back_as_it_was(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct proxy_config in, *out = NULL;
	fill(&in, arena);
	assert_int_equal(encode(&in, arena, &out), 0);
	assert_int_equal(out->generation, 77);
	assert_int_equal(out->forward_count, 2);
	assert_string_equal(out->forwards[0].name, "https");
	assert_int_equal(out->forwards[0].header, PROXY_V2);
	assert_int_equal(out->forwards[0].tlvs, TLV_BITS);
	assert_true(out->forwards[0].log && !out->forwards[1].log);
	assert_int_equal(out->forwards[0].balance, BALANCE_SOURCE);
	assert_int_equal(out->forwards[0].idle_timeout, 3600000);
	assert_int_equal(out->forwards[0].backend_count, 2);
	assert_true(addr_equal(&out->forwards[0].backends[1].address, &in.forwards[0].backends[1].address));
	assert_true(out->forwards[0].backends[0].usable);
	assert_false(out->forwards[0].backends[1].usable);
	assert_int_equal(out->forwards[1].target_port, 0);
	assert_int_equal(out->listener_count, 3);
	assert_true(addr_equal(&out->listeners[1].address, &in.listeners[1].address));
	assert_int_equal(out->listeners[2].forward, PROXY_FORWARD_NONE);
	assert_int_equal(out->probe_count, 1);
	assert_string_equal(out->probes[0].health.path, "/healthz");
	assert_null(out->probes[0].health.host);
	assert_true(out->probes[0].up);
}

static void nothing_is_a_configuration_too(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct proxy_config in = {.generation = 1}, *out = NULL;
	assert_int_equal(encode(&in, arena, &out), 0);
	assert_int_equal(out->forward_count, 0);
}

static void every_truncation_is_refused(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct proxy_config in, *out = NULL;
	fill(&in, arena);
	cleanup_wire struct wire_writer writer = {0};
	proxy_config_encode(&in, &writer);
	for (size_t length = 0; length < writer.length; length++) {
		uint8_t *copy = malloc(length ? length : 1); /* exact, so that a sanitizer sees a read beyond it */
		memcpy(copy, writer.data, length);
		assert_int_equal(proxy_config_decode(copy, length, arena, &out), -EBADMSG);
		free(copy);
	}
	uint8_t *longer = malloc(writer.length + 1);
	memcpy(longer, writer.data, writer.length);
	longer[writer.length] = 1;
	assert_int_equal(proxy_config_decode(longer, writer.length + 1, arena, &out), -EBADMSG);
	free(longer);
	assert_null(out);
}

/* Any bytes may come: no crash, and what is accepted is in range. */
static void random_damage_is_survived(void **state)
{
	(void)state;
	srand(4);
	size_t accepted = 0;
	for (int round = 0; round < 20000; round++) {
		cleanup_arena struct arena *arena = arena_new();
		struct proxy_config in, *out = NULL;
		fill(&in, arena);
		cleanup_wire struct wire_writer writer = {0};
		proxy_config_encode(&in, &writer);
		for (int i = rand() % 4; i >= 0; i--)
			writer.data[(size_t)rand() % writer.length] = (uint8_t)rand();
		if (proxy_config_decode(writer.data, writer.length, arena, &out) < 0)
			continue;
		accepted++;
		for (size_t i = 0; i < out->listener_count; i++)
			assert_true(out->listeners[i].forward < out->forward_count ||
				    out->listeners[i].forward == PROXY_FORWARD_NONE);
		for (size_t i = 0; i < out->forward_count; i++) {
			assert_true(out->forwards[i].name[0] && strlen(out->forwards[i].name) <= MODEL_NAME_MAX);
			assert_true(out->forwards[i].header <= PROXY_V2 && out->forwards[i].idle_timeout > 0);
			assert_true(out->forwards[i].tlvs <= (out->forwards[i].header == PROXY_V2 ? TLV_BITS : 0u));
		}
	}
	assert_true(accepted > 0 && accepted < 20000);
}

#define REFUSED(change)                                                  \
	do {                                                             \
		cleanup_arena struct arena *arena = arena_new();         \
		struct proxy_config in, *out = NULL;                     \
		fill(&in, arena);                                        \
		assert_int_equal(encode(&in, arena, &out), 0);           \
		change;                                                  \
		assert_int_equal(encode(&in, arena, &out), -EBADMSG);    \
	} while (0)

static void what_is_out_of_range_is_refused(void **state)
{
	(void)state;
	static char endless[MODEL_NAME_MAX + 2];
	memset(endless, 'a', sizeof(endless) - 1);
	REFUSED(in.forwards[0].name = NULL);
	REFUSED(in.forwards[0].name = "");
	REFUSED(in.forwards[0].name = endless);
	REFUSED(in.forwards[0].name = "any"); /* twice */
	REFUSED(in.forwards[0].header = (enum proxy_header)3);
	REFUSED(in.forwards[0].tlvs = TLV_BITS + 1);
	REFUSED(in.forwards[0].header = PROXY_V1);
	REFUSED(in.forwards[0].balance = (enum balance)3);
	REFUSED(in.forwards[0].connect_timeout = 0);
	REFUSED(in.forwards[0].idle_timeout = 0);
	REFUSED(in.forwards[0].idle_timeout = UINT64_MAX);
	REFUSED(in.forwards[0].backends[0].name = NULL);
	REFUSED(in.forwards[0].backends[1].name = "k8s-1"); /* twice */
	REFUSED(in.forwards[0].backends[0].address.family = FAMILY_NONE);
	REFUSED(in.forwards[0].backends[0].node = MODEL_MAX_NODES + 1);
	REFUSED(in.listeners[0].forward = 2);
	REFUSED(in.listeners[0].port = 0);
	REFUSED(in.listeners[1].forward = PROXY_FORWARD_NONE); /* with an address */
	REFUSED(in.probes[0].port = 0);
	REFUSED(in.probes[0].node = NULL);
	REFUSED(in.probes[0].address.family = FAMILY_NONE);
	REFUSED(in.probes[0].health.check = HEALTH_NONE);
	REFUSED(in.probes[0].health.check = (enum health_check)9);
	REFUSED(in.probes[0].health.interval = 0);
	REFUSED(in.probes[0].health.rise = 0);
	REFUSED(in.probes[0].header = (enum proxy_header)9);
}

/* A count that the message cannot hold must not cost memory. */
static void huge_counts_cost_nothing(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct proxy_config *out = NULL;
	for (int field = 0; field < 3; field++) {
		cleanup_wire struct wire_writer writer = {0};
		for (int i = 0; i <= field; i++)
			wire_put_u32(&writer, 0);
		wire_put_u32(&writer, field == 0 ? MODEL_MAX_FORWARDS : 65536);
		assert_int_equal(proxy_config_decode(writer.data, writer.length, arena, &out), -EBADMSG);
	}
	assert_true(arena_used(arena) < 65536);
}

/* A model of one pool and some forwards, as model_load would make it. */
static struct node nodes[2] = {{.name = "k8s-1"}, {.name = "k8s-2", .index = 1}};
static const struct node *node_list[2] = {&nodes[0], &nodes[1]};
static struct pool pool;
static struct forward forwards[8];
static struct port_range ranges[8];
static struct model model;

static struct forward *add_forward(const char *name, uint16_t first, uint16_t last, enum via via)
{
	size_t i = model.forward_count++;
	ranges[i] = (struct port_range){first, last};
	forwards[i] = (struct forward){.name = name, .ports = &ranges[i], .port_count = 1, .protocol = PROTOCOL_TCP,
				       .pool = &pool, .target_port = 30443, .proxy_protocol = PROXY_V2, .via = via,
				       .connect_timeout = 3000, .idle_timeout = 3600000, .index = i};
	return &forwards[i];
}

static int reset_model(void **state)
{
	(void)state;
	nodes[0].address = addr("192.0.2.11");
	nodes[1].address = addr("192.0.2.12");
	pool = (struct pool){.name = "ingress", .nodes = node_list, .node_count = 2,
			     .health = {.check = HEALTH_TCP, .interval = 2000, .timeout = 1000, .rise = 2, .fall = 3}};
	model = (struct model){.nodes = nodes, .node_count = 2, .pools = &pool, .pool_count = 1, .forwards = forwards};
	return 0;
}

static const struct backend_health all_up[] = {{"k8s-1", 30443, true}, {"k8s-2", 30443, true}};
static const struct rundata up = {.health = all_up, .health_count = 2};

static struct proxy_config *build(const struct rundata *run, struct listener_ids *ids, struct arena *arena)
{
	struct proxy_config *config = NULL;
	assert_int_equal(proxy_config_build(&model, run, 5, ids, arena, &config), 0);
	return config;
}

static void build_lists_what_the_proxy_serves(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct listener_ids *ids = listener_ids_new();
	nodes[1].address = addr("2001:db8::12"); /* a node of each family: the kernel can serve both kinds of client */
	add_forward("kernel", 80, 80, VIA_KERNEL)->proxy_protocol = PROXY_NONE;
	add_forward("https", 443, 443, VIA_PROXY);
	add_forward("udp", 443, 443, VIA_AUTO)->protocol = PROTOCOL_UDP;
	add_forward("injected", 8443, 8443, VIA_AUTO);
	struct proxy_config *config = build(&up, ids, arena);
	/* Without header injection in the kernel, "injected" is the proxy's as well. */
	assert_int_equal(config->forward_count, 2);
	assert_string_equal(config->forwards[0].name, "https");
	assert_string_equal(config->forwards[1].name, "injected");
	assert_int_equal(config->forwards[0].backend_count, 2);
	assert_true(config->forwards[0].backends[0].usable);
	assert_int_equal(config->listener_count, 2);
	assert_int_equal(config->listeners[1].port, 8443);
	assert_int_equal(config->listeners[1].forward, 1);
	/* All forwards share node and port: two probes, and they know of the header. */
	assert_int_equal(config->probe_count, 2);
	assert_string_equal(config->probes[0].node, "k8s-1");
	assert_int_equal(config->probes[0].port, 30443);
	assert_int_equal(config->probes[0].header, PROXY_V2);
	assert_true(config->probes[0].up);
	struct rundata injection = up;
	static const struct header_device lan[] = {{"ens4", 4}}, wan[] = {{"ens3", 3}};
	model.lan.device = "ens4";
	injection.header_devices = wan;
	injection.header_device_count = 1;
	assert_int_equal(build(&injection, ids, arena)->forward_count, 2);
	injection.header_devices = lan;
	assert_int_equal(build(&injection, ids, arena)->forward_count, 1);
	model.lan.device = NULL;
	listener_ids_free(&ids);
}

static void listeners_do_not_come_and_go_with_health(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct listener_ids *ids = listener_ids_new();
	add_forward("https", 443, 443, VIA_PROXY);
	const char *const draining[] = {"k8s-2"};
	struct rundata down = {.draining = draining, .draining_count = 1};
	struct proxy_config *config = build(&down, ids, arena);
	assert_int_equal(config->forward_count, 1);
	assert_int_equal(config->listener_count, 1);
	assert_false(config->forwards[0].backends[0].usable);
	assert_false(config->probes[0].up);
	listener_ids_free(&ids);
}

static void draining_takes_nothing_new_but_is_probed(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct listener_ids *ids = listener_ids_new();
	const char *const draining[] = {"k8s-2"};
	struct rundata run = up;
	run.draining = draining;
	run.draining_count = 1;
	add_forward("https", 443, 443, VIA_PROXY);
	struct proxy_config *config = build(&run, ids, arena);
	assert_true(config->forwards[0].backends[0].usable);
	assert_false(config->forwards[0].backends[1].usable);
	assert_int_equal(config->probe_count, 2);
	assert_true(config->probes[1].up);
	listener_ids_free(&ids);
}

static void ids_stay_with_address_and_port(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct listener_ids *ids = listener_ids_new();
	add_forward("a", 1000, 1099, VIA_PROXY);
	struct proxy_config *first = build(&up, ids, arena);
	assert_int_equal(first->listener_count, 100);
	add_forward("b", 2000, 2000, VIA_PROXY)->listen_address = addr("203.0.113.10");
	ranges[0] = (struct port_range){1050, 1149};
	struct proxy_config *second = build(&up, ids, arena);
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(second->listeners[i].id, first->listeners[i + 50].id);
	for (size_t i = 50; i < second->listener_count; i++)
		for (size_t j = 0; j < 100; j++)
			assert_int_not_equal(second->listeners[i].id, first->listeners[j].id);
	listener_ids_free(&ids);
}

static void an_address_has_a_listener_for_redirected_connections(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct listener_ids *ids = listener_ids_new();
	add_forward("one", 443, 443, VIA_PROXY)->listen_address = addr("203.0.113.10");
	add_forward("two", 443, 443, VIA_PROXY)->listen_address = addr("203.0.113.11");
	struct proxy_config *config = build(&up, ids, arena);
	assert_int_equal(config->listener_count, 3);
	assert_int_equal(config->listeners[2].forward, PROXY_FORWARD_NONE);
	assert_int_equal(config->listeners[2].address.family, FAMILY_NONE);
	add_forward("rest", 443, 443, VIA_PROXY);
	config = build(&up, ids, arena);
	assert_int_equal(config->listener_count, 3);
	assert_int_equal(config->listeners[2].forward, 2);
	listener_ids_free(&ids);
}

static void a_range_is_bounded(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct listener_ids *ids = listener_ids_new();
	add_forward("all", 1, 65535, VIA_PROXY)->target_port = 0;
	assert_int_equal(build(&up, ids, arena)->listener_count, PROXY_PORTS_MAX);
	listener_ids_free(&ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back_as_it_was),
		cmocka_unit_test(nothing_is_a_configuration_too),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(random_damage_is_survived),
		cmocka_unit_test(what_is_out_of_range_is_refused),
		cmocka_unit_test(huge_counts_cost_nothing),
		cmocka_unit_test_setup(build_lists_what_the_proxy_serves, reset_model),
		cmocka_unit_test_setup(listeners_do_not_come_and_go_with_health, reset_model),
		cmocka_unit_test_setup(draining_takes_nothing_new_but_is_probed, reset_model),
		cmocka_unit_test_setup(ids_stay_with_address_and_port, reset_model),
		cmocka_unit_test_setup(an_address_has_a_listener_for_redirected_connections, reset_model),
		cmocka_unit_test_setup(a_range_is_bounded, reset_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
