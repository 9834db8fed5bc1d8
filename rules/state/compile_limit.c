/* Limits per source. "Under it go on, else fall through", never "over it drop":
 * the latter passes everything once the set is full. */
#include "parts.h"

uint32_t source_set_size(const struct build *b)
{
	return b->run->set_size ? b->run->set_size : 65536;
}

/* How long a source's bucket is kept: until it would be full again, and a minute at least. */
static uint64_t bucket_timeout_ms(const struct source_limit *limit)
{
	if (limit->with != DYNSET_LIMIT)
		return 0;
	uint64_t seconds = (uint64_t)limit->limit.burst * limit->limit.per_seconds / limit->limit.count + 1;
	return (seconds < 60 ? 60 : seconds) * 1000;
}

static struct expr *dynset(struct build *b, const char *set, const struct source_limit *limit)
{
	struct expr *expr = build_expr(b, EXPR_DYNSET);
	expr->dynset.set = set;
	expr->dynset.op = limit->with == DYNSET_LIMIT ? DYNSET_UPDATE : DYNSET_ADD;
	expr->dynset.with = limit->with;
	expr->dynset.limit = limit->limit;
	expr->dynset.connections = limit->connections;
	return expr;
}

static void compile_family(struct build *b, struct chain_build *chain, const struct source_limit *limit, const char *next,
			   enum family family)
{
	const struct forward *forward = limit->forward;
	char *name = set_name(b, limit->set, family, forward->name);
	build_set(b, &(struct set){.name = name,
				   .key = {family == FAMILY_V4 ? FIELD_IPV4 : FIELD_IPV6},
				   .dynamic = true,
				   .timeout = limit->with == DYNSET_LIMIT,
				   .timeout_ms = bucket_timeout_ms(limit),
				   .size = source_set_size(b),
				   .with = limit->with,
				   .limit = limit->limit,
				   .connections = limit->connections,
				   .at = forward->limits.at});
	match_family(b, family);
	load_source_unit(b, family);
	dynset(b, name, limit);
	rule_verdict(b, chain, VERDICT_GOTO, next, forward->limits.at,
		     build_name(b, "forward %s: under its limit", forward->name));

	match_family(b, family);
	load_source_unit(b, family);
	dynset(b, name, limit)->dynset.invert = true;
	do_limit(b, limit->shared);
	rule_verdict(b, chain, VERDICT_GOTO, next, forward->limits.at,
		     build_name(b, "forward %s: set full, one bucket for all unknown", forward->name));
}

void compile_source_limit(struct build *b, struct chain_build *chain, const struct source_limit *limit, const char *next)
{
	compile_family(b, chain, limit, next, FAMILY_V4);
	compile_family(b, chain, limit, next, FAMILY_V6);
}
