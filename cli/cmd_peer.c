/* peer export: a peer's own configuration, for wg-quick, systemd-networkd or as
 * a QR code. A new private key is made here, in this process, applied by its
 * public half and printed once; it is sent to nobody and kept nowhere. */
#include "commands.h"

#include "api.h"
#include "edit_keys.h"
#include "edit_session.h"

#include "../rules/base/addr.h"
#include "../rules/model/values.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <qrencode.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define STATE_DIR "/var/lib/edged"
#define KEY_SIZE 32
#define KEY_TEXT 44

struct export {
	struct cli *cli;
	const json_t *tunnel, *peer;
	const json_t *device; /* tunnel, or the device that its new keys are on */
	const char *name, *private_key, *preshared, *endpoint;
};

static int make_key(struct cli *cli, const char **ret_private, const char **ret_public)
{
	uint8_t private[KEY_SIZE], public[KEY_SIZE];
	size_t private_size = KEY_SIZE, public_size = KEY_SIZE;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	bool good = key && EVP_PKEY_get_raw_private_key(key, private, &private_size) == 1 &&
		    EVP_PKEY_get_raw_public_key(key, public, &public_size) == 1;
	EVP_PKEY_free(key);
	if (!good) {
		cli_error(cli, "no key could be made");
		return CLI_REFUSED;
	}
	*ret_private = cli_need(value_print_public_key(cli->arena, private));
	*ret_public = cli_need(value_print_public_key(cli->arena, public));
	explicit_bzero(private, sizeof(private));
	return CLI_DONE;
}

static const json_t *named(const json_t *list, const char *name)
{
	const json_t *item;
	size_t i;
	json_array_foreach(list, i, item) {
		if (strcmp(js_text(item, "name"), name) == 0)
			return item;
	}
	return NULL;
}

/* The preshared key is in a file that root can read on the edge, and in no answer of edged's. */
static const char *read_preshared(struct cli *cli, const char *device, const char *peer)
{
	char text[KEY_TEXT + 2];
	const char *folder = option_text(cli->parsed, "state-dir");
	const char *path = cli_format(cli, "%s/keys/%s@%s.psk", folder ? folder : STATE_DIR, peer, device);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t length = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	if (fd >= 0)
		close(fd);
	if (length < KEY_TEXT)
		return NULL;
	return cli_format(cli, "%.*s", KEY_TEXT, text);
}

/* Addresses of the peer inside the tunnel: the single ones among its allowed IPs. */
static const char *own_addresses(const struct export *export)
{
	const json_t *item;
	const char *list = "";
	size_t i;
	json_array_foreach(json_object_get(export->peer, "allowed_ips"), i, item) {
		const char *text = js_text(item, NULL);
		if (!strchr(text, '/'))
			list = cli_format(export->cli, "%s%s%s/%d", list, *list ? ", " : "", text,
					  strchr(text, ':') ? 128 : 32);
	}
	return list;
}

/* The tunnel's networks, as the peer may send to and hear from. */
static const char *networks(const struct export *export)
{
	const json_t *item;
	const char *list = "";
	size_t i;
	json_array_foreach(json_object_get(export->tunnel, "addresses"), i, item) {
		const char *text = js_text(item, NULL), *slash = strchr(text, '/');
		struct prefix prefix;
		char masked[PREFIX_TEXT_MAX];
		int r = slash ? prefix_parse(text, strlen(text), &prefix) : -1;
		if (slash && (r == 0 || r == -ERANGE))
			list = cli_format(export->cli, "%s%s%s", list, *list ? ", " : "", prefix_format(&prefix, masked));
	}
	return list;
}

static const char *wg_quick(const struct export *export)
{
	struct cli *cli = export->cli;
	const char *text = cli_format(cli, "[Interface]\nPrivateKey = %s\nAddress = %s\nMTU = %" PRId64 "\n\n[Peer]\n"
					   "PublicKey = %s\n", export->private_key, own_addresses(export),
				      js_int(export->tunnel, "mtu"), js_text(export->device, "public_key"));
	if (export->preshared)
		text = cli_format(cli, "%sPresharedKey = %s\n", text, export->preshared);
	return cli_format(cli, "%sAllowedIPs = %s\nEndpoint = %s\nPersistentKeepalive = 25\n", text, networks(export),
			  export->endpoint);
}

static const char *networkd(const struct export *export)
{
	struct cli *cli = export->cli;
	const char *name = js_text(export->tunnel, "name"), *addresses = own_addresses(export), *lines = "";
	const char *text = cli_format(cli, "# /etc/systemd/network/50-%s.netdev (mode 0640, group systemd-network)\n[NetDev]\n"
					   "Name=%s\nKind=wireguard\nMTUBytes=%" PRId64 "\n\n[WireGuard]\nPrivateKey=%s\n\n"
					   "[WireGuardPeer]\nPublicKey=%s\n", name, name, js_int(export->tunnel, "mtu"),
				      export->private_key, js_text(export->device, "public_key"));
	if (export->preshared)
		text = cli_format(cli, "%sPresharedKey=%s\n", text, export->preshared);
	for (const char *at = addresses; *at; at += strspn(at, ", ")) {
		size_t length = strcspn(at, ", ");
		lines = cli_format(cli, "%sAddress=%.*s\n", lines, (int)length, at);
		at += length;
	}
	text = cli_format(cli, "%sAllowedIPs=%s\nEndpoint=%s\nPersistentKeepalive=25\nRouteTable=main\n\n", text,
			  networks(export), export->endpoint);
	return cli_format(cli, "%s# /etc/systemd/network/50-%s.network\n[Match]\nName=%s\n\n[Network]\n%s", text, name, name,
			  lines);
}

