/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `forebay serve` was told: by flags, else by the environment, else by a
 * YAML file, else by default. Every setting has all three: `max_queued_tokens:` is
 * --max-queued-tokens and FBY_MAX_QUEUED_TOKENS. One table names them all
 * (settings.def); a fault names the file, the line and the key.
 *
 *     flags, environment, file --fby_serve_config_load--> config --fby_serve_config_reread--> next
 *
 * Constant after loading; any thread may read it. What SIGHUP brings is another
 * config beside the first; who swaps the pointer keeps the old one until nobody
 * reads it any more.
 */
#ifndef FBY_SERVE_CONFIG_H
#define FBY_SERVE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

typedef struct fby_config_model {
    char *path;
    char *name;     /* NULL: the directory's name */
    char **aliases; /* (alias_count) */
    uint32_t alias_count;
} fby_config_model;

typedef struct fby_config_key { /* an API key */
    char *secret;
    char *name;                   /* for logs and metrics, never the secret */
    uint64_t requests_per_minute; /* 0: no limit */
    uint64_t tokens_per_minute;
} fby_config_key;

typedef enum fby_log_format { FBY_LOG_AUTO = 0, FBY_LOG_TEXT, FBY_LOG_JSON } fby_log_format;
typedef enum fby_metrics_compat { FBY_METRICS_PLAIN = 0, FBY_METRICS_TEI } fby_metrics_compat;

typedef struct fby_serve_config {
    /* what is served */
    fby_config_model *models; /* (model_count); the first answers where none is named */
    uint32_t model_count;
    char *served_model_name; /* given to models[0] */
    char **aliases;          /* (alias_count), given to models[0] */
    uint32_t alias_count;
    int precision;   /* fby_precision */
    char *cache_dir; /* as in fby_model_options */

    /* where */
    char *host;               /* "127.0.0.1" */
    uint64_t port;            /* 8080; 0: the system chooses */
    char *uds_path;           /* NULL: none; then no port is opened */
    uint64_t admin_port;      /* 0: none */
    char *admin_host;         /* "127.0.0.1" */
    char *tls_cert, *tls_key; /* PEM files; both or none */

    /* who */
    fby_config_key *keys; /* (key_count); none: no key is asked for */
    uint32_t key_count;
    char *api_key_file;
    uint64_t requests_per_minute, tokens_per_minute; /* of a key that states none */
    char **cors_origins;                             /* (cors_count); "*": any */
    uint32_t cors_count;

    /* how much */
    uint64_t threads;           /* workers; 0: as many as pay */
    int parallelism;            /* fby_parallelism */
    int goal;                   /* fby_goal */
    uint64_t latency_target_ms; /* for 99 of 100 texts, queue included; 0: none */
    uint64_t agents;            /* 1 */
    int wait;                   /* fby_wait: adaptive or spin */
    uint64_t max_connections;
    uint64_t max_body_bytes;
    uint64_t max_texts;        /* of a request */
    uint64_t max_client_batch; /* of a request in TEI's dialect; 0: max_texts */
    uint64_t max_tokens;       /* of a text; 0: the model's */
    uint64_t max_queued_tokens;
    uint64_t max_batch_tokens; /* a worker takes at once; 0: chosen */
    uint64_t long_tokens;      /* a text above this waits in the second lane */
    uint64_t ring_slots;       /* events in flight to the workers; a power of two */
    uint64_t pool_bytes;       /* an agent's ring pool; 0: from ring_slots, inline_result_vectors */
    uint64_t large_bytes; /* of large requests and answers to slow clients; 0: from the memory */
    uint64_t inline_result_vectors; /* of a request, in the mean: sizes the pool */

    /* how long, in milliseconds */
    uint64_t header_timeout_ms;  /* from a connection's beginning to its first header's end */
    uint64_t body_timeout_ms;    /* from there to the body's end */
    uint64_t request_timeout_ms; /* from there to the answer's first byte */
    uint64_t slow_write_ms;      /* an answer not taken by then is moved out of the pool */
    uint64_t write_timeout_ms;   /* and by then its connection is closed */
    uint64_t keepalive_ms;       /* an idle connection is closed */
    uint64_t stall_ms;           /* an agent's loop that has not turned is stuck */
    uint64_t grace_ms;           /* after SIGTERM */

    /* answers */
    bool unknown_model_accept; /* unknown_model: accept | refuse */
    bool accept_token_ids;
    bool truncate; /* where a request does not say; true */

    /* what is told */
    fby_log_format log_format;
    int log_level;     /* fby_log_level */
    bool log_requests; /* a line a request */
    fby_metrics_compat metrics_compat;

    struct fby_config_source *source; /* what it was read from */
} fby_serve_config;

/* What every setting is where nobody says. */
void fby_serve_config_init(fby_serve_config *config);
void fby_serve_config_clear(fby_serve_config *config);

/* ---- reading ---- */

/* What was said of a setting, in the order that it was said. */
typedef struct fby_config_texts {
    const char *const *items;
    uint32_t count;
} fby_config_texts;

/* All of it outlives the config, which is read from it again. */
typedef struct fby_config_inputs {
    const fby_config_texts *flags;  /* (FBY_SETTING_COUNT of settings.h); NULL: none */
    const char *const *environment; /* "NAME=value", ends with NULL; NULL: none */
    const char *file;               /* YAML; NULL: none */
    const char *default_model;      /* served where none is named; NULL: that is a fault */
} fby_config_inputs;

/* What is wrong, and what is odd: a line each, "forebay.yaml:3: port: ...". */
typedef struct fby_config_notes {
    char *text; /* NULL: nothing */
    size_t size, room;
    uint32_t faults, warnings;
} fby_config_notes;

void fby_config_notes_clear(fby_config_notes *notes);

/* FBY_EINVAL where there are faults: all of them are in `notes`, and in `*config` is what could be
 * read, to be cleared all the same. */
fby_status fby_serve_config_load(fby_serve_config *config, const fby_config_inputs *inputs,
                                 fby_config_notes *notes);

/*
 * Reads everything again, for SIGHUP. `*next` (fby_serve_config_clear(), free()) has the new values
 * of the settings that may change while the server runs (keys and their limits, CORS, limits,
 * time-outs, logs) and `running`'s of all others; a warning names each of those that was changed.
 * Any fault: FBY_EINVAL, and what runs stays.
 */
fby_status fby_serve_config_reread(const fby_serve_config *running, fby_serve_config **next,
                                   fby_config_notes *notes);

/* The key that a request gave, NULL for none of ours. Takes as long whatever the secret. */
const fby_config_key *fby_serve_config_find_key(const fby_serve_config *config, const char *secret,
                                                size_t size);

/* YAML that would be read as the same config, secrets hidden; where each value came from. */
void fby_serve_config_print(const fby_serve_config *config, FILE *out);

#endif
