/* Aligned plain tables. Usage: table_new, table_column for each, then for each
 * row table_cell once per column in order, table_print. All memory is the
 * command's arena. Cells are escaped here, so anything may be put in. */
#pragma once

#include "text.h"

struct cli;
struct table;

enum align { ALIGN_LEFT, ALIGN_RIGHT };

struct table *table_new(struct cli *cli);
void table_column(struct table *table, const char *title, enum align align);
/* The next cell, row by row; "" and NULL print as "-". */
void table_cell(struct table *table, enum tone tone, const char *text);
void table_cellf(struct table *table, enum tone tone, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A last row that is not full is filled with "-". Without rows only the line
 * "(" empty ")" is printed. */
void table_print(struct table *table, const char *empty);
