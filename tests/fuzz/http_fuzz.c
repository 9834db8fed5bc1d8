/* Hostile HTTP: requests to the API, and answers to the prober. Whether bytes
 * come at once or in pieces makes no difference. */
#include <stdlib.h>
#include <string.h>

#include "../../daemon/api/http.h"
#include "../../daemon/api/routes.h"
#include "../../daemon/proxy/probe_http.h"

/* A copy of exactly its size, so that reading behind it is seen. */
static char *copy_of(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	memcpy(copy, data, size);
	return copy;
}

static int parse(const uint8_t *data, size_t size, struct http_head *ret_head)
{
	char *copy = copy_of(data, size);
	int taken = http_parse_head(copy, size, ret_head);
	free(copy);
	return taken;
}

/* Take a body in pieces of at most step bytes. The state at the end; *ret_sum tells the body. */
static int unchunk(const uint8_t *data, size_t size, size_t step, size_t *ret_sum)
{
	struct http_chunks chunks = {0};
	size_t at = 0, shown = 0, sum = 0;
	int state = 0;
	while (state == 0 && shown < size) {
		shown = size - shown > step ? shown + step : size;
		for (size_t used = 1; state == 0 && used;) {
			const char *body;
			size_t length;
			char *copy = copy_of(data + at, shown - at);
			state = http_chunks_take(&chunks, copy, shown - at, &used, &body, &length);
			if (state >= 0 && (used > shown - at || length > used))
				abort();
			for (size_t i = 0; state >= 0 && i < length; i++)
				sum = sum * 31 + (unsigned char)body[i];
			free(copy);
			if (state >= 0)
				at += used;
		}
	}
	*ret_sum = sum;
	return state;
}

static void read_request(const uint8_t *data, size_t size)
{
	struct http_head head = {0}, again = {0};
	int taken = parse(data, size, &head);
	if (taken > 0 && ((size_t)taken > size || *head.target != '/' || !*head.method))
		abort();
	/* All of it but the last byte is not enough, and not wrong. */
	if (taken > 0 && parse(data, (size_t)taken - 1, &again) != 0)
		abort();
	if (taken > 0 && (parse(data, (size_t)taken, &again) != taken || memcmp(&head, &again, sizeof(head)) != 0))
		abort();
	if (taken <= 0)
		return;
	unsigned int status = 0;
	char allow[ROUTE_ALLOW_MAX] = "";
	if (!route_find(head.method, head.target, &status, allow) && status != 404 && status != 405)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	size_t step = data[1] ? data[1] : 1, whole = 0, pieces = 0;
	const uint8_t *rest = data + 2;
	size -= 2;
	switch (data[0] % 3) {
	case 0:
		read_request(rest, size);
		break;
	case 1:
		if (unchunk(rest, size, size ? size : 1, &whole) != unchunk(rest, size, step, &pieces))
			abort();
		if (whole != pieces)
			abort();
		break;
	default: {
		char *copy = copy_of(rest, size);
		int status = probe_http_status(copy, size);
		if (status < -1 || (status > 0 && status < 200) || status > 999)
			abort();
		free(copy);
		break;
	}
	}
	return 0;
}
