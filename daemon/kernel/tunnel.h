/* The kernel's side of tunnels: WireGuard devices, their addresses and routes,
 * behind a small table of operations with a fake in the unit tests. No part of
 * the nftables transaction: a step that fails leaves the ones before it in
 * force, and the engine goes back by the same diff. */
#pragma once

#include "kernel.h"

#include "../../rules/state/tunnel.h"

struct tunnel_kernel;

/* Where secrets come from; the caller of each wipes what it got. 0 or -errno. */
struct tunnel_secrets {
	int (*private_key)(void *context, const char *tunnel, uint8_t ret_key[TUNNEL_KEY_SIZE]);
	int (*preshared_key)(void *context, const char *tunnel, const char *peer, uint8_t ret_key[TUNNEL_KEY_SIZE]);
	void *context;
};

struct tunnel_kernel_ops {
	/* Every device that edged has made, and whatever has a name that `like` has; sorted by name. The list owns its
	 * arena. */
	int (*observe)(struct tunnel_kernel *kernel, const struct tunnel_list *like, struct tunnel_list *ret_list);
	/* Tunnel steps, in the diff's order. */
	int (*commit)(struct tunnel_kernel *kernel, const struct step *steps, size_t count, struct commit_error *ret_error);
	void (*close)(struct tunnel_kernel **kernel);
};

struct tunnel_kernel {
	const struct tunnel_kernel_ops *ops;
};

/* The real one, in the network namespace of the calling thread. secrets must outlive it. */
int tunnel_kernel_open(const struct tunnel_secrets *secrets, struct tunnel_kernel **ret_kernel);
/* What new devices are made with: the kernel's WireGuard where it has one, else wireguard-go. */
enum tunnel_backend tunnel_kernel_backend(struct tunnel_kernel *kernel);
/* An rtnetlink listener for links, addresses and routes. Descriptor or -errno; the caller closes it. */
int tunnel_monitor_open(void);
/* Read all there is (bounded): true when something about a tunnel device may have changed. */
bool tunnel_monitor_read(int fd, const struct tunnel_list *tunnels);
/* The tunnel devices that exist right now, for who attaches programs to them: at most room of them. Names are in list's
 * strings, so they live as long as it does. Number, which may be more than room. */
struct tunnel_device {
	const char *name;
	uint32_t index;
};
size_t tunnel_devices(const struct tunnel_list *list, struct tunnel_device *ret_devices, size_t room);
