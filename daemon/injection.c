/* Injection, role main's side of the header programs. It owns the adopted pins,
 * the loader's process while that runs, and the listener for devices; it never
 * touches the ruleset. */
#include "injection.h"

#include "kernel/header.h"
#include "kernel/link_monitor.h"
#include "log.h"

#include "../rules/state/compile.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/capability.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char why_loading[] = "the programs that add the PROXY header are being loaded";
static const char why_missing[] = "the programs that add the PROXY header are not loaded";
static const char why_detached[] = "the programs that add the PROXY header are not attached where the nodes are";

struct injection {
	struct runtime *runtime;
	char *runtime_dir;
	struct headers *headers; /* NULL: nothing is pinned */
	struct event_base *base;
	void (*changed)(void *context);
	void *context;
	struct link_monitor *links;
	struct event *links_event, *loader_event;
	pid_t loader; /* 0: does not run */
	int loader_fd;
	bool tried; /* to load */
	unsigned refused; /* index of the last device whose attaching was logged as failed */
};

static int adopt(struct injection *injection)
{
	struct headers *headers = NULL;
	int r = headers_open(injection->runtime_dir, &headers);
	if (r < 0)
		return r;
	headers_close(&injection->headers);
	injection->headers = headers;
	return 0;
}

static void on_links(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct injection *injection = context;
	if (link_monitor_read(injection->links) && injection->changed)
		injection->changed(injection->context);
}

static int watch_links(struct injection *injection)
{
	int r = link_monitor_open(&injection->links);
	if (r < 0)
		return r;
	injection->links_event = event_new(injection->base, link_monitor_fd(injection->links), EV_READ | EV_PERSIST,
					   on_links, injection);
	return injection->links_event && event_add(injection->links_event, NULL) == 0 ? 0 : -ENOMEM;
}

/* What it has pinned so far is replaced by the next one. */
static void stop_loader(struct injection *injection)
{
	if (injection->loader_event)
		event_free(injection->loader_event);
	injection->loader_event = NULL;
	if (injection->loader) {
		kill(injection->loader, SIGKILL);
		waitpid(injection->loader, NULL, 0);
	}
	injection->loader = 0;
	if (injection->loader_fd >= 0)
		close(injection->loader_fd);
	injection->loader_fd = -1;
}

static void on_loader(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	struct injection *injection = context;
	int status = 0;
	if (waitpid(injection->loader, &status, WNOHANG) != injection->loader)
		return;
	injection->loader = 0;
	stop_loader(injection);
	int r = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? adopt(injection) : -ENOEXEC;
	if (r < 0)
		log_warning("injection",
			    "the kernel cannot add PROXY headers (the loader's lines above say why): the user-space "
			    "forwarder does");
	if (injection->changed)
		injection->changed(injection->context);
}

/* False where another unit of the service manager is the loader: main's own has no right to mount. */
static bool may_load(void)
{
	return prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 1;
}

/* The loader needs more rights than main keeps later, and ends by itself. */
static int start_loader(struct injection *injection)
{
	char *arguments[] = {(char *)"edged", (char *)"--role", (char *)"loader", (char *)"--runtime-dir",
			     injection->runtime_dir, NULL};
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, 0);
		close_range(3, ~0u, 0);
		execv("/proc/self/exe", arguments);
		_exit(1);
	}
	injection->loader = pid;
	injection->loader_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (injection->loader_fd >= 0)
		injection->loader_event =
			event_new(injection->base, injection->loader_fd, EV_READ | EV_PERSIST, on_loader, injection);
	if (injection->loader_event && event_add(injection->loader_event, NULL) == 0)
		return 0;
	/* Nobody would see its end. */
	stop_loader(injection);
	return -ENOMEM;
}

int injection_open(struct event_base *base, const char *runtime_dir, struct runtime *runtime,
		   void (*changed)(void *context), void *context, struct injection **ret_injection)
{
	struct injection *injection = calloc(1, sizeof(*injection));
	if (!injection)
		return -ENOMEM;
	*injection = (struct injection){.runtime = runtime,
					.runtime_dir = strdup(runtime_dir),
					.base = base,
					.changed = changed,
					.context = context,
					.loader_fd = -1};
	int r = injection->runtime_dir ? 0 : -ENOMEM;
	if (r == 0 && base)
		r = watch_links(injection);
	if (r == 0)
		(void)adopt(injection);
	if (r < 0) {
		injection_close(&injection);
		return r;
	}
	*ret_injection = injection;
	return 0;
}

