/* MSS clamping: a tunnel's path takes smaller packets than the legs do, and not
 * everybody between two ends lets "fragmentation needed" through. Only where
 * there are tunnels; the kernel only ever lowers what a SYN offers. */
#include "parts.h"

#define PRIORITY_MANGLE (-150)
#define SYN_RST 0x06
#define SYN 0x02

void compile_clamp(struct build *b)
{
	if (b->model->tunnel_count == 0)
		return;
	struct chain_build *clamp =
		build_base_chain(b, "clamp", CHAIN_FILTER, HOOK_FORWARD, PRIORITY_MANGLE, false);
	match_l4proto(b, PROTO_TCP);
	match_tcp_flags(b, SYN_RST, true, SYN);
	static const enum expr_kind kinds[] = {EXPR_ROUTE_MSS, EXPR_NETWORK16, EXPR_SET_MSS};
	for (size_t i = 0; i < 3; i++)
		build_expr(b, kinds[i])->mss.reg = 0;
	rule_end(b, clamp, b->model->tunnels[0].at, "segments that fit into tunnels");
}
