/* The sample state. Its rules are of the kind that edged writes: each is one
 * that the kernel takes in the chain where it stands. */
#include "nft_sample.h"
#include "hash_ranges.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define CHECKED(pointer) check(pointer)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void *check(void *pointer)
{
	if (!pointer)
		abort();
	return pointer;
}

static const struct expr every[] = {
	{.kind = EXPR_META, .meta = {META_IIFNAME, 0}},
	{.kind = EXPR_META, .meta = {META_L4PROTO, 15}},
	{.kind = EXPR_META, .meta = {META_MARK, 5}},
	{.kind = EXPR_META, .meta = {META_IIFTYPE, 6}},
	{.kind = EXPR_META, .meta = {META_OIFNAME, 12}},
	{.kind = EXPR_META, .meta = {META_PROTOCOL_FAMILY, 4}},
	{.kind = EXPR_PAYLOAD, .payload = {PAYLOAD_NETWORK, 8, 16, 8}},
	{.kind = EXPR_PAYLOAD, .payload = {PAYLOAD_TRANSPORT, 2, 2, 1}},
	{.kind = EXPR_CT, .ct = {CT_STATE, 3}},
	{.kind = EXPR_CT, .ct = {CT_STATUS, 4}},
	{.kind = EXPR_CT, .ct = {CT_DIRECTION, 4}},
	{.kind = EXPR_CT_SET, .ct = {CT_MARK, 7}},
	{.kind = EXPR_FIB, .fib = {FIB_ADDRTYPE, FIB_DADDR, 0}},
	{.kind = EXPR_FIB, .fib = {FIB_OIF, FIB_SADDR | FIB_IIF | FIB_PRESENT, 9}},
	{.kind = EXPR_FIB, .fib = {FIB_OIFNAME, FIB_DADDR, 4}},
	{.kind = EXPR_BITWISE, .bitwise = {0, 4, 16, {255, 255, 255, 255, 255, 255, 255, 255}, {0, 1}}},
	{.kind = EXPR_BITWISE, .bitwise = {5, 5, 4, {1, 2, 3, 4}, {0}}},
	{.kind = EXPR_CMP, .cmp = {COMPARE_EQ, 0, 16, "eth0"}},
	{.kind = EXPR_CMP, .cmp = {COMPARE_NE, 1, 1, {6}}},
	{.kind = EXPR_CMP, .cmp = {COMPARE_LT, 2, 2, {1, 2}}},
	{.kind = EXPR_CMP, .cmp = {COMPARE_LE, 3, 3, {1, 2, 3}}},
	{.kind = EXPR_CMP, .cmp = {COMPARE_GT, 4, 4, {1, 2, 3, 4}}},
	{.kind = EXPR_CMP, .cmp = {COMPARE_GE, 5, 8, {1, 2, 3, 4, 5, 6, 7, 8}}},
	{.kind = EXPR_RANGE, .range = {false, 1, 2, {0, 80}, {1, 187}}},
	{.kind = EXPR_RANGE, .range = {true, 8, 16, {32, 1}, {32, 2}}},
	{.kind = EXPR_LOOKUP, .lookup = {.set = "list4", .reg = 2, .invert = true}},
	{.kind = EXPR_LOOKUP, .lookup = {.set = "backends", .reg = 2, .has_data = true, .to_reg = 3}},
	{.kind = EXPR_LOOKUP, .lookup = {.set = "ports", .reg = 2, .has_data = true, .to_verdict = true}},
	{.kind = EXPR_DYNSET, .dynset = {.set = "bans4", .op = DYNSET_UPDATE, .reg = 8, .timeout_ms = 600000}},
	{.kind = EXPR_DYNSET, .dynset = {.set = "bans4", .op = DYNSET_DELETE, .reg = 0, .invert = true}},
	{.kind = EXPR_DYNSET, .dynset = {.set = "rate4", .op = DYNSET_ADD, .reg = 4, .with = DYNSET_LIMIT,
					 .limit = {50, 1, 100, false}}},
	{.kind = EXPR_DYNSET, .dynset = {.set = "open4", .op = DYNSET_ADD, .reg = 4, .with = DYNSET_CONNLIMIT,
					 .connections = 400}},
	{.kind = EXPR_LIMIT, .limit = {10, 60, 20, false}},
	{.kind = EXPR_LIMIT, .limit = {5000, 1, 10000, true}},
	{.kind = EXPR_LIMIT, .limit = {1, 3600, 1, false}},
	{.kind = EXPR_COUNTER, .counter = {"default"}},
	{.kind = EXPR_LOG, .log = {1, 128, "edged:default "}},
	{.kind = EXPR_LOG, .log = {0, 0, ""}},
	{.kind = EXPR_IMMEDIATE, .immediate = {3, 16, {32, 1, 13, 184}}},
	{.kind = EXPR_IMMEDIATE, .immediate = {15, 2, {1, 187}}},
	{.kind = EXPR_NUMGEN, .numgen = {false, 3, 0, 5}},
	{.kind = EXPR_NUMGEN, .numgen = {true, 100, 7, 5}},
	{.kind = EXPR_HASH, .hash = {8, 16, 1, 64, 0, 0}},
	{.kind = EXPR_HASH, .hash = {0, 4, 1, 64, 0xdeadbeef, 5}},
	{.kind = EXPR_NAT, .nat = {false, FAMILY_V4, true, 1, 2}},
	{.kind = EXPR_NAT, .nat = {true, FAMILY_V6, false, 4, 0}},
	{.kind = EXPR_REDIRECT, .redirect = {true, 3}},
	{.kind = EXPR_REDIRECT, .redirect = {false, 0}},
	{.kind = EXPR_MASQUERADE, .masquerade = {true}},
	{.kind = EXPR_MASQUERADE, .masquerade = {false}},
	{.kind = EXPR_REJECT, .reject = {REJECT_TCP_RESET}},
	{.kind = EXPR_REJECT, .reject = {REJECT_ADMIN_PROHIBITED}},
	{.kind = EXPR_REJECT, .reject = {REJECT_PORT_UNREACHABLE}},
	{.kind = EXPR_ROUTE_MSS, .mss = {1}},
	{.kind = EXPR_NETWORK16, .mss = {15}},
	{.kind = EXPR_SET_MSS, .mss = {2}},
	{.kind = EXPR_STRIP_OPTION, .option = {8}},
	{.kind = EXPR_FLOW_ADD, .flow = {"offload"}},
	{.kind = EXPR_SYNPROXY, .synproxy = {1460, 7, true, true}},
	{.kind = EXPR_SYNPROXY, .synproxy = {536, 0, false, false}},
	{.kind = EXPR_VERDICT, .verdict = {VERDICT_ACCEPT, NULL}},
	{.kind = EXPR_VERDICT, .verdict = {VERDICT_DROP, NULL}},
	{.kind = EXPR_VERDICT, .verdict = {VERDICT_RETURN, NULL}},
	{.kind = EXPR_VERDICT, .verdict = {VERDICT_JUMP, "fresh"}},
	{.kind = EXPR_VERDICT, .verdict = {VERDICT_GOTO, "fresh"}},
};

