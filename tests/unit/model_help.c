/* Loading models in tests: no file is opened by the model itself, it asks for
 * each by its name. Diagnostics come as one text, so that a test compares what
 * a person would read. */
#include "model_help.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int open_file(void *context, const char *name, struct source_file *ret_file)
{
	const struct test_files *files = context;
	if (name[0] == '/' || strstr(name, ".."))
		return -EINVAL;
	for (size_t i = files->main; i < files->count; i++) {
		if (strcmp(files->files[i].name, name) == 0) {
			*ret_file = files->files[i];
			return 0;
		}
	}
	return -ENOENT;
}

int test_load(struct arena *arena, const struct test_files *files, const struct model *previous, char **ret_text,
	      struct model **ret_model)
{
	struct diag_list diags;
	diag_init(&diags, arena);
	struct test_files context = *files;
	struct source_set sources = {
		.main = files->files, .main_count = files->main, .open = open_file, .context = &context};
	int r = model_load(&sources, previous, &diags, ret_model);
	char *text = arena_strdup(arena, "");
	for (size_t i = 0; i < diags.count; i++)
		text = arena_printf(arena, "%s%s\n", text, diag_format(arena, &diags.items[i]));
	*ret_text = text;
	return r;
}

int test_load_text(struct arena *arena, const char *text, char **ret_text, struct model **ret_model)
{
	const struct source_file file = {.name = "f.yaml", .text = text, .length = strlen(text)};
	return test_load(arena, &(struct test_files){.files = &file, .main = 1, .count = 1}, NULL, ret_text, ret_model);
}

char *test_read_file(struct arena *arena, const char *path, size_t *ret_length)
{
	FILE *file = fopen(path, "re");
	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	char *text = arena_alloc(arena, 1 << 20);
	*ret_length = fread(text, 1, (1 << 20) - 1, file);
	fclose(file);
	return text;
}

int test_load_example(struct arena *arena, char **ret_text, struct model **ret_model)
{
	struct source_file files[] = {{.name = "edged.yaml"}, {.name = "blocklists/abuse.txt"}};
	files[0].text = test_read_file(arena, "examples/edged.yaml", &files[0].length);
	files[1].text = test_read_file(arena, "examples/blocklists/abuse.txt", &files[1].length);
	return test_load(arena, &(struct test_files){.files = files, .main = 1, .count = 2}, NULL, ret_text, ret_model);
}
