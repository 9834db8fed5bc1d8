/* Connections: flows of both data planes in one form (docs/api.md). */
#pragma once

#include "json_show.h"
#include "proxy/report.h"

struct headers;

/* Append the workers' connections, of one forward when forward is not NULL. */
void connections_add_proxied(const struct model *model, const struct report *report, const char *forward, json_t *list);
/* Append conntrack's flows that a forward let in and the kernel carries; headers (may be NULL) knows how far the header of
 * each is. */
void connections_add_kernel(const struct model *model, const struct headers *headers, const char *forward,
			    struct arena *arena, json_t *list);
/* Flows of each forward, by its index, of either plane, whose handshake is not complete. At most some ten thousand flows
 * are looked at. */
void connections_count_half_open(const struct model *model, struct arena *arena, uint64_t *counts);
/* Add conntrack's open flows, packets and bytes to uses, one for each forward by its index. */
void connections_add_uses(const struct model *model, struct arena *arena, struct show_use *uses);
