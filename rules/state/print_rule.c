/* Printing of one rule: its expressions are followed through the registers, so
 * that the line reads like nft's own ("ip saddr 192.0.2.0/24 accept") and not
 * like bytecode. Loads show where they are used. */
#include "print_parts.h"

#include <string.h>

#define SLOTS 16

/* What a register holds. */
struct slot {
	const char *what; /* NULL: nothing was loaded */
	enum value_kind kind;
	unsigned prefix;          /* leading bits that count; 0: all */
	size_t width;             /* slots that the value takes */
	const uint8_t *immediate; /* a constant, not yet printed since its kind shows at its use */
	size_t length;            /* of the constant */
	bool fresh;               /* loaded since the last use of any register: belongs to the next key */
};

struct printer {
	struct text *out;
	struct slot slots[SLOTS];
	struct slot outside; /* stands in for registers that do not exist */
	bool first;
};

static void begin(struct printer *printer)
{
	if (!printer->first)
		text_add(printer->out, " ");
	printer->first = false;
}

static struct slot *slot_at(struct printer *printer, uint8_t reg)
{
	if (reg < SLOTS)
		return &printer->slots[reg];
	printer->outside = (struct slot){0};
	return &printer->outside;
}

static void load(struct printer *printer, uint8_t reg, const char *what, enum value_kind kind, size_t length)
{
	*slot_at(printer, reg) = (struct slot){
		.what = what ? what : "", .kind = kind, .width = (length + 3) / 4, .length = length, .fresh = true};
}

static const char *slot_text(struct printer *printer, const struct slot *slot, enum value_kind kind)
{
	if (!slot->immediate)
		return slot->what ? slot->what : "(nothing)";
	struct text value = {.arena = printer->out->arena};
	text_add_value(&value, kind, slot->immediate, slot->length, 0);
	const char *text = text_finish(&value);
	return text ? text : "";
}

static void used(struct printer *printer)
{
	for (size_t i = 0; i < SLOTS; i++)
		printer->slots[i].fresh = false;
}

/* The parts of a key that starts at reg: "ip daddr . th dport". */
static const char *key_text(struct printer *printer, uint8_t reg)
{
	struct text key = {.arena = printer->out->arena};
	const struct slot *slot = slot_at(printer, reg);
	text_add(&key, "%s", slot_text(printer, slot, slot->kind));
	for (size_t at = reg + slot->width; slot->width && at < SLOTS; at += slot->width) {
		slot = &printer->slots[at];
		if (!slot->fresh)
			break;
		text_add(&key, " . %s", slot_text(printer, slot, slot->kind));
	}
	used(printer);
	const char *text = text_finish(&key);
	return text ? text : "";
}

static void load_meta(struct printer *printer, const struct expr *expr)
{
	static const struct {
		const char *name;
		enum value_kind kind;
		size_t length;
	} keys[] = {
		[META_PROTOCOL_FAMILY] = {"meta nfproto", VALUE_FAMILY, 1},
		[META_L4PROTO] = {"meta l4proto", VALUE_PROTOCOL, 1},
		[META_IIFNAME] = {"iifname", VALUE_IFNAME, 16},
		[META_OIFNAME] = {"oifname", VALUE_IFNAME, 16},
		[META_IIFTYPE] = {"iiftype", VALUE_RAW, 2},
		[META_MARK] = {"meta mark", VALUE_MARK, 4},
		[META_IIF] = {"iif", VALUE_INTEGER, 4},
		[META_OIF] = {"oif", VALUE_INTEGER, 4},
	};
	if ((size_t)expr->meta.key < sizeof(keys) / sizeof(keys[0]))
		load(printer, expr->meta.reg, keys[expr->meta.key].name, keys[expr->meta.key].kind,
		     keys[expr->meta.key].length);
}

