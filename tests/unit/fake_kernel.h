/* A kernel that stores a state instead of programming one: for tests of the
 * diff and of the apply engine. It is as strict as the real one: it refuses
 * what is not there, what is there already, what is still referred to, and
 * references to nothing; a commit that is refused changes nothing. */
#pragma once

#include "../../daemon/kernel/kernel.h"

/* An empty one: no table. Aborts when out of memory. */
struct kernel *fake_kernel_new(void);
/* What it holds now; valid until the next commit. The content of a dynamic set is in its elements. */
const struct state *fake_kernel_state(const struct kernel *kernel);
/* Put a copy of state there as it is, without steps; objects and rules get handles. */
void fake_kernel_put(struct kernel *kernel, const struct state *state);
/* The next commit fails at its step-th step (from 1; 0: not) with error (-errno). */
void fake_kernel_fail_at(struct kernel *kernel, size_t step, int error);
/* The next call of observe fails with error (0: not). */
void fake_kernel_fail_observe(struct kernel *kernel, int error);
/* A packet adds addr to a dynamic set. 0 or -ENOENT. */
int fake_kernel_packet(struct kernel *kernel, const char *set, const struct addr *addr);
/* Commits that went through, and the steps of them all. */
size_t fake_kernel_commits(const struct kernel *kernel);
size_t fake_kernel_steps(const struct kernel *kernel);
