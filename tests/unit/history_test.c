/* The history on a folder of its own: adding, committing, pending, pruning,
 * shared blobs, damage, run data. Power loss is in history_crash_test.c. */
#include "../../daemon/history.h"
#include "../../daemon/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char dir[40], state[60];
	struct history *history;
	struct arena *arena;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	strcpy(fixture->dir, "/tmp/history-test-XXXXXX");
	assert_non_null(mkdtemp(fixture->dir));
	snprintf(fixture->state, sizeof(fixture->state), "%s/state", fixture->dir);
	fixture->arena = arena_new();
	assert_int_equal(history_open(fixture->state, &fixture->history), 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	char command[80];
	history_close(&fixture->history);
	arena_free(&fixture->arena);
	snprintf(command, sizeof(command), "rm -rf %s", fixture->dir);
	assert_int_equal(system(command), 0);
	free(fixture);
	return 0;
}

static void reopen(struct fixture *fixture)
{
	history_close(&fixture->history);
	assert_int_equal(history_open(fixture->state, &fixture->history), 0);
}

static const char *path(struct fixture *fixture, const char *name)
{
	return arena_printf(fixture->arena, "%s/%s", fixture->state, name);
}

static void write_text(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static size_t count_names(const char *folder)
{
	size_t count = 0;
	DIR *stream = opendir(folder);
	assert_non_null(stream);
	for (const struct dirent *entry; (entry = readdir(stream));)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(stream);
	return count;
}

static struct source_file file_of(const char *name, const char *text)
{
	return (struct source_file){.name = name, .text = text, .length = strlen(text)};
}

static uint32_t add(struct fixture *fixture, const char *text)
{
	struct source_file files[] = {file_of("edged.yaml", text), file_of("conf.d/10-a.yaml", "a: 1\n"),
				      file_of("blocklists/empty.txt", "")};
	struct history_meta meta = {.time = 1700000000, .user = "ann", .message = "why \"not\"\n", .summary = "+ x"};
	uint32_t revision = 0;
	const char *error = NULL;
	assert_int_equal(history_add(fixture->history, files, 3, &meta, fixture->arena, &revision, &error), 0);
	assert_null(error);
	return revision;
}

static void commit(struct fixture *fixture, uint32_t revision)
{
	const char *error = NULL;
	int r = history_commit(fixture->history, revision, fixture->arena, &error);
	if (r < 0)
		fail_msg("%s", error);
}

static const char *main_text(struct fixture *fixture, uint32_t revision)
{
	struct source_file *files;
	size_t count;
	const char *error = NULL;
	if (history_load(fixture->history, revision, fixture->arena, &files, &count, &error) < 0)
		return error;
	assert_int_equal(count, 3);
	assert_string_equal(files[0].name, "edged.yaml");
	assert_string_equal(files[1].name, "conf.d/10-a.yaml");
	assert_string_equal(files[1].text, "a: 1\n");
	assert_int_equal(files[2].length, 0);
	return files[0].text;
}

static void test_add_and_load(void **state)
{
	struct fixture *fixture = *state;
	assert_int_equal(history_committed(fixture->history), 0);
	assert_int_equal(add(fixture, "one"), 1);
	assert_int_equal(add(fixture, "two"), 2);
	commit(fixture, 1);
	for (int again = 0; again < 2; again++, reopen(fixture)) {
		struct history_meta *list;
		size_t count;
		assert_int_equal(history_committed(fixture->history), 1);
		assert_string_equal(main_text(fixture, 1), "one");
		assert_string_equal(main_text(fixture, 2), "two");
		assert_string_equal(main_text(fixture, 3), "there is no revision 3 (1 to 2 are there)");
		assert_int_equal(history_list(fixture->history, fixture->arena, &list, &count), 0);
		assert_int_equal(count, 2);
		assert_int_equal(list[0].revision, 2);
		assert_int_equal(list[1].revision, 1);
		assert_int_equal(list[0].time, 1700000000);
		assert_string_equal(list[0].user, "ann");
		assert_string_equal(list[0].message, "why \"not\"\n");
		assert_string_equal(list[0].summary, "+ x");
	}
	history_discard(fixture->history, 2);
	history_discard(fixture->history, 1); /* committed: stays */
	assert_string_equal(main_text(fixture, 1), "one");
	reopen(fixture);
	assert_string_equal(main_text(fixture, 2), "there is no revision 2 (1 to 1 are there)");
	assert_int_equal(add(fixture, "two again"), 2);
}

static void test_bad_names(void **state)
{
	struct fixture *fixture = *state;
	static const char *const names[] = {"",     "/etc/passwd", "..",      "a/../b", "a//b", "./a",
					    "a/",   "conf.d/..",   "a\xff",   "a/."};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct source_file file = file_of(names[i], "x");
		struct history_meta meta = {0};
		const char *error = NULL;
		uint32_t revision = 4711;
		assert_int_equal(history_add(fixture->history, &file, 1, &meta, fixture->arena, &revision, &error), -EINVAL);
		assert_non_null(error);
		assert_int_equal(revision, 4711);
	}
	struct source_file twice[] = {file_of("a", "x"), file_of("a", "y")};
	struct history_meta meta = {0};
	const char *error = NULL;
	uint32_t revision;
	assert_int_equal(history_add(fixture->history, twice, 2, &meta, fixture->arena, &revision, &error), -EINVAL);
	assert_string_equal(error, "there are two files named \"a\": Invalid argument");
	/* Names that clash with the history's own, or that are hidden, are only names; invalid UTF-8 in a message too. */
	struct source_file files[] = {file_of("meta.json", "1"), file_of(".hidden", "2"), file_of("%meta.json", "3"),
				      file_of("a b\n%2F", "4"),  file_of("a b\n/", "5")};
	meta.message = "\xff\xfe";
	files[4].name = "a b\n//"; /* not this one */
	assert_int_equal(history_add(fixture->history, files, 5, &meta, fixture->arena, &revision, &error), -EINVAL);
	assert_int_equal(history_add(fixture->history, files, 4, &meta, fixture->arena, &revision, &error), 0);
	struct source_file *loaded;
	size_t count;
	assert_int_equal(history_load(fixture->history, revision, fixture->arena, &loaded, &count, &error), 0);
	assert_int_equal(count, 4);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(loaded[i].name, files[i].name);
		assert_string_equal(loaded[i].text, files[i].text);
	}
}

