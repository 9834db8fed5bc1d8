/* The unified diff of two revisions: files paired by name, lines by Myers'
 * O(ND) algorithm ("An O(ND) Difference Algorithm and Its Variations", 1986).
 * Beyond a bounded number of differences the rest counts as replaced. */
#include "history_diff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MOST (1u << 20)
#define LINES_MOST 20000
#define DIFFERENCES_MOST 1000
#define CONTEXT 3

struct line {
	const char *text;
	size_t length; /* without the newline */
	bool changed;  /* not on the other side */
};

struct side {
	const char *name;
	struct line *lines;
	size_t count;
	bool no_newline; /* at the end */
};

static bool lines_equal(const struct line *a, const struct line *b)
{
	return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/* False when the text is none that can be shown. */
static bool can_show(const struct source_file *file)
{
	if (!file)
		return true;
	size_t lines = 0;
	for (size_t i = 0; i < file->length && file->length <= TEXT_MOST; i++)
		lines += file->text[i] == '\n';
	return file->length <= TEXT_MOST && lines < LINES_MOST && !memchr(file->text, '\0', file->length);
}

static int split(const struct source_file *file, struct arena *arena, struct side *ret_side)
{
	struct side side = {.name = file ? file->name : "/dev/null"};
	size_t capacity = 0;
	for (size_t at = 0; file && at < file->length;) {
		const char *start = file->text + at, *end = memchr(start, '\n', file->length - at);
		size_t length = end ? (size_t)(end - start) : file->length - at;
		struct line *lines = arena_grow(arena, side.lines, side.count, sizeof(*lines), &capacity);
		if (!lines)
			return -ENOMEM;
		side.lines = lines;
		lines[side.count++] = (struct line){.text = start, .length = length};
		side.no_newline = !end;
		at += length + 1;
	}
	*ret_side = side;
	return 0;
}

/* The middles of two sides, after the common ends are cut off. */
struct middle {
	struct line *a, *b;
	int a_count, b_count;
};

/* Walk the found path backwards; trace[d] is the furthest-reaching front before round d. */
static void mark_path(const struct middle *middle, int *const *trace, int rounds)
{
	int x = middle->a_count, y = middle->b_count;
	for (int d = rounds; d > 0; d--) {
		const int *front = trace[d] + d; /* of the diagonals -d to d */
		int k = x - y;
		bool down = k == -d || (k != d && front[k - 1] < front[k + 1]);
		int before = down ? k + 1 : k - 1;
		int before_x = front[before], before_y = before_x - before;
		if (down)
			middle->b[before_y].changed = true;
		else
			middle->a[before_x].changed = true;
		x = before_x;
		y = before_y;
	}
}

static void mark_all(const struct middle *middle)
{
	for (int i = 0; i < middle->a_count; i++)
		middle->a[i].changed = true;
	for (int i = 0; i < middle->b_count; i++)
		middle->b[i].changed = true;
}

/* Mark what changed. 0 or -ENOMEM. */
static int find_path(const struct middle *middle, struct arena *arena)
{
	int most = middle->a_count + middle->b_count;
	if (most > DIFFERENCES_MOST)
		most = DIFFERENCES_MOST;
	/* front[k]: how far in a the path on diagonal k (x - y) reaches. */
	int *fronts = arena_array(arena, 2 * (size_t)most + 3, int), *front = fronts ? fronts + most + 1 : NULL;
	int **trace = arena_array(arena, (size_t)most + 1, int *);
	if (!front || !trace)
		return -ENOMEM;
	for (int d = 0; d <= most; d++) {
		trace[d] = arena_memdup(arena, front - d, (2 * (size_t)d + 1) * sizeof(int));
		if (!trace[d])
			return -ENOMEM;
		for (int k = -d; k <= d; k += 2) {
			bool down = k == -d || (k != d && front[k - 1] < front[k + 1]);
			int x = d == 0 ? 0 : down ? front[k + 1] : front[k - 1] + 1;
			int y = x - k;
			while (x < middle->a_count && y < middle->b_count && x >= 0 && y >= 0 &&
			       lines_equal(&middle->a[x], &middle->b[y])) {
				x++;
				y++;
			}
			front[k] = x;
			if (x >= middle->a_count && y >= middle->b_count) {
				mark_path(middle, trace, d);
				return 0;
			}
		}
	}
	mark_all(middle);
	return 0;
}

static int compare_sides(struct side *from, struct side *to, struct arena *arena)
{
	size_t start = 0, from_end = from->count, to_end = to->count;
	/* A last line that differs only in its newline differs. */
	if (from->no_newline != to->no_newline && from_end && to_end) {
		from->lines[--from_end].changed = true;
		to->lines[--to_end].changed = true;
	}
	while (start < from_end && start < to_end && lines_equal(&from->lines[start], &to->lines[start]))
		start++;
	while (from_end > start && to_end > start && lines_equal(&from->lines[from_end - 1], &to->lines[to_end - 1])) {
		from_end--;
		to_end--;
	}
	struct middle middle = {.a = from->lines + start,
				.b = to->lines + start,
				.a_count = (int)(from_end - start),
				.b_count = (int)(to_end - start)};
	return find_path(&middle, arena);
}

static void print_line(FILE *out, char sign, const struct side *side, size_t index)
{
	const struct line *line = &side->lines[index];
	fprintf(out, "%c%.*s\n", sign, (int)line->length, line->text);
	if (side->no_newline && index + 1 == side->count)
		fputs("\\ No newline at end of file\n", out);
}

/* A range as the format has it: an empty one is named by the line before it. */
static void print_range(FILE *out, char sign, size_t start, size_t count)
{
	fprintf(out, "%c%zu", sign, count ? start + 1 : start);
	if (count != 1)
		fprintf(out, ",%zu", count);
}

/* Where both sides stand, and how far a hunk goes. */
struct cursor {
	size_t a, b;
};

static bool changed_at(const struct side *from, const struct side *to, struct cursor at)
{
	return (at.a < from->count && from->lines[at.a].changed) || (at.b < to->count && to->lines[at.b].changed);
}

/* Behind the last change that is at most two contexts away from the one before it. */
static struct cursor hunk_end(const struct side *from, const struct side *to, struct cursor at)
{
	struct cursor end = at;
	for (size_t same = 0; at.a < from->count || at.b < to->count;) {
		if (changed_at(from, to, at)) {
			bool old = at.a < from->count && from->lines[at.a].changed;
			at.a += old;
			at.b += !old;
			end = at;
			same = 0;
		} else if (same++ < 2 * CONTEXT) {
			at.a++;
			at.b++;
		} else {
			break;
		}
	}
	return end;
}

static void print_hunk(FILE *out, const struct side *from, const struct side *to, struct cursor start, struct cursor end)
{
	size_t before = start.a < CONTEXT ? start.a : CONTEXT;
	size_t rest = from->count - end.a, after = rest < CONTEXT ? rest : CONTEXT;
	struct cursor at = {.a = start.a - before, .b = start.b - before};
	end.a += after;
	end.b += after;
	fputs("@@ ", out);
	print_range(out, '-', at.a, end.a - at.a);
	fputc(' ', out);
	print_range(out, '+', at.b, end.b - at.b);
	fputs(" @@\n", out);
	while (at.a < end.a || at.b < end.b) {
		if (at.a < end.a && from->lines[at.a].changed) {
			print_line(out, '-', from, at.a++);
		} else if (at.b < end.b && to->lines[at.b].changed) {
			print_line(out, '+', to, at.b++);
		} else {
			print_line(out, ' ', from, at.a++);
			at.b++;
		}
	}
}

static void print_sides(FILE *out, const struct side *from, const struct side *to)
{
	fprintf(out, "--- %s\n+++ %s\n", from->name, to->name);
	for (struct cursor at = {0, 0}; at.a < from->count || at.b < to->count;) {
		if (!changed_at(from, to, at)) {
			at.a++;
			at.b++;
			continue;
		}
		struct cursor end = hunk_end(from, to, at);
		print_hunk(out, from, to, at, end);
		at = end;
	}
}

/* from or to is NULL: the file came or went. */
static int diff_file(FILE *out, const struct source_file *from, const struct source_file *to)
{
	if (from && to && from->length == to->length && memcmp(from->text, to->text, from->length) == 0)
		return 0;
	if (!can_show(from) || !can_show(to)) {
		const struct source_file *file = from ? from : to;
		const char *what = from && to ? "differs" : from ? "is gone" : "is new";
		fprintf(out, "%s %s (not shown: too large, or no text)\n", file->name, what);
		return 0;
	}
	cleanup_arena struct arena *arena = arena_new();
	struct side old, new;
	int r = arena ? split(from, arena, &old) : -ENOMEM;
	if (r == 0)
		r = split(to, arena, &new);
	if (r == 0)
		r = compare_sides(&old, &new, arena);
	if (r == 0)
		print_sides(out, &old, &new);
	return r;
}

static const struct source_file *find(const struct source_file *files, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	}
	return NULL;
}

int history_diff(const struct source_file *from, size_t from_count, const struct source_file *to, size_t to_count,
		 struct arena *arena, const char **ret_text)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	if (!out)
		return -ENOMEM;
	int r = 0;
	for (size_t i = 0; i < from_count && r == 0; i++)
		r = diff_file(out, &from[i], find(to, to_count, from[i].name));
	for (size_t i = 0; i < to_count && r == 0; i++) {
		if (!find(from, from_count, to[i].name))
			r = diff_file(out, NULL, &to[i]);
	}
	if (fclose(out) != 0)
		r = -ENOMEM;
	const char *copy = r == 0 ? arena_strndup(arena, text, length) : NULL;
	free(text);
	if (!copy)
		return -ENOMEM;
	*ret_text = copy;
	return 0;
}
