/* Finding the partitions of the running image in a tree that looks like /sys:
 * of two disks with the same names only the one is taken whose root runs. */
#include "../../cli/image_places.h"
#include "../../rules/base/arena.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[40];
static struct arena *arena;

static void put(const char *name, const char *text)
{
	const char *path = arena_printf(arena, "%s/%s", root, name);
	char *folder = arena_strdup(arena, path);
	for (char *slash = folder + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = 0;
		mkdir(folder, 0700);
	}
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void put_partition(const char *disk, unsigned number, const char *name)
{
	put(arena_printf(arena, "sys/devices/%s/%s%u/uevent", disk, disk, number),
	    arena_printf(arena, "MAJOR=253\nDEVNAME=%s%u\nDEVTYPE=partition\nPARTNAME=%s\n", disk, number, name));
}

static void put_disk(const char *disk)
{
	static const char *const names[] = {"bios", "boot", "state", "boot-a", "boot-b", "root-a", "root-b", "data"};
	put(arena_printf(arena, "sys/devices/%s/uevent", disk), "DEVTYPE=disk\n");
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		put_partition(disk, i + 1, names[i]);
}

static int make(void **unused)
{
	(void)unused;
	strcpy(root, "/tmp/edged-places-XXXXXX");
	arena = arena_new();
	assert_non_null(mkdtemp(root));
	put("proc/cmdline", "console=ttyS0 edged.slot=b edged.hash=00\n");
	put_disk("vda");
	put_disk("vdb");
	put("sys/block/dm-0/dm/name", "other\n");
	put("sys/block/dm-1/dm/name", "root\n");
	put("sys/block/dm-1/slaves/nothing", "");
	assert_int_equal(unlink(arena_printf(arena, "%s/sys/block/dm-1/slaves/nothing", root)), 0);
	assert_int_equal(symlink("../../../devices/vdb/vdb7", arena_printf(arena, "%s/sys/block/dm-1/slaves/vdb7", root)), 0);
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	int status = system(arena_printf(arena, "rm -rf %s", root));
	arena_free(&arena);
	return status;
}

static void assert_device(const char *path, const char *name)
{
	assert_string_equal(path, arena_printf(arena, "%s/dev/%s", root, name));
}

static void the_running_disk_is_taken(void **unused)
{
	(void)unused;
	struct image_places places;
	assert_int_equal(image_places_find(arena, root, &places), 0);
	assert_int_equal(places.booted, SLOT_B);
	assert_device(places.state, "vdb3");
	assert_device(places.parts[SLOT_A][PART_BOOT], "vdb4");
	assert_device(places.parts[SLOT_B][PART_BOOT], "vdb5");
	assert_device(places.parts[SLOT_A][PART_ROOT], "vdb6");
	assert_device(places.parts[SLOT_B][PART_ROOT], "vdb7");
}

static void another_machine_has_none(void **unused)
{
	(void)unused;
	struct image_places places;
	put("proc/cmdline", "root=/dev/vda1 edged.slot=c xedged.slot=a\n");
	assert_int_equal(image_places_find(arena, root, &places), -ENODEV);
	put("proc/cmdline", "edged.slot=a");
	assert_int_equal(image_places_find(arena, root, &places), 0);
	put_partition("vdb", 5, "something");
	assert_int_equal(image_places_find(arena, root, &places), -ENXIO);
	put("sys/block/dm-1/dm/name", "another\n");
	assert_int_equal(image_places_find(arena, root, &places), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_running_disk_is_taken),
		cmocka_unit_test(another_machine_has_none),
	};
	return cmocka_run_group_tests(tests, make, end);
}
