/* The small formats of the configuration: numbers, durations, rates, ports,
 * keys, names. Text in, number out, and back; never allocates but for printing
 * and never reports anything. */
#include "values.h"

#include <errno.h>
#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int value_number(const char *text, size_t length, uint32_t *ret_number)
{
	if (length == 0 || length > 10 || (length > 1 && text[0] == '0'))
		return -EINVAL;
	uint64_t number = 0;
	for (size_t i = 0; i < length; i++) {
		if (!is_digit(text[i]))
			return -EINVAL;
		number = number * 10 + (uint64_t)(text[i] - '0');
	}
	if (number > UINT32_MAX)
		return -EINVAL;
	*ret_number = (uint32_t)number;
	return 0;
}

/* Longest first, as printing takes the first that divides. */
static const struct {
	const char *name;
	milliseconds size;
} duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

#define DURATION_UNITS (sizeof(duration_units) / sizeof(duration_units[0]))

int value_duration(const char *text, size_t length, milliseconds *ret_duration)
{
	size_t digits = 0;
	while (digits < length && is_digit(text[digits]))
		digits++;
	uint32_t number;
	int r = value_number(text, digits, &number);
	if (r < 0)
		return r;
	for (size_t i = 0; i < DURATION_UNITS; i++) {
		const char *name = duration_units[i].name;
		if (strlen(name) == length - digits && memcmp(text + digits, name, length - digits) == 0) {
			*ret_duration = number * duration_units[i].size;
			return 0;
		}
	}
	return -EINVAL;
}

/* The next word of text from *at on; false when there is none. */
static bool next_word(const char *text, size_t length, size_t *at, const char **ret_word, size_t *ret_length)
{
	while (*at < length && text[*at] == ' ')
		++*at;
	size_t start = *at;
	while (*at < length && text[*at] != ' ')
		++*at;
	*ret_word = text + start;
	*ret_length = *at - start;
	return *ret_length > 0;
}

static bool is_word(const char *word, size_t length, const char *expected)
{
	return strlen(expected) == length && memcmp(word, expected, length) == 0;
}

int value_rate(const char *text, size_t length, struct rate *ret_rate)
{
	size_t at = 0, size;
	const char *word;
	if (!next_word(text, length, &at, &word, &size))
		return -EINVAL;
	const char *slash = memchr(word, '/', size);
	struct rate rate;
	if (!slash || value_number(word, (size_t)(slash - word), &rate.count) < 0)
		return -EINVAL;
	size_t unit = 0, unit_length = size - (size_t)(slash - word) - 1;
	while (rate_unit_names[unit] && !is_word(slash + 1, unit_length, rate_unit_names[unit]))
		unit++;
	if (!rate_unit_names[unit])
		return -EINVAL;
	rate.unit = (enum rate_unit)unit;
	rate.burst = rate.count < 5 ? 5 : rate.count;
	if (next_word(text, length, &at, &word, &size)) {
		if (!is_word(word, size, "burst") || !next_word(text, length, &at, &word, &size) ||
		    value_number(word, size, &rate.burst) < 0 || next_word(text, length, &at, &word, &size))
			return -EINVAL;
	}
	if (rate.count == 0 || rate.count > RATE_MOST || rate.burst == 0 || rate.burst > RATE_MOST)
		return -EINVAL;
	*ret_rate = rate;
	return 0;
}

int value_port(const char *text, size_t length, uint16_t *ret_port)
{
	uint32_t number;
	if (value_number(text, length, &number) < 0 || number < 1 || number > 65535)
		return -EINVAL;
	*ret_port = (uint16_t)number;
	return 0;
}

int value_port_range(const char *text, size_t length, struct port_range *ret_range)
{
	const char *dash = memchr(text, '-', length);
	size_t first_length = dash ? (size_t)(dash - text) : length;
	struct port_range range;
	int r = value_port(text, first_length, &range.first);
	if (r < 0)
		return r;
	range.last = range.first;
	if (dash)
		r = value_port(dash + 1, length - first_length - 1, &range.last);
	if (r < 0 || range.last < range.first)
		return -EINVAL;
	*ret_range = range;
	return 0;
}

