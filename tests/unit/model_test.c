/* Loading: the example, several files, what is missing. The example must load as
 * it stands, and mean what its comments say; what is printed of a model loads
 * to the same model. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model_help.h"

static void example(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_model struct model *model = NULL;
	char *text;
	assert_int_equal(test_load_example(arena, &text, &model), 0);
	assert_string_equal(model->wan.device, "ens3");
	assert_int_equal(model->node_count, 3);
	const struct forward *https = model_find_forward(model, "https");
	assert_int_equal(https->ports[0].first, 443);
	assert_int_equal(https->target_port, 30443);
	assert_int_equal(https->idle_timeout, 3600000);
	assert_int_equal(https->limits.new_per_source.burst, 100);
	assert_string_equal(https->pool->name, "ingress");
	assert_ptr_equal(https->pool->nodes[2], model_find_node(model, "k8s-3"));
	assert_string_equal(model->nodes[2].tunnel->name, "wg0");
	assert_int_equal(model->forwards[3].from[1].kind, PLACE_TUNNEL);
	assert_int_equal(model->rule_count, 4);
	assert_int_equal(model->rules[2].port_count, 2);
	assert_int_equal(model->expectation_count, 6);
	assert_ptr_equal(model->expectations[0].forward, https);
	assert_true(model->expectations[5].to_self);
	assert_int_equal(model->blocklists[0].range_count, 3);
	assert_int_equal(model->blocklists[0].v4_count, 2);
	assert_int_equal(model->metrics.port, 9550);
}

/* Printed, loaded and printed again it is the same. */
static void example_round_trip(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_model struct model *first = NULL, *second = NULL;
	char *text;
	assert_int_equal(test_load_example(arena, &text, &first), 0);
	char *printed = model_print(first, arena);
	struct source_file files[] = {{"edged.yaml", printed, strlen(printed), NULL}, {.name = "blocklists/abuse.txt"}};
	files[1].text = test_read_file(arena, "examples/blocklists/abuse.txt", &files[1].length);
	int r = test_load(arena, &(struct test_files){.files = files, .main = 1, .count = 2}, first, &text, &second);
	if (r != 0)
		print_message("%s%s", printed, text);
	assert_int_equal(r, 0);
	assert_string_equal(model_print(second, arena), printed);
	assert_ptr_equal(first->blocklists[0].ranges, second->blocklists[0].ranges);
	model_free(&first);
	assert_int_equal(second->blocklists[0].ranges[0].first.bytes[0], 198);
}

/* Files add to each section: lists behind each other, mappings joined, in the order of the files. */
static void several_files(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_model struct model *model = NULL;
	static const char *const texts[] = {
		"version: 1\n"
		"interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }\n"
		"floating_ips: [203.0.113.10]\n"
		"management: { from: [198.51.100.0/25], reason: r }\n"
		"nodes: { a: { address: 192.0.2.11 } }\n"
		"rules: [{ name: x, from: lan, to: wan, action: drop }]\n",
		"# nothing\n",
		"version: 1\n"
		"floating_ips: 203.0.113.11\n"
		"management: { from: 198.51.100.128/25 }\n"
		"nodes: { b: { address: 192.0.2.12 } }\n"
		"pools: { web: { nodes: [a, b] } }\n"
		"rules: [{ name: y, from: lan, to: wan, action: drop }]\n",
		"nodes:\n"
		"rules: [{ name: z, from: lan, to: wan, action: drop }]\n",
	};
	struct source_file files[4];
	for (size_t i = 0; i < 4; i++)
		files[i] = (struct source_file){arena_printf(arena, "%zu.yaml", i), texts[i], strlen(texts[i]), NULL};
	char *text;
	int r = test_load(arena, &(struct test_files){.files = files, .main = 4, .count = 4}, NULL, &text, &model);
	assert_string_equal(text, "");
	assert_int_equal(r, 0);
	assert_int_equal(model->floating_ip_count, 2);
	assert_int_equal(model->management.from_count, 2);
	assert_int_equal(model->node_count, 2);
	assert_int_equal(model->rule_count, 3);
	assert_string_equal(model->rules[2].name, "z");
	assert_string_equal(model->rules[2].at.file, "3.yaml");
	assert_int_equal(model->rules[2].at.line, 2);
	assert_ptr_equal(model->pools[0].nodes[1], model_find_node(model, "b"));
}