static void load_payload(struct printer *printer, const struct expr *expr)
{
	static const struct {
		enum payload_base base;
		uint8_t offset, length;
		const char *name;
		enum value_kind kind;
	} fields[] = {
		{PAYLOAD_NETWORK, 12, 4, "ip saddr", VALUE_IPV4},   {PAYLOAD_NETWORK, 16, 4, "ip daddr", VALUE_IPV4},
		{PAYLOAD_NETWORK, 8, 16, "ip6 saddr", VALUE_IPV6},  {PAYLOAD_NETWORK, 24, 16, "ip6 daddr", VALUE_IPV6},
		{PAYLOAD_TRANSPORT, 0, 2, "th sport", VALUE_PORT},  {PAYLOAD_TRANSPORT, 2, 2, "th dport", VALUE_PORT},
		{PAYLOAD_TRANSPORT, 0, 1, "icmp type", VALUE_RAW},  {PAYLOAD_TRANSPORT, 1, 1, "icmp code", VALUE_RAW},
		{PAYLOAD_TRANSPORT, 13, 1, "tcp flags", VALUE_RAW},
	};
	uint8_t length = expr->payload.length;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		bool address = fields[i].base == PAYLOAD_NETWORK;
		if (fields[i].base != expr->payload.base || fields[i].offset != expr->payload.offset ||
		    (address ? length > fields[i].length : length != fields[i].length))
			continue;
		load(printer, expr->payload.reg, fields[i].name, fields[i].kind, length);
		/* The leading bytes of an address are a prefix of it. */
		if (length < fields[i].length)
			slot_at(printer, expr->payload.reg)->prefix = length * 8u;
		return;
	}
	const char *raw = arena_printf(printer->out->arena, "@%s,%u,%u",
				       expr->payload.base == PAYLOAD_NETWORK ? "nh" : "th", expr->payload.offset * 8u,
				       length * 8u);
	load(printer, expr->payload.reg, raw, VALUE_RAW, length);
}

static void load_ct(struct printer *printer, const struct expr *expr)
{
	static const struct {
		const char *name;
		enum value_kind kind;
		size_t length;
	} keys[] = {
		[CT_STATE] = {"ct state", VALUE_CT_STATE, 4},
		[CT_STATUS] = {"ct status", VALUE_CT_STATUS, 4},
		[CT_MARK] = {"ct mark", VALUE_MARK, 4},
		[CT_DIRECTION] = {"ct direction", VALUE_DIRECTION, 1},
	};
	if ((size_t)expr->ct.key >= sizeof(keys) / sizeof(keys[0]))
		return;
	if (expr->kind == EXPR_CT) {
		load(printer, expr->ct.reg, keys[expr->ct.key].name, keys[expr->ct.key].kind, keys[expr->ct.key].length);
		return;
	}
	begin(printer);
	text_add(printer->out, "%s set %s", keys[expr->ct.key].name,
		 slot_text(printer, slot_at(printer, expr->ct.reg), keys[expr->ct.key].kind));
	used(printer);
}

static void load_fib(struct printer *printer, const struct expr *expr)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} flags[] = {{FIB_SADDR, "saddr"}, {FIB_DADDR, "daddr"}, {FIB_IIF, "iif"}};
	struct text what = {.arena = printer->out->arena};
	text_add(&what, "fib");
	const char *separator = " ";
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!(expr->fib.flags & flags[i].flag))
			continue;
		text_add(&what, "%s%s", separator, flags[i].name);
		separator = " . ";
	}
	enum value_kind kind = VALUE_INTEGER;
	size_t length = 4;
	switch (expr->fib.result) {
	case FIB_OIF:
		text_add(&what, " oif");
		if (expr->fib.flags & FIB_PRESENT)
			kind = VALUE_PRESENT;
		break;
	case FIB_OIFNAME:
		text_add(&what, " oifname");
		kind = VALUE_IFNAME;
		length = 16;
		break;
	case FIB_ADDRTYPE:
		text_add(&what, " type");
		kind = VALUE_ADDRTYPE;
		break;
	}
	load(printer, expr->fib.reg, text_finish(&what), kind, length);
}

/* Leading ones of a mask with only zeros behind them, or -1. */
static int mask_bits(const uint8_t *mask, size_t length)
{
	size_t bits = length * 8, ones = 0;
	while (ones < bits && (mask[ones / 8] & (0x80 >> ones % 8)))
		ones++;
	for (size_t bit = ones; bit < bits; bit++) {
		if (mask[bit / 8] & (0x80 >> bit % 8))
			return -1;
	}
	return (int)ones;
}

