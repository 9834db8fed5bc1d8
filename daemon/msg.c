/* Messages between roles: framing, descriptors, sealed bodies. Knows the types
 * but nothing of what they mean. */
#include "msg.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEAD 8 /* type u32, id u32, big-endian */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int msg_send(int socket, enum msg_type type, uint32_t id, const struct wire_writer *payload, const int *fds, size_t fd_count)
{
	if (payload && payload->failed)
		return -ENOMEM;
	size_t length = payload ? payload->length : 0;
	if (length > MSG_INLINE_MAX || fd_count > MSG_FDS_MAX)
		return -EMSGSIZE;
	uint32_t head[2] = {htobe32((uint32_t)type), htobe32(id)};
	struct iovec parts[2] = {{head, sizeof(head)}, {payload ? payload->data : NULL, length}};
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
	} control = {0};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = length ? 2 : 1};
	if (fd_count) {
		message.msg_control = control.data;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		struct cmsghdr *part = CMSG_FIRSTHDR(&message);
		part->cmsg_level = SOL_SOCKET;
		part->cmsg_type = SCM_RIGHTS;
		part->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(part), fds, sizeof(int) * fd_count);
	}
	ssize_t sent;
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

static void take_control(struct msghdr *message, struct msg *msg)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
		if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS) {
			struct ucred sender;
			memcpy(&sender, CMSG_DATA(part), sizeof(sender));
			msg->sender = sender.pid;
		}
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
			if (msg->fd_count < MSG_FDS_MAX)
				msg->fds[msg->fd_count++] = fd;
			else
				close(fd);
		}
	}
}

int msg_receive(int socket, struct msg_buffer *buffer, struct msg *ret_msg)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec part = {buffer->data, sizeof(buffer->data)};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.data, .msg_controllen = sizeof(control.data)};
	ssize_t got;
	do
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (got == 0)
		return 0;

	struct msg msg = {0};
	take_control(&message, &msg);
	uint32_t head[2];
	if (got < HEAD || (size_t)got > HEAD + MSG_INLINE_MAX || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		msg_close_fds(&msg);
		return -EBADMSG;
	}
	memcpy(head, buffer->data, sizeof(head));
	uint32_t type = be32toh(head[0]);
	if (type == 0 || type >= MSG_TYPES) {
		msg_close_fds(&msg);
		return -EBADMSG;
	}
	msg.type = (enum msg_type)type;
	msg.id = be32toh(head[1]);
	msg.payload = buffer->data + HEAD;
	msg.length = (size_t)got - HEAD;
	*ret_msg = msg;
	return 1;
}

void msg_close_fds(struct msg *msg)
{
	for (size_t i = 0; i < msg->fd_count; i++)
		if (msg->fds[i] >= 0)
			close(msg->fds[i]);
	msg->fd_count = 0;
}

int msg_body_new(const void *data, size_t length)
{
	int fd = memfd_create("edged-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	const uint8_t *at = data;
	while (length) {
		ssize_t put = write(fd, at, length);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0) {
			int error = put < 0 ? -errno : -EIO;
			close(fd);
			return error;
		}
		at += put;
		length -= (size_t)put;
	}
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
		int error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

int msg_body_map(int fd, const void **ret_data, size_t *ret_length)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat info;
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) != (F_SEAL_SHRINK | F_SEAL_WRITE) ||
	    fstat(fd, &info) < 0 || info.st_size < 0 || (uint64_t)info.st_size > MSG_BODY_MAX)
		return -EBADMSG;
	void *data = NULL;
	if (info.st_size) {
		data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (data == MAP_FAILED)
			return -errno;
	}
	*ret_data = data;
	*ret_length = (size_t)info.st_size;
	return 0;
}
