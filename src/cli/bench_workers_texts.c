/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of exact lengths, and models as a strategy wants them. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "cli/bench_workers.h"

/* Mean 41: many short, some long, as in bench/texts/mixed.txt. */
uint32_t fby_workers_mixed_length(uint32_t i)
{
    static const uint16_t lengths[] = {12, 4,  30, 8,  96, 16, 24, 6,  48, 10, 192,
                                       20, 5,  36, 14, 64, 28, 9,  18, 40, 7,  128,
                                       22, 11, 32, 15, 56, 13, 80, 26, 72};
    return lengths[i % (sizeof lengths / sizeof *lengths)];
}

fby_status fby_workers_texts_make(uint32_t count, uint32_t length, fby_workers_texts *out)
{
    static const char word[] = "water ";
    enum { WORD = sizeof word - 1, SPECIAL = 2, LONGEST = FBY_WORKERS_LONGEST };
    fby_workers_texts texts = {.count = count};
    texts.texts = calloc(count, sizeof *texts.texts);
    texts.bytes = malloc((size_t)WORD * LONGEST);
    if (texts.texts == NULL || texts.bytes == NULL) {
        fby_workers_texts_clear(&texts);
        return fby_error(FBY_ENOMEM, "no memory for %u texts", count);
    }
    for (size_t i = 0; i < LONGEST; i++)
        memcpy(texts.bytes + i * WORD, word, WORD);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t tokens = length != 0 ? length : fby_workers_mixed_length(i);
        tokens = fby_min_u32(tokens > SPECIAL ? tokens : SPECIAL + 1, LONGEST);
        texts.texts[i] = (fby_text){texts.bytes, (size_t)(tokens - SPECIAL) * WORD};
        texts.tokens += tokens;
    }
    *out = texts;
    return FBY_OK;
}

void fby_workers_texts_clear(fby_workers_texts *texts)
{
    free(texts->texts);
    free(texts->bytes);
    *texts = (fby_workers_texts){0};
}

fby_status fby_workers_open(const fby_workers_options *options, uint32_t threads,
                            fby_parallelism parallelism, fby_strategy strategy, fby_model **model)
{
    char dir[PATH_MAX];
    fby_status status = fby_model_choice_dir(&options->model, dir);
    if (status != FBY_OK)
        return status;
    fby_model_options with = FBY_MODEL_OPTIONS_INIT;
    with.precision = (fby_precision)options->model.precision;
    with.goal = (fby_goal)options->model.goal;
    with.latency_target_ms = (uint32_t)options->model.latency_target_ms;
    with.threads = threads;
    with.parallelism = parallelism;
    with.strategy = strategy;
    return fby_model_open(dir, &with, model);
}

uint32_t fby_workers_rounds(const fby_workers_options *options, uint32_t usual)
{
    return options->rounds != 0 ? (uint32_t)options->rounds : usual;
}

void fby_workers_pause(uint64_t ms)
{
    const struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}
