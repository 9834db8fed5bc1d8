/* Plays main for the prober. Each line of standard input is a JSON object:
 *
 *   {"generation": 1, "probes": [{"node", "address", "port", "check": "tcp", "interval": ms, "timeout": ms, "rise",
 *    "fall", "path", "host", "status": [200, 399], "header": "v2", "up": false}, ...]}
 *   {"raw": "bytes"}: a configuration of just these bytes
 *
 * Each message of the prober is printed as a line of JSON. It ends with its input; exits with 1 when the
 * prober ended by itself. With --uid N the prober runs as that user. */
#include "../../daemon/msg.h"
#include "../../daemon/proxy/config.h"
#include "../../daemon/proxy/probe.h"

#include <err.h>
#include <grp.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static uint32_t number(const json_t *object, const char *key, uint32_t otherwise)
{
	const json_t *value = json_object_get(object, key);
	return value ? (uint32_t)json_integer_value(value) : otherwise;
}

static unsigned int word(const json_t *object, const char *key, const char *const *names)
{
	const char *text = json_string_value(json_object_get(object, key));
	for (unsigned int i = 0; text && names[i]; i++)
		if (!strcmp(names[i], text))
			return i;
	return 0;
}

static void read_probe(const json_t *json, struct proxy_probe *probe)
{
	static const char *const checks[] = {"none", "tcp", "http", "https", "proxy", NULL};
	static const char *const headers[] = {"none", "v1", "v2", NULL};
	const char *address = json_string_value(json_object_get(json, "address"));
	const json_t *status = json_object_get(json, "status");
	*probe = (struct proxy_probe){
		.node = json_string_value(json_object_get(json, "node")),
		.port = (uint16_t)number(json, "port", 0),
		.health = {.check = (enum health_check)word(json, "check", checks),
			   .interval = number(json, "interval", 1000),
			   .timeout = number(json, "timeout", 1000),
			   .rise = number(json, "rise", 1),
			   .fall = number(json, "fall", 1),
			   .path = json_string_value(json_object_get(json, "path")),
			   .host = json_string_value(json_object_get(json, "host")),
			   .status_first = status ? (uint32_t)json_integer_value(json_array_get(status, 0)) : 200,
			   .status_last = status ? (uint32_t)json_integer_value(json_array_get(status, 1)) : 399},
		.header = (enum proxy_header)word(json, "header", headers),
		.up = json_is_true(json_object_get(json, "up")),
	};
	if (!address || addr_parse(address, strlen(address), &probe->address))
		errx(2, "not an address: %s", address ? address : "nothing");
}

static void give_config(int channel, const char *line)
{
	json_t *json = json_loads(line, 0, NULL);
	if (!json)
		errx(2, "not JSON: %s", line);
	cleanup_wire struct wire_writer body = {0};
	const char *raw = json_string_value(json_object_get(json, "raw"));
	const json_t *list = json_object_get(json, "probes");
	struct proxy_config config = {.generation = number(json, "generation", 0), .probe_count = json_array_size(list)};
	config.probes = calloc(config.probe_count + 1, sizeof(*config.probes));
	for (size_t i = 0; i < config.probe_count; i++)
		read_probe(json_array_get(list, i), &config.probes[i]);
	proxy_config_encode(&config, &body);
	int fd = raw ? msg_body_new(raw, strlen(raw)) : msg_body_new(body.data, body.length);
	int error = msg_send(channel, MSG_PROXY_CONFIG, 0, NULL, &fd, 1);
	if (error)
		errx(1, "the prober takes no configuration: %s", strerror(-error));
	close(fd);
	free(config.probes);
	json_decref(json);
}

static void print_message(const struct msg *msg)
{
	cleanup_arena struct arena *arena = arena_new();
	struct wire_reader reader = {.data = msg->payload, .length = msg->length};
	json_t *json = NULL;
	if (msg->type == MSG_PROXY_HEALTH) {
		const char *node = wire_get_text(&reader, arena, MODEL_NAME_MAX);
		uint32_t port = wire_get_bounded(&reader, 65535), up = wire_get_bounded(&reader, 1);
		const char *why = wire_get_text(&reader, arena, 200);
		json = json_pack("{s:s, s:s, s:i, s:b, s:s}", "type", "health", "node", node, "port", (int)port, "up",
				 (int)up, "why", why);
	} else if (msg->type == MSG_PROXY_APPLIED) {
		json = json_pack("{s:s, s:i}", "type", "applied", "generation", (int)wire_get_u32(&reader));
	} else if (msg->type == MSG_LOG) {
		wire_get_u32(&reader);
		json = json_pack("{s:s, s:s}", "type", "log", "text", wire_get_text(&reader, arena, 1000));
	} else if (msg->type == MSG_READY) {
		json = json_pack("{s:s}", "type", "ready");
	}
	if (!json || wire_finish(&reader))
		errx(1, "the prober sent a broken message of type %u", (unsigned int)msg->type);
	char *text = json_dumps(json, JSON_COMPACT);
	puts(text);
	fflush(stdout);
	free(text);
	json_decref(json);
}

static pid_t start_prober(uid_t uid, int *ret_channel)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		err(1, "socketpair");
	pid_t pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		if (dup2(pair[1], MSG_FD) < 0 || !freopen("/dev/null", "r", stdin))
			err(1, "dup2");
		for (int fd = MSG_FD + 1; fd < 64; fd++)
			close(fd);
		if (uid && (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0))
			err(1, "dropping privileges");
		exit(prober_main() ? 3 : 0);
	}
	close(pair[1]);
	*ret_channel = pair[0];
	return pid;
}

int main(int argc, char **argv)
{
	int channel;
	uid_t uid = argc == 3 && !strcmp(argv[1], "--uid") ? (uid_t)strtoul(argv[2], NULL, 10) : 0;
	pid_t prober = start_prober(uid, &channel);
	static struct msg_buffer buffer;
	bool lives = true;
	char *line = NULL;
	size_t room = 0;
	setvbuf(stdin, NULL, _IONBF, 0); /* so that poll() sees what is left */
	struct pollfd look[2] = {{.fd = channel, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	while (lives && poll(look, 2, -1) > 0) {
		if (look[0].revents) {
			struct msg msg;
			lives = msg_receive(channel, &buffer, &msg) == 1;
			if (lives) {
				print_message(&msg);
				msg_close_fds(&msg);
			}
		} else if (look[1].revents) {
			if (getline(&line, &room, stdin) <= 0)
				break;
			give_config(channel, line);
		}
	}
	free(line);
	if (lives)
		(void)msg_send(channel, MSG_STOP, 0, NULL, NULL, 0);
	int status = 0;
	waitpid(prober, &status, 0);
	return lives && WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : 1;
}
