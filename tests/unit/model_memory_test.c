/* Out of memory at every single allocation of loading, printing and editing:
 * -ENOMEM or NULL, nothing given, nothing leaked. Linked with wrapped
 * allocation functions, and with an arena in which every allocation is one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FIRST_BLOCK 1u
#define LARGEST_BLOCK 1u
#include "../../rules/base/arena.c"

#include "../../rules/model/schema_print.h"
#include "../../rules/text/edit.h"
#include "model_help.h"

static size_t allocations_left = SIZE_MAX;

static bool may_allocate(void)
{
	return allocations_left > 0 && allocations_left-- > 0;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
	return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return may_allocate() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
	return may_allocate() ? __real_realloc(old, size) : NULL;
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
	return may_allocate() ? __real_reallocarray(old, count, size) : NULL;
}

static const char yaml[] =
	"version: 1\n"
	"interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }\n"
	"floating_ips: [203.0.113.10]\n"
	"management: { from: 198.51.100.0/24, reason: \"a: b\" }\n"
	"nodes: { a: { address: 192.0.2.1 }, b: { address: 198.18.88.13, tunnel: wg0 } }\n"
	"pools: { web: { nodes: [a, b], health: { check: http, path: /, host: x.example } } }\n"
	"forwards:\n"
	"  x: { listen: \"80,443\", from: [lan, wg0, l], to: web, limits: { new_per_source: 5/second, ban: 1m }, "
	"reason: r }\n"
	"snat: { x: { from: 192.0.2.0/24, out: wan, to: 203.0.113.10, reason: r } }\n"
	"wireguard:\n"
	"  wg0: { listen: 51820, address: 198.18.88.1/24, peers: { b: { allowed_ips: 198.18.88.13, endpoint: \"x:1\",\n"
	"         public_key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw= } } }\n"
	"metrics: { listen: 127.0.0.1:9550 }\n"
	"api: { listen: \"[::1]:1\", certificate: a, key: b, client_ca: c, readers: [d], reason: r }\n"
	"blocklists: { l: { file: l.txt } }\n"
	"rules: [{ name: x, from: any, to: [self, 192.0.2.0/24], protocol: tcp, port: [80], action: drop }]\n";
static const char more[] = "rules: [{ name: y, from: lan, to: wan, action: drop }]\n"
			   "expect: [{ from: 192.0.2.1, in: lan, to: \"self:80/tcp\", verdict: accept, forward: x }]\n";
static const char list[] = "192.0.2.1\n2001:db8::1\n198.51.100.0/24\n";

static int open_list(void *context, const char *name, struct source_file *ret_file)
{
	(void)context;
	*ret_file = (struct source_file){name, list, sizeof(list) - 1, NULL};
	return 0;
}

static int load(struct arena *arena, struct model **ret_model, size_t *ret_errors)
{
	const struct source_file files[] = {{"f.yaml", yaml, sizeof(yaml) - 1, NULL},
					    {"conf.d/more.yaml", more, sizeof(more) - 1, NULL}};
	const struct source_set sources = {.main = files, .main_count = 2, .open = open_list};
	struct diag_list diags;
	diag_init(&diags, arena);
	int r = model_load(&sources, NULL, &diags, ret_model);
	*ret_errors = diags.errors;
	return r;
}

static void loading(void **state)
{
	(void)state;
	size_t limit = 0;
	for (int r = -ENOMEM; r != 0; limit++) {
		cleanup_arena struct arena *arena = arena_new();
		cleanup_model struct model *model = NULL;
		size_t errors;
		allocations_left = limit;
		r = load(arena, &model, &errors);
		allocations_left = SIZE_MAX;
		assert_true(r == 0 || r == -ENOMEM);
		assert_int_equal(errors, 0);
		assert_true((r == 0) == (model != NULL));
	}
	assert_true(limit > 300);
}

static void printing(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_model struct model *model = NULL;
	size_t errors, limit = 0;
	assert_int_equal(load(arena, &model, &errors), 0);
	char *text = NULL;
	for (; !text; limit++) {
		allocations_left = limit;
		text = model_print(model, arena);
		allocations_left = SIZE_MAX;
	}
	assert_true(limit > 50);
	assert_non_null(strstr(text, "\n    listen: \"80,443/tcp\"\n"));
	for (text = NULL, limit = 0; !text; limit++) {
		allocations_left = limit;
		text = schema_print(arena);
		allocations_left = SIZE_MAX;
	}
	assert_true(limit > 50);
	assert_non_null(strstr(text, "\n## `expect`\n"));
}

static void editing(void **state)
{
	(void)state;
	static const char *const path[] = {"forwards", "y", NULL};
	const struct edit_text in = {.file = "f.yaml", .text = yaml, .length = sizeof(yaml) - 1};
	size_t limit = 0;
	for (int r = -ENOMEM; r != 0; limit++) {
		cleanup_arena struct arena *arena = arena_new();
		struct diag_list diags;
		char untouched[] = "untouched", *text = untouched;
		diag_init(&diags, arena);
		allocations_left = limit;
		r = edit_add(&in, path, "{ listen: 1, to: web, reason: r }", arena, &diags, &text);
		allocations_left = SIZE_MAX;
		assert_true(r == 0 || r == -ENOMEM);
		assert_true((r != 0) == (text == untouched));
	}
	assert_true(limit > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(loading), cmocka_unit_test(printing),
					   cmocka_unit_test(editing)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
