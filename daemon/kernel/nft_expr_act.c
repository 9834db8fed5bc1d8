/* The second half of the expression codec: sets, limits, counters, logging,
 * load balancing, NAT and reject. It never talks to the kernel; what an
 * attribute means is in linux/netfilter/nf_tables.h. */
#include "nft_expr_codec.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_synproxy.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

static const uint32_t dynset_ops[] = {
	[DYNSET_ADD] = NFT_DYNSET_OP_ADD,
	[DYNSET_UPDATE] = NFT_DYNSET_OP_UPDATE,
	[DYNSET_DELETE] = NFT_DYNSET_OP_DELETE,
};

/* The kernel replaces a burst of 0 by one of its own, which would never read back the same. */
static int put_limit_spec(const struct limit_spec *limit, struct nftnl_expr *to)
{
	if (limit->count == 0 || limit->per_seconds == 0 || limit->burst == 0)
		return -EINVAL;
	nftnl_expr_set_u64(to, NFTNL_EXPR_LIMIT_RATE, limit->count);
	nftnl_expr_set_u64(to, NFTNL_EXPR_LIMIT_UNIT, limit->per_seconds);
	nftnl_expr_set_u32(to, NFTNL_EXPR_LIMIT_BURST, limit->burst);
	nftnl_expr_set_u32(to, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	nftnl_expr_set_u32(to, NFTNL_EXPR_LIMIT_FLAGS, limit->over ? NFT_LIMIT_F_INV : 0);
	return 0;
}

static int get_limit_spec(const struct nftnl_expr *from, struct limit_spec *to)
{
	if (!nftnl_expr_is_set(from, NFTNL_EXPR_LIMIT_RATE) || !nftnl_expr_is_set(from, NFTNL_EXPR_LIMIT_UNIT))
		return -ENOTSUP;
	uint64_t rate = nftnl_expr_get_u64(from, NFTNL_EXPR_LIMIT_RATE);
	uint64_t unit = nftnl_expr_get_u64(from, NFTNL_EXPR_LIMIT_UNIT);
	uint32_t flags = codec_get_u32(from, NFTNL_EXPR_LIMIT_FLAGS);
	if (rate > UINT32_MAX || unit > UINT32_MAX || codec_get_u32(from, NFTNL_EXPR_LIMIT_TYPE) != NFT_LIMIT_PKTS ||
	    flags & ~(uint32_t)NFT_LIMIT_F_INV)
		return -ENOTSUP;
	to->count = (uint32_t)rate;
	to->per_seconds = (uint32_t)unit;
	to->burst = codec_get_u32(from, NFTNL_EXPR_LIMIT_BURST);
	to->over = flags & NFT_LIMIT_F_INV;
	return 0;
}

static int put_limit(const struct expr *expr, struct nftnl_expr *to)
{
	return put_limit_spec(&expr->limit, to);
}

static int get_limit(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	return get_limit_spec(from, &to->limit);
}

static int put_lookup(const struct expr *expr, struct nftnl_expr *to)
{
	if (!codec_fits(expr->lookup.reg, 1) || !codec_fits(expr->lookup.to_reg, 1) || !expr->lookup.set)
		return -EINVAL;
	codec_put_register(to, NFTNL_EXPR_LOOKUP_SREG, expr->lookup.reg);
	if (expr->lookup.to_verdict)
		nftnl_expr_set_u32(to, NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT);
	else if (expr->lookup.has_data)
		codec_put_register(to, NFTNL_EXPR_LOOKUP_DREG, expr->lookup.to_reg);
	if (expr->lookup.invert)
		nftnl_expr_set_u32(to, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
	return nftnl_expr_set_str(to, NFTNL_EXPR_LOOKUP_SET, expr->lookup.set) < 0 ? -ENOMEM : 0;
}

static int get_lookup(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	uint32_t flags = codec_get_u32(from, NFTNL_EXPR_LOOKUP_FLAGS);
	if (flags & ~(uint32_t)NFT_LOOKUP_F_INV || !nftnl_expr_is_set(from, NFTNL_EXPR_LOOKUP_SET) ||
	    !codec_get_register(from, NFTNL_EXPR_LOOKUP_SREG, &to->lookup.reg))
		return -ENOTSUP;
	to->lookup.invert = flags & NFT_LOOKUP_F_INV;
	to->lookup.has_data = nftnl_expr_is_set(from, NFTNL_EXPR_LOOKUP_DREG);
	to->lookup.to_verdict =
		to->lookup.has_data && codec_get_u32(from, NFTNL_EXPR_LOOKUP_DREG) == NFT_REG_VERDICT;
	if (to->lookup.has_data && !to->lookup.to_verdict &&
	    !codec_get_register(from, NFTNL_EXPR_LOOKUP_DREG, &to->lookup.to_reg))
		return -ENOTSUP;
	return codec_get_text(from, NFTNL_EXPR_LOOKUP_SET, arena, &to->lookup.set);
}

static int put_dynset_with(const struct expr *expr, struct nftnl_expr *to)
{
	bool limit = expr->dynset.with == DYNSET_LIMIT;
	struct nftnl_expr *with = nftnl_expr_alloc(limit ? "limit" : "connlimit");
	if (!with)
		return -ENOMEM;
	int rc = 0;
	if (limit)
		rc = put_limit_spec(&expr->dynset.limit, with);
	else
		nftnl_expr_set_u32(with, NFTNL_EXPR_CONNLIMIT_COUNT, expr->dynset.connections);
	if (rc < 0)
		nftnl_expr_free(with);
	else
		nftnl_expr_set(to, NFTNL_EXPR_DYNSET_EXPR, with, 0); /* takes it over */
	return rc;
}

/* What the rule attaches to its elements is said in the rule alone: were it in
 * the set's definition too, the kernel would not print it with the rule. */
static int put_dynset(const struct expr *expr, struct nftnl_expr *to)
{
	if (expr->dynset.op >= CODEC_COUNT(dynset_ops) || !codec_fits(expr->dynset.reg, 1) || !expr->dynset.set)
		return -EINVAL;
	codec_put_register(to, NFTNL_EXPR_DYNSET_SREG_KEY, expr->dynset.reg);
	nftnl_expr_set_u32(to, NFTNL_EXPR_DYNSET_OP, dynset_ops[expr->dynset.op]);
	if (expr->dynset.timeout_ms)
		nftnl_expr_set_u64(to, NFTNL_EXPR_DYNSET_TIMEOUT, expr->dynset.timeout_ms);
	if (expr->dynset.invert)
		nftnl_expr_set_u32(to, NFTNL_EXPR_DYNSET_FLAGS, NFT_DYNSET_F_INV);
	if (nftnl_expr_set_str(to, NFTNL_EXPR_DYNSET_SET_NAME, expr->dynset.set) < 0)
		return -ENOMEM;
	return expr->dynset.with == DYNSET_PLAIN ? 0 : put_dynset_with(expr, to);
}

static int get_dynset_with(const struct nftnl_expr *with, struct expr *to)
{
	const char *name = nftnl_expr_get_str(with, NFTNL_EXPR_NAME);
	if (strcmp(name, "limit") == 0) {
		to->dynset.with = DYNSET_LIMIT;
		return get_limit_spec(with, &to->dynset.limit);
	}
	if (strcmp(name, "connlimit") != 0 || codec_get_u32(with, NFTNL_EXPR_CONNLIMIT_FLAGS) != 0)
		return -ENOTSUP;
	to->dynset.with = DYNSET_CONNLIMIT;
	to->dynset.connections = codec_get_u32(with, NFTNL_EXPR_CONNLIMIT_COUNT);
	return 0;
}

static int get_dynset(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	size_t index;
	uint32_t flags = codec_get_u32(from, NFTNL_EXPR_DYNSET_FLAGS);
	if (nftnl_expr_is_set(from, NFTNL_EXPR_DYNSET_SREG_DATA) ||
	    nftnl_expr_is_set(from, NFTNL_EXPR_DYNSET_EXPRESSIONS) ||
	    flags & ~(uint32_t)(NFT_DYNSET_F_INV | NFT_DYNSET_F_EXPR) ||
	    !nftnl_expr_is_set(from, NFTNL_EXPR_DYNSET_SET_NAME) ||
	    !codec_get_register(from, NFTNL_EXPR_DYNSET_SREG_KEY, &to->dynset.reg) ||
	    !codec_find(dynset_ops, CODEC_COUNT(dynset_ops), codec_get_u32(from, NFTNL_EXPR_DYNSET_OP), &index))
		return -ENOTSUP;
	to->dynset.op = (enum dynset_op)index;
	to->dynset.invert = flags & NFT_DYNSET_F_INV;
	if (nftnl_expr_is_set(from, NFTNL_EXPR_DYNSET_TIMEOUT))
		to->dynset.timeout_ms = nftnl_expr_get_u64(from, NFTNL_EXPR_DYNSET_TIMEOUT);
	if (nftnl_expr_is_set(from, NFTNL_EXPR_DYNSET_EXPR)) {
		const struct nftnl_expr *with = nftnl_expr_get(from, NFTNL_EXPR_DYNSET_EXPR, NULL);
		int rc = with ? get_dynset_with(with, to) : -ENOTSUP;
		if (rc < 0)
			return rc;
	}
	return codec_get_text(from, NFTNL_EXPR_DYNSET_SET_NAME, arena, &to->dynset.set);
}

static int put_counter(const struct expr *expr, struct nftnl_expr *to)
{
	if (!expr->counter.name)
		return -EINVAL;
	nftnl_expr_set_u32(to, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	return nftnl_expr_set_str(to, NFTNL_EXPR_OBJREF_IMM_NAME, expr->counter.name) < 0 ? -ENOMEM : 0;
}

static int get_counter(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	if (nftnl_expr_is_set(from, NFTNL_EXPR_OBJREF_SET_SREG) || !nftnl_expr_is_set(from, NFTNL_EXPR_OBJREF_IMM_NAME) ||
	    codec_get_u32(from, NFTNL_EXPR_OBJREF_IMM_TYPE) != NFT_OBJECT_COUNTER)
		return -ENOTSUP;
	return codec_get_text(from, NFTNL_EXPR_OBJREF_IMM_NAME, arena, &to->counter.name);
}

static int put_log(const struct expr *expr, struct nftnl_expr *to)
{
	nftnl_expr_set_u16(to, NFTNL_EXPR_LOG_GROUP, expr->log.group);
	if (expr->log.snaplen)
		nftnl_expr_set_u32(to, NFTNL_EXPR_LOG_SNAPLEN, expr->log.snaplen);
	if (!expr->log.prefix || !*expr->log.prefix)
		return 0;
	return nftnl_expr_set_str(to, NFTNL_EXPR_LOG_PREFIX, expr->log.prefix) < 0 ? -ENOMEM : 0;
}

static int get_log(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	if (!nftnl_expr_is_set(from, NFTNL_EXPR_LOG_GROUP) || nftnl_expr_is_set(from, NFTNL_EXPR_LOG_LEVEL) ||
	    nftnl_expr_is_set(from, NFTNL_EXPR_LOG_FLAGS) || nftnl_expr_is_set(from, NFTNL_EXPR_LOG_QTHRESHOLD))
		return -ENOTSUP;
	to->log.group = nftnl_expr_get_u16(from, NFTNL_EXPR_LOG_GROUP);
	to->log.snaplen = codec_get_u32(from, NFTNL_EXPR_LOG_SNAPLEN);
	return codec_get_text(from, NFTNL_EXPR_LOG_PREFIX, arena, &to->log.prefix);
}

static int put_numgen(const struct expr *expr, struct nftnl_expr *to)
{
	if (expr->numgen.modulus == 0 || !codec_fits(expr->numgen.reg, 4))
		return -EINVAL;
	codec_put_register(to, NFTNL_EXPR_NG_DREG, expr->numgen.reg);
	nftnl_expr_set_u32(to, NFTNL_EXPR_NG_MODULUS, expr->numgen.modulus);
	nftnl_expr_set_u32(to, NFTNL_EXPR_NG_TYPE, expr->numgen.random ? NFT_NG_RANDOM : NFT_NG_INCREMENTAL);
	nftnl_expr_set_u32(to, NFTNL_EXPR_NG_OFFSET, expr->numgen.offset);
	return 0;
}

static int get_numgen(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	uint32_t type = codec_get_u32(from, NFTNL_EXPR_NG_TYPE);
	if ((type != NFT_NG_RANDOM && type != NFT_NG_INCREMENTAL) ||
	    !codec_get_register(from, NFTNL_EXPR_NG_DREG, &to->numgen.reg))
		return -ENOTSUP;
	to->numgen.random = type == NFT_NG_RANDOM;
	to->numgen.modulus = codec_get_u32(from, NFTNL_EXPR_NG_MODULUS);
	to->numgen.offset = codec_get_u32(from, NFTNL_EXPR_NG_OFFSET);
	return 0;
}

/* The seed is always sent: without one the kernel makes one up. */
static int put_hash(const struct expr *expr, struct nftnl_expr *to)
{
	if (expr->hash.modulus == 0 || !codec_fits(expr->hash.from_reg, expr->hash.length) ||
	    !codec_fits(expr->hash.to_reg, 4))
		return -EINVAL;
	codec_put_register(to, NFTNL_EXPR_HASH_SREG, expr->hash.from_reg);
	codec_put_register(to, NFTNL_EXPR_HASH_DREG, expr->hash.to_reg);
	nftnl_expr_set_u32(to, NFTNL_EXPR_HASH_LEN, expr->hash.length);
	nftnl_expr_set_u32(to, NFTNL_EXPR_HASH_MODULUS, expr->hash.modulus);
	nftnl_expr_set_u32(to, NFTNL_EXPR_HASH_SEED, expr->hash.seed);
	nftnl_expr_set_u32(to, NFTNL_EXPR_HASH_OFFSET, expr->hash.offset);
	nftnl_expr_set_u32(to, NFTNL_EXPR_HASH_TYPE, NFT_HASH_JENKINS);
	return 0;
}

static int get_hash(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	uint32_t length = codec_get_u32(from, NFTNL_EXPR_HASH_LEN);
	if (codec_get_u32(from, NFTNL_EXPR_HASH_TYPE) != NFT_HASH_JENKINS || length > UINT8_MAX ||
	    !nftnl_expr_is_set(from, NFTNL_EXPR_HASH_SEED) ||
	    !codec_get_register(from, NFTNL_EXPR_HASH_SREG, &to->hash.from_reg) ||
	    !codec_get_register(from, NFTNL_EXPR_HASH_DREG, &to->hash.to_reg))
		return -ENOTSUP;
	to->hash.length = (uint8_t)length;
	to->hash.modulus = codec_get_u32(from, NFTNL_EXPR_HASH_MODULUS);
	to->hash.seed = codec_get_u32(from, NFTNL_EXPR_HASH_SEED);
	to->hash.offset = codec_get_u32(from, NFTNL_EXPR_HASH_OFFSET);
	return 0;
}

/* The kernel prints the end of a range of addresses or ports even where none was given: then it is the
 * register of the start. True when it is. */
static bool no_range(const struct nftnl_expr *from, uint16_t min, uint16_t max)
{
	return !nftnl_expr_is_set(from, max) || codec_get_u32(from, max) == codec_get_u32(from, min);
}

/* These two the kernel sets by itself, when an address or a port is given. */
#define NAT_FLAGS_IMPLIED ((uint32_t)(NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED))

static int put_nat(const struct expr *expr, struct nftnl_expr *to)
{
	if (expr->nat.family == FAMILY_NONE || !codec_fits(expr->nat.addr_reg, addr_size(expr->nat.family)) ||
	    !codec_fits(expr->nat.port_reg, 2))
		return -EINVAL;
	nftnl_expr_set_u32(to, NFTNL_EXPR_NAT_TYPE, expr->nat.source ? NFT_NAT_SNAT : NFT_NAT_DNAT);
	nftnl_expr_set_u32(to, NFTNL_EXPR_NAT_FAMILY, expr->nat.family == FAMILY_V4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	codec_put_register(to, NFTNL_EXPR_NAT_REG_ADDR_MIN, expr->nat.addr_reg);
	if (expr->nat.has_port)
		codec_put_register(to, NFTNL_EXPR_NAT_REG_PROTO_MIN, expr->nat.port_reg);
	return 0;
}

static int get_nat(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	uint32_t family = codec_get_u32(from, NFTNL_EXPR_NAT_FAMILY), type = codec_get_u32(from, NFTNL_EXPR_NAT_TYPE);
	if ((family != NFPROTO_IPV4 && family != NFPROTO_IPV6) || (type != NFT_NAT_SNAT && type != NFT_NAT_DNAT) ||
	    codec_get_u32(from, NFTNL_EXPR_NAT_FLAGS) & ~NAT_FLAGS_IMPLIED ||
	    !no_range(from, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFTNL_EXPR_NAT_REG_ADDR_MAX) ||
	    !no_range(from, NFTNL_EXPR_NAT_REG_PROTO_MIN, NFTNL_EXPR_NAT_REG_PROTO_MAX) ||
	    !codec_get_register(from, NFTNL_EXPR_NAT_REG_ADDR_MIN, &to->nat.addr_reg))
		return -ENOTSUP;
	to->nat.source = type == NFT_NAT_SNAT;
	to->nat.family = family == NFPROTO_IPV4 ? FAMILY_V4 : FAMILY_V6;
	to->nat.has_port = nftnl_expr_is_set(from, NFTNL_EXPR_NAT_REG_PROTO_MIN);
	if (to->nat.has_port && !codec_get_register(from, NFTNL_EXPR_NAT_REG_PROTO_MIN, &to->nat.port_reg))
		return -ENOTSUP;
	return 0;
}

static int put_redirect(const struct expr *expr, struct nftnl_expr *to)
{
	if (!codec_fits(expr->redirect.port_reg, 2))
		return -EINVAL;
	if (expr->redirect.has_port)
		codec_put_register(to, NFTNL_EXPR_REDIR_REG_PROTO_MIN, expr->redirect.port_reg);
	return 0;
}

static int get_redirect(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	if (codec_get_u32(from, NFTNL_EXPR_REDIR_FLAGS) & ~NAT_FLAGS_IMPLIED ||
	    !no_range(from, NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFTNL_EXPR_REDIR_REG_PROTO_MAX))
		return -ENOTSUP;
	to->redirect.has_port = nftnl_expr_is_set(from, NFTNL_EXPR_REDIR_REG_PROTO_MIN);
	if (to->redirect.has_port && !codec_get_register(from, NFTNL_EXPR_REDIR_REG_PROTO_MIN, &to->redirect.port_reg))
		return -ENOTSUP;
	return 0;
}

static int put_masquerade(const struct expr *expr, struct nftnl_expr *to)
{
	if (expr->masquerade.fully_random)
		nftnl_expr_set_u32(to, NFTNL_EXPR_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
	return 0;
}

static int get_masquerade(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	uint32_t flags = codec_get_u32(from, NFTNL_EXPR_MASQ_FLAGS);
	if (flags & ~(uint32_t)NF_NAT_RANGE_PROTO_RANDOM_FULLY || nftnl_expr_is_set(from, NFTNL_EXPR_MASQ_REG_PROTO_MIN))
		return -ENOTSUP;
	to->masquerade.fully_random = flags != 0;
	return 0;
}

static int put_reject(const struct expr *expr, struct nftnl_expr *to)
{
	switch (expr->reject.with) {
	case REJECT_TCP_RESET:
		nftnl_expr_set_u32(to, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
		return 0;
	case REJECT_ADMIN_PROHIBITED:
	case REJECT_PORT_UNREACHABLE:
		nftnl_expr_set_u32(to, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
		nftnl_expr_set_u8(to, NFTNL_EXPR_REJECT_CODE,
				  expr->reject.with == REJECT_ADMIN_PROHIBITED ? NFT_REJECT_ICMPX_ADMIN_PROHIBITED
									       : NFT_REJECT_ICMPX_PORT_UNREACH);
		return 0;
	}
	return -EINVAL;
}

static int get_reject(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	uint32_t type = codec_get_u32(from, NFTNL_EXPR_REJECT_TYPE);
	uint8_t code = 0;
	if (nftnl_expr_is_set(from, NFTNL_EXPR_REJECT_CODE))
		code = nftnl_expr_get_u8(from, NFTNL_EXPR_REJECT_CODE);
	if (type == NFT_REJECT_TCP_RST)
		to->reject.with = REJECT_TCP_RESET;
	else if (type == NFT_REJECT_ICMPX_UNREACH && code == NFT_REJECT_ICMPX_ADMIN_PROHIBITED)
		to->reject.with = REJECT_ADMIN_PROHIBITED;
	else if (type == NFT_REJECT_ICMPX_UNREACH && code == NFT_REJECT_ICMPX_PORT_UNREACH)
		to->reject.with = REJECT_PORT_UNREACHABLE;
	else
		return -ENOTSUP;
	return 0;
}

/* Segment size and window scale are always offered. */
#define SYNPROXY_ALWAYS ((uint32_t)(NF_SYNPROXY_OPT_MSS | NF_SYNPROXY_OPT_WSCALE))

static int put_synproxy(const struct expr *expr, struct nftnl_expr *to)
{
	nftnl_expr_set_u16(to, NFTNL_EXPR_SYNPROXY_MSS, expr->synproxy.mss);
	nftnl_expr_set_u8(to, NFTNL_EXPR_SYNPROXY_WSCALE, expr->synproxy.wscale);
	nftnl_expr_set_u32(to, NFTNL_EXPR_SYNPROXY_FLAGS,
			   SYNPROXY_ALWAYS | (expr->synproxy.timestamp ? NF_SYNPROXY_OPT_TIMESTAMP : 0u) |
				   (expr->synproxy.sack ? NF_SYNPROXY_OPT_SACK_PERM : 0u));
	return 0;
}

static int get_synproxy(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	uint32_t flags = codec_get_u32(from, NFTNL_EXPR_SYNPROXY_FLAGS);
	if ((flags & SYNPROXY_ALWAYS) != SYNPROXY_ALWAYS || !nftnl_expr_is_set(from, NFTNL_EXPR_SYNPROXY_MSS) ||
	    flags & ~(SYNPROXY_ALWAYS | NF_SYNPROXY_OPT_TIMESTAMP | NF_SYNPROXY_OPT_SACK_PERM))
		return -ENOTSUP;
	to->synproxy.mss = nftnl_expr_get_u16(from, NFTNL_EXPR_SYNPROXY_MSS);
	to->synproxy.wscale = nftnl_expr_get_u8(from, NFTNL_EXPR_SYNPROXY_WSCALE);
	to->synproxy.timestamp = flags & NF_SYNPROXY_OPT_TIMESTAMP;
	to->synproxy.sack = flags & NF_SYNPROXY_OPT_SACK_PERM;
	return 0;
}

const struct codec codec_lookup = {"lookup", put_lookup, get_lookup};
const struct codec codec_dynset = {"dynset", put_dynset, get_dynset};
const struct codec codec_limit = {"limit", put_limit, get_limit};
const struct codec codec_counter = {"objref", put_counter, get_counter};
const struct codec codec_log = {"log", put_log, get_log};
const struct codec codec_numgen = {"numgen", put_numgen, get_numgen};
const struct codec codec_hash = {"hash", put_hash, get_hash};
const struct codec codec_nat = {"nat", put_nat, get_nat};
const struct codec codec_redirect = {"redir", put_redirect, get_redirect};
const struct codec codec_masquerade = {"masq", put_masquerade, get_masquerade};
const struct codec codec_reject = {"reject", put_reject, get_reject};
const struct codec codec_synproxy = {"synproxy", put_synproxy, get_synproxy};