const struct expr *nft_sample_exprs(size_t *ret_count)
{
	*ret_count = COUNT(every);
	return every;
}

#define V(...) {.kind = EXPR_VERDICT, .verdict = {__VA_ARGS__}}
#define IPV4                                           \
	{.kind = EXPR_META, .meta = {META_PROTOCOL_FAMILY, 0}}, \
	{ .kind = EXPR_CMP, .cmp = {COMPARE_EQ, 0, 1, {2}} }
#define IPV6                                           \
	{.kind = EXPR_META, .meta = {META_PROTOCOL_FAMILY, 0}}, \
	{ .kind = EXPR_CMP, .cmp = {COMPARE_EQ, 0, 1, {10}} }
#define TCP                                     \
	{.kind = EXPR_META, .meta = {META_L4PROTO, 0}}, \
	{ .kind = EXPR_CMP, .cmp = {COMPARE_EQ, 0, 1, {6}} }
#define SADDR4 {.kind = EXPR_PAYLOAD, .payload = {PAYLOAD_NETWORK, 12, 4, 1}}
#define SADDR6 {.kind = EXPR_PAYLOAD, .payload = {PAYLOAD_NETWORK, 8, 16, 8}}
#define DPORT {.kind = EXPR_PAYLOAD, .payload = {PAYLOAD_TRANSPORT, 2, 2, 2}}

