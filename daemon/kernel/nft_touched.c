/* Reading back only what a commit touched. The rest is taken from the state that
 * the commit was made from: nobody else has changed it, for the generation says
 * that ours was the last commit. It never writes. */
#include "nft_observe.h"
#include "nft_object.h"
#include "nft_set.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

/* Beyond these, reading everything is no slower, and sheds what former states hold. */
#define TOUCHED_MOST 200
#define BASES_MOST 50

struct touched {
	struct nft_kernel *kernel;
	struct state *state;
	const char **chains, **sets, **counters; /* names, sorted, without doubles */
	size_t chain_count, set_count, counter_count;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t unique(const char **names, size_t count)
{
	size_t kept = 0;
	if (count)
		qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++)
		if (!kept || strcmp(names[kept - 1], names[i]) != 0)
			names[kept++] = names[i];
	return kept;
}

static bool touches(const char **names, size_t count, const char *name)
{
	return bsearch(&name, names, count, sizeof(*names), by_name) != NULL;
}

static int collect(struct touched *touched, const struct steps *steps)
{
	struct arena *arena = touched->state->arena;
	touched->chains = arena_array(arena, steps->count + 1, const char *);
	touched->sets = arena_array(arena, steps->count + 1, const char *);
	touched->counters = arena_array(arena, steps->count + 1, const char *);
	if (!touched->chains || !touched->sets || !touched->counters)
		return -ENOMEM;
	for (size_t i = 0; i < steps->count; i++) {
		const struct step *step = &steps->items[i];
		if (step->kind == STEP_ADD_TABLE || step->kind == STEP_DELETE_TABLE || (step->set && step->set->flowtable))
			return -ERESTART;
		if (step->chain)
			touched->chains[touched->chain_count++] = step->chain->name;
		if (step->set)
			touched->sets[touched->set_count++] = step->set->name;
		if (step->counter)
			touched->counters[touched->counter_count++] = step->counter->name;
	}
	touched->chain_count = unique(touched->chains, touched->chain_count);
	touched->set_count = unique(touched->sets, touched->set_count);
	touched->counter_count = unique(touched->counters, touched->counter_count);
	return touched->chain_count + touched->set_count + touched->counter_count > TOUCHED_MOST ? -ERESTART : 0;
}

struct chain_answer {
	struct arena *arena;
	struct chain chain;
	bool ours;
	struct rule_state *rules;
	size_t count, capacity;
};

static int take_chain(const struct nlmsghdr *message, void *data)
{
	struct chain_answer *answer = data;
	return get_chain(message, answer->arena, &answer->ours, &answer->chain);
}

static int take_rule(const struct nlmsghdr *message, void *data)
{
	struct chain_answer *answer = data;
	const char *name;
	struct rule_state rule;
	int rc = get_rule(message, answer->arena, &name, &rule);
	/* The kernel filters by chain; one that does not know how sends all of them. */
	if (rc < 0 || !name || strcmp(name, answer->chain.name) != 0)
		return rc;
	struct rule_state *rules =
		arena_grow(answer->arena, answer->rules, answer->count, sizeof(rule), &answer->capacity);
	if (!rules)
		return -ENOMEM;
	rules[answer->count++] = rule;
	answer->rules = rules;
	return 0;
}

/* 0 and *ret_there false when there is no such chain. */
static int read_chain(struct touched *touched, const char *name, struct chain *ret_chain, bool *ret_there)
{
	alignas(struct nlmsghdr) char request[REQUEST_MAX];
	struct chain_answer answer = {.arena = touched->state->arena};
	struct nlmsghdr *message = observe_request(request, NFT_MSG_GETCHAIN, false);
	mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, STATE_TABLE);
	mnl_attr_put_strz(message, NFTA_CHAIN_NAME, name);
	int rc = nft_socket_ask(&touched->kernel->query, message, take_chain, &answer);
	*ret_there = rc == 0 && answer.ours;
	if (rc < 0 || !answer.ours)
		return rc == -ENOENT ? 0 : rc;
	message = observe_request(request, NFT_MSG_GETRULE, true);
	mnl_attr_put_strz(message, NFTA_RULE_TABLE, STATE_TABLE);
	mnl_attr_put_strz(message, NFTA_RULE_CHAIN, name);
	rc = nft_socket_ask(&touched->kernel->query, message, take_rule, &answer);
	if (rc < 0)
		return rc;
	answer.chain.rules = answer.rules;
	answer.chain.rule_count = answer.count;
	*ret_chain = answer.chain;
	return 0;
}

struct set_answer {
	struct arena *arena;
	struct set set;
	bool ours;
};

static int take_set(const struct nlmsghdr *message, void *data)
{
	struct set_answer *answer = data;
	return get_set(message, answer->arena, &answer->ours, &answer->set);
}

struct counter_answer {
	struct arena *arena;
	struct counter_message counter;
};

static int take_counter(const struct nlmsghdr *message, void *data)
{
	struct counter_answer *answer = data;
	return get_counter(message, answer->arena, &answer->counter);
}

