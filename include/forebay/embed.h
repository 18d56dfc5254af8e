/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to embeddings, in one process: the vectors that sentence-transformers
 * gives for the same model directory.
 *
 *     fby_model_open --> fby_embed, fby_embed_submit, fby_tokenize ... --> fby_model_close
 *
 * The embedding of a text is a function of the text, the model, the precision
 * and the instruction set: the same bits alone, in any batch, in any order, on
 * any number of threads.
 *
 * Memory: everything is taken by fby_model_open(). fby_embed(), fby_embed_submit()
 * and what they start allocate nothing.
 *
 * Threads: every function may be called from any thread, several at once, with
 * the exception of fby_model_close(): no call may be running and no job
 * unfinished. It waits for workers whose batch was given up (FBY_ESTALLED) and
 * that have not come back from it, however long that takes.
 *
 * Options structs begin with `struct_size`, set to sizeof the struct (the
 * *_INIT macros do it), so that they can grow. A NULL options pointer means the
 * defaults.
 */
#ifndef FOREBAY_EMBED_H
#define FOREBAY_EMBED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "forebay/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fby_model fby_model;
typedef struct fby_job fby_job;

/* Of weights and of the products with them; everything else is f32. A model's vectors at two
 * precisions differ: docs/embedding.md says by how much. */
typedef enum fby_precision {
    FBY_PRECISION_F32 = 0,
    FBY_PRECISION_BF16 = 1, /* half the memory of f32 */
    FBY_PRECISION_INT8 = 2  /* a quarter */
} fby_precision;

typedef enum fby_side {
    FBY_SIDE_RIGHT = 0, /* cut at the end */
    FBY_SIDE_LEFT = 1   /* cut at the beginning */
} fby_side;

/* ---- opening ---- */

/* How several workers share a call. The vectors are the same, to the bit. */
typedef enum fby_parallelism {
    FBY_PARALLELISM_AUTO = 0,   /* whichever is expected to be done first */
    FBY_PARALLELISM_COARSE = 1, /* each worker texts of its own */
    FBY_PARALLELISM_FINE = 2    /* all workers share each batch: for single texts */
} fby_parallelism;

typedef enum fby_goal {
    FBY_GOAL_THROUGHPUT = 0,
    FBY_GOAL_LATENCY = 1 /* smaller batches, and calls take turns: a short one waits less */
} fby_goal;

/* Who chooses. All but AUTO are there to be compared with. */
typedef enum fby_strategy {
    FBY_STRATEGY_AUTO = 0,  /* measured costs, adjusted while running: docs/workers.md */
    FBY_STRATEGY_FIXED = 1, /* all workers that there are texts for (coarse), or all (fine) */
    FBY_STRATEGY_TABLE = 2  /* coarse, workers by the number of texts alone */
} fby_strategy;

typedef struct fby_model_options {
    size_t struct_size;
    fby_precision precision;
    uint32_t threads;      /* at work at once, at most the processors that this process may use
                            * (affinity, cgroup); 0: as many of those as pay */
    const char *cache_dir; /* packed weights; NULL: $XDG_CACHE_HOME/forebay or
                            * ~/.cache/forebay; "": packed in memory, nothing written */
    uint32_t max_jobs;     /* submitted and not yet freed, at most; 0: 64 */
    fby_parallelism parallelism;
    fby_goal goal;
    uint32_t latency_target_ms; /* for the 99th percentile of calls; 0: none */
    uint32_t stall_ms;          /* a batch that makes no progress for so long fails with
                                 * FBY_ESTALLED; 0: 30,000; UINT32_MAX: never */
    fby_strategy strategy;
} fby_model_options;
#define FBY_MODEL_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(fby_model_options), FBY_PRECISION_F32, 0, NULL, 0, FBY_PARALLELISM_AUTO,            \
            FBY_GOAL_THROUGHPUT, 0, 0, FBY_STRATEGY_AUTO                                           \
    }

/*
 * Opens a Hugging Face model directory: *.safetensors, config.json,
 * tokenizer.json or vocab.txt, and where present modules.json,
 * sentence_bert_config.json, config_sentence_transformers.json, 1_Pooling and
 * Dense modules. FBY_ENOENT, FBY_EFORMAT or FBY_EUNSUPPORTED name the file and
 * the key or tensor at fault.
 */
