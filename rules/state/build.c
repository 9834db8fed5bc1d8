/* The words of the ruleset compiler: matches, statements, chains. Owns nothing
 * but what the arena holds; knows registers, and nothing of policy. */
#include "build.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

const struct origin no_origin = {0};

#define NFPROTO_V4 2
#define NFPROTO_V6 10
#define IFNAME_BYTES 16

char *build_name(struct build *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *name = arena_vprintf(b->arena, format, args);
	va_end(args);
	if (!name)
		b->failed = true;
	return name;
}

struct chain_build *build_chain(struct build *b, const char *name)
{
	struct chain_build **items =
		arena_grow(b->arena, b->chains.items, b->chains.count, sizeof(struct chain_build *), &b->chains.capacity);
	struct chain_build *chain = arena_new_of(b->arena, struct chain_build);
	if (!items || !chain || !name) {
		b->failed = true;
		return NULL;
	}
	b->chains.items = items;
	items[b->chains.count++] = chain;
	chain->chain.name = name;
	return chain;
}

struct chain_build *build_base_chain(struct build *b, const char *name, enum chain_type type, enum hook hook,
				     int32_t priority, bool policy_drop)
{
	struct chain_build *chain = build_chain(b, name);
	if (!chain)
		return NULL;
	chain->chain.type = type;
	chain->chain.hook = hook;
	chain->chain.priority = priority;
	chain->chain.policy_drop = policy_drop;
	return chain;
}

void build_set(struct build *b, const struct set *set)
{
	struct set *sets = arena_grow(b->arena, b->sets, b->set_count, sizeof(*sets), &b->set_capacity);
	if (!sets || !set->name) {
		b->failed = true;
		return;
	}
	b->sets = sets;
	sets[b->set_count++] = *set;
}

const struct set *build_find_set(const struct build *b, const char *name)
{
	for (size_t i = 0; i < b->set_count; i++)
		if (b->sets[i].name && strcmp(b->sets[i].name, name) == 0)
			return &b->sets[i];
	return NULL;
}

void build_count_as(struct build *b, const char *name)
{
	struct counter *counters =
		arena_grow(b->arena, b->counters, b->counter_count, sizeof(*counters), &b->counter_capacity);
	if (!counters || !name) {
		b->failed = true;
		return;
	}
	b->counters = counters;
	/* The list is sorted and freed of doubles when the state is finished. */
	counters[b->counter_count++] = (struct counter){.name = name};
}

struct expr *build_expr(struct build *b, enum expr_kind kind)
{
	assert(b->expr_count < sizeof(b->exprs) / sizeof(b->exprs[0]));
	struct expr *expr = &b->exprs[b->expr_count++];
	memset(expr, 0, sizeof(*expr));
	expr->kind = kind;
	return expr;
}

static void cmp(struct build *b, enum compare_op op, uint8_t reg, const void *data, uint8_t length)
{
	struct expr *expr = build_expr(b, EXPR_CMP);
	expr->cmp.op = op;
	expr->cmp.reg = reg;
	expr->cmp.length = length;
	memcpy(expr->cmp.data, data, length);
}

static void payload(struct build *b, enum payload_base base, uint8_t offset, uint8_t length, uint8_t reg)
{
	struct expr *expr = build_expr(b, EXPR_PAYLOAD);
	expr->payload.base = base;
	expr->payload.offset = offset;
	expr->payload.length = length;
	expr->payload.reg = reg;
}

static void meta(struct build *b, enum meta_key key)
{
	build_expr(b, EXPR_META)->meta.key = key;
}

void match_family(struct build *b, enum family family)
{
	uint8_t nfproto = family == FAMILY_V4 ? NFPROTO_V4 : NFPROTO_V6;
	meta(b, META_PROTOCOL_FAMILY);
	cmp(b, COMPARE_EQ, 0, &nfproto, 1);
}

void match_l4proto(struct build *b, uint8_t proto)
{
	meta(b, META_L4PROTO);
	cmp(b, COMPARE_EQ, 0, &proto, 1);
}

void match_l4proto_other(struct build *b, uint8_t proto)
{
	meta(b, META_L4PROTO);
	cmp(b, COMPARE_NE, 0, &proto, 1);
}

