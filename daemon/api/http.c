/* The HTTP/1.1 request parser (RFC 9112, RFC 9110). It reads bytes that any
 * local user or network neighbour may have made up, allocates nothing, and
 * never looks behind the length it is given. */
#include "http.h"

#include <string.h>
#include <strings.h>

#define CHUNK_LINE_MAX 256
#define TRAILER_MAX 4096

/* A piece of the input, not terminated. */
struct slice {
	const char *at;
	size_t length;
};

/* What the fields have said so far. */
struct fields {
	size_t count;
	bool host, length_seen, chunked, close, keep_alive;
	uint64_t length;
};

static bool is_token(char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

static bool is_visible(char c)
{
	return c > 0x20 && c < 0x7f;
}

static bool equals(struct slice slice, const char *word)
{
	return slice.length == strlen(word) && !strncasecmp(slice.at, word, slice.length);
}

static struct slice trim(struct slice slice)
{
	while (slice.length && (*slice.at == ' ' || *slice.at == '\t')) {
		slice.at++;
		slice.length--;
	}
	while (slice.length && (slice.at[slice.length - 1] == ' ' || slice.at[slice.length - 1] == '\t'))
		slice.length--;
	return slice;
}

/* The line at the start of data without its CRLF. Bytes taken, 0: not complete, -400: a bare CR or LF, or a NUL. */
static int take_line(const char *data, size_t length, struct slice *ret_line)
{
	for (size_t i = 0; i < length; i++) {
		if (data[i] == '\n' || data[i] == '\0')
			return -400;
		if (data[i] != '\r')
			continue;
		if (i + 1 == length)
			return 0;
		if (data[i + 1] != '\n')
			return -400;
		*ret_line = (struct slice){data, i};
		return (int)(i + 2);
	}
	return 0;
}

/* absolute-form (RFC 9112 3.2.2): what stands behind the authority. */
static struct slice origin_form(struct slice target)
{
	size_t scheme = 0;
	if (target.length >= 7 && !strncasecmp(target.at, "http://", 7))
		scheme = 7;
	else if (target.length >= 8 && !strncasecmp(target.at, "https://", 8))
		scheme = 8;
	if (!scheme)
		return target;
	const char *slash = memchr(target.at + scheme, '/', target.length - scheme);
	if (!slash)
		return (struct slice){"/", 1};
	return (struct slice){slash, target.length - (size_t)(slash - target.at)};
}

static int parse_version(struct slice version, bool *ret_keep_alive)
{
	if (version.length != 8 || memcmp(version.at, "HTTP/", 5) || version.at[6] != '.')
		return -400;
	if (version.at[5] != '1' || (version.at[7] != '0' && version.at[7] != '1'))
		return -505;
	*ret_keep_alive = version.at[7] == '1';
	return 0;
}

static int parse_request_line(struct slice line, struct http_head *head)
{
	const char *first = memchr(line.at, ' ', line.length);
	if (!first)
		return -400;
	struct slice method = {line.at, (size_t)(first - line.at)};
	struct slice target = {first + 1, line.length - method.length - 1};
	const char *second = memchr(target.at, ' ', target.length);
	if (!second)
		return -400;
	struct slice version = {second + 1, target.length - (size_t)(second - target.at) - 1};
	target.length = (size_t)(second - target.at);

	if (!method.length)
		return -400;
	for (size_t i = 0; i < method.length; i++)
		if (!is_token(method.at[i]))
			return -400;
	for (size_t i = 0; i < target.length; i++)
		if (!is_visible(target.at[i]))
			return -400;
	int error = parse_version(version, &head->keep_alive);
	if (error)
		return error;
	if (method.length > HTTP_METHOD_MAX)
		return -501;
	target = origin_form(target);
	if (target.length > HTTP_TARGET_MAX)
		return -414;
	if (!target.length || *target.at != '/')
		return -400;
	memcpy(head->method, method.at, method.length);
	memcpy(head->target, target.at, target.length);
	return 0;
}

/* Digits only: no sign, no list, no space inside. */
static int parse_length(struct slice value, uint64_t *ret_length)
{
	uint64_t length = 0;
	if (!value.length || value.length > 18)
		return -400;
	for (size_t i = 0; i < value.length; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return -400;
		length = length * 10 + (uint64_t)(value.at[i] - '0');
	}
	*ret_length = length;
	return 0;
}

static void parse_connection(struct slice value, struct fields *fields)
{
	while (value.length) {
		const char *comma = memchr(value.at, ',', value.length);
		size_t length = comma ? (size_t)(comma - value.at) : value.length;
		struct slice word = trim((struct slice){value.at, length});
		if (equals(word, "close"))
			fields->close = true;
		if (equals(word, "keep-alive"))
			fields->keep_alive = true;
		length += comma ? 1 : 0;
		value = (struct slice){value.at + length, value.length - length};
	}
}

static int parse_field(struct slice line, struct http_head *head, struct fields *fields)
{
	if (++fields->count > HTTP_FIELDS_MAX)
		return -431;
	const char *colon = memchr(line.at, ':', line.length);
	if (!colon || colon == line.at)
		return -400;
	struct slice name = {line.at, (size_t)(colon - line.at)};
	/* This also refuses folded lines and space in front of the colon. */
	for (size_t i = 0; i < name.length; i++)
		if (!is_token(name.at[i]))
			return -400;
	struct slice value = trim((struct slice){colon + 1, line.length - name.length - 1});
	for (size_t i = 0; i < value.length; i++)
		if (((unsigned char)value.at[i] < 0x20 && value.at[i] != '\t') || value.at[i] == 0x7f)
			return -400;

	if (equals(name, "host")) {
		if (fields->host)
			return -400;
		fields->host = true;
	} else if (equals(name, "content-length")) {
		if (fields->length_seen)
			return -400;
		fields->length_seen = true;
		return parse_length(value, &fields->length);
	} else if (equals(name, "transfer-encoding")) {
		if (fields->chunked || !equals(value, "chunked"))
			return -501;
		fields->chunked = true;
	} else if (equals(name, "connection")) {
		parse_connection(value, fields);
	} else if (equals(name, "expect")) {
		if (!equals(value, "100-continue"))
			return -417;
		head->expect_continue = true;
	} else if (equals(name, "origin")) {
		head->has_origin = true;
	}
	return 0;
}

/* What the fields mean together. */
static int finish_head(struct http_head *head, const struct fields *fields)
{
	bool version_1_1 = head->keep_alive;
	if (version_1_1 && !fields->host)
		return -400;
	/* Both, or chunks in HTTP/1.0: the two ways to smuggle a request. */
	if (fields->chunked && (fields->length_seen || !version_1_1))
		return -400;
	head->keep_alive = !fields->close && (version_1_1 || fields->keep_alive);
	if (!version_1_1)
		head->expect_continue = false;
	if (fields->chunked) {
		head->body = HTTP_BODY_CHUNKED;
	} else if (fields->length) {
		head->body = HTTP_BODY_LENGTH;
		head->length = fields->length;
	}
	return 0;
}

static int parse_lines(const char *data, size_t length, struct http_head *head)
{
	struct fields fields = {0};
	size_t at = 0;
	/* One empty line in front is forgiven (RFC 9112 2.2). */
	if (length >= 2 && !memcmp(data, "\r\n", 2))
		at = 2;
	for (bool first = true;; first = false) {
		struct slice line;
		int taken = take_line(data + at, length - at, &line);
		if (taken <= 0)
			return taken;
		at += (size_t)taken;
		int error = 0;
		if (first)
			error = parse_request_line(line, head);
		else if (!line.length)
			error = finish_head(head, &fields);
		else
			error = parse_field(line, head, &fields);
		if (error || (!first && !line.length))
			return error ? error : (int)at;
	}
}

int http_parse_head(const char *data, size_t length, struct http_head *ret_head)
{
	struct http_head head = {0};
	int taken = parse_lines(data, length < HTTP_HEAD_MAX ? length : HTTP_HEAD_MAX, &head);
	if (taken == 0 && length >= HTTP_HEAD_MAX)
		return -431;
	if (taken > 0)
		*ret_head = head;
	return taken;
}

/* "1a2b" or "1a2b;extension" */
static int parse_chunk_size(struct slice line, uint64_t *ret_size)
{
	uint64_t size = 0;
	size_t digits = 0;
	for (; digits < line.length; digits++) {
		char c = line.at[digits];
		uint64_t digit;
		if (c >= '0' && c <= '9')
			digit = (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (uint64_t)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			digit = (uint64_t)(c - 'A') + 10;
		else
			break;
		if (digits >= 15)
			return -400;
		size = size * 16 + digit;
	}
	if (!digits || (digits < line.length && line.at[digits] != ';'))
		return -400;
	*ret_size = size;
	return 0;
}

static int take_chunk_line(struct http_chunks *chunks, const char *data, size_t length, size_t *ret_used)
{
	struct slice line;
	size_t most = chunks->state == CHUNK_TRAILER ? TRAILER_MAX : CHUNK_LINE_MAX;
	int taken = take_line(data, length < most ? length : most, &line);
	if (taken == 0 && length >= most)
		return -400;
	if (taken <= 0)
		return taken;
	*ret_used = (size_t)taken;
	if (chunks->state == CHUNK_SIZE) {
		int error = parse_chunk_size(line, &chunks->left);
		if (error)
			return error;
		chunks->state = chunks->left ? CHUNK_DATA : CHUNK_TRAILER;
		return 0;
	}
	if (chunks->state == CHUNK_DATA_END) {
		chunks->state = CHUNK_SIZE;
		return line.length ? -400 : 0;
	}
	chunks->trailer += (size_t)taken;
	if (chunks->trailer > TRAILER_MAX)
		return -400;
	if (line.length)
		return 0;
	chunks->state = CHUNK_DONE;
	return 1;
}

int http_chunks_take(struct http_chunks *chunks, const char *data, size_t length, size_t *ret_used,
		     const char **ret_body, size_t *ret_body_length)
{
	*ret_used = 0;
	*ret_body = data;
	*ret_body_length = 0;
	if (chunks->state == CHUNK_DONE)
		return 1;
	if (chunks->state != CHUNK_DATA)
		return take_chunk_line(chunks, data, length, ret_used);
	size_t take = length < chunks->left ? length : (size_t)chunks->left;
	chunks->left -= take;
	if (!chunks->left)
		chunks->state = CHUNK_DATA_END;
	*ret_used = *ret_body_length = take;
	return 0;
}

const char *http_reason(unsigned int status)
{
	static const struct {
		unsigned int status;
		const char *reason;
	} reasons[] = {
		{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"}, {400, "Bad Request"},
		{403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"},
		{409, "Conflict"}, {413, "Content Too Large"}, {414, "URI Too Long"}, {417, "Expectation Failed"},
		{422, "Unprocessable Content"}, {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"},
		{503, "Service Unavailable"}, {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
	};
	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}
