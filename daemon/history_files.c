/* Revisions on disk: one folder each, with meta.json and the small files; large
 * files (blocklists) are blobs named by their hash, which revisions share.
 * A revision appears whole, by one rename, or not at all. */
#include "history_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void json_free(json_t **json)
{
	json_decref(*json);
}
#define cleanup_json __attribute__((cleanup(json_free)))

const char *history_why(int error)
{
	return error == -EBADMSG ? "it is damaged" : strerror(-error);
}

int history_fail(struct arena *arena, const char **ret_error, int error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	const char *text = arena_vprintf(arena, format, args);
	va_end(args);
	text = text ? arena_printf(arena, "%s: %s", text, history_why(error)) : NULL;
	*ret_error = text ? text : "out of memory";
	return error;
}

void revision_name(uint32_t revision, char *name)
{
	snprintf(name, REVISION_NAME_MAX, "%06u", revision);
}

static void hash_text(const uint8_t hash[static 32], char *ret_text)
{
	for (size_t i = 0; i < 32; i++)
		snprintf(ret_text + 2 * i, 3, "%02x", hash[i]);
}

/* NULL when out of memory: then it is made again where it is needed. */
static const uint8_t *hash_bytes(const char *text, struct arena *arena)
{
	uint8_t *hash = arena_alloc(arena, 32);
	for (size_t i = 0; hash && i < 32; i++)
		sscanf(text + 2 * i, "%2hhx", &hash[i]);
	return hash;
}

