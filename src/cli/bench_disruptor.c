/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hands 64-byte events from thread to thread: the disruptor, concurrencykit's
 * ring carrying them by value, and a queue of a mutex and two condition variables,
 * round by round in turn. A producer writes all 64 bytes and a consumer sums them;
 * of the disruptor's the last 8 are its own word, which publishing writes and
 * waiting reads, so its consumers sum seven words and the sequence.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/platform.h"
#include "cli/bench_cpus.h"
#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/disruptor_trip.h"
#include "cli/say.h"
#include "forebay/disruptor.h"

#if FBY_HAVE_CK
#include <ck_ring.h>
#endif

enum {
    CAPACITY = 1024,
    THREADS_MAX = 4,
    ROUNDS_MAX = 1000,
    SHARE_BATCH = 16 /* events a member takes at most */
};

typedef struct bench_event {
    uint64_t words[8];
} bench_event;

enum { OWN_WORDS = 7, WORDS = 8 }; /* of the disruptor's events, of the others' */

static void write_event(bench_event *to, uint64_t number, uint64_t words)
{
    for (uint64_t i = 0; i < words; i++)
        to->words[i] = number + i;
}

static uint64_t sum_event(const bench_event *from, uint64_t words)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < words; i++)
        sum += from->words[i];
    return sum;
}

/* What all events numbered 0 … count - 1 sum up to. */
static uint64_t sum_of_all(uint64_t count, uint64_t words)
{
    return words * (count * (count - 1) / 2) + words * (words - 1) / 2 * count;
}

/* ---- what is measured ---- */

typedef struct bench_shape {
    const char *name;
    uint32_t producers, consumers;
    bool chain, share;
} bench_shape;

static const bench_shape shapes[] = {
    {"1P1C", 1, 1, false, false},
    {"1P3C-chain", 1, 3, true, false},
    {"3P1C", 3, 1, false, false},
    {"1P2M-share", 1, 2, false, true},
};

typedef struct bench_queue bench_queue;

typedef struct bench_work {
    pthread_t thread;
    bench_queue *queue;
    uint32_t index;       /* among its kind */
    uint64_t first, last; /* a producer's numbers */
    uint64_t sum;         /* a consumer's result */
    int cpu;              /* negative: anywhere */
} bench_work;

/* One kind of queue in one shape. */
struct bench_queue {
    const bench_shape *shape;
    uint32_t batch;
    uint64_t count; /* events in all */
    bool crowded;   /* more threads than processors: waiting must yield */

    fby_disruptor *disruptor;
    fby_consumer *consumers[THREADS_MAX];
    fby_group *group;

#if FBY_HAVE_CK
    ck_ring_t ring;
#endif
    bench_event *slots;

    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    uint64_t head, tail;

    uint32_t finished; /* a ring whose producers are done */
};

typedef struct bench_kind {
    const char *name;
    bool (*open)(bench_queue *queue);
    void (*close)(bench_queue *queue);
    void *(*produce)(void *work);
    void *(*consume)(void *work);
} bench_kind;

static void pause_or_yield(const bench_queue *queue)
{
    if (queue->crowded)
        sched_yield();
    else
        fby_relax();
}

/* ---- the disruptor ---- */

static bool open_disruptor(bench_queue *queue)
{
    fby_disruptor_options options = FBY_DISRUPTOR_OPTIONS_INIT;
    options.capacity = CAPACITY;
    options.producers = queue->shape->producers > 1 ? FBY_DISRUPTOR_MULTI : FBY_DISRUPTOR_SINGLE;
    options.wait = queue->crowded ? FBY_WAIT_YIELD : FBY_WAIT_SPIN;
    if (fby_disruptor_create(&options, &queue->disruptor) != FBY_OK)
        return false;
    if (queue->shape->share)
        return fby_disruptor_add_group(queue->disruptor, &queue->group) == FBY_OK;
    for (uint32_t i = 0; i < queue->shape->consumers; i++) {
        bool first = i == 0 || !queue->shape->chain;
        if (fby_disruptor_add_consumer(queue->disruptor, first ? NULL : &queue->consumers[i - 1],
                                       first ? 0 : 1, &queue->consumers[i]) != FBY_OK)
            return false;
    }
    return true;
}

