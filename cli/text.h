/* Text for people: made safe for a terminal, measured, coloured, and numbers
 * and times in the form that people read. */
#pragma once

#include "../rules/base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum tone { TONE_PLAIN, TONE_GOOD, TONE_BAD, TONE_WARN, TONE_DIM, TONE_BOLD };

/* A copy in which every control character (C0, DEL, C1, the ones that turn
 * the direction of writing) and every byte that is not UTF-8 is escaped as
 * \xNN or \u{N}. NULL: out of memory. */
char *text_line(struct arena *arena, const char *text);
/* The same, but newlines, tabs and "\r\n" stay. */
char *text_block(struct arena *arena, const char *text);
/* Columns that safe UTF-8 text takes, one for each character. */
size_t text_width(const char *text);

/* Colour belongs on this stream: a terminal, without NO_COLOR, not TERM=dumb. */
bool text_wants_color(FILE *out);
/* The escape sequence that starts a tone, or "" without colour. */
const char *text_tone(bool color, enum tone tone);
/* The one that ends it. */
const char *text_plain(bool color, enum tone tone);

/* "42 s", "5 min", "3 h", "12 days". */
char *text_age(struct arena *arena, int64_t seconds);
/* "1.4 MiB". */
char *text_bytes(struct arena *arena, int64_t bytes);
/* RFC 3339 in UTC to seconds since the epoch; -EINVAL. */
int text_parse_time(const char *text, time_t *ret_time);
/* RFC 3339 in UTC as "2025-11-21 05:40:03"; anything else as it is. */
char *text_time(struct arena *arena, const char *rfc3339);

/* Words that are collected one by one, in an arena; they are not copied. */
struct word_list {
	const char **words;
	size_t count, capacity;
};
/* 0 or -ENOMEM. */
int word_list_add(struct arena *arena, struct word_list *list, const char *word);

/* The one of count words that a mistyped word was probably meant to be, or NULL. */
const char *text_nearest(const char *word, const char *const *words, size_t count);
