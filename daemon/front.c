/* The API's listening sockets and its TLS files. Opens them, lends them to role
 * api, and never reads a byte of a client or of a key. */
#include "front.h"

#include "listener.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* MSG_API_LISTENER's kinds. */
enum kind { KIND_LOCAL, KIND_TLS, KIND_METRICS, KINDS };
static const char *const kind_names[KINDS] = {"local socket", "api.listen", "metrics.listen"};

struct port {
	struct listen_tcp at; /* its origin is not kept */
	int socket;
};

struct front {
	int local;
	struct port ports[KINDS]; /* but for the local one */
	int tls[3];               /* certificate, key, client CA; -1 */
	struct wire_writer names; /* of MSG_API_TLS */
};

static int open_local(const char *runtime_dir)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char path[sizeof(to.sun_path)];
	int length = snprintf(to.sun_path, sizeof(to.sun_path), "%s/api.sock.new", runtime_dir);
	if (length < 0 || (size_t)length >= sizeof(to.sun_path)) {
		log_error("api", "the runtime folder's name is too long for a socket: \"%s\"", runtime_dir);
		return -ENAMETOOLONG;
	}
	snprintf(path, sizeof(path), "%s/api.sock", runtime_dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(to.sun_path);
	/* Anybody may connect; role api asks who it is. Renamed into place, so that there is always one. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 || chmod(to.sun_path, 0666) < 0 ||
	    listen(fd, 128) < 0 || rename(to.sun_path, path) < 0) {
		int error = -errno;
		log_error("api", "cannot make the socket \"%s\": %s", path, strerror(-error));
		if (fd >= 0)
			close(fd);
		return error;
	}
	return fd;
}

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int front_open(const char *runtime_dir, struct front **ret_front)
{
	struct front *front = calloc(1, sizeof(*front));
	if (!front)
		return -ENOMEM;
	for (int i = 0; i < KINDS; i++)
		front->ports[i].socket = -1;
	for (int i = 0; i < 3; i++)
		front->tls[i] = -1;
	front->local = open_local(runtime_dir);
	if (front->local < 0) {
		int error = front->local;
		front_close(&front);
		return error;
	}
	*ret_front = front;
	return 0;
}

void front_close(struct front **front)
{
	if (!front || !*front)
		return;
	drop(&(*front)->local);
	for (int i = 0; i < KINDS; i++)
		drop(&(*front)->ports[i].socket);
	for (int i = 0; i < 3; i++)
		drop(&(*front)->tls[i]);
	wire_writer_free(&(*front)->names);
	free(*front);
	*front = NULL;
}

static void send_listener(struct roles *roles, enum kind kind, int fd)
{
	struct wire_writer writer cleanup_wire = {0};
	wire_put_u32(&writer, kind);
	if (roles)
		roles_send(roles, ROLE_API, 0, MSG_API_LISTENER, 0, &writer, &fd, fd >= 0);
}

static void send_tls(const struct front *front, struct roles *roles)
{
	if (roles && front->tls[0] >= 0)
		roles_send(roles, ROLE_API, 0, MSG_API_TLS, 0, &front->names, front->tls, 3);
}

static void listen_at(struct front *front, enum kind kind, const struct listen_tcp *wanted, struct roles *roles)
{
	struct port *port = &front->ports[kind];
	/* The same socket stays: role api has it, and the port could not be bound a second time. */
	if (port->socket >= 0 && addr_equal(&port->at.address, &wanted->address) && port->at.port == wanted->port)
		return;
	if (port->socket >= 0) {
		drop(&port->socket);
		send_listener(roles, kind, -1);
	}
	if (!wanted->address.family)
		return;
	int fd = listener_open(&wanted->address, wanted->port, false);
	if (fd < 0) {
		log_error("api", "%s: cannot listen on port %u: %s; the local socket serves all the same",
			  kind_names[kind], wanted->port, strerror(-fd));
		return;
	}
	port->at = (struct listen_tcp){.address = wanted->address, .port = wanted->port};
	port->socket = fd;
	send_listener(roles, kind, fd);
}

static int open_beside(const char *config, const char *name)
{
	char copy[PATH_MAX], path[PATH_MAX];
	snprintf(copy, sizeof(copy), "%s", config);
	int length = *name == '/' ? snprintf(path, sizeof(path), "%s", name)
				  : snprintf(path, sizeof(path), "%s/%s", dirname(copy), name);
	if (length < 0 || (size_t)length >= sizeof(path))
		return -ENAMETOOLONG;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/* Read at every apply, so that a renewed certificate is taken up by an apply. */
static bool open_tls(struct front *front, const struct api_config *api, const char *config)
{
	const char *names[] = {api->certificate, api->key, api->client_ca};
	for (int i = 0; i < 3; i++) {
		drop(&front->tls[i]);
		int fd = open_beside(config, names[i] ? names[i] : "");
		if (fd < 0) {
			log_error("api", "api: cannot open \"%s\": %s; there is no TLS until the next apply",
				  names[i] ? names[i] : "", strerror(-fd));
			return false;
		}
		front->tls[i] = fd;
	}
	wire_writer_free(&front->names);
	wire_put_u32(&front->names, (uint32_t)api->writer_count);
	for (size_t i = 0; i < api->writer_count; i++)
		wire_put_text(&front->names, api->writers[i]);
	wire_put_u32(&front->names, (uint32_t)api->reader_count);
	for (size_t i = 0; i < api->reader_count; i++)
		wire_put_text(&front->names, api->readers[i]);
	return true;
}

void front_apply(struct front *front, const struct model *model, const char *config, struct roles *roles)
{
	static const struct listen_tcp nowhere = {0};
	const struct api_config *api = model ? &model->api : NULL;
	bool tls = api && api->listen.address.family && open_tls(front, api, config);
	if (tls)
		send_tls(front, roles);
	listen_at(front, KIND_TLS, tls ? &api->listen : &nowhere, roles);
	listen_at(front, KIND_METRICS, model ? &model->metrics : &nowhere, roles);
}

void front_lend(struct front *front, struct roles *roles)
{
	send_listener(roles, KIND_LOCAL, front->local);
	send_tls(front, roles);
	for (enum kind kind = KIND_TLS; kind < KINDS; kind++)
		if (front->ports[kind].socket >= 0)
			send_listener(roles, kind, front->ports[kind].socket);
}
