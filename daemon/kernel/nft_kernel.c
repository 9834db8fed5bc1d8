/* The real kernel_ops: opening and closing, the owning socket, and what it
 * remembers of generations. Reading is in nft_observe.c, writing in
 * nft_commit.c. */
#include "nft_kernel.h"

#include "conntrack.h"
#include "nft_batch.h"
#include "nft_expr.h"
#include "nft_monitor.h"
#include "nft_object.h"

#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <unistd.h>

#define PROBE_TABLE STATE_TABLE "-probe"

static void close_kernel(struct kernel **kernel)
{
	if (!kernel || !*kernel)
		return;
	struct nft_kernel *nft = nft_kernel_of(*kernel);
	nft_socket_close(&nft->owner);
	nft_socket_close(&nft->query);
	free(nft);
	*kernel = NULL;
}

static const struct kernel_ops ops = {
	.observe = nft_observe,
	.observe_touched = nft_observe_touched,
	.commit = nft_commit,
	.generation = nft_generation,
	.counters = nft_counters,
	.dynamic_elements = nft_dynamic_elements,
	.dynamic_remove = nft_dynamic_remove,
	.close = close_kernel,
};

int kernel_open(int owner_fd, struct kernel **ret_kernel)
{
	struct nft_kernel *nft = calloc(1, sizeof(*nft));
	if (!nft) {
		if (owner_fd >= 0)
			close(owner_fd);
		return -ENOMEM;
	}
	*nft = (struct nft_kernel){.kernel = {.ops = &ops}, .owner = NFT_SOCKET_NONE, .query = NFT_SOCKET_NONE,
				   .has_persist = -1};
	int rc = owner_fd >= 0 ? nft_socket_adopt(owner_fd, &nft->owner) : nft_socket_open(&nft->owner);
	if (rc < 0 && owner_fd >= 0)
		close(owner_fd);
	if (rc == 0)
		rc = nft_socket_open(&nft->query);
	/* Where it fails otherwise, the step that needs conntrack says so. */
	if (rc == 0 && conntrack_load() == -ENOMEM)
		rc = -ENOMEM;
	if (rc < 0) {
		struct kernel *half = &nft->kernel;
		close_kernel(&half);
		return rc;
	}
	*ret_kernel = &nft->kernel;
	return 0;
}

int kernel_owner_fd(const struct kernel *kernel)
{
	return kernel->ops == &ops ? ((const struct nft_kernel *)kernel)->owner.fd : -1;
}

/* What is tried is the first message, on a table of its own; the last one fails whatever the kernel is: which of them is
 * refused first tells. */
enum probe_message { PROBE_TRIED, PROBE_FAILS };

static int probe_table(struct nft_batch *batch, enum probe_message owner, uint32_t flags)
{
	struct nlmsghdr *message = nft_batch_add(batch, owner, NFT_MSG_NEWTABLE, NLM_F_CREATE, OBJECT_ROOM);
	int rc = message ? put_table(message, PROBE_TABLE, flags) : -ENOMEM;
	if (rc == 0)
		nft_batch_done(batch, message);
	return rc;
}

/* 1: the kernel takes it; 0: it does not; -ENOMEM. */
static int probe_end(struct nft_kernel *nft, struct nft_batch *batch)
{
	struct nft_batch_result result;
	struct nlmsghdr *message = nft_batch_add(batch, PROBE_FAILS, NFT_MSG_DELTABLE, 0, OBJECT_ROOM);
	int rc = message ? put_table(message, PROBE_TABLE "-none", 0) : -ENOMEM;
	if (rc < 0)
		return rc;
	nft_batch_done(batch, message);
	/* Through the other socket: whatever came of it, ours owns nothing more. */
	(void)nft_batch_send(batch, &nft->query, &result);
	return result.owner == PROBE_FAILS;
}

static int try_persist(struct nft_kernel *nft)
{
	struct nft_batch batch cleanup_batch = {0};
	int rc = nft_batch_begin(0, &batch);
	if (rc == 0)
		rc = probe_table(&batch, PROBE_TRIED, TABLE_FLAG_OWNER | TABLE_FLAG_PERSIST);
	return rc < 0 ? rc : probe_end(nft, &batch);
}

