/* The system calls that a proxy process needs, and no others from then on. */
#pragma once

/* No new privileges, no core dump, no attaching debugger, a seccomp filter. For
 * the whole process, for good. 0 or -errno. */
int sandbox_enter(void);
