/* The kernel -> state: table, chains, counters, sets with their elements,
 * rules, system parameters, as of one generation. A change while reading means
 * to read again. What our state cannot say is kept as something that no
 * configuration asks for, so that the diff removes it. It never writes. */
#include "nft_observe.h"
#include "nft_object.h"
#include "nft_set.h"
#include "sysctl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>


/* Rules of one chain, while they come in. */
struct rule_list {
	struct rule_state *rules;
	size_t count, capacity;
};

struct observation {
	struct nft_kernel *kernel;
	struct state *state;
	uint32_t flags; /* of the table */
	size_t chain_capacity, set_capacity, counter_capacity;
	struct counter_message *hashes;
	size_t hash_count, hash_capacity;
	struct rule_list *rules; /* by chain */
};

struct nlmsghdr *observe_request(char *request, uint16_t type, bool dump)
{
	return nftnl_nlmsg_build_hdr(request, type, NFPROTO_INET, dump ? NLM_F_DUMP : 0, 0);
}

/* All of the table's objects of one type; attribute: number of the attribute that names the table, 0 for all tables. */
static int dump(struct observation *seen, uint16_t type, uint16_t attribute, nft_answer *callback)
{
	alignas(struct nlmsghdr) char request[REQUEST_MAX];
	struct nlmsghdr *message = observe_request(request, type, true);
	if (attribute)
		mnl_attr_put_strz(message, attribute, STATE_TABLE);
	return nft_socket_ask(&seen->kernel->query, message, callback, seen);
}

static int take_generation(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attribute;
	int left = (int)mnl_nlmsg_get_payload_len(message) - (int)sizeof(struct nfgenmsg);
	attribute = mnl_nlmsg_get_payload_offset(message, sizeof(struct nfgenmsg));
	for (; mnl_attr_ok(attribute, left); attribute = mnl_attr_next(attribute)) {
		if (mnl_attr_get_type(attribute) == NFTA_GEN_ID && mnl_attr_get_payload_len(attribute) == sizeof(uint32_t)) {
			*(uint32_t *)data = ntohl(mnl_attr_get_u32(attribute));
			return 0;
		}
		left -= (int)NLMSG_ALIGN(attribute->nla_len);
	}
	return -EBADMSG;
}

int nft_generation(struct kernel *kernel, uint32_t *ret_generation)
{
	alignas(struct nlmsghdr) char request[REQUEST_MAX];
	uint32_t generation = 0;
	int rc = nft_socket_ask(&nft_kernel_of(kernel)->query, observe_request(request, NFT_MSG_GETGEN, false), take_generation,
				&generation);
	if (rc == 0)
		*ret_generation = generation;
	return rc;
}

struct table_answer {
	uint32_t flags, owner;
};

static int take_table(const struct nlmsghdr *message, void *data)
{
	struct table_answer *answer = data;
	return get_table(message, &answer->flags, &answer->owner);
}

int observe_table(struct nft_kernel *kernel, struct state *state, uint32_t *ret_flags)
{
	struct table_answer answer = {0};
	alignas(struct nlmsghdr) char request[REQUEST_MAX];
	struct nlmsghdr *message = observe_request(request, NFT_MSG_GETTABLE, false);
	mnl_attr_put_strz(message, NFTA_TABLE_NAME, STATE_TABLE);
	int rc = nft_socket_ask(&kernel->query, message, take_table, &answer);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	state->present = true;
	state->persist = answer.flags & TABLE_FLAG_PERSIST;
	state->dormant = answer.flags & TABLE_FLAG_DORMANT;
	state->owner = answer.flags & TABLE_FLAG_OWNER && state->persist && answer.owner == kernel->owner.port;
	*ret_flags = answer.flags;
	return 0;
}

static int take_chain(const struct nlmsghdr *message, void *data)
{
	struct observation *seen = data;
	struct state *state = seen->state;
	bool ours;
	struct chain chain;
	int rc = get_chain(message, state->arena, &ours, &chain);
	if (rc < 0 || !ours)
		return rc;
	struct chain *chains = arena_grow(state->arena, state->chains, state->chain_count, sizeof(chain),
					  &seen->chain_capacity);
	if (!chains)
		return -ENOMEM;
	chains[state->chain_count++] = chain;
	state->chains = chains;
	return 0;
}

