/* Table, chains, rules and counters <-> netlink messages. put_x fills in a
 * message that nft_batch_add made (0, -ENOMEM, -EINVAL); get_x reads one of a
 * dump (0, -ENOMEM, -EBADMSG). Pure: no socket. Sets are in nft_set.h. */
#pragma once

#include "../../rules/state/state.h"

#include <linux/netlink.h>

/* Not in the headers of kernels before 6.9 (include/uapi/linux/netfilter/nf_tables.h). */
#define TABLE_FLAG_DORMANT 0x1u
#define TABLE_FLAG_OWNER 0x2u
#define TABLE_FLAG_PERSIST 0x4u

#define CHAIN_DEVICES_MOST 16
#define OBJECT_ROOM 2048 /* of attributes: a table, chain or counter */
/* Of attributes: a rule of that many expressions. */
#define RULE_ROOM(exprs) (2048 + 512 * (size_t)(exprs))
#define RULE_EXPRS_MAX 128 /* NFT_RULE_MAXEXPRS */

int put_table(struct nlmsghdr *message, const char *name, uint32_t flags);
/* whole: type, hook and priority too; else name and policy alone. */
int put_chain(struct nlmsghdr *message, const struct chain *chain, bool whole);
/* hash: 32 bytes to keep with it, or NULL. */
int put_counter(struct nlmsghdr *message, const char *name, const uint8_t *hash);
/* before: handle of the rule in whose front it goes, or 0. */
int put_rule(struct nlmsghdr *message, const struct chain *chain, const struct rule_state *rule, uint64_t before);
/* To delete one rule by its handle, or with 0 all of the chain. */
int put_rule_handle(struct nlmsghdr *message, const struct chain *chain, uint64_t handle);

/* owner: netlink port of the owner, 0 for none. */
int get_table(const struct nlmsghdr *message, uint32_t *ret_flags, uint32_t *ret_owner);
/* *ret_ours false: of another table. A base chain of a kind that struct chain cannot say gets a priority that no
 * chain of ours has. */
int get_chain(const struct nlmsghdr *message, struct arena *arena, bool *ret_ours, struct chain *ret_chain);
/* *ret_chain: the chain's name, NULL for a rule of another table. A rule that struct expr cannot say has no
 * expressions and RULE_FOREIGN as comment. */
int get_rule(const struct nlmsghdr *message, struct arena *arena, const char **ret_chain, struct rule_state *ret_rule);
#define RULE_FOREIGN "\x01not edged's"

/* A counter of a dump. One that keeps the content hash of a set has a hash. */
struct counter_message {
	bool ours;
	struct counter counter;
	uint64_t packets, bytes;
	bool has_hash;
	uint8_t hash[32];
};
int get_counter(const struct nlmsghdr *message, struct arena *arena, struct counter_message *ret_counter);
/* In nft_flowtable.c: a flowtable (rules/state keeps it as a set). whole: as it is made, else to delete it, or these of its
 * devices. */
int put_flowtable(struct nlmsghdr *message, const char *table, const char *name, bool whole, const struct element *devices,
		  size_t count);
int get_flowtable(const struct nlmsghdr *message, struct arena *arena, bool *ret_ours, struct set *ret_set);
/* To delete one. */
void put_counter_name(struct nlmsghdr *message, const char *name);
