/* Hostile messages between roles. The first byte says who reads the rest: the
 * proxy's and prober's configuration, main the forwarder's report, or any role
 * a whole datagram from its socket. What is taken must come out the same when
 * it is written and read again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/msg.h"
#include "../../daemon/proxy/config.h"
#include "../../daemon/proxy/report.h"

static void read_config(const uint8_t *data, size_t size)
{
	cleanup_arena struct arena *arena = arena_new();
	struct proxy_config *config = NULL, *again = NULL;
	int error = proxy_config_decode(data, size, arena, &config);
	if (error && error != -EBADMSG)
		abort();
	if (error)
		return;
	cleanup_wire struct wire_writer first = {0}, second = {0};
	proxy_config_encode(config, &first);
	if (proxy_config_decode(first.data, first.length, arena, &again))
		abort();
	proxy_config_encode(again, &second);
	if (first.length != second.length || memcmp(first.data, second.data, first.length) != 0)
		abort();
}

static void read_report(const uint8_t *data, size_t size)
{
	cleanup_arena struct arena *arena = arena_new();
	struct report *report = NULL;
	int error = report_decode(data, size, arena, &report);
	if ((error == 0) != (report != NULL))
		abort();
}

/* All readers, one after the other, in an order that the data chooses. */
static void read_fields(const uint8_t *data, size_t size)
{
	cleanup_arena struct arena *arena = arena_new();
	struct wire_reader reader = {.data = data, .length = size};
	size_t length = 0;
	for (size_t i = 0; i < 64 && !reader.failed; i++) {
		switch (reader.at < size ? data[reader.at] : 0) {
		case 1:
			wire_get_bounded(&reader, 1u << 30);
			break;
		case 2:
			wire_get_u64(&reader);
			break;
		case 3:
			if (i % 2)
				wire_get_bytes(&reader, 1000, &length);
			else
				wire_get_text(&reader, arena, 1000);
			break;
		case 4:
			if (wire_get_text(&reader, arena, 10))
				abort();
			break;
		default:
			wire_get_addr(&reader);
			break;
		}
	}
	if (reader.at > size || (wire_finish(&reader) == 0 && reader.at != size))
		abort();
}

static void read_datagram(const uint8_t *data, size_t size)
{
	static struct msg_buffer buffer;
	static int pair[2] = {-1, -1};
	struct msg msg;
	if (pair[0] < 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	/* Nothing at all would be the end of the connection. */
	if (!size || send(pair[0], data, size, MSG_NOSIGNAL) != (ssize_t)size)
		return;
	int got = msg_receive(pair[1], &buffer, &msg);
	if (got != 1 && got != -EBADMSG)
		abort();
	if (got != 1)
		return;
	if (msg.type == 0 || msg.type >= MSG_TYPES || msg.fd_count || msg.length != size - 8)
		abort();
	read_fields(msg.payload, msg.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		read_config(data + 1, size - 1);
		break;
	case 1:
		read_report(data + 1, size - 1);
		break;
	case 2:
		read_fields(data + 1, size - 1);
		break;
	default:
		read_datagram(data + 1, size - 1);
		break;
	}
	return 0;
}
