/* Asks the kernel, and systemd-timesyncd where that is forbidden, whether the
 * clock is kept; else compares it with what is known. It never sets a clock. */
#include "clock.h"

#include "rotation.h"

#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

/* Made at the first synchronisation since boot (systemd-timesyncd.service(8)). */
#define SYNCHRONISED "/run/systemd/timesync/synchronized"

const char *clock_is_wrong(uint64_t written)
{
	struct timex clock = {0};
	bool kept = (adjtimex(&clock) >= 0 && !(clock.status & STA_UNSYNC)) || access(SYNCHRONISED, F_OK) == 0;
	return rotation_clock_is_wrong((uint64_t)time(NULL), kept ? 0 : written);
}
