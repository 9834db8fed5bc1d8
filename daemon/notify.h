/* Talking to the service manager (sd_notify(3)): readiness, watchdog, and the
 * descriptor store, in which the socket that owns the nftables table outlives main. */
#pragma once

void notify_ready(void);
void notify_stopping(void);
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Half the watchdog's interval in seconds; 0: there is no watchdog. */
unsigned notify_watchdog_seconds(void);
void notify_alive(void);
/* What a former main left in the store: the owning socket, or -1, and (for each of them) the socket of a worker. The
 * caller owns them. */
int notify_take_stored(void (*worker)(void *context, int fd), void *context);
void notify_store_owner(int fd);
/* Under a name of this process, by which notify_forget_workers() tells them from the former ones'. */
void notify_store_worker(int fd);
/* The former mains' workers' sockets are needed no more. */
void notify_forget_workers(void);
