/* Where the daemon writes what it has to say. One write per line, so that lines
 * of several processes do not mix. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048
#define FOREIGN_PER_SECOND 20u

static void put(int priority, const char *subsystem, const char *text, size_t length)
{
	char line[LINE_MAX_BYTES];
	int used = isatty(STDERR_FILENO) ? snprintf(line, sizeof(line), "%s: ", subsystem)
					 : snprintf(line, sizeof(line), "<%d>%s: ", priority, subsystem);
	size_t at = (size_t)used;
	for (size_t i = 0; i < length && at < sizeof(line) - 6; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c < 0x20 || c == 0x7f)
			at += (size_t)snprintf(line + at, sizeof(line) - at, "\\x%02x", c);
		else
			line[at++] = (char)c;
	}
	line[at++] = '\n';
	/* Nothing can be done when even this fails. */
	ssize_t ignored = write(STDERR_FILENO, line, at);
	(void)ignored;
}

static void format(int priority, const char *subsystem, const char *text, va_list args)
{
	char line[LINE_MAX_BYTES];
	vsnprintf(line, sizeof(line), text, args);
	put(priority, subsystem, line, strlen(line));
}

void log_error(const char *subsystem, const char *text, ...)
{
	va_list args;
	va_start(args, text);
	format(3, subsystem, text, args);
	va_end(args);
}

void log_warning(const char *subsystem, const char *text, ...)
{
	va_list args;
	va_start(args, text);
	format(4, subsystem, text, args);
	va_end(args);
}

void log_info(const char *subsystem, const char *text, ...)
{
	va_list args;
	va_start(args, text);
	format(6, subsystem, text, args);
	va_end(args);
}

void log_text(int priority, const char *subsystem, const char *text, size_t length)
{
	static time_t second;
	static unsigned in_second;
	time_t now = time(NULL);
	if (now != second) {
		second = now;
		in_second = 0;
	}
	if (in_second++ < FOREIGN_PER_SECOND)
		put(priority, subsystem, text, length);
}
