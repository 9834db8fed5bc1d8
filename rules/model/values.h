/* Values: the small formats of the file, between text and numbers. Pure; what
 * is out of a key's range is for the caller to say. All parsers return 0 or
 * -EINVAL. */
#pragma once

#include "model.h"

#define RATE_MOST 10000000u /* of count and burst */

/* A decimal number without sign or leading zeros, at most UINT32_MAX. */
int value_number(const char *text, size_t length, uint32_t *ret_number);
/* "250ms", "2s", "10m", "1h", "30d". */
int value_duration(const char *text, size_t length, milliseconds *ret_duration);
/* "50/second burst 100"; minute, hour; without burst it is count, at least 5. */
int value_rate(const char *text, size_t length, struct rate *ret_rate);
/* 1 to 65535. */
int value_port(const char *text, size_t length, uint16_t *ret_port);
/* "443" or "8000-8010". */
int value_port_range(const char *text, size_t length, struct port_range *ret_range);
/* Split "HOST:PORT" or "[V6]:PORT" at its last colon; host comes without brackets.
 * -EINVAL also for an IPv6 address without brackets. */
int value_host_port(const char *text, size_t length, const char **ret_host, size_t *ret_host_length,
		    const char **ret_port, size_t *ret_port_length);
/* A WireGuard public key: 44 characters of base64 for 32 bytes. */
int value_public_key(const char *text, size_t length, uint8_t ret_key[32]);
/* A host name or an IPv4 address (RFC 1123). */
bool value_is_host(const char *text, size_t length);
/* Letter or digit, then letters, digits, '.', '_', '-'. */
bool value_is_name(const char *text, size_t length);
/* What the kernel takes as a device's name. */
bool value_is_device(const char *text, size_t length);

/* The texts that the parsers above read back; in arena, NULL when out of memory. */
char *value_print_duration(struct arena *arena, milliseconds duration);
char *value_print_rate(struct arena *arena, const struct rate *rate);
char *value_print_port_range(struct arena *arena, const struct port_range *range);
char *value_print_address_port(struct arena *arena, const struct addr *addr, uint16_t port);
char *value_print_public_key(struct arena *arena, const uint8_t key[32]);
