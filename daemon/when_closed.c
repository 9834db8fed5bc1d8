/* when-closed FILE COMMAND...: makes the empty file and runs the command if the firewall is closed. Fails otherwise, and says
 * why. A program of its own beside edged: a network port waits for it, and a small emulated machine needs half a second to
 * link what nft is made of. */
#include "kernel/nft_closed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	bool closed = false;
	if (argc < 3)
		return fprintf(stderr, "usage: when-closed FILE COMMAND [ARGUMENT...]\n"), 2;
	int r = nft_closed(&closed);
	if (r < 0)
		return fprintf(stderr, "when-closed: the kernel does not list its chains: %s\n", strerror(-r)), 1;
	if (!closed)
		return fprintf(stderr, "when-closed: edged's table does not drop what comes in and what passes: "
				       "systemctl status edged\n"),
		       1;
	int fd = open(argv[1], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return fprintf(stderr, "when-closed: %s: %s\n", argv[1], strerror(errno)), 1;
	close(fd);
	execv(argv[2], argv + 2);
	return fprintf(stderr, "when-closed: %s: %s\n", argv[2], strerror(errno)), 1;
}
