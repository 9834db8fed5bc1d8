/* Definitions of sets and maps as netlink messages: key and data types with the
 * numbers that nft(8) prints by, flags, sizes, times, user data. Elements are
 * in nft_elem.c. The decoder reads attributes itself, since libnftnl drops a
 * whole set when it meets an expression that it does not know. */
#include "nft_set.h"

#include "nft_udata.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/set.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#define TYPE_BITS 6 /* of one field in the type number of a concatenation */
#define TYPE_VERDICT NFT_DATA_VERDICT

/* nft's numbers of data types and byte orders (include/datatype.h of nftables): only it looks at them. */
enum { ORDER_NONE, ORDER_HOST, ORDER_BIG };
static const struct {
	uint32_t type, order;
} types[] = {
	[FIELD_IPV4] = {7, ORDER_BIG},	   [FIELD_IPV6] = {8, ORDER_BIG},   [FIELD_PROTO] = {12, ORDER_BIG},
	[FIELD_PORT] = {13, ORDER_BIG},	   [FIELD_IFNAME] = {41, ORDER_HOST}, [FIELD_MARK] = {19, ORDER_HOST},
	[FIELD_INTEGER] = {4, ORDER_HOST}, [FIELD_VERDICT] = {TYPE_VERDICT, ORDER_NONE},
	[FIELD_IFINDEX] = {20, ORDER_HOST},
};
#define FIELDS (sizeof(types) / sizeof(types[0]))

static bool known(enum field field)
{
	return field >= FIELD_IPV4 && field < FIELDS;
}

static enum field field_of(uint32_t type)
{
	for (size_t field = FIELD_IPV4; field < FIELDS; field++) {
		if (types[field].type == type)
			return (enum field)field;
	}
	return 0;
}

/* Type number and length of the key; false when it is none. */
static bool key_type(const struct set *set, uint32_t *ret_type, uint32_t *ret_length)
{
	uint32_t type = 0;
	size_t fields = 0;
	for (; fields < STATE_FIELDS_MAX && set->key[fields]; fields++) {
		if (!known(set->key[fields]) || set->key[fields] == FIELD_VERDICT)
			return false;
		type = type << TYPE_BITS | types[set->key[fields]].type;
	}
	size_t length = fields == 1 ? field_size(set->key[0]) : set_key_size(set);
	*ret_type = type;
	*ret_length = (uint32_t)length;
	return fields > 0 && length <= STATE_KEY_MAX;
}

bool set_has_ranges(const struct set *set)
{
	return set->interval && !set->timeout && !set->data && !set->key[1] &&
	       (set->key[0] == FIELD_IPV4 || set->key[0] == FIELD_IPV6);
}

/* Layout of UDATA_SET_WITH: five numbers; the first is the kind, plus 256 for a limit that inverts. */
#define WITH_INVERTS 256u

static int put_with(struct udata *udata, const struct set *set)
{
	if (set->with == DYNSET_PLAIN)
		return 0;
	const struct limit_spec *limit = &set->limit;
	uint32_t numbers[5] = {(uint32_t)set->with};
	if (set->with == DYNSET_LIMIT) {
		numbers[0] |= limit->over ? WITH_INVERTS : 0;
		numbers[1] = limit->count;
		numbers[2] = limit->per_seconds;
		numbers[3] = limit->burst;
	} else {
		numbers[4] = set->connections;
	}
	for (size_t i = 0; i < 5; i++)
		numbers[i] = htonl(numbers[i]);
	return udata_put(udata, UDATA_SET_WITH, numbers, sizeof(numbers));
}

static void get_with(const void *udata, size_t udata_length, struct set *set)
{
	uint32_t numbers[5];
	size_t length;
	const uint8_t *value = udata_find(udata, udata_length, UDATA_SET_WITH, &length);
	if (!value || length != sizeof(numbers))
		return;
	memcpy(numbers, value, sizeof(numbers));
	for (size_t i = 0; i < 5; i++)
		numbers[i] = ntohl(numbers[i]);
	uint32_t with = numbers[0] & ~WITH_INVERTS;
	if (with != DYNSET_LIMIT && with != DYNSET_CONNLIMIT)
		return;
	set->with = (enum dynset_with)with;
	set->limit = (struct limit_spec){.count = numbers[1], .per_seconds = numbers[2], .burst = numbers[3],
					 .over = numbers[0] & WITH_INVERTS};
	set->connections = numbers[4];
}

