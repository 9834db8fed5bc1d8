/* What was probably meant: the nearest known name, or the known ones. Only runs
 * when something is wrong; never decides anything. */
#include <stdlib.h>
#include <string.h>

#include "../base/nearest.h"
#include "../text/bytes.h"
#include "reader.h"

#define LIST_MOST 8         /* known names that are listed in full */
#define COMPARED_ERRORS 50u /* with more errors than these, nearest names are no longer searched */

/* An entry whose name could not be read has none. */
static const char *name_at(const struct name_list *list, size_t i)
{
	const char *name =
		*(const char *const *)(const void *)((const char *)list->items + i * list->stride + list->offset);
	return name ? name : "";
}

/* "a, b, c", at most LIST_MOST of them. */
static const char *join(struct reader *reader, const struct name_list *list)
{
	const char *text = NULL;
	for (size_t i = 0; i < list->count && i < LIST_MOST; i++) {
		const char *name = name_at(list, i);
		text = text ? arena_printf(reader->scratch, "%s, %.*s", text, bytes_shown(name), name)
			    : arena_printf(reader->scratch, "%.*s", bytes_shown(name), name);
		if (!text)
			return "";
	}
	return text ? text : "";
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

const char *suggest_name(struct reader *reader, const char *wrong, const struct name_list *list)
{
	if (list->count == 0)
		return "(none is configured)";
	if (list->count <= LIST_MOST)
		return or_empty(arena_printf(reader->scratch, "(known: %s)", join(reader, list)));
	struct nearest nearest = nearest_to(wrong);
	for (size_t i = 0; i < list->count && reader->diags->errors < COMPARED_ERRORS; i++)
		nearest_consider(&nearest, name_at(list, i));
	if (nearest.name)
		return or_empty(arena_printf(reader->scratch, "(did you mean \"%s\"? %zu are known)", nearest.name,
					     list->count));
	return or_empty(
		arena_printf(reader->scratch, "(known: %s and %zu more)", join(reader, list), list->count - LIST_MOST));
}

const char *suggest_key(struct reader *reader, const char *wrong, const struct section *section)
{
	struct nearest nearest = nearest_to(wrong);
	const char *all = NULL;
	for (const struct key *key = section->keys; key->name; key++) {
		nearest_consider(&nearest, key->name);
		all = all ? arena_printf(reader->scratch, "%s, %s", all, key->name) : key->name;
		if (!all)
			return "";
	}
	if (nearest.name)
		return or_empty(arena_printf(reader->scratch, "(did you mean \"%s\"?)", nearest.name));
	return or_empty(arena_printf(reader->scratch, "(known: %s)", all));
}

const char *suggest_word(struct reader *reader, const char *wrong, const char *const *words)
{
	struct nearest nearest = nearest_to(wrong);
	const char *all = NULL;
	for (; *words; words++) {
		nearest_consider(&nearest, *words);
		all = all ? arena_printf(reader->scratch, "%s, %s", all, *words) : *words;
		if (!all)
			return "";
	}
	if (nearest.name)
		return or_empty(arena_printf(reader->scratch, "(did you mean \"%s\"? known: %s)", nearest.name, all));
	return or_empty(arena_printf(reader->scratch, "(known: %s)", all));
}
