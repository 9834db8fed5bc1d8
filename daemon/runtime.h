/* Runtime: what main knows of the running machine (health, drains, bans), kept
 * in lists of its own, with a view as struct rundata for the pure core. Changes
 * are written to disk by whoever makes them (daemon/history.h). */
#pragma once

#include "../rules/model/model.h"
#include "../rules/model/rundata.h"
#include "json_show.h"

struct runtime;

struct runtime *runtime_new(void);
void runtime_free(struct runtime **runtime);

/* Each returns 1 when something changed, 0 when not, or -ENOMEM. Text is copied. */
int runtime_set_health(struct runtime *runtime, const char *node, uint16_t port, bool up, const char *why, uint64_t since);
int runtime_set_draining(struct runtime *runtime, const char *node, bool draining);
/* expires: seconds since the epoch, 0 for good. The same prefix again replaces its time. */
int runtime_ban(struct runtime *runtime, const struct prefix *prefix, uint64_t expires);
int runtime_unban(struct runtime *runtime, const struct prefix *prefix);
/* Drop bans that are over, and health of pairs that the model does not have. */
int runtime_expire(struct runtime *runtime, uint64_t now);
void runtime_keep_only(struct runtime *runtime, const struct model *model);
/* When the next ban ends; 0: none does. */
uint64_t runtime_next_expiry(const struct runtime *runtime);

/* Devices that a flowtable can have. 1: they are others now; 0; or -ENOMEM. */
int runtime_set_flow_devices(struct runtime *runtime, const struct header_device *devices, size_t count);
void runtime_set_kernel(struct runtime *runtime, bool owner, bool synproxy);
/* The devices that carry the header programs, copied, and why others do not (a static sentence, may be NULL). */
/* The forwards under SYN pressure, copied. */
int runtime_set_pressed(struct runtime *runtime, const char *const *forwards, size_t count);
int runtime_set_headers(struct runtime *runtime, const struct header_device *devices, size_t count, const char *why);
/* This machine holds tunnels; what is known of them stays the caller's, and valid until the next call. */
void runtime_set_tunnels(struct runtime *runtime, const struct tunnel_run *tunnels, size_t count);
/* Valid until the next change. */
const struct rundata *runtime_view(struct runtime *runtime, uint64_t now);
const struct show_health *runtime_health(const struct runtime *runtime, size_t *ret_count);
