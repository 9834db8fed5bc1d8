/* Wire: typed, length-bounded fields in a byte buffer, for messages between
 * roles. A writer grows its buffer; a reader never reads past the end: after
 * the first wrong field it stays bad and returns zeros, so that a decoder
 * checks once, at the end. Each field carries its type. */
#pragma once

#include "../rules/base/addr.h"
#include "../rules/base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_writer {
	uint8_t *data; /* owned; free with wire_writer_free */
	size_t length, capacity;
	bool failed; /* out of memory */
};

struct wire_reader {
	const uint8_t *data; /* not owned */
	size_t length, at;
	bool failed;
};

void wire_writer_free(struct wire_writer *writer);
#define cleanup_wire __attribute__((cleanup(wire_writer_free)))

void wire_put_u32(struct wire_writer *writer, uint32_t value);
void wire_put_u64(struct wire_writer *writer, uint64_t value);
void wire_put_bytes(struct wire_writer *writer, const void *data, size_t length);
/* NULL is kept as NULL. */
void wire_put_text(struct wire_writer *writer, const char *text);
void wire_put_addr(struct wire_writer *writer, const struct addr *addr);

uint32_t wire_get_u32(struct wire_reader *reader);
/* As get_u32, but bad when above most. For counts and enums. */
uint32_t wire_get_bounded(struct wire_reader *reader, uint32_t most);
uint64_t wire_get_u64(struct wire_reader *reader);
/* Points into the reader's data. */
const void *wire_get_bytes(struct wire_reader *reader, size_t most, size_t *ret_length);
/* A terminated copy in arena; NULL when it was NULL or bad; bad when longer than most or with a NUL inside. */
char *wire_get_text(struct wire_reader *reader, struct arena *arena, size_t most);
struct addr wire_get_addr(struct wire_reader *reader);
/* 0 when every field was right and nothing is left; else -EBADMSG. */
int wire_finish(const struct wire_reader *reader);
