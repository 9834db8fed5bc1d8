/* Sets, maps and their elements <-> netlink messages. Pure: no socket. */
#pragma once

#include "../../rules/state/state.h"

#include <linux/netlink.h>

struct nft_batch;

#define SET_ROOM 2048 /* of attributes */
/* A set without content hash and with more elements than this is not read on: it is none of ours. */
#define SET_ELEMENTS_MOST 100000

/* Fill in a message that creates the set; id: unique in the batch, not 0. 0, -ENOMEM, -EINVAL. */
int put_set(struct nlmsghdr *message, const struct set *set, uint32_t id);
/* Table and name, to delete it. */
void put_set_name(struct nlmsghdr *message, const char *name);
/* Table and name, to ask for its elements or (in a deletion) to flush it. */
void put_elements_of(struct nlmsghdr *message, const char *name);
/* The definition, from a dump. *ret_ours false: of another table, or anonymous (it comes and goes with its rule). What
 * struct set cannot say has no key, which no set of ours has. 0, -ENOMEM, -EBADMSG. */
int get_set(const struct nlmsghdr *message, struct arena *arena, bool *ret_ours, struct set *ret_set);
/* Are the elements of such a set read as ranges (else as elements)? */
bool set_has_ranges(const struct set *set);

/* Messages that add (or remove) elements and ranges of set to the batch, each message below 64 KiB.
 * 0, -ENOMEM, -EINVAL. */
int add_elements(struct nft_batch *batch, uint32_t owner, bool remove, const struct set *set,
		 const struct element *elements, size_t element_count, const struct addr_range *ranges, size_t range_count);

/* Collects the elements of one set, in arena. */
struct set_reader;
struct set_reader *set_reader_new(struct arena *arena, const struct set *set);
/* One message of the dump: 0, -ENOMEM, -EBADMSG, or -E2BIG for more than SET_ELEMENTS_MOST. An nft_answer. */
int set_reader_take(const struct nlmsghdr *message, void *reader);
/* Sorts, pairs up the ends of intervals, and puts elements or ranges into the set. An element that cannot be said
 * makes the set one without key. 0, -ENOMEM, or -EAGAIN: one element came twice, read the set again. */
int set_reader_finish(struct set_reader *reader, struct set *ret_set);
/* As they are, with what is left of their time; for dynamic sets. */
struct dynamic_element;
int set_reader_dynamic(struct set_reader *reader, struct dynamic_element **ret_elements, size_t *ret_count);
