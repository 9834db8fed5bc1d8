/* The history's index: which revisions there are, which one is committed, which
 * one waits for its confirmation. What a revision holds is in
 * history_files.c, how files are replaced in store.c. Never fatal on what is
 * found damaged: it is logged and passed over. */
#include "history.h"

#include "history_parts.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RESERVE_NAME "reserve"
#define RESERVE_BYTES (1 << 20)

struct entry {
	uint32_t revision;
	bool damaged;
};

struct history {
	int root, revisions, blobs;
	char *dir; /* for messages */
	struct entry *entries; /* ascending */
	size_t count, capacity;
	uint32_t committed, highest; /* highest: of all numbers seen */
	uint32_t before;             /* the committed one before that; 0: not known */
	uint64_t since;              /* when the committed one came back into force; 0: it is in force since its apply */
	bool has_pending;
	struct history_pending pending;
};

static int read_boot_id(char boot_id[static 40])
{
	cleanup_fd int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, boot_id, 39);
	if (length < 1)
		return -errno;
	boot_id[length] = '\0';
	boot_id[strcspn(boot_id, "\n")] = '\0';
	return 0;
}

static uint64_t seconds_since_boot(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec;
}

static struct entry *find(const struct history *history, uint32_t revision)
{
	for (size_t i = history->count; i-- > 0;) {
		if (history->entries[i].revision == revision)
			return &history->entries[i];
	}
	return NULL;
}

