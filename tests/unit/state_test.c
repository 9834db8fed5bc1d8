/* Equality and digests see every field that counts and nothing else; look-ups;
 * hashes; and the printed form of a state, which golden tests rely on. */
#include "../../rules/state/diff.h"
#include "state_copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* For each kind of expression, how many bytes of the union mean something when all is set. */
#define W sizeof(enum meta_key) /* an enum's width */

struct kind_case {
	enum expr_kind kind;
	size_t bytes; /* that change equality when a bit of them flips, pointers apart */
};

static const struct kind_case kind_cases[] = {
	{EXPR_META, W + 1},
	{EXPR_PAYLOAD, W + 3},
	{EXPR_CT, W + 1},
	{EXPR_CT_SET, W + 1},
	{EXPR_FIB, W + 4 + 1},
	{EXPR_BITWISE, 3 + 16 + 16},
	{EXPR_CMP, W + 2 + 16},
	{EXPR_RANGE, 1 + 2 + 16 + 16},
	{EXPR_LOOKUP, 1 + 3 + 1},
	{EXPR_DYNSET, W + 1 + 1 + 8 + W + 13},
	{EXPR_LIMIT, 13},
	{EXPR_COUNTER, 0},
	{EXPR_LOG, 2 + 4},
	{EXPR_IMMEDIATE, 2 + 16},
	{EXPR_NUMGEN, 1 + 4 + 4 + 1},
	{EXPR_HASH, 3 + 4 + 4 + 4},
	{EXPR_NAT, 1 + W + 1 + 1 + 1},
	{EXPR_REDIRECT, 2},
	{EXPR_MASQUERADE, 1},
	{EXPR_REJECT, W},
	{EXPR_SYNPROXY, 2 + 1 + 1 + 1},
	{EXPR_ROUTE_MSS, 1},
	{EXPR_NETWORK16, 1},
	{EXPR_SET_MSS, 1},
	{EXPR_STRIP_OPTION, 1},
	{EXPR_FLOW_ADD, 0},
	{EXPR_VERDICT, W},
};

/* One with everything set that makes its other fields count. */
static struct expr full_expr(enum expr_kind kind)
{
	struct expr expr = {.kind = kind};
	if (kind == EXPR_BITWISE)
		expr.bitwise.length = 16;
	else if (kind == EXPR_CMP)
		expr.cmp.length = 16;
	else if (kind == EXPR_RANGE)
		expr.range.length = 16;
	else if (kind == EXPR_IMMEDIATE)
		expr.immediate.length = 16;
	else if (kind == EXPR_LOOKUP)
		expr.lookup.has_data = true;
	else if (kind == EXPR_DYNSET)
		expr.dynset.with = DYNSET_LIMIT;
	else if (kind == EXPR_NAT)
		expr.nat.has_port = true;
	else if (kind == EXPR_REDIRECT)
		expr.redirect.has_port = true;
	else if (kind == EXPR_VERDICT)
		expr.verdict.kind = VERDICT_JUMP;
	return expr;
}

static const char **expr_text(struct expr *expr)
{
	switch (expr->kind) {
	case EXPR_LOOKUP:
		return &expr->lookup.set;
	case EXPR_DYNSET:
		return &expr->dynset.set;
	case EXPR_COUNTER:
		return &expr->counter.name;
	case EXPR_LOG:
		return &expr->log.prefix;
	case EXPR_FLOW_ADD:
		return &expr->flow.table;
	case EXPR_VERDICT:
		return &expr->verdict.chain;
	default:
		return NULL;
	}
}

static uint64_t digest_of(const struct expr *expr)
{
	struct rule_state rule = {.exprs = expr, .expr_count = 1, .comment = ""};
	return rule_digest(&rule);
}

/* Flip the lowest bit of each byte in turn. */
static size_t bytes_that_count(struct expr *expr)
{
	const char **text = expr_text(expr);
	size_t count = 0;
	for (size_t at = offsetof(struct expr, meta); at < sizeof(*expr); at++) {
		uint8_t *byte = (uint8_t *)expr + at;
		if (text && byte >= (uint8_t *)text && byte < (uint8_t *)(text + 1))
			continue;
		struct expr copy;
		memcpy(&copy, expr, sizeof(copy));
		((uint8_t *)&copy)[at] ^= 1;
		bool equal = expr_equal(expr, &copy);
		/* Both ways: equal rules share a digest, different ones (these) do not. */
		assert_int_equal(digest_of(expr) == digest_of(&copy), equal);
		assert_int_equal(expr_equal(&copy, expr), equal);
		count += !equal;
	}
	return count;
}

