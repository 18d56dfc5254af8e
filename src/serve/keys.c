/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/keys.h"

#include <stdlib.h>
#include <string.h>

/* What is left of a minute's worth. */
struct bucket {
    double rate, left; /* a minute; 0: no limit */
};

struct rate {
    struct bucket requests, tokens;
    uint64_t filled_ns;
};

struct fby_keys {
    const fby_serve_config *config;
    struct rate rates[]; /* of config->keys */
};

static void keep(struct bucket *bucket, const struct bucket *before)
{
    if (before->rate > 0 && before->left < bucket->left)
        bucket->left = before->left;
}

static void keep_rate(struct rate *rate, const fby_keys *before, const char *secret)
{
    for (uint32_t i = 0; i < before->config->key_count; i++) {
        if (strcmp(before->config->keys[i].secret, secret) != 0)
            continue;
        keep(&rate->requests, &before->rates[i].requests);
        keep(&rate->tokens, &before->rates[i].tokens);
        rate->filled_ns = before->rates[i].filled_ns;
        return;
    }
}

fby_status fby_keys_open(const fby_serve_config *config, const fby_keys *before, fby_keys **out)
{
    fby_keys *keys = calloc(1, sizeof *keys + config->key_count * sizeof *keys->rates);
    if (keys == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u keys", config->key_count);
    keys->config = config;
    for (uint32_t i = 0; i < config->key_count; i++) {
        const fby_config_key *from = &config->keys[i];
        double requests = (double)from->requests_per_minute / (double)config->agents;
        if (requests > 0 && requests < 1)
            requests = 1; /* a bucket that never held one request would refuse all */
        double tokens = (double)from->tokens_per_minute / (double)config->agents;
        keys->rates[i] = (struct rate){{requests, requests}, {tokens, tokens}, 0};
        if (before != NULL)
            keep_rate(&keys->rates[i], before, from->secret);
    }
    *out = keys;
    return FBY_OK;
}

void fby_keys_close(fby_keys *keys)
{
    free(keys);
}

bool fby_keys_find(const fby_keys *keys, const char *secret, const fby_config_key **found)
{
    const fby_serve_config *config = keys->config;
    *found = NULL;
    if (config->key_count == 0)
        return true;
    if (secret != NULL)
        *found = fby_serve_config_find_key(config, secret, strlen(secret));
    return *found != NULL;
}

static struct rate *rate_of(fby_keys *keys, const fby_config_key *key)
{
    for (uint32_t i = 0; i < keys->config->key_count; i++)
        if (key == &keys->config->keys[i])
            return &keys->rates[i];
    return NULL;
}

static void refill(struct bucket *bucket, double minutes)
{
    bucket->left += bucket->rate * minutes;
    if (bucket->left > bucket->rate)
        bucket->left = bucket->rate;
}

/* More than a minute's worth counts as that. */
static double counted(const struct rate *rate, uint64_t tokens)
{
    return (double)tokens < rate->tokens.rate ? (double)tokens : rate->tokens.rate;
}

static void refill_all(struct rate *rate, uint64_t now_ns)
{
    if (rate->filled_ns != 0) {
        double minutes = (double)(now_ns - rate->filled_ns) / 60e9;
        refill(&rate->requests, minutes);
        refill(&rate->tokens, minutes);
    }
    rate->filled_ns = now_ns;
}

bool fby_keys_take_request(fby_keys *keys, const fby_config_key *key, uint64_t now_ns)
{
    struct rate *rate = rate_of(keys, key);
    if (rate == NULL)
        return true;
    refill_all(rate, now_ns);
    if ((rate->requests.rate > 0 && rate->requests.left < 1) ||
        (rate->tokens.rate > 0 && rate->tokens.left < 1))
        return false;
    rate->requests.left -= 1;
    return true;
}

bool fby_keys_take_tokens(fby_keys *keys, const fby_config_key *key, uint64_t tokens,
                          uint64_t now_ns)
{
    struct rate *rate = rate_of(keys, key);
    if (rate == NULL)
        return true;
    refill_all(rate, now_ns);
    double wanted = counted(rate, tokens);
    if (rate->tokens.rate > 0 && rate->tokens.left < wanted)
        return false;
    rate->tokens.left -= wanted;
    return true;
}

void fby_keys_correct(fby_keys *keys, const fby_config_key *key, uint64_t taken, uint64_t tokens)
{
    struct rate *rate = rate_of(keys, key);
    if (rate == NULL)
        return;
    rate->tokens.left += counted(rate, taken) - counted(rate, tokens);
    refill(&rate->tokens, 0);
}
