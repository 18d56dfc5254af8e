/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, closing and describing a model: the public side. */
#include "engine/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/options.h"
#include "engine/calibrate.h"
#include "engine/costs_file.h"

/*
 * Tokens a batch: enough rows that the weights, read once a batch, cost little
 * beside the arithmetic, few enough that activations stay near the level 2
 * cache. Where the model takes longer texts it is that many: a text is never two batches.
 */
enum { BATCH_TOKENS = 256, JOBS_DEFAULT = 64, JOBS_MAX = 1 << 16, STALL_MS_DEFAULT = 30000 };

static fby_status check_options(const fby_model_options *options)
{
    if ((unsigned)options->precision > FBY_PRECISION_INT8)
        return fby_error(FBY_EUNSUPPORTED, "precision %d: expected f32, bf16 or int8 (0, 1, 2)",
                         (int)options->precision);
    if ((unsigned)options->parallelism > FBY_PARALLELISM_FINE)
        return fby_error(FBY_EINVAL, "parallelism is %d: expected 0, 1 or 2",
                         (int)options->parallelism);
    if ((unsigned)options->goal > FBY_GOAL_LATENCY)
        return fby_error(FBY_EINVAL, "goal is %d: expected 0 or 1", (int)options->goal);
    if ((unsigned)options->strategy > FBY_STRATEGY_TABLE)
        return fby_error(FBY_EINVAL, "strategy is %d: expected 0, 1 or 2", (int)options->strategy);
    if (options->max_jobs > JOBS_MAX)
        return fby_error(FBY_EINVAL, "max_jobs is %u, at most %d", options->max_jobs, JOBS_MAX);
    return FBY_OK;
}

static fby_status open_with(fby_model *model, const char *dir, const fby_model_options *options)
{
    fby_status status = fby_isa_select(&model->isa);
    if (status != FBY_OK)
        return status;
    status =
        fby_encoder_open(dir, model->isa, options->precision, options->cache_dir, &model->encoder);
    if (status != FBY_OK)
        return status;
    fby_encoder_get_info(model->encoder, &model->info);
    const uint32_t processors = fby_cpu_count();
    fby_topology topology;
    fby_placement placement;
    fby_topology_read(&topology);
    fby_placement_make(&topology, options->threads, model->info.weight_bytes,
                       fby_topology_node_free(&topology), &placement);
    if (placement.pinned)
        fby_local_make(model->encoder, &topology, &placement, &model->local);
    model->threads = options->threads != 0   ? fby_min_u32(options->threads, processors)
                     : placement.workers > 0 ? placement.workers /* one a core */
                                             : processors;

    uint32_t budget = (uint32_t)fby_max_size(BATCH_TOKENS, model->info.max_tokens);
    uint32_t max_jobs = options->max_jobs != 0 ? options->max_jobs : JOBS_DEFAULT;
    fby_engine_options engine = {
        .threads = model->threads,
        .budget = budget,
        .max_jobs = max_jobs,
        .placement = placement.pinned ? &placement : NULL,
        .topology = &topology,
        .local = &model->local,
        .stall_ms = options->stall_ms != 0 ? options->stall_ms : STALL_MS_DEFAULT,
        .tuner =
            {
                .strategy = options->strategy,
                .parallelism = options->parallelism,
                .limits = {.workers = model->threads,
                           .tokens = budget,
                           .workers_held = options->threads != 0,
                           .goal = options->goal,
                           .target_ns = (uint64_t)options->latency_target_ms * 1000000},
            },
    };
    if (!fby_costs_load(options->cache_dir, model->info.fingerprint, model->threads, &engine.costs))
        fby_costs_guess(model->info.flops_per_token, model->info.flops_per_token_pair,
                        &engine.costs);
    return fby_engine_create(model->encoder, fby_kernels_for(model->isa), &engine, &model->engine);
}