#define FIFTY {50, 1, 100, false}
#define RATE(...) \
	{.kind = EXPR_DYNSET, .dynset = {.set = "rate4", .reg = 1, .with = DYNSET_LIMIT, .limit = FIFTY, __VA_ARGS__}}
#define OPEN \
	{.kind = EXPR_DYNSET, \
	 .dynset = {.set = "open4", .op = DYNSET_ADD, .reg = 1, .with = DYNSET_CONNLIMIT, .connections = 400}}

struct made_rule {
	const char *chain, *comment;
	struct expr exprs[10];
};

static const struct made_rule made[] = {
	{"decide", "lo", {{.kind = EXPR_META, .meta = {META_IIFNAME, 4}},
	 {.kind = EXPR_CMP, .cmp = {COMPARE_EQ, 4, 16, "lo"}}, V(VERDICT_ACCEPT, NULL)}},
	{"decide", "established", {{.kind = EXPR_CT, .ct = {CT_STATE, 0}},
	 {.kind = EXPR_BITWISE, .bitwise = {0, 0, 4, {6}, {0}}},
	 {.kind = EXPR_CMP, .cmp = {COMPARE_NE, 0, 4, {0}}}, V(VERDICT_ACCEPT, NULL)}},
	{"decide", "spoofed", {{.kind = EXPR_FIB, .fib = {FIB_OIF, FIB_SADDR | FIB_IIF | FIB_PRESENT, 3}},
	 {.kind = EXPR_CMP, .cmp = {COMPARE_EQ, 3, 1, {0}}}, {.kind = EXPR_COUNTER, .counter = {"spoofed"}},
	 V(VERDICT_DROP, NULL)}},
	{"decide", "bans", {IPV4, SADDR4, {.kind = EXPR_LOOKUP, .lookup = {.set = "bans4", .reg = 1}},
	 V(VERDICT_DROP, NULL)}},
	{"decide", "banned by operators", {IPV6, SADDR6,
	 {.kind = EXPR_LOOKUP, .lookup = {.set = "banned6", .reg = 8}}, V(VERDICT_DROP, NULL)}},
	{"decide", "blocklist-abuse", {IPV4, SADDR4, {.kind = EXPR_LOOKUP, .lookup = {.set = "list4", .reg = 1}},
	 V(VERDICT_DROP, NULL)}},
	{"decide", "blocklist6", {IPV6, SADDR6, {.kind = EXPR_LOOKUP, .lookup = {.set = "list6", .reg = 8}},
	 V(VERDICT_DROP, NULL)}},
	{"decide", "large", {IPV4, SADDR4, {.kind = EXPR_LOOKUP, .lookup = {.set = "large", .reg = 1}},
	 V(VERDICT_DROP, NULL)}},
	{"decide", "mark", {{.kind = EXPR_IMMEDIATE, .immediate = {5, 4, {1, 0, 0, 0x90}}},
	 {.kind = EXPR_CT_SET, .ct = {CT_MARK, 5}}, V(VERDICT_GOTO, "fresh")}},
	{"fresh", "limit per source", {IPV4, SADDR4,
	 RATE(.op = DYNSET_UPDATE),
	 V(VERDICT_RETURN, NULL)}},
	{"fresh", "open per source", {IPV4, SADDR4,
	 OPEN,
	 V(VERDICT_RETURN, NULL)}},
	{"fresh", "the shared bucket", {IPV4, SADDR4,
	 RATE(.op = DYNSET_ADD, .invert = true),
	 {.kind = EXPR_LIMIT, .limit = FIFTY}, V(VERDICT_RETURN, NULL)}},
	{"fresh", "ban", {IPV4, SADDR4,
	 {.kind = EXPR_DYNSET, .dynset = {.set = "bans4", .op = DYNSET_ADD, .reg = 1, .timeout_ms = 60000}}}},
	{"fresh", "ports", {TCP, DPORT, {.kind = EXPR_LOOKUP, .lookup = {.set = "ports", .reg = 2}},
	 V(VERDICT_ACCEPT, NULL)}},
	{"fresh", "not these ports", {TCP, DPORT, {.kind = EXPR_RANGE, .range = {true, 2, 2, {0, 80}, {1, 187}}},
	 {.kind = EXPR_LOG, .log = {1, 64, "edged:ports "}}, V(VERDICT_RETURN, NULL)}},
	{"fresh", "by port", {TCP, DPORT,
	 {.kind = EXPR_LOOKUP, .lookup = {.set = "services", .reg = 2, .has_data = true, .to_verdict = true}}}},
	{"fresh", "pair", {IPV4, SADDR4, DPORT, {.kind = EXPR_LOOKUP, .lookup = {.set = "pairs", .reg = 1}},
	 V(VERDICT_ACCEPT, NULL)}},
	{"fresh", "reset", {TCP, {.kind = EXPR_COUNTER, .counter = {"default"}},
	 {.kind = EXPR_REJECT, .reject = {REJECT_TCP_RESET}}}},
	{"fresh", "refused", {{.kind = EXPR_REJECT, .reject = {REJECT_ADMIN_PROHIBITED}}}},
	{"service", "", {V(VERDICT_ACCEPT, NULL)}},
	{"service", "twice", {V(VERDICT_DROP, NULL)}},
	{"service", "twice", {V(VERDICT_DROP, NULL)}},
	{"dnat", "fwd-https", {IPV4, TCP, {.kind = EXPR_NUMGEN, .numgen = {false, 3, 0, 1}},
	 {.kind = EXPR_LOOKUP, .lookup = {.set = "backends", .reg = 1, .has_data = true, .to_reg = 4}},
	 {.kind = EXPR_IMMEDIATE, .immediate = {8, 2, {117, 143}}},
	 {.kind = EXPR_NAT, .nat = {false, FAMILY_V4, true, 4, 8}}}},
	{"dnat", "fwd-source", {IPV6, SADDR6, {.kind = EXPR_HASH, .hash = {8, 16, 1, 64, 7, 0}},
	 {.kind = EXPR_LOOKUP, .lookup = {.set = "backends6", .reg = 1, .has_data = true, .to_reg = 4}},
	 {.kind = EXPR_NAT, .nat = {false, FAMILY_V6, false, 4, 0}}}},
	{"dnat", "hairpin", {TCP, {.kind = EXPR_IMMEDIATE, .immediate = {3, 2, {1, 187}}},
	 {.kind = EXPR_REDIRECT, .redirect = {true, 3}}}},
	{"postrouting", "snat-egress", {{.kind = EXPR_META, .meta = {META_OIFNAME, 0}},
	 {.kind = EXPR_CMP, .cmp = {COMPARE_EQ, 0, 16, "wan0"}}, {.kind = EXPR_MASQUERADE, .masquerade = {true}}}},
	{"postrouting", "snat-addr", {IPV4, {.kind = EXPR_IMMEDIATE, .immediate = {2, 4, {203, 0, 113, 10}}},
	 {.kind = EXPR_NAT, .nat = {true, FAMILY_V4, false, 2, 0}}}},
};