static void close_disruptor(bench_queue *queue)
{
    fby_disruptor_destroy(queue->disruptor);
}

static void *produce_disruptor(void *argument)
{
    bench_work *self = argument;
    bench_queue *queue = self->queue;
    fby_disruptor *disruptor = queue->disruptor;
    uint64_t number = self->first;

    fby_bench_pin(self->cpu);
    while (number < self->last) {
        uint64_t left = self->last - number, sequence;
        uint32_t count = left < queue->batch ? (uint32_t)left : queue->batch;
        while (fby_disruptor_claim(disruptor, count, &sequence) != FBY_OK)
            pause_or_yield(queue);
        for (uint32_t i = 0; i < count; i++)
            write_event(fby_disruptor_event(disruptor, sequence + i), number++, OWN_WORDS);
        fby_disruptor_publish(disruptor, sequence, count);
    }
    return NULL;
}

static void *consume_disruptor(void *argument)
{
    bench_work *self = argument;
    fby_disruptor *disruptor = self->queue->disruptor;
    fby_consumer *consumer = self->queue->consumers[self->index];
    uint64_t first, sum = 0;

    fby_bench_pin(self->cpu);
    for (uint64_t seen = 0; seen < self->queue->count;) {
        uint32_t ready = fby_consumer_wait(consumer, UINT64_MAX, &first);
        for (uint32_t i = 0; i < ready; i++)
            sum += sum_event(fby_disruptor_event(disruptor, first + i), OWN_WORDS);
        fby_consumer_release(consumer, ready);
        seen += ready;
    }
    self->sum = sum;
    return NULL;
}

static void *share_disruptor(void *argument)
{
    bench_work *self = argument;
    bench_event taken[SHARE_BATCH];
    uint64_t sum = 0;
    uint32_t count;

    fby_bench_pin(self->cpu);
    while ((count = fby_group_wait(self->queue->group, SHARE_BATCH, taken, SHARE_BATCH,
                                   UINT64_MAX)) != 0)
        for (uint32_t i = 0; i < count; i++)
            sum += sum_event(&taken[i], OWN_WORDS);
    self->sum = sum;
    return NULL;
}

static void *consume_or_share_disruptor(void *argument)
{
    const bench_work *self = argument;
    return self->queue->shape->share ? share_disruptor(argument) : consume_disruptor(argument);
}

/* ---- concurrencykit ---- */

#if FBY_HAVE_CK
CK_RING_PROTOTYPE(by_value, bench_event)

static bool open_ck(bench_queue *queue)
{
    if (queue->shape->chain)
        return false; /* a ring takes each event out once */
    queue->slots = calloc(CAPACITY, sizeof *queue->slots);
    ck_ring_init(&queue->ring, CAPACITY);
    return queue->slots != NULL;
}

static void close_ck(bench_queue *queue)
{
    free(queue->slots);
}

static void *produce_ck(void *argument)
{
    bench_work *self = argument;
    bench_queue *queue = self->queue;
    bool several = queue->shape->producers > 1, share = queue->shape->share;
    bench_event made;

    fby_bench_pin(self->cpu);
    for (uint64_t number = self->first; number < self->last; number++) {
        write_event(&made, number, WORDS);
        while (several ? !CK_RING_ENQUEUE_MPSC(by_value, &queue->ring, queue->slots, &made)
               : share ? !CK_RING_ENQUEUE_SPMC(by_value, &queue->ring, queue->slots, &made)
                       : !CK_RING_ENQUEUE_SPSC(by_value, &queue->ring, queue->slots, &made))
            pause_or_yield(queue);
    }
    return NULL;
}

