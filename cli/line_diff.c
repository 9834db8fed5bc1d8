/* What an edit changes in a text, for people. An edit touches one place, so
 * the lines that both texts begin and end with are all there is to find. */
#include "line_diff.h"

#include <string.h>

#define CONTEXT 3

struct lines {
	const char **starts; /* count + 1 of them */
	size_t count;
};

static int split(struct arena *arena, const char *text, struct lines *ret_lines)
{
	struct lines lines = {0};
	size_t capacity = 0, end = strlen(text);
	for (const char *at = text;; at = strchrnul(at, '\n') + 1) {
		lines.starts = arena_grow(arena, lines.starts, lines.count, sizeof(*lines.starts), &capacity);
		if (!lines.starts)
			return -1;
		if (at >= text + end) {
			lines.starts[lines.count] = text + end;
			*ret_lines = lines;
			return 0;
		}
		lines.starts[lines.count++] = at;
	}
}

static int same(const struct lines *a, size_t i, const struct lines *b, size_t j)
{
	size_t length = (size_t)(a->starts[i + 1] - a->starts[i]);
	return length == (size_t)(b->starts[j + 1] - b->starts[j]) && memcmp(a->starts[i], b->starts[j], length) == 0;
}

static char *add(struct arena *arena, char *text, char mark, const struct lines *lines, size_t from, size_t to)
{
	for (size_t i = from; text && i < to; i++) {
		size_t length = strcspn(lines->starts[i], "\n");
		text = arena_printf(arena, "%s%c%.*s\n", text, mark, (int)length, lines->starts[i]);
	}
	return text;
}

char *line_diff(struct arena *arena, const char *name, const char *before, const char *after)
{
	struct lines a, b;
	size_t head = 0, tail = 0;
	if (strcmp(before, after) == 0)
		return arena_strdup(arena, "");
	if (split(arena, before, &a) < 0 || split(arena, after, &b) < 0)
		return NULL;
	while (head < a.count && head < b.count && same(&a, head, &b, head))
		head++;
	while (tail < a.count - head && tail < b.count - head && same(&a, a.count - 1 - tail, &b, b.count - 1 - tail))
		tail++;
	size_t first = head > CONTEXT ? head - CONTEXT : 0, behind = tail > CONTEXT ? CONTEXT : tail;
	size_t old_count = a.count - tail + behind - first, new_count = b.count - tail + behind - first;
	char *text = arena_printf(arena, "--- %s\n+++ %s\n@@ -%zu,%zu +%zu,%zu @@\n", name, name, old_count ? first + 1 : 0,
				  old_count, new_count ? first + 1 : 0, new_count);
	text = text ? add(arena, text, ' ', &a, first, head) : NULL;
	text = text ? add(arena, text, '-', &a, head, a.count - tail) : NULL;
	text = text ? add(arena, text, '+', &b, head, b.count - tail) : NULL;
	return text ? add(arena, text, ' ', &a, a.count - tail, a.count - tail + behind) : NULL;
}
