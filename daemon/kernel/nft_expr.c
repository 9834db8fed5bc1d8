/* struct expr <-> nftnl_expr: the table of codecs, and those that load,
 * compare and decide. The encoder writes registers as the kernel's 32-bit
 * slots; the decoder also takes the four older 16-byte registers, which is how
 * the kernel prints a slot that is a multiple of four. What the decoder does
 * not know entirely it refuses, so that a foreign rule is never taken for one
 * of ours. It never talks to the kernel. */
#include "nft_expr.h"

#include "nft_expr_codec.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#define SLOTS 16u /* 32-bit register slots */

/* Our enums, as indexes, to the kernel's numbers (linux/netfilter/nf_tables.h). */
static const uint32_t meta_keys[] = {
	[META_PROTOCOL_FAMILY] = NFT_META_NFPROTO, [META_L4PROTO] = NFT_META_L4PROTO, [META_IIFNAME] = NFT_META_IIFNAME,
	[META_OIFNAME] = NFT_META_OIFNAME,	   [META_IIFTYPE] = NFT_META_IIFTYPE, [META_MARK] = NFT_META_MARK,
	[META_IIF] = NFT_META_IIF,		   [META_OIF] = NFT_META_OIF,
};
static const uint32_t payload_bases[] = {
	[PAYLOAD_NETWORK] = NFT_PAYLOAD_NETWORK_HEADER,
	[PAYLOAD_TRANSPORT] = NFT_PAYLOAD_TRANSPORT_HEADER,
};
static const uint32_t ct_keys[] = {
	[CT_STATE] = NFT_CT_STATE,
	[CT_STATUS] = NFT_CT_STATUS,
	[CT_MARK] = NFT_CT_MARK,
	[CT_DIRECTION] = NFT_CT_DIRECTION,
};
static const uint32_t fib_results[] = {
	[FIB_OIF] = NFT_FIB_RESULT_OIF,
	[FIB_OIFNAME] = NFT_FIB_RESULT_OIFNAME,
	[FIB_ADDRTYPE] = NFT_FIB_RESULT_ADDRTYPE,
};
static const uint32_t compare_ops[] = {
	[COMPARE_EQ] = NFT_CMP_EQ,  [COMPARE_NE] = NFT_CMP_NEQ, [COMPARE_LT] = NFT_CMP_LT,
	[COMPARE_LE] = NFT_CMP_LTE, [COMPARE_GT] = NFT_CMP_GT,	[COMPARE_GE] = NFT_CMP_GTE,
};
static const uint32_t verdict_codes[] = {
	[VERDICT_ACCEPT] = NF_ACCEPT,	       [VERDICT_DROP] = NF_DROP,
	[VERDICT_JUMP] = (uint32_t)NFT_JUMP,   [VERDICT_GOTO] = (uint32_t)NFT_GOTO,
	[VERDICT_RETURN] = (uint32_t)NFT_RETURN,
};

