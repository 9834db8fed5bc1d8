/* Requests of the local API, as role api hands them to main (docs/api.md). */
#pragma once

#include "server_state.h"

struct request {
	uint32_t id;
	bool may_write;
	const char *user;
	const char *method;
	const char *path;       /* without the query, percent-decoded by segment */
	const char *name;       /* the {name} of the route; NULL */
	const char *query;      /* behind '?', or "" */
	json_t *body;           /* an object, or NULL */
	struct arena *arena;    /* lives as long as the request */
};

/* A message MSG_API_REQUEST came from role api. */
void request_handle(struct server *server, struct msg *msg);

/* Answers; json is taken (NULL: out of memory, answered as such). */
void respond_json(struct server *server, uint32_t id, unsigned status, json_t *json);
void respond_text(struct server *server, uint32_t id, unsigned status, const char *type, const char *text, size_t length);
void respond_error(struct server *server, uint32_t id, unsigned status, const struct diag_list *diags, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* The value of key in the query, decoded, or NULL. */
const char *request_query(const struct request *request, const char *key);

/* Handlers by group. */
void answer_status(struct server *server, struct request *request);
void answer_forwards(struct server *server, struct request *request);
void answer_nodes(struct server *server, struct request *request);
void answer_rules(struct server *server, struct request *request);
void answer_tunnels(struct server *server, struct request *request);
void answer_limits(struct server *server, struct request *request);
void answer_bans(struct server *server, struct request *request);
void answer_connections(struct server *server, struct request *request);
void answer_metrics(struct server *server, struct request *request);
void answer_version(struct server *server, struct request *request);
void answer_explain(struct server *server, struct request *request);

void answer_config(struct server *server, struct request *request);
void answer_config_running(struct server *server, struct request *request);
void answer_history(struct server *server, struct request *request);
void answer_diff(struct server *server, struct request *request);

void answer_check(struct server *server, struct request *request);
void answer_plan(struct server *server, struct request *request);
void answer_apply(struct server *server, struct request *request);
void answer_confirm(struct server *server, struct request *request);
void answer_rollback(struct server *server, struct request *request);
void answer_flush(struct server *server, struct request *request);
void answer_drain(struct server *server, struct request *request);
void answer_undrain(struct server *server, struct request *request);
void answer_ban(struct server *server, struct request *request);
void answer_unban(struct server *server, struct request *request);
void answer_rotate(struct server *server, struct request *request);