static void test_equality_sees_each_field(void **unused)
{
	(void)unused;
	assert_int_equal(sizeof(kind_cases) / sizeof(kind_cases[0]), EXPR_KINDS);
	for (size_t i = 0; i < EXPR_KINDS; i++) {
		assert_int_equal(kind_cases[i].kind, i);
		struct expr expr = full_expr(kind_cases[i].kind), other;
		char name[] = "name", same[] = "name";
		if (expr_text(&expr))
			*expr_text(&expr) = name;
		size_t counted = bytes_that_count(&expr);
		if (counted != kind_cases[i].bytes)
			fail_msg("kind %zu: %zu bytes count, not %zu", i, counted, kind_cases[i].bytes);
		if (!expr_text(&expr))
			continue;
		other = expr;
		*expr_text(&other) = same;
		assert_true(expr_equal(&expr, &other));
		assert_int_equal(digest_of(&expr), digest_of(&other));
		*expr_text(&other) = "else";
		assert_false(expr_equal(&expr, &other));
		assert_true(digest_of(&expr) != digest_of(&other));
	}
}

/* What a kind does not use in this form never counts. */
static void test_equality_ignores_what_is_unused(void **unused)
{
	(void)unused;
	struct expr a = {.kind = EXPR_CMP}, b;
	a.cmp.length = 4;
	b = a;
	b.cmp.data[4] = 1;
	assert_true(expr_equal(&a, &b));
	assert_int_equal(digest_of(&a), digest_of(&b));
	a = (struct expr){.kind = EXPR_VERDICT};
	b = a;
	b.verdict.chain = "left over";
	assert_true(expr_equal(&a, &b));
	assert_int_equal(digest_of(&a), digest_of(&b));
	a = (struct expr){.kind = EXPR_DYNSET};
	a.dynset.set = "s";
	b = a;
	b.dynset.limit.count = 7;
	b.dynset.connections = 7;
	assert_true(expr_equal(&a, &b));
	assert_int_equal(digest_of(&a), digest_of(&b));
	a.dynset.with = b.dynset.with = DYNSET_CONNLIMIT;
	assert_false(expr_equal(&a, &b));
	assert_true(digest_of(&a) != digest_of(&b));
}

static void test_rules_and_elements(void **unused)
{
	(void)unused;
	struct expr accept[2] = {{.kind = EXPR_VERDICT}, {.kind = EXPR_VERDICT}};
	struct rule_state a = {.exprs = accept, .expr_count = 1, .comment = "x"}, b = a;
	b.handle = 7;
	b.at.line = 7;
	assert_true(rule_equal(&a, &b));
	assert_int_equal(rule_digest(&a), rule_digest(&b));
	b.expr_count = 2;
	assert_false(rule_equal(&a, &b));
	b = a;
	b.comment = "y";
	assert_false(rule_equal(&a, &b));
	assert_true(rule_digest(&a) != rule_digest(&b));
	a.comment = NULL;
	b.comment = "";
	assert_true(rule_equal(&a, &b));
	assert_int_equal(rule_digest(&a), rule_digest(&b));

	struct element e = {.key = {1}}, f = e;
	f.timeout_ms = 5;
	assert_true(element_equal(&e, &f));
	f.expires = 1;
	assert_false(element_equal(&e, &f));
	f = e;
	f.key_end[39] = 1;
	assert_false(element_equal(&e, &f));
	f = e;
	f.data[15] = 1;
	assert_false(element_equal(&e, &f));
	e.verdict = f.verdict = VERDICT_JUMP;
	e.chain = "a";
	f.data[15] = 0;
	f.chain = "b";
	assert_false(element_equal(&e, &f));
}

