/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/keys.h"

#include <stdlib.h>
#include <string.h>

/* What is left of a minute's worth. */
struct bucket {
    double rate, left; /* a minute; 0: no limit */
};

struct key {
    struct bucket requests, tokens;
    uint64_t filled_ns;
};

struct fby_keys {
    const fby_serve_config *config;
    struct key keys[];
};

fby_status fby_keys_open(const fby_serve_config *config, fby_keys **out)
{
    fby_keys *keys = calloc(1, sizeof *keys + config->key_count * sizeof *keys->keys);
    if (keys == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u keys", config->key_count);
    keys->config = config;
    for (uint32_t i = 0; i < config->key_count; i++) {
        const fby_config_key *from = &config->keys[i];
        double requests = (double)from->requests_per_minute / (double)config->agents;
        if (requests > 0 && requests < 1)
            requests = 1; /* a bucket that never held one request would refuse all */
        double tokens = (double)from->tokens_per_minute / (double)config->agents;
        keys->keys[i] = (struct key){{requests, requests}, {tokens, tokens}, 0};
    }
    *out = keys;
    return FBY_OK;
}

void fby_keys_close(fby_keys *keys)
{
    free(keys);
}

bool fby_keys_find(const fby_keys *keys, const char *secret, uint32_t *found)
{
    const fby_serve_config *config = keys->config;
    *found = 0;
    if (config->key_count == 0)
        return true;
    const fby_config_key *key =
        secret != NULL ? fby_serve_config_find_key(config, secret, strlen(secret)) : NULL;
    if (key != NULL)
        *found = (uint32_t)(key - config->keys);
    return key != NULL;
}

static void refill(struct bucket *bucket, double minutes)
{
    bucket->left += bucket->rate * minutes;
    if (bucket->left > bucket->rate)
        bucket->left = bucket->rate;
}

bool fby_keys_take(fby_keys *keys, uint32_t index, uint64_t tokens, uint64_t now_ns)
{
    /* A key found before the configuration changed may be none of these. */
    if (index >= keys->config->key_count)
        return true;
    struct key *key = &keys->keys[index];
    if (key->filled_ns != 0) {
        double minutes = (double)(now_ns - key->filled_ns) / 60e9;
        refill(&key->requests, minutes);
        refill(&key->tokens, minutes);
    }
    key->filled_ns = now_ns;
    double wanted = (double)tokens < key->tokens.rate ? (double)tokens : key->tokens.rate;
    if ((key->requests.rate > 0 && key->requests.left < 1) ||
        (key->tokens.rate > 0 && key->tokens.left < wanted))
        return false;
    key->requests.left -= 1;
    key->tokens.left -= wanted;
    return true;
}
