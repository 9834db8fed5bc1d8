/* Printing of values: addresses, ports, marks, names of bits, durations, and
 * the growing text that all of the printer writes to. */
#include "print_parts.h"

#include <stdio.h>
#include <string.h>

static bool make_room(struct text *text, size_t more)
{
	if (text->failed || text->length + more < text->capacity)
		return !text->failed;
	size_t capacity = text->capacity ? text->capacity : 256;
	while (capacity <= text->length + more)
		capacity *= 2;
	char *data = arena_alloc(text->arena, capacity);
	if (!data) {
		text->failed = true;
		return false;
	}
	if (text->length)
		memcpy(data, text->data, text->length);
	text->data = data;
	text->capacity = capacity;
	return true;
}

void text_add(struct text *text, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, args);
	if (length >= 0 && make_room(text, (size_t)length)) {
		vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
		text->length += (size_t)length;
	}
	va_end(again);
	va_end(args);
}

void text_add_quoted(struct text *text, const char *value)
{
	text_add(text, "\"");
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;
		if (c == '"' || c == '\\')
			text_add(text, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			text_add(text, "\\x%02x", c);
		else
			text_add(text, "%c", c);
	}
	text_add(text, "\"");
}

char *text_finish(struct text *text)
{
	if (!make_room(text, 1))
		return NULL;
	text->data[text->length] = '\0';
	return text->data;
}

struct bit_name {
	uint32_t bit;
	const char *name;
};

static void add_bits(struct text *text, uint32_t value, const struct bit_name *names, size_t count)
{
	const char *separator = "";
	for (size_t i = 0; i < count; i++) {
		if (!(value & names[i].bit))
			continue;
		text_add(text, "%s%s", separator, names[i].name);
		separator = ",";
		value &= ~names[i].bit;
	}
	if (value || !*separator)
		text_add(text, value ? "%s0x%x" : "%s%x", separator, value);
}

static const struct bit_name state_bits[] = {
	{CT_STATE_INVALID, "invalid"}, {CT_STATE_ESTABLISHED, "established"}, {CT_STATE_RELATED, "related"},
	{CT_STATE_NEW, "new"},         {CT_STATE_UNTRACKED, "untracked"},
};
static const struct bit_name status_bits[] = {{CT_STATUS_SNAT, "snat"}, {CT_STATUS_DNAT, "dnat"}};

static void add_raw(struct text *text, const uint8_t *data, size_t length)
{
	text_add(text, "0x");
	for (size_t i = 0; i < length; i++)
		text_add(text, "%02x", data[i]);
}

static void add_address(struct text *text, enum family family, const uint8_t *data, size_t length, unsigned prefix)
{
	struct addr addr = {.family = family};
	char buffer[ADDR_TEXT_MAX];
	memcpy(addr.bytes, data, length < addr_size(family) ? length : addr_size(family));
	text_add(text, "%s", addr_format(&addr, buffer));
	if (prefix && prefix != addr_bits(family))
		text_add(text, "/%u", prefix);
}

static void add_protocol(struct text *text, uint8_t protocol)
{
	static const struct {
		uint8_t number;
		const char *name;
	} names[] = {{1, "icmp"}, {6, "tcp"}, {17, "udp"}, {58, "icmpv6"}};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].number == protocol) {
			text_add(text, "%s", names[i].name);
			return;
		}
	}
	text_add(text, "%u", protocol);
}

static void add_ifname(struct text *text, const uint8_t *data, size_t length)
{
	char name[STATE_DATA_MAX + 1] = {0};
	memcpy(name, data, length < STATE_DATA_MAX ? length : STATE_DATA_MAX);
	/* Fewer bytes than a whole name match its beginning. */
	if (length < STATE_DATA_MAX && strlen(name) == length)
		name[length] = '*';
	text_add_quoted(text, name);
}

static void add_addrtype(struct text *text, uint32_t type)
{
	switch (type) {
	case FIB_TYPE_LOCAL:
		text_add(text, "local");
		break;
	case FIB_TYPE_BROADCAST:
		text_add(text, "broadcast");
		break;
	case FIB_TYPE_MULTICAST:
		text_add(text, "multicast");
		break;
	default:
		text_add(text, "%u", type);
	}
}

/* Values of host order, as the machine's registers hold them. */
static void add_word(struct text *text, enum value_kind kind, uint32_t word)
{
	if (kind == VALUE_MARK)
		text_add(text, "0x%08x", word);
	else if (kind == VALUE_CT_STATE)
		add_bits(text, word, state_bits, sizeof(state_bits) / sizeof(state_bits[0]));
	else if (kind == VALUE_CT_STATUS)
		add_bits(text, word, status_bits, sizeof(status_bits) / sizeof(status_bits[0]));
	else if (kind == VALUE_ADDRTYPE)
		add_addrtype(text, word);
	else
		text_add(text, "%u", word);
}

