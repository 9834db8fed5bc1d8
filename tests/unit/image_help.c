/* Makes what the tests of slots and bundles work on: partitions that are files,
 * keys, and bundles as image/bundle.sh and image/sign.sh write them. Any
 * failure here ends the program. */
#include "image_help.h"

#include "../../rules/base/arena.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned char part_data[SLOT_PARTS][HELP_ROOT_SIZE];
static const size_t part_sizes[] = {HELP_BOOT_SIZE, HELP_ROOT_SIZE};
static const char *const part_names[] = {"boot", "root"};

static void need(bool done)
{
	if (!done)
		abort();
}

void image_kit_write(const struct image_kit *kit, const char *name, const void *data, size_t size)
{
	char path[100];
	snprintf(path, sizeof(path), "%s/%s", kit->folder, name);
	FILE *file = fopen(path, "w");
	need(file && fwrite(data, 1, size, file) == size);
	need(fclose(file) == 0);
}

static void put_member(FILE *file, const char *name, const void *data, size_t size)
{
	static const char zeros[512];
	char head[512] = {0};
	unsigned sum = 8 * ' ';
	snprintf(head, 100, "%s", name);
	memcpy(head + 100, "0000644\0000000000\0000000000", 23);
	snprintf(head + 124, 12, "%011zo", size);
	memcpy(head + 136, "00000000000", 11);
	head[156] = '0';
	memcpy(head + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(head); i++)
		sum += i >= 148 && i < 156 ? 0 : (unsigned char)head[i];
	snprintf(head + 148, 8, "%06o", sum);
	need(fwrite(head, 1, sizeof(head), file) == sizeof(head));
	need(fwrite(data, 1, size, file) == size);
	size_t rest = (512 - size % 512) % 512;
	need(fwrite(zeros, 1, rest, file) == rest);
}

static void right_manifest(char *text, size_t size)
{
	size_t length = (size_t)snprintf(text, size, "edged-bundle 1\nversion 2\n");
	for (unsigned i = 0; i < SLOT_PARTS; i++) {
		unsigned char hash[32];
		need(EVP_Digest(part_data[i], part_sizes[i], hash, NULL, EVP_sha256(), NULL) == 1);
		length += (size_t)snprintf(text + length, size - length, "%s %zu ", part_names[i], part_sizes[i]);
		for (size_t j = 0; j < sizeof(hash); j++)
			length += (size_t)snprintf(text + length, size - length, "%02x", hash[j]);
		length += (size_t)snprintf(text + length, size - length, "\n");
	}
}

void image_kit_bundle(struct image_kit *kit, const char *name, const char *manifest, EVP_PKEY *key)
{
	char path[100], text[600];
	right_manifest(text, sizeof(text));
	manifest = manifest ? manifest : text;
	snprintf(path, sizeof(path), "%s/%s", kit->folder, name);
	FILE *file = fopen(path, "w");
	need(file != NULL);
	put_member(file, "manifest", manifest, strlen(manifest));
	if (key) {
		unsigned char signature[64];
		size_t size = sizeof(signature);
		EVP_MD_CTX *context = EVP_MD_CTX_new();
		need(context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
		     EVP_DigestSign(context, signature, &size, (const unsigned char *)manifest, strlen(manifest)) == 1);
		EVP_MD_CTX_free(context);
		put_member(file, "manifest.sig", signature, size);
	}
	for (unsigned i = 0; i < SLOT_PARTS; i++)
		put_member(file, part_names[i], part_data[i], part_sizes[i]);
	static const char end[1024];
	need(fwrite(end, 1, sizeof(end), file) == sizeof(end) && fclose(file) == 0);
}

void image_kit_key(const struct image_kit *kit, const char *name, EVP_PKEY *key)
{
	char path[100];
	snprintf(path, sizeof(path), "%s/keys/%s.pem", kit->folder, name);
	FILE *file = fopen(path, "w");
	need(file && PEM_write_PUBKEY(file, key) == 1 && fclose(file) == 0);
}

