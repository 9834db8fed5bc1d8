/* The configuration folder: what is read from it, what is not (links out of it,
 * devices, hidden and foreign files), and writing a revision's files back. */
#include "../../daemon/history.h"

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
	char dir[40], config[80];
	struct arena *arena;
};

static const char *path(struct fixture *fixture, const char *name)
{
	return arena_printf(fixture->arena, "%s/etc/%s", fixture->dir, name);
}

static void write_text(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static const char *read_text(struct fixture *fixture, const char *name)
{
	char *text = arena_alloc(fixture->arena, 1000);
	FILE *file = fopen(path(fixture, name), "r");
	if (!file)
		return NULL;
	text[fread(text, 1, 999, file)] = '\0';
	fclose(file);
	return text;
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	strcpy(fixture->dir, "/tmp/folder-test-XXXXXX");
	assert_non_null(mkdtemp(fixture->dir));
	snprintf(fixture->config, sizeof(fixture->config), "%s/etc/main.yaml", fixture->dir);
	fixture->arena = arena_new();
	assert_int_equal(mkdir(path(fixture, ""), 0755), 0);
	assert_int_equal(mkdir(path(fixture, "conf.d"), 0755), 0);
	write_text(fixture->config, "main\n");
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	char command[80];
	arena_free(&fixture->arena);
	snprintf(command, sizeof(command), "rm -rf %s", fixture->dir);
	assert_int_equal(system(command), 0);
	free(fixture);
	return 0;
}

/* "name=text name=text", or the error. */
static const char *read_all(struct fixture *fixture)
{
	struct source_file *files;
	size_t count;
	const char *error = NULL, *all = "";
	if (folder_read(fixture->config, fixture->arena, &files, &count, &error) < 0)
		return error;
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(strlen(files[i].text), files[i].length);
		all = arena_printf(fixture->arena, "%s%s=%s", all, files[i].name, files[i].text);
	}
	return all;
}

static void test_read(void **state)
{
	struct fixture *fixture = *state;
	write_text(path(fixture, "conf.d/20-b.yaml"), "b\n");
	write_text(path(fixture, "conf.d/10-a.yaml"), "a\n");
	/* None of these counts. */
	write_text(path(fixture, "conf.d/.hidden.yaml"), "x");
	write_text(path(fixture, "conf.d/20-b.yaml~"), "x");
	write_text(path(fixture, "conf.d/README"), "x");
	write_text(path(fixture, "conf.d/.yaml"), "x");
	write_text(path(fixture, "other.yaml"), "x");
	assert_string_equal(read_all(fixture), "edged.yaml=main\nconf.d/10-a.yaml=a\nconf.d/20-b.yaml=b\n");
	/* A link within the folder is fine; the main file may be one to anywhere. */
	assert_int_equal(symlink("../other.yaml", path(fixture, "conf.d/30-c.yaml")), 0);
	assert_int_equal(rename(fixture->config, path(fixture, "../elsewhere")), 0);
	assert_int_equal(symlink("../elsewhere", fixture->config), 0);
	assert_string_equal(read_all(fixture), "edged.yaml=main\nconf.d/10-a.yaml=a\nconf.d/20-b.yaml=b\nconf.d/30-c.yaml=x");
	assert_int_equal(system(arena_printf(fixture->arena, "rm -r %s", path(fixture, "conf.d"))), 0);
	assert_string_equal(read_all(fixture), "edged.yaml=main\n");
	assert_int_equal(unlink(fixture->config), 0);
	assert_string_equal(read_all(fixture),
			    arena_printf(fixture->arena, "cannot read %s: No such file or directory", fixture->config));
}

static void expect_refused(struct fixture *fixture, const char *name)
{
	const char *expected = arena_printf(fixture->arena, "cannot read %s: not a regular file within the folder",
					    path(fixture, name));
	assert_string_equal(read_all(fixture), expected);
	assert_int_equal(system(arena_printf(fixture->arena, "rm -r %s", path(fixture, name))), 0);
}

static void test_read_hostile(void **state)
{
	struct fixture *fixture = *state;
	assert_int_equal(symlink("/etc/passwd", path(fixture, "conf.d/x.yaml")), 0);
	expect_refused(fixture, "conf.d/x.yaml");
	assert_int_equal(symlink("x.yaml", path(fixture, "conf.d/x.yaml")), 0);
	expect_refused(fixture, "conf.d/x.yaml");
	assert_int_equal(mkfifo(path(fixture, "conf.d/x.yaml"), 0644), 0);
	expect_refused(fixture, "conf.d/x.yaml");
	assert_int_equal(mkdir(path(fixture, "conf.d/x.yaml"), 0755), 0);
	expect_refused(fixture, "conf.d/x.yaml");
	assert_int_equal(rmdir(path(fixture, "conf.d")), 0);
	assert_int_equal(symlink("/etc", path(fixture, "conf.d")), 0);
	expect_refused(fixture, "conf.d");
	/* Larger than any configuration: without reading it. */
	int fd = open(fixture->config, O_WRONLY);
	assert_int_equal(ftruncate(fd, 1ll << 40), 0);
	close(fd);
	assert_string_equal(read_all(fixture), arena_printf(fixture->arena, "cannot read %s: too large", fixture->config));
	assert_int_equal(unlink(fixture->config), 0);
	assert_int_equal(mkfifo(fixture->config, 0644), 0);
	const char *expected = arena_printf(fixture->arena, "cannot read %s: not a regular file within the folder",
					    fixture->config);
	assert_string_equal(read_all(fixture), expected);
}