static void test_pending(void **state)
{
	struct fixture *fixture = *state;
	struct history_pending pending;
	const char *error = NULL;
	uint32_t first = add(fixture, "one"), second = add(fixture, "two");
	commit(fixture, first);
	assert_false(history_pending(fixture->history, &pending));
	assert_int_equal(history_set_pending(fixture->history, 77, 60, fixture->arena, &error), -ENOENT);
	assert_int_equal(history_set_pending(fixture->history, second, 60, fixture->arena, &error), 0);
	reopen(fixture);
	assert_true(history_pending(fixture->history, &pending));
	assert_int_equal(pending.revision, second);
	assert_int_equal(pending.previous, first);
	assert_int_equal(history_committed(fixture->history), first);
	assert_int_equal(history_before(fixture->history), 0);
	assert_in_range(history_pending_seconds_left(&pending), 50, 60);
	/* The wall clock does not count, another boot does. */
	pending.deadline = 0;
	assert_in_range(history_pending_seconds_left(&pending), 50, 60);
	pending.monotonic_deadline -= 61;
	assert_int_equal(history_pending_seconds_left(&pending), 0);
	assert_true(history_pending(fixture->history, &pending));
	pending.boot_id[0] ^= 1;
	assert_int_equal(history_pending_seconds_left(&pending), 0);
	/* Not confirmed: the revision stays in the list, and committed is what it was. */
	assert_int_equal(history_clear_pending(fixture->history), 0);
	reopen(fixture);
	assert_false(history_pending(fixture->history, &pending));
	assert_string_equal(main_text(fixture, second), "two");
	/* Confirmed. */
	assert_int_equal(history_set_pending(fixture->history, second, 60, fixture->arena, &error), 0);
	commit(fixture, second);
	assert_false(history_pending(fixture->history, &pending));
	reopen(fixture);
	assert_false(history_pending(fixture->history, &pending));
	assert_int_equal(history_committed(fixture->history), second);
	assert_int_equal(history_before(fixture->history), first);
	commit(fixture, second);
	assert_int_equal(history_before(fixture->history), first);
	/* Discarded: the record goes too. */
	uint32_t third = add(fixture, "three");
	assert_int_equal(history_set_pending(fixture->history, third, 60, fixture->arena, &error), 0);
	history_discard(fixture->history, third);
	assert_false(history_pending(fixture->history, &pending));
	reopen(fixture);
	assert_false(history_pending(fixture->history, &pending));
}

