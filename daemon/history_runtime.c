/* Run data on disk: drains, operators' bans and the backends' health, in
 * runtime.json, adopted by a restarted edged. An entry that makes no sense is
 * told and passed over; the others count. */
#include "history_parts.h"
#include "log.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define RUNTIME_NAME "runtime.json"
#define RUNTIME_MAX (16u << 20)
#define WHY_MAX 300

static json_t *health_json(struct runtime *runtime)
{
	json_t *list = json_array();
	size_t count;
	const struct show_health *health = runtime_health(runtime, &count);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_pack("{s:o, s:i, s:b, s:o, s:I}", "node", show_text(health[i].node), "port",
						      (int)health[i].port, "up", (int)health[i].up, "why",
						      show_text(health[i].why), "since", (json_int_t)health[i].since));
	if (json_array_size(list) == count)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *draining_json(const struct rundata *run)
{
	json_t *list = json_array();
	for (size_t i = 0; i < run->draining_count; i++)
		json_array_append_new(list, show_text(run->draining[i]));
	if (json_array_size(list) == run->draining_count)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *bans_json(const struct rundata *run)
{
	json_t *list = json_array();
	for (size_t i = 0; i < run->ban_count; i++) {
		char prefix[PREFIX_TEXT_MAX];
		json_array_append_new(list, json_pack("{s:s, s:I}", "prefix", prefix_format(&run->bans[i].prefix, prefix),
						      "expires", (json_int_t)run->bans[i].expires));
	}
	if (json_array_size(list) == run->ban_count)
		return list;
	json_decref(list);
	return NULL;
}

int history_save_runtime(struct history *history, struct runtime *runtime, uint64_t now)
{
	const struct rundata *run = runtime_view(runtime, now);
	/* Lists that memory ran out for are NULL, and so is what is made of them: nothing is saved by half. */
	json_t *json = json_pack("{s:o, s:o, s:o}", "health", health_json(runtime), "draining", draining_json(run), "bans",
				 bans_json(run));
	char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	json_decref(json);
	if (!text)
		return -ENOMEM;
	int r = store_replace(history_root(history), RUNTIME_NAME, text, strlen(text), 0600);
	free(text);
	return r;
}

static bool name_is_good(const char *name)
{
	return name && *name && strlen(name) <= MODEL_NAME_MAX;
}

/* Each adopts one entry: 0, -EBADMSG, -ENOMEM. */
static int adopt_health(struct runtime *runtime, const json_t *entry)
{
	const char *node = json_string_value(json_object_get(entry, "node"));
	const char *why = json_string_value(json_object_get(entry, "why"));
	const json_t *port = json_object_get(entry, "port"), *up = json_object_get(entry, "up");
	json_int_t number = json_integer_value(port), since = json_integer_value(json_object_get(entry, "since"));
	if (!name_is_good(node) || number < 1 || number > UINT16_MAX || !json_is_boolean(up) || since < 0 ||
	    (why && strlen(why) > WHY_MAX))
		return -EBADMSG;
	int r = runtime_set_health(runtime, node, (uint16_t)number, json_is_true(up), why, (uint64_t)since);
	return r < 0 ? r : 0;
}

static int adopt_draining(struct runtime *runtime, const json_t *entry)
{
	const char *node = json_string_value(entry);
	int r = name_is_good(node) ? runtime_set_draining(runtime, node, true) : -EBADMSG;
	return r < 0 ? r : 0;
}

static int adopt_ban(struct runtime *runtime, const json_t *entry)
{
	const char *text = json_string_value(json_object_get(entry, "prefix"));
	const json_t *expires = json_object_get(entry, "expires");
	struct prefix prefix;
	if (!text || !json_is_integer(expires) || json_integer_value(expires) < 0 ||
	    prefix_parse(text, strlen(text), &prefix) < 0)
		return -EBADMSG;
	int r = runtime_ban(runtime, &prefix, (uint64_t)json_integer_value(expires));
	return r < 0 ? r : 0;
}

static int adopt(struct runtime *runtime, const json_t *list, const char *what,
		 int (*one)(struct runtime *runtime, const json_t *entry))
{
	if (list && !json_is_array(list))
		log_error("history", "%s: \"%s\" is no list: passed over", RUNTIME_NAME, what);
	for (size_t i = 0; i < json_array_size(list); i++) {
		int r = one(runtime, json_array_get(list, i));
		if (r == -EBADMSG)
			log_error("history", "%s: entry %zu of \"%s\" makes no sense: passed over", RUNTIME_NAME, i + 1,
				  what);
		else if (r < 0)
			return r;
	}
	return 0;
}

int history_load_runtime(struct history *history, struct runtime *runtime)
{
	cleanup_arena struct arena *arena = arena_new();
	char *text;
	size_t length;
	int r = arena ? store_read(history_root(history), RUNTIME_NAME, RUNTIME_MAX, arena, &text, &length) : -ENOMEM;
	if (r == -ENOMEM || r == -ENOENT)
		return r == -ENOENT ? 0 : r;
	json_t *json = r == 0 ? json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (!json_is_object(json)) {
		log_error("history", "%s is passed over: %s", RUNTIME_NAME, history_why(r < 0 ? r : -EBADMSG));
		json_decref(json);
		return 0;
	}
	r = adopt(runtime, json_object_get(json, "health"), "health", adopt_health);
	if (r == 0)
		r = adopt(runtime, json_object_get(json, "draining"), "draining", adopt_draining);
	if (r == 0)
		r = adopt(runtime, json_object_get(json, "bans"), "bans", adopt_ban);
	json_decref(json);
	return r;
}
