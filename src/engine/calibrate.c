/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibrate.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/pages.h"
#include "engine/threads.h"

/* Texts are as long as this where it is not lengths that are measured; the largest batch has
 * LARGEST tokens, of which there are SIZES sizes. */
enum { TEXT = 16, LARGEST = 256, SIZES = 7, TEXTS = LARGEST / TEXT, WAKES = 9 };

/* Each time is the least of so many, more for batches of at most SMALL tokens: what disturbs only
 * adds. */
enum { REPEATS = 3, REPEATS_SMALL = 9, SMALL = 64 };

typedef enum task { TASK_TEAM, TASK_CROWD } task;

typedef struct bench bench;

typedef struct helper {
    bench *of;
    uint32_t index;
    pthread_t thread;
    void *scratch;
    float *vectors; /* (TEXTS, dim) */
    float *rows[TEXTS];
} helper;

struct bench {
    const fby_encoder *encoder;
    fby_encoder_info info;
    uint32_t threads, started;
    size_t scratch_bytes;
    helper *helpers; /* (threads); 0 is the caller */
    uint32_t ids[LARGEST], starts[TEXTS + 1], texts;
    uint32_t crowd; /* at the task, the caller among them */
    fby_team all;   /* of every thread: before and after a task */
    fby_team team;  /* of the crowd */
    _Atomic uint64_t stopped;
    atomic_int failed; /* the fby_status of a run that did */
    task task;
};

/* `tokens` in texts of at most `text`. */
static void make_batch(bench *b, uint32_t tokens, uint32_t text)
{
    for (uint32_t i = 0; i < tokens; i++)
        b->ids[i] = i % 7; /* any rows of the table; a vocabulary has more */
    b->texts = 0;
    b->starts[0] = 0;
    while (b->starts[b->texts] < tokens) {
        uint32_t at = b->starts[b->texts];
        b->starts[++b->texts] = at + fby_min_u32(text, tokens - at);
    }
}

static void note(bench *b, fby_status status)
{
    /* Read by the caller behind a meeting. */
    if (status != FBY_OK)
        atomic_store_explicit(&b->failed, (int)status, memory_order_relaxed);
}

static void run_alone(bench *b, helper *h)
{
    note(b, fby_encoder_run(b->encoder, b->ids, b->starts, b->texts, h->scratch, h->rows, NULL));
}

static void run_task(bench *b, helper *h)
{
    if (h->index >= b->crowd)
        return;
    if (b->task == TASK_CROWD) {
        run_alone(b, h);
        return;
    }
    const fby_bert_member member = {&b->team, h->index, h->scratch, &b->stopped, 1};
    note(b, fby_encoder_run_team(b->encoder, b->ids, b->starts, b->texts, b->helpers[0].scratch,
                                 &member, h->index == 0 ? h->rows : NULL, NULL));
}

