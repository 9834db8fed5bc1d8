/* The codec of expressions, rules, sets and elements without a kernel: every
 * kind through real netlink attributes and back, both forms of registers, and
 * input that is wrong, unknown, cut off or damaged. */
#include "../../daemon/kernel/nft_batch.h"
#include "../../daemon/kernel/nft_expr.h"
#include "../../daemon/kernel/nft_object.h"
#include "../../daemon/kernel/nft_set.h"
#include "../../daemon/kernel/nft_udata.h"
#include "nft_sample.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>

#define ROOM 65536

/* A NEWRULE as the kernel would send it. Aligned by malloc; the caller frees it. */
static struct nlmsghdr *rule_message(const struct rule_state *rule)
{
	static const struct chain chain = {.name = "decide"};
	char *buffer = calloc(1, ROOM);
	assert_non_null(buffer);
	struct nlmsghdr *message = nftnl_nlmsg_build_hdr(buffer, NFT_MSG_NEWRULE, NFPROTO_INET, 0, 0);
	assert_int_equal(put_rule(message, &chain, rule, 0), 0);
	mnl_attr_put_u64(message, NFTA_RULE_HANDLE, htobe64(77));
	return message;
}

/* A copy that ends where the message says: ASan then sees each read behind it. */
static struct nlmsghdr *exact(const struct nlmsghdr *message, size_t length)
{
	struct nlmsghdr *copy = malloc(length);
	assert_non_null(copy);
	memcpy(copy, message, length);
	copy->nlmsg_len = (uint32_t)length;
	return copy;
}

static void every_expression_comes_back(void **context)
{
	(void)context;
	size_t count;
	const struct expr *exprs = nft_sample_exprs(&count);
	bool kinds[EXPR_KINDS] = {false};
	for (size_t i = 0; i < count; i++) {
		struct rule_state rule = {.exprs = &exprs[i], .expr_count = 1, .comment = "one"}, back;
		struct nlmsghdr *message = rule_message(&rule);
		struct arena *arena = arena_new();
		const char *chain;
		assert_int_equal(get_rule(message, arena, &chain, &back), 0);
		assert_string_equal(chain, "decide");
		assert_int_equal(back.handle, 77);
		if (!rule_equal(&rule, &back))
			fail_msg("expression %zu of kind %d came back as %zu of kind %d, comment \"%s\"", i, exprs[i].kind,
				 back.expr_count, back.expr_count ? (int)back.exprs[0].kind : -1, back.comment);
		kinds[exprs[i].kind] = true;
		arena_free(&arena);
		free(message);
	}
	for (size_t kind = 0; kind < EXPR_KINDS; kind++)
		assert_true(kinds[kind]);
}

static void whole_rules_come_back(void **context)
{
	(void)context;
	struct state *state = nft_sample(0);
	for (size_t c = 0; c < state->chain_count; c++) {
		for (size_t r = 0; r < state->chains[c].rule_count; r++) {
			const struct rule_state *rule = &state->chains[c].rules[r];
			struct rule_state back;
			const char *chain;
			struct nlmsghdr *message = rule_message(rule);
			assert_int_equal(get_rule(message, state->arena, &chain, &back), 0);
			assert_true(rule_equal(rule, &back));
			free(message);
		}
	}
	state_free(&state);
}

/* The kernel prints a slot that is a multiple of four as one of the four older registers. */
static void registers_have_two_forms(void **context)
{
	(void)context;
	struct arena *arena = arena_new();
	for (uint32_t reg = 0; reg <= 30; reg++) {
		struct nftnl_expr *meta = nftnl_expr_alloc("meta");
		nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, NFT_META_MARK);
		nftnl_expr_set_u32(meta, NFTNL_EXPR_META_DREG, reg);
		struct expr expr = {.meta = {.reg = 99}};
		int rc = nft_expr_decode(meta, arena, &expr);
		if (reg >= NFT_REG_1 && reg <= NFT_REG_4) {
			assert_int_equal(rc, 0);
			assert_int_equal(expr.meta.reg, (reg - 1) * 4);
		} else if (reg >= NFT_REG32_00 && reg <= NFT_REG32_15) {
			assert_int_equal(rc, 0);
			assert_int_equal(expr.meta.reg, reg - NFT_REG32_00);
		} else {
			assert_int_equal(rc, -ENOTSUP);
			assert_int_equal(expr.meta.reg, 99);
		}
		nftnl_expr_free(meta);
	}
	arena_free(&arena);
}

