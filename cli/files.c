/* Reads the files of a configuration. Owns nothing but the arena's memory,
 * writes nothing, and follows no name out of the configuration's folder. */
#include "files.h"

#include "../rules/text/doc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BLOCKLIST_MOST_BYTES (64u << 20) /* as much as a revision of edged's takes */

static void close_fd(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* room: the size that is expected; the file may be shorter or longer. */
static int read_all(struct arena *arena, int fd, size_t room, size_t most, const char **ret_text, size_t *ret_length)
{
	size_t length = 0;
	char *text = arena_alloc(arena, room + 1);
	while (text) {
		ssize_t got = read(fd, text + length, room + 1 - length);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		length += (size_t)got;
		if (length > most)
			return -EFBIG;
		if (!got) {
			text[length] = 0;
			*ret_text = text;
			*ret_length = length;
			return 0;
		}
		if (length == room + 1) {
			char *grown = arena_alloc(arena, 2 * (room + 1));
			text = grown ? memcpy(grown, text, length) : NULL;
			room = 2 * (room + 1) - 1;
		}
	}
	return -ENOMEM;
}

/* The file name within folder ("": here), by no way out of it. Not waiting: a FIFO that nobody writes to must not stop
 * a check for ever. */
static int open_beneath(const char *folder, const char *name)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	__attribute__((cleanup(close_fd))) int dir = open(*folder ? folder : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	long fd = dir < 0 ? dir : syscall(SYS_openat2, dir, name, &how, sizeof(how));
	if (fd < 0)
		return errno == EXDEV || errno == ELOOP ? -EINVAL : -errno;
	return (int)fd;
}

/* "<(generate)" and /dev/stdin, which a shell has opened; a FIFO in a folder is none, since edged takes none. */
static bool is_stream(int fd, const struct stat *info)
{
	struct statfs where;
	return S_ISCHR(info->st_mode) ||
	       (S_ISFIFO(info->st_mode) && fstatfs(fd, &where) == 0 && where.f_type == PIPEFS_MAGIC);
}

/* Takes the descriptor, or -errno instead of one. As with edged, only regular files: -EINVAL. */
static int read_file(struct cli *cli, int opened, const char *path, size_t most, struct config_file *ret_file)
{
	__attribute__((cleanup(close_fd))) int fd = opened;
	struct stat info;
	if (fd < 0)
		return fd;
	if (fstat(fd, &info) < 0 || fcntl(fd, F_SETFL, 0) < 0)
		return -errno;
	if (S_ISDIR(info.st_mode))
		return -EISDIR;
	if (!S_ISREG(info.st_mode) && !is_stream(fd, &info))
		return -EINVAL;
	if (info.st_size > (off_t)most)
		return -EFBIG;
	struct config_file file = {.shown = path};
	size_t room = info.st_size > 0 ? (size_t)info.st_size : 4096;
	int r = read_all(cli->arena, fd, room, most, &file.text, &file.length);
	if (r == 0)
		*ret_file = file;
	return r;
}

static int add_yaml(struct cli *cli, struct files *files, int opened, const char *path, const char *name)
{
	struct config_file file;
	int r = read_file(cli, opened, path, DOC_MAX_BYTES, &file);
	if (r == -EFBIG)
		cli_error(cli, "%s is larger than %u MiB", path, DOC_MAX_BYTES >> 20);
	else if (r == -EINVAL)
		cli_error(cli, "cannot read %s: not a regular file within the configuration's folder", path);
	else if (r < 0)
		cli_error(cli, "cannot read %s: %s", path, strerror(-r));
	if (r < 0)
		return r;
	file.name = name;
	files->yaml = cli_need(
		arena_grow(cli->arena, files->yaml, files->yaml_count, sizeof(*files->yaml), &files->yaml_capacity));
	files->yaml[files->yaml_count++] = file;
	return 0;
}

static int is_yaml(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);
	return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".yaml") == 0;
}

