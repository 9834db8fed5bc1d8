/* struct expr <-> the kernel's rule expressions, one to one and in both
 * directions. Pure: no socket, no clock. */
#pragma once

#include "../../rules/state/state.h"

struct nftnl_expr;

/* 0 with *ret_expr (the caller owns it: add it to a rule or nftnl_expr_free it), -ENOMEM, or
 * -EINVAL: the expression names a register, length or number that the kernel does not have. */
int nft_expr_encode(const struct expr *expr, struct nftnl_expr **ret_expr);
/* 0 with *ret_expr filled (strings in arena), -ENOMEM, or -ENOTSUP: an
 * expression, or a use of one, that struct expr cannot say. */
int nft_expr_decode(const struct nftnl_expr *expr, struct arena *arena, struct expr *ret_expr);
