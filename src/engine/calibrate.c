/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibrate.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/pages.h"
#include "engine/threads.h"

/* Texts are as long as this where it is not lengths that are measured; the largest batch has
 * LARGEST tokens, of which there are SIZES sizes. */
enum { TEXT = 16, LARGEST = 256, SIZES = 7, TEXTS = LARGEST / TEXT, WAKES = 9 };

/*
 * Everything is timed once a round, batches of at most SMALL tokens more often, and the least of
 * the times that nothing disturbed is taken: a neighbour who comes for a while spoils a round, not
 * what is measured. Rounds end when each has ROUNDS such times, or after ENOUGH_NS.
 */
enum { ROUNDS = 3, REPEATS_SMALL = 3, SMALL = 64 };
static const uint64_t ENOUGH_NS = 4000000000;

/* A time is disturbed if a thread was without a processor for more than a twentieth of it. */
static const double UNDISTURBED = 0.95;

typedef enum task { TASK_TEAM, TASK_CROWD } task;

typedef struct bench bench;

typedef struct helper {
    bench *of;
    uint32_t index;
    uint64_t cpu_ns; /* of its processor's time, the last task took so much */
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

static uint64_t cpu_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void run_member(bench *b, helper *h)
{
    const fby_bert_member member = {&b->team, h->index, h->scratch, &b->stopped, 1};
    note(b, fby_encoder_run_team(b->encoder, b->ids, b->starts, b->texts, b->helpers[0].scratch,
                                 &member, h->index == 0 ? h->rows : NULL, NULL));
}

static void run_task(bench *b, helper *h)
{
    if (h->index >= b->crowd)
        return;
    const uint64_t before_ns = cpu_now_ns();
    if (b->task == TASK_CROWD)
        run_alone(b, h);
    else
        run_member(b, h);
    h->cpu_ns = cpu_now_ns() - before_ns;
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

/* The least time of a batch among those that nothing disturbed. */
typedef struct timing {
    double ns;
    uint32_t clean; /* how many there were */
} timing;

static void take(timing *t, double ns)
{
    t->ns = t->clean == 0 ? ns : fmin(t->ns, ns);
    t->clean++;
}

/* What is measured. */
typedef struct timings {
    timing alone[SIZES], one_text;
    timing team[FBY_COST_CROWDS][SIZES], crowd[FBY_COST_CROWDS];
} timings;

static int repeats(const bench *b)
{
    return b->starts[b->texts] <= SMALL ? REPEATS_SMALL : 1;
}

/* One thread alone has as much of its processor's time as it took, whoever came between. */
static void time_alone(bench *b, timing *t)
{
    for (int i = 0; i < repeats(b); i++) {
        const uint64_t cpu_ns = cpu_now_ns();
        run_alone(b, &b->helpers[0]);
        take(t, (double)(cpu_now_ns() - cpu_ns));
    }
}

static bool undisturbed(const bench *b, double ns)
{
    for (uint32_t i = 0; i < b->crowd; i++)
        if ((double)b->helpers[i].cpu_ns < ns * UNDISTURBED)
            return false;
    return true;
}

/* Nobody sleeps any more. */
static void rouse(bench *b)
{
    b->crowd = 0;
    fby_team_meet(&b->all);
    fby_team_meet(&b->all);
}

/* From the meeting before to the meeting after: until the last of the crowd is done. */
static void time_task(bench *b, task what, uint32_t crowd, timing *t)
{
    rouse(b);
    b->task = what;
    b->crowd = crowd;
    fby_team_form(&b->team, crowd);
    for (int i = 0; i < repeats(b); i++) {
        fby_team_meet(&b->all);
        uint64_t start_ns = fby_now_ns();
        run_task(b, &b->helpers[0]);
        fby_team_meet(&b->all);
        double ns = (double)(fby_now_ns() - start_ns);
        if (undisturbed(b, ns))
            take(t, ns);
    }
}

static uint32_t longest_text(const bench *b)
{
    return fby_min_u32(b->info.max_tokens, LARGEST);
}

static void time_round(bench *b, timings *t)
{
    make_batch(b, LARGEST, longest_text(b));
    time_alone(b, &t->one_text);
    for (uint32_t size = 0; size < SIZES; size++) {
        make_batch(b, (uint32_t)FBY_COST_SMALLEST << size, TEXT);
        time_alone(b, &t->alone[size]);
        for (uint32_t i = 1; i < FBY_COST_CROWDS && 1u << i <= b->threads; i++)
            time_task(b, TASK_TEAM, 1u << i, &t->team[i][size]);
    }
    for (uint32_t i = 1; i < FBY_COST_CROWDS && 1u << i <= b->threads; i++)
        time_task(b, TASK_CROWD, 1u << i, &t->crowd[i]);
}

static bool all_clean(const bench *b, const timings *t)
{
    for (uint32_t i = 1; i < FBY_COST_CROWDS && 1u << i <= b->threads; i++) {
        bool clean = t->crowd[i].clean >= ROUNDS;
        for (uint32_t size = 0; size < SIZES; size++)
            clean &= t->team[i][size].clean >= ROUNDS;
        if (!clean)
            return false;
    }
    return true;
}

static void measure(bench *b, timings *t)
{
    const uint64_t began_ns = fby_now_ns();
    make_batch(b, LARGEST, TEXT);
    run_alone(b, &b->helpers[0]); /* weights and scratch are in the caches */
    for (int round = 0; round < ROUNDS || (!all_clean(b, t) && fby_now_ns() - began_ns < ENOUGH_NS);
         round++)
        time_round(b, t);
}

static void take_alone(const bench *b, const timings *t, fby_costs *costs)
{
    const double pairs = (double)LARGEST * (longest_text(b) > TEXT ? longest_text(b) - TEXT : 1);
    costs->pair_ns = fmax(t->one_text.ns - t->alone[SIZES - 1].ns, 0) / pairs;
    for (uint32_t i = 0; i < SIZES; i++) {
        const uint32_t tokens = (uint32_t)FBY_COST_SMALLEST << i;
        double without = t->alone[i].ns - costs->pair_ns * tokens * fby_min_u32(tokens, TEXT);
        costs->batch_ns[i] = fmax(without, i == 0 ? 1 : costs->batch_ns[i - 1]);
    }
    costs->batch_ns[SIZES] = 2 * costs->batch_ns[SIZES - 1];
}

/* What nothing disturbed even once, else `guessed`: a neighbour says nothing about later. */
static double ratio(const timing *alone, const timing *together, double guessed)
{
    return together->clean > 0 ? alone->ns / together->ns : guessed;
}

/* Teams and crowds of 2, 4, 8 …; from there on everything stays as it was. `costs` has been
 * guessed. */
static void take_crowds(const bench *b, const timings *t, fby_costs *costs)
{
    for (uint32_t i = 1; i < FBY_COST_CROWDS; i++) {
        const bool measured = 1u << i <= b->threads;
        costs->pace[i] = measured ? ratio(&t->alone[SIZES - 1], &t->crowd[i], costs->pace[i])
                                  : costs->pace[i - 1];
        for (uint32_t size = 0; size < SIZES; size++)
            costs->gain[i][size] =
                measured ? ratio(&t->alone[size], &t->team[i][size], costs->gain[i][size])
                         : costs->gain[i - 1][size];
        costs->gain[i][SIZES] = costs->gain[i][SIZES - 1];
    }
}

static uint32_t count_guessed(const bench *b, const timings *t)
{
    uint32_t guessed = 0;
    for (uint32_t i = 1; i < FBY_COST_CROWDS && 1u << i <= b->threads; i++) {
        guessed += t->crowd[i].clean == 0;
        for (uint32_t size = 0; size < SIZES; size++)
            guessed += t->team[i][size].clean == 0;
    }
    return guessed;
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
        timings t = {0};
        fby_costs found;
        measure(&b, &t);
        fby_costs_guess(b.info.flops_per_token, b.info.flops_per_token_pair, &found);
        found.measured = true;
        take_alone(&b, &t, &found);
        take_crowds(&b, &t, &found);
        found.wake_ns = measure_wake(&b);
        found.guessed = count_guessed(&b, &t);
        fby_costs_settle(&found);
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
