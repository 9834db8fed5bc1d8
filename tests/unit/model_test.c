/* Loading: the example, several files, what is missing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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
	int r = test_load_example(arena, &text, &model);
	print_message("%s", text);
	assert_int_equal(r, 0);
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
	struct source_file files[] = {{"edged.yaml", printed, strlen(printed)}, {.name = "blocklists/abuse.txt"}};
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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(example), cmocka_unit_test(example_round_trip)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
