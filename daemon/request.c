/* Taking apart what role api sends, finding the handler, sending answers back.
 * What comes in is hostile: everything is bounded and typed before it is used. */
#include "request.h"

#include "json_show.h"
#include "log.h"
#include "../rules/base/nearest.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a body may hold: docs/openapi.yaml. Another key, or another type, would silently be left out. */
struct body_key {
	const char *name;
	json_type type; /* JSON_TRUE: true or false */
};

struct route {
	const char *method;
	const char *pattern; /* '*' stands for one name */
	bool write;
	void (*handle)(struct server *server, struct request *request);
	const struct body_key *keys; /* of the body; NULL: it takes none */
};

static const struct body_key apply_keys[] = {{"files", JSON_ARRAY},
					    {"message", JSON_STRING},
					    {"confirm_within_seconds", JSON_INTEGER},
					    {"dry_run", JSON_TRUE},
					    {"base", JSON_INTEGER},
					    {NULL, JSON_NULL}};
static const struct body_key check_keys[] = {{"files", JSON_ARRAY}, {NULL, JSON_NULL}};
static const struct body_key explain_keys[] = {
	{"from", JSON_STRING}, {"to", JSON_STRING}, {"in", JSON_STRING}, {NULL, JSON_NULL}};
static const struct body_key rollback_keys[] = {{"to", JSON_INTEGER}, {"message", JSON_STRING}, {NULL, JSON_NULL}};
static const struct body_key flush_keys[] = {{"yes", JSON_TRUE}, {NULL, JSON_NULL}};
static const struct body_key ban_keys[] = {{"address", JSON_STRING}, {"seconds", JSON_INTEGER}, {NULL, JSON_NULL}};

static const struct route routes[] = {
	{"GET", "/v1/status", false, answer_status, NULL},
	{"GET", "/v1/forwards", false, answer_forwards, NULL},
	{"GET", "/v1/nodes", false, answer_nodes, NULL},
	{"GET", "/v1/rules", false, answer_rules, NULL},
	{"GET", "/v1/tunnels", false, answer_tunnels, NULL},
	{"GET", "/v1/limits", false, answer_limits, NULL},
	{"GET", "/v1/bans", false, answer_bans, NULL},
	{"GET", "/v1/connections", false, answer_connections, NULL},
	{"GET", "/v1/config", false, answer_config, NULL},
	{"GET", "/v1/config/running", false, answer_config_running, NULL},
	{"GET", "/v1/history", false, answer_history, NULL},
	{"GET", "/v1/diff", false, answer_diff, NULL},
	{"GET", "/v1/version", false, answer_version, NULL},
	{"GET", "/metrics", false, answer_metrics, NULL},
	{"POST", "/v1/check", false, answer_check, check_keys},
	{"POST", "/v1/plan", false, answer_plan, apply_keys},
	{"POST", "/v1/explain", false, answer_explain, explain_keys},
	{"POST", "/v1/apply", true, answer_apply, apply_keys},
	{"POST", "/v1/confirm", true, answer_confirm, NULL},
	{"POST", "/v1/rollback", true, answer_rollback, rollback_keys},
	{"POST", "/v1/flush", true, answer_flush, flush_keys},
	{"POST", "/v1/nodes/*/drain", true, answer_drain, NULL},
	{"POST", "/v1/nodes/*/undrain", true, answer_undrain, NULL},
	{"POST", "/v1/tunnels/*/rotate", true, answer_rotate, NULL},
	{"POST", "/v1/bans", true, answer_ban, ban_keys},
	{"DELETE", "/v1/bans/*", true, answer_unban, NULL},
};

void respond_text(struct server *server, uint32_t id, unsigned status, const char *type, const char *text,
		  size_t length)
{
	int body = msg_body_new(text, length);
	if (body < 0) {
		log_error("api", "cannot answer: %s", strerror(-body));
		return;
	}
	struct wire_writer writer cleanup_wire = {0};
	wire_put_u32(&writer, status);
	wire_put_text(&writer, type);
	int r = roles_send(server->roles, ROLE_API, 0, MSG_API_ANSWER, id, &writer, &body, 1);
	if (r < 0)
		log_warning("api", "an answer could not be sent: %s", strerror(-r));
	close(body);
}

void respond_json(struct server *server, uint32_t id, unsigned status, json_t *json)
{
	static const char no_memory[] = "{\"error\": \"out of memory\"}";
	char *text = json ? json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	if (text)
		respond_text(server, id, status, "application/json", text, strlen(text));
	else
		respond_text(server, id, 500, "application/json", no_memory, strlen(no_memory));
	free(text);
	json_decref(json);
}

void respond_error(struct server *server, uint32_t id, unsigned status, const struct diag_list *diags,
		   const char *format, ...)
{
	cleanup_arena struct arena *arena = arena_new();
	va_list args;
	va_start(args, format);
	char *text = arena ? arena_vprintf(arena, format, args) : NULL;
	va_end(args);
	respond_json(server, id, status, show_error(text ? text : "out of memory", diags));
}

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static char *decode(struct arena *arena, const char *text, size_t length)
{
	char *out = arena_alloc(arena, length + 1);
	size_t used = 0;
	for (size_t i = 0; out && i < length; i++) {
		if (text[i] == '%' && i + 2 < length && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
			out[used++] = (char)(hex(text[i + 1]) * 16 + hex(text[i + 2]));
			i += 2;
		} else {
			out[used++] = text[i] == '+' ? ' ' : text[i];
		}
	}
	return out;
}

