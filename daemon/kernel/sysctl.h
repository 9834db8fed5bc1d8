/* Kernel parameters under /proc/sys, in the network namespace of the calling
 * thread. Names are sysctl(8)'s: dots for slashes, and a slash where a name
 * has a dot ("net.ipv4.conf.ens3/100.rp_filter"). */
#pragma once

#include <stddef.h>

#define SYSCTL_VALUE_MAX 4096 /* with the terminator */

/* Its value without the newline at the end; value has SYSCTL_VALUE_MAX bytes. -EINVAL: no such name can be. */
int sysctl_read(const char *name, char *value);
int sysctl_write(const char *name, const char *value);
