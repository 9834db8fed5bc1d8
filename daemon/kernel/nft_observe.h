/* What reading all of the kernel's state and reading a part of it share. */
#pragma once

#include "nft_kernel.h"

#define REQUEST_MAX 1024 /* a head and two names */

/* The head of a question in request (REQUEST_MAX bytes). */
struct nlmsghdr *observe_request(char *request, uint16_t type, bool dump);
/* The table itself: present, owner, persist, dormant. A table that is not there is 0 too. */
int observe_table(struct nft_kernel *kernel, struct state *state, uint32_t *ret_flags);
/* The elements of a set that was read: nothing to do for dynamic and hashed ones. -EINTR: it is gone. */
int observe_elements(struct nft_kernel *kernel, struct arena *arena, struct set *set);
/* The system parameters that like names. */
int observe_sysctls(const struct state *like, struct state *state);
