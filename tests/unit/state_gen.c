/* The generator of random states. A gene decides one thing; what it would refer
 * to and is not there is left out, so that every genome is a consistent state. */
#include "state_gen.h"
#include "hash_ranges.h"

#include <stdlib.h>
#include <string.h>

uint32_t random_next(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (uint32_t)((*seed * 0x2545f4914f6cdd1du) >> 32);
}

/* Genes are words; a struct genome has nothing else. */
#define GENES (sizeof(struct genome) / sizeof(uint32_t))

static uint32_t random_gene(uint64_t *seed)
{
	return random_next(seed) % 3 ? random_next(seed) % 64 : 0;
}

struct genome genome_random(uint64_t *seed)
{
	uint32_t genes[GENES];
	struct genome genome;
	for (size_t i = 0; i < GENES; i++)
		genes[i] = random_gene(seed);
	memcpy(&genome, genes, sizeof(genome));
	genome.present = random_next(seed) % 16;
	return genome;
}

void genome_mutate(struct genome *genome, uint64_t *seed, unsigned changes)
{
	uint32_t genes[GENES];
	memcpy(genes, genome, sizeof(genes));
	for (; changes; changes--)
		genes[random_next(seed) % GENES] = random_gene(seed);
	memcpy(genome, genes, sizeof(genes));
	/* Rules that move, and blocks of them. */
	uint32_t *rules = genome->rule[random_next(seed) % GENOME_CHAINS];
	size_t from = random_next(seed) % GENOME_RULES, to = random_next(seed) % GENOME_RULES;
	uint32_t moved = rules[from];
	if (random_next(seed) % 2 == 0) {
		rules[from] = rules[to];
		rules[to] = moved;
	}
}

enum set_form { FORM_ELEMENTS, FORM_INTERVALS, FORM_RANGES, FORM_VERDICTS, FORM_DATA, FORM_DYNAMIC, FORM_CONCAT, FORMS };

static void *must(void *pointer)
{
	if (!pointer)
		abort();
	return pointer;
}

static const char *name_of(struct arena *arena, const char *prefix, size_t index)
{
	return must(arena_printf(arena, "%s%zu", prefix, index));
}

static bool chain_is_regular(uint32_t gene)
{
	return gene % 4 != 1;
}

/* A chain that index may jump to: regular, there, and behind it, so that nothing loops. */
static const char *jump_target(const struct genome *genome, struct arena *arena, size_t index, uint32_t gene)
{
	for (size_t i = 0; i < GENOME_CHAINS; i++) {
		size_t at = (gene + i) % GENOME_CHAINS;
		if (at > index && genome->chain[at] && chain_is_regular(genome->chain[at]))
			return name_of(arena, "c", at);
	}
	return NULL;
}

static enum set_form form_of(size_t index, uint32_t gene)
{
	/* The form sometimes changes under one name. */
	return (enum set_form)((index + (gene > 56)) % FORMS);
}

static uint8_t low_byte(uint32_t gene, size_t i)
{
	return (uint8_t)(gene * 7 + i * 8);
}

/* The content gene is a bit mask of which elements are there, and varies the data of one. */
static void make_elements(const struct genome *genome, struct arena *arena, size_t index, enum set_form form,
			  struct set *set)
{
	uint32_t gene = genome->content[index];
	struct element *elements = must(arena_array(arena, 8, struct element));
	for (size_t i = 0; i < 6; i++) {
		if (!(gene >> i & 1))
			continue;
		struct element *element = &elements[set->element_count];
		memcpy(element->key, (uint8_t[]){192, 0, 2, low_byte(0, i)}, 4);
		if (form == FORM_CONCAT)
			element->key[5] = (uint8_t)(gene % 3);
		if (form == FORM_INTERVALS) {
			memcpy(element->key_end, element->key, STATE_KEY_MAX);
			element->key_end[3] = (uint8_t)(element->key[3] + (gene + i) % 4);
			element->expires = (gene + i) % 3 ? 0 : 1700000000 + gene % 5;
			element->timeout_ms = element->expires ? 1000 + gene : 0;
		}
		if (form == FORM_DATA)
			element->data[0] = (uint8_t)((gene + i) % 3);
		if (form == FORM_VERDICTS) {
			const char *target = jump_target(genome, arena, 0, gene + (uint32_t)i);
			element->verdict = target && i % 2 ? VERDICT_JUMP : VERDICT_DROP;
			element->chain = element->verdict == VERDICT_JUMP ? target : NULL;
		}
		set->element_count++;
	}
	set->elements = elements;
}

