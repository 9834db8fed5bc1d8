/* An install whose power is cut at every write and every sync in turn: what was
 * not synced is on the disk, or is not, or sector by sector one or the other.
 * GRUB then finds the old slot or the new one, never neither; and the next
 * install goes on. The same for calls that fail. */
#include "image_help.h"

#include "../../cli/image_health.h"
#include "../../cli/image_install.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CUT 77
#define SECTOR 512u
#define WRITES_MOST 64

enum cut { NO_CUT, FAILS, KEEPS_ALL, KEEPS_NOTHING, KEEPS_SOME, CUTS };

static struct image_kit kit;
static enum cut cut;
static size_t calls, at_call;
static unsigned seed;

/* What was there before each write since its file was synced. */
static struct {
	int fd;
	ino_t file;
	size_t size;
	off_t at;
	unsigned char *before;
} writes[WRITES_MOST];
static size_t write_count;

static ino_t file_of(int fd)
{
	struct stat status;
	return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

static bool is_lost(void)
{
	seed = seed * 1103515245u + 12345u;
	return cut == KEEPS_NOTHING || (cut == KEEPS_SOME && (seed >> 16 & 1));
}

/* The power is gone; true: this one call fails. */
static bool fault(void)
{
	if (cut == NO_CUT || ++calls != at_call)
		return false;
	if (cut == FAILS)
		return true;
	while (write_count-- > 0) {
		for (size_t at = 0; at < writes[write_count].size; at += SECTOR) {
			size_t rest = writes[write_count].size - at;
			if (is_lost())
				syscall(SYS_pwrite64, writes[write_count].fd, writes[write_count].before + at,
					rest < SECTOR ? rest : SECTOR, writes[write_count].at + (off_t)at);
		}
	}
	_exit(CUT);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	if (cut == NO_CUT || write_count == WRITES_MOST)
		return syscall(SYS_pwrite64, fd, data, size, at);
	unsigned char *before = malloc(size);
	if (!before || syscall(SYS_pread64, fd, before, size, at) != (ssize_t)size)
		abort();
	/* With the write done the power goes, so that it is among what may be lost. */
	ssize_t done = syscall(SYS_pwrite64, fd, data, size, at);
	writes[write_count].fd = dup(fd);
	writes[write_count].file = file_of(fd);
	writes[write_count].size = size;
	writes[write_count].at = at;
	writes[write_count++].before = before;
	if (fault()) {
		errno = EIO;
		return -1;
	}
	return done;
}

static int sync_file(int fd, long call)
{
	if (fault()) {
		errno = EIO;
		return -1;
	}
	size_t kept = 0;
	ino_t file = file_of(fd);
	for (size_t i = 0; i < write_count; i++) {
		if (writes[i].file == file)
			close(writes[i].fd);
		else
			writes[kept++] = writes[i];
	}
	write_count = kept;
	return (int)syscall(call, fd);
}

int fsync(int fd)
{
	return sync_file(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return sync_file(fd, SYS_fdatasync);
}

static int keep(void *unused)
{
	(void)unused;
	json_t *look = json_pack("{s:[]}", "up");
	int r = look ? health_keep(kit.places.keep, look) : -ENOMEM;
	json_decref(look);
	return r;
}

static int install(void)
{
	const char *why;
	struct boot_state state;
	cleanup_bundle struct bundle *bundle = NULL;
	int fd = image_state_open(&kit.places, true);
	if (fd < 0)
		return fd;
	int r = image_state_read(fd, &state);
	if (r == 0)
		r = bundle_open(kit.arena, kit.bundle, kit.folders, &bundle, &why);
	if (r == 0)
		r = bundle_check(bundle, &why);
	if (r == 0)
		r = image_install(kit.arena, &kit.places, fd, &state, bundle, keep, NULL, &why);
	close(fd);
	return r;
}

/* What GRUB would boot is whole. */
static enum slot check_next(void)
{
	struct boot_state state;
	image_kit_read_state(&kit, &state);
	enum slot next = boot_state_next(&state);
	assert_true(next == SLOT_A ? image_kit_has_old(&kit) : image_kit_holds_bundle(&kit, SLOT_B));
	/* And after the trial, when it fails. */
	state.left = 0;
	assert_int_equal(boot_state_next(&state), SLOT_A);
	assert_true(image_kit_has_old(&kit));
	return next;
}

/* Returns the child's status: CUT, 0 (installed, the call was never reached) or 1 (it failed, and said so). */
static int run(enum cut kind, size_t call)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		cut = kind;
		calls = 0;
		at_call = call;
		seed = (unsigned)call * 7919u;
		_exit(install() == 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void the_old_or_the_new_at_every_cut(void **unused)
{
	(void)unused;
	size_t old = 0, new = 0;
	for (enum cut kind = FAILS; kind < CUTS; kind++) {
		for (size_t call = 1;; call++) {
			image_kit_reset(&kit);
			int status = run(kind, call);
			enum slot next = check_next();
			*(next == SLOT_A ? &old : &new) += 1;
			if (status == 0)
				break;
			assert_int_equal(status, kind == FAILS ? 1 : CUT);
			/* A second try, on what the first left, goes through. */
			assert_int_equal(run(NO_CUT, 0), 0);
			assert_int_equal(check_next(), SLOT_B);
		}
	}
	/* The loop has seen both, and many of the first. */
	assert_in_range(old, 4 * 8, 1000);
	assert_in_range(new, 4, 1000);
}

/* A slot that once was good is no way out any more as soon as it is being overwritten. */
static void a_half_overwritten_slot_is_never_fallen_back_to(void **unused)
{
	(void)unused;
	static const struct boot_state both = {.left = IMAGE_TRIES, .slots = {{SLOT_GOOD, "1"}, {SLOT_GOOD, "0"}}};
	for (size_t call = 1; call < 30; call++) {
		image_kit_reset(&kit);
		int fd = image_state_open(&kit.places, true);
		assert_int_equal(image_state_write(fd, &both), 0);
		close(fd);
		if (run(KEEPS_SOME, call) == 0)
			break;
		struct boot_state state;
		image_kit_read_state(&kit, &state);
		if (state.slots[SLOT_B].state != SLOT_GOOD)
			check_next();
	}
}

static void a_slot_that_is_too_small_is_refused(void **unused)
{
	(void)unused;
	image_kit_reset(&kit);
	assert_int_equal(truncate(kit.places.parts[SLOT_B][PART_ROOT], HELP_ROOT_SIZE - 1), 0);
	assert_int_equal(install(), -ENOSPC);
	assert_int_equal(check_next(), SLOT_A);
	struct boot_state state;
	image_kit_read_state(&kit, &state);
	assert_int_equal(state.slots[SLOT_B].state, SLOT_EMPTY);
}

static void only_one_at_a_time(void **unused)
{
	(void)unused;
	image_kit_reset(&kit);
	int fd = image_state_open(&kit.places, true);
	assert_true(fd >= 0);
	assert_int_equal(image_state_open(&kit.places, true), -EBUSY);
	int look = image_state_open(&kit.places, false);
	assert_true(look >= 0);
	close(look);
	close(fd);
}

static int make(void **unused)
{
	(void)unused;
	image_kit_make(&kit);
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	image_kit_free(&kit);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_old_or_the_new_at_every_cut),
		cmocka_unit_test(a_half_overwritten_slot_is_never_fallen_back_to),
		cmocka_unit_test(a_slot_that_is_too_small_is_refused),
		cmocka_unit_test(only_one_at_a_time),
	};
	return cmocka_run_group_tests(tests, make, end);
}