static void impossible_expressions_are_refused(void **context)
{
	(void)context;
	static const struct expr wrong[] = {
		{.kind = EXPR_KINDS},
		{.kind = EXPR_META, .meta = {META_MARK, 16}},
		{.kind = EXPR_META, .meta = {(enum meta_key)77, 0}},
		{.kind = EXPR_PAYLOAD, .payload = {PAYLOAD_NETWORK, 0, 0, 0}},
		{.kind = EXPR_PAYLOAD, .payload = {PAYLOAD_NETWORK, 0, 16, 13}},
		{.kind = EXPR_PAYLOAD, .payload = {(enum payload_base)2, 0, 4, 0}},
		{.kind = EXPR_CT, .ct = {(enum ct_key)4, 0}},
		{.kind = EXPR_FIB, .fib = {(enum fib_result)3, 0, 0}},
		{.kind = EXPR_BITWISE, .bitwise = {0, 0, 17, {0}, {0}}},
		{.kind = EXPR_BITWISE, .bitwise = {0, 15, 8, {0}, {0}}},
		{.kind = EXPR_CMP, .cmp = {COMPARE_EQ, 0, 0, {0}}},
		{.kind = EXPR_CMP, .cmp = {(enum compare_op)6, 0, 1, {0}}},
		{.kind = EXPR_CMP, .cmp = {COMPARE_EQ, 0, 255, {0}}},
		{.kind = EXPR_RANGE, .range = {false, 15, 5, {0}, {0}}},
		{.kind = EXPR_LOOKUP, .lookup = {.set = NULL}},
		{.kind = EXPR_LOOKUP, .lookup = {.set = "x", .reg = 16}},
		{.kind = EXPR_DYNSET, .dynset = {.set = NULL}},
		{.kind = EXPR_DYNSET, .dynset = {.set = "x", .with = DYNSET_LIMIT}},
		{.kind = EXPR_LIMIT, .limit = {0, 1, 1, false}},
		{.kind = EXPR_LIMIT, .limit = {1, 0, 1, false}},
		{.kind = EXPR_LIMIT, .limit = {1, 1, 0, false}},
		{.kind = EXPR_COUNTER, .counter = {NULL}},
		{.kind = EXPR_IMMEDIATE, .immediate = {0, 17, {0}}},
		{.kind = EXPR_NUMGEN, .numgen = {false, 0, 0, 0}},
		{.kind = EXPR_HASH, .hash = {0, 4, 1, 0, 0, 0}},
		{.kind = EXPR_HASH, .hash = {0, 0, 1, 4, 0, 0}},
		{.kind = EXPR_NAT, .nat = {false, FAMILY_NONE, false, 0, 0}},
		{.kind = EXPR_NAT, .nat = {false, FAMILY_V6, false, 13, 0}},
		{.kind = EXPR_REDIRECT, .redirect = {true, 16}},
		{.kind = EXPR_REJECT, .reject = {(enum reject_with)9}},
		{.kind = EXPR_ROUTE_MSS, .mss = {16}},
		{.kind = EXPR_NETWORK16, .mss = {16}},
		{.kind = EXPR_SET_MSS, .mss = {16}},
		{.kind = EXPR_VERDICT, .verdict = {VERDICT_JUMP, NULL}},
		{.kind = EXPR_VERDICT, .verdict = {(enum verdict_kind)5, NULL}},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct nftnl_expr *untouched = (struct nftnl_expr *)&wrong, *expr = untouched;
		if (nft_expr_encode(&wrong[i], &expr) != -EINVAL || expr != untouched)
			fail_msg("number %zu was not refused", i);
	}
}

