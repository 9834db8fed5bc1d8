/* Which open flows the present configuration would refuse: asked of the
 * evaluator, flow by flow, and ended in conntrack. */
#include "outlaw.h"

#include "kernel/conntrack.h"
#include "log.h"

#include "../rules/ask/ask.h"
#include "../rules/state/compile.h"
#include "../rules/state/state.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

struct lookout {
	const struct model *model;
	const struct rundata *run;
	struct arena *arena;
};

/* Where the flow came in: conntrack does not say, the source's place does. */
static void came_in(const struct model *model, struct question *question)
{
	question->in = PLACE_WAN;
	for (size_t i = 0; i < model->lan.network_count; i++)
		if (prefix_contains(&model->lan.networks[i], &question->from))
			question->in = PLACE_LAN;
	for (size_t i = 0; i < model->tunnel_count; i++) {
		const struct tunnel *tunnel = &model->tunnels[i];
		for (size_t j = 0; j < tunnel->peer_count; j++) {
			for (size_t k = 0; k < tunnel->peers[j].allowed_ip_count; k++) {
				if (!prefix_contains(&tunnel->peers[j].allowed_ips[k], &question->from))
					continue;
				question->in = PLACE_TUNNEL;
				question->in_tunnel = tunnel;
			}
		}
	}
}

static const struct node *node_at(const struct pool *pool, const struct addr *address)
{
	for (size_t i = 0; i < pool->node_count; i++)
		if (addr_equal(&pool->nodes[i]->address, address))
			return pool->nodes[i];
	return NULL;
}

static bool draining(const struct rundata *run, const struct node *node)
{
	for (size_t i = 0; i < run->draining_count; i++)
		if (strcmp(run->draining[i], node->name) == 0)
			return true;
	return false;
}

/* A flow to a node: it stays while the node is in the pool; UDP needs the node up, or draining. */
static enum flow_verdict judge_backend(const struct lookout *lookout, const struct forward *forward,
				       const struct flow *flow)
{
	if (flow->mark & MARK_PROXY)
		return FLOW_KEEP;
	const struct node *node = node_at(forward->pool, &flow->reply.from);
	if (!node)
		return FLOW_END;
	if (flow->protocol != IPPROTO_UDP || draining(lookout->run, node))
		return FLOW_KEEP;
	return compile_backend_usable(lookout->run, forward->pool, node, compile_health_port(forward)) ? FLOW_KEEP
												       : FLOW_END;
}

static enum flow_verdict judge(void *context, const struct flow *flow)
{
	struct lookout *lookout = context;
	struct question question = {.from = flow->original.from,
				    .from_port = flow->original.from_port,
				    .to = flow->original.to,
				    .to_port = flow->original.to_port};
	switch (flow->protocol) {
	case IPPROTO_TCP: question.protocol = PROTOCOL_TCP; break;
	case IPPROTO_UDP: question.protocol = PROTOCOL_UDP; break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: question.protocol = PROTOCOL_ICMP; break;
	default: question.protocol = PROTOCOL_ANY; break;
	}
	/* The zone that the kernel saw is kept in the mark. */
	question.to_self = (flow->mark & MARK_ZONE_MASK) == ZONE_SELF;
	if (flow->mark & MARK_FORWARD)
		question.to_self = false;
	came_in(lookout->model, &question);
	if (arena_used(lookout->arena) > (1u << 20)) {
		arena_free(&lookout->arena);
		lookout->arena = arena_new();
		if (!lookout->arena)
			return FLOW_STOP;
	}
	struct surroundings around = {.own = &flow->original.to,
				      .own_count = (flow->mark & MARK_ZONE_MASK) == ZONE_SELF ? 1 : 0};
	struct answer answer;
	if (ask_packet(lookout->model, lookout->run, &around, &question, lookout->arena, &answer) < 0)
		return FLOW_STOP;
	/* All backends down refuses new connections; what is open may live. */
	if (answer.by == DECIDED_NO_BACKEND)
		return judge_backend(lookout, answer.forward, flow);
	if (answer.verdict != EXPECT_ACCEPT)
		return FLOW_END;
	if (!(flow->mark & MARK_FORWARD))
		return FLOW_KEEP;
	return answer.forward ? judge_backend(lookout, answer.forward, flow) : FLOW_END;
}

int outlaw_connections(const struct model *model, const struct rundata *run)
{
	struct lookout lookout = {.model = model, .run = run, .arena = arena_new()};
	if (!lookout.arena)
		return -ENOMEM;
	int r = conntrack_walk(MARK_ACCEPTED, MARK_ACCEPTED, judge, &lookout);
	arena_free(&lookout.arena);
	if (r > 0)
		log_info("outlaw", "%d open connections ended that the configuration no longer allows", r);
	else if (r < 0)
		log_warning("outlaw",
			    "open connections could not be checked: %s; those that are no longer allowed live until "
			    "they end",
			    strerror(-r));
	return r;
}
