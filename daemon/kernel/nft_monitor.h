/* Sees changes of the ruleset: a multicast listener (NFNLGRP_NFTABLES) for the
 * event loop, which tells our own commits from those of others. */
#pragma once

#include "kernel.h"

struct monitor;

enum monitor_change {
	MONITOR_NOTHING, /* nothing to read, or a change of another table */
	MONITOR_OWN,     /* commits of this kernel's alone */
	MONITOR_FOREIGN, /* somebody else touched table inet edged */
	MONITOR_LOST,    /* notifications were lost: take it for a foreign change */
};

/* kernel must outlive the monitor, and has only one. In the calling thread's network namespace. */
int monitor_open(struct kernel *kernel, struct monitor **ret_monitor);
void monitor_close(struct monitor **monitor);
/* Readable when there is something; never write to it. */
int monitor_fd(const struct monitor *monitor);
/* Reads all there is (a bounded amount: call again while the descriptor is readable) and returns the worst of it. */
enum monitor_change monitor_read(struct monitor *monitor);

/* Around a commit of our own: while anybody listens, the kernel makes a notification of every element, several KiB each,
 * and keeps them all to the end. A million ranges so take gigabytes and ten times as long. What others do meanwhile
 * is noticed afterwards. monitor may be NULL. */
void monitor_pause(struct monitor *monitor);
void monitor_resume(struct monitor *monitor);

/* Did a commit through this kernel make that generation (one of its last 64)? */
bool kernel_is_own_generation(const struct kernel *kernel, uint32_t generation);
/* Netlink port of the owning socket; 0 when there is none. */
uint32_t kernel_owner_port(const struct kernel *kernel);
