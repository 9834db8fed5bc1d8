/* HTTP/1.1 requests as bytes: heads and chunked bodies. Pure: no sockets, no
 * memory of its own. Strict where RFC 9112 lets a server be: what two readers
 * could understand differently is refused.
 *
 * libevent's evhttp (2.1) is not used: it has no hook between a request's head
 * and its body, so it cannot refuse one before reading 64 MiB of it, cannot
 * bound what all clients together make it hold, and its time-outs start anew
 * with every byte of a slow client. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 16384
#define HTTP_FIELDS_MAX 64
#define HTTP_METHOD_MAX 16
#define HTTP_TARGET_MAX 4096

enum http_body { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

struct http_head {
	char method[HTTP_METHOD_MAX + 1];
	char target[HTTP_TARGET_MAX + 1]; /* begins with '/'; visible ASCII */
	bool keep_alive;
	bool expect_continue;
	bool has_origin; /* a browser's page sent it */
	enum http_body body;
	uint64_t length; /* HTTP_BODY_LENGTH; above 0 */
};

/* Parse the head at the start of data. The number of bytes it takes (> 0), 0
 * when it is not complete yet, or minus the HTTP status that says what is
 * wrong: 400, 414, 417, 431, 501, 505. */
int http_parse_head(const char *data, size_t length, struct http_head *ret_head);

enum http_chunk_state { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER, CHUNK_DONE };

/* Zero-initialised before the first call. */
struct http_chunks {
	enum http_chunk_state state;
	uint64_t left;  /* of this chunk */
	size_t trailer; /* bytes of trailers so far */
};

/* Take one piece: *ret_used bytes are done with, of which *ret_body_length at
 * *ret_body belong to the body. 1 at the end of the body, 0 when more is
 * needed (call again while *ret_used > 0), or -400. */
int http_chunks_take(struct http_chunks *chunks, const char *data, size_t length, size_t *ret_used,
		     const char **ret_body, size_t *ret_body_length);

/* "Not Found"; "Status" for those that are not known. */
const char *http_reason(unsigned int status);