static void load_bitwise(struct printer *printer, const struct expr *expr)
{
	static const uint8_t zeros[STATE_DATA_MAX];
	size_t length = expr->bitwise.length < STATE_DATA_MAX ? expr->bitwise.length : STATE_DATA_MAX;
	struct slot from = *slot_at(printer, expr->bitwise.from_reg);
	bool plain = memcmp(expr->bitwise.xor, zeros, length) == 0;
	int bits = mask_bits(expr->bitwise.mask, length);
	if (plain && bits > 0 && (from.kind == VALUE_IPV4 || from.kind == VALUE_IPV6)) {
		from.prefix = (unsigned)bits;
	} else {
		struct text what = {.arena = printer->out->arena};
		text_add(&what, "%s & ", slot_text(printer, &from, from.kind));
		text_add_value(&what, from.kind, expr->bitwise.mask, length, 0);
		if (!plain) {
			text_add(&what, " ^ ");
			text_add_value(&what, from.kind, expr->bitwise.xor, length, 0);
		}
		from.what = text_finish(&what);
	}
	slot_at(printer, expr->bitwise.from_reg)->fresh = false;
	load(printer, expr->bitwise.to_reg, from.what, from.kind, length);
	slot_at(printer, expr->bitwise.to_reg)->prefix = from.prefix;
}

static void print_compare(struct printer *printer, const struct expr *expr)
{
	static const char *const operators[] = {
		[COMPARE_EQ] = "",    [COMPARE_NE] = "!= ", [COMPARE_LT] = "< ",
		[COMPARE_LE] = "<= ", [COMPARE_GT] = "> ",  [COMPARE_GE] = ">= ",
	};
	const struct slot *slot = slot_at(printer, expr->kind == EXPR_CMP ? expr->cmp.reg : expr->range.reg);
	begin(printer);
	text_add(printer->out, "%s ", slot_text(printer, slot, slot->kind));
	if (expr->kind == EXPR_CMP) {
		text_add(printer->out, "%s", operators[expr->cmp.op]);
		text_add_value(printer->out, slot->kind, expr->cmp.data, expr->cmp.length, slot->prefix);
	} else {
		text_add(printer->out, "%s", expr->range.invert ? "!= " : "");
		text_add_range(printer->out, slot->kind, expr->range.first, expr->range.last, expr->range.length);
	}
	used(printer);
}

static void print_lookup(struct printer *printer, const struct expr *expr)
{
	const char *key = key_text(printer, expr->lookup.reg);
	if (expr->lookup.has_data && !expr->lookup.to_verdict) {
		const char *what = arena_printf(printer->out->arena, "%s map @%s", key, expr->lookup.set);
		load(printer, expr->lookup.to_reg, what, VALUE_RAW, 4);
		return;
	}
	begin(printer);
	text_add(printer->out, "%s %s%s@%s", key, expr->lookup.invert ? "!= " : "",
		 expr->lookup.to_verdict ? "vmap " : "", expr->lookup.set);
}

static void print_dynset(struct printer *printer, const struct expr *expr)
{
	static const char *const operations[] = {
		[DYNSET_ADD] = "add", [DYNSET_UPDATE] = "update", [DYNSET_DELETE] = "delete"};
	const char *key = key_text(printer, expr->dynset.reg);
	begin(printer);
	text_add(printer->out, "%s%s @%s { %s", expr->dynset.invert ? "unless " : "", operations[expr->dynset.op],
		 expr->dynset.set, key);
	if (expr->dynset.timeout_ms) {
		text_add(printer->out, " timeout ");
		print_duration(printer->out, expr->dynset.timeout_ms);
	}
	if (expr->dynset.with == DYNSET_LIMIT) {
		text_add(printer->out, " ");
		print_limit(printer->out, &expr->dynset.limit);
	} else if (expr->dynset.with == DYNSET_CONNLIMIT) {
		text_add(printer->out, " ct count %u", expr->dynset.connections);
	}
	text_add(printer->out, " }");
}

