/* Random states for property tests: from a genome, so that a few changed genes
 * give a related state. Every state that comes out is consistent: rules and
 * elements refer only to what is there, and jump only to regular chains. */
#pragma once

#include "../../rules/state/state.h"

#include <stdint.h>

#define GENOME_CHAINS 7
#define GENOME_SETS 8
#define GENOME_COUNTERS 6
#define GENOME_RULES 12 /* most per chain */

struct genome {
	uint32_t present, owner;
	uint32_t chain[GENOME_CHAINS]; /* 0: not there; else its definition */
	uint32_t rule[GENOME_CHAINS][GENOME_RULES]; /* 0: not there */
	uint32_t set[GENOME_SETS], content[GENOME_SETS];
	uint32_t counter[GENOME_COUNTERS];
	uint32_t sysctl[3];
};

/* A small generator of random numbers (xorshift64*); *seed must not be 0. */
uint32_t random_next(uint64_t *seed);
struct genome genome_random(uint64_t *seed);
/* Change some genes. */
void genome_mutate(struct genome *genome, uint64_t *seed, unsigned changes);
/* The state of a genome; aborts when out of memory. */
struct state *genome_state(const struct genome *genome);
