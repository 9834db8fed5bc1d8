/* The configuration protocol of userspace WireGuard: "key=value" lines, an
 * empty line at the end. Pure text; a private key that an answer repeats is
 * turned into its public one and wiped with the answer by the caller. */
#include "tunnel_uapi.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ERRNO_MOST 4095u

struct uapi_reader {
	struct arena *arena;
	struct tunnel_state tunnel;
	struct tunnel_peer *peers;
	size_t peer_capacity;
	struct prefix *allowed; /* of the peer that is being read */
	size_t allowed_count, allowed_capacity, allowed_total;
	bool ended;
	int error; /* that it reports */
};

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_key(const char *text, size_t length, uint8_t ret_key[TUNNEL_KEY_SIZE])
{
	if (length != 2 * TUNNEL_KEY_SIZE)
		return -EBADMSG;
	for (size_t i = 0; i < TUNNEL_KEY_SIZE; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EBADMSG;
		ret_key[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static int read_number(const char *text, size_t length, uint64_t most, uint64_t *ret_number)
{
	uint64_t number = 0;
	if (length == 0 || length > 20)
		return -EBADMSG;
	for (size_t i = 0; i < length; i++) {
		uint64_t digit = (uint64_t)(text[i] - '0');
		if (text[i] < '0' || text[i] > '9' || number > (most - digit) / 10)
			return -EBADMSG;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return 0;
}

/* "1.2.3.4:5" or "[2001:db8::1%zone]:5". */
static int read_endpoint(const char *text, size_t length, struct tunnel_peer *peer)
{
	const char *colon = memrchr(text, ':', length);
	uint64_t port;
	if (!colon || read_number(colon + 1, length - (size_t)(colon - text) - 1, 65535, &port) < 0)
		return -EBADMSG;
	size_t host = (size_t)(colon - text);
	if (host >= 2 && text[0] == '[' && text[host - 1] == ']') {
		text++;
		host -= 2;
		const char *zone = memchr(text, '%', host);
		if (zone)
			host = (size_t)(zone - text);
	}
	struct addr addr;
	if (addr_parse(text, host, &addr) < 0)
		return -EBADMSG;
	peer->endpoint = addr;
	peer->endpoint_port = (uint16_t)port;
	return 0;
}

static int read_allowed(struct uapi_reader *reader, const char *text, size_t length)
{
	struct prefix prefix;
	if (++reader->allowed_total > TUNNEL_ALLOWED_MOST || prefix_parse(text, length, &prefix) < 0)
		return -EBADMSG;
	struct prefix *allowed = arena_grow(reader->arena, reader->allowed, reader->allowed_count, sizeof(*allowed),
					    &reader->allowed_capacity);
	if (!allowed)
		return -ENOMEM;
	reader->allowed = allowed;
	allowed[reader->allowed_count++] = prefix;
	return 0;
}

/* The peer that was being read has all of its lines. */
static void finish_peer(struct uapi_reader *reader)
{
	if (reader->tunnel.peer_count) {
		struct tunnel_peer *peer = &reader->peers[reader->tunnel.peer_count - 1];
		if (reader->allowed_count)
			qsort(reader->allowed, reader->allowed_count, sizeof(*reader->allowed), tunnel_compare_prefixes);
		peer->allowed = reader->allowed;
		peer->allowed_count = reader->allowed_count;
	}
	reader->allowed = NULL;
	reader->allowed_count = reader->allowed_capacity = 0;
}

static int begin_peer(struct uapi_reader *reader, const char *value, size_t length)
{
	finish_peer(reader);
	struct tunnel_peer *peers = arena_grow(reader->arena, reader->peers, reader->tunnel.peer_count, sizeof(*peers),
					       &reader->peer_capacity);
	if (!peers)
		return -ENOMEM;
	reader->peers = peers;
	if (reader->tunnel.peer_count >= TUNNEL_PEERS_MOST)
		return -EBADMSG;
	struct tunnel_peer *peer = &peers[reader->tunnel.peer_count++];
	*peer = (struct tunnel_peer){0};
	return read_key(value, length, peer->public_key);
}

static int read_device_line(struct uapi_reader *reader, const char *key, const char *value, size_t length)
{
	uint64_t number;
	int r = 0;
	if (strcmp(key, "private_key") == 0) {
		uint8_t private_key[TUNNEL_KEY_SIZE];
		r = read_key(value, length, private_key);
		if (r == 0 && !tunnel_key_is_zero(private_key))
			r = tunnel_public_key(private_key, reader->tunnel.public_key);
		explicit_bzero(private_key, sizeof(private_key));
	} else if (strcmp(key, "listen_port") == 0) {
		r = read_number(value, length, 65535, &number);
		if (r == 0)
			reader->tunnel.listen = (uint16_t)number;
	}
	return r; /* what is not known is passed over: the protocol may grow */
}

static int read_peer_line(struct uapi_reader *reader, const char *key, const char *value, size_t length)
{
	struct tunnel_peer *peer = &reader->peers[reader->tunnel.peer_count - 1];
	uint64_t number = 0;
	int r = 0;
	if (strcmp(key, "preshared_key") == 0) {
		uint8_t preshared[TUNNEL_KEY_SIZE];
		r = read_key(value, length, preshared);
		if (r == 0 && !tunnel_key_is_zero(preshared))
			tunnel_fingerprint(preshared, peer->preshared);
		explicit_bzero(preshared, sizeof(preshared));
	} else if (strcmp(key, "endpoint") == 0) {
		r = read_endpoint(value, length, peer);
	} else if (strcmp(key, "allowed_ip") == 0) {
		r = read_allowed(reader, value, length);
	} else if (strcmp(key, "persistent_keepalive_interval") == 0) {
		r = read_number(value, length, 65535, &number);
		peer->keepalive = (uint16_t)number;
	} else if (strcmp(key, "last_handshake_time_sec") == 0) {
		r = read_number(value, length, INT64_MAX, &number);
		peer->handshake = number;
	} else if (strcmp(key, "rx_bytes") == 0) {
		r = read_number(value, length, UINT64_MAX, &number);
		peer->received = number;
	} else if (strcmp(key, "tx_bytes") == 0) {
		r = read_number(value, length, UINT64_MAX, &number);
		peer->sent = number;
	}
	return r;
}

static int read_line(struct uapi_reader *reader, const char *line, size_t length)
{
	char key[40];
	const char *equals = memchr(line, '=', length);
	if (!equals || reader->ended || (size_t)(equals - line) >= sizeof(key))
		return -EBADMSG;
	size_t name = (size_t)(equals - line);
	memcpy(key, line, name);
	key[name] = '\0';
	const char *value = equals + 1;
	size_t rest = length - name - 1;
	if (strcmp(key, "errno") == 0) {
		uint64_t number;
		/* wireguard-go reports some errors as negative numbers. */
		bool minus = rest && value[0] == '-';
		int r = read_number(value + minus, rest - minus, ERRNO_MOST, &number);
		if (r == 0)
			reader->error = -(int)number;
		reader->ended = true;
		return r;
	}
	if (strcmp(key, "public_key") == 0)
		return begin_peer(reader, value, rest);
	if (reader->tunnel.peer_count)
		return read_peer_line(reader, key, value, rest);
	return read_device_line(reader, key, value, rest);
}

static int read_all(struct uapi_reader *reader, const char *text, size_t length)
{
	for (size_t at = 0; at < length;) {
		const char *end = memchr(text + at, '\n', length - at);
		if (!end)
			return -EBADMSG;
		size_t line = (size_t)(end - text) - at;
		if (line == 0)
			return reader->ended && at + 1 == length ? 0 : -EBADMSG;
		int r = read_line(reader, text + at, line);
		if (r < 0)
			return r;
		at += line + 1;
	}
	return -EBADMSG;
}

int uapi_parse(const char *text, size_t length, struct arena *arena, struct tunnel_state *ret_tunnel)
{
	struct uapi_reader reader = {.arena = arena};
	int r = read_all(&reader, text, length);
	if (r == 0 && reader.error)
		r = -EREMOTEIO;
	if (r < 0)
		return r;
	finish_peer(&reader);
	if (reader.tunnel.peer_count)
		qsort(reader.peers, reader.tunnel.peer_count, sizeof(*reader.peers), tunnel_compare_peers);
	for (size_t i = 1; i < reader.tunnel.peer_count; i++) {
		if (tunnel_compare_peers(&reader.peers[i - 1], &reader.peers[i]) == 0)
			return -EBADMSG; /* the diff would add one and remove the other, again and again */
	}
	ret_tunnel->listen = reader.tunnel.listen;
	memcpy(ret_tunnel->public_key, reader.tunnel.public_key, TUNNEL_KEY_SIZE);
	ret_tunnel->peers = reader.peers;
	ret_tunnel->peer_count = reader.tunnel.peer_count;
	return 0;
}

int uapi_parse_result(const char *text, size_t length)
{
	struct uapi_reader reader = {0};
	/* Nothing but "errno": a key before it would need an arena. */
	if (length < 6 || memcmp(text, "errno=", 6) != 0)
		return -EBADMSG;
	int r = read_all(&reader, text, length);
	return r < 0 ? r : reader.error;
}

bool uapi_is_complete(const char *text, size_t length)
{
	return length >= 2 && text[length - 1] == '\n' && text[length - 2] == '\n';
}

#define DEVICE_ROOM 160u
#define PEER_ROOM 512u
#define ALLOWED_ROOM (PREFIX_TEXT_MAX + 16u)

size_t uapi_room(const struct tunnel_change *change)
{
	size_t room = DEVICE_ROOM;
	for (size_t i = 0; i < change->count; i++)
		room += PEER_ROOM + change->peers[i].peer->allowed_count * ALLOWED_ROOM;
	return room;
}

struct uapi_writer {
	char *text;
	size_t length, room;
};

static void put(struct uapi_writer *writer, const char *text)
{
	size_t length = strlen(text);
	if (length <= writer->room - writer->length) {
		memcpy(writer->text + writer->length, text, length);
		writer->length += length;
	}
}

static void put_key(struct uapi_writer *writer, const char *name, const uint8_t key[TUNNEL_KEY_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	char hex[2 * TUNNEL_KEY_SIZE + 2];
	for (size_t i = 0; i < TUNNEL_KEY_SIZE; i++) {
		hex[2 * i] = digits[key[i] >> 4];
		hex[2 * i + 1] = digits[key[i] & 15];
	}
	hex[2 * TUNNEL_KEY_SIZE] = '\n';
	hex[2 * TUNNEL_KEY_SIZE + 1] = '\0';
	put(writer, name);
	put(writer, hex);
	explicit_bzero(hex, sizeof(hex));
}

static void put_allowed(struct uapi_writer *writer, const struct tunnel_peer *peer)
{
	char line[ALLOWED_ROOM], address[ADDR_TEXT_MAX];
	put(writer, "replace_allowed_ips=true\n");
	for (size_t i = 0; i < peer->allowed_count; i++) {
		snprintf(line, sizeof(line), "allowed_ip=%s/%u\n", addr_format(&peer->allowed[i].addr, address),
			 peer->allowed[i].length);
		put(writer, line);
	}
}

static void put_peer(struct uapi_writer *writer, const struct peer_change *change)
{
	char line[128], address[ADDR_TEXT_MAX];
	const struct tunnel_peer *peer = change->peer;
	put_key(writer, "public_key=", peer->public_key);
	if (change->remove) {
		put(writer, "remove=true\n");
		return;
	}
	if (!change->is_new)
		put(writer, "update_only=true\n");
	if (change->set_preshared)
		put_key(writer, "preshared_key=", change->preshared);
	if (change->set_endpoint) {
		snprintf(line, sizeof(line), peer->endpoint.family == FAMILY_V6 ? "endpoint=[%s]:%u\n" : "endpoint=%s:%u\n",
			 addr_format(&peer->endpoint, address), peer->endpoint_port);
		put(writer, line);
	}
	if (change->set_keepalive) {
		snprintf(line, sizeof(line), "persistent_keepalive_interval=%u\n", peer->keepalive);
		put(writer, line);
	}
	if (change->set_allowed)
		put_allowed(writer, peer);
}

size_t uapi_print(const struct tunnel_change *change, char *ret_text, size_t room)
{
	struct uapi_writer writer = {.text = ret_text, .room = room};
	char line[32];
	put(&writer, "set=1\n");
	if (change->set_device) {
		put_key(&writer, "private_key=", change->private_key);
		snprintf(line, sizeof(line), "listen_port=%u\n", change->listen);
		put(&writer, line);
	}
	for (size_t i = 0; i < change->count; i++)
		put_peer(&writer, &change->peers[i]);
	put(&writer, "\n");
	return writer.length;
}
