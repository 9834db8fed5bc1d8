/* Choose: random packets that lie at the edges of what a configuration says:
 * first and last addresses and ports of its prefixes and ranges, one beside
 * them, and packets that nearly match a rule or a forward. */
#pragma once

#include "frame.h"
#include "settings.h"

struct chooser {
	const struct model *model;
	const struct settings *settings;
	uint64_t random;
	/* What the model and the settings mention, the neighbours of that included. */
	struct addr *addrs;
	uint16_t *ports;
	size_t addr_count, port_count, addr_capacity, port_capacity;
	struct question *shared; /* those whose source port is not their own, or that have none */
	size_t shared_count, shared_capacity;
	struct arena *arena;
};

/* 0 or -ENOMEM. */
int chooser_init(struct chooser *chooser, const struct model *model, const struct settings *settings, uint64_t seed,
		 struct arena *arena);
/* A packet that a wire can carry: concrete addresses of one family, ports, a leg that exists. */
struct probe choose_probe(struct chooser *chooser, uint32_t id);
/* 0 to below - 1. */
uint32_t choose_number(struct chooser *chooser, uint32_t below);
