/* The history against a disk that fails at every call in turn: an error leaves
 * what was there, a kill or a power failure leaves the old or the new, and
 * either way the next start finds whole revisions and can go on. */
#include "disk/crash_disk.c"

#include "../../daemon/history.h"

#include <dirent.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

/* With ASan: freed memory that is kept makes every one of some thousand forks slower. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=4";
}

#define CALLS_MOST 400
#define BLOB 70000

/* base: of the whole test; the others lie in a folder of their own for each run. */
static char base[40], run_dir[60], dir[80], stash_dir[80], config[96];

static struct source_file file_of(const char *name, const char *text)
{
	return (struct source_file){.name = name, .text = text, .length = strlen(text)};
}

static const char *blob(void)
{
	static char text[BLOB + 1];
	memset(text, 'x', BLOB);
	return text;
}

static int add(struct history *history, const char *text, struct arena *arena, uint32_t *ret_revision)
{
	struct source_file files[] = {file_of("edged.yaml", text), file_of("conf.d/a.yaml", "a: 1\n"),
				      file_of("blocklists/abuse.txt", blob())};
	struct history_meta meta = {.time = 1700000000, .user = "ann"};
	const char *error;
	return history_add(history, files, 3, &meta, arena, ret_revision, &error);
}

/* Revision N has the text "revision N". */
static int add_numbered(struct history *history, uint32_t number, struct arena *arena)
{
	char text[40];
	uint32_t revision;
	snprintf(text, sizeof(text), "revision %u", number);
	int r = add(history, text, arena, &revision);
	if (r == 0 && revision != number)
		abort();
	return r;
}

static int save_runtime(struct history *history, const char *draining)
{
	struct runtime *runtime = runtime_new();
	runtime_set_draining(runtime, draining, true);
	int r = history_save_runtime(history, runtime, 0);
	runtime_free(&runtime);
	return r;
}

static void new_folders(void)
{
	static unsigned runs;
	snprintf(run_dir, sizeof(run_dir), "%s/%u", base, runs++);
	snprintf(dir, sizeof(dir), "%s/state", run_dir);
	snprintf(stash_dir, sizeof(stash_dir), "%s/stash", run_dir);
	snprintf(config, sizeof(config), "%s/etc/edged.yaml", run_dir);
	assert_int_equal(mkdir(run_dir, 0700), 0);
	assert_int_equal(mkdir(stash_dir, 0700), 0);
	*strrchr(config, '/') = '\0';
	assert_int_equal(mkdir(config, 0700), 0);
	config[strlen(config)] = '/';
}

/* Revisions 1 to 3, 2 committed, a drained node; in the configuration folder two files. */
static void prepare(void)
{
	cleanup_arena struct arena *arena = arena_new();
	struct history *history;
	const char *error;
	new_folders();
	assert_int_equal(history_open(dir, &history), 0);
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(add_numbered(history, i, arena), 0);
	assert_int_equal(history_commit(history, 2, arena, &error), 0);
	assert_int_equal(save_runtime(history, "old"), 0);
	history_close(&history);
	struct source_file files[] = {file_of("edged.yaml", "old"), file_of("conf.d/a.yaml", "old")};
	assert_int_equal(folder_write(config, files, 2, arena, &error), 0);
}

/* What the history says after a start. */
struct found {
	uint32_t committed, newest;
	size_t count;
	bool pending;
	struct history_pending record;
	char draining[20], main_file[20], extra_file[20];
	bool has_other;
};

struct scenario {
	const char *name;
	int (*run)(struct history *history, struct arena *arena);
	bool (*is_old)(const struct found *found);
	bool (*is_new)(const struct found *found);
};

static bool untouched(const struct found *found)
{
	return found->committed == 2 && found->newest == 3 && !found->pending && strcmp(found->draining, "old") == 0 &&
	       strcmp(found->main_file, "old") == 0 && strcmp(found->extra_file, "old") == 0;
}

static int run_add(struct history *history, struct arena *arena)
{
	return add_numbered(history, 4, arena);
}

static bool added(const struct found *found)
{
	return found->committed == 2 && found->newest == 4 && !found->pending;
}

static int run_commit(struct history *history, struct arena *arena)
{
	const char *error;
	return history_commit(history, 3, arena, &error);
}

static bool committed(const struct found *found)
{
	return found->committed == 3 && found->newest == 3 && !found->pending;
}

static int run_pending(struct history *history, struct arena *arena)
{
	const char *error;
	return history_set_pending(history, 3, 600, arena, &error);
}

static bool pending(const struct found *found)
{
	return found->committed == 2 && found->pending && found->record.revision == 3 && found->record.previous == 2 &&
	       history_pending_seconds_left(&found->record) > 500;
}

