/* The apply engine against the fake kernel: success, a fault at every step and
 * at every look, foreign changes, run data. */
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
#include "../../rules/state/diff.h"
#include "fake_kernel.h"
#include "model_help.h"

#define NOW 1700000000u

struct setting {
	struct arena *arena;
	struct kernel *kernel;
	struct runtime *runtime;
	struct engine *engine;
};

static const char small[] = "version: 1\n"
			    "interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }\n"
			    "nodes: { a: { address: 192.0.2.11 }, b: { address: 192.0.2.12 } }\n"
			    "pools: { p: { nodes: [a, b] } }\n"
			    "forwards:\n"
			    "  web: { listen: 8080, to: p:30080, reason: test }\n";

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

static struct model *example(struct setting *s)
{
	char *told;
	struct model *model = NULL;
	assert_int_equal(test_load_example(s->arena, &told, &model), 0);
	return model;
}

static int set_up(void **state)
{
	struct setting *s = calloc(1, sizeof(*s));
	s->arena = arena_new();
	s->kernel = fake_kernel_new();
	s->runtime = runtime_new();
	s->engine = engine_new(s->kernel, s->runtime);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct setting *s = *state;
	engine_free(&s->engine);
	runtime_free(&s->runtime);
	s->kernel->ops->close(&s->kernel);
	arena_free(&s->arena);
	free(s);
	return 0;
}

static struct engine_report apply(struct setting *s, struct model *model, int expected)
{
	struct engine_report report;
	int r = engine_apply(s->engine, &model, NOW, s->arena, &report);
	if (r != expected)
		print_message("%d: %s\n", r, report.error ? report.error : "no error");
	assert_int_equal(r, expected);
	model_free(&model);
	return report;
}

/* What the kernel holds is what the model and run data say: the diff is empty. */
static void assert_holds(struct setting *s, const struct model *model)
{
	cleanup_state struct state *desired = NULL;
	struct steps steps = {0};
	assert_int_equal(compile_state(model, runtime_view(s->runtime, NOW), &desired), 0);
	assert_int_equal(diff_states(fake_kernel_state(s->kernel), desired, desired, s->arena, &steps), 0);
	if (steps.count)
		print_message("%s\n", steps_print(&steps, s->arena));
	assert_int_equal(steps.count, 0);
}

static void second_apply_writes_nothing(void **state)
{
	struct setting *s = *state;
	struct engine_report report = apply(s, example(s), 0);
	assert_true(report.step_count > 0);
	assert_holds(s, engine_model(s->engine));
	size_t commits = fake_kernel_commits(s->kernel);
	report = apply(s, example(s), 0);
	assert_int_equal(report.step_count, 0);
	assert_int_equal(fake_kernel_commits(s->kernel), commits);
	assert_true(engine_in_sync(s->engine));
}

static void a_fault_at_every_step_changes_nothing(void **state)
{
	struct setting *s = *state;
	apply(s, load(s, small), 0);
	struct engine_report plan;
	struct model *next = example(s);
	assert_int_equal(engine_plan(s->engine, next, NOW, s->arena, &plan), 0);
	model_free(&next);
	assert_true(plan.step_count > 50);
	for (size_t step = 1; step <= plan.step_count; step++) {
		fake_kernel_fail_at(s->kernel, step, -ENOSPC);
		struct engine_report report = apply(s, example(s), -ENOSPC);
		assert_non_null(strstr(report.error, "nothing was changed"));
		assert_non_null(model_find_forward(engine_model(s->engine), "web"));
		assert_holds(s, engine_model(s->engine));
	}
	apply(s, example(s), 0);
	assert_holds(s, engine_model(s->engine));
}

static void a_fault_while_looking_is_told(void **state)
{
	struct setting *s = *state;
	fake_kernel_fail_observe(s->kernel, -EAGAIN);
	struct engine_report report = apply(s, load(s, small), -EAGAIN);
	assert_non_null(strstr(report.error, "cannot read the kernel's state"));
	assert_null(engine_model(s->engine));
	apply(s, load(s, small), 0);
}

