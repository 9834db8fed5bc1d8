/* libcurl, over the unix socket or TLS. One request for each call; nothing is
 * sent twice, since an apply must not be. Owns no output. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#define CONNECT_TIMEOUT_MS 5000L

struct body {
	char *data;
	size_t length, room;
	bool too_large, no_memory;
};

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
	struct body *body = context;
	size_t more = size * count;
	if (more > CLIENT_MOST_BYTES - body->length) {
		body->too_large = true;
		return 0;
	}
	if (body->length + more + 1 > body->room) {
		size_t room = body->room ? body->room : 65536;
		while (room < body->length + more + 1)
			room *= 2;
		char *grown = realloc(body->data, room);
		if (!grown) {
			body->no_memory = true;
			return 0;
		}
		body->data = grown;
		body->room = room;
	}
	memcpy(body->data + body->length, data, more);
	body->length += more;
	return more;
}

static int error_of(CURLcode code, long os_error, const struct body *body)
{
	if (body->too_large)
		return -EMSGSIZE;
	if (body->no_memory)
		return -ENOMEM;
	switch ((int)code) { /* an enum of libcurl's, which grows */
	case CURLE_COULDNT_CONNECT:
		if (os_error == EACCES || os_error == EPERM || os_error == ENOENT)
			return -(int)os_error;
		return -ECONNREFUSED;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_URL_MALFORMAT:
		return -EHOSTUNREACH;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return -EKEYREJECTED;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_BAD_CONTENT_ENCODING:
		return -EPROTO;
	default:
		return -ECONNRESET;
	}
}

static bool set_target(CURL *curl, const struct client_target *target)
{
	if (!target->host)
		return curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, target->socket) == CURLE_OK &&
		       curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK;
	return curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_SSLCERT, target->cert) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_SSLKEY, target->key) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_CAINFO, target->ca) == CURLE_OK;
}

static bool set_request(CURL *curl, const char *url, const char *method, const char *data, size_t length,
			struct curl_slist *headers, struct body *body, uint64_t timeout_ms)
{
	/* The environment's proxies must not carry what goes to a firewall. */
	bool done = curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK;
	if (!done || !data)
		return done;
	return curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_POSTFIELDS, data) == CURLE_OK;
}

static int perform(CURL *curl, struct arena *arena, struct body *body, struct client_answer *ret_answer,
		   const char **ret_why)
{
	struct client_answer answer = {0};
	CURLcode code = curl_easy_perform(curl);
	if (code != CURLE_OK) {
		long os_error = 0;
		curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
		*ret_why = arena_strdup(arena, curl_easy_strerror(code));
		return error_of(code, os_error, body);
	}
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
	answer.body = arena_strndup(arena, body->data ? body->data : "", body->length);
	answer.length = body->length;
	if (!answer.body)
		return -ENOMEM;
	*ret_answer = answer;
	return 0;
}

int client_request(const struct client_target *target, const char *method, const char *path, const char *data,
		   size_t length, struct arena *arena, struct client_answer *ret_answer, const char **ret_why)
{
	struct body body = {0};
	int r = -ENOMEM;
	const char *url = arena_printf(arena, target->host ? "https://%s%s" : "http://%s%s",
				       target->host ? target->host : "localhost", path);
	/* No "Expect: 100-continue": it would cost a round trip, or a second where it is not answered. */
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	CURL *curl = curl_easy_init();
	struct curl_slist *more = headers ? curl_slist_append(headers, "Content-Type: application/json") : NULL;
	if (url && curl && more && set_target(curl, target) &&
	    set_request(curl, url, method, data, length, headers, &body, target->timeout_ms))
		r = perform(curl, arena, &body, ret_answer, ret_why);
	if (curl)
		curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	free(body.data);
	return r;
}