static int put_order(struct udata *udata, uint8_t type, uint32_t order)
{
	return udata_put(udata, type, &order, sizeof(order)); /* nft writes it in host order */
}

/* nft cannot print a map whose key is of the bare type "integer": it wants to know which expressions key and data
 * are of. This says "typeof numgen inc mod 1 : ip daddr" (numbers of expressions and of their parts: nftables'
 * include/expression.h, include/proto.h, src/numgen.c, src/payload.c, src/meta.c, src/datatype.c). */
enum { NFT_EXPR_VERDICT = 1, NFT_EXPR_PAYLOAD = 7, NFT_EXPR_META = 9, NFT_EXPR_NUMGEN = 23 };

static int put_typeof(struct udata *udata, uint8_t type, uint32_t expr, const uint32_t *parts, uint8_t part_count)
{
	struct udata inner = {0}, outer = {0};
	int rc = 0;
	for (uint8_t i = 0; rc == 0 && i < part_count; i++)
		rc = put_order(&inner, i, parts[i]);
	if (rc == 0)
		rc = put_order(&outer, NFTNL_UDATA_SET_TYPEOF_EXPR, expr);
	if (rc == 0)
		rc = udata_put(&outer, NFTNL_UDATA_SET_TYPEOF_DATA, inner.bytes, inner.length);
	return rc < 0 ? rc : udata_put(udata, type, outer.bytes, outer.length);
}

static int put_typeofs(struct udata *udata, enum field data)
{
	static const uint32_t increasing[3] = {NFT_NG_INCREMENTAL, 1, 0}, mark[1] = {NFT_META_MARK};
	static const uint32_t ip_daddr[2] = {12, 12}, ip6_daddr[2] = {13, 9}, th_dport[2] = {11, 2};
	static const struct {
		const uint32_t *parts;
		uint8_t part_count;
		uint32_t expr;
	} of[FIELDS] = {
		[FIELD_IPV4] = {ip_daddr, 2, NFT_EXPR_PAYLOAD},	 [FIELD_IPV6] = {ip6_daddr, 2, NFT_EXPR_PAYLOAD},
		[FIELD_PORT] = {th_dport, 2, NFT_EXPR_PAYLOAD},	 [FIELD_MARK] = {mark, 1, NFT_EXPR_META},
		[FIELD_VERDICT] = {NULL, 0, NFT_EXPR_VERDICT},
	};
	if (data && !of[data].expr)
		return 0;
	int rc = put_typeof(udata, NFTNL_UDATA_SET_KEY_TYPEOF, NFT_EXPR_NUMGEN, increasing, 3);
	if (rc < 0 || !data)
		return rc;
	return put_typeof(udata, NFTNL_UDATA_SET_DATA_TYPEOF, of[data].expr, of[data].parts, of[data].part_count);
}

static int put_udata(struct nftnl_set *to, const struct set *set)
{
	struct udata udata = {0};
	int rc = put_order(&udata, NFTNL_UDATA_SET_KEYBYTEORDER, set->key[1] ? ORDER_NONE : types[set->key[0]].order);
	if (rc == 0 && set->data)
		rc = put_order(&udata, NFTNL_UDATA_SET_DATABYTEORDER, types[set->data].order);
	if (rc == 0 && set->key[0] == FIELD_INTEGER && !set->key[1])
		rc = put_typeofs(&udata, set->data);
	if (rc == 0 && set->comment && *set->comment)
		rc = udata_put_text(&udata, NFTNL_UDATA_SET_COMMENT, set->comment);
	if (rc == 0)
		rc = put_with(&udata, set);
	if (rc < 0)
		return -EINVAL;
	return nftnl_set_set_data(to, NFTNL_SET_USERDATA, udata.bytes, (uint32_t)udata.length) < 0 ? -ENOMEM : 0;
}

