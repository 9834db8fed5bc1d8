/* What the files of the printer share; nobody else includes this. */
#pragma once

#include "diff.h"

/* A growing text in an arena; after out of memory it stays failed. */
struct text {
	struct arena *arena;
	char *data;
	size_t length, capacity;
	bool failed;
};

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In double quotes; quotes, backslashes and control characters escaped. */
void text_add_quoted(struct text *text, const char *value);
/* The terminated text, or NULL when it failed. */
char *text_finish(struct text *text);

/* What a value means, for printing it. */
enum value_kind {
	VALUE_RAW,
	VALUE_IPV4,
	VALUE_IPV6,
	VALUE_PORT,
	VALUE_PROTOCOL,
	VALUE_FAMILY,
	VALUE_IFNAME,
	VALUE_MARK,
	VALUE_CT_STATE,
	VALUE_CT_STATUS,
	VALUE_DIRECTION,
	VALUE_ADDRTYPE,
	VALUE_PRESENT,
	VALUE_INTEGER, /* host order, four bytes */
};

/* prefix: only so many leading bits count; 0: all. */
void text_add_value(struct text *text, enum value_kind kind, const uint8_t *data, size_t length, unsigned prefix);
/* first to last, as a prefix where it is one. */
void text_add_range(struct text *text, enum value_kind kind, const uint8_t *first, const uint8_t *last, size_t length);
enum value_kind value_kind_of(enum field field);

void print_limit(struct text *text, const struct limit_spec *limit);
void print_duration(struct text *text, uint64_t ms);
/* One line, without indentation and newline. */
void print_rule(struct text *text, const struct rule_state *rule);
void print_element(struct text *text, const struct set *set, const struct element *element);
void print_set_head(struct text *text, const struct set *set, const char *separator);
void print_tunnel(struct text *text, const struct tunnel_state *tunnel);
/* What follows the step's name. */
void print_tunnel_step(struct text *text, const struct step *step);
void print_chain_head(struct text *text, const struct chain *chain);