/* Byte order, whatever the locale: the daemon's own order. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_conf_d(struct cli *cli, struct files *files)
{
	struct dirent **entries;
	const char *folder = cli_format(cli, "%sconf.d", files->folder);
	int count = scandir(folder, &entries, is_yaml, by_name), r = 0;
	if (count < 0 && errno == ENOENT)
		return 0;
	if (count < 0) {
		r = -errno;
		cli_error(cli, "cannot read %s: %s", folder, strerror(-r));
		return r;
	}
	for (int i = 0; i < count; i++) {
		const char *name = cli_format(cli, "conf.d/%s", entries[i]->d_name);
		if (r == 0)
			r = add_yaml(cli, files, open_beneath(files->folder, name),
				     cli_format(cli, "%s%s", files->folder, name), name);
		free(entries[i]);
	}
	free(entries);
	return r;
}

int files_read(struct cli *cli, const char *main_file, struct files **ret_files)
{
	struct files *files = cli_need(arena_alloc(cli->arena, sizeof(*files)));
	const char *slash = strrchr(main_file, '/');
	files->folder = slash ? arena_strndup(cli->arena, main_file, (size_t)(slash - main_file) + 1) : "";
	cli_need((void *)(uintptr_t)files->folder);
	/* The one file that was named may be a link to anywhere. */
	int fd = open(main_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = add_yaml(cli, files, fd < 0 ? -errno : fd, main_file, "edged.yaml");
	if (r == 0)
		r = read_conf_d(cli, files);
	if (r == 0)
		*ret_files = files;
	return r;
}

/* Relative, and no part of it leads upwards. */
static bool stays_inside(const char *name)
{
	if (!*name || *name == '/')
		return false;
	for (const char *part = name; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || !part[2]))
			return false;
	}
	return true;
}

int files_read_named(struct cli *cli, const struct files *files, const char *name, struct config_file *ret_file)
{
	struct config_file file;
	if (!stays_inside(name))
		return -EINVAL;
	int r = read_file(cli, open_beneath(files->folder, name), cli_format(cli, "%s%s", files->folder, name),
			  BLOCKLIST_MOST_BYTES, &file);
	if (r < 0)
		return r;
	file.name = name;
	*ret_file = file;
	return 0;
}

static void add_json(json_t *list, const struct config_file *file)
{
	json_t *item = json_pack("{s:s, s:s%}", "name", file->name, "text", file->text, file->length);
	/* Text that is not UTF-8 cannot travel in JSON; edged then says what is missing. */
	if (item)
		cli_need(json_array_append_new(list, item) ? NULL : list);
}

json_t *files_json(struct cli *cli, const struct files *files)
{
	json_t *list = cli_need(json_array());
	struct diag_list diags;
	diag_init(&diags, cli->arena);
	for (size_t i = 0; i < files->yaml_count; i++)
		add_json(list, &files->yaml[i]);
	for (size_t i = 0; i < files->yaml_count; i++) {
		const struct config_file *yaml = &files->yaml[i];
		struct doc_node *root = NULL;
		/* What does not parse is edged's to refuse, with all its lines. */
		if (doc_parse(cli->arena, yaml->name, yaml->text, yaml->length, &diags, &root) < 0)
			continue;
		const struct doc_node *lists = root ? doc_get(root, "blocklists") : NULL;
		for (size_t j = 0; lists && lists->kind == DOC_MAPPING && j < lists->count; j++) {
			const struct doc_node *name = doc_get(&lists->children[j], "file");
			struct config_file file;
			if (name && name->kind == DOC_SCALAR && files_read_named(cli, files, name->text, &file) == 0)
				add_json(list, &file);
		}
	}
	return list;
}

const char *files_rename(struct cli *cli, const char *line)
{
	const struct files *files = cli->files;
	for (size_t i = 0; files && i < files->yaml_count; i++) {
		size_t length = strlen(files->yaml[i].name);
		if (strncmp(line, files->yaml[i].name, length) == 0 && line[length] == ':')
			return cli_format(cli, "%s%s", files->yaml[i].shown, line + length);
	}
	return line;
}