static int take_counter(const struct nlmsghdr *message, void *data)
{
	struct observation *seen = data;
	struct state *state = seen->state;
	struct counter_message counter;
	int rc = get_counter(message, state->arena, &counter);
	if (rc < 0 || !counter.ours)
		return rc;
	if (counter.has_hash && strncmp(counter.counter.name, STATE_HASH_PREFIX, strlen(STATE_HASH_PREFIX)) == 0) {
		struct counter_message *hashes = arena_grow(state->arena, seen->hashes, seen->hash_count, sizeof(counter),
							    &seen->hash_capacity);
		if (!hashes)
			return -ENOMEM;
		hashes[seen->hash_count++] = counter;
		seen->hashes = hashes;
		return 0;
	}
	struct counter *counters = arena_grow(state->arena, state->counters, state->counter_count, sizeof(*counters),
					      &seen->counter_capacity);
	if (!counters)
		return -ENOMEM;
	counters[state->counter_count++] = counter.counter;
	state->counters = counters;
	return 0;
}

static int keep_set(struct observation *seen, const struct set *set)
{
	struct state *state = seen->state;
	struct set *sets = arena_grow(state->arena, state->sets, state->set_count, sizeof(*set), &seen->set_capacity);
	if (!sets)
		return -ENOMEM;
	sets[state->set_count++] = *set;
	state->sets = sets;
	return 0;
}

static int take_set(const struct nlmsghdr *message, void *data)
{
	struct observation *seen = data;
	bool ours;
	struct set set;
	int rc = get_set(message, seen->state->arena, &ours, &set);
	return rc < 0 || !ours ? rc : keep_set(seen, &set);
}

static int take_flowtable(const struct nlmsghdr *message, void *data)
{
	struct observation *seen = data;
	bool ours;
	struct set set;
	int rc = get_flowtable(message, seen->state->arena, &ours, &set);
	return rc < 0 || !ours ? rc : keep_set(seen, &set);
}

static int chain_order(const void *a, const void *b)
{
	return strcmp(((const struct chain *)a)->name, ((const struct chain *)b)->name);
}

static int set_order(const void *a, const void *b)
{
	return strcmp(((const struct set *)a)->name, ((const struct set *)b)->name);
}

static int counter_order(const void *a, const void *b)
{
	return strcmp(((const struct counter *)a)->name, ((const struct counter *)b)->name);
}

static void sort(void *items, size_t count, size_t size, int (*order)(const void *, const void *))
{
	if (count > 1)
		qsort(items, count, size, order);
}

/* Give the sets their hashes; the hash of a set that is not there is a counter like others. */
static int give_hashes(struct observation *seen)
{
	struct state *state = seen->state;
	for (size_t i = 0; i < seen->hash_count; i++) {
		const struct counter_message *hash = &seen->hashes[i];
		struct set *set = (struct set *)(uintptr_t)state_set(state, hash->counter.name + strlen(STATE_HASH_PREFIX));
		if (set) {
			memcpy(set->hash, hash->hash, sizeof(set->hash));
			continue;
		}
		struct counter *counters = arena_grow(state->arena, state->counters, state->counter_count,
						      sizeof(*counters), &seen->counter_capacity);
		if (!counters)
			return -ENOMEM;
		counters[state->counter_count++] = hash->counter;
		state->counters = counters;
	}
	return 0;
}

static int dump_elements(struct nft_kernel *kernel, const char *set, struct set_reader *reader)
{
	alignas(struct nlmsghdr) char request[REQUEST_MAX];
	struct nlmsghdr *message = observe_request(request, NFT_MSG_GETSETELEM, true);
	put_elements_of(message, set);
	int rc = nft_socket_ask(&kernel->query, message, set_reader_take, reader);
	if (rc < 0 && rc != -ENOENT) {
		int again = nft_socket_reopen(&kernel->query); /* the rest of the dump is of no use */
		if (again < 0)
			return again;
	}
	return rc;
}

static int read_elements(struct nft_kernel *kernel, struct arena *arena, struct set *set)
{
	struct set_reader *reader = set_reader_new(arena, set);
	if (!reader)
		return -ENOMEM;
	int rc = dump_elements(kernel, set->name, reader);
	if (rc == -E2BIG) { /* none of ours is so large without a hash */
		memset(set->key, 0, sizeof(set->key));
		return 0;
	}
	if (rc == -ENOENT)
		return -EINTR; /* deleted meanwhile */
	return rc < 0 ? rc : set_reader_finish(reader, set);
}