static int probe_chain(struct nft_batch *batch)
{
	struct nlmsghdr *message = nft_batch_add(batch, PROBE_TRIED, NFT_MSG_NEWCHAIN, NLM_F_CREATE, OBJECT_ROOM);
	struct nftnl_chain *chain = nftnl_chain_alloc();
	int rc = -ENOMEM;
	if (message && chain && nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, PROBE_TABLE) >= 0 &&
	    nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, "probe") >= 0 &&
	    nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, "filter") >= 0) {
		nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, NF_INET_LOCAL_IN);
		nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, 0);
		nftnl_chain_nlmsg_build_payload(message, chain);
		nft_batch_done(batch, message);
		rc = 0;
	}
	nftnl_chain_free(chain);
	return rc;
}

static int probe_rule(struct nft_batch *batch, const struct expr *expr)
{
	struct nlmsghdr *message = nft_batch_add(batch, PROBE_TRIED, NFT_MSG_NEWRULE, NLM_F_CREATE, RULE_ROOM(1));
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct nftnl_expr *encoded = NULL;
	int rc = message && rule ? nft_expr_encode(expr, &encoded) : -ENOMEM;
	if (rc == 0) {
		nftnl_rule_add_expr(rule, encoded);
		rc = nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, PROBE_TABLE) < 0 ||
				     nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, "probe") < 0
			     ? -ENOMEM
			     : 0;
	}
	if (rc == 0) {
		nftnl_rule_nlmsg_build_payload(message, rule);
		nft_batch_done(batch, message);
	}
	nftnl_rule_free(rule);
	return rc;
}

bool kernel_has_synproxy(struct kernel *kernel)
{
	static const struct expr expr = {.kind = EXPR_SYNPROXY, .synproxy = {.mss = 1460, .wscale = 7}};
	struct nft_batch batch cleanup_batch = {0};
	if (kernel->ops != &ops)
		return false;
	int rc = nft_batch_begin(0, &batch);
	if (rc == 0)
		rc = probe_table(&batch, PROBE_TRIED, 0);
	if (rc == 0)
		rc = probe_chain(&batch);
	if (rc == 0)
		rc = probe_rule(&batch, &expr);
	return rc == 0 && probe_end(nft_kernel_of(kernel), &batch) == 1;
}

bool kernel_has_flowtable(struct kernel *kernel)
{
	struct nft_batch batch cleanup_batch = {0};
	if (kernel->ops != &ops)
		return false;
	int rc = nft_batch_begin(0, &batch);
	if (rc == 0)
		rc = probe_table(&batch, PROBE_TRIED, 0);
	struct nlmsghdr *message =
		rc == 0 ? nft_batch_add(&batch, PROBE_TRIED, NFT_MSG_NEWFLOWTABLE, NLM_F_CREATE, OBJECT_ROOM) : NULL;
	if (!message)
		return false;
	put_flowtable(message, PROBE_TABLE, "probe", true, NULL, 0);
	nft_batch_done(&batch, message);
	return probe_end(nft_kernel_of(kernel), &batch) == 1;
}

bool kernel_has_owner_persist(struct kernel *kernel)
{
	if (kernel->ops != &ops)
		return false;
	struct nft_kernel *nft = nft_kernel_of(kernel);
	if (nft->has_persist < 0)
		nft->has_persist = try_persist(nft);
	return nft->has_persist > 0;
}

void nft_committed(struct nft_kernel *kernel, uint32_t before)
{
	uint32_t after = before + 1 ? before + 1 : 1; /* the kernel leaves 0 out */
	kernel->own[kernel->own_count++ % OWN_GENERATIONS] = after;
	if (kernel->generation == before)
		kernel->generation = after;
}

bool kernel_is_own_generation(const struct kernel *kernel, uint32_t generation)
{
	if (kernel->ops != &ops)
		return false;
	const struct nft_kernel *nft = (const struct nft_kernel *)kernel;
	size_t known = nft->own_count < OWN_GENERATIONS ? nft->own_count : OWN_GENERATIONS;
	for (size_t i = 0; i < known; i++) {
		if (nft->own[i] == generation)
			return true;
	}
	return false;
}

uint32_t kernel_owner_port(const struct kernel *kernel)
{
	return kernel->ops == &ops ? ((const struct nft_kernel *)kernel)->owner.port : 0;
}
