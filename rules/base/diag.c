/* Records of what is wrong with an input. Owns no memory but what its arena
 * gives, and never prints. */
#include "diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void diag_init(struct diag_list *list, struct arena *arena)
{
	*list = (struct diag_list){.arena = arena};
}

void diag_add(struct diag_list *list, enum diag_severity severity, struct origin at, const char *path,
	      const char *format, ...)
{
	if (severity == DIAG_ERROR)
		list->errors++;
	else
		list->warnings++;
	struct diag *items = NULL;
	if (list->count < DIAG_MOST)
		items = arena_grow(list->arena, list->items, list->count, sizeof(*items), &list->capacity);
	if (!items) {
		list->dropped++;
		return;
	}
	list->items = items;

	va_list args;
	va_start(args, format);
	const char *text = arena_vprintf(list->arena, format, args);
	va_end(args);
	items[list->count++] = (struct diag){
		.severity = severity,
		.at = {.file = at.file ? arena_strdup(list->arena, at.file) : NULL, .line = at.line, .column = at.column},
		.path = path ? arena_strdup(list->arena, path) : NULL,
		.text = text ? text : "out of memory",
	};
}

static int compare(const struct diag *a, const struct diag *b)
{
	int order = strcmp(a->at.file ? a->at.file : "", b->at.file ? b->at.file : "");
	if (order)
		return order;
	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	if (a->at.column != b->at.column)
		return a->at.column < b->at.column ? -1 : 1;
	return 0;
}

void diag_sort(struct diag_list *list)
{
	/* Insertion sort: stable, at most DIAG_MOST records, mostly in order already. */
	for (size_t i = 1; i < list->count; i++) {
		struct diag moved = list->items[i];
		size_t j = i;
		for (; j > 0 && compare(&list->items[j - 1], &moved) > 0; j--)
			list->items[j] = list->items[j - 1];
		list->items[j] = moved;
	}
}

/* A hostile file name or value must not write escape sequences to a terminal. */
static char *escape(struct arena *arena, const char *text)
{
	size_t length = 0;
	for (const char *p = text; *p; p++)
		length += ((unsigned char)*p < 0x20 || *p == 0x7f) ? 4 : 1;
	char *safe = arena_alloc(arena, length + 1);
	if (!safe)
		return NULL;
	char *out = safe;
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			out += snprintf(out, 5, "\\x%02x", (unsigned char)*p);
		else
			*out++ = *p;
	}
	return safe;
}

char *diag_format(struct arena *arena, const struct diag *diag)
{
	const char *file = diag->at.file ? diag->at.file : "edged.yaml";
	const char *kind = diag->severity == DIAG_WARNING ? "warning: " : "";
	const char *path = diag->path ? diag->path : "";
	const char *colon = *path ? ": " : "";
	char *line;
	if (diag->at.line && diag->at.column)
		line = arena_printf(arena, "%s:%u:%u: %s%s%s%s", file, diag->at.line, diag->at.column, path, colon, kind,
				    diag->text);
	else if (diag->at.line)
		line = arena_printf(arena, "%s:%u: %s%s%s%s", file, diag->at.line, path, colon, kind, diag->text);
	else
		line = arena_printf(arena, "%s: %s%s%s%s", file, path, colon, kind, diag->text);
	return line ? escape(arena, line) : NULL;
}