static void match_device(struct build *b, enum meta_key key, const char *device, bool equal)
{
	char name[IFNAME_BYTES] = {0};
	assert(strlen(device) < sizeof(name));
	memcpy(name, device, strlen(device));
	meta(b, key);
	cmp(b, equal ? COMPARE_EQ : COMPARE_NE, 0, name, sizeof(name));
}

void match_iif(struct build *b, const char *device, bool equal)
{
	match_device(b, META_IIFNAME, device, equal);
}

void match_oif(struct build *b, const char *device)
{
	match_device(b, META_OIFNAME, device, true);
}

/* The address's place in its header: RFC 791 section 3.1, RFC 8200 section 3. */
static uint8_t addr_offset(enum family family, bool source)
{
	if (family == FAMILY_V4)
		return source ? 12 : 16;
	return source ? 8 : 24;
}

static void match_addr(struct build *b, const struct prefix *prefix, bool source)
{
	enum family family = prefix->addr.family;
	uint8_t size = (uint8_t)addr_size(family);
	match_family(b, family);
	if (prefix->length == 0)
		return;
	payload(b, PAYLOAD_NETWORK, addr_offset(family, source), size, 0);
	if (prefix->length != addr_bits(family)) {
		struct addr ones = {.family = family};
		memset(ones.bytes, 0xff, size);
		struct prefix mask = prefix_of(&ones, prefix->length);
		struct expr *expr = build_expr(b, EXPR_BITWISE);
		expr->bitwise.length = size;
		memcpy(expr->bitwise.mask, mask.addr.bytes, size);
	}
	cmp(b, COMPARE_EQ, 0, prefix->addr.bytes, size);
}

void match_saddr(struct build *b, const struct prefix *prefix)
{
	match_addr(b, prefix, true);
}

void match_daddr(struct build *b, const struct prefix *prefix)
{
	match_addr(b, prefix, false);
}

static void lookup(struct build *b, const char *set)
{
	build_expr(b, EXPR_LOOKUP)->lookup.set = set;
}

void match_saddr_set(struct build *b, enum family family, const char *set)
{
	match_family(b, family);
	payload(b, PAYLOAD_NETWORK, addr_offset(family, true), (uint8_t)addr_size(family), 0);
	lookup(b, set);
}

void match_daddr_set(struct build *b, enum family family, const char *set)
{
	match_family(b, family);
	payload(b, PAYLOAD_NETWORK, addr_offset(family, false), (uint8_t)addr_size(family), 0);
	lookup(b, set);
}

void match_dport(struct build *b, struct port_range ports)
{
	uint16_t first = htons(ports.first), last = htons(ports.last);
	payload(b, PAYLOAD_TRANSPORT, 2, 2, 0);
	if (first == last) {
		cmp(b, COMPARE_EQ, 0, &first, 2);
		return;
	}
	struct expr *expr = build_expr(b, EXPR_RANGE);
	expr->range.length = 2;
	memcpy(expr->range.first, &first, 2);
	memcpy(expr->range.last, &last, 2);
}

void match_sport(struct build *b, uint16_t port)
{
	uint16_t big = htons(port);
	payload(b, PAYLOAD_TRANSPORT, 0, 2, 0);
	cmp(b, COMPARE_EQ, 0, &big, 2);
}

void match_dport_set(struct build *b, const char *set)
{
	payload(b, PAYLOAD_TRANSPORT, 2, 2, 0);
	lookup(b, set);
}

void match_icmp_type(struct build *b, uint8_t first, uint8_t last)
{
	payload(b, PAYLOAD_TRANSPORT, 0, 1, 0);
	if (first == last) {
		cmp(b, COMPARE_EQ, 0, &first, 1);
		return;
	}
	struct expr *expr = build_expr(b, EXPR_RANGE);
	expr->range.length = 1;
	expr->range.first[0] = first;
	expr->range.last[0] = last;
}

static void bitwise_u32(struct build *b, uint32_t mask, uint32_t xor)
{
	struct expr *expr = build_expr(b, EXPR_BITWISE);
	expr->bitwise.length = 4;
	memcpy(expr->bitwise.mask, &mask, 4);
	memcpy(expr->bitwise.xor, &xor, 4);
}