static uint32_t flags_of(const struct set *set)
{
	return (set->interval ? NFT_SET_INTERVAL : 0u) | (set->data ? NFT_SET_MAP : 0u) |
	       (set->timeout ? NFT_SET_TIMEOUT : 0u) | (set->dynamic ? NFT_SET_EVAL : 0u);
}

/* The kernel compares the ends of intervals byte by byte: numbers in host order cannot have any. A dynamic set without
 * bound gets one from the first rule that adds to it, and would not read back the same. */
static bool can_be(const struct set *set)
{
	bool ordered = !set->key[1] && types[set->key[0]].order == ORDER_BIG;
	return (!set->interval || ordered) && (!set->dynamic || set->size) && (!set->data || known(set->data)) &&
	       set->gc_interval_ms <= UINT32_MAX;
}

int put_set(struct nlmsghdr *message, const struct set *set, uint32_t id)
{
	uint32_t type, length;
	if (!key_type(set, &type, &length) || !can_be(set))
		return -EINVAL;
	struct nftnl_set *to = nftnl_set_alloc();
	if (!to)
		return -ENOMEM;
	bool named = nftnl_set_set_str(to, NFTNL_SET_TABLE, STATE_TABLE) >= 0 &&
		     nftnl_set_set_str(to, NFTNL_SET_NAME, set->name) >= 0;
	nftnl_set_set_u32(to, NFTNL_SET_ID, id);
	nftnl_set_set_u32(to, NFTNL_SET_FLAGS, flags_of(set));
	nftnl_set_set_u32(to, NFTNL_SET_KEY_TYPE, type);
	nftnl_set_set_u32(to, NFTNL_SET_KEY_LEN, length);
	if (set->data) {
		nftnl_set_set_u32(to, NFTNL_SET_DATA_TYPE, types[set->data].type);
		nftnl_set_set_u32(to, NFTNL_SET_DATA_LEN, (uint32_t)field_size(set->data));
	}
	if (set->size)
		nftnl_set_set_u32(to, NFTNL_SET_DESC_SIZE, set->size);
	if (set->timeout_ms)
		nftnl_set_set_u64(to, NFTNL_SET_TIMEOUT, set->timeout_ms);
	if (set->gc_interval_ms)
		nftnl_set_set_u32(to, NFTNL_SET_GC_INTERVAL, (uint32_t)set->gc_interval_ms);
	int rc = named ? put_udata(to, set) : -ENOMEM;
	if (rc == 0)
		nftnl_set_nlmsg_build_payload(message, to);
	nftnl_set_free(to);
	return rc;
}

void put_set_name(struct nlmsghdr *message, const char *name)
{
	mnl_attr_put_strz(message, NFTA_SET_TABLE, STATE_TABLE);
	mnl_attr_put_strz(message, NFTA_SET_NAME, name);
}

void put_elements_of(struct nlmsghdr *message, const char *name)
{
	mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, STATE_TABLE);
	mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, name);
}

/* Attributes of a set in a dump, by type; those above NFTA_SET_EXPRESSIONS are news of later kernels. */
struct attributes {
	const struct nlattr *by_type[NFTA_SET_EXPRESSIONS + 1];
};

static int sort_in(const struct nlattr *attribute, void *data)
{
	struct attributes *attributes = data;
	uint16_t type = mnl_attr_get_type(attribute);
	if (type <= NFTA_SET_EXPRESSIONS)
		attributes->by_type[type] = attribute;
	return MNL_CB_OK;
}

static uint32_t number(const struct attributes *attributes, int type)
{
	const struct nlattr *attribute = attributes->by_type[type];
	return attribute && mnl_attr_get_payload_len(attribute) == sizeof(uint32_t) ? ntohl(mnl_attr_get_u32(attribute))
										    : 0;
}

static uint64_t number64(const struct attributes *attributes, int type)
{
	const struct nlattr *attribute = attributes->by_type[type];
	return attribute && mnl_attr_get_payload_len(attribute) == sizeof(uint64_t) ?
		       be64toh(mnl_attr_get_u64(attribute)) : 0;
}

static const char *text(const struct attributes *attributes, int type)
{
	const struct nlattr *attribute = attributes->by_type[type];
	return attribute && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0 ? mnl_attr_get_str(attribute) : NULL;
}