static void test_lookup_and_sizes(void **unused)
{
	(void)unused;
	struct chain chains[] = {{.name = "a"}, {.name = "b"}, {.name = "d"}};
	struct set sets[] = {{.name = "m"}, {.name = "n"}};
	struct state state = {.chains = chains, .chain_count = 3, .sets = sets, .set_count = 2}, none = {0};
	assert_ptr_equal(state_chain(&state, "a"), &chains[0]);
	assert_ptr_equal(state_chain(&state, "d"), &chains[2]);
	assert_null(state_chain(&state, "c"));
	assert_ptr_equal(state_set(&state, "n"), &sets[1]);
	assert_null(state_set(&state, "a"));
	assert_null(state_set(&none, "a"));
	struct set set = {.key = {FIELD_IPV6, FIELD_PROTO, FIELD_PORT}};
	assert_int_equal(set_key_size(&set), 24);
	set = (struct set){.key = {FIELD_IFNAME, FIELD_IPV4, FIELD_MARK, FIELD_INTEGER}};
	assert_int_equal(set_key_size(&set), 28);
}

static struct expr payload(enum payload_base base, uint8_t offset, uint8_t length, uint8_t reg)
{
	struct expr expr = {.kind = EXPR_PAYLOAD};
	expr.payload.base = base;
	expr.payload.offset = offset;
	expr.payload.length = length;
	expr.payload.reg = reg;
	return expr;
}

static void check_rule_text(const struct expr *exprs, size_t count, const char *expected)
{
	cleanup_arena struct arena *arena = arena_new();
	struct rule_state rule = {.exprs = exprs, .expr_count = count, .comment = "rule-a \"b\"\n", .handle = 12};
	struct chain chain = {.name = "fresh"};
	struct step step = {.kind = STEP_DELETE_RULE, .chain = &chain, .rule = &rule};
	struct steps steps = {.items = &step, .count = 1};
	const char *whole = arena_printf(arena, "delete rule fresh handle 12: %s comment \"rule-a \\\"b\\\"\\x0a\"\n",
					 expected);
	assert_string_equal(steps_print(&steps, arena), whole);
}

static void test_print_rules(void **unused)
{
	(void)unused;
	struct expr e[4] = {payload(PAYLOAD_NETWORK, 12, 4, 1), {.kind = EXPR_BITWISE}, {.kind = EXPR_CMP}};
	e[1].bitwise.from_reg = e[1].bitwise.to_reg = 1;
	e[1].bitwise.length = 4;
	memcpy(e[1].bitwise.mask, (uint8_t[]){255, 255, 255, 0}, 4);
	e[2].cmp.reg = 1;
	e[2].cmp.length = 4;
	memcpy(e[2].cmp.data, (uint8_t[]){192, 0, 2, 0}, 4);
	check_rule_text(e, 3, "ip saddr 192.0.2.0/24");
	/* The same prefix as three bytes. */
	e[0] = payload(PAYLOAD_NETWORK, 12, 3, 1);
	e[1] = e[2];
	e[1].cmp.length = 3;
	check_rule_text(e, 2, "ip saddr 192.0.2.0/24");

	e[0] = (struct expr){.kind = EXPR_CT};
	e[0].ct.key = CT_STATE;
	e[1] = (struct expr){.kind = EXPR_BITWISE};
	e[1].bitwise.length = 4;
	memcpy(e[1].bitwise.mask, &(uint32_t){CT_STATE_ESTABLISHED | CT_STATE_RELATED}, 4);
	e[2] = (struct expr){.kind = EXPR_CMP};
	e[2].cmp.op = COMPARE_NE;
	e[2].cmp.length = 4;
	e[3] = (struct expr){.kind = EXPR_VERDICT};
	check_rule_text(e, 4, "ct state & established,related != 0 accept");

	e[0] = payload(PAYLOAD_NETWORK, 16, 4, 1);
	e[1] = payload(PAYLOAD_TRANSPORT, 2, 2, 2);
	e[2] = (struct expr){.kind = EXPR_LOOKUP};
	e[2].lookup.set = "listen";
	e[2].lookup.reg = 1;
	e[2].lookup.has_data = e[2].lookup.to_verdict = true;
	check_rule_text(e, 3, "ip daddr . th dport vmap @listen");

}

