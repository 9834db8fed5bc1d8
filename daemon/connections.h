/* Connections: flows of both data planes in one form (docs/api.md). */
#pragma once

#include "json_show.h"
#include "proxy/report.h"

/* Append the workers' connections, of one forward when forward is not NULL. */
void connections_add_proxied(const struct report *report, const char *forward, json_t *list);
/* Append conntrack's flows that a forward let in and the kernel carries. */
void connections_add_kernel(const struct model *model, const char *forward, struct arena *arena, json_t *list);
/* Add conntrack's open flows, packets and bytes to uses, one for each forward by its index. */
void connections_add_uses(const struct model *model, struct arena *arena, struct show_use *uses);
