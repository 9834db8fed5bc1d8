/* Elements of sets and maps as netlink messages. Writing is plain appending of
 * attributes, with nothing allocated per element, so that a million ranges are
 * not slow. An interval is two elements: its first key, and the one behind its
 * last key with the flag INTERVAL_END (left out at the end of the key space).
 * It never decides which elements there should be. */
#include "kernel.h"
#include "nft_batch.h"
#include "nft_set.h"
#include "nft_udata.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#define LIST_FULL 60000u   /* bytes of one list: its length must stay below 65536 */
#define ELEMENT_ROOM 1024u /* of the largest element */

struct writer {
	struct nft_batch *batch;
	uint32_t owner;
	bool remove;
	const struct set *set;
	size_t key_length;
	struct nlmsghdr *message; /* NULL: none is open */
	struct nlattr *list;
};

static size_t key_length(const struct set *set)
{
	return set->key[1] ? set_key_size(set) : field_size(set->key[0]);
}

static void close_message(struct writer *writer)
{
	if (!writer->message)
		return;
	mnl_attr_nest_end(writer->message, writer->list);
	nft_batch_done(writer->batch, writer->message);
	writer->message = NULL;
}

static int make_room(struct writer *writer)
{
	if (writer->message && (size_t)((char *)mnl_nlmsg_get_payload_tail(writer->message) - (char *)writer->list) < LIST_FULL)
		return 0;
	close_message(writer);
	writer->message = nft_batch_add(writer->batch, writer->owner, writer->remove ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM,
					writer->remove ? 0 : NLM_F_CREATE, LIST_FULL + 2 * ELEMENT_ROOM);
	if (!writer->message)
		return -ENOMEM;
	put_elements_of(writer->message, writer->set->name);
	writer->list = mnl_attr_nest_start(writer->message, NFTA_SET_ELEM_LIST_ELEMENTS);
	return 0;
}

static int put_data(struct nlmsghdr *message, const struct set *set, const struct element *element)
{
	static const int32_t codes[] = {
		[VERDICT_ACCEPT] = NF_ACCEPT, [VERDICT_DROP] = NF_DROP,	     [VERDICT_JUMP] = NFT_JUMP,
		[VERDICT_GOTO] = NFT_GOTO,    [VERDICT_RETURN] = NFT_RETURN,
	};
	bool jumps = element->verdict == VERDICT_JUMP || element->verdict == VERDICT_GOTO;
	if (element->verdict > VERDICT_RETURN || (set->data == FIELD_VERDICT && jumps && !element->chain))
		return -EINVAL;
	struct nlattr *data = mnl_attr_nest_start(message, NFTA_SET_ELEM_DATA);
	if (set->data == FIELD_VERDICT) {
		struct nlattr *verdict = mnl_attr_nest_start(message, NFTA_DATA_VERDICT);
		mnl_attr_put_u32(message, NFTA_VERDICT_CODE, htonl((uint32_t)codes[element->verdict]));
		if (jumps)
			mnl_attr_put_strz(message, NFTA_VERDICT_CHAIN, element->chain);
		mnl_attr_nest_end(message, verdict);
	} else {
		mnl_attr_put(message, NFTA_DATA_VALUE, field_size(set->data), element->data);
	}
	mnl_attr_nest_end(message, data);
	return 0;
}