int observe_elements(struct nft_kernel *kernel, struct arena *arena, struct set *set)
{
	static const uint8_t none[sizeof(set->hash)];
	if (set->dynamic || set->flowtable || !set->key[0] || memcmp(set->hash, none, sizeof(none)) != 0)
		return 0;
	int rc = -EAGAIN;
	for (int tries = 0; rc == -EAGAIN && tries < READ_AGAIN_MOST; tries++)
		rc = read_elements(kernel, arena, set);
	return rc;
}

static int take_rule(const struct nlmsghdr *message, void *data)
{
	struct observation *seen = data;
	struct state *state = seen->state;
	const char *name;
	struct rule_state rule;
	int rc = get_rule(message, state->arena, &name, &rule);
	if (rc < 0 || !name)
		return rc;
	const struct chain *chain = state_chain(state, name);
	if (!chain)
		return -EINTR; /* made meanwhile */
	struct rule_list *list = &seen->rules[chain - state->chains];
	struct rule_state *rules = arena_grow(state->arena, list->rules, list->count, sizeof(rule), &list->capacity);
	if (!rules)
		return -ENOMEM;
	rules[list->count++] = rule;
	list->rules = rules;
	return 0;
}

static int observe_rules(struct observation *seen)
{
	struct state *state = seen->state;
	seen->rules = arena_array(state->arena, state->chain_count + 1, struct rule_list);
	if (!seen->rules)
		return -ENOMEM;
	int rc = dump(seen, NFT_MSG_GETRULE, NFTA_RULE_TABLE, take_rule);
	for (size_t i = 0; rc == 0 && i < state->chain_count; i++) {
		state->chains[i].rules = seen->rules[i].rules;
		state->chains[i].rule_count = seen->rules[i].count;
	}
	return rc;
}

static int observe_ruleset(struct observation *seen)
{
	struct state *state = seen->state;
	int rc = observe_table(seen->kernel, state, &seen->flags);
	if (rc < 0 || !state->present)
		return rc;
	rc = dump(seen, NFT_MSG_GETCHAIN, 0, take_chain);
	if (rc == 0)
		rc = dump(seen, NFT_MSG_GETOBJ, NFTA_OBJ_TABLE, take_counter);
	if (rc == 0)
		rc = dump(seen, NFT_MSG_GETSET, NFTA_SET_TABLE, take_set);
	if (rc == 0)
		rc = dump(seen, NFT_MSG_GETFLOWTABLE, NFTA_FLOWTABLE_TABLE, take_flowtable);
	if (rc < 0)
		return rc == -ENOENT ? -EINTR : rc;
	sort(state->chains, state->chain_count, sizeof(struct chain), chain_order);
	sort(state->sets, state->set_count, sizeof(struct set), set_order);
	rc = give_hashes(seen);
	sort(state->counters, state->counter_count, sizeof(struct counter), counter_order);
	for (size_t i = 0; rc == 0 && i < state->set_count; i++)
		rc = observe_elements(seen->kernel, state->arena, &state->sets[i]);
	return rc < 0 ? rc : observe_rules(seen);
}

int observe_sysctls(const struct state *like, struct state *state)
{
	char value[SYSCTL_VALUE_MAX];
	if (!like || like->sysctl_count == 0)
		return 0;
	state->sysctls = arena_array(state->arena, like->sysctl_count, struct sysctl);
	if (!state->sysctls)
		return -ENOMEM;
	for (size_t i = 0; i < like->sysctl_count; i++) {
		/* One that is not there (its device is not) differs from every value: writing it says what is wrong. */
		if (sysctl_read(like->sysctls[i].name, value) < 0)
			value[0] = '\0';
		state->sysctls[i].name = arena_strdup(state->arena, like->sysctls[i].name);
		state->sysctls[i].value = arena_strdup(state->arena, value);
		if (!state->sysctls[i].name || !state->sysctls[i].value)
			return -ENOMEM;
		state->sysctl_count++;
	}
	return 0;
}

/* -EINTR: somebody changed something meanwhile. */
static int observe_once(struct nft_kernel *kernel, const struct state *like, struct state *state)
{
	struct observation seen = {.kernel = kernel, .state = state};
	uint32_t before, after;
	int rc = nft_generation(&kernel->kernel, &before);
	if (rc == 0)
		rc = observe_ruleset(&seen);
	if (rc == 0)
		rc = observe_sysctls(like, state);
	if (rc == 0)
		rc = nft_generation(&kernel->kernel, &after);
	if (rc == 0 && before != after)
		rc = -EINTR;
	if (rc == 0) {
		kernel->generation = before;
		kernel->table_flags = seen.flags;
	}
	return rc;
}

