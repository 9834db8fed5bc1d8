/* Completion of a command line: what could stand where the cursor is. */
#pragma once

#include "options.h"
#include "text.h"

enum complete_kind {
	COMPLETE_WORDS,     /* the candidates */
	COMPLETE_FILES,     /* names of files; no candidates */
	COMPLETE_FRAGMENTS, /* candidates that are not the whole word yet ("listen=") */
};

struct completion {
	enum complete_kind kind;
	struct candidate {
		const char *word, *help; /* help may be NULL */
	} *items;
	size_t count, capacity;
};

/* words: all behind "edgectl", the last one is being typed (it may be "").
 * fetch gives the names of a kind, for what is parsed so far. */
void complete_words(struct cli *cli, const char *const *words, size_t count,
		    struct word_list (*fetch)(struct cli *cli, const struct parsed *parsed, enum names kind),
		    struct completion *ret_completion);
