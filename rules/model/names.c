/* The words of the file for the model's enums. Each list is indexed by its enum
 * and ends with NULL; a word without a value, or a value without a word, does
 * not compile. */
#include "model.h"

#define WORDS_OF(count, last) _Static_assert((count) == (last) + 1, "one word for each value")
#define COUNT(names) (sizeof(names) / sizeof((names)[0]) - 1)

const char *const protocol_names[] = {"any", "tcp", "udp", "icmp", NULL};
const char *const proxy_header_names[] = {"none", "v1", "v2", NULL};
const char *const proxy_tlv_names[] = {"crc32c", "unique-id", NULL};
const char *const via_names[] = {"auto", "kernel", "proxy", NULL};
const char *const toggle_names[] = {"auto", "on", "off", NULL};
const char *const balance_names[] = {"round_robin", "source", "least_connections", NULL};
const char *const health_check_names[] = {"none", "tcp", "http", "https", "proxy", NULL};
const char *const rate_unit_names[] = {"second", "minute", "hour", NULL};
const char *const action_names[] = {"accept", "drop", "reject", NULL};
const char *const expect_verdict_names[] = {"accept", "drop", "reject", NULL};
const char *const place_kind_names[] = {"any", "wan", "lan", "tunnel", "self", "prefix", "blocklist", NULL};

WORDS_OF(COUNT(protocol_names), PROTOCOL_ICMP);
WORDS_OF(COUNT(proxy_header_names), PROXY_V2);
WORDS_OF(COUNT(proxy_tlv_names), TLV_UNIQUE_ID);
WORDS_OF(COUNT(via_names), VIA_PROXY);
WORDS_OF(COUNT(toggle_names), TOGGLE_OFF);
WORDS_OF(COUNT(balance_names), BALANCE_LEAST_CONNECTIONS);
WORDS_OF(COUNT(health_check_names), HEALTH_PROXY);
WORDS_OF(COUNT(rate_unit_names), RATE_HOUR);
WORDS_OF(COUNT(action_names), ACTION_REJECT);
WORDS_OF(COUNT(expect_verdict_names), EXPECT_REJECT);
WORDS_OF(COUNT(place_kind_names), PLACE_BLOCKLIST);
