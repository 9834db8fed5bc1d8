/* Reads bundles: a tar archive of four members in one order, and nothing else.
 * Nothing of a file is believed before its signature was checked; the parts
 * are believed by the hashes that the signed manifest has. Hashing and
 * signatures are OpenSSL's. */
#include "image_bundle.h"

#include "image_keys.h"

#include "../rules/base/arena.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAR_BLOCK 512
#define TAR_END_MOST (20 * TAR_BLOCK) /* tar fills the file up to a record with zeros */
#define MANIFEST_MOST 4096
#define PART_MOST (UINT64_C(1) << 32)
#define CHUNK ((size_t)1 << 20)

struct bundle {
	struct arena *arena;
	const char *path, *key;
	int fd;
	uint64_t size;           /* of the file */
	uint64_t at[SLOT_PARTS]; /* in the file */
	struct bundle_manifest manifest;
	unsigned char chunk[CHUNK];
};

static const char *const part_names[] = {"boot", "root"};
static_assert(sizeof(part_names) / sizeof(*part_names) == SLOT_PARTS, "a name for each part");

void bundle_free(struct bundle **bundle)
{
	if (*bundle && (*bundle)->fd >= 0)
		close((*bundle)->fd);
	free(*bundle);
	*bundle = NULL;
}

const struct bundle_manifest *bundle_manifest(const struct bundle *bundle)
{
	return &bundle->manifest;
}

const char *bundle_key(const struct bundle *bundle)
{
	return bundle->key;
}

/* Returns error, with the sentence in *ret_why. */
__attribute__((format(printf, 4, 5))) static int refuse(struct bundle *bundle, int error, const char **ret_why,
							const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *why = arena_vprintf(bundle->arena, format, args);
	va_end(args);
	*ret_why = why ? why : "out of memory";
	return error;
}

static int refuse_format(struct bundle *bundle, const char **ret_why)
{
	return refuse(bundle, -EBADMSG, ret_why, "%s is no bundle of this format: give the edged-VERSION.bundle of a build",
		      bundle->path);
}

static int refuse_incomplete(struct bundle *bundle, const char **ret_why)
{
	return refuse(bundle, -EBADMSG, ret_why,
		      "%s is incomplete: copy it once more, and compare its sha256sum with where it came from", bundle->path);
}

static int refuse_damaged(struct bundle *bundle, const char *part, const char **ret_why)
{
	return refuse(bundle, -EBADMSG, ret_why, "%s is damaged: its part %s is not what was signed. Copy it once more",
		      bundle->path, part);
}

static int refuse_read(struct bundle *bundle, const char **ret_why)
{
	int error = errno;
	return refuse(bundle, -error, ret_why, "%s cannot be read: %s", bundle->path, strerror(error));
}