const char *request_query(const struct request *request, const char *key)
{
	size_t length = strlen(key);
	for (const char *at = request->query; *at;) {
		size_t pair = strcspn(at, "&");
		if (pair > length && strncmp(at, key, length) == 0 && at[length] == '=')
			return decode(request->arena, at + length + 1, pair - length - 1);
		at += pair;
		at += *at == '&';
	}
	return NULL;
}

/* Does path match, and what stands for the star? */
static bool match(struct arena *arena, const char *pattern, const char *path, const char **ret_name)
{
	const char *star = strchr(pattern, '*');
	if (!star)
		return strcmp(pattern, path) == 0;
	size_t head = (size_t)(star - pattern), tail = strlen(star + 1), length = strlen(path);
	if (length <= head + tail || strncmp(pattern, path, head) != 0 || strcmp(path + length - tail, star + 1) != 0 ||
	    memchr(path + head, '/', length - head - tail))
		return false;
	*ret_name = decode(arena, path + head, length - head - tail);
	return *ret_name != NULL;
}

static const char *type_word(json_type type)
{
	return type == JSON_ARRAY    ? "a list"
	       : type == JSON_STRING ? "a string"
	       : type == JSON_TRUE   ? "true or false"
				     : "a whole number";
}

/* A key that is misspelt (no confirmation window!) or of another type is refused, never passed over. */
static bool body_fits(struct server *server, const struct request *request, const struct body_key *keys)
{
	static const struct body_key none[] = {{NULL, JSON_NULL}};
	const char *key;
	json_t *value;
	json_object_foreach(request->body, key, value) {
		const struct body_key *known = keys ? keys : none;
		struct nearest nearest = nearest_to(key);
		for (; known->name && strcmp(known->name, key) != 0; known++)
			nearest_consider(&nearest, known->name);
		if (!known->name) {
			respond_error(server, request->id, 400, NULL, "unknown key \"%s\"%s%s%s", key,
				      nearest.name ? ": did you mean \"" : " (docs/openapi.yaml has those of each path)",
				      nearest.name ? nearest.name : "", nearest.name ? "\"?" : "");
			return false;
		}
		json_type type = json_is_false(value) ? JSON_TRUE : json_typeof(value);
		if (type != known->type) {
			respond_error(server, request->id, 400, NULL, "\"%s\" is not %s", key, type_word(known->type));
			return false;
		}
	}
	return true;
}

static void dispatch(struct server *server, struct request *request)
{
	bool path_known = false;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *route = &routes[i];
		if (!match(request->arena, route->pattern, request->path, &request->name))
			continue;
		path_known = true;
		if (strcmp(route->method, request->method) != 0)
			continue;
		if (route->write && !request->may_write) {
			respond_error(server, request->id, 403, NULL,
				      "%s may look, not change: that takes group \"edge\"", request->user);
			return;
		}
		if (body_fits(server, request, route->keys))
			route->handle(server, request);
		return;
	}
	if (path_known)
		respond_error(server, request->id, 405, NULL, "%s does not take %s", request->path, request->method);
	else
		respond_error(server, request->id, 404, NULL, "there is no %s (docs/openapi.yaml lists what there is)",
			      request->path);
}

/* 0, or -EBADMSG after an error was sent. */
static int read_body(struct server *server, struct request *request, int fd)
{
	const void *data;
	size_t length;
	if (fd < 0)
		return 0;
	if (msg_body_map(fd, &data, &length) < 0)
		return -EBADMSG;
	if (!length)
		return 0;
	json_error_t error;
	request->body = json_loadb(data, length, JSON_REJECT_DUPLICATES, &error);
	munmap((void *)data, length);
	if (request->body && json_is_object(request->body))
		return 0;
	respond_error(server, request->id, 400, NULL, "the body is not a JSON object: %s",
		      request->body ? "it is another kind of value" : error.text);
	return -EBADMSG;
}

void request_handle(struct server *server, struct msg *msg)
{
	cleanup_arena struct arena *arena = arena_new();
	if (!arena)
		return;
	struct wire_reader reader = {.data = msg->payload, .length = msg->length};
	struct request request = {.id = msg->id, .arena = arena, .query = ""};
	request.may_write = wire_get_bounded(&reader, 1) == 1;
	request.user = wire_get_text(&reader, arena, 256);
	request.method = wire_get_text(&reader, arena, 16);
	char *target = wire_get_text(&reader, arena, 4096);
	if (wire_finish(&reader) < 0 || !request.user || !request.method || !target) {
		log_error("api", "a request that is none came from role api: ignored");
		return;
	}
	char *question = strchr(target, '?');
	if (question) {
		*question = '\0';
		request.query = question + 1;
	}
	request.path = target;
	server_settle(server);
	if (read_body(server, &request, msg->fd_count ? msg->fds[0] : -1) == 0)
		dispatch(server, &request);
	json_decref(request.body);
}
