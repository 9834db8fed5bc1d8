/* Bytes: what a text file may hold, and where its characters lie. */
#pragma once

#include "../base/arena.h"

#include <stddef.h>
#include <stdint.h>

/* Check that text is UTF-8 without NULs, control characters, invisible ones and
 * those that change the direction of the text, a byte order mark
 * or line breaks other than LF and CR LF. 0, or -EINVAL with the offset of the
 * first byte that is wrong and a static sentence on what would be right. */
int bytes_check(const char *text, size_t length, size_t *ret_offset, const char **ret_why);

/* How many bytes of text to show in a message: at most 60, ending with a whole character. */
int bytes_shown(const char *text);

/* From the number of a character (as libyaml counts) to the offset of its byte,
 * and from an offset to line and column. Text must have passed bytes_check. */
struct bytes_index {
	const char *text;
	size_t length;
	uint32_t *marks;   /* offset of every 64th character; NULL when all are ASCII */
	size_t mark_count;
	size_t line_start; /* of the line looked at last */
	size_t scanned;    /* no line ends between line_start and here */
	uint32_t line;     /* its number, from 1 */
};

/* 0 or -ENOMEM. */
int bytes_index_init(struct bytes_index *index, struct arena *arena, const char *text, size_t length);
size_t bytes_offset(const struct bytes_index *index, size_t character);
/* Line and column (in bytes), both from 1. Cheap when offsets come in rising order. */
void bytes_place(struct bytes_index *index, size_t offset, uint32_t *ret_line, uint32_t *ret_column);
