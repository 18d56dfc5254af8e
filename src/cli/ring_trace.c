/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ring_trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/status.h"
#include "cli/ring_loops.h"

enum { IN_FLIGHT = 64, SMALL_POOL = 1 << 20, PASSES = 8 };

struct trace {
    fby_ring_schedule schedule;
    uint32_t sizes[FBY_RING_TURNS]; /* bytes */
};

/* What the load itself asks of a pool, found by bookkeeping beside it. */
struct needs {
    uint64_t in_flight, in_flight_peak, in_flight_sum, requests;
    uint64_t span_peak;
    uint64_t window_peak; /* of the pool */
};

static void make_trace(struct trace *trace)
{
    uint64_t state = 1;

    fby_ring_schedule_draw(&trace->schedule, IN_FLIGHT, 0);
    for (uint32_t i = 0; i < FBY_RING_TURNS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
        uint32_t dice = (uint32_t)(state >> 33);
        uint32_t most = dice % 20 == 0 ? FBY_RING_VECTORS_MAX : 8;
        trace->sizes[i] = (1 + dice / 20 % most) * (uint32_t)sizeof(float[FBY_FEATURE_DIM]);
    }
}

/* Where in the stream of allocated bytes each request in flight begins. */
struct ledger {
    void *slices[IN_FLIGHT];
    uint64_t starts[IN_FLIGHT], sizes[IN_FLIGHT];
    uint64_t position;
};

static fby_status note_request(struct ledger *ledger, struct needs *needs, fby_ring_pool *pool,
                               uint32_t slot, uint32_t bytes)
{
    fby_ring_pool_stats stats = {.struct_size = sizeof stats};
    fby_status status = fby_ring_alloc(pool, bytes, &ledger->slices[slot]);
    if (status != FBY_OK)
        return fby_error(status, "no room for a request of the trace");

    ledger->starts[slot] = ledger->position;
    ledger->sizes[slot] = bytes;
    ledger->position += bytes;
    needs->in_flight += bytes;
    uint64_t oldest = ledger->position;
    for (uint32_t i = 0; i < IN_FLIGHT; i++)
        if (ledger->slices[i] != NULL && ledger->starts[i] < oldest)
            oldest = ledger->starts[i];
    fby_ring_pool_get_stats(pool, &stats);
    needs->span_peak = fby_max_size(needs->span_peak, ledger->position - oldest);
    needs->window_peak = fby_max_size(needs->window_peak, stats.window_bytes);
    needs->in_flight_peak = fby_max_size(needs->in_flight_peak, needs->in_flight);
    needs->in_flight_sum += needs->in_flight;
    needs->requests++;
    return FBY_OK;
}

/* One pass of the trace, not timed. */
static fby_status find_needs(const struct trace *trace, uint64_t pool_bytes, struct needs *needs)
{
    struct ledger ledger = {0};
    fby_ring_pool *pool;
    fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;

    options.kind = FBY_RING_LOCAL_UNORDERED;
    options.capacity_bytes = pool_bytes;
    fby_status status = fby_ring_pool_create(&options, &pool);
    if (status != FBY_OK)
        return status;
    for (uint32_t i = 0; i < IN_FLIGHT && status == FBY_OK; i++)
        status = note_request(&ledger, needs, pool, i, trace->sizes[i]);
    for (uint32_t i = 0; i < FBY_RING_TURNS && status == FBY_OK; i++) {
        uint32_t slot = trace->schedule.slots[i];
        fby_ring_release_unordered(pool, ledger.slices[slot]);
        ledger.slices[slot] = NULL;
        needs->in_flight -= ledger.sizes[slot];
        status = note_request(&ledger, needs, pool, slot, trace->sizes[i]);
    }
    fby_ring_pool_destroy(pool);
    return status;
}