static void make_ranges(uint32_t gene, struct arena *arena, struct set *set)
{
	struct addr_range *ranges = must(arena_array(arena, 8, struct addr_range));
	for (size_t i = 0; i < 6; i++) {
		if (!(gene >> i & 1))
			continue;
		struct addr addr = {.family = FAMILY_V4, .bytes = {198, 51, 100, low_byte(0, i)}};
		ranges[set->range_count].first = addr;
		addr.bytes[3] = (uint8_t)(addr.bytes[3] + (gene + i) % 5);
		ranges[set->range_count++].last = addr;
	}
	set->ranges = ranges;
	/* Small ones are hashed too, so that the random walk meets all ways of hashing. */
	if (gene % 2)
		hash_ranges(ranges, set->range_count, set->hash);
}

static struct set make_set(const struct genome *genome, struct arena *arena, size_t index)
{
	uint32_t gene = genome->set[index];
	enum set_form form = form_of(index, gene);
	struct set set = {
		.name = name_of(arena, "s", index),
		.key = {FIELD_IPV4},
		.comment = gene % 5 ? "" : "a comment",
		.size = gene % 7 ? 0 : 1000,
		.at = {.file = "edged.yaml", .line = gene + 1, .column = 1},
	};
	set.interval = form == FORM_INTERVALS || form == FORM_RANGES;
	set.timeout = form == FORM_INTERVALS;
	if (form == FORM_VERDICTS)
		set.data = FIELD_VERDICT;
	if (form == FORM_DATA)
		set.data = FIELD_PORT;
	if (form == FORM_CONCAT)
		set.key[1] = FIELD_PORT;
	if (form == FORM_DYNAMIC) {
		set.dynamic = true;
		set.with = (enum dynset_with)(gene % 3);
		if (set.with == DYNSET_LIMIT)
			set.limit = (struct limit_spec){.count = gene % 4 + 1, .per_seconds = 1, .burst = 5};
		if (set.with == DYNSET_CONNLIMIT)
			set.connections = gene % 4 + 1;
	} else if (form == FORM_RANGES) {
		make_ranges(genome->content[index], arena, &set);
	} else {
		make_elements(genome, arena, index, form, &set);
	}
	return set;
}

static struct expr set_expr(const struct genome *genome, struct arena *arena, uint32_t gene)
{
	for (size_t i = 0; i < GENOME_SETS; i++) {
		size_t at = (gene + i) % GENOME_SETS;
		if (!genome->set[at])
			continue;
		enum set_form form = form_of(at, genome->set[at]);
		struct expr expr = {.kind = EXPR_LOOKUP};
		expr.lookup.set = name_of(arena, "s", at);
		expr.lookup.reg = 1;
		expr.lookup.has_data = form == FORM_VERDICTS || form == FORM_DATA;
		expr.lookup.to_verdict = form == FORM_VERDICTS;
		if (form == FORM_DYNAMIC) {
			expr = (struct expr){.kind = EXPR_DYNSET};
			expr.dynset.set = name_of(arena, "s", at);
			expr.dynset.op = DYNSET_UPDATE;
			expr.dynset.reg = 1;
		}
		return expr;
	}
	return (struct expr){.kind = EXPR_MASQUERADE};
}

static struct expr counter_expr(const struct genome *genome, struct arena *arena, uint32_t gene)
{
	size_t at = gene % GENOME_COUNTERS;
	struct expr expr = {.kind = EXPR_COUNTER};
	expr.counter.name = name_of(arena, "k", at);
	return genome->counter[at] ? expr : (struct expr){.kind = EXPR_MASQUERADE};
}

