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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(example)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