static void print_log(struct printer *printer, const struct expr *expr)
{
	begin(printer);
	text_add(printer->out, "log");
	if (expr->log.prefix && *expr->log.prefix) {
		text_add(printer->out, " prefix ");
		text_add_quoted(printer->out, expr->log.prefix);
	}
	text_add(printer->out, " group %u", expr->log.group);
	if (expr->log.snaplen)
		text_add(printer->out, " snaplen %u", expr->log.snaplen);
}

static void load_immediate(struct printer *printer, const struct expr *expr)
{
	load(printer, expr->immediate.reg, NULL, VALUE_RAW, expr->immediate.length);
	struct slot *slot = slot_at(printer, expr->immediate.reg);
	slot->immediate = expr->immediate.data;
	slot->length = expr->immediate.length < STATE_DATA_MAX ? expr->immediate.length : STATE_DATA_MAX;
}

static void load_number(struct printer *printer, const struct expr *expr)
{
	struct text what = {.arena = printer->out->arena};
	uint8_t reg = expr->kind == EXPR_HASH ? expr->hash.to_reg : expr->numgen.reg;
	uint32_t offset = expr->kind == EXPR_HASH ? expr->hash.offset : expr->numgen.offset;
	if (expr->kind == EXPR_HASH)
		text_add(&what, "jhash %s mod %u seed 0x%x", key_text(printer, expr->hash.from_reg), expr->hash.modulus,
			 expr->hash.seed);
	else
		text_add(&what, "numgen %s mod %u", expr->numgen.random ? "random" : "inc", expr->numgen.modulus);
	if (offset)
		text_add(&what, " offset %u", offset);
	load(printer, reg, text_finish(&what), VALUE_INTEGER, 4);
}

static void print_nat(struct printer *printer, const struct expr *expr)
{
	begin(printer);
	if (expr->kind == EXPR_REDIRECT) {
		text_add(printer->out, "redirect");
		if (expr->redirect.has_port)
			text_add(printer->out, " to :%s",
				 slot_text(printer, slot_at(printer, expr->redirect.port_reg), VALUE_PORT));
	} else if (expr->kind == EXPR_MASQUERADE) {
		text_add(printer->out, "masquerade%s", expr->masquerade.fully_random ? " fully-random" : "");
	} else {
		bool v6 = expr->nat.family == FAMILY_V6;
		text_add(printer->out, "%s %s to %s", expr->nat.source ? "snat" : "dnat", v6 ? "ip6" : "ip",
			 slot_text(printer, slot_at(printer, expr->nat.addr_reg), v6 ? VALUE_IPV6 : VALUE_IPV4));
		if (expr->nat.has_port)
			text_add(printer->out, " port %s",
				 slot_text(printer, slot_at(printer, expr->nat.port_reg), VALUE_PORT));
	}
	used(printer);
}

static void print_reject(struct printer *printer, const struct expr *expr)
{
	static const char *const names[] = {
		[REJECT_TCP_RESET] = "tcp reset",
		[REJECT_ADMIN_PROHIBITED] = "icmpx admin-prohibited",
		[REJECT_PORT_UNREACHABLE] = "icmpx port-unreachable",
	};
	begin(printer);
	text_add(printer->out, "reject with %s", names[expr->reject.with]);
}

static void print_verdict(struct text *out, enum verdict_kind kind, const char *chain)
{
	static const char *const names[] = {
		[VERDICT_ACCEPT] = "accept", [VERDICT_DROP] = "drop",     [VERDICT_JUMP] = "jump",
		[VERDICT_GOTO] = "goto",     [VERDICT_RETURN] = "return",
	};
	text_add(out, "%s", names[kind]);
	if (kind == VERDICT_JUMP || kind == VERDICT_GOTO)
		text_add(out, " %s", chain ? chain : "");
}

static void print_strip(struct printer *printer, const struct expr *expr)
{
	begin(printer);
	if (expr->option.kind == TCP_OPTION_TIMESTAMP)
		text_add(printer->out, "reset tcp option timestamp");
	else
		text_add(printer->out, "reset tcp option %u", expr->option.kind);
}