void injection_close(struct injection **injection)
{
	if (!injection || !*injection)
		return;
	struct injection *i = *injection;
	if (i->links_event)
		event_free(i->links_event);
	stop_loader(i);
	link_monitor_close(&i->links);
	headers_close(&i->headers);
	free(i->runtime_dir);
	free(i);
	*injection = NULL;
}

static bool wants_headers(const struct model *model)
{
	for (size_t i = 0; i < model->forward_count; i++)
		if (model->forwards[i].proxy_protocol != PROXY_NONE && model->forwards[i].via != VIA_PROXY)
			return true;
	return false;
}

/* Loading takes seconds of a core, and what failed once fails again: only when it is needed, and once. */
static void load_once(struct injection *injection)
{
	if (!injection->base || injection->tried || !may_load())
		return;
	injection->tried = true;
	if (start_loader(injection) < 0)
		log_warning("injection", "the loader cannot be started: the user-space forwarder adds all headers");
}

/* True when the device has the programs, after they were attached where that is wanted. */
static bool attached(struct injection *injection, const char *device, bool wanted, struct header_device *ret_device)
{
	unsigned index = if_nametoindex(device);
	if (!index)
		return false;
	int r = headers_check(injection->headers, index);
	if (r < 0 && wanted) {
		r = headers_attach(injection->headers, index);
		if (r == 0)
			log_info("injection", "the programs that add the PROXY header are attached to %s", device);
		else if (index != injection->refused)
			log_warning("injection", "cannot attach to %s: %s; forwards to nodes behind it are not served by the "
						 "kernel", device, strerror(-r));
		injection->refused = r < 0 ? index : injection->refused;
	}
	*ret_device = (struct header_device){device, index};
	return r == 0;
}

int injection_update(struct injection *injection, const struct model *model)
{
	if (!injection || !model)
		return 0;
	bool wanted = wants_headers(model);
	if ((!injection->headers || headers_stale(injection->headers)) && adopt(injection) < 0) {
		if (wanted)
			load_once(injection);
		return runtime_set_headers(injection->runtime, NULL, 0, injection->loader ? why_loading : why_missing);
	}
	const struct rundata *run = runtime_view(injection->runtime, (uint64_t)time(NULL));
	struct header_device *devices = calloc(model->tunnel_count * COMPILE_SLOTS + 1, sizeof(*devices));
	if (!devices)
		return -ENOMEM;
	size_t count = 0;
	if (model->lan.device)
		count += attached(injection, model->lan.device, wanted, &devices[count]);
	for (size_t i = 0; i < model->tunnel_count; i++) {
		struct tunnel_slot slots[COMPILE_SLOTS];
		size_t slot_count = compile_slots(run, &model->tunnels[i], slots);
		for (size_t slot = 0; slot < slot_count; slot++)
			count += attached(injection, slots[slot].device, wanted, &devices[count]);
	}
	int r = runtime_set_headers(injection->runtime, devices, count, why_detached);
	free(devices);
	return r;
}

static void detach(const char *device)
{
	unsigned index = device ? if_nametoindex(device) : 0;
	if (index)
		headers_detach(index);
}

void injection_remove(struct injection *injection, const struct model *model)
{
	if (!injection || !model)
		return;
	const struct rundata *run = runtime_view(injection->runtime, (uint64_t)time(NULL));
	detach(model->lan.device);
	for (size_t i = 0; i < model->tunnel_count; i++) {
		struct tunnel_slot slots[COMPILE_SLOTS];
		size_t slot_count = compile_slots(run, &model->tunnels[i], slots);
		for (size_t slot = 0; slot < slot_count; slot++)
			detach(slots[slot].device);
	}
	runtime_set_headers(injection->runtime, NULL, 0, why_detached);
}

bool injection_waits(const struct injection *injection)
{
	return injection && !injection->headers && !injection->loader;
}

const struct headers *injection_headers(const struct injection *injection)
{
	return injection ? injection->headers : NULL;
}