/* What lapsed is known after a restart, and so is since when what came back is in force. */
static void test_lapse(void **state)
{
	struct fixture *fixture = *state;
	struct history_pending pending;
	struct history_meta *list;
	const char *error = NULL;
	size_t count;
	uint32_t first = add(fixture, "one"), second = add(fixture, "two");
	history_lapse(fixture->history, 1800000000); /* nothing waits: nothing happens */
	commit(fixture, first);
	assert_int_equal(history_since(fixture->history, first), 1700000000);
	assert_int_equal(history_set_pending(fixture->history, second, 60, fixture->arena, &error), 0);
	history_lapse(fixture->history, 1800000000);
	for (int again = 0; again < 2; again++, reopen(fixture)) {
		assert_false(history_pending(fixture->history, &pending));
		assert_int_equal(history_committed(fixture->history), first);
		assert_int_equal(history_since(fixture->history, first), 1800000000);
		assert_int_equal(history_since(fixture->history, second), 1700000000);
		assert_int_equal(history_since(fixture->history, 77), 0);
		assert_int_equal(history_list(fixture->history, fixture->arena, &list, &count), 0);
		assert_int_equal(count, 2);
		assert_true(list[0].lapsed);
		assert_false(list[1].lapsed);
		assert_string_equal(main_text(fixture, second), "two");
	}
	/* The next one is in force since its own apply; committing what is committed changes nothing. */
	commit(fixture, first);
	assert_int_equal(history_since(fixture->history, first), 1800000000);
	uint32_t third = add(fixture, "three");
	commit(fixture, third);
	assert_int_equal(history_since(fixture->history, third), 1700000000);
	history_discard(fixture->history, second);
	assert_int_equal(access(path(fixture, "revisions/000002"), F_OK), -1);
}

/* The guard looks while main writes: main's files under way, and blobs that no revision has yet, stay. */
static void test_look(void **state)
{
	struct fixture *fixture = *state;
	struct history_pending pending;
	const char *error = NULL;
	assert_int_equal(history_look(path(fixture, "nowhere"), &pending), -ENOENT);
	assert_int_equal(history_look(fixture->state, &pending), 0);
	uint32_t first = add(fixture, "one"), second = add(fixture, "two");
	commit(fixture, first);
	assert_int_equal(history_set_pending(fixture->history, second, 60, fixture->arena, &error), 0);
	write_text(path(fixture, STORE_TEMPORARY "committed"), "{");
	write_text(path(fixture, "blobs/" STORE_TEMPORARY "blob"), "x");
	size_t before = count_names(fixture->state), blobs = count_names(path(fixture, "blobs"));
	assert_int_equal(history_look(fixture->state, &pending), 1);
	assert_int_equal(pending.revision, second);
	assert_int_equal(pending.previous, first);
	assert_int_equal(count_names(fixture->state), before);
	assert_int_equal(count_names(path(fixture, "blobs")), blobs);
	commit(fixture, second);
	assert_int_equal(history_look(fixture->state, &pending), 0);
}

