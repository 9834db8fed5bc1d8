/* What role main does with the header-injection programs, one call each, so
 * that tests can do it without main: attach, check, detach, and read.
 *
 *   header_tool attach|check RUNTIME-DIR DEVICE   check: prints right, missing, other
 *   header_tool detach DEVICE
 *   header_tool counters|flows|usage RUNTIME-DIR  one line each, "name value" or "node peer state length id derived"
 *   header_tool load RUNTIME-DIR ROOM             as the loader, but with room for so many flows only
 *   header_tool lose RUNTIME-DIR                  removes all entries behind the programs' back
 *   header_tool unload RUNTIME-DIR */
#include "../../daemon/kernel/header.h"

#include "../../daemon/kernel/header_pins.h"

#include <bpf/bpf.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned device(const char *name)
{
	unsigned ifindex = if_nametoindex(name);
	if (!ifindex)
		err(1, "%s", name);
	return ifindex;
}

static int check(const struct headers *headers, const char *name)
{
	int r = headers_check(headers, device(name));
	puts(r == 0 ? "right" : r == -ENOENT ? "missing" : r == -ESTALE ? "other" : strerror(-r));
	return 0;
}

static int counters(const struct headers *headers)
{
	uint64_t values[HEADERS_COUNTERS];
	int r = headers_counters(headers, values);
	for (int i = 0; r == 0 && i < HEADERS_COUNTERS; i++)
		printf("%s %" PRIu64 "\n", headers_counter_names[i], values[i]);
	return r;
}

static int flows(const struct headers *headers)
{
	struct headers_flow *list;
	size_t count;
	int r = headers_flows(headers, &list, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		char node[ADDR_TEXT_MAX], peer[ADDR_TEXT_MAX];
		printf("%s %u %s %u %s %u %016" PRIx64 " %d\n", addr_format(&list[i].node, node), list[i].node_port,
		       addr_format(&list[i].peer, peer), list[i].peer_port, headers_state_names[list[i].state],
		       list[i].length, list[i].unique_id, list[i].derived);
	}
	free(list);
	return 0;
}

static int usage(const struct headers *headers)
{
	uint32_t entries, room;
	int r = headers_usage(headers, &entries, &room);
	if (r == 0)
		printf("entries %u\nroom %u\n", entries, room);
	return r;
}

static int lose(const char *runtime_dir)
{
	char folder[PATH_MAX], path[PATH_MAX];
	struct flow_key key;
	if (header_pin_path(runtime_dir, HEADER_FOLDER, "", folder) < 0 ||
	    header_pin_path(folder, header_map_names[HEADER_MAP_FLOWS], HEADER_MAP_SUFFIX, path) < 0)
		return -ENAMETOOLONG;
	int map = bpf_obj_get(path);
	while (map >= 0 && bpf_map_get_next_key(map, NULL, &key) == 0)
		if (bpf_map_delete_elem(map, &key) < 0)
			return -errno;
	return map < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		errx(2, "usage: header_tool attach|check|counters|... RUNTIME-DIR [DEVICE|ROOM], detach DEVICE");
	const char *verb = argv[1];
	int r;
	if (strcmp(verb, "detach") == 0) {
		r = headers_detach(device(argv[2]));
	} else if (strcmp(verb, "unload") == 0) {
		r = headers_unload(argv[2]);
	} else if (strcmp(verb, "load") == 0 && argc == 4) {
		r = headers_load(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
	} else if (strcmp(verb, "lose") == 0) {
		r = lose(argv[2]);
	} else {
		cleanup_headers struct headers *headers = NULL;
		r = headers_open(argv[2], &headers);
		if (r == 0 && strcmp(verb, "counters") == 0)
			r = counters(headers);
		else if (r == 0 && strcmp(verb, "flows") == 0)
			r = flows(headers);
		else if (r == 0 && strcmp(verb, "usage") == 0)
			r = usage(headers);
		else if (r == 0 && argc == 4 && strcmp(verb, "check") == 0)
			r = check(headers, argv[3]);
		else if (r == 0 && argc == 4 && strcmp(verb, "attach") == 0)
			r = headers_attach(headers, device(argv[3]));
	}
	if (r < 0)
		errx(1, "%s: %s", verb, strerror(-r));
	return 0;
}
