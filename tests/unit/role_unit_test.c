/* role_unit.c: a connection reaches the role's socket, says which instance it
 * starts, and brings the sender along with as many descriptors as there may be.
 * The role itself is not started here: tests/netns/test_units.py does that. */
#include "../../daemon/role_unit.h"

#include "../../daemon/msg.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char folder[64], path[96];
	int listener;
};

static int set_up(void **state)
{
	static struct place place;
	strcpy(place.folder, "/tmp/edged-role-XXXXXX");
	assert_non_null(mkdtemp(place.folder));
	snprintf(place.path, sizeof(place.path), "%s/proxy", place.folder);
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	strcpy(at.sun_path, place.path);
	place.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(place.listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(place.listener, 8), 0);
	*state = &place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	close(place->listener);
	unlink(place->path);
	return rmdir(place->folder);
}

static void the_instance_knows_its_index(void **state)
{
	struct place *place = *state;
	/* Twice the same index at a time: a worker that is gone, and the one in its place. */
	static const unsigned indexes[] = {0, 63, 63};
	int ours[3], theirs[3];
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(role_unit_connect(place->folder, "proxy", indexes[i], &ours[i]), 0);
		theirs[i] = accept(place->listener, NULL, NULL);
		assert_int_equal(role_unit_index(theirs[i]), indexes[i]);
	}
	for (size_t i = 0; i < 3; i++) {
		close(ours[i]);
		close(theirs[i]);
	}
}

static void main_knows_who_sends(void **state)
{
	struct place *place = *state;
	static struct msg_buffer buffer;
	struct msg msg;
	int ours, fds[2], self;
	assert_int_equal(role_unit_connect(place->folder, "proxy", 1, &ours), 0);
	int theirs = accept(place->listener, NULL, NULL);
	assert_int_equal(msg_receive(ours, &buffer, &msg), -EAGAIN);
	assert_int_equal(pipe(fds), 0);
	/* With as many descriptors as there may be: both fit. */
	int many[MSG_FDS_MAX];
	for (size_t i = 0; i < MSG_FDS_MAX; i++)
		many[i] = fds[0];
	assert_int_equal(msg_send(theirs, MSG_READY, 7, NULL, many, MSG_FDS_MAX), 0);
	assert_int_equal(msg_receive(ours, &buffer, &msg), 1);
	self = (int)getpid();
	assert_int_equal(msg.sender, self);
	assert_int_equal(msg.fd_count, MSG_FDS_MAX);
	msg_close_fds(&msg);
	close(fds[0]);
	close(fds[1]);
	close(theirs);
	assert_int_equal(msg_receive(ours, &buffer, &msg), 0);
	close(ours);
}

static void nobody_listens(void **state)
{
	(void)state;
	int fd = -1;
	assert_int_equal(role_unit_connect("/nowhere", "proxy", 0, &fd), -ENOENT);
	char deep[256];
	memset(deep, 'x', sizeof(deep));
	deep[255] = '\0';
	assert_int_equal(role_unit_connect(deep, "proxy", 0, &fd), -ENAMETOOLONG);
	assert_int_equal(fd, -1);
}

static void a_socket_without_a_name_is_the_first(void **state)
{
	(void)state;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(role_unit_index(pair[0]), 0);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(role_unit_index(-1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_instance_knows_its_index, set_up, tear_down),
		cmocka_unit_test_setup_teardown(main_knows_who_sends, set_up, tear_down),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(a_socket_without_a_name_is_the_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