struct unknown {
	const char *name;
	struct {
		uint16_t attr;
		uint32_t value;
	} attrs[5];
};

/* Uses of expressions that struct expr cannot say: each attribute alone would be easy to overlook. */
static const struct unknown unknown[] = {
	{"counter", {{0}}},
	{"quota", {{0}}},
	{"notrack", {{0}}},
	{"meta", {{NFTNL_EXPR_META_KEY, NFT_META_MARK}, {NFTNL_EXPR_META_SREG, 1}}},
	{"meta", {{NFTNL_EXPR_META_KEY, NFT_META_SKUID}, {NFTNL_EXPR_META_DREG, 1}}},
	{"payload", {{NFTNL_EXPR_PAYLOAD_BASE, 1}, {NFTNL_EXPR_PAYLOAD_OFFSET, 1}, {NFTNL_EXPR_PAYLOAD_LEN, 1},
		     {NFTNL_EXPR_PAYLOAD_SREG, 1}}},
	{"payload", {{NFTNL_EXPR_PAYLOAD_BASE, 0}, {NFTNL_EXPR_PAYLOAD_OFFSET, 1}, {NFTNL_EXPR_PAYLOAD_LEN, 1},
		     {NFTNL_EXPR_PAYLOAD_DREG, 1}}},
	{"payload", {{NFTNL_EXPR_PAYLOAD_BASE, 1}, {NFTNL_EXPR_PAYLOAD_OFFSET, 256}, {NFTNL_EXPR_PAYLOAD_LEN, 1},
		     {NFTNL_EXPR_PAYLOAD_DREG, 1}}},
	{"ct", {{NFTNL_EXPR_CT_KEY, NFT_CT_ZONE}, {NFTNL_EXPR_CT_DREG, 1}}},
	{"ct", {{NFTNL_EXPR_CT_KEY, NFT_CT_MARK}}},
	{"fib", {{NFTNL_EXPR_FIB_RESULT, 9}, {NFTNL_EXPR_FIB_DREG, 1}}},
	{"bitwise", {{NFTNL_EXPR_BITWISE_SREG, 1}, {NFTNL_EXPR_BITWISE_DREG, 1}, {NFTNL_EXPR_BITWISE_LEN, 4},
		     {NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_LSHIFT}}},
	{"limit", {{0}}},
	{"masq", {{NFTNL_EXPR_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM}}},
	{"masq", {{NFTNL_EXPR_MASQ_REG_PROTO_MIN, 1}}},
	{"redir", {{NFTNL_EXPR_REDIR_REG_PROTO_MIN, 1}, {NFTNL_EXPR_REDIR_REG_PROTO_MAX, 2}}},
	{"redir", {{NFTNL_EXPR_REDIR_FLAGS, NF_NAT_RANGE_PERSISTENT}}},
	{"nat", {{NFTNL_EXPR_NAT_FAMILY, NFPROTO_INET}, {NFTNL_EXPR_NAT_REG_ADDR_MIN, 1}}},
	{"nat", {{NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4}}},
	{"nat", {{NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4}, {NFTNL_EXPR_NAT_REG_ADDR_MIN, 1}, {NFTNL_EXPR_NAT_REG_ADDR_MAX, 2}}},
	{"nat", {{NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4}, {NFTNL_EXPR_NAT_REG_ADDR_MIN, 1},
		 {NFTNL_EXPR_NAT_FLAGS, NF_NAT_RANGE_PERSISTENT}}},
	{"reject", {{NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH}}},
	{"numgen", {{NFTNL_EXPR_NG_TYPE, 7}, {NFTNL_EXPR_NG_DREG, 1}, {NFTNL_EXPR_NG_MODULUS, 2}}},
	{"hash", {{NFTNL_EXPR_HASH_SREG, 1}, {NFTNL_EXPR_HASH_DREG, 1}, {NFTNL_EXPR_HASH_LEN, 4},
		  {NFTNL_EXPR_HASH_MODULUS, 2}, {NFTNL_EXPR_HASH_TYPE, NFT_HASH_JENKINS}}},
	{"log", {{NFTNL_EXPR_LOG_LEVEL, 4}}},
	{"objref", {{NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_QUOTA}}},
	{"lookup", {{NFTNL_EXPR_LOOKUP_SREG, 1}}},
	{"dynset", {{NFTNL_EXPR_DYNSET_SREG_KEY, 1}, {NFTNL_EXPR_DYNSET_SREG_DATA, 2}}},
	{"immediate", {{NFTNL_EXPR_IMM_DREG, 1}}},
	{"immediate", {{NFTNL_EXPR_IMM_DREG, 0}, {NFTNL_EXPR_IMM_VERDICT, NF_QUEUE}}},
	{"immediate", {{NFTNL_EXPR_IMM_DREG, 0}, {NFTNL_EXPR_IMM_VERDICT, (uint32_t)NFT_JUMP}}},
};

