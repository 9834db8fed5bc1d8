/* A slot's health checks: the ruleset is in the kernel, all of edged's roles
 * run, and what answered before an install answers again: each node's port,
 * each tunnel's peer. What the configuration no longer has is not asked for. */
#include "image_health.h"

#include "api.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_TIMEOUT_MS 10000
#define KEPT "before.json"

static void put(json_t *look, bool up, const char *name)
{
	/* The reference of json_string goes over to the list, also when that fails. */
	if (json_array_append_new(json_object_get(look, "known"), json_string(name)) < 0 ||
	    (up && json_array_append_new(json_object_get(look, "up"), json_string(name)) < 0))
		cli_need(NULL);
}

/* Each part of each thing that path lists: "node k8s-1 port 30443". */
static void look_at(struct cli *cli, const char *path, const char *thing, const char *parts, const char *part,
		    const char *part_key, json_t *look)
{
	cleanup_json json_t *list = NULL;
	const json_t *item, *below;
	size_t i, j;
	if (api_call_quietly(cli, "GET", path, LOOK_TIMEOUT_MS, &list) != CLI_DONE)
		return;
	json_array_foreach(list, i, item) {
		json_array_foreach(json_object_get(item, parts), j, below)
			put(look, js_bool(below, "up"),
			    cli_format(cli, "%s %s %s %s", thing, js_text(item, "name"), part, js_any(cli, below, part_key)));
	}
}

json_t *health_look(struct cli *cli)
{
	cleanup_json json_t *status = NULL;
	const json_t *role;
	const char *stopped = "";
	size_t i;
	if (api_call_quietly(cli, "GET", "/v1/status", LOOK_TIMEOUT_MS, &status) != CLI_DONE)
		return NULL;
	json_array_foreach(json_object_get(status, "roles"), i, role) {
		if (strcmp(js_text(role, "state"), "running") != 0)
			stopped = js_text(role, "name");
	}
	json_t *look = cli_need(json_pack("{s:I, s:b, s:s, s:[], s:[]}", "revision", (json_int_t)js_int(status, "revision"),
					  "in_sync", (int)js_bool(json_object_get(status, "kernel"), "in_sync"), "stopped",
					  stopped, "known", "up"));
	look_at(cli, "/v1/nodes", "node", "ports", "port", "port", look);
	look_at(cli, "/v1/tunnels", "tunnel", "peers", "peer", "name", look);
	return look;
}

static bool holds(const json_t *list, const char *name)
{
	const json_t *item;
	size_t i;
	json_array_foreach(list, i, item) {
		if (json_is_string(item) && strcmp(json_string_value(item), name) == 0)
			return true;
	}
	return false;
}

const char *health_trouble(struct cli *cli, const json_t *before, const json_t *now)
{
	const json_t *item;
	size_t i, missing = 0;
	const char *names = "";
	if (!now)
		return "edged does not answer";
	if (*js_text(now, "stopped"))
		return cli_format(cli, "edged's role %s does not run", js_text(now, "stopped"));
	if (js_int(now, "revision") && !js_bool(now, "in_sync"))
		return "the kernel's rules are not those of the configuration";
	if (!js_int(now, "revision") && js_int(before, "revision"))
		return "no configuration is in force";
	json_array_foreach(json_object_get(before, "up"), i, item) {
		const char *name = json_is_string(item) ? json_string_value(item) : "";
		if (!holds(json_object_get(now, "known"), name) || holds(json_object_get(now, "up"), name))
			continue;
		if (missing++ < 8)
			names = cli_format(cli, "%s%s%s", names, *names ? ", " : "", name);
	}
	return !missing ? NULL
	       : cli_format(cli, "what answered before the install does not now: %s%s", names, missing > 8 ? " and more" : "");
}

int health_keep(const char *folder, const json_t *look)
{
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	if (at < 0)
		return -errno;
	int fd = openat(at, KEPT ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || json_dumpfd(look, fd, JSON_INDENT(2)) < 0 || fsync(fd) < 0 || renameat(at, KEPT ".new", at, KEPT) < 0 ||
	    fsync(at) < 0)
		r = errno ? -errno : -EIO;
	if (fd >= 0)
		close(fd);
	close(at);
	return r;
}

json_t *health_kept(const char *folder)
{
	json_t *look = NULL;
	int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = at < 0 ? -1 : openat(at, KEPT, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		look = json_loadfd(fd, 0, NULL);
		close(fd);
	}
	if (at >= 0)
		close(at);
	return look;
}
