/* Answers: heads, error bodies, and putting both into a connection's output.
 * What main sends as a body goes out from the memory it came in, uncopied. */
#include "connection.h"

#include <event2/buffer.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static void unmap(const void *data, size_t length, void *context)
{
	(void)context;
	munmap((void *)(uintptr_t)data, length);
}

static int add_head(struct connection *connection, unsigned int status, const char *content_type, size_t length,
		    const char *extra)
{
	char date[64];
	time_t now = time(NULL);
	struct tm parts;
	gmtime_r(&now, &parts);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
	int put = evbuffer_add_printf(bufferevent_get_output(connection->stream),
				      "HTTP/1.1 %u %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
				      "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s%s\r\n",
				      status, http_reason(status), date, content_type, length, extra,
				      connection->close_after ? "Connection: close\r\n" : "");
	return put < 0 ? -1 : 0;
}

/* What is in the output starts its way. */
static void start_sending(struct connection *connection)
{
	connection->moved = evbuffer_get_length(bufferevent_get_output(connection->stream));
	connection_set_state(connection, STATE_SENDING);
	bufferevent_enable(connection->stream, EV_WRITE);
}

static bool wants_body(const struct connection *connection)
{
	return strcmp(connection->head.method, "HEAD") != 0;
}

void reply_body(struct connection *connection, unsigned int status, const char *content_type, void *data, size_t length)
{
	if (!connection->head.keep_alive || connection->clients->stopping)
		connection->close_after = true;
	int error = add_head(connection, status, content_type, length, "");
	if (!error && data && wants_body(connection)) {
		error = evbuffer_add_reference(bufferevent_get_output(connection->stream), data, length, unmap, NULL);
		if (!error)
			data = NULL; /* now the buffer's */
	}
	if (data)
		munmap(data, length);
	if (error)
		connection_doom(connection);
	else
		start_sending(connection);
}

void reply_error(struct connection *connection, unsigned int status, const char *extra, const char *format, ...)
{
	if (!connection->head.keep_alive || connection->clients->stopping)
		connection->close_after = true;
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);

	/* A certificate's name may hold any UTF-8, and be cut in the middle of it. */
	for (char *at = text; *at; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
	json_t *json = json_pack("{s:s}", "error", text);
	char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	size_t length = body ? strlen(body) : 0;
	int error = !body || add_head(connection, status, "application/json", length + 1, extra);
	if (!error && wants_body(connection))
		error = evbuffer_add_printf(bufferevent_get_output(connection->stream), "%s\n", body) < 0;
	free(body);
	if (error)
		connection_doom(connection);
	else
		start_sending(connection);
}

void reply_refuse(struct connection *connection, unsigned int status, const char *text)
{
	connection->close_after = true;
	reply_error(connection, status, "", "%s", text);
}