static void foreign_expressions_are_not_taken_for_ours(void **context)
{
	(void)context;
	struct arena *arena = arena_new();
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		struct nftnl_expr *expr = nftnl_expr_alloc(unknown[i].name);
		assert_non_null(expr);
		for (size_t a = 0; a < 5 && unknown[i].attrs[a].attr; a++)
			nftnl_expr_set_u32(expr, unknown[i].attrs[a].attr, unknown[i].attrs[a].value);
		struct expr to = {.kind = EXPR_KINDS};
		int rc = nft_expr_decode(expr, arena, &to);
		if (rc != -ENOTSUP || to.kind != EXPR_KINDS)
			fail_msg("number %zu, %s: %d", i, unknown[i].name, rc);
		nftnl_expr_free(expr);
	}
	arena_free(&arena);
}

/* An expression that not even libnftnl has heard of. */
static void a_rule_from_a_newer_kernel_is_foreign(void **context)
{
	(void)context;
	static const struct expr expr = {.kind = EXPR_REDIRECT};
	struct rule_state rule = {.exprs = &expr, .expr_count = 1, .comment = "ours"}, back;
	struct nlmsghdr *message = rule_message(&rule);
	char *name = memmem(message, message->nlmsg_len, "redir", 6);
	assert_non_null(name);
	memcpy(name, "novel", 5);
	struct arena *arena = arena_new();
	const char *chain;
	assert_int_equal(get_rule(message, arena, &chain, &back), 0);
	assert_string_equal(chain, "decide");
	assert_int_equal(back.handle, 77);
	assert_int_equal(back.expr_count, 0);
	assert_string_equal(back.comment, RULE_FOREIGN);
	arena_free(&arena);
	free(message);
}

static void a_rule_of_another_table_is_not_ours(void **context)
{
	(void)context;
	struct rule_state rule = {.comment = ""}, back;
	struct nlmsghdr *message = rule_message(&rule);
	char *table = memmem(message, message->nlmsg_len, STATE_TABLE, sizeof(STATE_TABLE));
	table[0] = 'E';
	struct arena *arena = arena_new();
	const char *chain = "untouched";
	assert_int_equal(get_rule(message, arena, &chain, &back), 0);
	assert_null(chain);
	arena_free(&arena);
	free(message);
}

static void a_comment_that_is_too_long_is_refused(void **context)
{
	(void)context;
	char comment[STATE_COMMENT_MAX + 2];
	memset(comment, 'x', sizeof(comment));
	comment[STATE_COMMENT_MAX + 1] = '\0';
	static const struct chain chain = {.name = "c"};
	struct rule_state rule = {.comment = comment};
	char *buffer = calloc(1, ROOM);
	struct nlmsghdr *message = nftnl_nlmsg_build_hdr(buffer, NFT_MSG_NEWRULE, NFPROTO_INET, 0, 0);
	assert_int_equal(put_rule(message, &chain, &rule, 0), -EINVAL);
	comment[STATE_COMMENT_MAX] = '\0';
	assert_int_equal(put_rule(message, &chain, &rule, 0), 0);
	free(buffer);
}

