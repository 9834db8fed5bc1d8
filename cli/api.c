/* The API: sends a request, turns every way in which it can fail into one
 * sentence and an exit code, and reads JSON without ever trusting its form. */
#include "api.h"

#include "client.h"
#include "files.h"
#include "options.h"
#include "text.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS (120u * 1000)
#define LIST_MOST 32 /* items of a list that are written into one cell */

void api_free(json_t **json)
{
	if (*json)
		json_decref(*json);
	*json = NULL;
}

static struct client_target target_of(const struct cli *cli)
{
	const struct parsed *parsed = cli->parsed;
	uint64_t timeout = option_duration(parsed, "timeout");
	const char *socket = option_text(parsed, "socket");
	return (struct client_target){
		.socket = socket ? socket : CLI_SOCKET,
		.host = option_text(parsed, "host"),
		.cert = option_text(parsed, "cert"),
		.key = option_text(parsed, "key"),
		.ca = option_text(parsed, "ca"),
		.timeout_ms = timeout ? timeout : DEFAULT_TIMEOUT_MS,
	};
}

/* Where it changes something, a lost answer leaves the outcome open: say how to find out. */
static void hint_unsure(struct cli *cli, const char *method)
{
	if (strcmp(method, "GET") != 0)
		cli_hint(cli, "whether it was done is not known: edgectl status and edgectl history tell");
}

static int fail_transport(struct cli *cli, const struct client_target *target, const char *method, int error,
			  const char *why)
{
	const char *place = target->host ? target->host : target->socket;
	switch (-error) {
	case EACCES:
	case EPERM:
		cli_error(cli, "no permission to open %s: your user must be in group edge (may change) or edge-view "
			  "(may look): adduser NAME edge, then log in again", place);
		return CLI_UNREACHABLE;
	case EKEYREJECTED:
		cli_error(cli, "no TLS with %s: %s (check --cert, --key and --ca)", place, why ? why : "refused");
		return CLI_UNREACHABLE;
	case ETIMEDOUT:
		cli_error(cli, "edged did not answer in time on %s (--timeout waits longer)", place);
		hint_unsure(cli, method);
		return CLI_UNREACHABLE;
	case EMSGSIZE:
		cli_error(cli, "edged's answer is larger than %u MiB and was refused", CLIENT_MOST_BYTES >> 20);
		hint_unsure(cli, method);
		return CLI_REFUSED;
	case EPROTO:
		cli_error(cli, "what listens on %s does not speak HTTP: is it edged's socket?", place);
		return CLI_REFUSED;
	case ECONNRESET:
		cli_error(cli, "edged broke the connection on %s off before it had answered (%s)", place, why ? why : "");
		hint_unsure(cli, method);
		return CLI_UNREACHABLE;
	case ENOMEM:
		cli_error(cli, "out of memory");
		return CLI_REFUSED;
	}
	if (target->host)
		cli_error(cli, "edged does not answer on %s: %s", place, why ? why : strerror(-error));
	else
		cli_error(cli, "edged does not answer on %s: is it running? (systemctl status edged)", place);
	return CLI_UNREACHABLE;
}

static int fail_status(struct cli *cli, long status, const json_t *answer)
{
	const char *text = js_text(answer, "error");
	if (*text)
		cli_error(cli, "%s", text);
	else if (status == 401 || status == 403)
		cli_error(cli, "edged refuses: this user or certificate may only look (group edge may change)");
	else if (status == 404)
		cli_error(cli, "edged does not know this request: is it older than this edgectl? (edgectl version)");
	else
		cli_error(cli, "edged answered with HTTP status %ld and no reason", status);
	const json_t *line;
	size_t i;
	json_array_foreach(json_object_get(answer, "diagnostics"), i, line) {
		if (json_is_string(line))
			cli_hint(cli, "%s", files_rename(cli, json_string_value(line)));
	}
	if (cli->json && json_is_object(answer))
		api_print(cli, answer);
	return CLI_REFUSED;
}

static json_t *parse_body(const struct client_answer *answer)
{
	return json_loadb(answer->body, answer->length, JSON_DECODE_ANY, NULL);
}

