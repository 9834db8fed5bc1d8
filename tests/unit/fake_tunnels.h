/* A fake of the kernel's side of tunnels: stores what the steps say, refuses
 * what the real one refuses, and fails where it is told to. */
#pragma once

#include "../../daemon/kernel/tunnel.h"

struct tunnel_kernel *fake_tunnels_new(void);
/* The commit fails at its step (counting from 1), once; 0: no. */
void fake_tunnels_fail_at(struct tunnel_kernel *kernel, size_t step, int error);
/* This tunnel cannot be made until it is called again with NULL. */
void fake_tunnels_refuse(struct tunnel_kernel *kernel, const char *name);
/* What is held, to look at and to tamper with: at most FAKE_TUNNELS_MOST. */
#define FAKE_TUNNELS_MOST 8
struct tunnel_state *fake_tunnels_items(struct tunnel_kernel *kernel, size_t *ret_count);
size_t fake_tunnels_commits(const struct tunnel_kernel *kernel);
