/* User data of rules, sets and elements: bounded reading and writing of its
 * type-length-value list. It never says what a value means. */
#include "nft_udata.h"

#include <errno.h>
#include <string.h>

int udata_put(struct udata *udata, uint8_t type, const void *value, size_t length)
{
	if (length > UINT8_MAX || length + 2 > sizeof(udata->bytes) - udata->length)
		return -EMSGSIZE;
	uint8_t *at = udata->bytes + udata->length;
	at[0] = type;
	at[1] = (uint8_t)length;
	memcpy(at + 2, value, length);
	udata->length += length + 2;
	return 0;
}

int udata_put_text(struct udata *udata, uint8_t type, const char *text)
{
	return udata_put(udata, type, text, strlen(text) + 1);
}

const uint8_t *udata_find(const void *list, size_t list_length, uint8_t type, size_t *ret_length)
{
	const uint8_t *at = list;
	while (list_length >= 2 && (size_t)at[1] + 2 <= list_length) {
		if (at[0] == type) {
			*ret_length = at[1];
			return at + 2;
		}
		list_length -= (size_t)at[1] + 2;
		at += (size_t)at[1] + 2;
	}
	return NULL;
}

const char *udata_text(const void *list, size_t list_length, uint8_t type, struct arena *arena)
{
	size_t length;
	const uint8_t *text = udata_find(list, list_length, type, &length);
	if (!text)
		return arena_strdup(arena, "");
	return arena_strndup(arena, (const char *)text, strnlen((const char *)text, length));
}