/* A handful of different rules, so that there are duplicates. */
static struct rule_state make_rule(const struct genome *genome, struct arena *arena, size_t chain, uint32_t gene)
{
	struct expr *exprs = must(arena_array(arena, 4, struct expr));
	exprs[0] = (struct expr){.kind = EXPR_PAYLOAD};
	exprs[0].payload.base = PAYLOAD_NETWORK;
	exprs[0].payload.offset = 12;
	exprs[0].payload.length = 4;
	exprs[0].payload.reg = 1;
	switch (gene % 5) {
	case 0:
	case 1:
		exprs[1] = set_expr(genome, arena, gene);
		break;
	case 2:
		exprs[1] = counter_expr(genome, arena, gene);
		break;
	default:
		exprs[1] = (struct expr){.kind = EXPR_CMP};
		exprs[1].cmp.reg = 1;
		exprs[1].cmp.length = 4;
		exprs[1].cmp.data[3] = (uint8_t)(gene % 8);
	}
	const char *target = gene % 3 == 0 ? jump_target(genome, arena, chain, gene) : NULL;
	exprs[2] = (struct expr){.kind = EXPR_VERDICT};
	exprs[2].verdict.kind = target ? VERDICT_JUMP : VERDICT_ACCEPT;
	exprs[2].verdict.chain = target;
	return (struct rule_state){.exprs = exprs,
				   .expr_count = 3,
				   .comment = gene % 4 ? "" : "rule-x",
				   .at = {.file = "edged.yaml", .line = gene, .column = 1}};
}

static struct chain make_chain(const struct genome *genome, struct arena *arena, size_t index)
{
	uint32_t gene = genome->chain[index];
	struct chain chain = {.name = name_of(arena, "c", index)};
	if (!chain_is_regular(gene)) {
		chain.type = gene % 8 ? CHAIN_FILTER : CHAIN_NAT;
		chain.hook = (enum hook)(gene / 16);
		chain.priority = (int32_t)(gene / 8 % 2) - 300;
		chain.policy_drop = gene > 32;
	}
	struct rule_state *rules = must(arena_array(arena, GENOME_RULES, struct rule_state));
	for (size_t i = 0; i < GENOME_RULES; i++) {
		if (genome->rule[index][i])
			rules[chain.rule_count++] = make_rule(genome, arena, index, genome->rule[index][i]);
	}
	chain.rules = rules;
	return chain;
}

struct state *genome_state(const struct genome *genome)
{
	static const char *const sysctls[] = {"net.a", "net.b", "net.c"};
	struct state *state = must(state_new());
	struct arena *arena = state->arena;
	state->sysctls = must(arena_array(arena, 3, struct sysctl));
	for (size_t i = 0; i < 3; i++) {
		if (genome->sysctl[i])
			state->sysctls[state->sysctl_count++] = (struct sysctl){
				.name = sysctls[i], .value = must(arena_printf(arena, "%u", genome->sysctl[i] % 3))};
	}
	state->present = genome->present != 0;
	if (!state->present)
		return state;
	state->owner = genome->owner > 48;
	state->chains = must(arena_array(arena, GENOME_CHAINS, struct chain));
	for (size_t i = 0; i < GENOME_CHAINS; i++) {
		if (genome->chain[i])
			state->chains[state->chain_count++] = make_chain(genome, arena, i);
	}
	state->sets = must(arena_array(arena, GENOME_SETS, struct set));
	for (size_t i = 0; i < GENOME_SETS; i++) {
		if (genome->set[i])
			state->sets[state->set_count++] = make_set(genome, arena, i);
	}
	state->counters = must(arena_array(arena, GENOME_COUNTERS, struct counter));
	for (size_t i = 0; i < GENOME_COUNTERS; i++) {
		if (genome->counter[i])
			state->counters[state->counter_count++] = (struct counter){.name = name_of(arena, "k", i)};
	}
	return state;
}
