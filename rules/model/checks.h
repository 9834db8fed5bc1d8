/* Checks: what the keys of one entry mean together, run when each of them has
 * been read without error. The table of contents is schema.c. */
#pragma once

#include "schema.h"

#define CHECK(name) \
	int name(struct reader *reader, const struct where *where, const struct doc_node *node, void *entry)

CHECK(check_interfaces);
CHECK(check_health);
CHECK(check_forward);
CHECK(check_snat);
CHECK(check_peer);
CHECK(check_tunnel);
CHECK(check_api);
CHECK(check_rule);
CHECK(check_expectation);
CHECK(blocklist_read); /* reads the file */