static int insert_entry(struct history *history, struct entry entry)
{
	if (history->count == history->capacity) {
		size_t room = history->capacity ? history->capacity * 2 : 128;
		struct entry *grown = reallocarray(history->entries, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		history->entries = grown;
		history->capacity = room;
	}
	size_t at = history->count++;
	for (; at > 0 && history->entries[at - 1].revision > entry.revision; at--)
		history->entries[at] = history->entries[at - 1];
	history->entries[at] = entry;
	if (entry.revision > history->highest)
		history->highest = entry.revision;
	return 0;
}

static void remove_entry(struct history *history, uint32_t revision)
{
	struct entry *entry = find(history, revision);
	if (!entry)
		return;
	size_t at = (size_t)(entry - history->entries);
	memmove(entry, entry + 1, (--history->count - at) * sizeof(*entry));
}

/* An error that says nothing about the file itself: better not to start than to lose revisions. */
static bool is_passing(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

static int see_revision(void *context, const char *name)
{
	struct history *history = context;
	if (*name == '.')
		return 0;
	char *end;
	unsigned long number = strspn(name, "0123456789") == strlen(name) ? strtoul(name, &end, 10) : 0;
	char expected[REVISION_NAME_MAX];
	revision_name((uint32_t)number, expected);
	if (number == 0 || number >= UINT32_MAX || strcmp(name, expected) != 0) {
		log_warning("history", "%s/revisions/%s is no revision: passed over", history->dir, name);
		return 0;
	}
	cleanup_arena struct arena *arena = arena_new();
	struct stored_meta meta;
	int r = arena ? files_read_meta(history->revisions, (uint32_t)number, arena, &meta) : -ENOMEM;
	if (is_passing(r))
		return r;
	if (r < 0)
		log_error("history", "revision %lu is passed over: %s", number, history_why(r));
	return insert_entry(history, (struct entry){.revision = (uint32_t)number, .damaged = r < 0});
}

/* The JSON object in a small file. 0 with NULL when there is none, or it is damaged (told). */
static int read_record(const struct history *history, const char *name, json_t **ret_json)
{
	cleanup_arena struct arena *arena = arena_new();
	char *text;
	size_t length;
	int r = arena ? store_read(history->root, name, RECORD_MAX, arena, &text, &length) : -ENOMEM;
	if (is_passing(r))
		return r;
	json_t *json = r == 0 ? json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (!json && r != -ENOENT)
		log_error("history", "%s/%s is passed over: %s", history->dir, name, history_why(r < 0 ? r : -EBADMSG));
	*ret_json = json;
	return 0;
}

static int write_record(struct history *history, const char *name, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	int r = text ? store_replace(history->root, name, text, strlen(text), 0600) : -ENOMEM;
	free(text);
	return r;
}

static int read_pending(struct history *history)
{
	json_t *json = NULL;
	int r = read_record(history, "pending", &json);
	if (r < 0 || !json)
		return r;
	json_int_t revision, previous, deadline, monotonic;
	const char *boot_id;
	struct history_pending pending = {0};
	bool good = json_unpack(json, "{s:I, s:I, s:I, s:s, s:I}", "revision", &revision, "previous", &previous, "deadline",
				&deadline, "boot_id", &boot_id, "monotonic_deadline", &monotonic) == 0 &&
		    revision > 0 && revision < UINT32_MAX && previous >= 0 && previous < UINT32_MAX && deadline >= 0 &&
		    monotonic >= 0 && strlen(boot_id) < sizeof(pending.boot_id);
	if (good) {
		pending.revision = (uint32_t)revision;
		pending.previous = (uint32_t)previous;
		pending.deadline = (uint64_t)deadline;
		pending.monotonic_deadline = (uint64_t)monotonic;
		memcpy(pending.boot_id, boot_id, strlen(boot_id));
		history->pending = pending;
		history->has_pending = true;
		if (pending.revision > history->highest)
			history->highest = pending.revision;
	} else {
		log_error("history", "%s/pending is passed over: it is damaged", history->dir);
	}
	json_decref(json);
	return 0;
}

static int read_committed(struct history *history, uint32_t *ret_revision)
{
	json_t *json = NULL;
	int r = read_record(history, "committed", &json);
	if (r < 0 || !json)
		return r;
	json_int_t revision, before = 0, since = 0;
	if (json_unpack(json, "{s:I, s?I, s?I}", "revision", &revision, "before", &before, "since", &since) == 0 &&
	    revision > 0 && revision < UINT32_MAX && before >= 0 && before < UINT32_MAX && since >= 0) {
		*ret_revision = (uint32_t)revision;
		history->before = (uint32_t)before;
		history->since = (uint64_t)since;
	} else {
		log_error("history", "%s/committed is passed over: it is damaged", history->dir);
	}
	json_decref(json);
	return 0;
}

/* The newest whole revision up to most that is not waiting for its confirmation. */
static uint32_t newest_good(const struct history *history, uint32_t most)
{
	for (size_t i = history->count; i-- > 0;) {
		const struct entry *entry = &history->entries[i];
		if (!entry->damaged && entry->revision <= most &&
		    !(history->has_pending && entry->revision == history->pending.revision))
			return entry->revision;
	}
	return 0;
}

/* What is committed, as far as it can be told from what is whole. */
static int settle(struct history *history)
{
	uint32_t committed = 0;
	int r = read_pending(history);
	if (r == 0)
		r = read_committed(history, &committed);
	if (r < 0)
		return r;
	if (committed > history->highest)
		history->highest = committed;
	/* A crash came between the two halves of a confirmation. */
	if (history->has_pending && history->pending.revision == committed) {
		history->has_pending = false;
		store_remove(history->root, "pending");
	}
	const struct entry *entry = committed ? find(history, committed) : NULL;
	history->committed = committed;
	if (entry && !entry->damaged)
		return 0;
	bool lost = committed || faccessat(history->root, "committed", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	uint32_t most = committed ? committed : history->has_pending ? history->pending.previous : UINT32_MAX;
	history->committed = lost ? newest_good(history, most) : 0;
	history->since = 0;
	if (lost && history->committed)
		log_error("history", "the committed revision cannot be read: revision %u takes its place",
			  history->committed);
	else if (lost)
		log_error("history", "the committed revision cannot be read, and there is none to take its place");
	return 0;
}

static void sweep_blobs(struct history *history)
{
	uint32_t *numbers = calloc(history->count + 1, sizeof(*numbers));
	for (size_t i = 0; numbers && i < history->count; i++)
		numbers[i] = history->entries[i].revision;
	if (numbers)
		files_sweep_blobs(history->revisions, history->blobs, numbers, history->count);
	free(numbers);
}

/* Room for one more revision when somebody else has filled the disk: a rollback spends it. */
static void make_reserve(struct history *history)
{
	cleanup_fd int fd = openat(history->root, RESERVE_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat info;
	if (fd < 0 || fstat(fd, &info) < 0 || (info.st_size >= RESERVE_BYTES && info.st_blocks >= RESERVE_BYTES / 512))
		return;
	if (posix_fallocate(fd, 0, RESERVE_BYTES) != 0)
		unlinkat(history->root, RESERVE_NAME, 0);
}

bool history_spend_reserve(struct history *history)
{
	return unlinkat(history->root, RESERVE_NAME, 0) == 0;
}

int history_open(const char *state_dir, struct history **ret_history)
{
	struct history *history = calloc(1, sizeof(*history));
	if (!history)
		return -ENOMEM;
	history->revisions = history->blobs = -1;
	history->dir = strdup(state_dir);
	history->root = store_folder(AT_FDCWD, state_dir, 0700);
	int r = history->root < 0 ? history->root : history->dir ? 0 : -ENOMEM;
	if (r == 0)
		r = history->revisions = store_folder(history->root, "revisions", 0700);
	if (r >= 0)
		r = history->blobs = store_folder(history->root, "blobs", 0700);
	if (r >= 0) {
		store_clean(history->root);
		store_clean(history->revisions);
		store_clean(history->blobs);
		r = store_each(history->revisions, see_revision, history);
	}
	if (r >= 0)
		r = settle(history);
	if (r < 0) {
		history_close(&history);
		return r;
	}
	sweep_blobs(history);
	make_reserve(history);
	*ret_history = history;
	return 0;
}

int history_look(const char *state_dir, struct history_pending *ret_pending)
{
	struct history look = {.dir = (char *)state_dir, .revisions = -1, .blobs = -1};
	uint32_t committed = 0;
	cleanup_fd int root = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	look.root = root;
	int r = read_pending(&look);
	if (r == 0)
		r = read_committed(&look, &committed);
	if (r < 0 || !look.has_pending || look.pending.revision == committed)
		return r;
	*ret_pending = look.pending;
	return 1;
}

void history_close(struct history **history)
{
	if (!history || !*history)
		return;
	close_fd(&(*history)->root);
	close_fd(&(*history)->revisions);
	close_fd(&(*history)->blobs);
	free((*history)->entries);
	free((*history)->dir);
	free(*history);
	*history = NULL;
}

int history_add(struct history *history, const struct source_file *files, size_t count, const struct history_meta *meta,
		struct arena *arena, uint32_t *ret_revision, const char **ret_error)
{
	uint32_t revision = history->highest + 1;
	if (revision == UINT32_MAX)
		return history_fail(arena, ret_error, -ERANGE, "there are no more numbers for revisions");
	int r = insert_entry(history, (struct entry){.revision = revision});
	if (r < 0)
		return history_fail(arena, ret_error, r, "cannot store revision %u", revision);
	r = files_add(history->revisions, history->blobs, revision, files, count, meta, arena, ret_error);
	if (r < 0) {
		remove_entry(history, revision);
		history->highest = revision - 1;
		return r;
	}
	*ret_revision = revision;
	return 0;
}

/* Beyond the kept ones the oldest go; what cannot be removed now is tried again next time. */
static void prune(struct history *history)
{
	bool removed = false;
	for (size_t i = 0; history->count > HISTORY_KEPT && i < history->count;) {
		uint32_t revision = history->entries[i].revision;
		char name[REVISION_NAME_MAX];
		revision_name(revision, name);
		bool needed = revision == history->committed || revision == history->before ||
			      (history->has_pending && (revision == history->pending.revision ||
							revision == history->pending.previous));
		int r = needed ? -EBUSY : store_remove_folder(history->revisions, name);
		if (r < 0) {
			if (!needed)
				log_warning("history", "revision %u is not removed: %s", revision, strerror(-r));
			i++;
			continue;
		}
		remove_entry(history, revision);
		removed = true;
	}
	if (removed)
		sweep_blobs(history);
}

static int write_committed(struct history *history, uint32_t revision, uint32_t before, uint64_t since)
{
	return write_record(history, "committed",
			    json_pack("{s:I, s:I, s:I}", "revision", (json_int_t)revision, "before", (json_int_t)before,
				      "since", (json_int_t)since));
}

int history_commit(struct history *history, uint32_t revision, struct arena *arena, const char **ret_error)
{
	const struct entry *entry = find(history, revision);
	if (!entry || entry->damaged)
		return history_fail(arena, ret_error, -ENOENT, "cannot commit revision %u", revision);
	uint32_t before = revision == history->committed ? history->before : history->committed;
	uint64_t since = revision == history->committed ? history->since : 0;
	int r = write_committed(history, revision, before, since);
	if (r < 0)
		return history_fail(arena, ret_error, r, "cannot commit revision %u", revision);
	history->committed = revision;
	history->before = before;
	history->since = since;
	if (history->has_pending && history->pending.revision == revision) {
		history->has_pending = false;
		/* Left behind it means nothing, since that revision is committed. */
		r = store_remove(history->root, "pending");
		if (r < 0)
			log_warning("history", "%s/pending is not removed: %s", history->dir, strerror(-r));
	}
	prune(history);
	make_reserve(history);
	return 0;
}

uint32_t history_committed(const struct history *history)
{
	return history->committed;
}

bool history_is_new(const struct history *history)
{
	return history->highest == 0;
}

uint32_t history_before(const struct history *history)
{
	const struct entry *entry = history->before ? find(history, history->before) : NULL;
	return entry && !entry->damaged ? entry->revision : 0;
}

void history_discard(struct history *history, uint32_t revision)
{
	if (revision == history->committed)
		return;
	if (history->has_pending && history->pending.revision == revision)
		history_clear_pending(history);
	char name[REVISION_NAME_MAX];
	revision_name(revision, name);
	int r = store_remove_folder(history->revisions, name);
	if (r < 0)
		log_warning("history", "revision %u is not removed: %s", revision, strerror(-r));
	else
		remove_entry(history, revision);
	sweep_blobs(history);
}

int history_set_pending(struct history *history, uint32_t revision, uint64_t seconds, struct arena *arena,
			const char **ret_error)
{
	struct history_pending pending = {
		.revision = revision,
		.previous = history->committed,
		.deadline = (uint64_t)time(NULL) + seconds,
		.monotonic_deadline = seconds_since_boot() + seconds,
	};
	const struct entry *entry = find(history, revision);
	int r = entry && !entry->damaged ? read_boot_id(pending.boot_id) : -ENOENT;
	if (r == 0)
		r = write_record(history, "pending",
				 json_pack("{s:I, s:I, s:I, s:s, s:I}", "revision", (json_int_t)pending.revision, "previous",
					   (json_int_t)pending.previous, "deadline", (json_int_t)pending.deadline,
					   "boot_id", pending.boot_id, "monotonic_deadline",
					   (json_int_t)pending.monotonic_deadline));
	if (r < 0)
		return history_fail(arena, ret_error, r, "cannot keep the deadline of revision %u on disk", revision);
	history->pending = pending;
	history->has_pending = true;
	return 0;
}

bool history_pending(const struct history *history, struct history_pending *ret_pending)
{
	if (history->has_pending)
		*ret_pending = history->pending;
	return history->has_pending;
}

uint64_t history_pending_seconds_left(const struct history_pending *pending)
{
	char boot_id[40];
	uint64_t now = seconds_since_boot();
	if (read_boot_id(boot_id) < 0 || strcmp(boot_id, pending->boot_id) != 0 || now >= pending->monotonic_deadline)
		return 0;
	return pending->monotonic_deadline - now;
}

int history_clear_pending(struct history *history)
{
	int r = store_remove(history->root, "pending");
	if (r == 0)
		history->has_pending = false;
	return r;
}

void history_lapse(struct history *history, uint64_t now)
{
	if (!history->has_pending) {
		history_clear_pending(history); /* one that was damaged */
		return;
	}
	int r = files_mark_lapsed(history->revisions, history->pending.revision);
	if (r < 0)
		log_warning("history", "revision %u is not marked as lapsed: %s", history->pending.revision, strerror(-r));
	history->since = now;
	r = history->committed ? write_committed(history, history->committed, history->before, now) : 0;
	if (r < 0)
		log_warning("history", "since when revision %u is in force again is not kept: %s", history->committed,
			    strerror(-r));
	r = history_clear_pending(history);
	if (r < 0)
		log_warning("history", "%s/pending is not removed: %s", history->dir, strerror(-r));
}

uint64_t history_since(const struct history *history, uint32_t revision)
{
	cleanup_arena struct arena *arena = arena_new();
	struct stored_meta meta;
	if (revision == history->committed && history->since)
		return history->since;
	if (!arena || !find(history, revision) || files_read_meta(history->revisions, revision, arena, &meta) < 0)
		return 0;
	return meta.meta.time;
}

void history_recognise(struct history *history, uint32_t revision, struct source_file *file, struct arena *arena)
{
	if (find(history, revision))
		files_recognise(history->revisions, history->blobs, revision, file, arena);
}

int history_list(struct history *history, struct arena *arena, struct history_meta **ret_list, size_t *ret_count)
{
	struct history_meta *list = arena_array(arena, history->count, struct history_meta);
	size_t count = 0;
	if (!list)
		return -ENOMEM;
	for (size_t i = history->count; i-- > 0;) {
		struct stored_meta stored;
		int r = history->entries[i].damaged
				? -EBADMSG
				: files_read_meta(history->revisions, history->entries[i].revision, arena, &stored);
		if (is_passing(r))
			return r;
		if (r == 0)
			list[count++] = stored.meta;
	}
	*ret_list = list;
	*ret_count = count;
	return 0;
}

int history_load(struct history *history, uint32_t revision, struct arena *arena, struct source_file **ret_files,
		 size_t *ret_count, const char **ret_error)
{
	if (!find(history, revision)) {
		const char *none = arena_printf(arena, "there is no revision %u", revision);
		if (none && history->count)
			none = arena_printf(arena, "%s (%u to %u are there)", none, history->entries[0].revision,
					    history->entries[history->count - 1].revision);
		*ret_error = none ? none : "out of memory";
		return -ENOENT;
	}
	return files_load(history->revisions, history->blobs, revision, arena, ret_files, ret_count, ret_error);
}

bool history_same(struct history *history, uint32_t revision, const struct source_file *files, size_t count,
		  struct arena *arena)
{
	return find(history, revision) && files_same(history->revisions, revision, files, count, arena);
}

int history_root(const struct history *history)
{
	return history->root;
}

bool history_has_file(struct history *history, const struct source_file *file, struct arena *arena)
{
	char hash[HASH_TEXT];
	if (history_hash(file->text, file->length, hash) < 0)
		return false;
	for (size_t i = history->count; i-- > 0;) {
		struct stored_meta stored;
		if (history->entries[i].damaged ||
		    files_read_meta(history->revisions, history->entries[i].revision, arena, &stored) < 0)
			continue;
		for (size_t j = 0; j < stored.file_count; j++)
			if (strcmp(stored.files[j].name, file->name) == 0 && strcmp(stored.files[j].hash, hash) == 0)
				return true;
	}
	return false;
}