int history_hash(const void *data, size_t length, char *ret_hash)
{
	uint8_t hash[32];
	if (EVP_Digest(data, length, hash, NULL, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	hash_text(hash, ret_hash);
	return 0;
}

bool history_name_is_good(const char *name)
{
	cleanup_json json_t *json = json_string(name);
	if (!json || !*name || *name == '/' || strlen(name) > 255)
		return false;
	for (const char *part = name; part;) {
		size_t length = strcspn(part, "/");
		if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part = part[length] ? part + length + 1 : NULL;
	}
	return true;
}

/* The file's name in the revision's folder: "conf.d%2F10-a.yaml". NULL when it would get too long. */
static const char *stored_name(struct arena *arena, const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	char text[256];
	size_t length = 0;
	for (const char *c = name; *c; c++) {
		if (length > 240)
			return NULL;
		bool good = strchr(plain, *c) && !(c == name && *c == '.');
		length += (size_t)snprintf(text + length, sizeof(text) - length, good ? "%c" : "%%%02X", (unsigned char)*c);
	}
	/* Never the same as our own file's. */
	return arena_printf(arena, "%s%s", strcmp(text, META_NAME) == 0 ? "%" : "", text);
}

static json_t *meta_json(const struct stored_meta *stored)
{
	cleanup_json json_t *files = json_array();
	for (size_t i = 0; i < stored->file_count; i++) {
		const struct stored_file *file = &stored->files[i];
		if (json_array_append_new(files, json_pack("{s:s, s:s*, s:s, s:I}", "name", file->name, "stored",
							   file->stored, "sha256", file->hash, "size",
							   (json_int_t)file->size)) < 0)
			return NULL;
	}
	const struct history_meta *meta = &stored->meta;
	return json_pack("{s:I, s:I, s:o, s:o, s:o, s:O}", "revision", (json_int_t)meta->revision, "time",
			 (json_int_t)meta->time, "user", show_text(meta->user), "message", show_text(meta->message),
			 "summary", show_text(meta->summary), "files", files);
}

static char *text_of(struct arena *arena, const json_t *json)
{
	return json_is_string(json) ? arena_strdup(arena, json_string_value(json)) : NULL;
}

static int parse_file(const json_t *json, struct arena *arena, struct stored_file *ret_file)
{
	const char *name, *stored = NULL, *hash;
	json_int_t size;
	if (json_unpack((json_t *)(uintptr_t)json, "{s:s, s?s, s:s, s:I}", "name", &name, "stored", &stored, "sha256", &hash,
			"size", &size) < 0 ||
	    !history_name_is_good(name) || (stored && (strchr(stored, '/') || *stored == '.')) ||
	    strspn(hash, "0123456789abcdef") != HASH_TEXT - 1 || hash[HASH_TEXT - 1] || size < 0 ||
	    size > (json_int_t)HISTORY_FILE_MAX)
		return -EBADMSG;
	struct stored_file file = {.name = arena_strdup(arena, name),
				   .stored = stored ? arena_strdup(arena, stored) : NULL,
				   .size = (size_t)size};
	memcpy(file.hash, hash, HASH_TEXT);
	if (!file.name || (stored && !file.stored))
		return -ENOMEM;
	*ret_file = file;
	return 0;
}

static int parse_meta(const char *text, size_t length, uint32_t revision, struct arena *arena,
		      struct stored_meta *ret_meta)
{
	cleanup_json json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
	json_int_t number, time;
	json_t *files;
	if (!json || json_unpack(json, "{s:I, s:I, s:o}", "revision", &number, "time", &time, "files", &files) < 0 ||
	    number != (json_int_t)revision || time < 0 || !json_is_array(files) ||
	    json_array_size(files) > HISTORY_FILES_MAX)
		return -EBADMSG;
	struct stored_meta stored = {.meta = {.revision = revision,
					      .time = (uint64_t)time,
					      .user = text_of(arena, json_object_get(json, "user")),
					      .message = text_of(arena, json_object_get(json, "message")),
					      .summary = text_of(arena, json_object_get(json, "summary"))}};
	stored.files = arena_array(arena, json_array_size(files), struct stored_file);
	if (!stored.files)
		return -ENOMEM;
	for (; stored.file_count < json_array_size(files); stored.file_count++) {
		int r = parse_file(json_array_get(files, stored.file_count), arena, &stored.files[stored.file_count]);
		if (r < 0)
			return r;
	}
	*ret_meta = stored;
	return 0;
}

static int open_revision(int revisions, uint32_t revision)
{
	char name[REVISION_NAME_MAX];
	revision_name(revision, name);
	int fd = openat(revisions, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int files_read_meta(int revisions, uint32_t revision, struct arena *arena, struct stored_meta *ret_meta)
{
	char *text;
	size_t length;
	cleanup_fd int folder = open_revision(revisions, revision);
	int r = folder < 0 ? folder : store_read(folder, META_NAME, META_MAX, arena, &text, &length);
	if (r == 0)
		r = parse_meta(text, length, revision, arena, ret_meta);
	if (r == 0)
		ret_meta->meta.lapsed = faccessat(folder, LAPSED_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	return r;
}

int files_mark_lapsed(int revisions, uint32_t revision)
{
	cleanup_fd int folder = open_revision(revisions, revision);
	if (folder < 0)
		return folder;
	store_clean(folder); /* of a crash while this was written before */
	return store_replace(folder, LAPSED_NAME, "", 0, 0600);
}

/* The file of this name in a revision. */
static const struct stored_file *find_stored(const struct stored_meta *stored, const char *name)
{
	for (size_t i = 0; i < stored->file_count; i++)
		if (strcmp(stored->files[i].name, name) == 0)
			return &stored->files[i];
	return NULL;
}

/* Has the blob these very bytes? Ten times quicker to tell than the hash of a blocklist is made. */
static bool is_blob(int blobs, const struct stored_file *blob, const char *text, size_t length)
{
	char chunk[65536];
	cleanup_fd int fd = openat(blobs, blob->hash, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || length != blob->size)
		return false;
	for (;;) {
		ssize_t got = read(fd, chunk, sizeof(chunk));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0 && length == 0;
		if ((size_t)got > length || memcmp(chunk, text, (size_t)got) != 0)
			return false;
		text += got;
		length -= (size_t)got;
	}
}

void files_recognise(int revisions, int blobs, uint32_t revision, struct source_file *file, struct arena *arena)
{
	struct stored_meta stored = {0};
	if (file->length <= BLOB_ABOVE || files_read_meta(revisions, revision, arena, &stored) < 0)
		return;
	const struct stored_file *old = find_stored(&stored, file->name);
	if (old && !old->stored && is_blob(blobs, old, file->text, file->length))
		file->sha256 = hash_bytes(old->hash, arena);
}

/* The hash as text: known, or made now. */
static int hash_file(const struct source_file *file, char *ret_hash)
{
	if (!file->sha256)
		return history_hash(file->text, file->length, ret_hash);
	hash_text(file->sha256, ret_hash);
	return 0;
}

/* What will be stored where; nothing is written yet. */
static int describe(const struct source_file *files, size_t count, const struct history_meta *meta, uint32_t revision,
		    struct arena *arena, struct stored_meta *ret_meta, const char **ret_error)
{
	struct stored_meta stored = {.meta = *meta, .file_count = count};
	stored.meta.revision = revision;
	if (count > HISTORY_FILES_MAX)
		return history_fail(arena, ret_error, -E2BIG, "%zu files are too many (at most %d)", count, HISTORY_FILES_MAX);
	stored.files = arena_array(arena, count, struct stored_file);
	if (!stored.files)
		return history_fail(arena, ret_error, -ENOMEM, "cannot store the revision");
	for (size_t i = 0; i < count; i++) {
		struct stored_file *file = &stored.files[i];
		if (!history_name_is_good(files[i].name))
			return history_fail(arena, ret_error, -EINVAL, "\"%s\" is no name for a file of the configuration",
					    files[i].name);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(files[i].name, files[j].name) == 0)
				return history_fail(arena, ret_error, -EINVAL, "there are two files named \"%s\"",
						    files[i].name);
		}
		if (files[i].length > HISTORY_FILE_MAX)
			return history_fail(arena, ret_error, -EFBIG, "%s has %zu bytes (at most %u)", files[i].name,
					    files[i].length, HISTORY_FILE_MAX);
		file->name = files[i].name;
		file->size = files[i].length;
		file->stored = files[i].length > BLOB_ABOVE ? NULL : stored_name(arena, files[i].name);
		int r = hash_file(&files[i], file->hash);
		if (r < 0)
			return history_fail(arena, ret_error, r, "cannot store the revision");
	}
	*ret_meta = stored;
	return 0;
}

static int write_blob(int blobs, const struct stored_file *file, const char *text)
{
	/* One that is there but damaged is written anew. */
	if (is_blob(blobs, file, text, file->size))
		return 0;
	return store_replace(blobs, file->hash, text, file->size, 0600);
}

static int write_files(int folder, int blobs, const struct stored_meta *stored, const struct source_file *files)
{
	for (size_t i = 0; i < stored->file_count; i++) {
		const struct stored_file *file = &stored->files[i];
		int r = file->stored ? store_write_new(folder, file->stored, files[i].text, file->size, 0600)
				     : write_blob(blobs, file, files[i].text);
		if (r < 0)
			return r;
	}
	cleanup_json json_t *json = meta_json(stored);
	char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	int r = text ? store_write_new(folder, META_NAME, text, strlen(text), 0600) : -ENOMEM;
	free(text);
	return r < 0 ? r : fsync(folder) < 0 ? -errno : 0;
}

int files_add(int revisions, int blobs, uint32_t revision, const struct source_file *files, size_t count,
	      const struct history_meta *meta, struct arena *arena, const char **ret_error)
{
	struct stored_meta stored = {0};
	int r = describe(files, count, meta, revision, arena, &stored, ret_error);
	if (r < 0)
		return r;
	char name[REVISION_NAME_MAX], making[REVISION_NAME_MAX + sizeof(STORE_TEMPORARY)];
	revision_name(revision, name);
	snprintf(making, sizeof(making), STORE_TEMPORARY "%s", name);
	store_remove_folder(revisions, making);
	/* The folder's own entry needs no sync before it gets its name. */
	r = mkdirat(revisions, making, 0700) < 0 ? -errno : 0;
	cleanup_fd int folder = openat(revisions, making, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r == 0)
		r = folder < 0 ? -errno : write_files(folder, blobs, &stored, files);
	bool placed = r == 0 && renameat(revisions, making, revisions, name) == 0;
	if (r == 0 && !placed)
		r = -errno;
	if (placed && fsync(revisions) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	store_remove_folder(revisions, placed ? name : making);
	return history_fail(arena, ret_error, r, "cannot store revision %u", revision);
}

static int load_file(int folder, int blobs, const struct stored_file *stored, struct arena *arena,
		     struct source_file *ret_file)
{
	char *text, hash[HASH_TEXT];
	size_t length;
	int r = store_read(stored->stored ? folder : blobs, stored->stored ? stored->stored : stored->hash,
			   HISTORY_FILE_MAX, arena, &text, &length);
	if (r == 0)
		r = history_hash(text, length, hash);
	if (r == 0 && (length != stored->size || strcmp(hash, stored->hash) != 0))
		r = -EBADMSG;
	if (r == 0)
		*ret_file = (struct source_file){.name = stored->name,
						 .text = text,
						 .length = length,
						 .sha256 = hash_bytes(stored->hash, arena)};
	return r;
}

int files_load(int revisions, int blobs, uint32_t revision, struct arena *arena, struct source_file **ret_files,
	       size_t *ret_count, const char **ret_error)
{
	struct stored_meta stored = {0};
	cleanup_fd int folder = open_revision(revisions, revision);
	int r = folder < 0 ? folder : files_read_meta(revisions, revision, arena, &stored);
	if (r < 0)
		return history_fail(arena, ret_error, r, "cannot read revision %u", revision);
	struct source_file *files = arena_array(arena, stored.file_count, struct source_file);
	if (!files)
		return history_fail(arena, ret_error, -ENOMEM, "cannot read revision %u", revision);
	for (size_t i = 0; i < stored.file_count; i++) {
		r = load_file(folder, blobs, &stored.files[i], arena, &files[i]);
		if (r < 0)
			return history_fail(arena, ret_error, r, "cannot read %s of revision %u", stored.files[i].name,
					    revision);
	}
	*ret_files = files;
	*ret_count = stored.file_count;
	return 0;
}

bool files_same(int revisions, uint32_t revision, const struct source_file *files, size_t count, struct arena *arena)
{
	struct stored_meta stored = {0};
	if (files_read_meta(revisions, revision, arena, &stored) < 0 || stored.file_count != count)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct stored_file *file = find_stored(&stored, files[i].name);
		char hash[HASH_TEXT];
		if (!file || file->size != files[i].length || hash_file(&files[i], hash) < 0 ||
		    strcmp(hash, file->hash) != 0)
			return false;
	}
	return true;
}

struct sweep {
	int blobs;
	char (*needed)[HASH_TEXT];
	size_t count, capacity;
};

static int compare_hashes(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int sweep_one(void *context, const char *name)
{
	struct sweep *sweep = context;
	bool needed = sweep->count &&
		      bsearch(name, sweep->needed, sweep->count, sizeof(*sweep->needed), compare_hashes);
	if (!needed && strlen(name) == HASH_TEXT - 1)
		unlinkat(sweep->blobs, name, 0);
	return 0;
}

int files_sweep_blobs(int revisions, int blobs, const uint32_t *numbers, size_t count)
{
	cleanup_arena struct arena *arena = arena_new();
	struct sweep sweep = {.blobs = blobs};
	for (size_t i = 0; arena && i < count; i++) {
		struct stored_meta stored;
		int r = files_read_meta(revisions, numbers[i], arena, &stored);
		if (r < 0)
			return r;
		for (size_t j = 0; j < stored.file_count; j++) {
			if (stored.files[j].stored)
				continue;
			char(*needed)[HASH_TEXT] =
				arena_grow(arena, sweep.needed, sweep.count, sizeof(*needed), &sweep.capacity);
			if (!needed)
				return -ENOMEM;
			sweep.needed = needed;
			memcpy(needed[sweep.count++], stored.files[j].hash, HASH_TEXT);
		}
	}
	if (!arena)
		return -ENOMEM;
	if (sweep.count)
		qsort(sweep.needed, sweep.count, sizeof(*sweep.needed), compare_hashes);
	return store_each(blobs, sweep_one, &sweep);
}