static bool read_again(struct nft_kernel *kernel, int rc)
{
	return (rc == -EINTR || rc == -ENOBUFS || rc == -EAGAIN) && nft_socket_reopen(&kernel->query) == 0;
}

int nft_observe(struct kernel *kernel, const struct state *like, struct state **ret_state)
{
	struct nft_kernel *nft = nft_kernel_of(kernel);
	for (int tries = 0; tries < READ_AGAIN_MOST; tries++) {
		struct state *state = state_new();
		if (!state)
			return -ENOMEM;
		int rc = observe_once(nft, like, state);
		if (rc == 0) {
			*ret_state = state;
			return 0;
		}
		state_free(&state);
		if (!read_again(nft, rc))
			return rc;
	}
	return -EAGAIN;
}

struct counting {
	struct arena *arena;
	struct counter_value *values;
	size_t count, capacity;
};

static int take_value(const struct nlmsghdr *message, void *data)
{
	struct counting *counting = data;
	struct counter_message counter;
	int rc = get_counter(message, counting->arena, &counter);
	if (rc < 0 || !counter.ours || counter.has_hash)
		return rc;
	struct counter_value *values = arena_grow(counting->arena, counting->values, counting->count, sizeof(*values),
						  &counting->capacity);
	if (!values)
		return -ENOMEM;
	values[counting->count++] =
		(struct counter_value){.name = counter.counter.name, .packets = counter.packets, .bytes = counter.bytes};
	counting->values = values;
	return 0;
}

int nft_counters(struct kernel *kernel, struct arena *arena, struct counter_value **ret_values, size_t *ret_count)
{
	struct nft_kernel *nft = nft_kernel_of(kernel);
	for (int tries = 0; tries < READ_AGAIN_MOST; tries++) {
		struct counting counting = {.arena = arena};
		alignas(struct nlmsghdr) char request[REQUEST_MAX];
		struct nlmsghdr *message = observe_request(request, NFT_MSG_GETOBJ, true);
		mnl_attr_put_strz(message, NFTA_OBJ_TABLE, STATE_TABLE);
		int rc = nft_socket_ask(&nft->query, message, take_value, &counting);
		if (rc == 0 || rc == -ENOENT) { /* no table: no counters */
			*ret_values = counting.values;
			*ret_count = counting.count;
			return 0;
		}
		if (!read_again(nft, rc))
			return rc;
	}
	return -EAGAIN;
}

struct set_question {
	struct arena *arena;
	struct set set;
	bool ours;
};

static int take_one_set(const struct nlmsghdr *message, void *data)
{
	struct set_question *question = data;
	return get_set(message, question->arena, &question->ours, &question->set);
}

static int read_dynamic(struct nft_kernel *kernel, const char *name, struct arena *arena,
			struct dynamic_element **ret_elements, size_t *ret_count)
{
	struct set_question question = {.arena = arena};
	alignas(struct nlmsghdr) char request[REQUEST_MAX];
	struct nlmsghdr *message = observe_request(request, NFT_MSG_GETSET, false);
	put_set_name(message, name);
	int rc = nft_socket_ask(&kernel->query, message, take_one_set, &question);
	if (rc < 0)
		return rc;
	if (!question.ours || (question.set.key[0] != FIELD_IPV4 && question.set.key[0] != FIELD_IPV6))
		return -EINVAL;
	struct set_reader *reader = set_reader_new(arena, &question.set);
	rc = reader ? dump_elements(kernel, name, reader) : -ENOMEM;
	return rc < 0 ? rc : set_reader_dynamic(reader, ret_elements, ret_count);
}

int nft_dynamic_elements(struct kernel *kernel, const char *set, struct arena *arena,
			 struct dynamic_element **ret_elements, size_t *ret_count)
{
	struct nft_kernel *nft = nft_kernel_of(kernel);
	if (strlen(set) >= NFT_NAME_MAXLEN)
		return -ENOENT;
	for (int tries = 0; tries < READ_AGAIN_MOST; tries++) {
		int rc = read_dynamic(nft, set, arena, ret_elements, ret_count);
		if (rc == 0 || !read_again(nft, rc))
			return rc;
	}
	return -EAGAIN;
}