/* Sets and elements, which this program reads by itself. What libnftnl reads is not damaged here: it ends the program
 * when an attribute has not the length that it shall have, and it is the kernel that writes them. */
static void decode(const struct nlmsghdr *message)
{
	struct arena *arena = arena_new();
	struct set set, read = {.name = "x", .key = {FIELD_IPV4}, .interval = true};
	bool ours;
	if (get_set(message, arena, &ours, &set) == 0 && ours)
		assert_non_null(set.name);
	struct set_reader *reader = set_reader_new(arena, &read);
	if (set_reader_take(message, reader) == 0)
		assert_int_equal(set_reader_finish(reader, &read), 0);
	arena_free(&arena);
}

/* Each prefix of a message. Netlink counts in words. */
static void cut(const struct nlmsghdr *message)
{
	for (size_t length = sizeof(*message); length <= message->nlmsg_len; length += 4) {
		struct nlmsghdr *part = exact(message, length);
		decode(part);
		free(part);
	}
}

static void damage(const struct nlmsghdr *message)
{
	static uint32_t random = 12345;
	size_t head = sizeof(*message);
	cut(message);
	for (int i = 0; i < 1000; i++) {
		struct nlmsghdr *damaged = exact(message, message->nlmsg_len);
		for (int flips = 0; flips < 1 + i % 3; flips++) {
			random = random * 1664525u + 1013904223u;
			((uint8_t *)damaged)[head + (random >> 8) % (message->nlmsg_len - head)] = (uint8_t)(random >> 24);
		}
		decode(damaged);
		free(damaged);
	}
}

static void damaged_sets_do_no_harm(void **context)
{
	(void)context;
	struct state *state = nft_sample(0);
	for (size_t i = 0; i < state->set_count; i++) {
		const struct set *set = &state->sets[i];
		char *buffer = calloc(1, ROOM);
		struct nlmsghdr *message = nftnl_nlmsg_build_hdr(buffer, NFT_MSG_NEWSET, NFPROTO_INET, 0, 0);
		assert_int_equal(put_set(message, set, 1), 0);
		damage(message);
		free(buffer);
		struct nft_batch batch cleanup_batch = {0};
		assert_int_equal(nft_batch_begin(0, &batch), 0);
		size_t start = batch.used;
		assert_int_equal(add_elements(&batch, 0, false, set, set->elements, set->element_count, set->ranges,
					      set->range_count), 0);
		if (batch.used > start)
			damage((const struct nlmsghdr *)(batch.data + start));
	}
	state_free(&state);
}

static void set_definitions_come_back(void **context)
{
	(void)context;
	struct state *state = nft_sample(0);
	for (size_t i = 0; i < state->set_count; i++) {
		char *buffer = calloc(1, ROOM);
		struct nlmsghdr *message = nftnl_nlmsg_build_hdr(buffer, NFT_MSG_NEWSET, NFPROTO_INET, 0, 0);
		bool ours;
		struct set back;
		assert_int_equal(put_set(message, &state->sets[i], 1), 0);
		assert_int_equal(get_set(message, state->arena, &ours, &back), 0);
		assert_true(ours);
		if (!set_definition_equal(&state->sets[i], &back))
			fail_msg("%s is not the same", back.name);
		free(buffer);
	}
	state_free(&state);
}

static void impossible_sets_are_refused(void **context)
{
	(void)context;
	static const struct set wrong[] = {
		{.name = "no key"},
		{.name = "key", .key = {FIELD_VERDICT}},
		{.name = "key", .key = {(enum field)99}},
		{.name = "data", .key = {FIELD_PORT}, .data = (enum field)99},
		{.name = "order", .key = {FIELD_MARK}, .interval = true},
		{.name = "two", .key = {FIELD_IPV4, FIELD_PORT}, .interval = true},
		{.name = "bound", .key = {FIELD_IPV4}, .dynamic = true},
		{.name = "long", .key = {FIELD_IPV6, FIELD_IPV6, FIELD_IFNAME}},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char *buffer = calloc(1, ROOM);
		struct nlmsghdr *message = nftnl_nlmsg_build_hdr(buffer, NFT_MSG_NEWSET, NFPROTO_INET, 0, 0);
		assert_int_equal(put_set(message, &wrong[i], 1), -EINVAL);
		free(buffer);
	}
}