static void test_prune_and_blobs(void **state)
{
	struct fixture *fixture = *state;
	enum { LARGE = 200000 };
	char *large = calloc(1, LARGE + 1);
	memset(large, 'x', LARGE);
	const char *error = NULL;
	uint32_t revision = 0;
	struct history_meta meta = {0};
	for (uint32_t i = 1; i <= HISTORY_KEPT + 20; i++) {
		char text[20];
		snprintf(text, sizeof(text), "revision %u", i);
		/* Two different blobs in turn; the second is last used by revision 60. */
		large[0] = i <= 60 && i % 2 == 0 ? 'y' : 'x';
		struct source_file files[] = {file_of("edged.yaml", text), file_of("blocklists/a.txt", large)};
		assert_int_equal(history_add(fixture->history, files, 2, &meta, fixture->arena, &revision, &error), 0);
		if (i == 5)
			commit(fixture, i); /* and none after it until 110 */
		if (i == 7)
			assert_int_equal(history_set_pending(fixture->history, i, 60, fixture->arena, &error), 0);
		if (i >= 110)
			commit(fixture, i == 110 ? 5 : i);
		if (i == 110) {
			/* 5 is committed and 7 pending: they stay. */
			assert_int_equal(count_names(path(fixture, "revisions")), HISTORY_KEPT);
			assert_int_equal(access(path(fixture, "revisions/000005"), F_OK), 0);
			assert_int_equal(access(path(fixture, "revisions/000007"), F_OK), 0);
			assert_int_equal(access(path(fixture, "revisions/000006"), F_OK), -1);
			assert_int_equal(count_names(path(fixture, "blobs")), 2);
		}
	}
	assert_int_equal(count_names(path(fixture, "revisions")), HISTORY_KEPT);
	struct source_file *files;
	size_t count;
	assert_int_equal(history_load(fixture->history, 60, fixture->arena, &files, &count, &error), 0);
	assert_int_equal(files[1].length, LARGE);
	assert_int_equal(files[1].text[0], 'y');
	reopen(fixture);
	assert_int_equal(history_load(fixture->history, 61, fixture->arena, &files, &count, &error), 0);
	assert_int_equal(files[1].text[0], 'x');
	/* When nobody needs a blob any more, it goes. */
	for (uint32_t i = 0; i < 45; i++)
		commit(fixture, add(fixture, "small"));
	assert_int_equal(count_names(path(fixture, "blobs")), 1);
	free(large);
}

/* The one blob of the history, changed at one byte. */
static void damage_blob(struct fixture *fixture)
{
	DIR *dir = opendir(path(fixture, "blobs"));
	struct dirent *entry;
	char name[300] = "";
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			snprintf(name, sizeof(name), "blobs/%s", entry->d_name);
	closedir(dir);
	FILE *file = fopen(path(fixture, name), "r+");
	assert_non_null(file);
	fputc('z', file);
	fclose(file);
}

static void test_damaged_blob(void **state)
{
	struct fixture *fixture = *state;
	char *large = calloc(1, 200001);
	memset(large, 'x', 200000);
	struct source_file *loaded, files[] = {file_of("edged.yaml", "text"), file_of("blocklists/a.txt", large)};
	struct history_meta meta = {0};
	const char *error = NULL;
	uint32_t revision;
	size_t count;
	for (uint32_t i = 1; i <= 2; i++)
		assert_int_equal(history_add(fixture->history, files, 2, &meta, fixture->arena, &revision, &error), 0);
	assert_true(history_same(fixture->history, 2, files, 2, fixture->arena));
	history_recognise(fixture->history, 2, &files[1], fixture->arena);
	assert_non_null(files[1].sha256);
	assert_true(history_same(fixture->history, 2, files, 2, fixture->arena));
	damage_blob(fixture);
	struct source_file unknown = file_of("blocklists/a.txt", large);
	history_recognise(fixture->history, 2, &unknown, fixture->arena);
	assert_null(unknown.sha256);
	assert_int_equal(history_load(fixture->history, 2, fixture->arena, &loaded, &count, &error), -EBADMSG);
	/* Stored again it is whole, in the older revisions too. */
	assert_int_equal(history_add(fixture->history, files, 2, &meta, fixture->arena, &revision, &error), 0);
	assert_int_equal(history_load(fixture->history, 3, fixture->arena, &loaded, &count, &error), 0);
	assert_int_equal(history_load(fixture->history, 1, fixture->arena, &loaded, &count, &error), 0);
	assert_memory_equal(loaded[1].text, large, 200000);
	/* One byte more or less is another file. */
	files[1] = (struct source_file){files[1].name, large, 199999, NULL};
	history_recognise(fixture->history, 2, &files[1], fixture->arena);
	assert_null(files[1].sha256);
	history_recognise(fixture->history, 77, &files[1], fixture->arena);
	assert_null(files[1].sha256);
	assert_false(history_same(fixture->history, 2, files, 2, fixture->arena));
	assert_int_equal(history_add(fixture->history, files, 2, &meta, fixture->arena, &revision, &error), 0);
	assert_int_equal(history_load(fixture->history, revision, fixture->arena, &loaded, &count, &error), 0);
	assert_int_equal(loaded[1].length, 199999);
	free(large);
}

