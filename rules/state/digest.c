/* The digest of a rule: a 64-bit hash of exactly what rule_equal compares, for
 * finding equal rules in linear time. Not cryptographic: whoever uses it
 * compares the rules themselves before believing it. */
#include "state.h"

#include <string.h>

#define MIX 0x9e3779b97f4a7c15u

static void mix(uint64_t *hash, uint64_t value)
{
	uint64_t h = (*hash ^ value) * MIX;
	*hash = h ^ (h >> 29);
}

static void mix_bytes(uint64_t *hash, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	mix(hash, length);
	for (; length >= 8; length -= 8, bytes += 8) {
		uint64_t word;
		memcpy(&word, bytes, 8);
		mix(hash, word);
	}
	uint64_t rest = 0;
	if (length)
		memcpy(&rest, bytes, length);
	mix(hash, rest);
}

static void mix_data(uint64_t *hash, const uint8_t *data, size_t length)
{
	mix(hash, length);
	mix_bytes(hash, data, length < STATE_DATA_MAX ? length : STATE_DATA_MAX);
}

static void mix_text(uint64_t *hash, const char *text)
{
	mix_bytes(hash, text ? text : "", text ? strlen(text) : 0);
}

/* One enum and up to four bytes. */
static uint64_t pack(uint32_t word, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return word | (uint64_t)a << 32 | (uint64_t)b << 40 | (uint64_t)c << 48 | (uint64_t)d << 56;
}

static void mix_limit(uint64_t *hash, const struct limit_spec *limit)
{
	mix(hash, limit->count | (uint64_t)limit->burst << 32);
	mix(hash, limit->per_seconds | (uint64_t)limit->over << 32);
}

static void mix_dynset(uint64_t *hash, const struct expr *expr)
{
	mix(hash, pack(expr->dynset.op, expr->dynset.reg, expr->dynset.invert, 0, 0));
	mix(hash, expr->dynset.with);
	mix(hash, expr->dynset.timeout_ms);
	if (expr->dynset.with == DYNSET_LIMIT)
		mix_limit(hash, &expr->dynset.limit);
	else if (expr->dynset.with == DYNSET_CONNLIMIT)
		mix(hash, expr->dynset.connections);
	mix_text(hash, expr->dynset.set);
}

static void mix_lookup(uint64_t *hash, const struct expr *expr)
{
	mix(hash, pack(0, expr->lookup.reg, expr->lookup.invert, expr->lookup.has_data, expr->lookup.to_verdict));
	if (expr->lookup.has_data && !expr->lookup.to_verdict)
		mix(hash, expr->lookup.to_reg);
	mix_text(hash, expr->lookup.set);
}

static void mix_verdict(uint64_t *hash, const struct expr *expr)
{
	mix(hash, expr->verdict.kind);
	if (expr->verdict.kind == VERDICT_JUMP || expr->verdict.kind == VERDICT_GOTO)
		mix_text(hash, expr->verdict.chain);
}

static void mix_expr(uint64_t *hash, const struct expr *expr)
{
	mix(hash, expr->kind);
	switch (expr->kind) {
	case EXPR_META:
		mix(hash, pack(expr->meta.key, expr->meta.reg, 0, 0, 0));
		break;
	case EXPR_PAYLOAD:
		mix(hash, pack(expr->payload.base, expr->payload.offset, expr->payload.length, expr->payload.reg, 0));
		break;
	case EXPR_CT:
	case EXPR_CT_SET:
		mix(hash, pack(expr->ct.key, expr->ct.reg, 0, 0, 0));
		break;
	case EXPR_FIB:
		mix(hash, expr->fib.flags);
		mix(hash, pack(expr->fib.result, expr->fib.reg, 0, 0, 0));
		break;
	case EXPR_BITWISE:
		mix(hash, pack(0, expr->bitwise.from_reg, expr->bitwise.to_reg, 0, 0));
		mix_data(hash, expr->bitwise.mask, expr->bitwise.length);
		mix_data(hash, expr->bitwise.xor, expr->bitwise.length);
		break;
	case EXPR_CMP:
		mix(hash, pack(expr->cmp.op, expr->cmp.reg, 0, 0, 0));
		mix_data(hash, expr->cmp.data, expr->cmp.length);
		break;
	case EXPR_RANGE:
		mix(hash, pack(0, expr->range.invert, expr->range.reg, expr->range.length, 0));
		mix_data(hash, expr->range.first, expr->range.length);
		mix_data(hash, expr->range.last, expr->range.length);
		break;
	case EXPR_LOOKUP:
		mix_lookup(hash, expr);
		break;
	case EXPR_DYNSET:
		mix_dynset(hash, expr);
		break;
	case EXPR_LIMIT:
		mix_limit(hash, &expr->limit);
		break;
	case EXPR_COUNTER:
		mix_text(hash, expr->counter.name);
		break;
	case EXPR_LOG:
		mix(hash, expr->log.group | (uint64_t)expr->log.snaplen << 32);
		mix_text(hash, expr->log.prefix);
		break;
	case EXPR_IMMEDIATE:
		mix(hash, expr->immediate.reg);
		mix_data(hash, expr->immediate.data, expr->immediate.length);
		break;
	case EXPR_NUMGEN:
		mix(hash, expr->numgen.modulus | (uint64_t)expr->numgen.offset << 32);
		mix(hash, pack(0, expr->numgen.random, expr->numgen.reg, 0, 0));
		break;
	case EXPR_HASH:
		mix(hash, expr->hash.modulus | (uint64_t)expr->hash.offset << 32);
		mix(hash, expr->hash.seed);
		mix(hash, pack(0, expr->hash.from_reg, expr->hash.length, expr->hash.to_reg, 0));
		break;
	case EXPR_NAT:
		mix(hash, pack(expr->nat.family, expr->nat.source, expr->nat.has_port, expr->nat.addr_reg, 0));
		if (expr->nat.has_port)
			mix(hash, expr->nat.port_reg);
		break;
	case EXPR_REDIRECT:
		mix(hash, pack(0, expr->redirect.has_port, expr->redirect.has_port ? expr->redirect.port_reg : 0, 0, 0));
		break;
	case EXPR_MASQUERADE:
		mix(hash, expr->masquerade.fully_random);
		break;
	case EXPR_REJECT:
		mix(hash, expr->reject.with);
		break;
	case EXPR_ROUTE_MSS:
	case EXPR_NETWORK16:
	case EXPR_SET_MSS:
		mix(hash, expr->mss.reg);
		break;
	case EXPR_STRIP_OPTION:
		mix(hash, expr->option.kind);
		break;
	case EXPR_FLOW_ADD:
		mix_text(hash, expr->flow.table);
		break;
	case EXPR_SYNPROXY:
		mix(hash, pack(expr->synproxy.mss, expr->synproxy.wscale, expr->synproxy.timestamp,
			       expr->synproxy.sack, 0));
		break;
	case EXPR_VERDICT:
		mix_verdict(hash, expr);
		break;
	case EXPR_KINDS:
		break;
	}
}

uint64_t rule_digest(const struct rule_state *rule)
{
	uint64_t hash = MIX;
	for (size_t i = 0; i < rule->expr_count; i++)
		mix_expr(&hash, &rule->exprs[i]);
	mix_text(&hash, rule->comment);
	return hash;
}