static void *consume_ck(void *argument)
{
    bench_work *self = argument;
    bench_queue *queue = self->queue;
    bool several = queue->shape->producers > 1, share = queue->shape->share;
    uint64_t sum = 0, seen = 0;
    bench_event taken;

    fby_bench_pin(self->cpu);
    for (;;) {
        if (several ? CK_RING_DEQUEUE_MPSC(by_value, &queue->ring, queue->slots, &taken)
            : share ? CK_RING_DEQUEUE_SPMC(by_value, &queue->ring, queue->slots, &taken)
                    : CK_RING_DEQUEUE_SPSC(by_value, &queue->ring, queue->slots, &taken)) {
            sum += sum_event(&taken, WORDS);
            seen++;
        } else if (share ? __atomic_load_n(&queue->finished, __ATOMIC_ACQUIRE) &&
                               ck_ring_size(&queue->ring) == 0
                         : seen == queue->count) {
            break;
        } else {
            pause_or_yield(queue);
        }
    }
    self->sum = sum;
    return NULL;
}
#endif

/* ---- a mutex and two condition variables ---- */

static bool open_mutex(bench_queue *queue)
{
    if (queue->shape->chain)
        return false;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->not_empty, NULL);
    pthread_cond_init(&queue->not_full, NULL);
    queue->slots = calloc(CAPACITY, sizeof *queue->slots);
    return queue->slots != NULL;
}

static void close_mutex(bench_queue *queue)
{
    free(queue->slots);
    pthread_cond_destroy(&queue->not_full);
    pthread_cond_destroy(&queue->not_empty);
    pthread_mutex_destroy(&queue->lock);
}

static void *produce_mutex(void *argument)
{
    bench_work *self = argument;
    bench_queue *queue = self->queue;

    fby_bench_pin(self->cpu);
    for (uint64_t number = self->first; number < self->last; number++) {
        bench_event made;
        write_event(&made, number, WORDS);
        pthread_mutex_lock(&queue->lock);
        while (queue->head - queue->tail == CAPACITY)
            pthread_cond_wait(&queue->not_full, &queue->lock);
        queue->slots[queue->head++ % CAPACITY] = made;
        pthread_cond_signal(&queue->not_empty);
        pthread_mutex_unlock(&queue->lock);
    }
    return NULL;
}

static void *consume_mutex(void *argument)
{
    bench_work *self = argument;
    bench_queue *queue = self->queue;
    uint64_t sum = 0;

    fby_bench_pin(self->cpu);
    for (;;) {
        pthread_mutex_lock(&queue->lock);
        while (queue->head == queue->tail && queue->tail != queue->count)
            pthread_cond_wait(&queue->not_empty, &queue->lock);
        if (queue->tail == queue->count) {
            pthread_cond_broadcast(&queue->not_empty);
            pthread_mutex_unlock(&queue->lock);
            break;
        }
        bench_event taken = queue->slots[queue->tail++ % CAPACITY];
        pthread_cond_signal(&queue->not_full);
        pthread_mutex_unlock(&queue->lock);
        sum += sum_event(&taken, WORDS);
    }
    self->sum = sum;
    return NULL;
}

