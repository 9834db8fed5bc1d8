/* The key files. A key is made once, synced before it is used, and never
 * replaced here. It never logs, and leaves no copy in memory behind. */
#include "tunnel_keys.h"

#include "kernel/tunnel_backend.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MOST 128
#define NAME_MOST 128

struct tunnel_keys {
	int folder;
	struct tunnel_secrets secrets;
};

void tunnel_key_format(const uint8_t key[TUNNEL_KEY_SIZE], char ret_text[TUNNEL_KEY_TEXT])
{
	EVP_EncodeBlock((unsigned char *)ret_text, key, TUNNEL_KEY_SIZE);
}

/* 44 characters of base64, the last one '='; a newline may follow. */
int tunnel_key_parse(const char *text, size_t length, uint8_t ret_key[TUNNEL_KEY_SIZE])
{
	unsigned char decoded[TUNNEL_KEY_SIZE + 1];
	if (length && text[length - 1] == '\n')
		length--;
	int r = -EBADMSG;
	if (length == TUNNEL_KEY_TEXT - 1 && text[length - 1] == '=' && text[length - 2] != '=' &&
	    EVP_DecodeBlock(decoded, (const unsigned char *)text, (int)length) == TUNNEL_KEY_SIZE + 1) {
		memcpy(ret_key, decoded, TUNNEL_KEY_SIZE);
		r = 0;
	}
	explicit_bzero(decoded, sizeof(decoded));
	return r;
}