static int take_size(const struct nlattr *attribute, void *data)
{
	if (mnl_attr_get_type(attribute) == NFTA_SET_DESC_SIZE && mnl_attr_get_payload_len(attribute) == sizeof(uint32_t))
		*(uint32_t *)data = ntohl(mnl_attr_get_u32(attribute));
	return MNL_CB_OK;
}

/* Fields of the key, from the type number: the first field is in the highest bits. */
static bool read_key(const struct attributes *attributes, struct set *set)
{
	uint32_t type = number(attributes, NFTA_SET_KEY_TYPE), check, length;
	uint32_t parts[STATE_FIELDS_MAX];
	size_t fields = 0;
	for (; type && fields < STATE_FIELDS_MAX; type >>= TYPE_BITS)
		parts[fields++] = type & ((1u << TYPE_BITS) - 1);
	for (size_t i = 0; i < fields; i++) {
		set->key[i] = field_of(parts[fields - 1 - i]);
		if (!set->key[i])
			return false;
	}
	return type == 0 && key_type(set, &check, &length) && length == number(attributes, NFTA_SET_KEY_LEN);
}

static bool read_definition(const struct attributes *attributes, struct set *set)
{
	uint32_t flags = number(attributes, NFTA_SET_FLAGS);
	if (flags & ~(uint32_t)(NFT_SET_INTERVAL | NFT_SET_MAP | NFT_SET_TIMEOUT | NFT_SET_EVAL))
		return false;
	if (attributes->by_type[NFTA_SET_EXPR] || attributes->by_type[NFTA_SET_EXPRESSIONS] || !read_key(attributes, set))
		return false;
	set->interval = flags & NFT_SET_INTERVAL;
	set->timeout = flags & NFT_SET_TIMEOUT;
	set->dynamic = flags & NFT_SET_EVAL;
	set->timeout_ms = number64(attributes, NFTA_SET_TIMEOUT);
	set->gc_interval_ms = number(attributes, NFTA_SET_GC_INTERVAL);
	if (attributes->by_type[NFTA_SET_DESC])
		(void)mnl_attr_parse_nested(attributes->by_type[NFTA_SET_DESC], take_size, &set->size);
	if (!(flags & NFT_SET_MAP))
		return true;
	uint32_t type = number(attributes, NFTA_SET_DATA_TYPE);
	set->data = field_of(type);
	return set->data && (set->data == FIELD_VERDICT ||
			     number(attributes, NFTA_SET_DATA_LEN) == field_size(set->data));
}

int get_set(const struct nlmsghdr *message, struct arena *arena, bool *ret_ours, struct set *ret_set)
{
	struct attributes attributes = {0};
	if (mnl_nlmsg_get_payload_len(message) < sizeof(struct nfgenmsg) ||
	    mnl_attr_parse(message, sizeof(struct nfgenmsg), sort_in, &attributes) < 0)
		return -EBADMSG;
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	const char *table = text(&attributes, NFTA_SET_TABLE), *name = text(&attributes, NFTA_SET_NAME);
	if (!table || !name)
		return -EBADMSG;
	*ret_ours = false;
	if (head->nfgen_family != NFPROTO_INET || strcmp(table, STATE_TABLE) != 0 ||
	    number(&attributes, NFTA_SET_FLAGS) & NFT_SET_ANONYMOUS)
		return 0;
	const struct nlattr *udata = attributes.by_type[NFTA_SET_USERDATA];
	const void *list = udata ? mnl_attr_get_payload(udata) : NULL;
	size_t length = udata ? mnl_attr_get_payload_len(udata) : 0;
	struct set set = {.name = arena_strdup(arena, name),
			  .comment = udata_text(list, length, NFTNL_UDATA_SET_COMMENT, arena),
			  .handle = number64(&attributes, NFTA_SET_HANDLE)};
	if (!set.name || !set.comment)
		return -ENOMEM;
	if (read_definition(&attributes, &set))
		get_with(list, length, &set);
	else
		set = (struct set){.name = set.name, .comment = set.comment, .handle = set.handle};
	*ret_ours = true;
	*ret_set = set;
	return 0;
}
