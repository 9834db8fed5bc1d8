/* UTF-8 as RFC 3629 defines it. */
#pragma once

#include <stddef.h>

/* Bytes of the sequence at text, which is terminated: 1 to 4; 0 when it is none (or the end). */
size_t utf8_sequence(const char *text);