/* Through a batch and back. */
static void elements_come_back(void **context)
{
	(void)context;
	struct state *state = nft_sample(9000);
	for (size_t i = 0; i < state->set_count; i++) {
		const struct set *set = &state->sets[i];
		struct nft_batch batch cleanup_batch = {0};
		assert_int_equal(nft_batch_begin(0, &batch), 0);
		assert_int_equal(add_elements(&batch, 0, false, set, set->elements, set->element_count, set->ranges,
					      set->range_count), 0);
		struct set back = *set;
		back.elements = NULL;
		back.ranges = NULL;
		back.element_count = back.range_count = 0;
		struct set_reader *reader = set_reader_new(state->arena, set);
		const struct nlmsghdr *message = (const struct nlmsghdr *)batch.data;
		for (int left = (int)batch.used; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			assert_true(message->nlmsg_len < 65536 + 256);
			if ((message->nlmsg_type & 0xff) == NFT_MSG_NEWSETELEM)
				assert_int_equal(set_reader_take(message, reader), 0);
		}
		assert_int_equal(set_reader_finish(reader, &back), 0);
		assert_int_equal(back.element_count, set->element_count);
		assert_int_equal(back.range_count, set->range_count);
		for (size_t e = 0; e < set->element_count; e++)
			assert_true(element_equal(&set->elements[e], &back.elements[e]));
		for (size_t r = 0; r < set->range_count; r++)
			assert_memory_equal(&set->ranges[r], &back.ranges[r], sizeof(back.ranges[r]));
	}
	state_free(&state);
}

static void user_data_is_bounded(void **context)
{
	(void)context;
	struct udata udata = {0};
	uint8_t value[255] = {1};
	size_t length = 0;
	assert_int_equal(udata_put(&udata, 5, value, 3), 0);
	assert_int_equal(udata_put_text(&udata, 6, "text"), 0);
	assert_non_null(udata_find(udata.bytes, udata.length, 6, &length));
	assert_int_equal(length, 5);
	assert_null(udata_find(udata.bytes, udata.length, 7, &length));
	for (size_t cut = 0; cut < udata.length; cut++)
		assert_null(udata_find(udata.bytes, cut, 6, &length));
	assert_int_equal(udata_put(&udata, 7, value, 250), -EMSGSIZE);
	assert_int_equal(udata_put(&udata, 7, value, 256), -EMSGSIZE);
	struct arena *arena = arena_new();
	const uint8_t unterminated[] = {0, 3, 'a', 'b', 'c', 0, 200};
	assert_string_equal(udata_text(unterminated, sizeof(unterminated), 0, arena), "abc");
	assert_string_equal(udata_text(unterminated, 4, 0, arena), "");
	assert_string_equal(udata_text(NULL, 0, 0, arena), "");
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_expression_comes_back),
		cmocka_unit_test(whole_rules_come_back),
		cmocka_unit_test(registers_have_two_forms),
		cmocka_unit_test(impossible_expressions_are_refused),
		cmocka_unit_test(foreign_expressions_are_not_taken_for_ours),
		cmocka_unit_test(a_rule_from_a_newer_kernel_is_foreign),
		cmocka_unit_test(a_rule_of_another_table_is_not_ours),
		cmocka_unit_test(a_comment_that_is_too_long_is_refused),
		cmocka_unit_test(damaged_sets_do_no_harm),
		cmocka_unit_test(set_definitions_come_back),
		cmocka_unit_test(impossible_sets_are_refused),
		cmocka_unit_test(elements_come_back),
		cmocka_unit_test(user_data_is_bounded),
	};
	return cmocka_run_group_tests_name("nft_expr", tests, NULL, NULL);
}