FBY_API fby_status fby_model_open(const char *dir, const fby_model_options *options,
                                  fby_model **model);

/* NULL is fine. */
FBY_API void fby_model_close(fby_model *model);

typedef struct fby_model_info {
    size_t struct_size;       /* set by the caller */
    const char *architecture; /* "bert" */
    const char *pooling;      /* "mean", "cls", "max", "last-token", "mean-sqrt-len" */
    const char *isa;          /* kernels in use: "avx512" */
    const char *precision;    /* "f32", "bf16", "int8" */
    const char *fingerprint;  /* 32 hexadecimal digits */
    const char *packed_path;  /* the mapped file of packed weights; "" if in memory */
    uint32_t dim;             /* of a vector where no `dimensions` are asked for */
    uint32_t layers, heads, hidden, intermediate;
    uint32_t vocabulary; /* tokens */
    uint32_t max_tokens; /* a text is cut to this many, special ones included */
    uint32_t threads;
    bool normalizes;               /* the model's own last module is Normalize */
    uint64_t weight_bytes;         /* of the weights file */
    uint64_t flops_per_token;      /* floating-point operations a token, attention apart */
    uint64_t flops_per_token_pair; /* and for each token pair (query, key) of a text */
    uint32_t full_dim;             /* before truncate_dim: the most `dimensions` that there are */
} fby_model_info;

/* Strings live as long as the model. */
FBY_API fby_status fby_model_get_info(const fby_model *model, fby_model_info *info);

/*
 * Measures what batches cost with this model on this machine and plans by that from then on: about
 * a second, with all of the model's threads. Kept in the cache for later openings; without it costs
 * are guessed. No call may be running and no job unfinished.
 */
FBY_API fby_status fby_model_tune(fby_model *model);

/* What the workers did since the model was opened, and what is decided now. */
typedef struct fby_model_stats {
    size_t struct_size; /* set by the caller */
    uint64_t batches, split_batches, texts, tokens;
    uint64_t busy_ns;      /* of all workers together, in batches */
    uint64_t decisions;    /* of the controller, that changed something */
    uint64_t stalls;       /* batches given up */
    uint32_t workers_busy; /* in a batch at this moment */
    uint32_t workers;      /* to be at work at most, of all calls together */
    uint32_t batch_tokens; /* of a batch at most */
    bool splits;           /* batches may be shared by several workers */
    bool measured;         /* costs are, by fby_model_tune() now or earlier */
} fby_model_stats;

FBY_API fby_status fby_model_get_stats(const fby_model *model, fby_model_stats *stats);

/* Floats in a vector: fby_model_info.dim. */
FBY_API uint32_t fby_model_dim(const fby_model *model);

/* ---- embedding ---- */

/* Any bytes; what is not UTF-8 counts as U+FFFD, as in Python's
 * errors="replace". `bytes` may be NULL when `size` is 0. */
typedef struct fby_text {
    const char *bytes;
    size_t size;
} fby_text;

/* What became of a text. */
typedef struct fby_text_info {
    uint32_t tokens; /* used, special ones included */
    bool truncated;  /* the text had more */
    bool replaced;   /* it held invalid UTF-8 in the part that was used */
} fby_text_info;

typedef enum fby_normalize {
    FBY_NORMALIZE_MODEL = 0, /* if the model ends with a Normalize module; where its truncate_dim
                              * cuts behind that, the rest is not normalised again, as in
                              * sentence-transformers */
    FBY_NORMALIZE_YES = 1,   /* to length 1; a zero vector stays zero */
    FBY_NORMALIZE_NO = 2
} fby_normalize;

