/* The part of the expression codec that is about options of TCP: what clamps
 * the segment size (`tcp option maxseg size set rt mtu`; the kernel never raises
 * one), and what takes an option out (`reset tcp option timestamp`). */
#include "nft_expr_codec.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>

#define OPTION_MSS 2u   /* RFC 9293 section 3.2: kind, length, and two bytes of size */
#define OFFSET_MSS 2u
#define LENGTH_MSS 2u

static int put_route_mss(const struct expr *expr, struct nftnl_expr *to)
{
	if (!codec_fits(expr->mss.reg, LENGTH_MSS))
		return -EINVAL;
	nftnl_expr_set_u32(to, NFTNL_EXPR_RT_KEY, NFT_RT_TCPMSS);
	codec_put_register(to, NFTNL_EXPR_RT_DREG, expr->mss.reg);
	return 0;
}

static int get_route_mss(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	if (!nftnl_expr_is_set(from, NFTNL_EXPR_RT_KEY) || codec_get_u32(from, NFTNL_EXPR_RT_KEY) != NFT_RT_TCPMSS)
		return -ENOTSUP;
	return codec_get_register(from, NFTNL_EXPR_RT_DREG, &to->mss.reg) ? 0 : -ENOTSUP;
}

static int put_network16(const struct expr *expr, struct nftnl_expr *to)
{
	if (!codec_fits(expr->mss.reg, LENGTH_MSS))
		return -EINVAL;
	codec_put_register(to, NFTNL_EXPR_BYTEORDER_SREG, expr->mss.reg);
	codec_put_register(to, NFTNL_EXPR_BYTEORDER_DREG, expr->mss.reg);
	nftnl_expr_set_u32(to, NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON);
	nftnl_expr_set_u32(to, NFTNL_EXPR_BYTEORDER_LEN, LENGTH_MSS);
	nftnl_expr_set_u32(to, NFTNL_EXPR_BYTEORDER_SIZE, LENGTH_MSS);
	return 0;
}

static int get_network16(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	uint8_t source;
	if (!codec_get_register(from, NFTNL_EXPR_BYTEORDER_SREG, &source) ||
	    !codec_get_register(from, NFTNL_EXPR_BYTEORDER_DREG, &to->mss.reg) || source != to->mss.reg ||
	    codec_get_u32(from, NFTNL_EXPR_BYTEORDER_OP) != NFT_BYTEORDER_HTON ||
	    codec_get_u32(from, NFTNL_EXPR_BYTEORDER_LEN) != LENGTH_MSS ||
	    codec_get_u32(from, NFTNL_EXPR_BYTEORDER_SIZE) != LENGTH_MSS)
		return -ENOTSUP;
	return 0;
}

static int put_set_mss(const struct expr *expr, struct nftnl_expr *to)
{
	if (!codec_fits(expr->mss.reg, LENGTH_MSS))
		return -EINVAL;
	codec_put_register(to, NFTNL_EXPR_EXTHDR_SREG, expr->mss.reg);
	nftnl_expr_set_u8(to, NFTNL_EXPR_EXTHDR_TYPE, OPTION_MSS);
	nftnl_expr_set_u32(to, NFTNL_EXPR_EXTHDR_OFFSET, OFFSET_MSS);
	nftnl_expr_set_u32(to, NFTNL_EXPR_EXTHDR_LEN, LENGTH_MSS);
	nftnl_expr_set_u32(to, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
	return 0;
}

/* With neither register the kernel takes the option out; offset, length and flags must not be there. */
static int put_strip_option(const struct expr *expr, struct nftnl_expr *to)
{
	nftnl_expr_set_u8(to, NFTNL_EXPR_EXTHDR_TYPE, expr->option.kind);
	nftnl_expr_set_u32(to, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
	return 0;
}

static int get_strip_option(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	(void)arena;
	if (nftnl_expr_is_set(from, NFTNL_EXPR_EXTHDR_DREG) || !nftnl_expr_is_set(from, NFTNL_EXPR_EXTHDR_TYPE) ||
	    codec_get_u32(from, NFTNL_EXPR_EXTHDR_OP) != NFT_EXTHDR_OP_TCPOPT)
		return -ENOTSUP;
	to->kind = EXPR_STRIP_OPTION;
	to->option.kind = nftnl_expr_get_u8(from, NFTNL_EXPR_EXTHDR_TYPE);
	return 0;
}

/* Both are "exthdr": one with a register, one without. */
static int get_set_mss(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	if (!nftnl_expr_is_set(from, NFTNL_EXPR_EXTHDR_SREG))
		return get_strip_option(from, arena, to);
	if (!codec_get_register(from, NFTNL_EXPR_EXTHDR_SREG, &to->mss.reg) ||
	    !nftnl_expr_is_set(from, NFTNL_EXPR_EXTHDR_TYPE) ||
	    nftnl_expr_get_u8(from, NFTNL_EXPR_EXTHDR_TYPE) != OPTION_MSS ||
	    codec_get_u32(from, NFTNL_EXPR_EXTHDR_OFFSET) != OFFSET_MSS ||
	    codec_get_u32(from, NFTNL_EXPR_EXTHDR_LEN) != LENGTH_MSS ||
	    codec_get_u32(from, NFTNL_EXPR_EXTHDR_OP) != NFT_EXTHDR_OP_TCPOPT)
		return -ENOTSUP;
	return 0;
}

const struct codec codec_route_mss = {"rt", put_route_mss, get_route_mss};
const struct codec codec_network16 = {"byteorder", put_network16, get_network16};
const struct codec codec_set_mss = {"exthdr", put_set_mss, get_set_mss};
const struct codec codec_strip_option = {"exthdr", put_strip_option, get_strip_option};
