/* Tally: sums over a whole run. A packet that took the right way for a wrong
 * reason, or a load balancer that knows one node only, shows here and nowhere
 * else. */
#include "tally.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint64_t kernel_count(const struct counter_value *values, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(values[i].name, name) == 0)
			return values[i].packets;
	return 0;
}

struct due {
	const struct judge *judge;
	const struct counter_value *values;
	size_t value_count;
	int differing;
};

static void compare(struct due *due, const char *name, uint64_t least, uint64_t most)
{
	uint64_t counted = kernel_count(due->values, due->value_count, name);
	if (counted >= least && counted <= most)
		return;
	printf("DISAGREE counter %s: %llu packets, due are %llu", name, (unsigned long long)counted,
	       (unsigned long long)least);
	if (most > least)
		printf(" to %llu", (unsigned long long)most);
	printf("\n");
	due->differing++;
}

/* Plain packets that were decided so, by the thing of this name (NULL: by any). */
static uint64_t decided(const struct case_record *records, size_t count, enum decided_by by, const char *name)
{
	uint64_t found = 0;
	for (size_t i = 0; i < count; i++)
		found += records[i].probe.shape <= SHAPE_ECN_SYN && records[i].answer.by == by &&
			 (!name || strcmp(records[i].answer.name, name) == 0);
	return found;
}

int tally_counters(const struct judge *judge, struct kernel *kernel, const struct case_record *records, size_t count)
{
	const struct model *model = judge->model;
	struct counter_value *values = NULL;
	struct due due = {.judge = judge};
	int r = kernel->ops->counters(kernel, judge->arena, &values, &due.value_count);
	if (r < 0)
		return r;
	due.values = values;
	static const struct {
		enum decided_by by;
		const char *name;
	} plain[] = {{DECIDED_MANAGEMENT, "management"}, {DECIDED_IMPLIED, "implied"}, {DECIDED_DEFAULT, "default"}};
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		uint64_t most = decided(records, count, plain[i].by, NULL);
		compare(&due, plain[i].name, most, most);
	}
	/* The last hooks are a net: what falls into it was not decided before. */
	compare(&due, "input-default", 0, 0);
	compare(&due, "forward-default", 0, 0);
	for (size_t i = 0; i < model->blocklist_count; i++) {
		const char *name = model->blocklists[i].name;
		uint64_t most = decided(records, count, DECIDED_BLOCKLIST, name);
		compare(&due, arena_printf(judge->arena, "blocklist-%s", name), most, most);
	}
	for (size_t i = 0; i < model->forward_count; i++) {
		const char *name = model->forwards[i].name;
		uint64_t taken = decided(records, count, DECIDED_FORWARD, name);
		uint64_t refused = decided(records, count, DECIDED_NO_BACKEND, name);
		compare(&due, arena_printf(judge->arena, "fwd-%s", name), taken, taken);
		compare(&due, arena_printf(judge->arena, "fwd-%s-down", name), refused, refused);
	}
	/* A rule that accepts also counts what it leaves to a forward. */
	uint64_t left =
		decided(records, count, DECIDED_FORWARD, NULL) + decided(records, count, DECIDED_NO_BACKEND, NULL);
	for (size_t i = 0; i < model->rule_count; i++) {
		const struct rule *rule = &model->rules[i];
		uint64_t least = decided(records, count, DECIDED_RULE, rule->name);
		compare(&due, arena_printf(judge->arena, "rule-%s", rule->name), least,
			least + (rule->action == ACTION_ACCEPT ? left : 0));
	}
	return due.differing;
}

/* The place of the node that the packet came to among the pool's; node_count when it came to none. */
static size_t node_reached(const struct forward *forward, const struct case_record *record)
{
	size_t i = 0;
	while (i < forward->pool->node_count &&
	       (record->seen_count != 1 ||
		!addr_equal(&forward->pool->nodes[i]->address, &record->seen[0]->sighting.to)))
		i++;
	return i;
}

static bool by_kernel(const struct forward *forward, enum family family, const struct case_record *record)
{
	return record->probe.shape <= SHAPE_ECN_SYN && record->answer.by == DECIDED_FORWARD &&
	       record->answer.plane == PLANE_KERNEL && record->answer.forward == forward &&
	       record->probe.question.from.family == family;
}

static bool equal_shares(const struct judge *judge, const struct forward *forward, enum family family,
			 const struct case_record *records, size_t count)
{
	const struct answer *answer = NULL;
	uint64_t *hits = arena_array(judge->arena, forward->pool->node_count + 1, uint64_t);
	for (size_t i = 0; hits && i < count; i++)
		if (by_kernel(forward, family, &records[i])) {
			hits[node_reached(forward, &records[i])]++;
			answer = &records[i].answer;
		}
	if (!answer)
		return true;
	uint64_t least = UINT64_MAX, most = 0;
	for (size_t i = 0; i < forward->pool->node_count; i++)
		for (size_t j = 0; j < answer->node_count; j++)
			if (answer->nodes[j] == forward->pool->nodes[i]) {
				least = hits[i] < least ? hits[i] : least;
				most = hits[i] > most ? hits[i] : most;
			}
	if (most - least <= 1)
		return true;
	printf("DISAGREE forward %s, IPv%d: nodes got %llu to %llu packets by round_robin\n", forward->name, family,
	       (unsigned long long)least, (unsigned long long)most);
	return false;
}

static bool same_node(const struct forward *forward, enum family family, const struct case_record *records,
		      size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!by_kernel(forward, family, &records[i]))
			continue;
		struct addr one = addr_source_unit(&records[i].probe.question.from);
		for (size_t j = 0; j < i; j++) {
			if (!by_kernel(forward, family, &records[j]))
				continue;
			struct addr other = addr_source_unit(&records[j].probe.question.from);
			if (!addr_equal(&one, &other) ||
			    node_reached(forward, &records[i]) == node_reached(forward, &records[j]))
				continue;
			printf("DISAGREE forward %s: packets %zu and %zu have one source and went to two nodes\n",
			       forward->name, j, i);
			return false;
		}
	}
	return true;
}

int tally_balance(const struct judge *judge, const struct case_record *records, size_t count)
{
	static const enum family families[] = {FAMILY_V4, FAMILY_V6};
	int broken = 0;
	for (size_t i = 0; i < judge->model->forward_count; i++) {
		const struct forward *forward = &judge->model->forwards[i];
		for (size_t f = 0; f < 2; f++) {
			if (forward->pool->balance == BALANCE_ROUND_ROBIN)
				broken += !equal_shares(judge, forward, families[f], records, count);
			else if (forward->pool->balance == BALANCE_SOURCE)
				broken += !same_node(forward, families[f], records, count);
		}
	}
	return broken;
}
