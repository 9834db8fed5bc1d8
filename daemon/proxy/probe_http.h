/* The status of an HTTP/1.x answer, from bytes that nobody vouches for. Pure. */
#pragma once

#include <stddef.h>

#define PROBE_ANSWER_MOST 16384

/* The final status (100 and 103 are passed over) at the start of data: 200 to 999, 0 when more is needed,
 * or -1: this is no HTTP answer, or none within PROBE_ANSWER_MOST bytes. */
int probe_http_status(const char *data, size_t length);
