/* Log: one line per event on standard error, subsystem first, with the
 * priority as systemd reads it ("<4>proxy: ...") when standard error is no terminal.
 * Control characters of foreign text are escaped. */
#pragma once

#include <stddef.h>

void log_error(const char *subsystem, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_warning(const char *subsystem, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_info(const char *subsystem, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Foreign text with a syslog priority (3 error, 4 warning, 6 info); at most 20 a second. */
void log_text(int priority, const char *subsystem, const char *text, size_t length);
