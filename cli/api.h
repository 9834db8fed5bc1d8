/* Edged's API as commands use it: a call that reports its own failures, and
 * readers of JSON that take any nonsense. */
#pragma once

#include "cli.h"

#include <jansson.h>
#include <stdint.h>

#define cleanup_json __attribute__((cleanup(api_free)))
void api_free(json_t **json);

/* Call the API; body (may be NULL) is not taken over. Returns an enum
 * cli_exit: CLI_DONE with *ret_answer (the caller's, any JSON value), else
 * the reason is printed already. */
int api_call(struct cli *cli, const char *method, const char *path, const json_t *body, json_t **ret_answer);
/* The same without a word about failure, for looks that are only an addition. */
int api_call_quietly(struct cli *cli, const char *method, const char *path, uint64_t timeout_ms, json_t **ret_answer);
/* text, percent-encoded for a path or a query. */
const char *api_encode(struct cli *cli, const char *text);
/* The answer is not what docs/api.md says: prints so; returns CLI_REFUSED. */
int api_unknown(struct cli *cli, const char *path);
/* Print the whole answer, indented, for --json. */
int api_print(struct cli *cli, const json_t *answer);

/* Readers: the value under key (NULL: the value itself), or "" / 0 / false when
 * it is missing or of another kind. Numbers are also read from reals. */
const char *js_text(const json_t *json, const char *key);
int64_t js_int(const json_t *json, const char *key);
bool js_bool(const json_t *json, const char *key);
/* Anything short as text: numbers, lists joined with ", ", true as "yes", null as "". */
const char *js_any(struct cli *cli, const json_t *json, const char *key);
