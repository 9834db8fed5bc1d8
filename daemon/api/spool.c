/* Bodies in memfds. Owns their descriptors until they are reset; main gets its
 * own by SCM_RIGHTS. */
#include "spool.h"

#include "../msg.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int spool_write(struct spool *spool, const void *data, size_t length, size_t *used)
{
	if (length > MSG_BODY_MAX - spool->length)
		return -EFBIG;
	if (*used > SPOOL_BUDGET || length > SPOOL_BUDGET - *used)
		return -EBUSY;
	if (spool->fd < 0) {
		spool->fd = memfd_create("edged-request", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (spool->fd < 0)
			return -errno;
	}
	const char *at = data;
	while (length) {
		ssize_t put = write(spool->fd, at, length);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		at += put;
		length -= (size_t)put;
		spool->length += (size_t)put;
		*used += (size_t)put;
	}
	return 0;
}

int spool_seal(struct spool *spool)
{
	if (spool->fd < 0)
		return 0;
	int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	return fcntl(spool->fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

void spool_reset(struct spool *spool, size_t *used)
{
	if (spool->fd >= 0)
		close(spool->fd);
	*used -= spool->length;
	*spool = (struct spool)SPOOL_INIT;
}
