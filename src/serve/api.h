/* SPDX-License-Identifier: Apache-2.0 */
/*
 * API dialects, between bytes and numbers: a request's path and body become a
 * call, a call's vectors become an answer's body. Pure: no socket, no clock, no
 * lock; the same input gives the same output.
 *
 *     method, path ──fby_api_route──► route ─┐
 *     body ──────────────────────────────────┴─fby_api_parse──► call ─► tokens, vectors
 *                                                     │                      │
 *                                      a refusal, or an answer at once       ▼
 *     body ◄── pieces ◄──────────────────────fby_answer_next◄───────── fby_answer
 *
 * Bodies are hostile: bounded before they come here (fby_api_limits), checked
 * field by field here. Nothing is allocated but from the arena that is given.
 *
 * Threads: a fby_api is constant once it is filled in; each call is the matter of
 * one thread at a time.
 */
#ifndef FBY_SERVE_API_H
#define FBY_SERVE_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "forebay/embed.h"
#include "model/encoder.h"
#include "serve/arena.h"

/* ---- what is served ---- */

typedef struct fby_served {
    const char *name;           /* what answers say */
    const char *path;           /* its directory */
    const char *const *aliases; /* (alias_count) other names that requests may use */
    uint32_t alias_count;
    const fby_encoder *encoder;
    fby_encoder_info info;
    const char *isa, *precision; /* as in fby_model_info */
} fby_served;

typedef struct fby_api_limits {
    size_t max_texts;        /* of a request */
    size_t max_text_bytes;   /* of a text */
    uint32_t max_tokens;     /* of a text: more is cut or refused; 0: the model's */
    size_t max_client_batch; /* texts of a request in TEI's dialect; 0: max_texts */
} fby_api_limits;

typedef struct fby_api {
    const fby_served *served; /* (served_count), the first answers where no model is named */
    uint32_t served_count;
    fby_api_limits limits;
    bool unknown_model_accepted; /* the first model answers for names that nobody has */
    bool token_ids_accepted;     /* OpenAI's dialect: ids of the served model's vocabulary */
    bool truncates;              /* where a request does not say */
    uint64_t started_unix_s;     /* `created` of /v1/models */
    /* What /info says and the rest does not use. */
    uint32_t max_concurrent_requests, max_batch_tokens, workers;
} fby_api;

/* ---- routes ---- */

typedef enum fby_dialect {
    FBY_DIALECT_NATIVE = 0, /* pages and probes: plain JSON errors */
    FBY_DIALECT_OPENAI,
    FBY_DIALECT_TEI,
    FBY_DIALECT_OLLAMA,
    FBY_DIALECT_LLAMA
} fby_dialect;

typedef enum fby_route_kind {
    FBY_ROUTE_API,  /* fby_api_parse() knows what to do */
    FBY_ROUTE_LIVE, /* the agent's own: */
    FBY_ROUTE_HEALTH,
    FBY_ROUTE_METRICS,
    FBY_ROUTE_PAGE,  /* of serve/page.h, by path */
    FBY_ROUTE_STATUS /* what the page shows, as JSON */
} fby_route_kind;

typedef enum fby_operation_metric {                      /* label `operation` of requests */
                                    FBY_COUNT_EMBED = 0, /* a vector a text */
                                    FBY_COUNT_EMBED_ALL,
                                    FBY_COUNT_SIMILARITY,
                                    FBY_COUNT_TOKENIZE, /* and decode */
                                    FBY_COUNT_OTHER,    /* models, info, probes, pages */
                                    FBY_COUNT_OPERATIONS
} fby_operation_metric;

typedef struct fby_route {
    const char *path;    /* "/v1/embeddings" */
    const char *methods; /* "POST"; as an Allow header says it */
    fby_dialect dialect; /* until the body says otherwise */
    fby_route_kind kind;
    bool open;     /* no key is asked for */
    int operation; /* fby_operation */
    fby_operation_metric counted;
} fby_route;

/* ---- failures ---- */

typedef enum fby_refusal {
    FBY_REFUSED_NOT = 0,
    FBY_REFUSED_BAD_JSON,       /* 400 */
    FBY_REFUSED_BAD_FIELD,      /* 400; TEI 422 */
    FBY_REFUSED_EMPTY,          /* no text, or an empty one where the dialect refuses it */
    FBY_REFUSED_TOKEN_IDS,      /* 400 token_ids_foreign */
    FBY_REFUSED_TOO_LONG,       /* a text over the model's limit that may not be cut */
    FBY_REFUSED_TOO_MANY,       /* texts */
    FBY_REFUSED_NO_KEY,         /* 401 */
    FBY_REFUSED_NO_MODEL,       /* 404 */
    FBY_REFUSED_NO_ROUTE,       /* 404 */
    FBY_REFUSED_METHOD,         /* 405 */
    FBY_REFUSED_SLOW,           /* 504: not done in time */
    FBY_REFUSED_BODY_TOO_LARGE, /* 413 */
    FBY_REFUSED_OVERLOADED,     /* 429 */
    FBY_REFUSED_RATE,           /* 429: the key's own limit */
    FBY_REFUSED_NO_HEAD,        /* /rerank, /predict, /embed_sparse: the model has no such head */
    FBY_REFUSED_DRAINING,       /* 503 */
    FBY_REFUSED_INTERNAL,       /* 500; TEI 424 */
    FBY_REFUSALS                /* their number */
} fby_refusal;

typedef struct fby_api_error {
    fby_refusal reason;
    const char *param; /* OpenAI's `param`; NULL: null. Constant, or in the arena */
    char message[512]; /* valid UTF-8, whatever the request held */
} fby_api_error;