fby_status fby_model_open(const char *dir, const fby_model_options *given, fby_model **out)
{
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    fby_status status = fby_options_read(&options, sizeof options, given, "fby_model_options");
    if (status == FBY_OK)
        status = check_options(&options);
    if (status != FBY_OK)
        return status;

    fby_model *model = calloc(1, sizeof *model);
    if (model == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a model");
    if (options.cache_dir != NULL) {
        model->cache_dir = strdup(options.cache_dir);
        if (model->cache_dir == NULL)
            status = fby_error(FBY_ENOMEM, "no memory for a model");
    }
    if (status == FBY_OK)
        status = open_with(model, dir, &options);
    if (status != FBY_OK) {
        fby_model_close(model);
        return status;
    }
    *out = model;
    return FBY_OK;
}

void fby_model_close(fby_model *model)
{
    if (model == NULL)
        return;
    fby_engine_destroy(model->engine);
    fby_local_clear(&model->local);
    fby_encoder_close(model->encoder);
    free(model->cache_dir);
    free(model);
}

uint32_t fby_model_dim(const fby_model *model)
{
    uint32_t kept = model->info.truncate_dim;
    return kept != 0 ? fby_min_u32(kept, model->info.dim) : model->info.dim;
}

/* A struct that the caller's header may have in an older or a newer shape. */
static fby_status hand_out(void *out, const void *full, size_t size, const char *name)
{
    size_t given;
    memcpy(&given, out, sizeof given);
    if (given < sizeof given)
        return fby_error(FBY_EINVAL, "%s.struct_size is %zu: set it to its sizeof", name, given);
    memcpy((char *)out + sizeof given, (const char *)full + sizeof given,
           fby_min_size(given, size) - sizeof given);
    if (given > size)
        memset((char *)out + size, 0, given - size);
    return FBY_OK;
}

fby_status fby_model_get_info(const fby_model *model, fby_model_info *out)
{
    const fby_encoder_info *info = &model->info;
    const fby_model_info full = {
        .architecture = info->architecture,
        .pooling = info->pooling,
        .isa = info->products,
        .precision = info->precision,
        .fingerprint = info->fingerprint,
        .packed_path = info->packed_path,
        .dim = fby_model_dim(model),
        .layers = info->layers,
        .heads = info->heads,
        .hidden = info->hidden,
        .intermediate = info->intermediate,
        .vocabulary = fby_tokenizer_vocabulary(fby_encoder_tokenizer(model->encoder)),
        .max_tokens = info->max_tokens,
        .threads = model->threads,
        .normalizes = info->normalizes,
        .weight_bytes = info->weight_bytes,
        .flops_per_token = info->flops_per_token,
        .flops_per_token_pair = info->flops_per_token_pair,
        .full_dim = info->dim,
    };
    return hand_out(out, &full, sizeof full, "fby_model_info");
}

fby_status fby_model_tune(fby_model *model)
{
    fby_costs costs;
    fby_status status = fby_calibrate(model->encoder, model->threads, &costs);
    if (status != FBY_OK)
        return status;
    fby_tuner_set_costs(fby_engine_tuner(model->engine), &costs);
    return fby_costs_store(model->cache_dir, model->info.fingerprint, model->threads, &costs);
}

fby_status fby_model_get_stats(const fby_model *model, fby_model_stats *out)
{
    fby_tuner *tuner = fby_engine_tuner(model->engine);
    pthread_mutex_lock(&tuner->lock);
    const fby_decision decision = tuner->controller.decision;
    const fby_model_stats full = {
        .batches = tuner->batches,
        .split_batches = tuner->team_batches,
        .texts = tuner->texts,
        .tokens = tuner->tokens,
        .busy_ns = tuner->busy_ns,
        .decisions = tuner->controller.decisions,
        .stalls = tuner->stalls,
        .workers_busy = atomic_load_explicit(&tuner->at_work, memory_order_relaxed),
        .workers = decision.workers,
        .batch_tokens = decision.tokens,
        .splits = decision.split && tuner->options.parallelism != FBY_PARALLELISM_COARSE,
        .measured = tuner->controller.costs.measured,
    };
    pthread_mutex_unlock(&tuner->lock);
    return hand_out(out, &full, sizeof full, "fby_model_stats");
}
