/* Diagnostics: what is wrong with an input, as records with a place. Pure code
 * returns these and never logs.
 *
 * The printed form is fixed: "file:line:column: path: text". */
#pragma once

#include "arena.h"

#include <stdbool.h>
#include <stdint.h>

/* A place in an input file; file is NULL when the thing came from no file.
 * line and column count from 1 (column in bytes); 0 means the whole file. */
struct origin {
	const char *file;
	uint32_t line;
	uint32_t column;
};

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

struct diag {
	enum diag_severity severity;
	struct origin at;
	const char *path; /* "pools.ingress.nodes"; NULL or "" when there is none */
	const char *text; /* what is wrong (what would be right) */
};

/* Kept in one arena; a list stops growing at DIAG_MOST records and then counts
 * the rest in dropped. */
#define DIAG_MOST 1000

struct diag_list {
	struct arena *arena; /* not owned */
	struct diag *items;
	size_t count, capacity;
	size_t errors, warnings; /* all, dropped ones included */
	size_t dropped;
};

void diag_init(struct diag_list *list, struct arena *arena);
/* Add a record; strings are copied. Never fails: out of memory still counts. */
void diag_add(struct diag_list *list, enum diag_severity severity, struct origin at, const char *path,
	      const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Sort by file, line, column; stable. */
void diag_sort(struct diag_list *list);
/* "file:line:column: path: text", with "warning: " before the text of a
 * warning; control characters in it are escaped. */
char *diag_format(struct arena *arena, const struct diag *diag);