static int read_key(const struct tunnel_keys *keys, const char *name, uint8_t ret_key[TUNNEL_KEY_SIZE])
{
	char text[FILE_MOST];
	struct stat status;
	int fd = openat(keys->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int r = fstat(fd, &status) < 0 ? -errno : 0;
	/* Whoever else can read it has it: better no tunnel than one that somebody can join. */
	if (r == 0 && (!S_ISREG(status.st_mode) || status.st_mode & 077 || status.st_uid != geteuid()))
		r = -EACCES;
	ssize_t length = r == 0 ? read(fd, text, sizeof(text)) : -1;
	if (r == 0)
		r = length < 0 ? -errno : tunnel_key_parse(text, (size_t)length, ret_key);
	explicit_bzero(text, sizeof(text));
	close(fd);
	return r;
}

static int make_random(uint8_t ret_key[TUNNEL_KEY_SIZE])
{
	uint8_t key[TUNNEL_KEY_SIZE];
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return -EIO;
	memcpy(ret_key, key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	return 0;
}

/* As RFC 7748 section 5 wants an X25519 scalar, and as `wg genkey` writes it. */
static void clamp(uint8_t key[TUNNEL_KEY_SIZE])
{
	key[0] &= 248;
	key[31] = (uint8_t)((key[31] & 127) | 64);
}

static int write_key(const struct tunnel_keys *keys, const char *name, const uint8_t key[TUNNEL_KEY_SIZE])
{
	char text[TUNNEL_KEY_TEXT];
	tunnel_key_format(key, text);
	text[TUNNEL_KEY_TEXT - 1] = '\n';
	int r = store_replace(keys->folder, name, text, TUNNEL_KEY_TEXT, 0600);
	explicit_bzero(text, sizeof(text));
	return r;
}

/* The key of that file, made when there is none. The caller wipes it. */
static int have_key(const struct tunnel_keys *keys, const char *name, bool scalar, uint8_t ret_key[TUNNEL_KEY_SIZE])
{
	int r = read_key(keys, name, ret_key);
	if (r != -ENOENT)
		return r;
	r = make_random(ret_key);
	if (r < 0)
		return r;
	if (scalar)
		clamp(ret_key);
	return write_key(keys, name, ret_key);
}

static int private_name(const char *tunnel, char ret_name[NAME_MOST])
{
	return snprintf(ret_name, NAME_MOST, "%s.key", tunnel) < NAME_MOST ? 0 : -ENAMETOOLONG;
}

static int preshared_name(const char *tunnel, const char *peer, char ret_name[NAME_MOST])
{
	return snprintf(ret_name, NAME_MOST, "%s@%s.psk", peer, tunnel) < NAME_MOST ? 0 : -ENAMETOOLONG;
}

static int load_private(void *context, const char *tunnel, uint8_t ret_key[TUNNEL_KEY_SIZE])
{
	char name[NAME_MOST];
	int r = private_name(tunnel, name);
	return r < 0 ? r : read_key(context, name, ret_key);
}

static int load_preshared(void *context, const char *tunnel, const char *peer, uint8_t ret_key[TUNNEL_KEY_SIZE])
{
	char name[NAME_MOST];
	int r = preshared_name(tunnel, peer, name);
	return r < 0 ? r : read_key(context, name, ret_key);
}

int tunnel_keys_reveal_preshared(const struct tunnel_keys *keys, const char *tunnel, const char *peer,
				 uint8_t ret_key[TUNNEL_KEY_SIZE])
{
	return load_preshared(keys->secrets.context, tunnel, peer, ret_key);
}

int tunnel_keys_private(const struct tunnel_keys *keys, const char *tunnel, uint8_t ret_public[TUNNEL_KEY_SIZE])
{
	char name[NAME_MOST];
	uint8_t key[TUNNEL_KEY_SIZE];
	int r = private_name(tunnel, name);
	if (r == 0)
		r = have_key(keys, name, true, key);
	if (r == 0)
		r = tunnel_public_key(key, ret_public);
	explicit_bzero(key, sizeof(key));
	return r;
}

int tunnel_keys_preshared(const struct tunnel_keys *keys, const char *tunnel, const char *peer,
			  uint8_t ret_fingerprint[TUNNEL_KEY_SIZE])
{
	char name[NAME_MOST];
	uint8_t key[TUNNEL_KEY_SIZE];
	int r = preshared_name(tunnel, peer, name);
	if (r == 0)
		r = have_key(keys, name, false, key);
	if (r == 0)
		tunnel_fingerprint(key, ret_fingerprint);
	explicit_bzero(key, sizeof(key));
	return r;
}

int tunnel_keys_set_private(const struct tunnel_keys *keys, const char *tunnel, const uint8_t key[TUNNEL_KEY_SIZE])
{
	char name[NAME_MOST];
	int r = private_name(tunnel, name);
	return r < 0 ? r : write_key(keys, name, key);
}

int tunnel_keys_set_preshared(const struct tunnel_keys *keys, const char *tunnel, const char *peer,
			      const uint8_t key[TUNNEL_KEY_SIZE])
{
	char name[NAME_MOST];
	int r = preshared_name(tunnel, peer, name);
	return r < 0 ? r : write_key(keys, name, key);
}

struct forgetting {
	int folder;
	char private[NAME_MOST], suffix[NAME_MOST];
};

static int forget_one(void *context, const char *name)
{
	const struct forgetting *forgetting = context;
	size_t length = strlen(name), suffix = strlen(forgetting->suffix);
	bool preshared = length > suffix && strcmp(name + length - suffix, forgetting->suffix) == 0;
	if (!preshared && strcmp(name, forgetting->private) != 0)
		return 0;
	return store_remove(forgetting->folder, name);
}

int tunnel_keys_forget(const struct tunnel_keys *keys, const char *device)
{
	struct forgetting forgetting = {.folder = keys->folder};
	int r = private_name(device, forgetting.private);
	if (r == 0)
		r = preshared_name(device, "", forgetting.suffix);
	return r < 0 ? r : store_each(keys->folder, forget_one, &forgetting);
}

static int rotation_name(const char *tunnel, char ret_name[NAME_MOST])
{
	return snprintf(ret_name, NAME_MOST, "%s.rotation", tunnel) < NAME_MOST ? 0 : -ENAMETOOLONG;
}

int tunnel_keys_load_rotation(const struct tunnel_keys *keys, const char *tunnel, struct rotation *ret_rotation)
{
	cleanup_arena struct arena *arena = arena_new();
	char name[NAME_MOST], *text;
	size_t length;
	int r = arena ? rotation_name(tunnel, name) : -ENOMEM;
	if (r == 0)
		r = store_read(keys->folder, name, ROTATION_TEXT_MOST, arena, &text, &length);
	if (r == -ENOENT) {
		*ret_rotation = (struct rotation){0};
		return 0;
	}
	return r < 0 ? r : rotation_parse(text, length, ret_rotation);
}

int tunnel_keys_save_rotation(const struct tunnel_keys *keys, const char *tunnel, const struct rotation *rotation)
{
	char name[NAME_MOST], *text = rotation_print(rotation);
	int r = text ? rotation_name(tunnel, name) : -ENOMEM;
	if (r == 0)
		r = store_replace(keys->folder, name, text, strlen(text), 0600);
	free(text);
	return r;
}

int tunnel_keys_pair(uint8_t ret_private[TUNNEL_KEY_SIZE], uint8_t ret_public[TUNNEL_KEY_SIZE])
{
	uint8_t key[TUNNEL_KEY_SIZE];
	int r = make_random(key);
	clamp(key);
	if (r == 0)
		r = tunnel_public_key(key, ret_public);
	if (r == 0)
		memcpy(ret_private, key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	return r;
}

int tunnel_keys_open(const char *state_dir, struct tunnel_keys **ret_keys)
{
	struct tunnel_keys *keys = calloc(1, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	int dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	keys->folder = dir < 0 ? -errno : store_folder(dir, "keys", 0700);
	if (dir >= 0)
		close(dir);
	if (keys->folder < 0) {
		int r = keys->folder;
		free(keys);
		return r;
	}
	store_clean(keys->folder);
	keys->secrets = (struct tunnel_secrets){.private_key = load_private, .preshared_key = load_preshared, .context = keys};
	*ret_keys = keys;
	return 0;
}

void tunnel_keys_close(struct tunnel_keys **keys)
{
	if (!keys || !*keys)
		return;
	close((*keys)->folder);
	free(*keys);
	*keys = NULL;
}

const struct tunnel_secrets *tunnel_keys_secrets(const struct tunnel_keys *keys)
{
	return &keys->secrets;
}