static const struct chain chains[] = {
	{.name = "decide", .type = CHAIN_FILTER, .hook = HOOK_PREROUTING, .priority = -150},
	{.name = "dnat", .type = CHAIN_NAT, .hook = HOOK_PREROUTING, .priority = -100},
	{.name = "forward", .type = CHAIN_FILTER, .hook = HOOK_FORWARD, .priority = 0, .policy_drop = true},
	{.name = "fresh", .type = CHAIN_REGULAR},
	{.name = "input", .type = CHAIN_FILTER, .hook = HOOK_INPUT, .priority = 0, .policy_drop = true},
	{.name = "mangle", .type = CHAIN_ROUTE, .hook = HOOK_OUTPUT, .priority = -150},
	{.name = "postrouting", .type = CHAIN_NAT, .hook = HOOK_POSTROUTING, .priority = 100},
	{.name = "service", .type = CHAIN_REGULAR},
};

static const struct element backends[] = {
	{.key = {0}, .data = {192, 0, 2, 11}},
	{.key = {1}, .data = {192, 0, 2, 12}},
	{.key = {2}, .data = {192, 0, 2, 13}},
};
static const struct element backends6[] = {
	{.key = {0}, .data = {0x20, 1, 0x0d, 0xb8, [15] = 1}},
	{.key = {63}, .data = {0x20, 1, 0x0d, 0xb8, [15] = 2}},
};
static const struct element ports[] = {
	{.key = {0, 22}, .key_end = {0, 22}},
	{.key = {0x1f, 0x40}, .key_end = {0x1f, 0x4a}},
	{.key = {0xff, 0}, .key_end = {0xff, 0xff}},
};
static const struct element services[] = {
	{.key = {0, 22}, .verdict = VERDICT_ACCEPT},
	{.key = {0, 25}, .verdict = VERDICT_DROP},
	{.key = {1, 187}, .verdict = VERDICT_GOTO, .chain = "service"},
};
static const struct element pairs[] = {
	{.key = {192, 0, 2, 1, 0, 53}},
	{.key = {192, 0, 2, 1, 1, 187}},
};
static const struct element banned6[] = {
	{.key = {0x20, 1, 0x0d, 0xb8, 1}, .key_end = {0x20, 1, 0x0d, 0xb8, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255,
	 255, 255},
	 .expires = 4000000000u, .timeout_ms = 3600000},
	{.key = {0x20, 1, 0x0d, 0xb8, 2}, .key_end = {0x20, 1, 0x0d, 0xb8, 2}},
};
#define R4(a, b, c, d, e, f, g, h) {{FAMILY_V4, {a, b, c, d}}, {FAMILY_V4, {e, f, g, h}}}
static const struct addr_range list4[] = {
	R4(0, 0, 0, 0, 0, 255, 255, 255), R4(192, 0, 2, 1, 192, 0, 2, 1), R4(192, 0, 2, 3, 192, 0, 2, 77),
	R4(198, 18, 0, 0, 198, 19, 255, 255), R4(240, 0, 0, 0, 255, 255, 255, 255),
};
static const struct addr_range list6[] = {
	{{FAMILY_V6, {0x20, 1, 0x0d, 0xb8}}, {FAMILY_V6, {0x20, 1, 0x0d, 0xb8, 0, 0, 255, 255}}},
	{{FAMILY_V6, {0xff}}, {FAMILY_V6,
	 {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}}},
};