static void test_print_statements(void **unused)
{
	(void)unused;
	struct expr e[5];
	e[0] = (struct expr){.kind = EXPR_IMMEDIATE};
	e[0].immediate.reg = 1;
	e[0].immediate.length = 4;
	memcpy(e[0].immediate.data, (uint8_t[]){192, 0, 2, 11}, 4);
	e[1] = (struct expr){.kind = EXPR_IMMEDIATE};
	e[1].immediate.reg = 2;
	e[1].immediate.length = 2;
	memcpy(e[1].immediate.data, (uint8_t[]){0x75, 0x80}, 2);
	e[2] = (struct expr){.kind = EXPR_NAT};
	e[2].nat.family = FAMILY_V4;
	e[2].nat.addr_reg = 1;
	e[2].nat.port_reg = 2;
	e[2].nat.has_port = true;
	check_rule_text(e, 3, "dnat ip to 192.0.2.11 port 30080");

	e[0] = payload(PAYLOAD_NETWORK, 8, 16, 1);
	e[1] = (struct expr){.kind = EXPR_DYNSET};
	e[1].dynset.set = "new6-https";
	e[1].dynset.op = DYNSET_UPDATE;
	e[1].dynset.reg = 1;
	e[1].dynset.timeout_ms = 60000;
	e[1].dynset.with = DYNSET_LIMIT;
	e[1].dynset.limit = (struct limit_spec){.count = 50, .per_seconds = 1, .burst = 100};
	e[2] = (struct expr){.kind = EXPR_COUNTER};
	e[2].counter.name = "fwd-https";
	e[3] = (struct expr){.kind = EXPR_LOG};
	e[3].log.group = 1;
	e[3].log.prefix = "edged:default";
	e[4] = (struct expr){.kind = EXPR_REJECT};
	check_rule_text(e, 5,
			"update @new6-https { ip6 saddr timeout 1m limit rate 50/second burst 100 } "
			"counter name fwd-https log prefix \"edged:default\" group 1 reject with tcp reset");
}

static void test_print_state(void **unused)
{
	(void)unused;
	cleanup_arena struct arena *arena = arena_new();
	struct element elements[] = {
		{.key = {192, 0, 2, 1}, .key_end = {192, 0, 2, 1}},
		{.key = {192, 0, 2, 8}, .key_end = {192, 0, 2, 15}, .expires = 1700000000},
		{.key = {192, 0, 2, 20}, .key_end = {192, 0, 2, 22}},
	};
	struct set sets[] = {
		{.name = "banned4", .key = {FIELD_IPV4}, .interval = true, .timeout = true, .elements = elements,
		 .element_count = 3},
		{.name = "new4-https", .key = {FIELD_IPV4}, .dynamic = true, .timeout = true, .size = 65536,
		 .timeout_ms = 60000, .comment = "c"},
	};
	struct expr drop = {.kind = EXPR_VERDICT};
	drop.verdict.kind = VERDICT_DROP;
	struct rule_state rule = {.exprs = &drop, .expr_count = 1, .comment = "default"};
	struct chain chains[] = {
		{.name = "fresh", .rules = &rule, .rule_count = 1},
		{.name = "input", .type = CHAIN_FILTER, .hook = HOOK_INPUT, .policy_drop = true},
	};
	struct counter counter = {.name = "default"};
	struct sysctl sysctl = {.name = "net.ipv4.ip_forward", .value = "1"};
	struct state state = {.present = true, .owner = true, .chains = chains, .chain_count = 2, .sets = sets,
			      .set_count = 2, .counters = &counter, .counter_count = 1, .sysctls = &sysctl,
			      .sysctl_count = 1};
	assert_string_equal(state_print(&state, arena),
			    "sysctl net.ipv4.ip_forward = 1\n"
			    "table inet edged {\n\tflags owner,persist\n\tcounter default\n\n"
			    "\tset banned4 {\n\t\ttype ipv4_addr\n\t\tflags interval,timeout\n"
			    "\t\telements = { 192.0.2.1, 192.0.2.8/29 expires 1700000000, 192.0.2.20-192.0.2.22 }\n\t}\n\n"
			    "\tset new4-https {\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\n\t\tsize 65536\n"
			    "\t\ttimeout 1m\n\t\tcomment \"c\"\n\t}\n\n"
			    "\tchain fresh {\n\t\tdrop comment \"default\"\n\t}\n\n"
			    "\tchain input {\n\t\ttype filter hook input priority 0; policy drop;\n\t}\n}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equality_sees_each_field), cmocka_unit_test(test_equality_ignores_what_is_unused),
		cmocka_unit_test(test_rules_and_elements),       cmocka_unit_test(test_lookup_and_sizes),
		cmocka_unit_test(test_print_rules),
		cmocka_unit_test(test_print_statements),
		cmocka_unit_test(test_print_state),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