static void test_damage(void **state)
{
	struct fixture *fixture = *state;
	struct history_meta *list;
	struct history_pending pending;
	size_t count;
	for (uint32_t i = 1; i <= 5; i++)
		commit(fixture, add(fixture, "text"));
	/* Content that does not match its hash: told when it is loaded. */
	write_text(path(fixture, "revisions/000002/edged.yaml"), "tex!");
	/* No record of it: told and passed over. */
	write_text(path(fixture, "revisions/000003/meta.json"), "{");
	assert_int_equal(unlink(path(fixture, "revisions/000001/conf.d%2F10-a.yaml")), 0);
	/* What is none of ours stays. */
	write_text(path(fixture, "revisions/README"), "hello");
	mkdir(path(fixture, "revisions/7"), 0700);
	reopen(fixture);
	assert_int_equal(history_committed(fixture->history), 5);
	assert_string_equal(main_text(fixture, 1), "cannot read conf.d/10-a.yaml of revision 1: No such file or directory");
	assert_string_equal(main_text(fixture, 2), "cannot read edged.yaml of revision 2: it is damaged");
	assert_string_equal(main_text(fixture, 3), "cannot read revision 3: it is damaged");
	assert_string_equal(main_text(fixture, 4), "text");
	assert_int_equal(history_list(fixture->history, fixture->arena, &list, &count), 0);
	assert_int_equal(count, 4);
	assert_int_equal(access(path(fixture, "revisions/README"), F_OK), 0);
	/* The committed one is lost: the newest whole one before it is taken. */
	write_text(path(fixture, "revisions/000005/meta.json"), "");
	reopen(fixture);
	assert_int_equal(history_committed(fixture->history), 4);
	/* The pointer is lost: the newest that is not pending. */
	const char *error = NULL;
	uint32_t sixth = add(fixture, "six"), seventh = add(fixture, "seven");
	assert_int_equal(sixth, 6);
	assert_int_equal(history_set_pending(fixture->history, seventh, 60, fixture->arena, &error), 0);
	write_text(path(fixture, "committed"), "{\"revision\":");
	reopen(fixture);
	assert_int_equal(history_committed(fixture->history), 4); /* what was committed when 7 became pending */
	write_text(path(fixture, "pending"), "[]");
	reopen(fixture);
	assert_false(history_pending(fixture->history, &pending));
	assert_int_equal(history_committed(fixture->history), 7);
	assert_int_equal(add(fixture, "eight"), 8);
}