/* Sets all three; returns false, for a caller to return. */
bool fby_refuse(fby_api_error *error, fby_refusal reason, const char *param, const char *fmt, ...)
    FBY_PRINTF(4, 5);

/* For metrics and logs: "overloaded", "bad_json" ... */
const char *fby_refusal_name(fby_refusal reason);
int fby_refusal_status(fby_dialect dialect, fby_refusal reason);
/* The dialect's error body; returns its bytes, at most FBY_API_ERROR_MAX. */
enum { FBY_API_ERROR_MAX = 4096 };
size_t fby_api_error_body(fby_dialect dialect, const fby_api_error *error, char *out);

/* ---- from a request to a call ---- */

typedef struct fby_api_text { /* a text, or token ids */
    const char *bytes;        /* valid UTF-8; NULL where `ids` count */
    size_t size;
    const uint32_t *ids; /* used as they are: no prompt, no special tokens */
    uint32_t id_count;
    bool no_special; /* of a text: without [CLS] and [SEP] */
} fby_api_text;

typedef enum fby_call_kind {
    FBY_CALL_AT_ONCE, /* the answer is there: `body` */
    FBY_CALL_EMBED,   /* a vector a text */
    FBY_CALL_TOKENS   /* a vector a token, not pooled (TEI's /embed_all) */
} fby_call_kind;

enum { /* what an embedding is answered as, a set */
       FBY_TYPE_FLOAT = 1,
       FBY_TYPE_BASE64 = 2,
       FBY_TYPE_INT8 = 4,
       FBY_TYPE_UINT8 = 8,
       FBY_TYPE_BINARY = 16,
       FBY_TYPE_UBINARY = 32
};

/* Holds no pointer into the arena but `texts` and `body`: it outlives the arena once the texts
 * have become ids, a body has been copied. */
typedef struct fby_call {
    const fby_api *api;
    const fby_served *served;
    fby_dialect dialect;
    fby_call_kind kind;
    int operation; /* fby_operation */

    fby_api_text *texts; /* (count), in the arena */
    uint32_t count;
    uint32_t limit;      /* tokens of a text, special ones included */
    bool truncate, left; /* over the limit: cut (at the left), or refuse */
    const char *prompt;  /* put before each text; the model's */
    size_t prompt_size;

    uint32_t dimensions; /* floats answered of each vector: the first so many */
    bool normalize;      /* after that cut */
    uint32_t types;      /* FBY_TYPE_ */
    bool single;         /* the request had one text, not a list of one */
    bool return_meta;

    char *body; /* FBY_CALL_AT_ONCE: JSON, in the arena */
    size_t body_size;
    uint64_t characters; /* of all texts, in TEI's dialect */
    char ignored[256];   /* names of keys that nobody reads, for x-forebay-ignored; "" if none */
} fby_call;

/* The route of a path (without query); NULL with an error for none, or another method. HEAD is GET.
 * `dialect` of the error's body: *dialect. */
const fby_route *fby_api_route(const char *method, const char *path, fby_dialect *dialect,
                               fby_api_error *error);

/* What the Allow header of a 405 says, "GET, HEAD, POST"; NULL for a path that nobody serves. */
const char *fby_api_allow(const char *path);

/* Bytes of arena that suffice for any body of `size` bytes that asks for vectors of text; SIZE_MAX
 * if they overflow. Most bodies take a tenth of it. What needs more than there is, as the answers
 * of /tokenize and /decode may, is refused (FBY_REFUSED_BODY_TOO_LARGE). */
size_t fby_api_arena_size(const fby_api *api, size_t size);

/*
 * Reads `body` (of a route of kind FBY_ROUTE_API). False: *error says why, and
 * call->dialect in which dialect to say it. The body's bytes may be read as long
 * as `call->texts` are.
 */
bool fby_api_parse(const fby_api *api, const fby_route *route, const char *body, size_t size,
                   fby_arena *arena, fby_call *call, fby_api_error *error);

/* For text `index`, over call->limit and not to be cut: the refusal in the dialect's own words;
 * returns false. */
bool fby_api_refuse_too_long(const fby_call *call, uint32_t index, fby_api_error *error);

/* ---- from vectors to an answer ---- */

typedef struct fby_answer {
    const fby_call *call;
    const float *vectors; /* rows of call->dimensions floats, already cut and normalised: one a
                           * text, or for FBY_CALL_TOKENS one a token, text after text */
    const fby_text_info *infos; /* (call->count) */
    uint64_t tokens;            /* of all texts */
    uint64_t total_ns;          /* from the request's last byte to now */
    uint64_t tokenize_ns, queue_ns, compute_ns;

    /* How far it has been written: 0 at first. */
    uint32_t stage, text, row; /* row of the text */
    uint64_t written;          /* rows of all texts */
} fby_answer;

/*
 * The body comes in pieces of at most fby_answer_piece_max() bytes: the writer
 * appends the next one at `out` and returns its size; 0: there is no more. Floats
 * are the shortest decimals that read back as the same f32.
 */
size_t fby_answer_piece_max(const fby_call *call);
/* At least the size of all pieces together, for `rows` vectors; SIZE_MAX if it overflows. */
size_t fby_answer_max(const fby_call *call, uint64_t rows);
size_t fby_answer_next(fby_answer *answer, char *out);

typedef struct fby_header {
    const char *name;
    char value[256];
} fby_header;

enum { FBY_API_HEADERS_MAX = 12 };
/* Headers of a successful answer (content-type, x-forebay-truncated, x-forebay-ignored, TEI's
 * x-compute-...); returns their number. `answer` is NULL for FBY_CALL_AT_ONCE. */
unsigned fby_api_headers(const fby_call *call, const fby_answer *answer, fby_header *headers);

#endif