/* The disk is fine until the confirmation. */
static int run_confirm(struct history *history, struct arena *arena)
{
	enum disk_fault kind = fault;
	fault = DISK_FINE;
	run_pending(history, arena);
	fault = kind;
	return run_commit(history, arena);
}

static int run_clear(struct history *history, struct arena *arena)
{
	enum disk_fault kind = fault;
	fault = DISK_FINE;
	run_pending(history, arena);
	fault = kind;
	return history_clear_pending(history);
}

static int run_lapse(struct history *history, struct arena *arena)
{
	enum disk_fault kind = fault;
	fault = DISK_FINE;
	run_pending(history, arena);
	fault = kind;
	history_lapse(history, 1800000000);
	return 0;
}

/* With the record still there, the next start does all of it again. */
static bool lapsed_or_not(const struct found *found)
{
	return found->committed == 2 && found->newest == 3 && (!found->pending || pending(found));
}

static int run_discard(struct history *history, struct arena *arena)
{
	(void)arena;
	history_discard(history, 3);
	return 0;
}

static bool discarded_or_not(const struct found *found)
{
	return found->committed == 2 && (found->newest == 2 || found->newest == 3) && !found->pending;
}

static int run_runtime(struct history *history, struct arena *arena)
{
	(void)arena;
	return save_runtime(history, "new");
}

static bool runtime_saved(const struct found *found)
{
	return found->committed == 2 && strcmp(found->draining, "new") == 0;
}

static int run_folder(struct history *history, struct arena *arena)
{
	(void)history;
	const char *error;
	struct source_file files[] = {file_of("edged.yaml", "new"), file_of("conf.d/b.yaml", "new"),
				      file_of("blocklists/abuse.txt", blob())};
	return folder_write(config, files, 3, arena, &error);
}

/* One by one: any of the files may be old or new, but none is anything else. */
static bool folder_mixed(const struct found *found)
{
	return (strcmp(found->main_file, "old") == 0 || strcmp(found->main_file, "new") == 0) &&
	       (strcmp(found->extra_file, "old") == 0 || strcmp(found->extra_file, "") == 0);
}

static bool folder_new(const struct found *found)
{
	return strcmp(found->main_file, "new") == 0 && strcmp(found->extra_file, "") == 0 && found->has_other;
}

static const struct scenario scenarios[] = {
	{"add", run_add, untouched, added},
	{"commit", run_commit, untouched, committed},
	{"set pending", run_pending, untouched, pending},
	{"confirm", run_confirm, pending, committed},
	{"clear pending", run_clear, pending, untouched},
	{"lapse", run_lapse, pending, lapsed_or_not},
	{"discard", run_discard, untouched, discarded_or_not},
	{"save run data", run_runtime, untouched, runtime_saved},
	{"write the folder", run_folder, folder_mixed, folder_new},
};

static void read_config(const char *name, char *text)
{
	cleanup_arena struct arena *arena = arena_new();
	struct source_file file;
	text[0] = '\0';
	int r = folder_read_file(config, name, arena, &file);
	if (r == 0)
		snprintf(text, 20, "%.19s", file.length > 19 ? "large" : file.text);
	else
		assert_int_equal(r, -ENOENT);
}

/* Nothing half-made is left by a start. Returns how many names there are. */
static size_t check_leftovers(const char *folder)
{
	size_t count = 0;
	DIR *stream = opendir(folder);
	assert_non_null(stream);
	for (const struct dirent *entry; (entry = readdir(stream));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		assert_int_not_equal(entry->d_name[0], '.');
		count++;
	}
	closedir(stream);
	return count;
}

static struct found look(void)
{
	cleanup_arena struct arena *arena = arena_new();
	struct history *history;
	struct history_meta *list;
	struct found found = {0};
	const char *error;
	assert_int_equal(history_open(dir, &history), 0);
	check_leftovers(dir);
	found.committed = history_committed(history);
	found.pending = history_pending(history, &found.record);
	assert_int_equal(history_list(history, arena, &list, &found.count), 0);
	for (size_t i = 0; i < found.count; i++) {
		struct source_file *files;
		size_t count;
		char text[40];
		if (history_load(history, list[i].revision, arena, &files, &count, &error) < 0)
			fail_msg("%s", error);
		snprintf(text, sizeof(text), "revision %u", list[i].revision);
		assert_string_equal(files[0].text, text);
		assert_int_equal(files[2].length, BLOB);
	}
	found.newest = list[0].revision;
	assert_true(found.count == found.newest);
	assert_int_equal(check_leftovers(arena_printf(arena, "%s/revisions", dir)), found.count);
	struct runtime *runtime = runtime_new();
	assert_int_equal(history_load_runtime(history, runtime), 0);
	const struct rundata *run = runtime_view(runtime, 0);
	if (run->draining_count == 1)
		snprintf(found.draining, sizeof(found.draining), "%s", run->draining[0]);
	runtime_free(&runtime);
	char other[20];
	read_config("edged.yaml", found.main_file);
	read_config("conf.d/a.yaml", found.extra_file);
	read_config("conf.d/b.yaml", other);
	found.has_other = strcmp(other, "new") == 0;
	/* And it can go on. */
	uint32_t revision;
	assert_int_equal(add(history, "next", arena, &revision), 0);
	assert_int_equal(history_commit(history, revision, arena, &error), 0);
	history_close(&history);
	return found;
}

