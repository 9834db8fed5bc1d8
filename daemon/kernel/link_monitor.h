/* Sees devices and their TC filters come and go (rtnetlink's multicast groups
 * for links and traffic control), for the event loop. In the calling thread's
 * network namespace. */
#pragma once

#include <stdbool.h>

struct link_monitor;

/* 0 or -errno. */
int link_monitor_open(struct link_monitor **ret_monitor);
void link_monitor_close(struct link_monitor **monitor);
/* Readable when there is something; never write to it. */
int link_monitor_fd(const struct link_monitor *monitor);
/* Reads what there is (a bounded amount: call again while the descriptor is readable). True when a device, a qdisc or
 * a filter was added, changed or deleted, or when notifications were lost. */
bool link_monitor_read(struct link_monitor *monitor);
