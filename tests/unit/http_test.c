/* The API's reading of HTTP requests and its route table: what is right, what
 * is wrong, and what comes in pieces. */
#include "../../daemon/api/http.h"
#include "../../daemon/api/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST "Host: x\r\n"

/* In an allocation of exactly its size, so that reading behind it is seen. */
static int parse_bytes(const char *text, size_t length, struct http_head *ret_head)
{
	char *copy = malloc(length ? length : 1);
	memcpy(copy, text, length);
	int taken = http_parse_head(copy, length, ret_head);
	free(copy);
	return taken;
}

static int parse(const char *text, struct http_head *ret_head)
{
	return parse_bytes(text, strlen(text), ret_head);
}

static int result(const char *text)
{
	struct http_head head;
	return parse(text, &head);
}

static void test_plain_request(void **context)
{
	(void)context;
	struct http_head head;
	const char text[] = "GET /v1/status?x=1 HTTP/1.1\r\nhOST: a\r\nAccept: */*\r\n\r\nrest";
	assert_int_equal(parse(text, &head), strlen(text) - 4);
	assert_string_equal(head.method, "GET");
	assert_string_equal(head.target, "/v1/status?x=1");
	assert_true(head.keep_alive);
	assert_int_equal(head.body, HTTP_BODY_NONE);
	assert_false(head.has_origin || head.expect_continue);
}

static void test_bodies(void **context)
{
	(void)context;
	struct http_head head;
	assert_true(parse("POST /a HTTP/1.1\r\n" HOST "Content-Length: 12\r\nExpect: 100-continue\r\n\r\n", &head) > 0);
	assert_int_equal(head.body, HTTP_BODY_LENGTH);
	assert_int_equal(head.length, 12);
	assert_true(head.expect_continue);
	assert_true(parse("POST /a HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", &head) > 0);
	assert_int_equal(head.body, HTTP_BODY_NONE);
	assert_true(parse("POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\nOrigin: x\r\n\r\n", &head) > 0);
	assert_int_equal(head.body, HTTP_BODY_CHUNKED);
	assert_true(head.has_origin);
}

