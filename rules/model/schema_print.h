/* The reference of all keys, as Markdown, from the schema tables. */
#pragma once

#include "../base/arena.h"

/* In arena; NULL when out of memory. */
char *schema_print(struct arena *arena);
