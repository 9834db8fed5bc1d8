/* Blocklist contents: shared between the models that were loaded from the same
 * bytes. Internal to rules/model. */
#pragma once

#include "reader.h"

/* Give up one model's reference; the last one frees. */
void blocklist_content_free(struct blocklist_content **content);