typedef struct fby_embed_options {
    size_t struct_size;
    fby_normalize normalize;
    uint32_t dimensions;     /* first so many, renormalised if normalised; 0: as the model's
                              * truncate_dim (config_sentence_transformers.json) says, else all */
    const char *prompt_name; /* of config_sentence_transformers.json; NULL: its default */
    bool no_truncate;        /* refuse a text over the limit: FBY_ETOOLONG */
    bool strict_utf8;        /* refuse invalid UTF-8: FBY_EENCODING */
    fby_side truncate_side;
    uint32_t max_tokens; /* cut a text to so many; 0: the model's limit */
    uint32_t threads;    /* for this call, at most the model's; 0: the model's */
} fby_embed_options;
#define FBY_EMBED_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(fby_embed_options), FBY_NORMALIZE_MODEL, 0, NULL, false, false, FBY_SIDE_RIGHT, 0,  \
            0                                                                                      \
    }

/*
 * Writes row i of `vectors`, shape (count, dimensions or dim), for texts[i];
 * infos[i] too unless `infos` is NULL. Blocks until done, the calling thread
 * working too. On failure the contents of `vectors` and `infos` are unspecified; where a text is
 * to blame (FBY_ETOOLONG, FBY_EENCODING, and FBY_ENOTFINITE for a vector that is not finite) the
 * message names its number.
 */
FBY_API fby_status fby_embed(fby_model *model, const fby_text *texts, size_t count,
                             const fby_embed_options *options, float *vectors,
                             fby_text_info *infos);

/*
 * The same without waiting: texts, their bytes, vectors and infos must stay
 * until the job is done; options need not. `done`, unless NULL, is called once,
 * from a thread of the model (for no texts at all, and for a job cancelled
 * before it began, from the caller's), with the job's status, and must not block.
 * Poll and wait give the job's status from then on.
 *
 * Jobs run in the order they were submitted, as far as there are threads: one
 * text behind a long job waits for a thread to be done with it.
 * FBY_EAGAIN when max_jobs are unfinished or not yet freed.
 */
typedef void fby_job_done(fby_job *job, fby_status status, void *context);

FBY_API fby_status fby_embed_submit(fby_model *model, const fby_text *texts, size_t count,
                                    const fby_embed_options *options, float *vectors,
                                    fby_text_info *infos, fby_job_done *done, void *context,
                                    fby_job **job);

/* FBY_EAGAIN while it runs, then its status; the message goes to this thread. */
FBY_API fby_status fby_job_poll(fby_job *job);

/* Waits at most `timeout_ms` (UINT32_MAX: without end); as fby_job_poll(). */
FBY_API fby_status fby_job_wait(fby_job *job, uint32_t timeout_ms);

/* Of a job that failed because of a text: its number. SIZE_MAX otherwise, and while it runs. */
FBY_API size_t fby_job_failed_text(fby_job *job);

/* Asks it to stop at the next layer; its status becomes FBY_ECANCELED unless
 * all its texts were done. Returns at once; this thread's message stays. */
FBY_API void fby_job_cancel(fby_job *job);

/* Ends the use of `job`; waits for it first if it still runs. Not from `done`. This
 * thread's message stays. */
FBY_API void fby_job_free(fby_job *job);

/* ---- tokens ---- */

typedef struct fby_tokenize_options {
    size_t struct_size;
    bool no_special;  /* leave out [CLS] and [SEP] */
    bool no_truncate; /* every token, whatever the model's limit */
    fby_side truncate_side;
    const char *prompt_name; /* as in fby_embed_options */
} fby_tokenize_options;
#define FBY_TOKENIZE_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(fby_tokenize_options), false, false, FBY_SIDE_RIGHT, NULL                           \
    }

/*
 * Writes the first `capacity` token ids of `text` to `ids` and their full
 * number to `*count`: a count above the capacity says that some are missing, a
 * NULL `ids` with capacity 0 only counts. Where a text is cut at the beginning,
 * a capacity is at least the model's max_tokens. `info` may be NULL.
 */
FBY_API fby_status fby_tokenize(const fby_model *model, fby_text text,
                                const fby_tokenize_options *options, uint32_t *ids, size_t capacity,
                                size_t *count, fby_text_info *info);

/* The vocabulary's entry for `id`, "##ing"; NULL if there is none. Not
 * terminated; lives as long as the model. */
FBY_API const char *fby_token_piece(const fby_model *model, uint32_t id, size_t *size);

#ifdef __cplusplus
}
#endif
#endif
