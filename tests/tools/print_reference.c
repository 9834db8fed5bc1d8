/* Print the configuration reference: what `make docs` puts into
 * docs/configuration.md. It takes nothing but the schema tables, so that the
 * page cannot say more than the reader does. */
#include <stdio.h>

#include "../../rules/model/schema_print.h"

int main(void)
{
	cleanup_arena struct arena *arena = arena_new();
	const char *text = arena ? schema_print(arena) : NULL;
	return !text || fputs(text, stdout) == EOF || fflush(stdout) == EOF;
}