void image_kit_make(struct image_kit *kit)
{
	*kit = (struct image_kit){.arena = arena_new(), .key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
	strcpy(kit->folder, "/tmp/edged-image-XXXXXX");
	need(kit->arena && kit->key && mkdtemp(kit->folder));
	for (unsigned i = 0; i < SLOT_PARTS; i++) {
		for (size_t j = 0; j < part_sizes[i]; j++)
			part_data[i][j] = (unsigned char)(j * 2654435761u >> 13 ^ i);
	}
	kit->places = (struct image_places){.booted = SLOT_A, .state = arena_printf(kit->arena, "%s/state", kit->folder),
					    .keep = arena_printf(kit->arena, "%s/keep", kit->folder)};
	for (unsigned i = 0; i < SLOTS; i++) {
		for (unsigned j = 0; j < SLOT_PARTS; j++)
			kit->places.parts[i][j] =
				arena_printf(kit->arena, "%s/%s-%s", kit->folder, part_names[j], slot_names[i]);
	}
	kit->folders[0] = arena_printf(kit->arena, "%s/keys", kit->folder);
	kit->bundle = arena_printf(kit->arena, "%s/bundle", kit->folder);
	need(mkdir(kit->folders[0], 0700) == 0);
	image_kit_key(kit, "good", kit->key);
	image_kit_bundle(kit, "bundle", NULL, kit->key);
	image_kit_reset(kit);
}

void image_kit_free(struct image_kit *kit)
{
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", kit->folder);
	need(system(command) == 0);
	EVP_PKEY_free(kit->key);
	arena_free(&kit->arena);
}

/* What slot a holds at first: not what the bundle does. */
static unsigned char old_byte(size_t at)
{
	return (unsigned char)(at * 40503u >> 7);
}

void image_kit_reset(struct image_kit *kit)
{
	static unsigned char data[HELP_ROOT_SIZE + 5000];
	char block[BOOT_STATE_AT + BOOT_STATE_SIZE] = {0};
	struct boot_state state = {.left = IMAGE_TRIES, .slots = {{SLOT_GOOD, "1"}, {SLOT_EMPTY, ""}}};
	boot_state_print(&state, block + BOOT_STATE_AT);
	image_kit_write(kit, "state", block, sizeof(block));
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = old_byte(i);
	image_kit_write(kit, "boot-a", data, HELP_BOOT_SIZE + 5000);
	image_kit_write(kit, "root-a", data, sizeof(data));
	memset(data, 0, sizeof(data));
	image_kit_write(kit, "boot-b", data, HELP_BOOT_SIZE + 5000);
	image_kit_write(kit, "root-b", data, sizeof(data));
}

static size_t read_part(const struct image_kit *kit, enum slot slot, enum slot_part part, unsigned char *data, size_t most)
{
	FILE *file = fopen(kit->places.parts[slot][part], "r");
	need(file != NULL);
	size_t size = fread(data, 1, most, file);
	fclose(file);
	return size;
}

bool image_kit_holds_bundle(const struct image_kit *kit, enum slot slot)
{
	static unsigned char data[HELP_ROOT_SIZE];
	for (unsigned i = 0; i < SLOT_PARTS; i++) {
		if (read_part(kit, slot, (enum slot_part)i, data, part_sizes[i]) != part_sizes[i] ||
		    memcmp(data, part_data[i], part_sizes[i]) != 0)
			return false;
	}
	return true;
}

bool image_kit_has_old(const struct image_kit *kit)
{
	static unsigned char data[HELP_ROOT_SIZE + 5000];
	for (unsigned i = 0; i < SLOT_PARTS; i++) {
		size_t size = read_part(kit, SLOT_A, (enum slot_part)i, data, sizeof(data));
		if (size != part_sizes[i] + 5000)
			return false;
		for (size_t j = 0; j < size; j++) {
			if (data[j] != old_byte(j))
				return false;
		}
	}
	return true;
}

void image_kit_read_state(const struct image_kit *kit, struct boot_state *ret_state)
{
	int fd = open(kit->places.state, O_RDONLY | O_CLOEXEC);
	need(fd >= 0 && image_state_read(fd, ret_state) == 0);
	close(fd);
}