void match_tcp_flags(struct build *b, uint8_t mask, bool equal, uint8_t value)
{
	match_l4proto(b, PROTO_TCP);
	payload(b, PAYLOAD_TRANSPORT, 13, 1, 0);
	struct expr *bits = build_expr(b, EXPR_BITWISE);
	bits->bitwise.length = 1;
	bits->bitwise.mask[0] = mask;
	cmp(b, equal ? COMPARE_EQ : COMPARE_NE, 0, &value, 1);
}

void match_ct_state(struct build *b, uint32_t bits)
{
	uint32_t zero = 0;
	build_expr(b, EXPR_CT)->ct.key = CT_STATE;
	bitwise_u32(b, bits, 0);
	cmp(b, COMPARE_NE, 0, &zero, 4);
}

void match_mark(struct build *b, uint32_t mask, uint32_t value)
{
	build_expr(b, EXPR_CT)->ct.key = CT_MARK;
	bitwise_u32(b, mask, 0);
	cmp(b, COMPARE_EQ, 0, &value, 4);
}

void match_mark_other(struct build *b, uint32_t mask, uint32_t value)
{
	build_expr(b, EXPR_CT)->ct.key = CT_MARK;
	bitwise_u32(b, mask, 0);
	cmp(b, COMPARE_NE, 0, &value, 4);
}

void do_mark_set(struct build *b, uint32_t value)
{
	struct expr *expr = build_expr(b, EXPR_IMMEDIATE);
	expr->immediate.length = 4;
	memcpy(expr->immediate.data, &value, 4);
	build_expr(b, EXPR_CT_SET)->ct.key = CT_MARK;
}

void do_mark_change(struct build *b, uint32_t keep, uint32_t set)
{
	build_expr(b, EXPR_CT)->ct.key = CT_MARK;
	/* (mark & keep) | set, as bitwise does it: bits of set are cleared first. */
	bitwise_u32(b, keep & ~set, set);
	build_expr(b, EXPR_CT_SET)->ct.key = CT_MARK;
}

void do_limit(struct build *b, struct limit_spec limit)
{
	build_expr(b, EXPR_LIMIT)->limit = limit;
}

void do_counter(struct build *b, const char *name)
{
	build_expr(b, EXPR_COUNTER)->counter.name = name;
	build_count_as(b, name);
}

void do_log(struct build *b, const char *prefix)
{
	struct expr *expr = build_expr(b, EXPR_LOG);
	expr->log.group = 1;
	expr->log.snaplen = 128; /* headers are enough to say who and where to */
	expr->log.prefix = prefix;
}

void load_source_unit(struct build *b, enum family family)
{
	payload(b, PAYLOAD_NETWORK, addr_offset(family, true), (uint8_t)addr_size(family), 0);
	if (family == FAMILY_V6) {
		struct expr *expr = build_expr(b, EXPR_BITWISE);
		expr->bitwise.length = 16;
		memset(expr->bitwise.mask, 0xff, 8);
	}
}

void rule_end(struct build *b, struct chain_build *chain, struct origin at, const char *comment)
{
	size_t count = b->expr_count;
	b->expr_count = 0;
	if (!chain)
		return;
	struct rule_state *rules = arena_grow(b->arena, chain->rules, chain->count, sizeof(*rules), &chain->capacity);
	struct expr *exprs = arena_memdup(b->arena, b->exprs, count * sizeof(struct expr));
	if (!rules || !exprs) {
		b->failed = true;
		return;
	}
	chain->rules = rules;
	rules[chain->count++] =
		(struct rule_state){.exprs = exprs, .expr_count = count, .comment = comment ? comment : "", .at = at};
}

void rule_verdict(struct build *b, struct chain_build *chain, enum verdict_kind kind, const char *target, struct origin at,
		  const char *comment)
{
	struct expr *expr = build_expr(b, EXPR_VERDICT);
	expr->verdict.kind = kind;
	expr->verdict.chain = target;
	rule_end(b, chain, at, comment);
}

struct limit_spec limit_of_rate(struct rate rate)
{
	static const uint32_t seconds[] = {[RATE_SECOND] = 1, [RATE_MINUTE] = 60, [RATE_HOUR] = 3600};
	return (struct limit_spec){.count = rate.count, .per_seconds = seconds[rate.unit], .burst = rate.burst};
}
