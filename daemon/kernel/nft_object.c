/* Table, chains, rules and counters as netlink messages, by libnftnl. Nothing
 * here knows of sockets, batches or the order of messages. What comes from the
 * kernel may have been put there by anybody with the right to: whatever our
 * state cannot say is marked as foreign, never skipped. */
#include "nft_object.h"

#include "nft_expr.h"
#include "nft_udata.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#define HASH_SIZE 32

static const char *const type_names[] = {
	[CHAIN_REGULAR] = "",
	[CHAIN_FILTER] = "filter",
	[CHAIN_NAT] = "nat",
	[CHAIN_ROUTE] = "route",
};

static const uint32_t hooks[] = {
	[HOOK_PREROUTING] = NF_INET_PRE_ROUTING, [HOOK_INPUT] = NF_INET_LOCAL_IN,
	[HOOK_FORWARD] = NF_INET_FORWARD,	 [HOOK_OUTPUT] = NF_INET_LOCAL_OUT,
	[HOOK_POSTROUTING] = NF_INET_POST_ROUTING, [HOOK_INGRESS] = NF_INET_INGRESS,
};

/* What came of a parser of libnftnl's; errno was 0 before. Some of them go on without memory, and leave a name out. */
static int parsed(int rc)
{
	if (errno == ENOMEM)
		return -ENOMEM;
	return rc < 0 ? -EBADMSG : 0;
}

int put_table(struct nlmsghdr *message, const char *name, uint32_t flags)
{
	struct nftnl_table *table = nftnl_table_alloc();
	if (!table)
		return -ENOMEM;
	int rc = nftnl_table_set_str(table, NFTNL_TABLE_NAME, name) < 0 ? -ENOMEM : 0;
	nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, flags);
	if (rc == 0)
		nftnl_table_nlmsg_build_payload(message, table);
	nftnl_table_free(table);
	return rc;
}

int get_table(const struct nlmsghdr *message, uint32_t *ret_flags, uint32_t *ret_owner)
{
	struct nftnl_table *table = nftnl_table_alloc();
	if (!table)
		return -ENOMEM;
	errno = 0;
	int rc = parsed(nftnl_table_nlmsg_parse(message, table));
	if (rc == 0) {
		*ret_flags = nftnl_table_get_u32(table, NFTNL_TABLE_FLAGS);
		*ret_owner = nftnl_table_is_set(table, NFTNL_TABLE_OWNER) ?
				     nftnl_table_get_u32(table, NFTNL_TABLE_OWNER) : 0;
	}
	nftnl_table_free(table);
	return rc;
}

/* libnftnl wants a list that ends with NULL, and copies it. */
static bool put_devices(struct nftnl_chain *to, const struct chain *chain)
{
	const char *names[CHAIN_DEVICES_MOST + 1] = {0};
	if (chain->device_count > CHAIN_DEVICES_MOST)
		return false;
	for (size_t i = 0; i < chain->device_count; i++)
		names[i] = chain->devices[i];
	return !chain->device_count || nftnl_chain_set_array(to, NFTNL_CHAIN_DEVICES, names) >= 0;
}

