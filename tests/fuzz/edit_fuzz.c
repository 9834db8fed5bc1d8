/* Hostile text, paths and values for the editor. The first two lines of the
 * input are a path (names separated by spaces) and a value; the rest is the
 * file. A result must parse, and removing what was added must be possible. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../rules/text/doc.h"
#include "../../rules/text/edit.h"

#define NAMES_MOST 20

static char *next_line(char **text)
{
	char *line = *text, *feed = strchr(line, '\n');
	*text = feed ? feed + 1 : line + strlen(line);
	if (feed)
		*feed = '\0';
	return line;
}

static void check(struct arena *arena, int r, const char *text)
{
	struct diag_list diags;
	struct doc_node *root;
	diag_init(&diags, arena);
	if (r == -ENOMEM || (r == 0 && (doc_parse(arena, "f", text, strlen(text), &diags, &root) < 0 || diags.errors)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_arena struct arena *arena = arena_new();
	char *rest = arena_strndup(arena, (const char *)data, size), *line = next_line(&rest),
	     *value = next_line(&rest), *after;
	const char *path[NAMES_MOST + 1] = {NULL};
	for (size_t i = 0; i < NAMES_MOST && line; i++)
		path[i] = strsep(&line, " ");
	struct diag_list diags;
	struct edit_text in = {.file = "f", .text = rest, .length = strlen(rest)};
	diag_init(&diags, arena);
	check(arena, edit_set(&in, path, value, arena, &diags, &after), after);
	check(arena, edit_remove(&in, path, arena, &diags, &after), after);
	check(arena, edit_append(&in, path, NULL, value, arena, &diags, &after), after);
	check(arena, edit_append(&in, path, "[0]", value, arena, &diags, &after), after);
	int r = edit_add(&in, path, value, arena, &diags, &after);
	check(arena, r, after);
	if (r == 0) {
		struct edit_text again = {.file = "f", .text = after, .length = strlen(after)};
		check(arena, edit_remove(&again, path, arena, &diags, &after), after);
	}
	return 0;
}
