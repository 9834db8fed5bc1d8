/* Typed fields in byte buffers. Owns the writer's buffer; knows no message.
 * A reader takes whatever bytes it is given and never reads behind them: what
 * another role sends is hostile. */
#include "wire.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum tag { TAG_U32 = 1, TAG_U64, TAG_BYTES, TAG_NULL, TAG_ADDR };

void wire_writer_free(struct wire_writer *writer)
{
	free(writer->data);
	*writer = (struct wire_writer){0};
}

static void put(struct wire_writer *writer, enum tag tag, const void *data, size_t length)
{
	if (writer->failed)
		return;
	size_t needed = writer->length + 1 + length;
	if (needed > writer->capacity) {
		size_t capacity = writer->capacity ? writer->capacity : 256;
		while (capacity < needed)
			capacity *= 2;
		uint8_t *grown = realloc(writer->data, capacity);
		if (!grown) {
			writer->failed = true;
			return;
		}
		writer->data = grown;
		writer->capacity = capacity;
	}
	writer->data[writer->length++] = (uint8_t)tag;
	if (length)
		memcpy(writer->data + writer->length, data, length);
	writer->length += length;
}

void wire_put_u32(struct wire_writer *writer, uint32_t value)
{
	uint32_t big = htobe32(value);
	put(writer, TAG_U32, &big, sizeof(big));
}

void wire_put_u64(struct wire_writer *writer, uint64_t value)
{
	uint64_t big = htobe64(value);
	put(writer, TAG_U64, &big, sizeof(big));
}

void wire_put_bytes(struct wire_writer *writer, const void *data, size_t length)
{
	if (length > UINT32_MAX) {
		writer->failed = true;
		return;
	}
	uint32_t big = htobe32((uint32_t)length);
	put(writer, TAG_BYTES, &big, sizeof(big));
	if (writer->failed)
		return;
	/* The payload follows without a tag of its own: take the tag byte back. */
	size_t start = writer->length;
	put(writer, TAG_BYTES, data, length);
	if (writer->failed)
		return;
	memmove(writer->data + start, writer->data + start + 1, length);
	writer->length--;
}

void wire_put_text(struct wire_writer *writer, const char *text)
{
	if (text)
		wire_put_bytes(writer, text, strlen(text));
	else
		put(writer, TAG_NULL, NULL, 0);
}

void wire_put_addr(struct wire_writer *writer, const struct addr *addr)
{
	uint8_t data[17] = {(uint8_t)addr->family};
	memcpy(data + 1, addr->bytes, sizeof(addr->bytes));
	put(writer, TAG_ADDR, data, sizeof(data));
}

/* The next length bytes behind a tag; NULL when they are not there. */
static const uint8_t *take(struct wire_reader *reader, enum tag tag, size_t length)
{
	if (reader->failed || reader->length - reader->at < 1 || reader->data[reader->at] != tag ||
	    reader->length - reader->at - 1 < length) {
		reader->failed = true;
		return NULL;
	}
	const uint8_t *data = reader->data + reader->at + 1;
	reader->at += 1 + length;
	return data;
}

uint32_t wire_get_u32(struct wire_reader *reader)
{
	const uint8_t *data = take(reader, TAG_U32, 4);
	uint32_t big = 0;
	if (data)
		memcpy(&big, data, sizeof(big));
	return be32toh(big);
}

uint32_t wire_get_bounded(struct wire_reader *reader, uint32_t most)
{
	uint32_t value = wire_get_u32(reader);
	if (value <= most)
		return value;
	reader->failed = true;
	return 0;
}

uint64_t wire_get_u64(struct wire_reader *reader)
{
	const uint8_t *data = take(reader, TAG_U64, 8);
	uint64_t big = 0;
	if (data)
		memcpy(&big, data, sizeof(big));
	return be64toh(big);
}

const void *wire_get_bytes(struct wire_reader *reader, size_t most, size_t *ret_length)
{
	const uint8_t *head = take(reader, TAG_BYTES, 4);
	if (!head)
		return NULL;
	uint32_t big;
	memcpy(&big, head, sizeof(big));
	size_t length = be32toh(big);
	if (length > most || reader->length - reader->at < length) {
		reader->failed = true;
		return NULL;
	}
	const uint8_t *data = reader->data + reader->at;
	reader->at += length;
	*ret_length = length;
	return data;
}

char *wire_get_text(struct wire_reader *reader, struct arena *arena, size_t most)
{
	if (!reader->failed && reader->at < reader->length && reader->data[reader->at] == TAG_NULL) {
		reader->at++;
		return NULL;
	}
	size_t length;
	const char *data = wire_get_bytes(reader, most, &length);
	if (!data)
		return NULL;
	char *text = memchr(data, '\0', length) ? NULL : arena_strndup(arena, data, length);
	if (!text)
		reader->failed = true;
	return text;
}

struct addr wire_get_addr(struct wire_reader *reader)
{
	struct addr addr = {0};
	const uint8_t *data = take(reader, TAG_ADDR, 17);
	if (!data)
		return addr;
	if (data[0] != FAMILY_NONE && data[0] != FAMILY_V4 && data[0] != FAMILY_V6) {
		reader->failed = true;
		return addr;
	}
	addr.family = (enum family)data[0];
	memcpy(addr.bytes, data + 1, addr.family == FAMILY_NONE ? 0 : addr_size(addr.family));
	return addr;
}

int wire_finish(const struct wire_reader *reader)
{
	return reader->failed || reader->at != reader->length ? -EBADMSG : 0;
}