void text_add_value(struct text *text, enum value_kind kind, const uint8_t *data, size_t length, unsigned prefix)
{
	uint32_t word = 0;
	memcpy(&word, data, length < 4 ? length : 4);
	switch (kind) {
	case VALUE_RAW:
		break;
	case VALUE_IPV4:
		add_address(text, FAMILY_V4, data, length, prefix);
		return;
	case VALUE_IPV6:
		add_address(text, FAMILY_V6, data, length, prefix);
		return;
	case VALUE_IFNAME:
		add_ifname(text, data, length);
		return;
	case VALUE_PORT:
		if (length < 2)
			break;
		text_add(text, "%u", (unsigned)(data[0] << 8 | data[1]));
		return;
	case VALUE_PROTOCOL:
		add_protocol(text, data[0]);
		return;
	case VALUE_FAMILY:
		text_add(text, "%s", data[0] == 2 ? "ipv4" : data[0] == 10 ? "ipv6" : "unknown");
		return;
	case VALUE_DIRECTION:
		text_add(text, "%s", data[0] ? "reply" : "original");
		return;
	case VALUE_PRESENT:
		text_add(text, "%s", data[0] ? "exists" : "missing");
		return;
	case VALUE_MARK:
	case VALUE_CT_STATE:
	case VALUE_CT_STATUS:
	case VALUE_ADDRTYPE:
	case VALUE_INTEGER:
		if (length != 4)
			break;
		add_word(text, kind, word);
		return;
	}
	add_raw(text, data, length);
}

/* Leading bits that first and last share, when the rest is all zeros and all ones; else -1. */
static int common_prefix(const uint8_t *first, const uint8_t *last, size_t length)
{
	size_t bits = length * 8, same = 0;
	while (same < bits && ((first[same / 8] ^ last[same / 8]) & (0x80 >> same % 8)) == 0)
		same++;
	for (size_t bit = same; bit < bits; bit++) {
		if ((first[bit / 8] & (0x80 >> bit % 8)) || !(last[bit / 8] & (0x80 >> bit % 8)))
			return -1;
	}
	return (int)same;
}

void text_add_range(struct text *text, enum value_kind kind, const uint8_t *first, const uint8_t *last, size_t length)
{
	bool address = kind == VALUE_IPV4 || kind == VALUE_IPV6;
	int prefix = address ? common_prefix(first, last, length) : -1;
	if (memcmp(first, last, length) == 0) {
		text_add_value(text, kind, first, length, 0);
	} else if (prefix >= 0) {
		text_add_value(text, kind, first, length, 0);
		text_add(text, "/%d", prefix);
	} else {
		text_add_value(text, kind, first, length, 0);
		text_add(text, "-");
		text_add_value(text, kind, last, length, 0);
	}
}

enum value_kind value_kind_of(enum field field)
{
	switch (field) {
	case FIELD_IPV4:
		return VALUE_IPV4;
	case FIELD_IPV6:
		return VALUE_IPV6;
	case FIELD_PROTO:
		return VALUE_PROTOCOL;
	case FIELD_PORT:
		return VALUE_PORT;
	case FIELD_IFNAME:
		return VALUE_IFNAME;
	case FIELD_MARK:
		return VALUE_MARK;
	case FIELD_INTEGER:
	case FIELD_IFINDEX:
		return VALUE_INTEGER;
	case FIELD_VERDICT:
		break;
	}
	return VALUE_RAW;
}

void print_duration(struct text *text, uint64_t ms)
{
	if (ms % 1000)
		text_add(text, "%llums", (unsigned long long)ms);
	else if (ms / 1000 % 3600 == 0 && ms)
		text_add(text, "%lluh", (unsigned long long)(ms / 3600000));
	else if (ms / 1000 % 60 == 0 && ms)
		text_add(text, "%llum", (unsigned long long)(ms / 60000));
	else
		text_add(text, "%llus", (unsigned long long)(ms / 1000));
}

void print_limit(struct text *text, const struct limit_spec *limit)
{
	const char *unit = limit->per_seconds == 1 ? "second" : limit->per_seconds == 60 ? "minute" : "hour";
	text_add(text, "limit rate %s%u/%s burst %u", limit->over ? "over " : "", limit->count, unit, limit->burst);
	if (limit->per_seconds != 1 && limit->per_seconds != 60 && limit->per_seconds != 3600)
		text_add(text, " per %us", limit->per_seconds);
}