static void report_trace(fby_report *report, uint64_t pool_bytes, const struct needs *needs,
                         fby_spread ns, fby_spread ratio, fby_ring_time sums, uint64_t rounds)
{
    fby_report_text(report, "kind", "local-unordered");
    fby_report_uint(report, "pool_bytes", pool_bytes);
    fby_report_uint(report, "in_flight", IN_FLIGHT);
    fby_report_bool(report, "window", true);
    fby_report_text(report, "write", "first");
    FBY_REPORT_SPREAD(report, "ns_per_request", ns);
    FBY_REPORT_SPREAD(report, "ratio_to_1m", ratio);
    fby_report_uint(report, "in_flight_mean_bytes", needs->in_flight_sum / needs->requests);
    fby_report_uint(report, "in_flight_peak_bytes", needs->in_flight_peak);
    fby_report_uint(report, "span_peak_bytes", needs->span_peak);
    fby_report_uint(report, "window_peak_bytes", needs->window_peak);
    fby_report_real(report, "window_to_span",
                    (double)needs->window_peak / (double)needs->span_peak);
    fby_report_uint(report, "page_faults", sums.page_faults);
    fby_report_uint(report, "refused", sums.refused);
    fby_report_uint(report, "rounds", rounds);
    fby_report_row(report);
}

struct samples {
    double large[1000], small[1000], ratio[1000];
};

static void time_pools(fby_ring_load *large, fby_ring_load *small, uint64_t rounds,
                       struct samples *samples, fby_ring_time sums[2])
{
    for (uint64_t i = 0; i <= rounds; i++) {
        uint64_t at = i == 0 ? 0 : i - 1; /* the first time only warms up */
        fby_ring_time a = fby_ring_run_local(large), b = fby_ring_run_local(small);
        samples->large[at] = a.ns_per_pair;
        samples->small[at] = b.ns_per_pair;
        samples->ratio[at] = a.ns_per_pair / b.ns_per_pair;
        if (i == 0)
            continue;
        sums[0].page_faults += a.page_faults;
        sums[0].refused += a.refused;
        sums[1].page_faults += b.page_faults;
        sums[1].refused += b.refused;
    }
}

static fby_status run(fby_report *report, uint64_t pool_bytes, uint64_t rounds,
                      const struct trace *trace, struct samples *samples)
{
    struct needs needs[2];
    fby_ring_pool *pools[2] = {NULL, NULL};
    fby_ring_time sums[2];
    const uint64_t sizes[2] = {pool_bytes, SMALL_POOL};
    fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;
    fby_status status = FBY_OK;

    memset(needs, 0, sizeof needs);
    memset(sums, 0, sizeof sums);
    options.kind = FBY_RING_LOCAL_UNORDERED;
    for (int i = 0; i < 2 && status == FBY_OK; i++) {
        options.capacity_bytes = sizes[i];
        status = find_needs(trace, sizes[i], &needs[i]);
        if (status == FBY_OK)
            status = fby_ring_pool_create(&options, &pools[i]);
    }
    if (status == FBY_OK) {
        fby_ring_load large = {.pool = pools[0],
                               .kind = options.kind,
                               .schedule = &trace->schedule,
                               .sizes = trace->sizes,
                               .pairs = (uint64_t)PASSES * FBY_RING_TURNS};
        fby_ring_load small = large;
        small.pool = pools[1];
        time_pools(&large, &small, rounds, samples, sums);
        fby_spread one = {1, 1, 1};
        report_trace(report, SMALL_POOL, &needs[1], fby_spread_of(samples->small, rounds), one,
                     sums[1], rounds);
        report_trace(report, pool_bytes, &needs[0], fby_spread_of(samples->large, rounds),
                     fby_spread_of(samples->ratio, rounds), sums[0], rounds);
    }
    fby_ring_pool_destroy(pools[1]);
    fby_ring_pool_destroy(pools[0]);
    return status;
}

fby_status fby_ring_trace(fby_report *report, uint64_t pool_bytes, uint64_t rounds)
{
    fby_status status;
    struct trace *trace = malloc(sizeof *trace);
    struct samples *samples = malloc(sizeof *samples);

    if (trace == NULL || samples == NULL)
        status = fby_error(FBY_ENOMEM, "no memory for the trace");
    else {
        make_trace(trace);
        status = run(report, pool_bytes, rounds, trace, samples);
    }
    free(samples);
    free(trace);
    return status;
}
