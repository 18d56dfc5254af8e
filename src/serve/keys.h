/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may ask, and how often: API keys and their rates (token buckets that hold
 * one minute's worth). Where no key is configured everybody may, without limit.
 * An agent's share of a rate is the rate over the number of agents.
 *
 * Threads: each agent has its own.
 */
#ifndef FBY_SERVE_KEYS_H
#define FBY_SERVE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "serve/config.h"

typedef struct fby_keys fby_keys;

/* `config` outlives it. What is left of the keys that were in `before` (NULL: none) stays so. */
fby_status fby_keys_open(const fby_serve_config *config, const fby_keys *before, fby_keys **keys);
void fby_keys_close(fby_keys *keys);

/* Whether `secret` (NULL: none was given) may ask, and its key; NULL where none is asked for. */
bool fby_keys_find(const fby_keys *keys, const char *secret, const fby_config_key **key);

/* Counts a request, or its tokens, at monotonic `now_ns`; false: the key's rate is used up, by
 * requests or tokens. Tokens beyond a minute's pass when the bucket is full. A key that is not
 * among these, as the configuration has changed since it was found, has no limit. */
bool fby_keys_take_request(fby_keys *keys, const fby_config_key *key, uint64_t now_ns);
bool fby_keys_take_tokens(fby_keys *keys, const fby_config_key *key, uint64_t tokens,
                          uint64_t now_ns);

/* A request that was counted with `taken` tokens had only so many. */
void fby_keys_correct(fby_keys *keys, const fby_config_key *key, uint64_t taken, uint64_t tokens);

#endif
