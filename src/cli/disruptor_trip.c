/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/disruptor_trip.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/platform.h"
#include "cli/bench_cpus.h"
#include "forebay/disruptor.h"

enum { TRIPS = 20000, LINES = 1024, PAYLOAD = 7 }; /* words of an event beside the last */

typedef uint64_t line[8];

struct table {
    fby_trip trip;
    fby_disruptor *there, *back;
    fby_consumer *there_reader, *back_reader;
    line *there_lines, *back_lines; /* (LINES) */
    uint64_t sum;
    int cpu;
};

static void write_words(uint64_t *to, uint64_t number)
{
    for (uint64_t i = 0; i < PAYLOAD; i++)
        to[i] = number + i;
}

static uint64_t sum_words(const uint64_t *from)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < PAYLOAD; i++)
        sum += from[i];
    return sum;
}

/* ---- the ways ---- */

static void send_event(fby_disruptor *disruptor, uint64_t number)
{
    uint64_t sequence;
    while (fby_disruptor_claim(disruptor, 1, &sequence) != FBY_OK)
        fby_relax();
    write_words(fby_disruptor_event(disruptor, sequence), number);
    fby_disruptor_publish(disruptor, sequence, 1);
}

static uint64_t receive_event(fby_disruptor *disruptor, fby_consumer *consumer)
{
    uint64_t sequence;
    fby_consumer_wait(consumer, UINT64_MAX, &sequence);
    uint64_t sum = sum_words(fby_disruptor_event(disruptor, sequence));
    fby_consumer_release(consumer, 1);
    return sum;
}

/* T1, with T2: the line's other words, before its last. */
static void send_line(line *lines, uint64_t number)
{
    uint64_t *to = lines[number % LINES];
    write_words(to, number);
    __atomic_store_n(&to[PAYLOAD], number + 1, __ATOMIC_RELEASE);
}

static uint64_t receive_line(line *lines, uint64_t number)
{
    uint64_t *from = lines[number % LINES];
    while (__atomic_load_n(&from[PAYLOAD], __ATOMIC_ACQUIRE) != number + 1) /* T2, with T1 */
        fby_relax();
    return sum_words(from);
}

static void throw_word(uint64_t *to, uint64_t word)
{
    __atomic_store_n(to, word, __ATOMIC_RELEASE); /* T3, with T4: nothing but the word */
}

static void catch_word(uint64_t *from, uint64_t word)
{
    while (__atomic_load_n(from, __ATOMIC_ACQUIRE) != word) /* T4, with T3 */
        fby_relax();
}

/* Whose line the words that come back lie in. */
static uint64_t *word_back(const struct table *table)
{
    return table->trip == FBY_TRIP_LINE ? table->there_lines[0] : table->back_lines[0];
}

/* A loop a way: what is measured is short. */
static uint64_t throw_there(struct table *table)
{
    uint64_t sum = 0, *there = table->there_lines[0], *back = word_back(table);
    switch (table->trip) {
    case FBY_TRIP_LINE:
    case FBY_TRIP_PAIR:
        for (uint64_t i = 0; i < TRIPS; i++) {
            throw_word(there, 2 * i + 1);
            catch_word(back, 2 * i + 2);
        }
        break;
    case FBY_TRIP_LINES:
        for (uint64_t i = 0; i < TRIPS; i++) {
            send_line(table->there_lines, i);
            sum += receive_line(table->back_lines, i);
        }
        break;
    default:
        for (uint64_t i = 0; i < TRIPS; i++) {
            send_event(table->there, i);
            sum += receive_event(table->back, table->back_reader);
        }
    }
    return sum;
}

static void *throw_back(void *argument)
{
    struct table *table = argument;
    uint64_t sum = 0, *there = table->there_lines[0], *back = word_back(table);

    fby_bench_pin(table->cpu);
    switch (table->trip) {
    case FBY_TRIP_LINE:
    case FBY_TRIP_PAIR:
        for (uint64_t i = 0; i < TRIPS; i++) {
            catch_word(there, 2 * i + 1);
            throw_word(back, 2 * i + 2);
        }
        break;
    case FBY_TRIP_LINES:
        for (uint64_t i = 0; i < TRIPS; i++) {
            sum += receive_line(table->there_lines, i);
            send_line(table->back_lines, i);
        }
        break;
    default:
        for (uint64_t i = 0; i < TRIPS; i++) {
            sum += receive_event(table->there, table->there_reader);
            send_event(table->back, i);
        }
    }
    return (void *)(uintptr_t)sum;
}

/* ---- a sample ---- */

static bool open_table(struct table *table)
{
    static _Alignas(64) line there[LINES], back[LINES];
    fby_disruptor_options options = FBY_DISRUPTOR_OPTIONS_INIT;
    options.capacity = LINES;
    options.wait = FBY_WAIT_SPIN;
    memset(there, 0, sizeof there);
    memset(back, 0, sizeof back);
    table->there_lines = there;
    table->back_lines = back;
    return fby_disruptor_create(&options, &table->there) == FBY_OK &&
           fby_disruptor_create(&options, &table->back) == FBY_OK &&
           fby_disruptor_add_consumer(table->there, NULL, 0, &table->there_reader) == FBY_OK &&
           fby_disruptor_add_consumer(table->back, NULL, 0, &table->back_reader) == FBY_OK;
}

double fby_trip_ns(fby_trip trip)
{
    struct table table = {.trip = trip};
    int cpus[2];
    cpu_set_t before;
    pthread_t other;
    double ns = 0;

    fby_bench_cpus(cpus, 2);
    table.cpu = cpus[1];
    sched_getaffinity(0, sizeof before, &before);
    if (open_table(&table) && pthread_create(&other, NULL, throw_back, &table) == 0) {
        fby_bench_pin(cpus[0]);
        uint64_t start_ns = fby_now_ns();
        table.sum = throw_there(&table);
        ns = (double)(fby_now_ns() - start_ns) / TRIPS;
        pthread_join(other, NULL);
        sched_setaffinity(0, sizeof before, &before);
    }
    fby_disruptor_destroy(table.there);
    fby_disruptor_destroy(table.back);
    return ns;
}
