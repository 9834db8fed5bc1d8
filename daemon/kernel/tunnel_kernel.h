/* What tunnel_kernel.c (observing) and tunnel_commit.c (writing) share. */
#pragma once

#include "tunnel.h"
#include "tunnel_link.h"

struct real_tunnels {
	struct tunnel_kernel kernel; /* first: what others see */
	struct link_socket socket;
	const struct tunnel_secrets *secrets;
	enum tunnel_backend backend; /* NONE: not tried yet */
	char what[160];              /* of the last error */
};

static inline struct real_tunnels *real_tunnels_of(struct tunnel_kernel *kernel)
{
	return (struct real_tunnels *)kernel;
}

int tunnels_commit(struct tunnel_kernel *kernel, const struct step *steps, size_t count, struct commit_error *ret_error);