static const bench_kind kinds[] = {
    {"disruptor", open_disruptor, close_disruptor, produce_disruptor, consume_or_share_disruptor},
#if FBY_HAVE_CK
    {"ck_ring", open_ck, close_ck, produce_ck, consume_ck},
#endif
    {"mutex", open_mutex, close_mutex, produce_mutex, consume_mutex},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- a round ---- */

/* Events a second; 0 if this kind has no such shape, negative if an event was lost. */
static double run(const bench_kind *kind, const bench_shape *shape, uint32_t batch, uint64_t count)
{
    uint32_t threads = shape->producers + shape->consumers;
    bench_queue queue = {.shape = shape, .batch = batch, .count = count};
    queue.crowded = threads > fby_cpu_count();
    if (!kind->open(&queue))
        return 0;

    bench_work works[2 * THREADS_MAX] = {{0}};
    for (uint32_t i = 0; i < threads; i++)
        works[i] = (bench_work){.queue = &queue, .cpu = -1};
    int cpus[2 * THREADS_MAX];
    fby_bench_cpus(cpus, threads);
    for (uint32_t i = 0; i < threads; i++)
        works[i].cpu = cpus[i];
    bench_work *producers = works, *consumers = works + shape->producers;
    uint64_t start = fby_now_ns(), sum = 0;
    for (uint32_t i = 0; i < shape->consumers; i++) {
        consumers[i].index = i;
        pthread_create(&consumers[i].thread, NULL, kind->consume, &consumers[i]);
    }
    for (uint32_t i = 0; i < shape->producers; i++) {
        producers[i].first = count * i / shape->producers;
        producers[i].last = count * (i + 1) / shape->producers;
        pthread_create(&producers[i].thread, NULL, kind->produce, &producers[i]);
    }
    for (uint32_t i = 0; i < shape->producers; i++)
        pthread_join(producers[i].thread, NULL);
    if (shape->share && queue.disruptor != NULL)
        fby_disruptor_alert(queue.disruptor);
    __atomic_store_n(&queue.finished, 1, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < shape->consumers; i++) {
        pthread_join(consumers[i].thread, NULL);
        sum += consumers[i].sum;
    }
    double seconds = (double)(fby_now_ns() - start) / 1e9;
    kind->close(&queue);
    uint64_t expected = sum_of_all(count, kind == kinds ? OWN_WORDS : WORDS) *
                        (shape->share ? 1 : shape->consumers);
    return sum == expected ? (double)count / seconds : -1;
}

/* ---- the command ---- */

struct fields {
    uint64_t events, rounds;
    int format;
};

static const fby_cli_option options[] = {
    {.kind = FBY_CLI_UINT,
     .name = "events",
     .argument = "N",
     .help = "events of a round (1000000)",
     .offset = offsetof(struct fields, events),
     .min = 1000,
     .max = 1000000000},
    {.kind = FBY_CLI_UINT,
     .name = "rounds",
     .argument = "N",
     .help = "rounds, each kind of queue once in each (11)",
     .offset = offsetof(struct fields, rounds),
     .min = 1,
     .max = ROUNDS_MAX},
    FBY_REPORT_OPTIONS(struct fields, format),
    {.kind = FBY_CLI_END},
};

static bool measure_shape(fby_report *report, const bench_shape *shape, uint32_t batch,
                          const struct fields *fields)
{
    static double rates[KINDS][ROUNDS_MAX], ratios[KINDS][ROUNDS_MAX];
    for (uint64_t round = 0; round <= fields->rounds; round++) /* round 0 warms up */
        for (size_t turn = 0; turn < KINDS; turn++) {
            size_t k = (turn + round) % KINDS;
            double rate = run(&kinds[k], shape, batch, fields->events);
            if (rate < 0) {
                fby_say("%s, %s: events were lost", kinds[k].name, shape->name);
                return false;
            }
            if (round > 0)
                rates[k][round - 1] = rate;
        }
    for (size_t k = 0; k < KINDS; k++)
        for (uint64_t round = 0; round < fields->rounds; round++)
            ratios[k][round] = rates[k][round] > 0 ? rates[0][round] / rates[k][round] : 0;
    for (size_t k = 0; k < KINDS; k++) {
        if (rates[k][0] == 0)
            continue; /* this kind has no such shape */
        fby_report_text(report, "shape", shape->name);
        fby_report_uint(report, "batch", batch);
        fby_report_text(report, "queue", kinds[k].name);
        fby_report_bool(report, "crowded", shape->producers + shape->consumers > fby_cpu_count());
        FBY_REPORT_SPREAD(report, "events_per_s", fby_spread_of(rates[k], fields->rounds));
        FBY_REPORT_SPREAD(report, "disruptor_ratio", fby_spread_of(ratios[k], fields->rounds));
        fby_report_uint(report, "repetitions", fields->rounds);
        fby_report_row(report);
    }
    return true;
}

/* Round by round: each way of a trip, and the same backwards. */
static void measure_trips(fby_report *report, const struct fields *fields)
{
    static double ns[FBY_TRIPS][ROUNDS_MAX], ratio[FBY_TRIPS][ROUNDS_MAX];
    for (uint64_t round = 0; round < fields->rounds; round++) {
        double twice[FBY_TRIPS] = {0};
        for (int turn = 0; turn < 2 * FBY_TRIPS; turn++) {
            int trip = turn < FBY_TRIPS ? turn : 2 * FBY_TRIPS - 1 - turn;
            twice[trip] += fby_trip_ns((fby_trip)trip);
        }
        for (int trip = 0; trip < FBY_TRIPS; trip++) {
            ns[trip][round] = twice[trip] / 2;
            ratio[trip][round] = twice[FBY_TRIP_EVENTS] / twice[trip];
        }
    }
    uint64_t rounds = fields->rounds;
    fby_report_text(report, "shape", "round-trip");
    fby_report_text(report, "queue", "disruptor");
    FBY_REPORT_SPREAD(report, "round_trip_ns", fby_spread_of(ns[FBY_TRIP_EVENTS], rounds));
    FBY_REPORT_SPREAD(report, "ping_pong_ns", fby_spread_of(ns[FBY_TRIP_LINE], rounds));
    FBY_REPORT_SPREAD(report, "ping_pong_ratio", fby_spread_of(ratio[FBY_TRIP_LINE], rounds));
    FBY_REPORT_SPREAD(report, "one_way_lines_ns", fby_spread_of(ns[FBY_TRIP_PAIR], rounds));
    FBY_REPORT_SPREAD(report, "one_way_lines_ratio", fby_spread_of(ratio[FBY_TRIP_PAIR], rounds));
    FBY_REPORT_SPREAD(report, "bare_lines_ns", fby_spread_of(ns[FBY_TRIP_LINES], rounds));
    FBY_REPORT_SPREAD(report, "bare_lines_ratio", fby_spread_of(ratio[FBY_TRIP_LINES], rounds));
    fby_report_uint(report, "repetitions", rounds);
    fby_report_row(report);
}

static int run_bench(const fby_cli_command *self, int argc, char **argv)
{
    static const uint32_t batches[] = {1, 16};
    struct fields fields = {.events = 1000000, .rounds = 11};
    int operands, exit_code;
    if (!fby_cli_parse(self, argc, argv, &fields, &operands, &exit_code))
        return exit_code;

    fby_report report;
    fby_report_begin(&report, stdout, (fby_report_format)fields.format, "disruptor", NULL);
    if (fby_cpu_count() >= 2)
        measure_trips(&report, &fields);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++)
            if (!measure_shape(&report, &shapes[s], batches[b], &fields))
                return FBY_EXIT_FAILED;
    return fby_report_end(&report) == FBY_OK ? FBY_EXIT_OK : FBY_EXIT_FAILED;
}

const fby_cli_command fby_bench_disruptor = {
    .name = "forebay bench disruptor",
    .summary = "64-byte events from thread to thread",
    .options = options,
    .details = "The disruptor beside concurrencykit's ring (built with libck-dev) and a queue of\n"
               "a mutex and condition variables, in turn; first a round trip, beside that of a\n"
               "bare cache line, and of whole lines written and summed without a queue, as many\n"
               "as the disruptor has slots. `crowded` rows have more threads than processors.\n",
    .run = run_bench,
};
