/* Addresses, prefixes and ranges: parsing, printing, order and merging. Pure
 * arithmetic; the only system functions used are inet_ntop and inet_pton. */
#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t addr_size(enum family family)
{
	return family == FAMILY_V4 ? 4 : 16;
}

uint8_t addr_bits(enum family family)
{
	return family == FAMILY_V4 ? 32 : 128;
}

/* Dotted quad by hand: blocklists have a million of them. */
static int parse_v4(const char *text, size_t length, struct addr *ret_addr)
{
	struct addr addr = {.family = FAMILY_V4};
	size_t at = 0;
	for (int part = 0; part < 4; part++) {
		unsigned value = 0;
		size_t digits = 0;
		while (at < length && text[at] >= '0' && text[at] <= '9' && digits < 4) {
			value = value * 10 + (unsigned)(text[at++] - '0');
			digits++;
		}
		/* A leading zero is octal to some programs: refused rather than guessed. */
		if (digits == 0 || value > 255 || (digits > 1 && text[at - digits] == '0'))
			return -EINVAL;
		addr.bytes[part] = (uint8_t)value;
		if (part < 3 && (at >= length || text[at++] != '.'))
			return -EINVAL;
	}
	if (at != length)
		return -EINVAL;
	*ret_addr = addr;
	return 0;
}

int addr_parse(const char *text, size_t length, struct addr *ret_addr)
{
	if (length == 0 || length >= ADDR_TEXT_MAX)
		return -EINVAL;
	if (!memchr(text, ':', length))
		return parse_v4(text, length, ret_addr);
	char copy[ADDR_TEXT_MAX];
	memcpy(copy, text, length);
	copy[length] = '\0';
	struct addr addr = {.family = FAMILY_V6};
	if (inet_pton(AF_INET6, copy, addr.bytes) != 1)
		return -EINVAL;
	*ret_addr = addr;
	return 0;
}

int prefix_parse(const char *text, size_t length, struct prefix *ret_prefix)
{
	const char *slash = memchr(text, '/', length);
	size_t address = slash ? (size_t)(slash - text) : length;
	struct prefix prefix = {0};
	int r = addr_parse(text, address, &prefix.addr);
	if (r < 0)
		return r;
	unsigned bits = addr_bits(prefix.addr.family);
	if (slash) {
		size_t digits = length - address - 1;
		unsigned value = 0;
		if (digits == 0 || digits > 3 || (digits > 1 && slash[1] == '0'))
			return -EINVAL;
		for (size_t i = 0; i < digits; i++) {
			if (slash[1 + i] < '0' || slash[1 + i] > '9')
				return -EINVAL;
			value = value * 10 + (unsigned)(slash[1 + i] - '0');
		}
		if (value > bits)
			return -EINVAL;
		bits = value;
	}
	*ret_prefix = prefix_of(&prefix.addr, (uint8_t)bits);
	return addr_equal(&ret_prefix->addr, &prefix.addr) ? 0 : -ERANGE;
}

char *addr_format(const struct addr *addr, char *text)
{
	if (addr->family == FAMILY_NONE)
		return strcpy(text, "none");
	inet_ntop(addr->family == FAMILY_V4 ? AF_INET : AF_INET6, addr->bytes, text, ADDR_TEXT_MAX);
	return text;
}

char *prefix_format(const struct prefix *prefix, char *text)
{
	addr_format(&prefix->addr, text);
	if (prefix->length != addr_bits(prefix->addr.family)) {
		size_t used = strlen(text);
		snprintf(text + used, PREFIX_TEXT_MAX - used, "/%u", prefix->length);
	}
	return text;
}

int addr_compare(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_compare(a, b) == 0;
}

struct prefix prefix_of(const struct addr *addr, uint8_t length)
{
	struct prefix prefix = {.addr = *addr, .length = length};
	for (size_t i = 0; i < addr_size(addr->family); i++) {
		unsigned first_bit = (unsigned)i * 8;
		if (first_bit >= length)
			prefix.addr.bytes[i] = 0;
		else if (length - first_bit < 8)
			prefix.addr.bytes[i] &= (uint8_t)(0xff00u >> (length - first_bit));
	}
	return prefix;
}

bool prefix_contains(const struct prefix *prefix, const struct addr *addr)
{
	if (prefix->addr.family != addr->family)
		return false;
	struct prefix masked = prefix_of(addr, prefix->length);
	return addr_equal(&masked.addr, &prefix->addr);
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return a->length <= b->length ? prefix_contains(a, &b->addr) : prefix_contains(b, &a->addr);
}

struct addr_range prefix_range(const struct prefix *prefix)
{
	struct addr_range range = {.first = prefix->addr, .last = prefix->addr};
	for (size_t i = 0; i < addr_size(prefix->addr.family); i++) {
		unsigned first_bit = (unsigned)i * 8;
		if (first_bit >= prefix->length)
			range.last.bytes[i] = 0xff;
		else if (prefix->length - first_bit < 8)
			range.last.bytes[i] |= (uint8_t)(0xffu >> (prefix->length - first_bit));
	}
	return range;
}

bool addr_next(const struct addr *addr, struct addr *ret_next)
{
	struct addr next = *addr;
	for (size_t i = addr_size(addr->family); i-- > 0;) {
		if (++next.bytes[i] != 0) {
			*ret_next = next;
			return true;
		}
	}
	return false;
}

bool addr_is_zero(const struct addr *addr)
{
	static const uint8_t zero[16];
	return memcmp(addr->bytes, zero, addr_size(addr->family)) == 0;
}

bool addr_leads_away(const struct addr *addr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, loopback[16] = {[15] = 1};
	const uint8_t *bytes = addr->bytes;
	if (addr->family == FAMILY_V4)
		return bytes[0] != 0 && bytes[0] != 127 && bytes[0] < 224;
	if (addr->family != FAMILY_V6 || addr_is_zero(addr) || memcmp(bytes, loopback, sizeof(loopback)) == 0)
		return false;
	bool link_local = bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
	return bytes[0] != 0xff && !link_local && memcmp(bytes, mapped, sizeof(mapped)) != 0;
}

struct addr addr_source_unit(const struct addr *addr)
{
	return addr->family == FAMILY_V6 ? prefix_of(addr, 64).addr : *addr;
}

static int compare_ranges(const void *left, const void *right)
{
	const struct addr_range *a = left, *b = right;
	int order = addr_compare(&a->first, &b->first);
	return order ? order : addr_compare(&a->last, &b->last);
}

size_t addr_ranges_merge(struct addr_range *ranges, size_t count)
{
	if (count == 0)
		return 0;
	bool sorted = true;
	for (size_t i = 1; i < count && sorted; i++)
		sorted = compare_ranges(&ranges[i - 1], &ranges[i]) <= 0;
	if (!sorted)
		qsort(ranges, count, sizeof(*ranges), compare_ranges);
	size_t kept = 0;
	for (size_t i = 1; i < count; i++) {
		struct addr_range *last = &ranges[kept];
		struct addr after;
		bool joins = last->first.family == ranges[i].first.family &&
			     (!addr_next(&last->last, &after) || addr_compare(&ranges[i].first, &after) <= 0);
		if (!joins) {
			ranges[++kept] = ranges[i];
		} else if (addr_compare(&ranges[i].last, &last->last) > 0) {
			last->last = ranges[i].last;
		}
	}
	return kept + 1;
}
