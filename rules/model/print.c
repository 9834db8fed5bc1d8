/* Printing a model as YAML that loads to the same model, along the schema, with
 * every default written out. Comments and order of keys are not kept. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

struct printer {
	struct arena *scratch; /* for one value at a time */
	char *text;            /* from malloc */
	size_t length, capacity;
};

static int put(struct printer *printer, const char *text)
{
	size_t length = strlen(text);
	if (!printer->text || printer->capacity - printer->length <= length) {
		size_t capacity = (printer->length + length) * 2 + 4096;
		char *grown = realloc(printer->text, capacity);
		if (!grown)
			return -ENOMEM;
		printer->text = grown;
		printer->capacity = capacity;
	}
	memcpy(printer->text + printer->length, text, length + 1);
	printer->length += length;
	return 0;
}

static int put_line(struct printer *printer, unsigned depth, const char *key, const char *value)
{
	static const char spaces[] = "                                ";
	int r = put(printer, spaces + sizeof(spaces) - 1 - depth * (size_t)2);
	if (r == 0)
		r = put(printer, key);
	if (r == 0)
		r = put(printer, ":");
	if (r == 0 && value)
		r = put(printer, " ");
	if (r == 0 && value)
		r = put(printer, value);
	return r == 0 ? put(printer, "\n") : r;
}

static int print_keys(struct printer *printer, const struct section *section, unsigned depth, const void *entry);

/* A part whose keys are all unset is left out: take the title back. */
static int print_part(struct printer *printer, const char *title, const struct section *section, unsigned depth,
		      const void *entry)
{
	size_t before = printer->length;
	int r = put_line(printer, depth, title, NULL);
	size_t empty = printer->length;
	if (r == 0)
		r = print_keys(printer, section, depth + 1, entry);
	if (r == 0 && printer->length == empty) {
		printer->length = before;
		printer->text[before] = '\0';
	}
	return r;
}

static int print_entries(struct printer *printer, const char *title, const struct section *section, unsigned depth,
			 const void *holder)
{
	const char *items = *(const char *const *)(const void *)((const char *)holder + section->offset);
	size_t count = *(const size_t *)(const void *)((const char *)holder + section->count_offset);
	int r = count ? put_line(printer, depth, title, NULL) : 0;
	for (size_t i = 0; i < count && r == 0; i++) {
		const char *entry = items + i * section->size;
		if (section->shape == SHAPE_NAMED) {
			const char *name = *(const char *const *)(const void *)(entry + section->name_offset);
			r = print_part(printer, name, section, depth + 1, entry);
		} else {
			size_t start = printer->length;
			r = print_keys(printer, section, depth + 2, entry);
			if (r == 0)
				memcpy(printer->text + start + (depth + 1) * (size_t)2, "- ", 2);
		}
	}
	return r;
}

static int print_key(struct printer *printer, const struct key *key, unsigned depth, const void *entry)
{
	if (key->section && key->section->shape == SHAPE_PART)
		return print_part(printer, key->name, key->section, depth, (const char *)entry + key->offset);
	if (key->section)
		return print_entries(printer, key->name, key->section, depth, (const char *)entry + key->offset);
	char *value;
	int r = key->type->print(printer->scratch, key, entry, &value);
	if (r < 0 || !value)
		return r;
	return put_line(printer, depth, key->name, value);
}

static int print_keys(struct printer *printer, const struct section *section, unsigned depth, const void *entry)
{
	if (section->present_offset != NO_OFFSET && !*(const bool *)((const char *)entry + section->present_offset))
		return 0;
	int r = 0;
	for (const struct key *key = section->keys; key->name && r == 0; key++)
		r = print_key(printer, key, depth, entry);
	return r;
}

char *model_print(const struct model *model, struct arena *arena)
{
	cleanup_arena struct arena *scratch = arena_new();
	if (!scratch)
		return NULL;
	struct printer printer = {.scratch = scratch};
	int r = print_keys(&printer, &schema_root, 0, model);
	char *text = r == 0 ? arena_strndup(arena, printer.text, printer.length) : NULL;
	free(printer.text);
	return text;
}