/* The exit status of a child that runs the scenario on the failing disk: 0 done, 1 refused, DISK_EXIT ended,
 * 2 the disk never failed. */
static int run_child(const struct scenario *scenario, enum disk_fault kind, size_t call)
{
	fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		cleanup_arena struct arena *arena = arena_new();
		struct history *history = NULL;
		int nowhere = open("/dev/null", O_WRONLY);
		dup2(nowhere, 2);
		if (history_open(dir, &history) < 0)
			_exit(3);
		disk_set(kind, call, stash_dir);
		int r = scenario->run(history, arena);
		/* What was reported as done survives a power failure right after it. */
		if (disk_calls() < call && kind >= DISK_POWER_OUT)
			lose_power();
		_exit(disk_calls() < call ? 2 : r < 0 ? 1 : 0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_every_call(void **unused)
{
	(void)unused;
	static const char *const names[] = {"fine",	   "fails",		    "full",	       "killed",
					    "power out", "power out, names kept", "power out, mixed"};
	size_t ended = 0, refused = 0;
	for (size_t s = 0; s < sizeof(scenarios) / sizeof(scenarios[0]); s++) {
		const struct scenario *scenario = &scenarios[s];
		for (enum disk_fault kind = DISK_FAILS; kind < DISK_FAULTS; kind++) {
			size_t call = 1;
			for (; call < CALLS_MOST; call++) {
				prepare();
				int status = run_child(scenario, kind, call);
				struct found found = look();
				bool old = scenario->is_old(&found), new = scenario->is_new(&found);
				bool good = status == DISK_EXIT ? old || new : status == 1 ? old : new;
				if (!good || status == 3)
					fail_msg("%s, %s at call %zu: status %d; committed %u, newest %u, pending %d, \"%s\", "
						 "\"%s\", \"%s\"",
						 scenario->name, names[kind], call, status, found.committed, found.newest,
						 found.pending, found.draining, found.main_file, found.extra_file);
				ended += status == DISK_EXIT;
				refused += status == 1;
				if (status == 2)
					break;
			}
			assert_in_range(call, 3, CALLS_MOST - 1);
		}
	}
	assert_true(ended > 200);
	assert_true(refused > 80);
}

/* What people read when the disk is full. */
static void test_messages(void **unused)
{
	(void)unused;
	prepare();
	cleanup_arena struct arena *arena = arena_new();
	struct history *history;
	struct source_file file = file_of("edged.yaml", "x");
	struct history_meta meta = {0};
	const char *error = NULL;
	uint32_t revision;
	assert_int_equal(history_open(dir, &history), 0);
	disk_set(DISK_FULL, 1, stash_dir);
	assert_int_equal(history_add(history, &file, 1, &meta, arena, &revision, &error), -ENOSPC);
	assert_string_equal(error, "cannot store revision 4: No space left on device");
	assert_int_equal(history_commit(history, 3, arena, &error), -ENOSPC);
	assert_string_equal(error, "cannot commit revision 3: No space left on device");
	assert_int_equal(history_set_pending(history, 3, 60, arena, &error), -ENOSPC);
	assert_string_equal(error, "cannot keep the deadline of revision 3 on disk: No space left on device");
	assert_int_equal(folder_write(config, &file, 1, arena, &error), -ENOSPC);
	const char *expected = arena_printf(arena, "cannot write %s: No space left on device", config);
	assert_string_equal(error, expected);
	disk_set(DISK_FINE, 0, stash_dir);
	assert_int_equal(history_committed(history), 2);
	history_close(&history);
	struct found found = look();
	assert_true(untouched(&found));
}

static int set_up(void **state)
{
	(void)state;
	/* In memory where that is to be had: this makes many thousand files. */
	snprintf(base, sizeof(base), "%s/history-crash-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(base));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_call), cmocka_unit_test(test_messages)};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