int value_host_port(const char *text, size_t length, const char **ret_host, size_t *ret_host_length,
		    const char **ret_port, size_t *ret_port_length)
{
	const char *colon = memrchr(text, ':', length);
	if (!colon)
		return -EINVAL;
	const char *host = text;
	size_t host_length = (size_t)(colon - text);
	if (host_length >= 2 && host[0] == '[' && host[host_length - 1] == ']') {
		host++;
		host_length -= 2;
		if (!memchr(host, ':', host_length))
			return -EINVAL;
	} else if (memchr(host, ':', host_length)) {
		return -EINVAL;
	}
	if (host_length == 0)
		return -EINVAL;
	*ret_host = host;
	*ret_host_length = host_length;
	*ret_port = colon + 1;
	*ret_port_length = length - (size_t)(colon - text) - 1;
	return 0;
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int value_public_key(const char *text, size_t length, uint8_t ret_key[32])
{
	if (length != 44 || text[43] != '=')
		return -EINVAL;
	uint8_t key[33] = {0};
	uint32_t bits = 0;
	size_t filled = 0;
	for (size_t i = 0; i < 43; i++) {
		const char *digit = memchr(base64, text[i], 64);
		if (!digit)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)(digit - base64);
		if (i % 4 == 3) {
			key[filled++] = (uint8_t)(bits >> 16);
			key[filled++] = (uint8_t)(bits >> 8);
			key[filled++] = (uint8_t)bits;
		}
	}
	/* The last three digits hold two bytes, and two bits that have to be zero. */
	if (bits & 3)
		return -EINVAL;
	key[filled++] = (uint8_t)(bits >> 10);
	key[filled] = (uint8_t)(bits >> 2);
	memcpy(ret_key, key, 32);
	return 0;
}

bool value_is_host(const char *text, size_t length)
{
	if (length == 0 || length > 253)
		return false;
	size_t label = 0;
	for (size_t i = 0; i <= length; i++) {
		if (i == length || text[i] == '.') {
			/* A name may end with a dot; an empty label elsewhere, or a dash at an end of one, may not be. */
			if ((label == 0 && i < length) || (label > 0 && text[i - 1] == '-') || label > 63)
				return false;
			label = 0;
		} else {
			if (!is_alnum(text[i]) && (text[i] != '-' || label == 0))
				return false;
			label++;
		}
	}
	return text[0] != '.';
}

bool value_is_name(const char *text, size_t length)
{
	if (length == 0 || length > MODEL_NAME_MAX || !is_alnum(text[0]))
		return false;
	for (size_t i = 1; i < length; i++)
		if (!is_alnum(text[i]) && !memchr("._-", text[i], 3))
			return false;
	return true;
}

bool value_is_device(const char *text, size_t length)
{
	if (length == 0 || length > MODEL_IFNAME_MAX || is_word(text, length, ".") || is_word(text, length, ".."))
		return false;
	for (size_t i = 0; i < length; i++)
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '/' || text[i] == ':' || text[i] == '"')
			return false;
	return true;
}

char *value_print_duration(struct arena *arena, milliseconds duration)
{
	size_t unit = 0;
	while (duration % duration_units[unit].size != 0 || (duration == 0 && unit < DURATION_UNITS - 2))
		unit++;
	return arena_printf(arena, "%llu%s", (unsigned long long)(duration / duration_units[unit].size),
			    duration_units[unit].name);
}

char *value_print_rate(struct arena *arena, const struct rate *rate)
{
	return arena_printf(arena, "%u/%s burst %u", rate->count, rate_unit_names[rate->unit], rate->burst);
}

char *value_print_port_range(struct arena *arena, const struct port_range *range)
{
	if (range->first == range->last)
		return arena_printf(arena, "%u", range->first);
	return arena_printf(arena, "%u-%u", range->first, range->last);
}

char *value_print_address_port(struct arena *arena, const struct addr *addr, uint16_t port)
{
	char text[ADDR_TEXT_MAX];
	addr_format(addr, text);
	return arena_printf(arena, addr->family == FAMILY_V6 ? "[%s]:%u" : "%s:%u", text, port);
}

char *value_print_public_key(struct arena *arena, const uint8_t key[32])
{
	char text[45];
	for (size_t i = 0, out = 0; i < 33; i += 3) {
		uint32_t bits = (uint32_t)key[i] << 16 | (uint32_t)key[i + 1] << 8 | (i + 2 < 32 ? key[i + 2] : 0u);
		for (unsigned shift = 24; shift > 0; shift -= 6)
			text[out++] = base64[bits >> (shift - 6) & 63];
	}
	text[43] = '=';
	text[44] = '\0';
	return arena_strdup(arena, text);
}