/* Somebody empties the table: the next refresh brings all of it back. */
static void a_foreign_change_is_repaired(void **state)
{
	struct setting *s = *state;
	apply(s, load(s, small), 0);
	cleanup_state struct state *empty = state_new();
	fake_kernel_put(s->kernel, empty);
	engine_distrust(s->engine);
	assert_false(engine_in_sync(s->engine));
	struct engine_report report;
	assert_int_equal(engine_refresh(s->engine, NOW, s->arena, &report), 0);
	assert_true(report.step_count > 0);
	assert_true(engine_in_sync(s->engine));
	assert_holds(s, engine_model(s->engine));
}

static void health_changes_only_what_it_must(void **state)
{
	struct setting *s = *state;
	apply(s, load(s, small), 0);
	assert_int_equal(runtime_set_health(s->runtime, "a", 30080, true, "connected", NOW), 1);
	struct engine_report report;
	assert_int_equal(engine_refresh(s->engine, NOW, s->arena, &report), 0);
	assert_in_range(report.step_count, 1, 16);
	assert_holds(s, engine_model(s->engine));
	assert_int_equal(runtime_set_health(s->runtime, "a", 30080, true, "connected", NOW + 1), 0);
	assert_int_equal(engine_refresh(s->engine, NOW, s->arena, &report), 0);
	assert_int_equal(report.step_count, 0);
}

static void overlapping_bans_are_one_set(void **state)
{
	struct setting *s = *state;
	struct prefix wide, narrow;
	apply(s, load(s, small), 0);
	assert_int_equal(prefix_parse("198.51.100.0/24", 15, &wide), 0);
	assert_int_equal(prefix_parse("198.51.100.7", 12, &narrow), 0);
	runtime_ban(s->runtime, &wide, NOW + 60);
	runtime_ban(s->runtime, &narrow, NOW + 600);
	struct engine_report report;
	assert_int_equal(engine_refresh(s->engine, NOW, s->arena, &report), 0);
	const struct set *set = state_set(fake_kernel_state(s->kernel), "banned4");
	assert_int_equal(set->element_count, 3);
	assert_int_equal(set->elements[0].expires, NOW + 60);
	assert_int_equal(set->elements[1].expires, NOW + 600);
	assert_int_equal(set->elements[1].key[3], 7);
	assert_int_equal(set->elements[2].key[3], 8);
	/* The wide one ends first. */
	assert_int_equal(runtime_expire(s->runtime, NOW + 61), 1);
	assert_int_equal(engine_refresh(s->engine, NOW + 61, s->arena, &report), 0);
	assert_int_equal(state_set(fake_kernel_state(s->kernel), "banned4")->element_count, 1);
}

static void packets_bans_survive_an_apply(void **state)
{
	struct setting *s = *state;
	struct addr addr;
	apply(s, load(s, small), 0);
	assert_int_equal(addr_parse("198.51.100.9", 12, &addr), 0);
	assert_int_equal(fake_kernel_packet(s->kernel, "bans4", &addr), 0);
	apply(s, example(s), 0);
	assert_int_equal(state_set(fake_kernel_state(s->kernel), "bans4")->element_count, 1);
}

static void flush_leaves_nothing(void **state)
{
	struct setting *s = *state;
	apply(s, load(s, small), 0);
	struct engine_report report;
	assert_int_equal(engine_flush(s->engine, s->arena, &report), 0);
	assert_false(fake_kernel_state(s->kernel)->present);
	assert_null(engine_model(s->engine));
	apply(s, load(s, small), 0);
	assert_holds(s, engine_model(s->engine));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(second_apply_writes_nothing),	TEST(a_fault_at_every_step_changes_nothing),
		TEST(a_fault_while_looking_is_told),	TEST(a_foreign_change_is_repaired),
		TEST(health_changes_only_what_it_must), TEST(overlapping_bans_are_one_set),
		TEST(packets_bans_survive_an_apply),	TEST(flush_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