/* element: data, times and user data of it, or NULL for none. */
static int put_one(struct writer *writer, const uint8_t *key, bool end, const struct element *element)
{
	int rc = make_room(writer);
	if (rc < 0)
		return rc;
	struct nlmsghdr *message = writer->message;
	struct nlattr *item = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
	struct nlattr *value = mnl_attr_nest_start(message, NFTA_SET_ELEM_KEY);
	mnl_attr_put(message, NFTA_DATA_VALUE, writer->key_length, key);
	mnl_attr_nest_end(message, value);
	if (end)
		mnl_attr_put_u32(message, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
	if (element && !writer->remove) {
		if (writer->set->data)
			rc = put_data(message, writer->set, element);
		if (element->timeout_ms)
			mnl_attr_put_u64(message, NFTA_SET_ELEM_TIMEOUT, htobe64(element->timeout_ms));
		struct udata udata = {0};
		uint64_t expires = htobe64(element->expires);
		if (element->expires && rc == 0)
			rc = udata_put(&udata, UDATA_ELEMENT_EXPIRES, &expires, sizeof(expires));
		if (udata.length)
			mnl_attr_put(message, NFTA_SET_ELEM_USERDATA, udata.length, udata.bytes);
	}
	mnl_attr_nest_end(message, item);
	return rc;
}

/* key + 1, as a big-endian number; false when it was the last one. */
static bool key_next(uint8_t *key, size_t length)
{
	while (length > 0) {
		if (++key[--length] != 0)
			return true;
	}
	return false;
}

static void key_previous(uint8_t *key, size_t length)
{
	while (length > 0) {
		if (key[--length]-- != 0)
			return;
	}
}

static int put_interval(struct writer *writer, const uint8_t *first, const uint8_t *last, const struct element *element)
{
	uint8_t behind[STATE_KEY_MAX];
	int rc = put_one(writer, first, false, element);
	if (rc < 0)
		return rc;
	memcpy(behind, last, writer->key_length);
	return key_next(behind, writer->key_length) ? put_one(writer, behind, true, NULL) : 0;
}

int add_elements(struct nft_batch *batch, uint32_t owner, bool remove, const struct set *set,
		 const struct element *elements, size_t element_count, const struct addr_range *ranges, size_t range_count)
{
	struct writer writer = {.batch = batch, .owner = owner, .remove = remove, .set = set,
				.key_length = key_length(set)};
	if (writer.key_length == 0 || writer.key_length > STATE_KEY_MAX || (range_count && writer.key_length > 16) ||
	    (element_count && !elements) || (range_count && !ranges))
		return -EINVAL;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < element_count; i++) {
		const struct element *element = &elements[i];
		rc = set->interval ? put_interval(&writer, element->key, element->key_end, element)
				   : put_one(&writer, element->key, false, element);
	}
	for (size_t i = 0; rc == 0 && i < range_count; i++)
		rc = put_interval(&writer, ranges[i].first.bytes, ranges[i].last.bytes, NULL);
	close_message(&writer);
	return rc;
}

/* One element as it is in the kernel. */
struct item {
	struct element element;
	bool end;
};

struct set_reader {
	struct arena *arena;
	const struct set *set;
	size_t key_length;
	struct item *items;
	size_t count, capacity;
	bool foreign; /* something that struct element cannot say */
};

struct set_reader *set_reader_new(struct arena *arena, const struct set *set)
{
	struct set_reader *reader = arena_new_of(arena, struct set_reader);
	if (reader)
		*reader = (struct set_reader){.arena = arena, .set = set, .key_length = key_length(set)};
	return reader;
}

struct attributes {
	const struct nlattr *by_type[NFTA_SET_ELEM_EXPRESSIONS + 1];
};

static int sort_in(const struct nlattr *attribute, void *data)
{
	struct attributes *attributes = data;
	uint16_t type = mnl_attr_get_type(attribute);
	if (type <= NFTA_SET_ELEM_EXPRESSIONS)
		attributes->by_type[type] = attribute;
	return MNL_CB_OK;
}

static void sort_nested(const struct nlattr *nest, struct attributes *ret_attributes)
{
	*ret_attributes = (struct attributes){0};
	if (nest)
		(void)mnl_attr_parse_nested(nest, sort_in, ret_attributes);
}

/* The value in a nest, which must be of that length. */
static bool get_value(const struct nlattr *nest, size_t length, uint8_t *ret_value)
{
	struct attributes inner;
	sort_nested(nest, &inner);
	const struct nlattr *value = inner.by_type[NFTA_DATA_VALUE];
	if (!value || mnl_attr_get_payload_len(value) != length)
		return false;
	memcpy(ret_value, mnl_attr_get_payload(value), length);
	return true;
}

static uint64_t get_u64(const struct nlattr *attribute)
{
	return attribute && mnl_attr_get_payload_len(attribute) == 8 ? be64toh(mnl_attr_get_u64(attribute)) : 0;
}

static uint32_t get_u32(const struct nlattr *attribute)
{
	return attribute && mnl_attr_get_payload_len(attribute) == 4 ? ntohl(mnl_attr_get_u32(attribute)) : 0;
}