/* Whatever stands in the records, opening neither fails nor crashes. */
static void test_hostile_records(void **state)
{
	struct fixture *fixture = *state;
	/* What is logged here is of no use to a reader of the test's output. */
	int output = dup(2), nowhere = open("/dev/null", O_WRONLY);
	dup2(nowhere, 2);
	static const char *const texts[] = {
		"", "0", "null", "[]", "{}", "{\"revision\":-1}", "{\"revision\":99999999999}", "{\"revision\":\"1\"}",
		"{\"revision\":1,\"revision\":2}", "\xff\xfe", "{\"revision\":1,\"files\":[{}]}",
		"{\"revision\":1,\"time\":1,\"files\":[{\"name\":\"../../etc/passwd\",\"stored\":\"x\",\"sha256\":\"\","
		"\"size\":1}]}",
		"{\"revision\":1,\"time\":1,\"files\":{}}", "{\"revision\":2,\"time\":1,\"files\":[]}",
		"{\"revision\":1,\"previous\":0,\"deadline\":1,\"boot_id\":"
		"\"0123456789012345678901234567890123456789012345\",\"monotonic_deadline\":1}",
		"{\"health\":{},\"draining\":[1,null,{}],\"bans\":[{\"prefix\":\"x\",\"expires\":0}]}",
		"{\"health\":[{\"node\":\"a\",\"port\":70000,\"up\":true},{\"node\":\"b\",\"port\":1,\"up\":1},{}]}",
	};
	static const char *const names[] = {"committed", "pending", "runtime.json", "revisions/000001/meta.json"};
	add(fixture, "one");
	struct runtime *runtime = runtime_new();
	for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
			struct source_file *files;
			size_t count;
			const char *error;
			write_text(path(fixture, names[n]), texts[t]);
			reopen(fixture);
			assert_int_equal(history_load_runtime(fixture->history, runtime), 0);
			history_load(fixture->history, 1, fixture->arena, &files, &count, &error);
		}
	}
	assert_int_equal(runtime_view(runtime, 0)->health_count, 0);
	assert_int_equal(runtime_view(runtime, 0)->ban_count, 0);
	runtime_free(&runtime);
	/* A folder, a FIFO or a link where a file should be. */
	assert_int_equal(unlink(path(fixture, "committed")), 0);
	assert_int_equal(mkfifo(path(fixture, "committed"), 0600), 0);
	assert_int_equal(unlink(path(fixture, "pending")), 0);
	assert_int_equal(mkdir(path(fixture, "pending"), 0700), 0);
	assert_int_equal(unlink(path(fixture, "runtime.json")), 0);
	assert_int_equal(symlink("/etc/passwd", path(fixture, "runtime.json")), 0);
	reopen(fixture);
	dup2(output, 2);
	close(output);
	close(nowhere);
}

static void test_runtime(void **state)
{
	struct fixture *fixture = *state;
	struct runtime *a = runtime_new(), *b = runtime_new();
	struct prefix net = {.addr = {.family = FAMILY_V6, .bytes = {0x20, 1, 0xd, 0xb8}}, .length = 64};
	struct prefix host = {.addr = {.family = FAMILY_V4, .bytes = {192, 0, 2, 1}}, .length = 32};
	assert_int_equal(history_load_runtime(fixture->history, b), 0); /* none yet */
	runtime_set_health(a, "k8s-1", 30080, true, "", 1700000000);
	runtime_set_health(a, "k8s-2", 30080, false, "connection \"refused\"", 1700000001);
	runtime_set_draining(a, "k8s-2", true);
	runtime_ban(a, &net, 1800000000);
	runtime_ban(a, &host, 0);
	assert_int_equal(history_save_runtime(fixture->history, a, 1700000000), 0);
	reopen(fixture);
	assert_int_equal(history_load_runtime(fixture->history, b), 0);
	const struct rundata *run = runtime_view(b, 1700000000);
	assert_int_equal(run->health_count, 2);
	assert_string_equal(run->health[0].node, "k8s-1");
	assert_true(run->health[0].up);
	assert_false(run->health[1].up);
	assert_int_equal(run->draining_count, 1);
	assert_string_equal(run->draining[0], "k8s-2");
	assert_int_equal(run->ban_count, 2);
	assert_int_equal(run->bans[0].expires, 1800000000);
	assert_int_equal(run->bans[0].prefix.length, 64);
	assert_true(addr_equal(&run->bans[0].prefix.addr, &net.addr));
	assert_int_equal(run->bans[1].prefix.length, 32);
	size_t count;
	const struct show_health *health = runtime_health(b, &count);
	assert_string_equal(health[1].why, "connection \"refused\"");
	assert_int_equal(health[1].since, 1700000001);
	runtime_free(&a);
	runtime_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_add_and_load, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pending, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lapse, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_look, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_prune_and_blobs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_blob, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile_records, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_runtime, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