int put_chain(struct nlmsghdr *message, const struct chain *chain, bool whole)
{
	bool base = chain->type != CHAIN_REGULAR;
	if (base && (chain->type > CHAIN_ROUTE || chain->hook > HOOK_INGRESS))
		return -EINVAL;
	struct nftnl_chain *to = nftnl_chain_alloc();
	if (!to)
		return -ENOMEM;
	bool good = nftnl_chain_set_str(to, NFTNL_CHAIN_TABLE, STATE_TABLE) >= 0 &&
		    nftnl_chain_set_str(to, NFTNL_CHAIN_NAME, chain->name) >= 0;
	if (base && whole) {
		good = good && nftnl_chain_set_str(to, NFTNL_CHAIN_TYPE, type_names[chain->type]) >= 0;
		nftnl_chain_set_u32(to, NFTNL_CHAIN_HOOKNUM, hooks[chain->hook]);
		nftnl_chain_set_s32(to, NFTNL_CHAIN_PRIO, chain->priority);
		good = good && put_devices(to, chain);
	}
	if (base)
		nftnl_chain_set_u32(to, NFTNL_CHAIN_POLICY, chain->policy_drop ? NF_DROP : NF_ACCEPT);
	if (good)
		nftnl_chain_nlmsg_build_payload(message, to);
	nftnl_chain_free(to);
	return good ? 0 : -ENOMEM;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int read_devices(const struct nftnl_chain *from, struct arena *arena, struct chain *chain)
{
	const char *const *names = nftnl_chain_is_set(from, NFTNL_CHAIN_DEVICES) ?
					   nftnl_chain_get_array(from, NFTNL_CHAIN_DEVICES) : NULL;
	size_t count = 0;
	while (names && names[count])
		count++;
	const char **devices = count ? arena_array(arena, count, const char *) : NULL;
	for (size_t i = 0; i < count; i++) {
		if (!devices || !(devices[i] = arena_strdup(arena, names[i])))
			return -ENOMEM;
	}
	if (count)
		qsort(devices, count, sizeof(*devices), compare_names);
	chain->devices = devices;
	chain->device_count = count;
	return 0;
}

/* A base chain's definition; false when it is of a kind that we never make. */
static bool read_base(const struct nftnl_chain *from, struct chain *chain)
{
	const char *type = nftnl_chain_get_str(from, NFTNL_CHAIN_TYPE);
	uint32_t hook = nftnl_chain_get_u32(from, NFTNL_CHAIN_HOOKNUM);
	size_t t = CHAIN_FILTER, h = HOOK_PREROUTING;
	while (type && t <= CHAIN_ROUTE && strcmp(type, type_names[t]) != 0)
		t++;
	while (h <= HOOK_INGRESS && hooks[h] != hook)
		h++;
	if (!type || t > CHAIN_ROUTE || h > HOOK_INGRESS)
		return false;
	chain->type = (enum chain_type)t;
	chain->hook = (enum hook)h;
	chain->priority = nftnl_chain_get_s32(from, NFTNL_CHAIN_PRIO);
	chain->policy_drop = nftnl_chain_get_u32(from, NFTNL_CHAIN_POLICY) == NF_DROP;
	return true;
}

static bool is_ours(const char *table, uint32_t family)
{
	return table && family == NFPROTO_INET && strcmp(table, STATE_TABLE) == 0;
}

int get_chain(const struct nlmsghdr *message, struct arena *arena, bool *ret_ours, struct chain *ret_chain)
{
	struct nftnl_chain *from = nftnl_chain_alloc();
	if (!from)
		return -ENOMEM;
	struct chain chain = {0};
	bool ours = false;
	errno = 0;
	int rc = parsed(nftnl_chain_nlmsg_parse(message, from));
	const char *name = rc == 0 ? nftnl_chain_get_str(from, NFTNL_CHAIN_NAME) : NULL;
	if (rc == 0 && name) {
		ours = is_ours(nftnl_chain_get_str(from, NFTNL_CHAIN_TABLE),
			       nftnl_chain_get_u32(from, NFTNL_CHAIN_FAMILY));
		chain.handle = nftnl_chain_get_u64(from, NFTNL_CHAIN_HANDLE);
		chain.name = ours ? arena_strdup(arena, name) : "";
		if (!chain.name)
			rc = -ENOMEM;
		if (nftnl_chain_is_set(from, NFTNL_CHAIN_HOOKNUM) && !read_base(from, &chain)) {
			chain.type = CHAIN_FILTER;
			chain.priority = INT32_MIN;
		}
		if (rc == 0 && ours)
			rc = read_devices(from, arena, &chain);
	}
	nftnl_chain_free(from);
	if (rc < 0)
		return rc;
	*ret_ours = ours;
	*ret_chain = chain;
	return 0;
}

int put_counter(struct nlmsghdr *message, const char *name, const uint8_t *hash)
{
	struct udata udata = {0};
	struct nftnl_obj *to = nftnl_obj_alloc();
	if (!to)
		return -ENOMEM;
	nftnl_obj_set_str(to, NFTNL_OBJ_TABLE, STATE_TABLE);
	nftnl_obj_set_str(to, NFTNL_OBJ_NAME, name);
	nftnl_obj_set_u32(to, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
	/* These setters report nothing: see what is there. */
	bool good = nftnl_obj_get_str(to, NFTNL_OBJ_TABLE) && nftnl_obj_get_str(to, NFTNL_OBJ_NAME);
	if (good)
		nftnl_obj_nlmsg_build_payload(message, to);
	if (good && hash && udata_put(&udata, UDATA_COUNTER_HASH, hash, HASH_SIZE) == 0)
		mnl_attr_put(message, NFTA_OBJ_USERDATA, udata.length, udata.bytes);
	nftnl_obj_free(to);
	return good ? 0 : -ENOMEM;
}

void put_counter_name(struct nlmsghdr *message, const char *name)
{
	mnl_attr_put_strz(message, NFTA_OBJ_TABLE, STATE_TABLE);
	mnl_attr_put_strz(message, NFTA_OBJ_NAME, name);
	mnl_attr_put_u32(message, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
}

static int read_counter(struct nftnl_obj *from, struct arena *arena, struct counter_message *to)
{
	const char *name = nftnl_obj_get_str(from, NFTNL_OBJ_NAME);
	*to = (struct counter_message){0};
	if (!name || nftnl_obj_get_u32(from, NFTNL_OBJ_TYPE) != NFT_OBJECT_COUNTER ||
	    !is_ours(nftnl_obj_get_str(from, NFTNL_OBJ_TABLE), nftnl_obj_get_u32(from, NFTNL_OBJ_FAMILY)))
		return 0;
	to->ours = true;
	to->counter.name = arena_strdup(arena, name);
	to->counter.handle = nftnl_obj_get_u64(from, NFTNL_OBJ_HANDLE);
	to->packets = nftnl_obj_get_u64(from, NFTNL_OBJ_CTR_PKTS);
	to->bytes = nftnl_obj_get_u64(from, NFTNL_OBJ_CTR_BYTES);
	uint32_t udata_length = 0;
	size_t length;
	const void *udata = nftnl_obj_get_data(from, NFTNL_OBJ_USERDATA, &udata_length);
	const uint8_t *hash = udata ? udata_find(udata, udata_length, UDATA_COUNTER_HASH, &length) : NULL;
	if (hash && length == HASH_SIZE) {
		to->has_hash = true;
		memcpy(to->hash, hash, HASH_SIZE);
	}
	return to->counter.name ? 0 : -ENOMEM;
}

int get_counter(const struct nlmsghdr *message, struct arena *arena, struct counter_message *ret_counter)
{
	struct nftnl_obj *from = nftnl_obj_alloc();
	if (!from)
		return -ENOMEM;
	struct counter_message counter;
	errno = 0;
	int rc = parsed(nftnl_obj_nlmsg_parse(message, from));
	if (rc == 0)
		rc = read_counter(from, arena, &counter);
	nftnl_obj_free(from);
	if (rc == 0)
		*ret_counter = counter;
	return rc;
}

static int add_exprs(struct nftnl_rule *to, const struct rule_state *rule)
{
	for (size_t i = 0; i < rule->expr_count; i++) {
		struct nftnl_expr *expr;
		int rc = nft_expr_encode(&rule->exprs[i], &expr);
		if (rc < 0)
			return rc;
		nftnl_rule_add_expr(to, expr);
	}
	return 0;
}

static int add_comment(struct nftnl_rule *to, const char *comment)
{
	struct udata udata = {0};
	if (!comment || !*comment)
		return 0;
	if (strlen(comment) > STATE_COMMENT_MAX)
		return -EINVAL;
	int rc = udata_put_text(&udata, NFTNL_UDATA_RULE_COMMENT, comment);
	if (rc < 0)
		return rc;
	return nftnl_rule_set_data(to, NFTNL_RULE_USERDATA, udata.bytes, (uint32_t)udata.length) < 0 ? -ENOMEM : 0;
}

static struct nftnl_rule *rule_of(const struct chain *chain)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	if (!rule)
		return NULL;
	if (nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, STATE_TABLE) >= 0 &&
	    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chain->name) >= 0)
		return rule;
	nftnl_rule_free(rule);
	return NULL;
}

