/* Telling UTF-8 from other bytes, by the table of RFC 3629 section 4: no
 * overlong forms, no surrogates, nothing beyond U+10FFFF. */
#include "utf8.h"

size_t utf8_sequence(const char *text)
{
	static const struct {
		unsigned char first, last, least, most; /* of the first byte, and of the second */
		size_t length;
	} kinds[] = {
		{0x01, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};
	const unsigned char *bytes = (const unsigned char *)text;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (bytes[0] < kinds[i].first || bytes[0] > kinds[i].last)
			continue;
		if (kinds[i].length > 1 && (bytes[1] < kinds[i].least || bytes[1] > kinds[i].most))
			return 0;
		for (size_t j = 2; j < kinds[i].length; j++)
			if ((bytes[j] & 0xc0) != 0x80)
				return 0;
		return kinds[i].length;
	}
	return 0;
}
