/* The real kernel behind kernel_ops: what its parts share. */
#pragma once

#include "kernel.h"
#include "nft_socket.h"

#define OWN_GENERATIONS 64u /* of our last commits, for the monitor */
#define READ_AGAIN_MOST 10

struct nft_kernel {
	struct kernel kernel; /* first: a struct kernel * is one of this */
	struct nft_socket owner; /* owns the table; all commits go through it */
	struct nft_socket query;
	uint32_t generation;  /* of the last observation and our own commits since; 0: nothing was observed */
	uint32_t table_flags; /* of the last observation */
	int has_persist;      /* 1, 0, or -1: not tried yet */
	uint32_t own[OWN_GENERATIONS];
	size_t own_count; /* ever; the newest is at (own_count - 1) % OWN_GENERATIONS */
	char what[256];   /* commit_error.what */
	struct monitor *monitor; /* paused during commits; not owned; NULL: none */
};

static inline struct nft_kernel *nft_kernel_of(struct kernel *kernel)
{
	return (struct nft_kernel *)kernel;
}

int nft_observe(struct kernel *kernel, const struct state *like, struct state **ret_state);
int nft_observe_touched(struct kernel *kernel, const struct steps *steps, const struct state *like, struct state **state);
int nft_commit(struct kernel *kernel, const struct steps *steps, struct commit_error *ret_error);
int nft_generation(struct kernel *kernel, uint32_t *ret_generation);
int nft_counters(struct kernel *kernel, struct arena *arena, struct counter_value **ret_values, size_t *ret_count);
int nft_dynamic_elements(struct kernel *kernel, const char *set, struct arena *arena,
			 struct dynamic_element **ret_elements, size_t *ret_count);
int nft_dynamic_remove(struct kernel *kernel, const struct set *set, const struct addr *addr);
/* A commit of ours went through that was checked against generation before: remember what came of it. */
void nft_committed(struct nft_kernel *kernel, uint32_t before);