static void *help(void *argument)
{
    helper *h = argument;
    for (;;) {
        if (!fby_team_meet(&h->of->all))
            return NULL;
        run_task(h->of, h);
        fby_team_meet(&h->of->all);
    }
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static int repeats(const bench *b)
{
    return b->starts[b->texts] <= SMALL ? REPEATS_SMALL : REPEATS;
}

static double time_alone(bench *b)
{
    double best = INFINITY;
    for (int i = 0; i < repeats(b); i++) {
        uint64_t start_ns = fby_now_ns();
        run_alone(b, &b->helpers[0]);
        best = least(best, (double)(fby_now_ns() - start_ns));
    }
    return best;
}

/* From the meeting before to the meeting after: until the last of the crowd is done. */
static double time_task(bench *b, task what, uint32_t crowd)
{
    double best = INFINITY;
    b->task = what;
    b->crowd = crowd;
    fby_team_form(&b->team, crowd);
    for (int i = 0; i < repeats(b); i++) {
        fby_team_meet(&b->all);
        uint64_t start_ns = fby_now_ns();
        run_task(b, &b->helpers[0]);
        fby_team_meet(&b->all);
        best = least(best, (double)(fby_now_ns() - start_ns));
    }
    return best;
}

static void measure_alone(bench *b, fby_costs *costs, double whole[SIZES])
{
    const uint32_t text = fby_min_u32(b->info.max_tokens, LARGEST);
    make_batch(b, LARGEST, TEXT);
    run_alone(b, &b->helpers[0]); /* weights and scratch are in the caches */
    double short_ns = time_alone(b);
    make_batch(b, LARGEST, text);
    double long_ns = time_alone(b);
    double pairs = (double)LARGEST * (text > TEXT ? text - TEXT : 1);
    costs->pair_ns = fmax(long_ns - short_ns, 0) / pairs;
    for (uint32_t i = 0; i < SIZES; i++) {
        uint32_t tokens = (uint32_t)FBY_COST_SMALLEST << i;
        make_batch(b, tokens, TEXT);
        whole[i] = time_alone(b);
        double without = whole[i] - costs->pair_ns * tokens * fby_min_u32(tokens, TEXT);
        costs->batch_ns[i] = fmax(without, i == 0 ? 1 : costs->batch_ns[i - 1]);
    }
    costs->batch_ns[SIZES] = 2 * costs->batch_ns[SIZES - 1];
}

static void measure_crowd(bench *b, uint32_t crowd, const double whole[SIZES], double *gain,
                          double *pace)
{
    for (uint32_t i = 0; i < SIZES; i++) {
        make_batch(b, (uint32_t)FBY_COST_SMALLEST << i, TEXT);
        gain[i] = fmin(fmax(whole[i] / time_task(b, TASK_TEAM, crowd), 0.01), crowd);
    }
    gain[SIZES] = gain[SIZES - 1];
    make_batch(b, LARGEST, TEXT);
    *pace = fmin(fmax(whole[SIZES - 1] / time_task(b, TASK_CROWD, crowd), 0.01), 1.0);
}

/* Teams and crowds of 2, 4, 8 …; from there on everything stays as it was. */
static void measure_crowds(bench *b, const double whole[SIZES], fby_costs *costs)
{
    for (uint32_t i = 0; i < FBY_COST_CROWDS; i++) {
        const uint32_t crowd = 1u << i;
        const uint32_t before = i > 0 ? i - 1 : 0;
        costs->pace[i] = i > 0 ? costs->pace[before] : 1.0;
        for (int size = 0; size < FBY_COST_SIZES; size++)
            costs->gain[i][size] = i > 0 ? costs->gain[before][size] : 1.0;
        if (crowd > 1 && crowd <= b->threads)
            measure_crowd(b, crowd, whole, costs->gain[i], &costs->pace[i]);
    }
}

/* The middle of some wake-ups of a thread that sleeps: the others do, after a pause. */
static double measure_wake(bench *b)
{
    double ns[WAKES];
    if (b->threads < 2)
        return 0;
    b->task = TASK_CROWD;
    b->crowd = 0;
    for (int i = 0; i < WAKES; i++) {
        usleep(1000);
        uint64_t start_ns = fby_now_ns();
        fby_team_meet(&b->all); /* they wake … */
        fby_team_meet(&b->all); /* … and come again */
        double took = (double)(fby_now_ns() - start_ns);
        int at = i;
        for (; at > 0 && ns[at - 1] > took; at--)
            ns[at] = ns[at - 1];
        ns[at] = took;
    }
    return ns[WAKES / 2];
}

static fby_status start(bench *b)
{
    b->helpers = calloc(b->threads, sizeof *b->helpers);
    if (b->helpers == NULL)
        return fby_error(FBY_ENOMEM, "no memory to calibrate with");
    for (uint32_t i = 0; i < b->threads; i++) {
        helper *h = &b->helpers[i];
        *h = (helper){.of = b, .index = i};
        fby_status status = fby_pages_map(b->scratch_bytes, &h->scratch);
        if (status != FBY_OK)
            return status;
        h->vectors = calloc((size_t)TEXTS * b->info.dim, sizeof *h->vectors);
        if (h->vectors == NULL)
            return fby_error(FBY_ENOMEM, "no memory to calibrate with");
        for (uint32_t text = 0; text < TEXTS; text++)
            h->rows[text] = h->vectors + (size_t)text * b->info.dim;
    }
    for (b->started = 1; b->started < b->threads; b->started++) {
        int failed =
            pthread_create(&b->helpers[b->started].thread, NULL, help, &b->helpers[b->started]);
        if (failed != 0)
            return fby_error_errno(FBY_ENOMEM, failed, "starting a thread to calibrate with");
    }
    return FBY_OK;
}

static void finish(bench *b)
{
    fby_team_break(&b->all); /* also where some were never started */
    for (uint32_t i = 1; i < b->started; i++)
        pthread_join(b->helpers[i].thread, NULL);
    for (uint32_t i = 0; b->helpers != NULL && i < b->threads; i++) {
        fby_pages_unmap(b->helpers[i].scratch, b->scratch_bytes);
        free(b->helpers[i].vectors);
    }
    free(b->helpers);
}

fby_status fby_calibrate(const fby_encoder *encoder, uint32_t threads, fby_costs *costs)
{
    bench b = {.encoder = encoder, .threads = threads};
    fby_encoder_get_info(encoder, &b.info);
    b.scratch_bytes = fby_encoder_scratch(encoder, LARGEST);
    atomic_init(&b.stopped, 0);
    atomic_init(&b.failed, (int)FBY_OK);
    fby_team_init(&b.all);
    fby_team_init(&b.team);
    fby_team_form(&b.all, threads);
    sigset_t before;
    fby_block_signals(&before);
    fby_status status = start(&b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == FBY_OK) {
        double whole[SIZES];
        fby_costs found = {.measured = true};
        measure_alone(&b, &found, whole);
        measure_crowds(&b, whole, &found);
        found.wake_ns = measure_wake(&b);
        int failed = atomic_load_explicit(&b.failed, memory_order_relaxed);
        if (failed != (int)FBY_OK)
            status = fby_error((fby_status)failed, "a batch to calibrate with failed");
        else if (!fby_costs_valid(&found))
            status = fby_error(FBY_EAGAIN, "what batches cost here cannot be: too much disturbs");
        else
            *costs = found;
    }
    finish(&b);
    return status;
}
