/* Loading models in tests: texts in memory, diagnostics as one text. */
#pragma once

#include "../../rules/model/model.h"

/* Files by name; the first `main` of them are YAML, the others are blocklists. */
struct test_files {
	const struct source_file *files;
	size_t main, count;
};

/* Load; *ret_text (in arena) has one line for each diagnostic. Returns model_load's result. */
int test_load(struct arena *arena, const struct test_files *files, const struct model *previous, char **ret_text,
	      struct model **ret_model);
/* The same for one text, called "f.yaml", without other files. */
int test_load_text(struct arena *arena, const char *text, char **ret_text, struct model **ret_model);
/* A whole file, terminated; fails the test when it cannot be read. */
char *test_read_file(struct arena *arena, const char *path, size_t *ret_length);
/* examples/edged.yaml with its blocklist. */
int test_load_example(struct arena *arena, char **ret_text, struct model **ret_model);
