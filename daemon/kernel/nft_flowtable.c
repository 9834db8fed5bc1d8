/* Flowtables <-> netlink messages. To rules/state one is a set of the names of
 * its devices; to the kernel it is an object of its own, at priority 0 of the
 * devices' ingress, whose packets count for conntrack, too. */
#include "nft_expr_codec.h"
#include "nft_object.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/flowtable.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#define FLAG_COUNTER 0x2u /* NFT_FLOWTABLE_COUNTER of linux/netfilter/nf_tables.h */

int put_flowtable(struct nlmsghdr *message, const char *table, const char *name, bool whole, const struct element *devices,
		  size_t count)
{
	mnl_attr_put_strz(message, NFTA_FLOWTABLE_TABLE, table);
	mnl_attr_put_strz(message, NFTA_FLOWTABLE_NAME, name);
	if (whole)
		mnl_attr_put_u32(message, NFTA_FLOWTABLE_FLAGS, htonl(FLAG_COUNTER));
	if (!whole && !count)
		return 0;
	struct nlattr *hook = mnl_attr_nest_start(message, NFTA_FLOWTABLE_HOOK);
	mnl_attr_put_u32(message, NFTA_FLOWTABLE_HOOK_NUM, htonl(NF_NETDEV_INGRESS));
	mnl_attr_put_u32(message, NFTA_FLOWTABLE_HOOK_PRIORITY, 0);
	struct nlattr *list = count ? mnl_attr_nest_start(message, NFTA_FLOWTABLE_HOOK_DEVS) : NULL;
	for (size_t i = 0; i < count; i++)
		mnl_attr_put_strz(message, NFTA_DEVICE_NAME, (const char *)devices[i].key);
	if (list)
		mnl_attr_nest_end(message, list);
	mnl_attr_nest_end(message, hook);
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(((const struct element *)a)->key, ((const struct element *)b)->key, STATE_KEY_MAX);
}

static int read_devices(const struct nftnl_flowtable *from, struct arena *arena, struct set *set)
{
	const char *const *names = nftnl_flowtable_get_array(from, NFTNL_FLOWTABLE_DEVICES);
	size_t count = 0;
	while (names && names[count])
		count++;
	struct element *elements = arena_array(arena, count + 1, struct element);
	if (!elements)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		memcpy(elements[i].key, names[i], strnlen(names[i], IF_NAMESIZE));
	qsort(elements, count, sizeof(*elements), compare_keys);
	set->elements = elements;
	set->element_count = count;
	return 0;
}

int get_flowtable(const struct nlmsghdr *message, struct arena *arena, bool *ret_ours, struct set *ret_set)
{
	struct nftnl_flowtable *from = nftnl_flowtable_alloc();
	if (!from)
		return -ENOMEM;
	struct set set = {.key = {FIELD_IFNAME}, .flowtable = true};
	int rc = nftnl_flowtable_nlmsg_parse(message, from) < 0 ? errno == ENOMEM ? -ENOMEM : -EBADMSG : 0;
	const char *table = rc == 0 ? nftnl_flowtable_get_str(from, NFTNL_FLOWTABLE_TABLE) : NULL;
	const char *name = rc == 0 ? nftnl_flowtable_get_str(from, NFTNL_FLOWTABLE_NAME) : NULL;
	bool ours = table && name && strcmp(table, STATE_TABLE) == 0 &&
		    nftnl_flowtable_get_u32(from, NFTNL_FLOWTABLE_FAMILY) == NFPROTO_INET;
	if (ours) {
		set.name = arena_strdup(arena, name);
		rc = set.name ? read_devices(from, arena, &set) : -ENOMEM;
	}
	nftnl_flowtable_free(from);
	if (rc < 0)
		return rc;
	*ret_ours = ours;
	*ret_set = set;
	return 0;
}

static int put_flow_add(const struct expr *expr, struct nftnl_expr *to)
{
	if (!expr->flow.table)
		return -EINVAL;
	return nftnl_expr_set_str(to, NFTNL_EXPR_FLOW_TABLE_NAME, expr->flow.table) < 0 ? -ENOMEM : 0;
}

static int get_flow_add(const struct nftnl_expr *from, struct arena *arena, struct expr *to)
{
	return codec_get_text(from, NFTNL_EXPR_FLOW_TABLE_NAME, arena, &to->flow.table);
}

const struct codec codec_flow_add = {"flow_offload", put_flow_add, get_flow_add};