int put_rule(struct nlmsghdr *message, const struct chain *chain, const struct rule_state *rule, uint64_t before)
{
	if (rule->expr_count > RULE_EXPRS_MAX)
		return -EINVAL;
	struct nftnl_rule *to = rule_of(chain);
	if (!to)
		return -ENOMEM;
	int rc = add_exprs(to, rule);
	if (rc == 0)
		rc = add_comment(to, rule->comment);
	if (before)
		nftnl_rule_set_u64(to, NFTNL_RULE_POSITION, before);
	if (rc == 0)
		nftnl_rule_nlmsg_build_payload(message, to);
	nftnl_rule_free(to);
	return rc;
}

int put_rule_handle(struct nlmsghdr *message, const struct chain *chain, uint64_t handle)
{
	struct nftnl_rule *to = rule_of(chain);
	if (!to)
		return -ENOMEM;
	if (handle)
		nftnl_rule_set_u64(to, NFTNL_RULE_HANDLE, handle);
	nftnl_rule_nlmsg_build_payload(message, to);
	nftnl_rule_free(to);
	return 0;
}

struct reading {
	struct arena *arena;
	struct expr *exprs;
	size_t count;
};

static int count_expr(struct nftnl_expr *expr, void *data)
{
	(void)expr;
	((struct reading *)data)->count++;
	return 0;
}