static void test_keep_alive(void **context)
{
	(void)context;
	struct http_head head;
	assert_true(parse("GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n", &head) > 0);
	assert_false(head.keep_alive);
	assert_true(parse("GET / HTTP/1.0\r\n\r\n", &head) > 0);
	assert_false(head.keep_alive);
	assert_true(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n", &head) > 0);
	assert_true(head.keep_alive);
	assert_false(head.expect_continue);
}

static void test_absolute_form(void **context)
{
	(void)context;
	struct http_head head;
	assert_true(parse("GET http://edge/v1/nodes?a HTTP/1.1\r\n" HOST "\r\n", &head) > 0);
	assert_string_equal(head.target, "/v1/nodes?a");
	assert_true(parse("GET HTTPS://edge HTTP/1.1\r\n" HOST "\r\n", &head) > 0);
	assert_string_equal(head.target, "/");
}

static void test_wrong_requests(void **context)
{
	(void)context;
	static const struct {
		const char *text;
		int result;
	} cases[] = {
		{"\r\n\r\n", -400},
		{"GET\r\n\r\n", -400},
		{"GET /\r\n\r\n", -400},
		{"GET  / HTTP/1.1\r\n\r\n", -400},
		{"GET / HTTP/1.1 \r\n\r\n", -400},
		{"GET / HTTP/2.0\r\n\r\n", -505},
		{"GET / http/1.1\r\n\r\n", -400},
		{" GET / HTTP/1.1\r\n\r\n", -400},
		{"G(T / HTTP/1.1\r\n\r\n", -400},
		{"ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n" HOST "\r\n", -501},
		{"GET nothing HTTP/1.1\r\n" HOST "\r\n", -400},
		{"GET /\x01 HTTP/1.1\r\n" HOST "\r\n", -400},
		{"GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", -400},
		{"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", -400},
		{"GET / HTTP/1.1\r\n\r\n", -400},                                           /* no Host */
		{"GET / HTTP/1.1\r\n" HOST HOST "\r\n", -400},                             /* two */
		{"GET / HTTP/1.1\n" HOST "\r\n", -400},                                    /* a bare LF */
		{"GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n", -400},                       /* a bare CR */
		{"GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "nonsense\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "A: b\r\n folded\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "A: \x7f\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 1,1\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x10\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", -400},
		{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", -400},
		{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", -501},
		{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", -501},
		{"POST / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", -417},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (result(cases[i].text) != cases[i].result)
			fail_msg("%s gives %d", cases[i].text, result(cases[i].text));
	struct http_head head;
	assert_int_equal(parse_bytes("GET /\0 HTTP/1.1\r\n" HOST "\r\n", 28, &head), -400);
}

static void test_pieces(void **context)
{
	(void)context;
	const char text[] = "\r\nPOST /v1/apply HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n";
	struct http_head head;
	for (size_t length = 0; length < strlen(text); length++)
		assert_int_equal(parse_bytes(text, length, &head), 0);
	assert_int_equal(parse_bytes(text, strlen(text), &head), strlen(text));
}

static void test_limits(void **context)
{
	(void)context;
	char *text = malloc(HTTP_HEAD_MAX + 2000);
	struct http_head head;
	/* Endless: one long line, then many short ones. */
	memset(text, 'a', HTTP_HEAD_MAX + 2000);
	assert_int_equal(parse_bytes(text, HTTP_HEAD_MAX - 1, &head), 0);
	assert_int_equal(parse_bytes(text, HTTP_HEAD_MAX, &head), -431);
	size_t length = (size_t)sprintf(text, "GET / HTTP/1.1\r\n");
	for (int i = 0; i < HTTP_FIELDS_MAX + 1; i++)
		length += (size_t)sprintf(text + length, "A: b\r\n");
	assert_int_equal(parse_bytes(text, length, &head), -431);
	length = (size_t)sprintf(text, "GET /");
	memset(text + length, 'x', HTTP_TARGET_MAX);
	length += HTTP_TARGET_MAX;
	length += (size_t)sprintf(text + length, " HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(parse_bytes(text, length, &head), -414);
	free(text);
}

/* Feed text in pieces of size; the body is put together. 1, 0, or -400. */
static int unchunk(const char *text, size_t size, char *ret_body)
{
	struct http_chunks chunks = {0};
	size_t length = strlen(text), at = 0, shown = 0, put = 0;
	int state = 0;
	while (state == 0 && shown < length) {
		shown = shown + size < length ? shown + size : length;
		for (size_t used = 1; state == 0 && used;) {
			const char *body;
			size_t body_length;
			char *copy = malloc(shown - at + 1);
			memcpy(copy, text + at, shown - at);
			state = http_chunks_take(&chunks, copy, shown - at, &used, &body, &body_length);
			memcpy(ret_body + put, body, body_length);
			put += body_length;
			at += used;
			free(copy);
		}
	}
	ret_body[put] = '\0';
	if (state == 1)
		assert_int_equal(at, length);
	return state;
}

static void test_chunks(void **context)
{
	(void)context;
	char body[100];
	for (size_t size = 1; size < 40; size++) {
		assert_int_equal(unchunk("5\r\nhello\r\n1;ext=1\r\n \r\n005\r\nworld\r\n0\r\nT: x\r\n\r\n", size, body), 1);
		assert_string_equal(body, "hello world");
		assert_int_equal(unchunk("0\r\n\r\n", size, body), 1);
		assert_string_equal(body, "");
		assert_int_equal(unchunk("5\r\nhel", size, body), 0);
	}
	assert_int_equal(unchunk("\r\n", 1, body), -400);
	assert_int_equal(unchunk("x\r\n", 1, body), -400);
	assert_int_equal(unchunk("-1\r\n", 1, body), -400);
	assert_int_equal(unchunk("1\nab", 1, body), -400);
	assert_int_equal(unchunk("1\r\nab\r\n", 1, body), -400);
	assert_int_equal(unchunk("1 \r\na\r\n", 1, body), -400);
	assert_int_equal(unchunk("ffffffffffffffff\r\n", 1, body), -400);
}

static void test_endless_chunk_lines(void **context)
{
	(void)context;
	struct http_chunks chunks = {0};
	char line[8192];
	const char *body;
	size_t used, length;
	memset(line, '0', sizeof(line));
	assert_int_equal(http_chunks_take(&chunks, line, sizeof(line), &used, &body, &length), -400);
	chunks = (struct http_chunks){.state = CHUNK_TRAILER};
	memset(line, 'a', sizeof(line));
	assert_int_equal(http_chunks_take(&chunks, line, sizeof(line), &used, &body, &length), -400);
	chunks = (struct http_chunks){.state = CHUNK_TRAILER};
	int state = 0, lines = 0;
	while (state == 0 && lines++ < 10000)
		state = http_chunks_take(&chunks, "A: b\r\n", 6, &used, &body, &length);
	assert_int_equal(state, -400);
}

static const struct route *find(const char *method, const char *target, unsigned int *ret_status, char *ret_allow)
{
	*ret_status = 0;
	ret_allow[0] = '\0';
	return route_find(method, target, ret_status, ret_allow);
}

static void test_routes(void **context)
{
	(void)context;
	unsigned int status;
	char allow[ROUTE_ALLOW_MAX];
	for (size_t i = 0; i < route_count; i++) {
		char path[100] = "";
		/* A pattern with its names filled in finds its own route. */
		for (const char *at = routes[i].pattern; *at; at++) {
			if (*at == '{') {
				at = strchr(at, '}');
				strcat(path, "k8s-1%2F.x");
			} else {
				strncat(path, at, 1);
			}
		}
		assert_ptr_equal(find(routes[i].method, path, &status, allow), &routes[i]);
		strcat(path, "?a=/b");
		assert_ptr_equal(find(routes[i].method, path, &status, allow), &routes[i]);
		strcpy(strchr(path, '?'), "/");
		assert_null(find(routes[i].method, path, &status, allow));
		assert_int_equal(status, 404);
	}
}

static void test_no_route(void **context)
{
	(void)context;
	static const char *const unknown[] = {
		"/", "/v1", "/v1/", "/v1/statu", "/v1/status2", "//v1/status", "/v1/nodes//drain", "/v1/nodes/drain",
		"/v1/nodes/a/b/drain", "/v1/bans/", "/v1/bans/a/b", "?", "/V1/status"};
	unsigned int status;
	char allow[ROUTE_ALLOW_MAX];
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		assert_null(find("GET", unknown[i], &status, allow));
		assert_int_equal(status, 404);
	}
	assert_null(find("PUT", "/v1/bans", &status, allow));
	assert_int_equal(status, 405);
	assert_string_equal(allow, "GET, HEAD, POST");
	assert_null(find("get", "/v1/status", &status, allow));
	assert_int_equal(status, 405);
	assert_null(find("POST", "/v1/bans/192.0.2.1", &status, allow));
	assert_string_equal(allow, "DELETE");
	assert_ptr_equal(find("HEAD", "/metrics", &status, allow), find("GET", "/metrics", &status, allow));
	assert_null(find("HEAD", "/v1/apply", &status, allow));
}

static void test_rights(void **context)
{
	(void)context;
	/* Whoever may only look may check, plan and explain; all else that is not a GET changes something. */
	for (size_t i = 0; i < route_count; i++) {
		const char *pattern = routes[i].pattern;
		bool looks = !strcmp(routes[i].method, "GET") || !strcmp(pattern, "/v1/check") ||
			     !strcmp(pattern, "/v1/plan") || !strcmp(pattern, "/v1/explain");
		assert_int_equal(routes[i].right, looks ? RIGHT_READ : RIGHT_WRITE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_request),       cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_keep_alive),          cmocka_unit_test(test_absolute_form),
		cmocka_unit_test(test_wrong_requests),      cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_limits),              cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_endless_chunk_lines), cmocka_unit_test(test_routes),
		cmocka_unit_test(test_no_route),            cmocka_unit_test(test_rights),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
