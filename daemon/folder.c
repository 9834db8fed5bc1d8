/* The configuration folder: reading the files of a configuration, and writing
 * those of a revision back. Names from the configuration never lead out of the
 * folder; only the main file, which the operator named, may be a link to
 * anywhere. */
#include "history_parts.h"
#include "../rules/text/doc.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAIN_NAME "edged.yaml"
#define EXTRA_FOLDER "conf.d"

struct home {
	const char *folder, *base; /* of the main file */
	int fd;                    /* the folder */
};

static void home_close(struct home *home)
{
	close_fd(&home->fd);
}
#define cleanup_home __attribute__((cleanup(home_close)))

static int home_open(const char *config, struct arena *arena, struct home *ret_home)
{
	char *for_folder = arena_strdup(arena, config), *for_base = arena_strdup(arena, config);
	if (!for_folder || !for_base)
		return -ENOMEM;
	/* The texts are there even when the folder is not. */
	ret_home->folder = dirname(for_folder);
	ret_home->base = basename(for_base);
	ret_home->fd = open(ret_home->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return ret_home->fd < 0 ? -errno : 0;
}

/* Where a descriptor leads, with a / behind it. */
static int path_of(int fd, char path[PATH_MAX])
{
	char link[32];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, PATH_MAX - 1);
	if (length < 0 || length >= PATH_MAX - 1)
		return length < 0 ? -errno : -ENAMETOOLONG;
	path[length] = '/';
	path[length + 1] = '\0';
	return 0;
}

/* The way out of the folder is -EINVAL. What was found is looked at (O_PATH: nothing is opened yet), so links that change
 * meanwhile lead nobody out. Not openat2, which a unit with RestrictSUIDSGID= does not have. */
