/* Hostile configurations: files and blocklists, cut from one input at lines
 * "%%%". Whatever loads must print, load again and print the same. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../rules/model/model.h"

#define FILES_MOST 4 /* edged.yaml, conf.d/a.yaml, and two blocklists */

static const char separator[] = "\n%%%\n";
static const char *const names[FILES_MOST] = {"edged.yaml", "conf.d/a.yaml", "blocklists/abuse.txt", "b.txt"};

struct input {
	struct source_file files[FILES_MOST];
	size_t count;
};

static struct input cut(const uint8_t *data, size_t size)
{
	struct input input = {0};
	const char *text = (const char *)data, *end = text + size;
	while (input.count < FILES_MOST) {
		const char *stop =
			input.count < FILES_MOST - 1 ? memmem(text, (size_t)(end - text), separator, 5) : NULL;
		size_t length = (size_t)((stop ? stop : end) - text);
		input.files[input.count] = (struct source_file){names[input.count], text, length, NULL};
		input.count++;
		if (!stop)
			break;
		text = stop + 5;
	}
	return input;
}

static int open_file(void *context, const char *name, struct source_file *ret_file)
{
	const struct input *input = context;
	for (size_t i = 2; i < FILES_MOST; i++) {
		if (strcmp(name, names[i]) == 0) {
			*ret_file =
				i < input->count ? input->files[i] : (struct source_file){names[i], "192.0.2.1\n", 10, NULL};
			return 0;
		}
	}
	return name[0] == '/' ? -EINVAL : -ENOENT;
}

static struct model *load(const struct source_file *files, size_t count, struct input *input,
			  const struct model *previous, struct arena *arena)
{
	struct diag_list diags;
	struct model *model = NULL;
	diag_init(&diags, arena);
	struct source_set sources = {.main = files, .main_count = count, .open = open_file, .context = input};
	int r = model_load(&sources, previous, &diags, &model);
	if ((r == 0) != (diags.errors == 0) || (r == 0) != (model != NULL) || (r != 0 && r != -EINVAL))
		abort();
	for (size_t i = 0; i < diags.count; i++)
		diag_format(arena, &diags.items[i]);
	return model;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = cut(data, size);
	cleanup_arena struct arena *arena = arena_new();
	cleanup_model struct model *again = NULL;
	cleanup_model struct model *model = load(input.files, input.count < 2 ? input.count : 2, &input, NULL, arena);
	if (!model)
		return 0;
	char *printed = model_print(model, arena);
	const struct source_file file = {"printed.yaml", printed, strlen(printed), NULL};
	again = load(&file, 1, &input, model, arena);
	if (!again || strcmp(model_print(again, arena), printed) != 0)
		abort();
	return 0;
}
