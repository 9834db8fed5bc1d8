/* The node agent: brings the tunnel up, keeps it as it shall be, and takes new
 * keys over from the edge. It answers what comes out of its own tunnel, from the
 * edge itself, and nothing else; each step is on its disk before it says so. A
 * kill at any moment leaves the devices as they are. */
#include "agent.h"

#include "../agent_message.h"
#include "../clock.h"
#include "../log.h"
#include "../store.h"
#include "config.h"
#include "devices.h"
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define CONFIG_MOST 65536
#define TICK_MS 1000
#define SOCKETS_MOST 8
/* The edge says that it is over; if it cannot, the old device goes after this long. */
#define LEAVE_SECONDS 300

struct agent {
	struct arena *arena;
	struct agent_config config;
	struct agent_state state;
	struct tunnel_keys *keys;
	struct agent_devices *devices;
	int folder;
	int sockets[SOCKETS_MOST];
	size_t socket_count;
	uint64_t leaving_since; /* seconds, monotonic */
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static uint64_t monotonic(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

static int save(struct agent *agent, const struct agent_state *state)
{
	int r = agent_state_save(agent->folder, agent->config.device, state);
	if (r < 0)
		log_error("agent", "cannot write where it stands: %s", strerror(-r));
	else
		agent->state = *state;
	return r;
}

static const char *device(const struct agent *agent, unsigned slot)
{
	return agent_devices_name(agent->devices, slot);
}

static int apply(struct agent *agent)
{
	return agent_devices_apply(agent->devices, &agent->config, &agent->state, agent->keys);
}

/* What the configuration's keys are, without saying them. */
static int digest(const struct agent_config *config, uint8_t ret_digest[TUNNEL_KEY_SIZE])
{
	unsigned length = 0;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(context, config->private_key, TUNNEL_KEY_SIZE) == 1 &&
		    EVP_DigestUpdate(context, config->edge, TUNNEL_KEY_SIZE) == 1 &&
		    EVP_DigestUpdate(context, config->preshared, config->has_preshared ? TUNNEL_KEY_SIZE : 0) == 1 &&
		    EVP_DigestFinal_ex(context, ret_digest, &length) == 1;
	EVP_MD_CTX_free(context);
	return good ? 0 : -ENOMEM;
}

/* Begin with the configuration's keys: the first time, or when an operator has given others. */
static int begin(struct agent *agent, const uint8_t configured[TUNNEL_KEY_SIZE])
{
	const struct agent_config *config = &agent->config;
	struct agent_state state = {.now = {.port = config->port, .has_preshared = config->has_preshared}};
	memcpy(state.configured, configured, TUNNEL_KEY_SIZE);
	memcpy(state.now.public_key, config->edge, TUNNEL_KEY_SIZE);
	int r = tunnel_keys_set_private(agent->keys, device(agent, 0), config->private_key);
	if (r == 0 && config->has_preshared)
		r = tunnel_keys_set_preshared(agent->keys, device(agent, 0), AGENT_EDGE, config->preshared);
	return r == 0 ? save(agent, &state) : r;
}

static int load(struct agent *agent)
{
	uint8_t configured[TUNNEL_KEY_SIZE];
	struct agent_state state;
	int r = digest(&agent->config, configured);
	if (r < 0)
		return r;
	r = agent_state_load(agent->folder, agent->config.device, &state);
	bool fresh = r == -ENOENT || (r == 0 && memcmp(state.configured, configured, TUNNEL_KEY_SIZE) != 0);
	if (fresh)
		r = begin(agent, configured);
	else if (r == 0)
		agent->state = state;
	/* What a step that was cut short has left. */
	if (r == 0 && agent->state.phase == AGENT_IDLE)
		r = tunnel_keys_forget(agent->keys, device(agent, !agent->state.slot));
	agent->leaving_since = monotonic();
	return r;
}

/* The next device is the one in force now, and the old one goes. */
static int leave(struct agent *agent)
{
	struct agent_state state = agent->state;
	state.slot = !state.slot;
	state.phase = AGENT_IDLE;
	state.now = state.next;
	state.next = (struct agent_edge){0};
	state.since = (uint64_t)time(NULL);
	int r = save(agent, &state);
	if (r < 0)
		return r;
	log_info("agent", "the new keys are in force");
	r = apply(agent);
	(void)tunnel_keys_forget(agent->keys, device(agent, !state.slot));
	return r;
}

/* Keys for the next device. Those that were made for another rotation, which the edge has given up, are not used. */
static int prepare(struct agent *agent, const struct agent_message *offer)
{
	struct agent_state state = agent->state;
	const char *next = device(agent, !state.slot);
	uint8_t own[TUNNEL_KEY_SIZE];
	state.phase = AGENT_IDLE;
	int r = agent->state.phase == AGENT_IDLE ? 0 : save(agent, &state);
	if (r == 0)
		r = tunnel_keys_forget(agent->keys, next);
	if (r == 0)
		r = tunnel_keys_private(agent->keys, next, own);
	if (r == 0 && offer->has_preshared)
		r = tunnel_keys_set_preshared(agent->keys, next, AGENT_EDGE, offer->preshared);
	if (r < 0)
		return r;
	state.phase = AGENT_PREPARED;
	state.id = offer->id;
	state.next = (struct agent_edge){.port = offer->port, .has_preshared = offer->has_preshared};
	memcpy(state.next.public_key, offer->public_key, TUNNEL_KEY_SIZE);
	return save(agent, &state);
}

static int take_offer(struct agent *agent, const struct agent_message *offer, struct agent_message *ret_answer)
{
	const struct agent_state *state = &agent->state;
	bool known = state->id == offer->id && state->phase != AGENT_IDLE;
	if (!known && clock_is_wrong(agent->state.since)) {
		ret_answer->verb = AGENT_WAIT;
		return 0;
	}
	/* The edge has finished the last one, and could not say so. */
	int r = !known && state->phase == AGENT_LEAVING ? leave(agent) : 0;
	if (r == 0 && !known)
		r = prepare(agent, offer);
	if (r < 0)
		return r;
	ret_answer->verb = AGENT_ACCEPT;
	ret_answer->port = agent_devices_listen(&agent->config, !state->slot);
	return tunnel_keys_private(agent->keys, device(agent, !state->slot), ret_answer->public_key);
}

/* 0: in this phase, and the devices are what they are to be in it; also when a former try, or agent, did not get that far. */
static int enter(struct agent *agent, enum agent_phase phase)
{
	struct agent_state state = agent->state;
	int r = 0;
	if (state.phase < phase) {
		state.phase = phase;
		r = save(agent, &state);
		agent->leaving_since = monotonic();
	}
	return r == 0 ? apply(agent) : r;
}

/* 0: there is an answer. */
static int handle(struct agent *agent, const struct agent_message *message, struct agent_message *ret_answer)
{
	const struct agent_state *state = &agent->state;
	bool current = state->id == message->id;
	ret_answer->id = message->id;
	switch (message->verb) {
	case AGENT_OFFER:
		return take_offer(agent, message, ret_answer);
	case AGENT_READY:
		ret_answer->verb = AGENT_UP;
		return current && state->phase != AGENT_IDLE ? enter(agent, AGENT_BOTH) : -ENOENT;
	case AGENT_MOVE:
		ret_answer->verb = AGENT_MOVED;
		if (current && state->phase == AGENT_IDLE)
			return 0;
		return current && state->phase >= AGENT_BOTH ? enter(agent, AGENT_LEAVING) : -ENOENT;
	case AGENT_DONE:
		ret_answer->verb = AGENT_GONE;
		if (current && state->phase == AGENT_LEAVING)
			return leave(agent);
		return state->phase == AGENT_IDLE ? 0 : -ENOENT;
	case AGENT_ACCEPT:
	case AGENT_UP:
	case AGENT_MOVED:
	case AGENT_GONE:
	case AGENT_WAIT:
		return -EBADMSG; /* ours to say */
	}
	return -EBADMSG;
}

static void on_message(struct agent *agent, int fd)
{
	struct agent_message message, answer = {0};
	struct addr from;
	unsigned index;
	while (agent_receive(fd, &message, &from, &index) == 0) {
		bool ours = agent_devices_has(agent->devices, index);
		int r = ours ? handle(agent, &message, &answer) : -EPERM;
		explicit_bzero(&message, sizeof(message));
		if (r == 0)
			r = agent_send(fd, &from, &answer);
		if (r < 0 && r != -ENOENT && r != -EBADMSG)
			log_warning("agent", "a step is not taken: %s", strerror(-r));
		answer = (struct agent_message){0};
	}
}

static void open_sockets(struct agent *agent)
{
	const struct agent_config *config = &agent->config;
	for (size_t i = agent->socket_count; i < config->address_count && i < SOCKETS_MOST; i++) {
		int fd = agent_socket(&config->addresses[i].addr, NULL);
		if (fd < 0) {
			log_warning("agent", "cannot listen for the edge: %s; it is tried again", strerror(-fd));
			return;
		}
		agent->sockets[agent->socket_count++] = fd;
	}
}

static void loop(struct agent *agent)
{
	while (!ended) {
		struct pollfd wait[SOCKETS_MOST];
		int r = apply(agent);
		(void)r; /* logged, and tried again */
		open_sockets(agent);
		if (agent->state.phase == AGENT_LEAVING && monotonic() > agent->leaving_since + LEAVE_SECONDS)
			(void)leave(agent);
		for (size_t i = 0; i < agent->socket_count; i++)
			wait[i] = (struct pollfd){.fd = agent->sockets[i], .events = POLLIN};
		if (poll(wait, agent->socket_count, TICK_MS) <= 0)
			continue;
		for (size_t i = 0; i < agent->socket_count; i++)
			if (wait[i].revents)
				on_message(agent, agent->sockets[i]);
	}
}

static int read_config(struct agent *agent, const char *path)
{
	char *text;
	size_t length;
	const char *error = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int r = fd < 0 ? -errno : store_read_fd(fd, CONFIG_MOST, agent->arena, &text, &length);
	if (fd >= 0)
		close(fd);
	if (r == 0) {
		r = agent_config_parse(path, text, length, agent->arena, &agent->config, &error);
		explicit_bzero(text, length);
	}
	if (r < 0)
		log_error("agent", "%s: %s", path, error ? error : strerror(-r));
	return r;
}

static int open_folder(struct agent *agent, const char *state_dir)
{
	agent->folder = store_folder(AT_FDCWD, state_dir, 0700);
	int r = agent->folder < 0 ? agent->folder : 0;
	if (r == 0 && flock(agent->folder, LOCK_EX | LOCK_NB) < 0)
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (r == 0)
		r = tunnel_keys_open(state_dir, &agent->keys);
	if (r < 0)
		log_error("agent", "%s: %s", state_dir, r == -EBUSY ? "another agent uses it" : strerror(-r));
	return r;
}

static void close_all(struct agent *agent)
{
	for (size_t i = 0; i < agent->socket_count; i++)
		close(agent->sockets[i]);
	agent_devices_close(&agent->devices);
	tunnel_keys_close(&agent->keys);
	explicit_bzero(&agent->config, sizeof(agent->config));
	if (agent->folder >= 0)
		close(agent->folder);
	arena_free(&agent->arena);
}

int agent_run(const char *config, const char *state_dir)
{
	struct agent agent = {.folder = -1, .arena = arena_new()};
	const struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	/* No core file may have the keys. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	int r = agent.arena ? read_config(&agent, config) : -ENOMEM;
	if (r == 0)
		r = open_folder(&agent, state_dir);
	if (r == 0)
		r = agent_devices_open(&agent.config, agent.keys, &agent.devices);
	if (r == 0 && (r = load(&agent)) < 0)
		log_error("agent", "cannot read where it stands: %s", strerror(-r));
	explicit_bzero(agent.config.private_key, sizeof(agent.config.private_key));
	explicit_bzero(agent.config.preshared, sizeof(agent.config.preshared));
	if (r == 0)
		loop(&agent);
	close_all(&agent);
	return r;
}
