/* Shared by the two halves of the expression codec (nft_expr.c has the loads,
 * comparisons and verdicts; nft_expr_act.c the sets, limits, NAT and the rest).
 * put_x writes an expression of ours into one of libnftnl's: 0, -EINVAL,
 * -ENOMEM. get_x reads it back: 0, -ENOMEM, -ENOTSUP for what we cannot say. */
#pragma once

#include "../../rules/state/state.h"

#include <stdio.h> /* before libnftnl/expr.h, which uses FILE */

#include <libnftnl/expr.h>

#define CODEC_COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct codec {
	const char *name; /* the kernel's name of the expression */
	int (*put)(const struct expr *expr, struct nftnl_expr *to);
	int (*get)(const struct nftnl_expr *from, struct arena *arena, struct expr *to);
};

/* By expr_kind, EXPR_LOOKUP and later in nft_expr_act.c. */
extern const struct codec codec_lookup, codec_dynset, codec_limit, codec_counter, codec_log, codec_numgen, codec_hash,
	codec_nat, codec_redirect, codec_masquerade, codec_reject, codec_synproxy;
/* In nft_expr_mss.c. */
extern const struct codec codec_route_mss, codec_network16, codec_set_mss, codec_strip_option;
/* In nft_flowtable.c. */
extern const struct codec codec_flow_add;

/* Index of number in numbers; false when it is not there. */
bool codec_find(const uint32_t *numbers, size_t count, uint32_t number, size_t *ret_index);
/* Are the 32-bit slots that hold length bytes from reg on all there? */
bool codec_fits(uint8_t reg, size_t length);
void codec_put_register(struct nftnl_expr *to, uint16_t attr, uint8_t reg);
bool codec_get_register(const struct nftnl_expr *from, uint16_t attr, uint8_t *ret_reg);
/* 0 when the attribute is not there. */
uint32_t codec_get_u32(const struct nftnl_expr *from, uint16_t attr);
/* A copy in arena; "" when the attribute is not there. */
int codec_get_text(const struct nftnl_expr *from, uint16_t attr, struct arena *arena, const char **ret_text);