static void test_read_file(void **state)
{
	struct fixture *fixture = *state;
	struct source_file file = {0};
	static const char *const out[] = {"/etc/passwd", "../elsewhere", "conf.d/../../elsewhere", "link",
					  "",		  "conf.d",	  "loop"};
	write_text(path(fixture, "../elsewhere"), "secret");
	assert_int_equal(symlink("/etc/passwd", path(fixture, "link")), 0);
	assert_int_equal(symlink("loop", path(fixture, "loop")), 0);
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
		assert_int_equal(folder_read_file(fixture->config, out[i], fixture->arena, &file), -EINVAL);
		assert_null(file.text);
	}
	assert_int_equal(folder_read_file(fixture->config, "blocklists/a.txt", fixture->arena, &file), -ENOENT);
	assert_int_equal(mkdir(path(fixture, "blocklists"), 0755), 0);
	write_text(path(fixture, "blocklists/a.txt"), "192.0.2.1\n");
	assert_int_equal(folder_read_file(fixture->config, "blocklists/a.txt", fixture->arena, &file), 0);
	assert_string_equal(file.name, "blocklists/a.txt");
	assert_string_equal(file.text, "192.0.2.1\n");
	assert_int_equal(folder_read_file(fixture->config, "conf.d/../blocklists/a.txt", fixture->arena, &file), 0);
}

static struct source_file file_of(const char *name, const char *text)
{
	return (struct source_file){.name = name, .text = text, .length = strlen(text)};
}

static void test_write(void **state)
{
	struct fixture *fixture = *state;
	const char *error = NULL;
	struct stat before, after;
	write_text(path(fixture, "conf.d/gone.yaml"), "x");
	write_text(path(fixture, "conf.d/same.yaml"), "same");
	write_text(path(fixture, "conf.d/README"), "stays");
	write_text(path(fixture, "conf.d/.edged-new-left.yaml"), "of a crash");
	assert_int_equal(chmod(fixture->config, 0640), 0);
	assert_int_equal(stat(path(fixture, "conf.d/same.yaml"), &before), 0);
	struct source_file files[] = {file_of("edged.yaml", "new main"), file_of("conf.d/same.yaml", "same"),
				      file_of("conf.d/new.yaml", "new"), file_of("lists/deep/a.txt", "1\n")};
	assert_int_equal(folder_write(fixture->config, files, 4, fixture->arena, &error), 0);
	assert_null(error);
	assert_string_equal(read_text(fixture, "main.yaml"), "new main");
	assert_string_equal(read_text(fixture, "conf.d/new.yaml"), "new");
	assert_string_equal(read_text(fixture, "conf.d/README"), "stays");
	assert_string_equal(read_text(fixture, "lists/deep/a.txt"), "1\n");
	assert_null(read_text(fixture, "conf.d/gone.yaml"));
	assert_null(read_text(fixture, "conf.d/.edged-new-left.yaml"));
	assert_null(read_text(fixture, "edged.yaml"));
	/* A main file that is a link stays one. */
	assert_int_equal(rename(fixture->config, path(fixture, "../elsewhere.yaml")), 0);
	assert_int_equal(symlink("../elsewhere.yaml", fixture->config), 0);
	files[0] = file_of("edged.yaml", "newer main");
	assert_int_equal(folder_write(fixture->config, files, 4, fixture->arena, &error), 0);
	assert_string_equal(read_text(fixture, "../elsewhere.yaml"), "newer main");
	assert_int_equal(lstat(fixture->config, &after), 0);
	assert_true(S_ISLNK(after.st_mode));
	/* What is the same is not written again; modes stay, new files can be read by all. */
	assert_int_equal(stat(path(fixture, "conf.d/same.yaml"), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(stat(fixture->config, &after), 0);
	assert_int_equal(after.st_mode & 07777, 0640);
	assert_int_equal(stat(path(fixture, "lists/deep/a.txt"), &after), 0);
	assert_int_equal(after.st_mode & 07777, 0644);
}

static void test_write_hostile(void **state)
{
	struct fixture *fixture = *state;
	static const char *const names[] = {"../x",	  "/tmp/folder-test-x", "a/../../x", "out/x",
					    "conf.d/..", "conf.d/",	       "conf.d"};
	assert_int_equal(mkdir(path(fixture, "../outside"), 0755), 0);
	assert_int_equal(symlink("../outside", path(fixture, "out")), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct source_file file = file_of(names[i], "x");
		const char *error = NULL;
		assert_true(folder_write(fixture->config, &file, 1, fixture->arena, &error) < 0);
		assert_non_null(error);
	}
	assert_int_equal(access(path(fixture, "../x"), F_OK), -1);
	assert_int_equal(access(path(fixture, "../outside/x"), F_OK), -1);
	assert_int_equal(access("/tmp/folder-test-x", F_OK), -1);
	assert_string_equal(read_all(fixture), "edged.yaml=main\n");
	/* A link in a file's place is replaced, not followed. */
	write_text(path(fixture, "../outside/target"), "old");
	assert_int_equal(symlink("../../outside/target", path(fixture, "conf.d/a.yaml")), 0);
	struct source_file files[] = {file_of("edged.yaml", "main\n"), file_of("conf.d/a.yaml", "new")};
	const char *error = NULL;
	assert_int_equal(folder_write(fixture->config, files, 2, fixture->arena, &error), 0);
	assert_string_equal(read_text(fixture, "../outside/target"), "old");
	assert_string_equal(read_text(fixture, "conf.d/a.yaml"), "new");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_read_hostile, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_read_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_write, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_write_hostile, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
