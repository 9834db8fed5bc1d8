/* Asks the kernel whether the firewall is closed, by its chains' policies alone: for who trusts neither edged nor what
 * edged believes. Never changes anything. */
#include "nft_closed.h"

#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#define TABLE "edged"
#define REPLY_MAX 32768u /* the kernel fills no more of a listing at once */

/* Into an array by type; NFTA_CHAIN_MAX is above NFTA_HOOK_MAX. */
static int see_attribute(const struct nlattr *attribute, void *data)
{
	const struct nlattr **attributes = data;
	if (mnl_attr_get_type(attribute) <= NFTA_CHAIN_MAX)
		attributes[mnl_attr_get_type(attribute)] = attribute;
	return MNL_CB_OK;
}

/* Adds the bit of a base chain's hook, if the chain drops: the attributes of uapi's nf_tables.h, in network byte order. */
static int see_chain(const struct nlmsghdr *message, void *data)
{
	uint32_t *hooks = data;
	const struct nlattr *chain[NFTA_CHAIN_MAX + 1] = {0}, *hook[NFTA_CHAIN_MAX + 1] = {0};
	mnl_attr_parse(message, sizeof(struct nfgenmsg), see_attribute, chain);
	if (!chain[NFTA_CHAIN_TABLE] || strcmp(mnl_attr_get_str(chain[NFTA_CHAIN_TABLE]), TABLE) != 0 ||
	    !chain[NFTA_CHAIN_HOOK] || !chain[NFTA_CHAIN_POLICY] ||
	    be32toh(mnl_attr_get_u32(chain[NFTA_CHAIN_POLICY])) != NF_DROP)
		return MNL_CB_OK;
	mnl_attr_parse_nested(chain[NFTA_CHAIN_HOOK], see_attribute, hook);
	if (hook[NFTA_HOOK_HOOKNUM])
		*hooks |= 1u << (be32toh(mnl_attr_get_u32(hook[NFTA_HOOK_HOOKNUM])) & 7);
	return MNL_CB_OK;
}

int nft_closed(bool *ret_closed)
{
	alignas(struct nlmsghdr) char space[REPLY_MAX];
	const uint32_t both = 1u << NF_INET_LOCAL_IN | 1u << NF_INET_FORWARD;
	uint32_t hooks = 0;
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!socket)
		return -errno;
	struct nlmsghdr *message = mnl_nlmsg_put_header(space);
	message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	struct nfgenmsg *family = mnl_nlmsg_put_extra_header(message, sizeof(*family));
	*family = (struct nfgenmsg){.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0};
	int more = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
			   mnl_socket_sendto(socket, message, message->nlmsg_len) < 0
		       ? MNL_CB_ERROR
		       : MNL_CB_OK;
	while (more > MNL_CB_STOP) {
		ssize_t size = mnl_socket_recvfrom(socket, space, sizeof(space));
		more = size < 0 ? MNL_CB_ERROR : mnl_cb_run(space, (size_t)size, 0, 0, see_chain, &hooks);
	}
	int error = errno;
	mnl_socket_close(socket);
	if (more == MNL_CB_ERROR)
		return -error;
	*ret_closed = (hooks & both) == both;
	return 0;
}