int api_call(struct cli *cli, const char *method, const char *path, const json_t *body, json_t **ret_answer)
{
	struct client_target target = target_of(cli);
	struct client_answer answer;
	const char *why = NULL;
	if (target.host && (!target.cert || !target.key || !target.ca)) {
		cli_error(cli, "--host needs --cert FILE, --key FILE and --ca FILE");
		return CLI_USAGE;
	}
	char *text = body ? cli_need(json_dumps(body, JSON_COMPACT)) : NULL;
	int r = client_request(&target, method, path, text, text ? strlen(text) : 0, cli->arena, &answer, &why);
	free(text);
	if (r < 0)
		return fail_transport(cli, &target, method, r, why);
	cleanup_json json_t *json = parse_body(&answer);
	if (answer.status < 200 || answer.status > 299)
		return fail_status(cli, answer.status, json);
	if (!json) {
		cli_error(cli, "edged's answer is not JSON: is %s edged's socket?", target.host ? target.host : target.socket);
		hint_unsure(cli, method);
		return CLI_REFUSED;
	}
	*ret_answer = json;
	json = NULL;
	return CLI_DONE;
}

int api_call_quietly(struct cli *cli, const char *method, const char *path, uint64_t timeout_ms, json_t **ret_answer)
{
	struct client_target target = target_of(cli);
	struct client_answer answer;
	const char *why = NULL;
	target.timeout_ms = timeout_ms;
	if (target.host && (!target.cert || !target.key || !target.ca))
		return CLI_USAGE;
	if (client_request(&target, method, path, NULL, 0, cli->arena, &answer, &why) < 0)
		return CLI_UNREACHABLE;
	json_t *json = answer.status == 200 ? parse_body(&answer) : NULL;
	if (!json)
		return CLI_REFUSED;
	*ret_answer = json;
	return CLI_DONE;
}

const char *api_encode(struct cli *cli, const char *text)
{
	char *encoded = cli_need(curl_easy_escape(NULL, text, 0));
	char *copy = cli_need(arena_strdup(cli->arena, encoded));
	curl_free(encoded);
	return copy;
}

int api_unknown(struct cli *cli, const char *path)
{
	cli_error(cli, "edged's answer to %s is not one that this edgectl (%s) understands", path, EDGED_VERSION);
	return CLI_REFUSED;
}

int api_print(struct cli *cli, const json_t *answer)
{
	/* ASCII only: text in it cannot speak to a terminal, and a program reads the same. */
	char *text = cli_need(json_dumps(answer, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY));
	for (const char *p = text, *end; *p; p = end) {
		end = strchrnul(p, 0x7f);
		fwrite(p, 1, (size_t)(end - p), cli->out);
		/* JSON may hold DEL as it is, a terminal may not. */
		for (; *end == 0x7f; end++)
			fputs("\\u007f", cli->out);
	}
	fputc('\n', cli->out);
	free(text);
	return CLI_DONE;
}

static const json_t *value_of(const json_t *json, const char *key)
{
	return key ? json_object_get(json, key) : json;
}

const char *js_text(const json_t *json, const char *key)
{
	const char *text = json_string_value(value_of(json, key));
	return text ? text : "";
}

int64_t js_int(const json_t *json, const char *key)
{
	const json_t *value = value_of(json, key);
	if (json_is_integer(value))
		return json_integer_value(value);
	double real = json_is_real(value) ? json_real_value(value) : 0;
	return fabs(real) < 9e18 ? (int64_t)real : 0;
}

bool js_bool(const json_t *json, const char *key)
{
	return json_is_true(value_of(json, key));
}

const char *js_any(struct cli *cli, const json_t *json, const char *key)
{
	const json_t *value = value_of(json, key), *item;
	const char *text = "";
	size_t i;
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		return json_string_value(value);
	case JSON_INTEGER:
		return cli_format(cli, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	case JSON_REAL:
		return cli_format(cli, "%g", json_real_value(value));
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	case JSON_ARRAY:
		json_array_foreach(value, i, item) {
			if (i == LIST_MOST)
				return cli_format(cli, "%s and %zu more", text, json_array_size(value) - i);
			/* Not deeper: a list of lists is nothing that a table can show. */
			if (!json_is_array(item))
				text = cli_format(cli, "%s%s%s", text, *text ? ", " : "", js_any(cli, item, NULL));
		}
		return text;
	case JSON_OBJECT:
	case JSON_NULL:
		return "";
	}
	return "";
}