static int open_beneath(int folder, const char *name, int flags)
{
	char top[PATH_MAX], path[PATH_MAX];
	cleanup_fd int found = openat(folder, name, O_PATH | O_CLOEXEC);
	if (found < 0)
		return errno == ELOOP ? -EINVAL : -errno;
	int r = path_of(folder, top);
	if (r == 0)
		r = path_of(found, path);
	if (r < 0)
		return r;
	if (strncmp(path, top, strlen(top)) != 0)
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
	int fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int read_beneath(int folder, const char *name, size_t most, struct arena *arena, struct source_file *ret_file)
{
	char *text, *copy = arena_strdup(arena, name);
	size_t length;
	cleanup_fd int fd = open_beneath(folder, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? fd : copy ? store_read_fd(fd, most, arena, &text, &length) : -ENOMEM;
	if (r == 0)
		*ret_file = (struct source_file){.name = copy, .text = text, .length = length};
	return r;
}

/* Like history_fail, with words for what strerror has none for. */
static int fail(struct arena *arena, const char **ret_error, int error, const char *verb, const struct home *home,
		const char *name)
{
	const char *why = error == -EINVAL  ? "not a regular file within the folder"
			  : error == -EFBIG ? "too large"
					    : strerror(-error);
	const char *text = arena_printf(arena, "cannot %s %s/%s: %s", verb, home->folder, name, why);
	*ret_error = text ? text : "out of memory";
	return error;
}

static bool is_extra(const char *name)
{
	size_t length = strlen(name);
	return *name != '.' && length > 5 && strcmp(name + length - 5, ".yaml") == 0;
}

struct names {
	struct arena *arena;
	const char **items;
	size_t count, capacity;
};

static int collect_extra(void *context, const char *name)
{
	struct names *names = context;
	if (!is_extra(name))
		return 0;
	if (names->count == HISTORY_FILES_MAX)
		return -E2BIG;
	const char **items = arena_grow(names->arena, names->items, names->count, sizeof(*items), &names->capacity);
	const char *path = arena_printf(names->arena, EXTRA_FOLDER "/%s", name);
	if (!items || !path)
		return -ENOMEM;
	names->items = items;
	items[names->count++] = path;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "conf.d/NAME.yaml" for each, sorted; none when there is no such folder. */
static int list_extra(int folder, struct arena *arena, struct names *ret_names)
{
	struct names names = {.arena = arena};
	cleanup_fd int fd = open_beneath(folder, EXTRA_FOLDER, O_RDONLY | O_DIRECTORY);
	int r = fd == -ENOENT ? 0 : fd < 0 ? fd : store_each(fd, collect_extra, &names);
	if (r < 0)
		return r;
	if (names.count)
		qsort(names.items, names.count, sizeof(*names.items), compare_names);
	*ret_names = names;
	return 0;
}

static int read_main(const struct home *home, struct arena *arena, struct source_file *ret_file)
{
	char *text;
	size_t length;
	cleanup_fd int fd = openat(home->fd, home->base, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int r = fd < 0 ? -errno : store_read_fd(fd, DOC_MAX_BYTES, arena, &text, &length);
	if (r == 0)
		*ret_file = (struct source_file){.name = MAIN_NAME, .text = text, .length = length};
	return r;
}

int folder_read(const char *config, struct arena *arena, struct source_file **ret_files, size_t *ret_count,
		const char **ret_error)
{
	cleanup_home struct home home = {.folder = "", .base = "", .fd = -1};
	int r = home_open(config, arena, &home);
	if (r < 0)
		return history_fail(arena, ret_error, r, "cannot read %s", config);
	struct names names;
	r = list_extra(home.fd, arena, &names);
	if (r < 0)
		return fail(arena, ret_error, r, "read", &home, EXTRA_FOLDER);
	struct source_file *files = arena_array(arena, names.count + 1, struct source_file);
	r = files ? read_main(&home, arena, &files[0]) : -ENOMEM;
	if (r < 0)
		return fail(arena, ret_error, r, "read", &home, home.base);
	for (size_t i = 0; i < names.count; i++) {
		r = read_beneath(home.fd, names.items[i], DOC_MAX_BYTES, arena, &files[i + 1]);
		if (r < 0)
			return fail(arena, ret_error, r, "read", &home, names.items[i]);
	}
	*ret_files = files;
	*ret_count = names.count + 1;
	return 0;
}

int folder_read_file(const char *config, const char *name, struct arena *arena, struct source_file *ret_file)
{
	cleanup_home struct home home = {.folder = "", .base = "", .fd = -1};
	int r = *name ? home_open(config, arena, &home) : -EINVAL;
	return r < 0 ? r : read_beneath(home.fd, name, HISTORY_FILE_MAX, arena, ret_file);
}

/* The folder that name lies in, made where it is missing; *ret_base points into name. */
static int open_parent(int folder, const char *name, struct arena *arena, const char **ret_base)
{
	int parent = open_beneath(folder, ".", O_RDONLY | O_DIRECTORY);
	const char *slash;
	for (const char *part = name; parent >= 0 && (slash = strchr(part, '/')); part = slash + 1) {
		const char *path = arena_strndup(arena, name, (size_t)(slash - name));
		const char *step = arena_strndup(arena, part, (size_t)(slash - part));
		int next = -ENOMEM;
		if (path && step) {
			next = mkdirat(parent, step, 0755) == 0 && fsync(parent) < 0 ? -errno : 0;
			/* From the top again: only so is "beneath" what it says. */
			if (next == 0)
				next = open_beneath(folder, path, O_RDONLY | O_DIRECTORY);
		}
		close(parent);
		parent = next;
		*ret_base = slash + 1;
	}
	return parent;
}

/* True when the file has this content already; *ret_mode: what it has for a mode. */
static bool is_same(int parent, const char *base, const struct source_file *file, mode_t *ret_mode)
{
	cleanup_arena struct arena *arena = arena_new();
	cleanup_fd int fd = openat(parent, base, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat info;
	char *text;
	size_t length;
	if (!arena || fd < 0 || fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
		return false;
	*ret_mode = info.st_mode & 07777;
	return (uintmax_t)info.st_size == file->length &&
	       store_read_fd(fd, file->length, arena, &text, &length) == 0 && length == file->length &&
	       memcmp(text, file->text, length) == 0;
}

static int write_below(int folder, const char *name, const struct source_file *file, struct arena *arena)
{
	const char *base = name;
	mode_t mode = 0644;
	cleanup_fd int parent = open_parent(folder, name, arena, &base);
	if (parent < 0)
		return parent;
	if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return -EINVAL;
	return is_same(parent, base, file, &mode) ? 0 : store_replace(parent, base, file->text, file->length, mode);
}

static int write_file(const struct home *home, const char *config, const struct source_file *file, struct arena *arena)
{
	if (strcmp(file->name, MAIN_NAME) != 0)
		return write_below(home->fd, file->name, file, arena);
	/* Where the main file is a link, what it leads to is replaced, and the link stays. */
	char *real = realpath(config, NULL);
	cleanup_home struct home there = {.folder = "", .base = "", .fd = -1};
	int r = real ? home_open(real, arena, &there) : 0;
	free(real);
	if (r < 0)
		return r;
	return there.fd >= 0 ? write_below(there.fd, there.base, file, arena)
			     : write_below(home->fd, home->base, file, arena);
}

static int remove_extra(const struct home *home, const struct names *names, const struct source_file *files, size_t count,
			struct arena *arena, const char **ret_error)
{
	for (size_t i = 0; i < names->count; i++) {
		size_t j = 0;
		while (j < count && strcmp(files[j].name, names->items[i]) != 0)
			j++;
		if (j < count)
			continue;
		cleanup_fd int fd = open_beneath(home->fd, EXTRA_FOLDER, O_RDONLY | O_DIRECTORY);
		int r = fd < 0 ? fd : store_remove(fd, names->items[i] + strlen(EXTRA_FOLDER "/"));
		if (r < 0)
			return fail(arena, ret_error, r, "remove", home, names->items[i]);
	}
	return 0;
}

int folder_write(const char *config, const struct source_file *files, size_t count, struct arena *arena,
		 const char **ret_error)
{
	cleanup_home struct home home = {.folder = "", .base = "", .fd = -1};
	int r = home_open(config, arena, &home);
	if (r < 0)
		return history_fail(arena, ret_error, r, "cannot write %s", config);
	/* What a crash may have left here. */
	cleanup_fd int extra = open_beneath(home.fd, EXTRA_FOLDER, O_RDONLY | O_DIRECTORY);
	store_clean(home.fd);
	if (extra >= 0)
		store_clean(extra);
	/* Before anything is written: what somebody puts there meanwhile stays. */
	struct names names;
	r = list_extra(home.fd, arena, &names);
	if (r < 0)
		return fail(arena, ret_error, r, "read", &home, EXTRA_FOLDER);
	/* What the main file refers to is there before it. */
	for (size_t i = count; i-- > 0;) {
		r = write_file(&home, config, &files[i], arena);
		if (r < 0)
			return fail(arena, ret_error, r, "write", &home, files[i].name);
	}
	return remove_extra(&home, &names, files, count, arena, ret_error);
}

int folder_put(const char *config, const struct source_file *file, struct arena *arena)
{
	cleanup_home struct home home = {.folder = "", .base = "", .fd = -1};
	int r = home_open(config, arena, &home);
	return r < 0 ? r : write_below(home.fd, file->name, file, arena);
}
