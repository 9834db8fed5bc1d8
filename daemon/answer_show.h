/* What the files that answer with lists share. */
#pragma once

#include "json_show.h"
#include "request.h"

/* False after an answer that says why nothing is in force. */
bool answer_ready(struct server *server, struct request *request);
/* Model, run data, counters and health; without the forwarder's own figures. */
void answer_fill(struct server *server, struct request *request, struct show *show);
