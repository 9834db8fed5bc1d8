/* The kernel, behind a small table of operations, so that the apply engine can
 * be driven by a fake that stores state (tests/unit/fake_kernel.h). */
#pragma once

#include "../../rules/state/diff.h"
#include "../../rules/state/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kernel;

/* Why a commit was refused. */
struct commit_error {
	int error;               /* -errno of the first step that failed */
	const struct step *step; /* which one; NULL when it was none of them (the batch as a whole) */
	const char *what;        /* for people, e.g. "the netlink batch did not fit"; good until the next commit */
};

struct counter_value {
	const char *name; /* in the arena that was passed */
	uint64_t packets, bytes;
};

/* An element of a dynamic set, as the kernel has it now. */
struct dynamic_element {
	struct addr addr;
	uint64_t expires_ms; /* what is left; 0: no timeout */
};

struct kernel_ops {
	/* All that the kernel holds of ours; a table that is not there gives an empty
	 * state (present false). EINTR and ENOBUFS read again, at most 10 times, then -EAGAIN.
	 * sysctls: those that `like` names. Ranges of sets above STATE_HASHED_ABOVE elements
	 * are not read when a hash of theirs is stored: the set has that hash and no ranges. */
	int (*observe)(struct kernel *kernel, const struct state *like, struct state **ret_state);
	/* After a commit of steps that were made from *state: read only what they touched, take the rest from *state, which
	 * the new state then owns. -ERESTART: somebody else has changed something since, or too much was touched: observe
	 * all. On failure *state is as it was. May be NULL: always observe all. */
	int (*observe_touched)(struct kernel *kernel, const struct steps *steps, const struct state *like,
			       struct state **state);
	int (*commit)(struct kernel *kernel, const struct steps *steps, struct commit_error *ret_error);
	/* The ruleset's generation: changes with every commit of anyone. */
	int (*generation)(struct kernel *kernel, uint32_t *ret_generation);
	int (*counters)(struct kernel *kernel, struct arena *arena, struct counter_value **ret_values, size_t *ret_count);
	int (*dynamic_elements)(struct kernel *kernel, const char *set, struct arena *arena,
				struct dynamic_element **ret_elements, size_t *ret_count);
	/* Remove one element (an unban); -ENOENT when it is not there. */
	int (*dynamic_remove)(struct kernel *kernel, const struct set *set, const struct addr *addr);
	void (*close)(struct kernel **kernel);
};

struct kernel {
	const struct kernel_ops *ops;
};

/* The real one, in the network namespace of the calling thread. It owns its sockets.
 * owner_fd: a NETLINK_NETFILTER socket that outlived a former main and owns the table (or -1).
 * The table is created and owned through this socket alone. */
int kernel_open(int owner_fd, struct kernel **ret_kernel);
/* The owning socket, to be kept alive by others; still owned by kernel. -1 for none. */
int kernel_owner_fd(const struct kernel *kernel);
/* Does this kernel know NFT_TABLE_F_PERSIST (6.9 and later)? Tried on a table that is never committed. */
bool kernel_has_owner_persist(struct kernel *kernel);
/* Does this kernel have flowtables (nf_flow_table)? Tried in the same way. */
bool kernel_has_flowtable(struct kernel *kernel);
/* Can this kernel answer SYNs in a server's place (nft_synproxy)? Tried in the same way. */
bool kernel_has_synproxy(struct kernel *kernel);