static const struct set sets[] = {
	{.name = "backends", .key = {FIELD_INTEGER}, .data = FIELD_IPV4, .elements = backends,
	 .element_count = COUNT(backends)},
	{.name = "backends6", .key = {FIELD_INTEGER}, .data = FIELD_IPV6, .elements = backends6,
	 .element_count = COUNT(backends6)},
	{.name = "banned6", .key = {FIELD_IPV6}, .interval = true, .timeout = true, .elements = banned6,
	 .element_count = COUNT(banned6), .comment = "by operators"},
	{.name = "bans4", .key = {FIELD_IPV4}, .dynamic = true, .timeout = true, .timeout_ms = 600000, .size = 1000,
	 .gc_interval_ms = 30000},
	{.name = "large", .key = {FIELD_IPV4}, .interval = true},
	{.name = "list4", .key = {FIELD_IPV4}, .interval = true, .ranges = list4, .range_count = COUNT(list4),
	 .comment = "abuse"},
	{.name = "list6", .key = {FIELD_IPV6}, .interval = true, .ranges = list6, .range_count = COUNT(list6)},
	{.name = "marks", .key = {FIELD_MARK, FIELD_IFNAME, FIELD_PROTO, FIELD_PORT}},
	{.name = "open4", .key = {FIELD_IPV4}, .dynamic = true, .size = 65535, .with = DYNSET_CONNLIMIT,
	 .connections = 400},
	{.name = "pairs", .key = {FIELD_IPV4, FIELD_PORT}, .elements = pairs, .element_count = COUNT(pairs)},
	{.name = "ports", .key = {FIELD_PORT}, .interval = true, .elements = ports, .element_count = COUNT(ports)},
	{.name = "protocols", .key = {FIELD_PROTO}},
	{.name = "rate4", .key = {FIELD_IPV4}, .dynamic = true, .timeout = true, .timeout_ms = 10000, .size = 65535,
	 .with = DYNSET_LIMIT, .limit = {50, 1, 100, false}},
	{.name = "services", .key = {FIELD_PORT}, .data = FIELD_VERDICT, .elements = services,
	 .element_count = COUNT(services)},
};