static int read_expr(struct nftnl_expr *expr, void *data)
{
	struct reading *reading = data;
	int rc = nft_expr_decode(expr, reading->arena, &reading->exprs[reading->count]);
	if (rc == 0)
		reading->count++;
	return rc;
}

static int read_rule(const struct nftnl_rule *from, struct arena *arena, struct rule_state *rule)
{
	struct reading reading = {.arena = arena};
	uint32_t length = 0;
	const void *udata = nftnl_rule_get_data(from, NFTNL_RULE_USERDATA, &length);
	rule->comment = udata_text(udata, udata ? length : 0, NFTNL_UDATA_RULE_COMMENT, arena);
	(void)nftnl_expr_foreach((struct nftnl_rule *)(uintptr_t)from, count_expr, &reading);
	reading.exprs = arena_array(arena, reading.count + 1, struct expr);
	if (!rule->comment || !reading.exprs)
		return -ENOMEM;
	reading.count = 0;
	int rc = nftnl_expr_foreach((struct nftnl_rule *)(uintptr_t)from, read_expr, &reading);
	rule->exprs = reading.exprs;
	rule->expr_count = reading.count;
	if (rc != -ENOTSUP)
		return rc;
	rule->exprs = NULL;
	rule->expr_count = 0;
	rule->comment = RULE_FOREIGN;
	return 0;
}

static int find_name(const struct nlattr *attribute, void *data)
{
	const struct nlattr **found = data;
	uint16_t type = mnl_attr_get_type(attribute);
	if (type == NFTA_RULE_TABLE || type == NFTA_RULE_CHAIN || type == NFTA_RULE_HANDLE)
		found[type] = attribute;
	return MNL_CB_OK;
}

/* A rule that libnftnl cannot read, since it has an expression from a newer kernel. */
static int read_unknown(const struct nlmsghdr *message, struct arena *arena, const char **ret_chain,
			struct rule_state *ret_rule)
{
	const struct nlattr *found[NFTA_RULE_HANDLE + 1] = {NULL};
	(void)mnl_attr_parse(message, sizeof(struct nfgenmsg), find_name, found);
	for (int type = NFTA_RULE_TABLE; type <= NFTA_RULE_HANDLE; type++) {
		if (!found[type] || mnl_attr_validate(found[type], type == NFTA_RULE_HANDLE ? MNL_TYPE_U64 :
								   MNL_TYPE_NUL_STRING) < 0)
			return -EBADMSG;
	}
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	*ret_chain = NULL;
	*ret_rule = (struct rule_state){.comment = RULE_FOREIGN};
	if (!is_ours(mnl_attr_get_str(found[NFTA_RULE_TABLE]), head->nfgen_family))
		return 0;
	ret_rule->handle = be64toh(mnl_attr_get_u64(found[NFTA_RULE_HANDLE]));
	*ret_chain = arena_strdup(arena, mnl_attr_get_str(found[NFTA_RULE_CHAIN]));
	return *ret_chain ? 0 : -ENOMEM;
}

static int read_known(const struct nftnl_rule *from, struct arena *arena, const char **ret_chain,
		      struct rule_state *ret_rule)
{
	*ret_chain = NULL;
	*ret_rule = (struct rule_state){0};
	if (!nftnl_rule_get_str(from, NFTNL_RULE_CHAIN) ||
	    !is_ours(nftnl_rule_get_str(from, NFTNL_RULE_TABLE), nftnl_rule_get_u32(from, NFTNL_RULE_FAMILY)))
		return 0;
	ret_rule->handle = nftnl_rule_get_u64(from, NFTNL_RULE_HANDLE);
	*ret_chain = arena_strdup(arena, nftnl_rule_get_str(from, NFTNL_RULE_CHAIN));
	return *ret_chain ? read_rule(from, arena, ret_rule) : -ENOMEM;
}

int get_rule(const struct nlmsghdr *message, struct arena *arena, const char **ret_chain, struct rule_state *ret_rule)
{
	struct nftnl_rule *from = nftnl_rule_alloc();
	if (!from)
		return -ENOMEM;
	struct rule_state rule;
	const char *chain;
	errno = 0;
	int rc = parsed(nftnl_rule_nlmsg_parse(message, from));
	if (rc == 0)
		rc = read_known(from, arena, &chain, &rule);
	else if (rc == -EBADMSG)
		rc = read_unknown(message, arena, &chain, &rule);
	nftnl_rule_free(from);
	if (rc < 0)
		return rc;
	*ret_chain = chain;
	*ret_rule = rule;
	return 0;
}
