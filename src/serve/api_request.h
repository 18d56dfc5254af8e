/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the dialects share: a body's members, asked for by name and checked, on
 * their way into a fby_call. Every function that returns false has refused the
 * request: request->error says why.
 *
 *     fby_api_parse ─► JSON ─► a dialect's reader ─► members, texts, options ─► call
 *
 * A member that is null counts as missing, as clients write it.
 */
#ifndef FBY_SERVE_API_REQUEST_H
#define FBY_SERVE_API_REQUEST_H

#include "serve/api_json.h"

/* What a route does: fby_route.operation, fby_call.operation. */
typedef enum fby_operation {
    FBY_OP_NONE = 0,
    FBY_OP_SHARED, /* /embeddings: the body's keys decide */
    FBY_OP_OPENAI,
    FBY_OP_MODELS,
    FBY_OP_EMBED,
    FBY_OP_EMBED_ALL,
    FBY_OP_EMBED_SPARSE,
    FBY_OP_SIMILARITY,
    FBY_OP_TOKENIZE,
    FBY_OP_DECODE,
    FBY_OP_INFO,
    FBY_OP_RERANK,
    FBY_OP_PREDICT,
    FBY_OP_OLLAMA,
    FBY_OP_LLAMA,
    FBY_OPERATIONS /* their number */
} fby_operation;

typedef struct fby_api_request {
    const fby_api *api;
    fby_arena *arena;
    fby_call *call;
    fby_api_error *error;
    const json_t *root; /* the body, an object; NULL for GET */
} fby_api_request;

static inline const fby_tokenizer *fby_api_request_tokenizer(const fby_api_request *request)
{
    return fby_encoder_tokenizer(request->call->served->encoder);
}

/* `size` bytes for `count` elements, from the arena. */
void *fby_api_request_take(const fby_api_request *request, size_t count, size_t size);

/* ---- members ---- */

/* NULL for a missing member and for null. */
const json_t *fby_member(const json_t *object, const char *key);
bool fby_member_bool(const fby_api_request *request, const json_t *object, const char *key,
                     bool otherwise, bool *value);
/* A whole number from 0 to UINT32_MAX. */
bool fby_member_number(const fby_api_request *request, const json_t *object, const char *key,
                       uint32_t otherwise, uint32_t *value);
/* Without a NUL inside; NULL if missing. */
bool fby_member_string(const fby_api_request *request, const json_t *object, const char *key,
                       const char **value);
/* One of `words`, which NULL ends; `*choice` is its index, `otherwise` if it is missing. */
bool fby_member_choice(const fby_api_request *request, const json_t *object, const char *key,
                       const char *const *words, int otherwise, int *choice);

/* Names the root's members that are not among `known` (which NULL ends) in call->ignored. */
void fby_api_request_ignored(const fby_api_request *request, const char *const *known);

/* ---- texts ---- */

typedef enum fby_ids_rule {
    FBY_IDS_NEVER,   /* refused as a wrong type */
    FBY_IDS_FOREIGN, /* refused as token ids */
    FBY_IDS_OWN,     /* of the served model's vocabulary, used as they are */
    FBY_IDS_TEXT     /* decoded, and the text is taken */
} fby_ids_rule;

typedef struct fby_texts_rule {
    const char *key; /* for messages */
    fby_ids_rule ids;
    bool empty_text, empty_list; /* taken */
    bool prompted;               /* for FBY_IDS_TEXT: a prompt goes before it */
    uint32_t max_texts;
} fby_texts_rule;

/* A text or a list of them into call->texts, count and single. After the served model and the
 * prompt are known. */
bool fby_api_request_texts(const fby_api_request *request, const json_t *value,
                           const fby_texts_rule *rule);

/* One of them, a string or token ids. */
bool fby_api_request_text(const fby_api_request *request, const json_t *value,
                          const fby_texts_rule *rule, fby_api_text *text);
/* A list of whole numbers below `below`. */
bool fby_api_request_ids(const fby_api_request *request, const json_t *value, const char *key,
                         uint32_t below, fby_api_text *text);
/* Ids become the text that they were made of. */
bool fby_api_request_decode(const fby_api_request *request, fby_api_text *text, bool skip_special);
size_t fby_utf8_characters(const char *bytes, size_t size);
bool fby_refuse_text_count(const fby_api_request *request, const fby_texts_rule *rule,
                           size_t count);

/* ---- the rest of a call ---- */

/* By `name`; the first for NULL. */
bool fby_api_request_model(const fby_api_request *request, const char *name);
/* The prompt by `name`; the model's own for NULL. */
bool fby_api_request_prompt(const fby_api_request *request, const char *param, const char *name);
/* What a vector is where nobody says: as long as the model makes it, of length 1. */
void fby_api_request_defaults(const fby_api_request *request);

/* What TEI's requests share: the batch's limit, and `prompt_name` of `object` (NULL: none). */
fby_texts_rule fby_tei_texts_rule(const fby_api_request *request, const char *key);
bool fby_tei_prompt(const fby_api_request *request, const json_t *object, fby_texts_rule *rule);

/* A whole answer, written to what is left of the arena, whose next piece it becomes. */
fby_sink fby_api_request_body(const fby_api_request *request);
bool fby_api_request_answer(const fby_api_request *request, const fby_sink *sink);

/* ---- dialects ---- */

bool fby_openai_embeddings(const fby_api_request *request);
bool fby_openai_models(const fby_api_request *request);

bool fby_tei_embed(const fby_api_request *request);
bool fby_tei_embed_all(const fby_api_request *request);
bool fby_tei_similarity(const fby_api_request *request);
bool fby_tei_tokenize(const fby_api_request *request);
bool fby_tei_decode(const fby_api_request *request);
bool fby_tei_info(const fby_api_request *request);
bool fby_tei_embed_sparse(const fby_api_request *request);
bool fby_tei_rerank(const fby_api_request *request);
bool fby_tei_predict(const fby_api_request *request);

bool fby_ollama_embed(const fby_api_request *request);
bool fby_llama_embedding(const fby_api_request *request);

#endif
