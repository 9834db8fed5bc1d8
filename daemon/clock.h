/* Whether this machine's clock can be believed: new keys are not made while it
 * cannot, for WireGuard's handshakes and the keys' age both need it. */
#pragma once

#include <stdint.h>

/* Why it cannot be right, a static sentence; NULL: it may be. written: the newest time (seconds since the epoch) that is
 * on disk; it says nothing while something like NTP keeps the clock. */
const char *clock_is_wrong(uint64_t written);