/* 0, -ENOMEM, or -ENOTSUP: a verdict that is none of ours. */
static int get_verdict(const struct nlattr *nest, struct arena *arena, struct element *element)
{
	struct attributes outer, inner;
	sort_nested(nest, &outer);
	sort_nested(outer.by_type[NFTA_DATA_VERDICT], &inner);
	const struct nlattr *chain = inner.by_type[NFTA_VERDICT_CHAIN];
	switch ((int32_t)get_u32(inner.by_type[NFTA_VERDICT_CODE])) {
	case NF_ACCEPT:
		element->verdict = VERDICT_ACCEPT;
		break;
	case NF_DROP:
		element->verdict = VERDICT_DROP;
		break;
	case NFT_RETURN:
		element->verdict = VERDICT_RETURN;
		break;
	case NFT_JUMP:
		element->verdict = VERDICT_JUMP;
		break;
	case NFT_GOTO:
		element->verdict = VERDICT_GOTO;
		break;
	default:
		return -ENOTSUP;
	}
	if (!inner.by_type[NFTA_VERDICT_CODE])
		return -ENOTSUP;
	if (element->verdict != VERDICT_JUMP && element->verdict != VERDICT_GOTO)
		return 0;
	if (!chain || mnl_attr_validate(chain, MNL_TYPE_NUL_STRING) < 0)
		return -ENOTSUP;
	element->chain = arena_strdup(arena, mnl_attr_get_str(chain));
	return element->chain ? 0 : -ENOMEM;
}

static int get_data(const struct set_reader *reader, const struct nlattr *data, struct element *element)
{
	if (!reader->set->data)
		return data ? -ENOTSUP : 0;
	if (reader->set->data == FIELD_VERDICT)
		return get_verdict(data, reader->arena, element);
	return get_value(data, field_size(reader->set->data), element->data) ? 0 : -ENOTSUP;
}

static int read_item(const struct set_reader *reader, const struct nlattr *nest, struct item *item)
{
	struct attributes found;
	sort_nested(nest, &found);
	uint32_t flags = get_u32(found.by_type[NFTA_SET_ELEM_FLAGS]);
	*item = (struct item){.end = flags & NFT_SET_ELEM_INTERVAL_END};
	if (flags & ~(uint32_t)NFT_SET_ELEM_INTERVAL_END || found.by_type[NFTA_SET_ELEM_KEY_END] ||
	    !get_value(found.by_type[NFTA_SET_ELEM_KEY], reader->key_length, item->element.key))
		return -ENOTSUP;
	if (item->end)
		return 0;
	item->element.timeout_ms = get_u64(found.by_type[NFTA_SET_ELEM_EXPIRATION]);
	const struct nlattr *udata = found.by_type[NFTA_SET_ELEM_USERDATA];
	size_t length;
	const uint8_t *expires = udata ? udata_find(mnl_attr_get_payload(udata), mnl_attr_get_payload_len(udata),
						    UDATA_ELEMENT_EXPIRES, &length) : NULL;
	if (expires && length == sizeof(uint64_t)) {
		uint64_t seconds;
		memcpy(&seconds, expires, sizeof(seconds));
		item->element.expires = be64toh(seconds);
	}
	return get_data(reader, found.by_type[NFTA_SET_ELEM_DATA], &item->element);
}

static int take_item(const struct nlattr *nest, void *data)
{
	struct set_reader *reader = data;
	if (reader->count >= SET_ELEMENTS_MOST) {
		errno = E2BIG;
		return MNL_CB_ERROR;
	}
	struct item *items = arena_grow(reader->arena, reader->items, reader->count, sizeof(*items), &reader->capacity);
	if (!items) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	reader->items = items;
	int rc = read_item(reader, nest, &items[reader->count]);
	if (rc == 0)
		reader->count++;
	else if (rc == -ENOTSUP)
		reader->foreign = true;
	else
		errno = -rc;
	return rc == 0 || rc == -ENOTSUP ? MNL_CB_OK : MNL_CB_ERROR;
}