bool codec_find(const uint32_t *numbers, size_t count, uint32_t number, size_t *ret_index)
{
	for (size_t i = 0; i < count; i++) {
		if (numbers[i] == number) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}

bool codec_fits(uint8_t reg, size_t length)
{
	return reg < SLOTS && length > 0 && length <= (SLOTS - reg) * 4u;
}

void codec_put_register(struct nftnl_expr *to, uint16_t attr, uint8_t reg)
{
	nftnl_expr_set_u32(to, attr, NFT_REG32_00 + reg);
}

bool codec_get_register(const struct nftnl_expr *from, uint16_t attr, uint8_t *ret_reg)
{
	if (!nftnl_expr_is_set(from, attr))
		return false;
	uint32_t reg = nftnl_expr_get_u32(from, attr);
	if (reg >= NFT_REG_1 && reg <= NFT_REG_4)
		*ret_reg = (uint8_t)((reg - NFT_REG_1) * (NFT_REG_SIZE / NFT_REG32_SIZE));
	else if (reg >= NFT_REG32_00 && reg <= NFT_REG32_15)
		*ret_reg = (uint8_t)(reg - NFT_REG32_00);
	else
		return false;
	return true;
}

uint32_t codec_get_u32(const struct nftnl_expr *from, uint16_t attr)
{
	return nftnl_expr_is_set(from, attr) ? nftnl_expr_get_u32(from, attr) : 0;
}

int codec_get_text(const struct nftnl_expr *from, uint16_t attr, struct arena *arena, const char **ret_text)
{
	const char *text = nftnl_expr_is_set(from, attr) ? nftnl_expr_get_str(from, attr) : NULL;
	char *copy = arena_strdup(arena, text ? text : "");
	if (!copy)
		return -ENOMEM;
	*ret_text = copy;
	return 0;
}

static bool data_fits(uint8_t reg, uint8_t length)
{
	return codec_fits(reg, length) && length <= STATE_DATA_MAX;
}

static bool get_data(const struct nftnl_expr *from, uint16_t attr, uint8_t *ret_data, uint8_t *ret_length)
{
	uint32_t length = 0;
	const void *data = nftnl_expr_is_set(from, attr) ? nftnl_expr_get(from, attr, &length) : NULL;
	if (!data || length == 0 || length > STATE_DATA_MAX)
		return false;
	memcpy(ret_data, data, length);
	*ret_length = (uint8_t)length;
	return true;
}

static int put_meta(const struct expr *expr, struct nftnl_expr *to)
{
	if (expr->meta.key >= CODEC_COUNT(meta_keys) || !codec_fits(expr->meta.reg, 1))
		return -EINVAL;
	nftnl_expr_set_u32(to, NFTNL_EXPR_META_KEY, meta_keys[expr->meta.key]);
	codec_put_register(to, NFTNL_EXPR_META_DREG, expr->meta.reg);
	return 0;
}

static int get_meta(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	size_t index;
	if (nftnl_expr_is_set(from, NFTNL_EXPR_META_SREG) ||
	    !codec_get_register(from, NFTNL_EXPR_META_DREG, &to->meta.reg) ||
	    !codec_find(meta_keys, CODEC_COUNT(meta_keys), codec_get_u32(from, NFTNL_EXPR_META_KEY), &index))
		return -ENOTSUP;
	to->meta.key = (enum meta_key)index;
	return 0;
}

static int put_payload(const struct expr *expr, struct nftnl_expr *to)
{
	if (expr->payload.base >= CODEC_COUNT(payload_bases) || !codec_fits(expr->payload.reg, expr->payload.length))
		return -EINVAL;
	nftnl_expr_set_u32(to, NFTNL_EXPR_PAYLOAD_BASE, payload_bases[expr->payload.base]);
	nftnl_expr_set_u32(to, NFTNL_EXPR_PAYLOAD_OFFSET, expr->payload.offset);
	nftnl_expr_set_u32(to, NFTNL_EXPR_PAYLOAD_LEN, expr->payload.length);
	codec_put_register(to, NFTNL_EXPR_PAYLOAD_DREG, expr->payload.reg);
	return 0;
}

static int get_payload(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	size_t index;
	uint32_t offset = codec_get_u32(from, NFTNL_EXPR_PAYLOAD_OFFSET);
	uint32_t length = codec_get_u32(from, NFTNL_EXPR_PAYLOAD_LEN);
	if (nftnl_expr_is_set(from, NFTNL_EXPR_PAYLOAD_SREG) || offset > UINT8_MAX || length > UINT8_MAX ||
	    !codec_get_register(from, NFTNL_EXPR_PAYLOAD_DREG, &to->payload.reg) ||
	    !codec_fits(to->payload.reg, length) ||
	    !codec_find(payload_bases, CODEC_COUNT(payload_bases), codec_get_u32(from, NFTNL_EXPR_PAYLOAD_BASE), &index))
		return -ENOTSUP;
	to->payload.base = (enum payload_base)index;
	to->payload.offset = (uint8_t)offset;
	to->payload.length = (uint8_t)length;
	return 0;
}

static int put_ct(const struct expr *expr, struct nftnl_expr *to)
{
	if (expr->ct.key >= CODEC_COUNT(ct_keys) || !codec_fits(expr->ct.reg, 1))
		return -EINVAL;
	nftnl_expr_set_u32(to, NFTNL_EXPR_CT_KEY, ct_keys[expr->ct.key]);
	codec_put_register(to, expr->kind == EXPR_CT ? NFTNL_EXPR_CT_DREG : NFTNL_EXPR_CT_SREG, expr->ct.reg);
	return 0;
}

static int get_ct(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	size_t index;
	bool writes = nftnl_expr_is_set(from, NFTNL_EXPR_CT_SREG);
	if (nftnl_expr_is_set(from, NFTNL_EXPR_CT_DIR) ||
	    !codec_get_register(from, writes ? NFTNL_EXPR_CT_SREG : NFTNL_EXPR_CT_DREG, &to->ct.reg) ||
	    !codec_find(ct_keys, CODEC_COUNT(ct_keys), codec_get_u32(from, NFTNL_EXPR_CT_KEY), &index))
		return -ENOTSUP;
	to->kind = writes ? EXPR_CT_SET : EXPR_CT;
	to->ct.key = (enum ct_key)index;
	return 0;
}

static int put_fib(const struct expr *expr, struct nftnl_expr *to)
{
	if (expr->fib.result >= CODEC_COUNT(fib_results) || !codec_fits(expr->fib.reg, 1))
		return -EINVAL;
	nftnl_expr_set_u32(to, NFTNL_EXPR_FIB_RESULT, fib_results[expr->fib.result]);
	nftnl_expr_set_u32(to, NFTNL_EXPR_FIB_FLAGS, expr->fib.flags);
	codec_put_register(to, NFTNL_EXPR_FIB_DREG, expr->fib.reg);
	return 0;
}

static int get_fib(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	size_t index;
	if (!codec_get_register(from, NFTNL_EXPR_FIB_DREG, &to->fib.reg) ||
	    !codec_find(fib_results, CODEC_COUNT(fib_results), codec_get_u32(from, NFTNL_EXPR_FIB_RESULT), &index))
		return -ENOTSUP;
	to->fib.result = (enum fib_result)index;
	to->fib.flags = codec_get_u32(from, NFTNL_EXPR_FIB_FLAGS);
	return 0;
}

static int put_bitwise(const struct expr *expr, struct nftnl_expr *to)
{
	if (!data_fits(expr->bitwise.from_reg, expr->bitwise.length) ||
	    !data_fits(expr->bitwise.to_reg, expr->bitwise.length))
		return -EINVAL;
	codec_put_register(to, NFTNL_EXPR_BITWISE_SREG, expr->bitwise.from_reg);
	codec_put_register(to, NFTNL_EXPR_BITWISE_DREG, expr->bitwise.to_reg);
	nftnl_expr_set_u32(to, NFTNL_EXPR_BITWISE_LEN, expr->bitwise.length);
	nftnl_expr_set(to, NFTNL_EXPR_BITWISE_MASK, expr->bitwise.mask, expr->bitwise.length);
	nftnl_expr_set(to, NFTNL_EXPR_BITWISE_XOR, expr->bitwise.xor, expr->bitwise.length);
	return 0;
}

static int get_bitwise(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	uint8_t mask_length, xor_length;
	uint32_t length = codec_get_u32(from, NFTNL_EXPR_BITWISE_LEN);
	/* A shift, or an "or" of two registers, has another operation and no mask. */
	if (codec_get_u32(from, NFTNL_EXPR_BITWISE_OP) != NFT_BITWISE_BOOL ||
	    !codec_get_register(from, NFTNL_EXPR_BITWISE_SREG, &to->bitwise.from_reg) ||
	    !codec_get_register(from, NFTNL_EXPR_BITWISE_DREG, &to->bitwise.to_reg) ||
	    !get_data(from, NFTNL_EXPR_BITWISE_MASK, to->bitwise.mask, &mask_length) ||
	    !get_data(from, NFTNL_EXPR_BITWISE_XOR, to->bitwise.xor, &xor_length) || mask_length != length ||
	    xor_length != length)
		return -ENOTSUP;
	to->bitwise.length = mask_length;
	return 0;
}

static int put_cmp(const struct expr *expr, struct nftnl_expr *to)
{
	if (expr->cmp.op >= CODEC_COUNT(compare_ops) || !data_fits(expr->cmp.reg, expr->cmp.length))
		return -EINVAL;
	codec_put_register(to, NFTNL_EXPR_CMP_SREG, expr->cmp.reg);
	nftnl_expr_set_u32(to, NFTNL_EXPR_CMP_OP, compare_ops[expr->cmp.op]);
	nftnl_expr_set(to, NFTNL_EXPR_CMP_DATA, expr->cmp.data, expr->cmp.length);
	return 0;
}

static int get_cmp(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	size_t index;
	if (!codec_get_register(from, NFTNL_EXPR_CMP_SREG, &to->cmp.reg) ||
	    !get_data(from, NFTNL_EXPR_CMP_DATA, to->cmp.data, &to->cmp.length) ||
	    !codec_find(compare_ops, CODEC_COUNT(compare_ops), codec_get_u32(from, NFTNL_EXPR_CMP_OP), &index))
		return -ENOTSUP;
	to->cmp.op = (enum compare_op)index;
	return 0;
}

static int put_range(const struct expr *expr, struct nftnl_expr *to)
{
	if (!data_fits(expr->range.reg, expr->range.length))
		return -EINVAL;
	codec_put_register(to, NFTNL_EXPR_RANGE_SREG, expr->range.reg);
	nftnl_expr_set_u32(to, NFTNL_EXPR_RANGE_OP, expr->range.invert ? NFT_RANGE_NEQ : NFT_RANGE_EQ);
	nftnl_expr_set(to, NFTNL_EXPR_RANGE_FROM_DATA, expr->range.first, expr->range.length);
	nftnl_expr_set(to, NFTNL_EXPR_RANGE_TO_DATA, expr->range.last, expr->range.length);
	return 0;
}

static int get_range(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	uint8_t length;
	uint32_t op = codec_get_u32(from, NFTNL_EXPR_RANGE_OP);
	if (op > NFT_RANGE_NEQ || !codec_get_register(from, NFTNL_EXPR_RANGE_SREG, &to->range.reg) ||
	    !get_data(from, NFTNL_EXPR_RANGE_FROM_DATA, to->range.first, &to->range.length) ||
	    !get_data(from, NFTNL_EXPR_RANGE_TO_DATA, to->range.last, &length) || length != to->range.length)
		return -ENOTSUP;
	to->range.invert = op == NFT_RANGE_NEQ;
	return 0;
}

static int put_immediate(const struct expr *expr, struct nftnl_expr *to)
{
	if (!data_fits(expr->immediate.reg, expr->immediate.length))
		return -EINVAL;
	codec_put_register(to, NFTNL_EXPR_IMM_DREG, expr->immediate.reg);
	nftnl_expr_set(to, NFTNL_EXPR_IMM_DATA, expr->immediate.data, expr->immediate.length);
	return 0;
}

static int put_verdict(const struct expr *expr, struct nftnl_expr *to)
{
	if (expr->verdict.kind >= CODEC_COUNT(verdict_codes))
		return -EINVAL;
	bool jumps = expr->verdict.kind == VERDICT_JUMP || expr->verdict.kind == VERDICT_GOTO;
	if (jumps && !expr->verdict.chain)
		return -EINVAL;
	nftnl_expr_set_u32(to, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(to, NFTNL_EXPR_IMM_VERDICT, verdict_codes[expr->verdict.kind]);
	if (jumps && nftnl_expr_set_str(to, NFTNL_EXPR_IMM_CHAIN, expr->verdict.chain) < 0)
		return -ENOMEM;
	return 0;
}

static int get_verdict(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	size_t index;
	if (!codec_find(verdict_codes, CODEC_COUNT(verdict_codes), nftnl_expr_get_u32(from, NFTNL_EXPR_IMM_VERDICT),
			&index))
		return -ENOTSUP;
	to->kind = EXPR_VERDICT;
	to->verdict.kind = (enum verdict_kind)index;
	if (index != VERDICT_JUMP && index != VERDICT_GOTO)
		return 0;
	if (!nftnl_expr_is_set(from, NFTNL_EXPR_IMM_CHAIN))
		return -ENOTSUP;
	return codec_get_text(from, NFTNL_EXPR_IMM_CHAIN, arena, &to->verdict.chain);
}

/* The kernel says a verdict as an immediate to the verdict register. */
static int get_immediate(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	if (nftnl_expr_is_set(from, NFTNL_EXPR_IMM_VERDICT))
		return get_verdict(from, arena, to);
	if (!codec_get_register(from, NFTNL_EXPR_IMM_DREG, &to->immediate.reg) ||
	    !get_data(from, NFTNL_EXPR_IMM_DATA, to->immediate.data, &to->immediate.length))
		return -ENOTSUP;
	return 0;
}

/* Where two kinds have one name, the decoder of the first tells them apart. */
static const struct codec codec_meta = {"meta", put_meta, get_meta};
static const struct codec codec_payload = {"payload", put_payload, get_payload};
static const struct codec codec_ct = {"ct", put_ct, get_ct};
static const struct codec codec_fib = {"fib", put_fib, get_fib};
static const struct codec codec_bitwise = {"bitwise", put_bitwise, get_bitwise};
static const struct codec codec_cmp = {"cmp", put_cmp, get_cmp};
static const struct codec codec_range = {"range", put_range, get_range};
static const struct codec codec_immediate = {"immediate", put_immediate, get_immediate};
static const struct codec codec_verdict = {"immediate", put_verdict, get_immediate};

static const struct codec *const codecs[EXPR_KINDS] = {
	[EXPR_META] = &codec_meta,	   [EXPR_PAYLOAD] = &codec_payload,   [EXPR_CT] = &codec_ct,
	[EXPR_CT_SET] = &codec_ct,	   [EXPR_FIB] = &codec_fib,	      [EXPR_BITWISE] = &codec_bitwise,
	[EXPR_CMP] = &codec_cmp,	   [EXPR_RANGE] = &codec_range,	      [EXPR_LOOKUP] = &codec_lookup,
	[EXPR_DYNSET] = &codec_dynset,	   [EXPR_LIMIT] = &codec_limit,	      [EXPR_COUNTER] = &codec_counter,
	[EXPR_LOG] = &codec_log,	   [EXPR_IMMEDIATE] = &codec_immediate, [EXPR_NUMGEN] = &codec_numgen,
	[EXPR_HASH] = &codec_hash,	   [EXPR_NAT] = &codec_nat,	      [EXPR_REDIRECT] = &codec_redirect,
	[EXPR_MASQUERADE] = &codec_masquerade, [EXPR_REJECT] = &codec_reject,
	[EXPR_SYNPROXY] = &codec_synproxy, [EXPR_ROUTE_MSS] = &codec_route_mss, [EXPR_NETWORK16] = &codec_network16,
	[EXPR_SET_MSS] = &codec_set_mss,   [EXPR_STRIP_OPTION] = &codec_strip_option,
	[EXPR_FLOW_ADD] = &codec_flow_add, [EXPR_VERDICT] = &codec_verdict,
};

int nft_expr_encode(const struct expr *expr, struct nftnl_expr **ret_expr)
{
	if (expr->kind >= EXPR_KINDS)
		return -EINVAL;
	const struct codec *codec = codecs[expr->kind];
	struct nftnl_expr *to = nftnl_expr_alloc(codec->name);
	if (!to)
		return -ENOMEM;
	int rc = codec->put(expr, to);
	if (rc < 0) {
		nftnl_expr_free(to);
		return rc;
	}
	*ret_expr = to;
	return 0;
}

int nft_expr_decode(const struct nftnl_expr *expr, struct arena *arena, struct expr *ret_expr)
{
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);
	for (size_t kind = 0; name && kind < EXPR_KINDS; kind++) {
		if (strcmp(codecs[kind]->name, name) != 0)
			continue;
		struct expr to = {.kind = (enum expr_kind)kind};
		int rc = codecs[kind]->get(expr, arena, &to);
		if (rc == 0)
			*ret_expr = to;
		return rc;
	}
	return -ENOTSUP;
}