/* Two rows of modules in one line of characters; the quiet zone is part of the code (ISO/IEC 18004 section 6.3.8). */
static int print_qr(struct cli *cli, const char *text)
{
	enum { QUIET = 4 };
	QRcode *code = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
	if (!code) {
		cli_error(cli, "the configuration does not fit into a QR code");
		return CLI_REFUSED;
	}
	static const char *const cells[] = {"\u2588", "\u2580", "\u2584", " "}; /* light is drawn, for dark terminals */
	for (int y = -QUIET; y < code->width + QUIET; y += 2) {
		for (int x = -QUIET; x < code->width + QUIET; x++) {
			int dark[2] = {0, 0};
			for (int i = 0; i < 2; i++)
				if (x >= 0 && x < code->width && y + i >= 0 && y + i < code->width)
					dark[i] = code->data[(y + i) * code->width + x] & 1;
			fputs(cells[dark[0] * 2 + dark[1]], cli->out);
		}
		fputc('\n', cli->out);
	}
	QRcode_free(code);
	return CLI_DONE;
}

/* The peer's new public key into the file and into force. What the apply says goes where errors go: standard output is
 * the configuration alone. */
static int apply_key(struct edit_session *session, const char *name, const char *public)
{
	struct cli *cli = session->cli;
	const char *path[] = {"wireguard", session->tunnel, "peers", name, "public_key", NULL};
	struct edit_place place;
	int result = edit_find_or_fail(session, name, &place);
	if (result == CLI_DONE)
		result = edit_do_set(session, place.file, path, public);
	FILE *out = cli->out;
	bool json = cli->json;
	cli->out = cli->err;
	cli->json = false;
	if (result == CLI_DONE)
		result = edit_session_send(session);
	cli->out = out;
	cli->json = json;
	return result;
}

static int print_export(const struct export *export)
{
	struct cli *cli = export->cli;
	const char *format = option_text(cli->parsed, "format");
	bool units = format && strcmp(format, "networkd") == 0;
	const char *text = units ? networkd(export) : wg_quick(export);
	if (option_given(cli->parsed, "qr"))
		return print_qr(cli, wg_quick(export));
	if (!cli->json) {
		fputs(text, cli->out);
		return CLI_DONE;
	}
	cleanup_json json_t *json = cli_need(json_pack("{s:s, s:s, s:s}", "tunnel", js_text(export->tunnel, "name"), "peer",
						       export->name, "text", text));
	return api_print(cli, json);
}

static int fill(struct export *export, struct edit_session *session, const json_t *tunnels)
{
	struct cli *cli = export->cli;
	export->tunnel = named(tunnels, session->tunnel);
	export->peer = named(json_object_get(export->tunnel, "peers"), export->name);
	if (!export->peer || !*js_text(export->tunnel, "public_key")) {
		cli_error(cli, "tunnel %s is not up, or has no peer \"%s\" in force: edgectl show tunnels", session->tunnel,
			  export->name);
		return CLI_REFUSED;
	}
	/* While keys are being changed, a peer that has to be told gets the new ones. */
	const json_t *rotation = json_object_get(export->tunnel, "rotation");
	export->device = json_is_object(rotation) && !js_bool(export->peer, "agent") ? rotation : export->tunnel;
	const char *dial = js_text(export->device, "dial"), *given = option_text(cli->parsed, "endpoint");
	export->endpoint = given ? given : dial;
	if (!*export->endpoint) {
		cli_error(cli, "where does the peer reach this machine? --endpoint HOST:PORT (there is no floating IP)");
		return CLI_USAGE;
	}
	if (!*own_addresses(export)) {
		cli_error(cli,
			  "peer %s has no address of its own: put a single one (like 198.18.88.13/32) into its "
			  "allowed_ips",
			  export->name);
		return CLI_REFUSED;
	}
	if (js_bool(export->peer, "preshared_key") &&
	    !(export->preshared = read_preshared(cli, js_text(export->device, "device"), export->name))) {
		cli_error(cli, "the preshared key can only be read by root on the edge itself: run this there");
		return CLI_REFUSED;
	}
	return CLI_DONE;
}

int cmd_peer_export(struct cli *cli)
{
	struct export export = {.cli = cli, .name = argument_text(cli->parsed, 0)};
	struct edit_session session;
	cleanup_json json_t *tunnels = NULL;
	const char *public = NULL;
	bool new_key = option_given(cli->parsed, "new-key");
	/* No core file and no other process of this user may have the key. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	const struct edit_section *section = &edit_sections[EDIT_PEER];
	int result = new_key ? edit_session_open(cli, section, &session) : edit_session_look(cli, section, &session);
	if (result == CLI_DONE)
		result = api_call(cli, "GET", "/v1/tunnels", NULL, &tunnels);
	if (result == CLI_DONE)
		result = fill(&export, &session, tunnels);
	export.private_key = "(the private key that the peer has made; --new-key makes one)";
	if (result == CLI_DONE && !new_key && option_given(cli->parsed, "qr")) {
		cli_error(cli, "a QR code without a private key is of no use: --new-key makes one");
		return CLI_USAGE;
	}
	if (result == CLI_DONE && new_key)
		result = make_key(cli, &export.private_key, &public);
	if (result == CLI_DONE && new_key)
		result = apply_key(&session, export.name, public);
	return result == CLI_DONE ? print_export(&export) : result;
}
