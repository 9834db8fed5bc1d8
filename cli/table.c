/* Tables: measures all rows first, then prints; a left-aligned last column is
 * not padded, so no line ends in blanks. */
#include "table.h"

#include "cli.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#define COLUMNS_MOST 20
#define GAP 2

struct cell {
	const char *text;
	size_t width;
	enum tone tone;
};

struct table {
	struct cli *cli;
	const char *titles[COLUMNS_MOST];
	enum align aligns[COLUMNS_MOST];
	size_t widths[COLUMNS_MOST];
	size_t columns;
	struct cell *cells;
	size_t count, capacity;
};

struct table *table_new(struct cli *cli)
{
	struct table *table = cli_need(arena_alloc(cli->arena, sizeof(*table)));
	table->cli = cli;
	return table;
}

void table_column(struct table *table, const char *title, enum align align)
{
	assert(table->columns < COLUMNS_MOST && !table->count);
	table->titles[table->columns] = title;
	table->aligns[table->columns] = align;
	table->widths[table->columns++] = text_width(title);
}

void table_cell(struct table *table, enum tone tone, const char *text)
{
	struct arena *arena = table->cli->arena;
	table->cells = cli_need(arena_grow(arena, table->cells, table->count, sizeof(*table->cells), &table->capacity));
	const char *safe = text && *text ? cli_need(text_line(arena, text)) : "-";
	struct cell cell = {.text = safe, .width = text_width(safe), .tone = tone};
	size_t *width = &table->widths[table->count % table->columns];
	if (cell.width > *width)
		*width = cell.width;
	table->cells[table->count++] = cell;
}

void table_cellf(struct table *table, enum tone tone, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *text = cli_need(arena_vprintf(table->cli->arena, format, args));
	va_end(args);
	table_cell(table, tone, text);
}

static void print_row(const struct table *table, const struct cell *row)
{
	FILE *out = table->cli->out;
	for (size_t i = 0; i < table->columns; i++) {
		bool last = i + 1 == table->columns;
		int pad = (int)(table->widths[i] - row[i].width);
		if (table->aligns[i] == ALIGN_RIGHT)
			fprintf(out, "%*s", pad, "");
		fprintf(out, "%s%s%s", text_tone(table->cli->color, row[i].tone), row[i].text,
			text_plain(table->cli->color, row[i].tone));
		if (!last)
			fprintf(out, "%*s", (table->aligns[i] == ALIGN_LEFT ? pad : 0) + GAP, "");
	}
	fputc('\n', out);
}

void table_print(struct table *table, const char *empty)
{
	struct cell titles[COLUMNS_MOST];
	if (!table->count) {
		cli_line(table->cli, "(%s)", empty);
		return;
	}
	while (table->count % table->columns)
		table_cell(table, TONE_PLAIN, NULL);
	for (size_t i = 0; i < table->columns; i++)
		titles[i] = (struct cell){table->titles[i], text_width(table->titles[i]), TONE_BOLD};
	print_row(table, titles);
	for (size_t i = 0; i < table->count; i += table->columns)
		print_row(table, table->cells + i);
}