/* What the file leaves out. */
static void defaults(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_model struct model *model = NULL;
	char *text;
	int r = test_load_text(arena,
			       "version: 1\n"
			       "interfaces: { wan: ens3, lan: ens4 }\n"
			       "management: { from: 198.51.100.7, reason: r }\n"
			       "nodes: { a: { address: 192.0.2.11 } }\n"
			       "pools: { web: { nodes: a }, api: { nodes: a, health: { check: http } } }\n"
			       "forwards: { x: { listen: 443, to: web, reason: r }, y: { listen: 8000-8010, to: web, "
			       "reason: r } }\n"
			       "expect:\n"
			       "  - { from: 192.0.2.11, in: lan, to: \"self:443/tcp\", verdict: accept }\n"
			       "  - { from: 192.0.2.11, in: lan, to: \"self:8001/tcp\", verdict: accept }\n",
			       &text, &model);
	assert_string_equal(text, "");
	assert_int_equal(r, 0);
	assert_int_equal(model->management.ports[0].first, 22);
	const struct pool *web = &model->pools[0], *api = &model->pools[1];
	assert_int_equal(web->balance, BALANCE_ROUND_ROBIN);
	assert_int_equal(web->health.check, HEALTH_TCP);
	assert_int_equal(web->health.interval, 2000);
	assert_int_equal(web->health.timeout, 1000);
	assert_int_equal(web->health.rise, 2);
	assert_int_equal(web->health.fall, 3);
	assert_null(web->health.path);
	assert_string_equal(api->health.path, "/");
	assert_int_equal(api->health.status_first, 200);
	assert_int_equal(api->health.status_last, 399);
	const struct forward *x = model_find_forward(model, "x"), *y = model_find_forward(model, "y");
	assert_int_equal(x->target_port, 443);
	assert_int_equal(y->target_port, 0);
	assert_int_equal(x->protocol, PROTOCOL_TCP);
	assert_int_equal(x->proxy_protocol, PROXY_NONE);
	assert_int_equal(x->via, VIA_AUTO);
	assert_int_equal(x->connect_timeout, 3000);
	assert_int_equal(x->idle_timeout, 3600000);
	assert_int_equal(x->from_count, 0);
	assert_int_equal(x->limits.ban, 0);
	assert_null(model_find_forward(model, "z"));
	assert_null(model_find_node(model, "b"));
}

/* Too much of anything is refused, and quickly. */
static void too_many(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct model *model = NULL;
	char *text = arena_alloc(arena, 4 << 20), *end = text, *diags;
	end = stpcpy(end, "version: 1\ninterfaces: { wan: ens3 }\nnodes:\n");
	for (unsigned i = 0; i < 60000; i++)
		end += sprintf(end, "  n%u: { address: 192.0.2.1 }\n", i);
	assert_int_equal(test_load_text(arena, text, &diags, &model), -EINVAL);
	assert_string_equal(diags, "f.yaml:4:3: nodes: 60000 nodes are too many (at most 1000)\n");
	assert_null(model);
}

/* The way in, out of a file that cannot be used. */
static void management_of_broken_files(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int r;
		size_t count;
	} cases[] = {
		{"management: { from: [198.51.100.0/25, 2001:db8::/32], ssh: 2222, reason: r }\nwhat: 1\n", 0, 2},
		{"version: 9\npools: { a: { nodes: [b] } }\nmanagement: { from: 198.51.100.1, ssh: 22, reason: r }\n", 0, 1},
		{"version: 1\nnothing: of it\n", 0, 0},
		{"", 0, 0},
		{"management: { from: 198.51.100.1, ssh: 99999, reason: r }\n", -EINVAL, 0},
		{"management: { from: 198.51.100.1, port: 22, reason: r }\n", -EINVAL, 0},
		{"management: [\n", -EINVAL, 0},
		{"management: { from: 198.51.100.1, ssh: 22, reason: r }\nmanagement: {}\n", 0, 1}, /* the first counts */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_model struct model *model = NULL;
		struct source_file file = {.name = "f.yaml", .text = cases[i].text, .length = strlen(cases[i].text)};
		struct source_set sources = {.main = &file, .main_count = 1};
		int r = model_load_management(&sources, &model);
		if (r != cases[i].r)
			print_message("%s", cases[i].text);
		assert_int_equal(r, cases[i].r);
		assert_int_equal(model != NULL, cases[i].r == 0);
		if (!model)
			continue;
		assert_int_equal(model->management.from_count, cases[i].count);
		assert_int_equal(model->management.present, cases[i].count > 0);
		assert_int_equal(model->pool_count, 0);
		if (i == 0)
			assert_int_equal(model->management.ports[0].first, 2222);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(example),  cmocka_unit_test(example_round_trip), cmocka_unit_test(several_files),
		cmocka_unit_test(defaults), cmocka_unit_test(too_many),		  cmocka_unit_test(management_of_broken_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
