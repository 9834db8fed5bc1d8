/* Reading just the status line (RFC 9112 4) of an answer, and over those that
 * are only interim (RFC 9110 15.2). */
#include "probe_http.h"

#include <stdbool.h>
#include <string.h>

#define STATUS_LINE_LEAST 12 /* "HTTP/1.1 200" */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The status of the line at data, 0 when it is cut off, -1 when it is none. */
static int status_of(const char *data, size_t length)
{
	static const char start[] = "HTTP/1.";
	size_t look = length < sizeof(start) - 1 ? length : sizeof(start) - 1;
	if (memcmp(data, start, look) != 0)
		return -1;
	if (length <= STATUS_LINE_LEAST)
		return 0;
	const char *digits = data + 9;
	if (!is_digit(data[7]) || data[8] != ' ' || digits[0] < '1' || !is_digit(digits[0]) || !is_digit(digits[1]) ||
	    !is_digit(digits[2]) || (digits[3] != ' ' && digits[3] != '\r' && digits[3] != '\n'))
		return -1;
	return (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
}

/* Bytes of the head at data with its empty line; 0 when it is cut off. */
static size_t head_length(const char *data, size_t length)
{
	const char *end = memmem(data, length, "\r\n\r\n", 4);
	return end ? (size_t)(end - data) + 4 : 0;
}

int probe_http_status(const char *data, size_t length)
{
	size_t left = length < PROBE_ANSWER_MOST ? length : PROBE_ANSWER_MOST;
	int more = length < PROBE_ANSWER_MOST ? 0 : -1;
	while (left) {
		int status = status_of(data, left);
		if (status < 0 || status >= 200)
			return status;
		/* Nobody asked to switch protocols. */
		if (status == 101)
			return -1;
		size_t head = status ? head_length(data, left) : 0;
		if (!head)
			return more;
		data += head;
		left -= head;
	}
	return more;
}
