/* Owns the list of system calls of the proxy role. No file can be opened, no
 * process started, no socket bound. Sanitizer builds run without the filter,
 * since their runtime needs more. */
#include "sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#else
#error "add this machine's audit architecture"
#endif

#if defined(__SANITIZE_ADDRESS__)
#define FILTER 0
#else
#define FILTER 1
#endif

#define LOAD(field) {BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offsetof(struct seccomp_data, field)}
#define ANSWER(action) {BPF_RET | BPF_K, 0, 0, (action)}
#define ALLOW(name) {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, __NR_##name}, ANSWER(SECCOMP_RET_ALLOW)

/* The order is that of frequency; the kernel also remembers which calls are always allowed. */
static struct sock_filter code[] = {
	LOAD(arch),
	{BPF_JMP | BPF_JEQ | BPF_K, 1, 0, OWN_ARCH},
	ANSWER(SECCOMP_RET_KILL_PROCESS),
	LOAD(nr),
	ALLOW(recvfrom),
	ALLOW(sendto),
	ALLOW(splice),
#ifdef __NR_epoll_wait
	ALLOW(epoll_wait),
#endif
	ALLOW(epoll_pwait),
	ALLOW(epoll_ctl),
	ALLOW(close),
	ALLOW(accept4),
	ALLOW(socket),
	ALLOW(connect),
	ALLOW(setsockopt),
	ALLOW(getsockopt),
	ALLOW(getsockname),
	ALLOW(getpeername),
	ALLOW(shutdown),
	ALLOW(sendmsg),
	ALLOW(recvmsg),
	ALLOW(read),
	ALLOW(write),
	ALLOW(writev),
	ALLOW(pipe2),
	ALLOW(fcntl),
	ALLOW(ioctl),
	ALLOW(fstat),
	ALLOW(newfstatat),
	ALLOW(memfd_create),
	ALLOW(mmap),
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(mprotect),
	ALLOW(madvise),
	ALLOW(brk),
	ALLOW(sysinfo), /* qsort asks once how much memory there is */
	ALLOW(futex),
	ALLOW(clock_gettime),
	ALLOW(getrandom),
	ALLOW(getpid),
	ALLOW(gettid),
	ALLOW(tgkill),
	ALLOW(rt_sigaction),
	ALLOW(rt_sigprocmask),
	ALLOW(rt_sigreturn),
	ALLOW(restart_syscall),
	ALLOW(exit),
	ALLOW(exit_group),
	ANSWER(SECCOMP_RET_KILL_PROCESS),
};

int sandbox_enter(void)
{
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	/* SPEC_ALLOW: the filter is about system calls; it shall not slow the CPU down as well. */
	if (FILTER && syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) < 0)
		return -errno;
	return 0;
}
