/* What was probably meant: the nearest known name, or the known ones. Only runs
 * when something is wrong; never decides anything. */
#include <stdlib.h>
#include <string.h>

#include "../text/bytes.h"
#include "reader.h"

#define LIST_MOST 8      /* known names that are listed in full */
#define COMPARE_MAX 40   /* longer words are not compared */
#define COMPARED_ERRORS 50u /* with more errors than these, nearest names are no longer searched */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;
	return least < c ? least : c;
}

/* Edit distance with swaps of neighbours (optimal string alignment). */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	unsigned rows[3][COMPARE_MAX + 1];
	for (unsigned j = 0; j <= b_length; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= a_length; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
		row[0] = i;
		for (unsigned j = 1; j <= b_length; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
	}
	return rows[a_length % 3][b_length];
}

struct nearest {
	const char *wrong;
	size_t length;
	const char *name; /* NULL: none is near */
	unsigned distance;
};

static struct nearest nearest_to(const char *wrong)
{
	size_t length = strlen(wrong);
	/* One slip in three characters is still the same word; one in a word of two is another word. */
	return (struct nearest){.wrong = wrong, .length = length, .distance = 1 + (unsigned)(length > 9 ? 3 : length / 3)};
}

static void consider(struct nearest *nearest, const char *name)
{
	size_t length = strlen(name);
	size_t longer = length > nearest->length ? length - nearest->length : nearest->length - length;
	if (length > COMPARE_MAX || nearest->length > COMPARE_MAX || longer >= nearest->distance)
		return;
	unsigned d = distance(nearest->wrong, nearest->length, name, length);
	if (d < nearest->distance) {
		nearest->distance = d;
		nearest->name = name;
	}
}

/* An entry whose name could not be read has none. */
static const char *name_at(const struct name_list *list, size_t i)
{
	const char *name = *(const char *const *)(const void *)((const char *)list->items + i * list->stride + list->offset);
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
		consider(&nearest, name_at(list, i));
	if (nearest.name)
		return or_empty(arena_printf(reader->scratch, "(did you mean \"%s\"? %zu are known)", nearest.name, list->count));
	return or_empty(arena_printf(reader->scratch, "(known: %s and %zu more)", join(reader, list), list->count - LIST_MOST));
}

const char *suggest_key(struct reader *reader, const char *wrong, const struct section *section)
{
	struct nearest nearest = nearest_to(wrong);
	const char *all = NULL;
	for (const struct key *key = section->keys; key->name; key++) {
		consider(&nearest, key->name);
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
		consider(&nearest, *words);
		all = all ? arena_printf(reader->scratch, "%s, %s", all, *words) : *words;
		if (!all)
			return "";
	}
	if (nearest.name)
		return or_empty(arena_printf(reader->scratch, "(%s; did you mean \"%s\"?)", all, nearest.name));
	return or_empty(arena_printf(reader->scratch, "(%s)", all));
}