static int find_list(const struct nlattr *attribute, void *data)
{
	if (mnl_attr_get_type(attribute) == NFTA_SET_ELEM_LIST_ELEMENTS)
		*(const struct nlattr **)data = attribute;
	return MNL_CB_OK;
}

int set_reader_take(const struct nlmsghdr *message, void *reader)
{
	const struct nlattr *list = NULL;
	if (mnl_nlmsg_get_payload_len(message) < sizeof(struct nfgenmsg) ||
	    mnl_attr_parse(message, sizeof(struct nfgenmsg), find_list, &list) < 0)
		return -EBADMSG;
	if (!list)
		return 0; /* an empty set */
	errno = EBADMSG;
	return mnl_attr_parse_nested(list, take_item, reader) < 0 ? -errno : 0;
}

/* By key; an end comes before the start of the next interval at the same key. */
static int by_key(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = memcmp(x->element.key, y->element.key, sizeof(x->element.key));
	return order ? order : (int)y->end - (int)x->end;
}

/* Give each start of an interval its last key, and drop the ends. An end may be missing: at the end of the key space,
 * and where the next interval follows at once. One without a start is what nft(8) puts at 0, or what is left
 * of an interval whose time is over. */
static size_t pair_up(struct set_reader *reader)
{
	struct item *open = NULL, *items = reader->items;
	size_t kept = 0;
	for (size_t i = 0; i < reader->count; i++) {
		if (open) {
			memcpy(open->element.key_end, items[i].element.key, reader->key_length);
			key_previous(open->element.key_end, reader->key_length);
			open = NULL;
		}
		if (items[i].end)
			continue;
		items[kept] = items[i];
		open = &items[kept++];
	}
	if (open)
		memset(open->element.key_end, 0xff, reader->key_length);
	return kept;
}

static struct addr addr_of(enum field field, const uint8_t *key)
{
	struct addr addr = {.family = field == FIELD_IPV4 ? FAMILY_V4 : FAMILY_V6};
	memcpy(addr.bytes, key, addr_size(addr.family));
	return addr;
}

/* A hash table that the kernel is still enlarging, after many elements were added at once, moves elements while they
 * are read: some come twice, and as many not at all. The kernel does not mark such a dump as interrupted. */
static bool has_twice(const struct set_reader *reader)
{
	for (size_t i = 1; i < reader->count; i++)
		if (by_key(&reader->items[i - 1], &reader->items[i]) == 0)
			return true;
	return false;
}

int set_reader_finish(struct set_reader *reader, struct set *ret_set)
{
	if (reader->foreign) {
		memset(ret_set->key, 0, sizeof(ret_set->key));
		return 0;
	}
	if (reader->count)
		qsort(reader->items, reader->count, sizeof(reader->items[0]), by_key);
	if (!ret_set->interval && has_twice(reader))
		return -EAGAIN;
	size_t count = ret_set->interval ? pair_up(reader) : reader->count;
	if (!set_has_ranges(ret_set)) {
		struct element *elements = arena_array(reader->arena, count + 1, struct element);
		if (!elements)
			return -ENOMEM;
		for (size_t i = 0; i < count; i++)
			elements[i] = reader->items[i].element;
		ret_set->elements = elements;
		ret_set->element_count = count;
		return 0;
	}
	struct addr_range *ranges = arena_array(reader->arena, count + 1, struct addr_range);
	if (!ranges)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		ranges[i].first = addr_of(ret_set->key[0], reader->items[i].element.key);
		ranges[i].last = addr_of(ret_set->key[0], reader->items[i].element.key_end);
	}
	ret_set->ranges = ranges;
	ret_set->range_count = count;
	return 0;
}

int set_reader_dynamic(struct set_reader *reader, struct dynamic_element **ret_elements, size_t *ret_count)
{
	struct dynamic_element *elements = arena_array(reader->arena, reader->count + 1, struct dynamic_element);
	if (!elements)
		return -ENOMEM;
	for (size_t i = 0; i < reader->count; i++) {
		elements[i].addr = addr_of(reader->set->key[0], reader->items[i].element.key);
		elements[i].expires_ms = reader->items[i].element.timeout_ms;
	}
	*ret_elements = elements;
	*ret_count = reader->count;
	return 0;
}