static void print_option(struct printer *printer, const struct expr *expr)
{
	if (expr->kind == EXPR_ROUTE_MSS)
		load(printer, expr->mss.reg, "rt mtu", VALUE_INTEGER, 2);
	if (expr->kind == EXPR_STRIP_OPTION)
		print_strip(printer, expr);
	if (expr->kind == EXPR_FLOW_ADD) {
		begin(printer);
		text_add(printer->out, "flow add @%s", expr->flow.table);
	}
	if (expr->kind != EXPR_SET_MSS)
		return;
	begin(printer);
	text_add(printer->out, "tcp option maxseg size set %s", key_text(printer, expr->mss.reg));
	used(printer);
}

static void print_counter(struct printer *printer, const struct expr *expr)
{
	begin(printer);
	text_add(printer->out, "counter name %s", expr->counter.name);
}

/* What is sent back at once. */
static void print_answer(struct printer *printer, const struct expr *expr)
{
	if (expr->kind == EXPR_REJECT) {
		print_reject(printer, expr);
		return;
	}
	begin(printer);
	text_add(printer->out, "synproxy mss %u wscale %u%s%s", expr->synproxy.mss, expr->synproxy.wscale,
		 expr->synproxy.timestamp ? " timestamp" : "", expr->synproxy.sack ? " sack-perm" : "");
}

static void print_expr(struct printer *printer, const struct expr *expr)
{
	switch (expr->kind) {
	case EXPR_META:
		load_meta(printer, expr);
		break;
	case EXPR_PAYLOAD:
		load_payload(printer, expr);
		break;
	case EXPR_CT:
	case EXPR_CT_SET:
		load_ct(printer, expr);
		break;
	case EXPR_FIB:
		load_fib(printer, expr);
		break;
	case EXPR_BITWISE:
		load_bitwise(printer, expr);
		break;
	case EXPR_CMP:
	case EXPR_RANGE:
		print_compare(printer, expr);
		break;
	case EXPR_LOOKUP:
		print_lookup(printer, expr);
		break;
	case EXPR_DYNSET:
		print_dynset(printer, expr);
		break;
	case EXPR_LIMIT:
		begin(printer);
		print_limit(printer->out, &expr->limit);
		break;
	case EXPR_COUNTER:
		print_counter(printer, expr);
		break;
	case EXPR_LOG:
		print_log(printer, expr);
		break;
	case EXPR_IMMEDIATE:
		load_immediate(printer, expr);
		break;
	case EXPR_NUMGEN ... EXPR_HASH:
		load_number(printer, expr);
		break;
	case EXPR_NAT ... EXPR_MASQUERADE:
		print_nat(printer, expr);
		break;
	case EXPR_ROUTE_MSS ... EXPR_FLOW_ADD:
		print_option(printer, expr);
		break;
	case EXPR_REJECT ... EXPR_SYNPROXY:
		print_answer(printer, expr);
		break;
	case EXPR_VERDICT:
		begin(printer);
		print_verdict(printer->out, expr->verdict.kind, expr->verdict.chain);
		break;
	case EXPR_KINDS:
		break;
	}
}

void print_rule(struct text *text, const struct rule_state *rule)
{
	struct printer printer = {.out = text, .first = true};
	for (size_t i = 0; i < rule->expr_count; i++)
		print_expr(&printer, &rule->exprs[i]);
	if (rule->comment && *rule->comment) {
		begin(&printer);
		text_add(text, "comment ");
		text_add_quoted(text, rule->comment);
	}
}

void print_element(struct text *text, const struct set *set, const struct element *element)
{
	size_t at = 0;
	for (size_t i = 0; i < STATE_FIELDS_MAX && set->key[i]; i++) {
		size_t size = field_size(set->key[i]);
		enum value_kind kind = value_kind_of(set->key[i]);
		text_add(text, "%s", i ? " . " : "");
		if (set->interval)
			text_add_range(text, kind, element->key + at, element->key_end + at, size);
		else
			text_add_value(text, kind, element->key + at, size, 0);
		at += (size + 3) & ~(size_t)3;
	}
	if (element->expires)
		text_add(text, " expires %llu", (unsigned long long)element->expires);
	if (!set->data)
		return;
	text_add(text, " : ");
	if (set->data == FIELD_VERDICT)
		print_verdict(text, element->verdict, element->chain);
	else
		text_add_value(text, value_kind_of(set->data), element->data, field_size(set->data), 0);
}
