/* How long the kernel takes for a blocklist of many ranges, in a network
 * namespace of its own: commit, with and without somebody listening, read
 * back, change one, remove; beside it nft -f with the same content.
 * kernel_bench [RANGES]. Prints a table; it judges nothing. */
#include "../../daemon/kernel/nft_monitor.h"
#include "../unit/hash_ranges.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Time on the clock, and of the processors: this program's and its children's. */
struct moment {
	double clock, processor;
};

static double seconds(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static struct moment now(void)
{
	struct timespec time;
	struct rusage self, children;
	clock_gettime(CLOCK_MONOTONIC, &time);
	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &children);
	return (struct moment){
		.clock = (double)time.tv_sec + (double)time.tv_nsec / 1e9,
		.processor = seconds(self.ru_utime) + seconds(self.ru_stime) + seconds(children.ru_utime) +
			     seconds(children.ru_stime),
	};
}

static void report(const char *what, struct moment since)
{
	struct moment end = now();
	printf("%-40s %8.3f s, %8.3f s of processor\n", what, end.clock - since.clock, end.processor - since.processor);
	fflush(stdout);
}

static void die(const char *what, int error)
{
	fprintf(stderr, "kernel_bench: %s: %s\n", what, strerror(-error));
	exit(1);
}

/* A state with one set of count ranges, every second /30 from 11.0.0.0 on. */
static struct state *list_of(size_t count)
{
	static const struct set list = {.name = "blocked", .key = {FIELD_IPV4}, .interval = true};
	struct state *state = state_new();
	struct set *set = state ? arena_memdup(state->arena, &list, sizeof(list)) : NULL;
	struct addr_range *ranges = set ? arena_array(state->arena, count, struct addr_range) : NULL;
	if (!ranges)
		die("ranges", -ENOMEM);
	for (size_t i = 0; i < count; i++) {
		uint32_t first = htonl(0x0b000000u + (uint32_t)i * 8), last = htonl(0x0b000003u + (uint32_t)i * 8);
		ranges[i].first.family = ranges[i].last.family = FAMILY_V4;
		memcpy(ranges[i].first.bytes, &first, sizeof(first));
		memcpy(ranges[i].last.bytes, &last, sizeof(last));
	}
	set->ranges = ranges;
	set->range_count = count;
	hash_ranges(ranges, count, set->hash);
	state->present = true;
	state->sets = set;
	state->set_count = 1;
	return state;
}

static void apply(struct kernel *kernel, const struct state *known, const struct state *desired, const char *what)
{
	struct state *observed;
	struct steps steps = {0};
	struct commit_error error;
	struct arena *arena = arena_new();
	struct moment start = now();
	int rc = kernel->ops->observe(kernel, desired, &observed);
	if (rc < 0 || !arena)
		die("observe", rc);
	rc = diff_states(observed, known, desired, arena, &steps);
	if (rc < 0)
		die("diff", rc);
	printf("%s\n", what);
	report("  observe and diff", start);
	start = now();
	if (steps.count)
		rc = kernel->ops->commit(kernel, &steps, &error);
	if (rc < 0)
		die(error.what, rc);
	report("  commit", start);
	state_free(&observed);
	arena_free(&arena);
}

static void bench_nft(const struct state *state)
{
	char path[] = "/tmp/edged-kernel-bench-XXXXXX", command[128], text[ADDR_TEXT_MAX];
	int fd = mkstemp(path);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!file)
		die(path, -errno);
	fprintf(file, "table inet edged {\nset blocked {\ntype ipv4_addr; flags interval;\nelements = {\n");
	for (size_t i = 0; i < state->sets[0].range_count; i++)
		fprintf(file, "%s/30,\n", addr_format(&state->sets[0].ranges[i].first, text));
	fprintf(file, "}\n}\n}\n");
	fclose(file);
	snprintf(command, sizeof(command), "nft -f %s", path);
	struct moment start = now();
	int status = system(command);
	if (status == 0)
		report("nft -f with the same", start);
	else
		printf("nft -f failed: %d\n", status);
	unlink(path);
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	struct kernel *kernel;
	struct monitor *monitor;
	if (unshare(CLONE_NEWNET) < 0)
		die("a network namespace", -errno);
	int rc = kernel_open(-1, &kernel);
	if (rc < 0)
		die("netlink", rc);
	struct state *state = list_of(count), *other = list_of(count + 1), *none = state_new();
	printf("%zu ranges\n", count);
	apply(kernel, NULL, state, "commit");
	apply(kernel, state, state, "again, nothing to do");
	apply(kernel, state, other, "one range more");
	apply(kernel, NULL, none, "removed");
	rc = monitor_open(kernel, &monitor);
	if (rc < 0)
		die("monitor", rc);
	apply(kernel, NULL, state, "commit with a monitor listening");
	printf("%-40s %8s\n", "the monitor saw", monitor_read(monitor) == MONITOR_OWN ? "own" : "other");
	apply(kernel, NULL, none, "removed with a monitor listening");
	monitor_close(&monitor);
	bench_nft(state);
	state_free(&none);
	state_free(&state);
	state_free(&other);
	kernel->ops->close(&kernel);
	return 0;
}
