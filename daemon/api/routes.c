/* The route table of docs/api.md and matching against it. Pure: who asks, and
 * what comes of it, is decided elsewhere. */
#include "routes.h"

#include <stdio.h>
#include <string.h>

const struct route routes[] = {
	{"GET", "/v1/status", RIGHT_READ, false},
	{"GET", "/v1/forwards", RIGHT_READ, false},
	{"GET", "/v1/nodes", RIGHT_READ, false},
	{"GET", "/v1/rules", RIGHT_READ, false},
	{"GET", "/v1/tunnels", RIGHT_READ, false},
	{"GET", "/v1/limits", RIGHT_READ, false},
	{"GET", "/v1/bans", RIGHT_READ, false},
	{"GET", "/v1/connections", RIGHT_READ, false},
	{"GET", "/v1/config", RIGHT_READ, false},
	{"GET", "/v1/config/running", RIGHT_READ, false},
	{"GET", "/v1/history", RIGHT_READ, false},
	{"GET", "/v1/diff", RIGHT_READ, true},
	{"GET", "/v1/version", RIGHT_READ, false},
	{"GET", "/metrics", RIGHT_READ, false},
	{"POST", "/v1/check", RIGHT_READ, true},
	{"POST", "/v1/plan", RIGHT_READ, true},
	{"POST", "/v1/explain", RIGHT_READ, false},
	{"POST", "/v1/apply", RIGHT_WRITE, true},
	{"POST", "/v1/confirm", RIGHT_WRITE, true},
	{"POST", "/v1/rollback", RIGHT_WRITE, true},
	{"POST", "/v1/nodes/{name}/drain", RIGHT_WRITE, true},
	{"POST", "/v1/nodes/{name}/undrain", RIGHT_WRITE, true},
	{"POST", "/v1/tunnels/{name}/rotate", RIGHT_WRITE, true},
	{"POST", "/v1/bans", RIGHT_WRITE, true},
	{"DELETE", "/v1/bans/{address}", RIGHT_WRITE, true},
	{"POST", "/v1/flush", RIGHT_WRITE, true},
};
const size_t route_count = sizeof(routes) / sizeof(*routes);

static bool matches(const char *pattern, const char *path, size_t length)
{
	const char *end = path + length;
	while (*pattern) {
		if (*pattern == '{') {
			const char *start = path;
			while (path < end && *path != '/')
				path++;
			if (path == start)
				return false;
			pattern = strchr(pattern, '}') + 1;
		} else {
			if (path == end || *path != *pattern)
				return false;
			path++;
			pattern++;
		}
	}
	return path == end;
}

static void allow(char *list, const char *method)
{
	size_t used = strlen(list);
	snprintf(list + used, ROUTE_ALLOW_MAX - used, "%s%s", used ? ", " : "", method);
}

const struct route *route_find(const char *method, const char *target, unsigned int *ret_status, char *ret_allow)
{
	size_t length = strcspn(target, "?");
	const char *wanted = strcmp(method, "HEAD") ? method : "GET";
	char known[ROUTE_ALLOW_MAX] = "";
	for (size_t i = 0; i < route_count; i++) {
		if (!matches(routes[i].pattern, target, length))
			continue;
		if (!strcmp(routes[i].method, wanted))
			return &routes[i];
		if (!strcmp(routes[i].method, "GET"))
			allow(known, "GET, HEAD");
		else
			allow(known, routes[i].method);
	}
	*ret_status = *known ? 405 : 404;
	memcpy(ret_allow, known, sizeof(known));
	return NULL;
}