/* All of size bytes at offset; short files are incomplete ones. */
static int read_at(struct bundle *bundle, uint64_t offset, void *data, size_t size, const char **ret_why)
{
	for (size_t done = 0; done < size;) {
		ssize_t got = pread(bundle->fd, (char *)data + done, size - done, (off_t)(offset + done));
		if (got < 0 && errno != EINTR)
			return refuse_read(bundle, ret_why);
		if (got == 0)
			return refuse_incomplete(bundle, ret_why);
		done += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

/* An octal number of a tar header; UINT64_MAX: it is none. */
static uint64_t octal(const char *text, size_t size)
{
	uint64_t number = 0;
	size_t i = 0;
	for (; i < size && text[i] >= '0' && text[i] <= '7'; i++)
		number = number * 8 + (uint64_t)(text[i] - '0');
	return i > 0 && (i == size || text[i] == 0 || text[i] == ' ') ? number : UINT64_MAX;
}

/* The member at *at (POSIX ustar, IEEE 1003.1 pax): 0 with its name and size, *at behind the header. */
static int read_header(struct bundle *bundle, uint64_t *at, char ret_name[101], uint64_t *ret_size, const char **ret_why)
{
	struct {
		char name[100], mode[8], uid[8], gid[8], size[12], time[12], sum[8], type, link[100], magic[6], rest[249];
	} head;
	static_assert(sizeof(head) == TAR_BLOCK, "a header is a block");
	int r = read_at(bundle, *at, &head, sizeof(head), ret_why);
	if (r < 0)
		return r;
	uint64_t sum = 8 * ' ', said = octal(head.sum, sizeof(head.sum));
	for (size_t i = 0; i < sizeof(head); i++)
		sum += i >= offsetof(typeof(head), sum) && i < offsetof(typeof(head), type) ? 0 : ((unsigned char *)&head)[i];
	uint64_t size = octal(head.size, sizeof(head.size));
	if (memcmp(head.magic, "ustar", 6) != 0 || sum != said || head.type != '0' || size >= PART_MOST)
		return refuse_format(bundle, ret_why);
	memcpy(ret_name, head.name, sizeof(head.name));
	ret_name[sizeof(head.name)] = 0;
	*ret_size = size;
	*at += TAR_BLOCK;
	return 0;
}

static uint64_t padded(uint64_t size)
{
	return (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

static int hex_hash(const char *text, unsigned char ret_hash[32])
{
	for (size_t i = 0; i < 32; i++) {
		unsigned value;
		if (strspn(text + 2 * i, "0123456789abcdef") < 2 || sscanf(text + 2 * i, "%2x", &value) != 1)
			return -EINVAL;
		ret_hash[i] = (unsigned char)value;
	}
	return text[64] ? -EINVAL : 0;
}

/* The signed text: four lines of this form, nothing else. */
static int parse_manifest(char *text, struct bundle_manifest *manifest)
{
	char *save = NULL, *rest = NULL, *line = strtok_r(text, "\n", &save);
	if (!line || strcmp(line, "edged-bundle 1") != 0)
		return -EINVAL;
	line = strtok_r(NULL, "\n", &save);
	if (!line || strncmp(line, "version ", 8) != 0 || !image_version_valid(line + 8))
		return -EINVAL;
	snprintf(manifest->version, sizeof(manifest->version), "%s", line + 8);
	for (unsigned i = 0; i < SLOT_PARTS; i++) {
		size_t length = strlen(part_names[i]);
		line = strtok_r(NULL, "\n", &save);
		if (!line || strncmp(line, part_names[i], length) != 0 || line[length] != ' ' || line[length + 1] < '0' ||
		    line[length + 1] > '9')
			return -EINVAL;
		errno = 0;
		manifest->parts[i].size = strtoull(line + length + 1, &rest, 10);
		if (errno || *rest != ' ' || hex_hash(rest + 1, manifest->parts[i].hash) < 0)
			return -EINVAL;
	}
	return strtok_r(NULL, "\n", &save) ? -EINVAL : 0;
}

/* The manifest when a known key has signed it; *at is behind the signature then. */
static int read_signed(struct bundle *bundle, bundle_keys folders, uint64_t *at, const char **ret_why)
{
	char name[101], text[MANIFEST_MOST + 1];
	unsigned char signature[IMAGE_SIGNATURE_SIZE];
	uint64_t size, signature_size = 0;
	int r = read_header(bundle, at, name, &size, ret_why);
	if (r < 0)
		return r;
	if (strcmp(name, "manifest") != 0 || size == 0 || size > MANIFEST_MOST)
		return refuse_format(bundle, ret_why);
	r = read_at(bundle, *at, text, size, ret_why);
	*at += padded(size);
	if (r == 0)
		r = read_header(bundle, at, name, &signature_size, ret_why);
	if (r < 0)
		return r;
	if (strcmp(name, part_names[0]) == 0)
		return refuse(bundle, -ENOKEY, ret_why, "%s is not signed: whoever holds the key signs it with image/sign.sh",
			      bundle->path);
	if (strcmp(name, "manifest.sig") != 0)
		return refuse_format(bundle, ret_why);
	if (signature_size != IMAGE_SIGNATURE_SIZE)
		return refuse(bundle, -EKEYREJECTED, ret_why, "the signature of %s has %" PRIu64 " bytes instead of 64: "
			      "sign it again with image/sign.sh and an Ed25519 key", bundle->path, signature_size);
	r = read_at(bundle, *at, signature, sizeof(signature), ret_why);
	*at += padded(sizeof(signature));
	if (r < 0)
		return r;
	r = image_keys_verify(bundle->arena, folders, text, size, signature, &bundle->key);
	if (r == -ENOKEY)
		return refuse(bundle, r, ret_why, "this machine knows no public key: put the one whose private half signs your "
			      "bundles into %s as NAME.pem", folders[0]);
	if (r < 0)
		return refuse(bundle, r, ret_why, "no key of this machine has signed %s: take the bundle from where you "
			      "trust it, or put its public key into %s as NAME.pem", bundle->path, folders[0]);
	text[size] = 0;
	if (strlen(text) != size || parse_manifest(text, &bundle->manifest) < 0)
		return refuse(bundle, -EBADMSG, ret_why, "%s is signed, but of a newer format: install an image in between",
			      bundle->path);
	return 0;
}

/* Where the parts lie; the file ends behind them. */
static int find_parts(struct bundle *bundle, uint64_t at, const char **ret_why)
{
	char name[101];
	uint64_t size;
	for (unsigned i = 0; i < SLOT_PARTS; i++) {
		int r = read_header(bundle, &at, name, &size, ret_why);
		if (r < 0)
			return r;
		if (strcmp(name, part_names[i]) != 0 || size != bundle->manifest.parts[i].size)
			return refuse_damaged(bundle, part_names[i], ret_why);
		bundle->at[i] = at;
		at += padded(size);
	}
	if (at > bundle->size)
		return refuse_incomplete(bundle, ret_why);
	return bundle->size - at > TAR_END_MOST ? refuse_format(bundle, ret_why) : 0;
}

int bundle_open(struct arena *arena, const char *path, bundle_keys folders, struct bundle **ret_bundle, const char **ret_why)
{
	struct stat status;
	uint64_t at = 0;
	cleanup_bundle struct bundle *bundle = calloc(1, sizeof(*bundle));
	*ret_why = "out of memory";
	if (!bundle)
		return -ENOMEM;
	bundle->arena = arena;
	bundle->path = path;
	bundle->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (bundle->fd < 0 || fstat(bundle->fd, &status) < 0)
		return refuse_read(bundle, ret_why);
	if (!S_ISREG(status.st_mode))
		return refuse(bundle, -EINVAL, ret_why, "%s is not a file", path);
	bundle->size = (uint64_t)status.st_size;
	int r = read_signed(bundle, folders, &at, ret_why);
	if (r == 0)
		r = find_parts(bundle, at, ret_why);
	if (r < 0)
		return r;
	*ret_bundle = bundle;
	bundle = NULL;
	return 0;
}

static int write_all(int fd, const unsigned char *data, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		ssize_t put = pwrite(fd, data + done, size - done, (off_t)(offset + done));
		if (put < 0 && errno != EINTR)
			return -errno;
		done += put > 0 ? (size_t)put : 0;
	}
	return 0;
}

/* Hash a part as fd has it at offset; a copy goes to the beginning of to, when that is not -1. -EBADMSG: it is another. */
static int walk(struct bundle *bundle, enum slot_part part, int fd, uint64_t offset, int to)
{
	unsigned char hash[32];
	uint64_t size = bundle->manifest.parts[part].size;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int r = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
	for (uint64_t done = 0; r == 0 && done < size;) {
		size_t wanted = size - done < CHUNK ? (size_t)(size - done) : CHUNK;
		ssize_t got = pread(fd, bundle->chunk, wanted, (off_t)(offset + done));
		if (got <= 0) {
			r = got == 0 ? -EBADMSG : errno == EINTR ? 0 : -errno;
			continue;
		}
		if (EVP_DigestUpdate(context, bundle->chunk, (size_t)got) != 1)
			r = -ENOMEM;
		else if (to >= 0)
			r = write_all(to, bundle->chunk, (size_t)got, done);
		done += (uint64_t)got;
		/* In small steps: a firewall's memory is not for holding a whole slot that waits to be written. */
		if (r == 0 && to >= 0 && done % (8 * CHUNK) == 0 && fdatasync(to) < 0)
			r = -errno;
	}
	if (r == 0)
		r = EVP_DigestFinal_ex(context, hash, NULL) != 1 ? -ENOMEM
		    : memcmp(hash, bundle->manifest.parts[part].hash, sizeof(hash)) != 0 ? -EBADMSG : 0;
	EVP_MD_CTX_free(context);
	return r;
}

int bundle_check(struct bundle *bundle, const char **ret_why)
{
	for (unsigned i = 0; i < SLOT_PARTS; i++) {
		int r = walk(bundle, (enum slot_part)i, bundle->fd, bundle->at[i], -1);
		if (r == -EBADMSG)
			return refuse_damaged(bundle, part_names[i], ret_why);
		if (r < 0)
			return refuse(bundle, r, ret_why, "%s cannot be checked: %s", bundle->path, strerror(-r));
	}
	return 0;
}

int bundle_fits(struct bundle *bundle, enum slot_part part, int fd, const char **ret_why)
{
	off_t room = lseek(fd, 0, SEEK_END);
	if (room >= 0 && (uint64_t)room < bundle->manifest.parts[part].size)
		return refuse(bundle, -ENOSPC, ret_why, "the part %s has %" PRIu64 " bytes, and its partition %jd: this "
			      "machine's disk was laid out for smaller images, so replace the machine", part_names[part],
			      bundle->manifest.parts[part].size, (intmax_t)room);
	return 0;
}

int bundle_copy(struct bundle *bundle, enum slot_part part, int fd, const char **ret_why)
{
	int r = walk(bundle, part, bundle->fd, bundle->at[part], fd);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == -EBADMSG)
		return refuse(bundle, r, ret_why, "%s was changed while it was read: install it once more", bundle->path);
	return r == 0 ? 0 : refuse(bundle, r, ret_why, "the part %s cannot be written: %s", part_names[part], strerror(-r));
}

int bundle_compare(struct bundle *bundle, enum slot_part part, int fd, const char **ret_why)
{
	/* What is on the disk already and not in use is let go, so that it is read from there. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	int r = walk(bundle, part, fd, 0, -1);
	if (r == -EBADMSG)
		return refuse(bundle, -EIO, ret_why, "the disk does not hold what was written to it (part %s): it is damaged, "
			      "so replace the machine", part_names[part]);
	return r == 0 ? 0 : refuse(bundle, r, ret_why, "the part %s cannot be read back: %s", part_names[part], strerror(-r));
}
