/* Talking to the service manager (sd_notify(3)): readiness, watchdog, and the
 * descriptor store, in which the socket that owns the nftables table outlives main. */
#pragma once

void notify_ready(void);
void notify_stopping(void);
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Half the watchdog's interval in seconds; 0: there is no watchdog. */
unsigned notify_watchdog_seconds(void);
void notify_alive(void);
/* The owning socket that a former main left in the store, or -1. The caller owns it. */
int notify_take_owner(void);
void notify_store_owner(int fd);