static int read_counter(struct touched *touched, const char *name, struct counter_message *ret_counter, bool *ret_there)
{
	alignas(struct nlmsghdr) char request[REQUEST_MAX];
	struct counter_answer answer = {.arena = touched->state->arena};
	struct nlmsghdr *message = observe_request(request, NFT_MSG_GETOBJ, false);
	mnl_attr_put_strz(message, NFTA_OBJ_TABLE, STATE_TABLE);
	mnl_attr_put_strz(message, NFTA_OBJ_NAME, name);
	mnl_attr_put_u32(message, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	int rc = nft_socket_ask(&touched->kernel->query, message, take_counter, &answer);
	*ret_there = rc == 0 && answer.counter.ours;
	if (rc == 0)
		*ret_counter = answer.counter;
	return rc == -ENOENT ? 0 : rc;
}

static int read_set(struct touched *touched, const char *name, struct set *ret_set, bool *ret_there)
{
	alignas(struct nlmsghdr) char request[REQUEST_MAX];
	struct set_answer answer = {.arena = touched->state->arena};
	struct nlmsghdr *message = observe_request(request, NFT_MSG_GETSET, false);
	put_set_name(message, name);
	int rc = nft_socket_ask(&touched->kernel->query, message, take_set, &answer);
	*ret_there = rc == 0 && answer.ours;
	if (rc < 0 || !answer.ours)
		return rc == -ENOENT ? 0 : rc;
	char *hash_name = arena_printf(touched->state->arena, STATE_HASH_PREFIX "%s", name);
	struct counter_message hash = {0};
	bool hashed;
	rc = hash_name ? read_counter(touched, hash_name, &hash, &hashed) : -ENOMEM;
	if (rc < 0)
		return rc;
	if (hashed && hash.has_hash)
		memcpy(answer.set.hash, hash.hash, sizeof(answer.set.hash));
	rc = observe_elements(touched->kernel, touched->state->arena, &answer.set);
	if (rc == 0)
		*ret_set = answer.set;
	return rc;
}

/* The old list with the touched ones taken out, and those among them that are there still, read anew. */
static int merge_chains(struct touched *touched, const struct state *old)
{
	struct state *state = touched->state;
	state->chains = arena_array(state->arena, old->chain_count + touched->chain_count + 1, struct chain);
	if (!state->chains)
		return -ENOMEM;
	size_t next = 0;
	for (size_t i = 0; i <= old->chain_count; i++) {
		while (next < touched->chain_count &&
		       (i == old->chain_count || strcmp(touched->chains[next], old->chains[i].name) <= 0)) {
			bool there;
			int rc = read_chain(touched, touched->chains[next++], &state->chains[state->chain_count], &there);
			if (rc < 0)
				return rc;
			state->chain_count += there;
		}
		if (i < old->chain_count && !touches(touched->chains, touched->chain_count, old->chains[i].name))
			state->chains[state->chain_count++] = old->chains[i];
	}
	return 0;
}

static int merge_sets(struct touched *touched, const struct state *old)
{
	struct state *state = touched->state;
	state->sets = arena_array(state->arena, old->set_count + touched->set_count + 1, struct set);
	if (!state->sets)
		return -ENOMEM;
	size_t next = 0;
	for (size_t i = 0; i <= old->set_count; i++) {
		while (next < touched->set_count &&
		       (i == old->set_count || strcmp(touched->sets[next], old->sets[i].name) <= 0)) {
			bool there;
			int rc = read_set(touched, touched->sets[next++], &state->sets[state->set_count], &there);
			if (rc < 0)
				return rc;
			state->set_count += there;
		}
		if (i < old->set_count && !touches(touched->sets, touched->set_count, old->sets[i].name))
			state->sets[state->set_count++] = old->sets[i];
	}
	return 0;
}

static int merge_counters(struct touched *touched, const struct state *old)
{
	struct state *state = touched->state;
	state->counters = arena_array(state->arena, old->counter_count + touched->counter_count + 1, struct counter);
	if (!state->counters)
		return -ENOMEM;
	size_t next = 0;
	for (size_t i = 0; i <= old->counter_count; i++) {
		while (next < touched->counter_count &&
		       (i == old->counter_count || strcmp(touched->counters[next], old->counters[i].name) <= 0)) {
			struct counter_message counter;
			bool there;
			int rc = read_counter(touched, touched->counters[next++], &counter, &there);
			if (rc < 0)
				return rc;
			if (there)
				state->counters[state->counter_count++] = counter.counter;
		}
		if (i < old->counter_count && !touches(touched->counters, touched->counter_count, old->counters[i].name))
			state->counters[state->counter_count++] = old->counters[i];
	}
	return 0;
}

static int read_touched(struct touched *touched, const struct steps *steps, const struct state *like,
			const struct state *old)
{
	uint32_t before = 0, after = 0, flags = 0;
	int rc = collect(touched, steps);
	if (rc == 0)
		rc = nft_generation(&touched->kernel->kernel, &before);
	if (rc == 0 && before != touched->kernel->generation)
		rc = -ERESTART;
	if (rc == 0)
		rc = observe_table(touched->kernel, touched->state, &flags);
	if (rc == 0)
		rc = merge_chains(touched, old);
	if (rc == 0)
		rc = merge_sets(touched, old);
	if (rc == 0)
		rc = merge_counters(touched, old);
	if (rc == 0)
		rc = observe_sysctls(like, touched->state);
	if (rc == 0)
		rc = nft_generation(&touched->kernel->kernel, &after);
	if (rc == 0 && before != after)
		rc = -ERESTART;
	return rc;
}

int nft_observe_touched(struct kernel *kernel, const struct steps *steps, const struct state *like, struct state **state)
{
	size_t bases = 1;
	for (const struct state *base = (*state)->base; base; base = base->base)
		bases++;
	if (bases > BASES_MOST)
		return -ERESTART;
	struct touched touched = {.kernel = nft_kernel_of(kernel), .state = state_new()};
	if (!touched.state)
		return -ENOMEM;
	int rc = read_touched(&touched, steps, like, *state);
	if (rc < 0) {
		state_free(&touched.state);
		nft_socket_reopen(&touched.kernel->query);
		return rc;
	}
	touched.state->base = *state;
	*state = touched.state;
	return 0;
}