static const struct counter counters[] = {{.name = "default"}, {.name = "spoofed"}};

static size_t used(const struct made_rule *rule)
{
	static const struct expr nothing;
	size_t count = COUNT(rule->exprs);
	while (count > 0 && memcmp(&rule->exprs[count - 1], &nothing, sizeof(nothing)) == 0)
		count--;
	return count;
}

static void add_rules(struct state *state, struct chain *chain)
{
	struct rule_state *rules = CHECKED(arena_array(state->arena, COUNT(made), struct rule_state));
	for (size_t i = 0; i < COUNT(made); i++) {
		if (strcmp(made[i].chain, chain->name) == 0)
			rules[chain->rule_count++] = (struct rule_state){
				.exprs = made[i].exprs, .expr_count = used(&made[i]), .comment = made[i].comment,
				.at = {"sample.yaml", (uint32_t)i + 1, 1}};
	}
	chain->rules = rules;
}

static void fill_large(struct state *state, struct set *set, size_t count)
{
	struct addr_range *ranges = CHECKED(arena_array(state->arena, count, struct addr_range));
	for (size_t i = 0; i < count; i++) {
		/* Every second /30, from 11.0.0.0 on. */
		uint32_t first = htonl(0x0b000000u + (uint32_t)i * 8), last = htonl(0x0b000003u + (uint32_t)i * 8);
		ranges[i].first.family = ranges[i].last.family = FAMILY_V4;
		memcpy(ranges[i].first.bytes, &first, 4);
		memcpy(ranges[i].last.bytes, &last, 4);
	}
	set->ranges = ranges;
	set->range_count = count;
	if (count > STATE_HASHED_ABOVE)
		hash_ranges(ranges, count, set->hash);
}

struct state *nft_sample(size_t large)
{
	struct state *state = CHECKED(state_new());
	state->present = true;
	state->chains = CHECKED(arena_memdup(state->arena, chains, sizeof(chains)));
	state->chain_count = COUNT(chains);
	state->sets = CHECKED(arena_memdup(state->arena, sets, sizeof(sets)));
	state->set_count = COUNT(sets);
	state->counters = CHECKED(arena_memdup(state->arena, counters, sizeof(counters)));
	state->counter_count = COUNT(counters);
	for (size_t i = 0; i < COUNT(chains); i++)
		add_rules(state, &state->chains[i]);
	for (size_t i = 0; i < COUNT(sets); i++) {
		if (strcmp(sets[i].name, "large") == 0 && large)
			fill_large(state, &state->sets[i], large);
	}
	return state;
}
