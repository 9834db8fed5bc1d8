/* Keys of tunnels: files in the state folder, 0600, made on this machine when
 * they are first needed. Nobody else in main reads them; every copy is wiped.
 * Names: TUNNEL.key, PEER@TUNNEL.psk; base64 and a newline, as `wg genkey`. */
#pragma once

#include "kernel/tunnel.h"
#include "rotation.h"

struct tunnel_keys;

/* The folder "keys" under state_dir, made when it is not there. 0 or -errno. */
int tunnel_keys_open(const char *state_dir, struct tunnel_keys **ret_keys);
void tunnel_keys_close(struct tunnel_keys **keys);
/* For the kernel part. Good as long as keys. */
const struct tunnel_secrets *tunnel_keys_secrets(const struct tunnel_keys *keys);

/* Make the key if there is none, and tell its public part (its fingerprint). 0 or -errno. */
int tunnel_keys_private(const struct tunnel_keys *keys, const char *tunnel, uint8_t ret_public[TUNNEL_KEY_SIZE]);
int tunnel_keys_preshared(const struct tunnel_keys *keys, const char *tunnel, const char *peer,
			  uint8_t ret_fingerprint[TUNNEL_KEY_SIZE]);
/* Forget the keys of a device: its private one, and the preshared ones of its peers. 0 or -errno. */
int tunnel_keys_forget(const struct tunnel_keys *keys, const char *device);
/* Put a key where a private (preshared) one belongs, synced. 0 or -errno. */
int tunnel_keys_set_private(const struct tunnel_keys *keys, const char *tunnel, const uint8_t key[TUNNEL_KEY_SIZE]);
int tunnel_keys_set_preshared(const struct tunnel_keys *keys, const char *tunnel, const char *peer,
			      const uint8_t key[TUNNEL_KEY_SIZE]);
/* Where the change of a tunnel's keys stands: a file beside them, with nothing secret in it. 0 or -errno; the caller
 * clears it. Nothing there: zeros. */
int tunnel_keys_load_rotation(const struct tunnel_keys *keys, const char *tunnel, struct rotation *ret_rotation);
int tunnel_keys_save_rotation(const struct tunnel_keys *keys, const char *tunnel, const struct rotation *rotation);
/* Base64, a newline may follow. 0 or -EBADMSG. */
int tunnel_key_parse(const char *text, size_t length, uint8_t ret_key[TUNNEL_KEY_SIZE]);
/* A new key pair for somebody else; the caller wipes the private part. 0 or -errno. */
int tunnel_keys_pair(uint8_t ret_private[TUNNEL_KEY_SIZE], uint8_t ret_public[TUNNEL_KEY_SIZE]);
/* A preshared key for the one place that may show it: the peer's own configuration. The caller wipes it. */
int tunnel_keys_reveal_preshared(const struct tunnel_keys *keys, const char *tunnel, const char *peer,
				 uint8_t ret_key[TUNNEL_KEY_SIZE]);
#define TUNNEL_KEY_TEXT 45 /* base64 of a key, terminated */
void tunnel_key_format(const uint8_t key[TUNNEL_KEY_SIZE], char ret_text[TUNNEL_KEY_TEXT]);
