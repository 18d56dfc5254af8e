/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/clock.h"
#include "serve/exchange.h"

enum {
    SLOT = 64,
    BATCH_EVENTS = 128,
    SHARE_MIN = 32 /* tokens that are worth a batch of their own */
};

struct fby_worker {
    fby_crew *crew;
    fby_worker_metrics *metrics;
    pthread_t thread;
    uint32_t budget; /* tokens of a batch, at most */

    unsigned char *events;    /* (BATCH_EVENTS) slots: what was claimed */
    const fby_event **chosen; /* (BATCH_EVENTS): those of one model */
    uint32_t *ids;            /* (budget) */
    uint32_t *starts;         /* (BATCH_EVENTS + 1) */
    float **vectors;          /* (BATCH_EVENTS) */
    float *warm;              /* the largest dim */
    void *scratch;
    fby_heap_block memory; /* all of the above */

    fby_gathering gathering; /* of a team that it leads */
};

static const fby_event *event_at(const fby_worker *worker, uint32_t i)
{
    return (const fby_event *)(const void *)(worker->events + (size_t)i * SLOT);
}

/* ---- memory ---- */

/* The longest batch: a claim gives a text even where it is more than the budget, and after a sleep
 * a worker claims twice. */
static uint32_t budget_of(const fby_crew *crew)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < crew->served_count; i++)
        if (crew->served[i].info.max_tokens > longest)
            longest = crew->served[i].info.max_tokens;
    return crew->batch_tokens + longest;
}

static void *piece(unsigned char *block, size_t *used, size_t bytes)
{
    void *at = block != NULL ? block + *used : NULL;
    *used += fby_align_up(bytes, FBY_CACHELINE);
    return at;
}

static size_t lay_out(fby_worker *worker, unsigned char *block)
{
    const fby_crew *crew = worker->crew;
    uint32_t budget = worker->budget;
    size_t scratch = 0, dim = 0, used = 0;
    for (uint32_t i = 0; i < crew->served_count; i++) {
        scratch = fby_max_size(scratch, fby_encoder_scratch(crew->served[i].encoder, budget));
        dim = fby_max_size(dim, crew->served[i].info.dim);
    }
    worker->warm = piece(block, &used, dim * sizeof *worker->warm);
    worker->events = piece(block, &used, (size_t)BATCH_EVENTS * SLOT);
    worker->chosen = piece(block, &used, BATCH_EVENTS * sizeof *worker->chosen);
    worker->ids = piece(block, &used, budget * sizeof *worker->ids);
    worker->starts = piece(block, &used, (BATCH_EVENTS + 1) * sizeof *worker->starts);
    worker->vectors = piece(block, &used, BATCH_EVENTS * sizeof *worker->vectors);
    worker->scratch = piece(block, &used, scratch);
    return used;
}

size_t fby_crew_worker_bytes(const fby_crew *crew)
{
    fby_worker worker = {.crew = (fby_crew *)(uintptr_t)crew, .budget = budget_of(crew)};
    return lay_out(&worker, NULL);
}

/* ---- telling what is done ---- */

static void complete(const fby_crew *crew, const fby_event *event, fby_status status,
                     uint64_t claimed_ns, uint64_t done_ns)
{
    fby_disruptor *completions = crew->inboxes[event->agent].completions;
    uint64_t sequence = 0;
    /* An agent has no more events under way than this ring has slots. */
    fby_status room = fby_disruptor_claim(completions, 1, &sequence);
    fby_assert(room == FBY_OK);
    *(fby_completion *)fby_disruptor_event(completions, sequence) = (fby_completion){
        .exchange = event->exchange,
        .text = event->text,
        .texts = event->texts,
        .tokens = event->tokens,
        .status = (int16_t)status,
        .kind = event->kind,
        .lane = event->lane,
        .queued_ns = claimed_ns > event->published_ns ? claimed_ns - event->published_ns : 0,
        .compute_ns = done_ns - claimed_ns,
    };
    fby_disruptor_publish(completions, sequence, 1);
}

/* ---- running ---- */

static bool dropped(const fby_event *event)
{
    return atomic_load_explicit(&event->exchange->cancelled, memory_order_relaxed);
}

static void count(fby_worker_metrics *metrics, uint32_t texts, uint32_t tokens, uint32_t members,
                  fby_status status)
{
    bool cancelled = status == FBY_ECANCELED;
    fby_counter_add(&metrics->batches, 1);
    fby_counter_add(members > 1 ? &metrics->team_batches : &metrics->lone_batches, 1);
    fby_counter_add(&metrics->texts, texts);
    fby_counter_add(&metrics->tokens, tokens);
    fby_counter_add(&metrics->cancelled_texts, cancelled ? texts : 0);
    fby_counter_add(&metrics->failures, status != FBY_OK && !cancelled ? texts : 0);
    fby_size_observe(&metrics->batch_texts, texts);
    fby_size_observe(&metrics->batch_tokens, tokens);
}

static void run_rows(fby_worker *worker, const fby_event *event, uint64_t claimed_ns)
{
    fby_crew *crew = worker->crew;
    fby_status status =
        fby_encoder_run_rows(crew->served[event->served].encoder, event->ids, event->tokens,
                             worker->scratch, event->out, &event->exchange->cancelled);
    count(worker->metrics, 1, event->tokens, 1, status);
    complete(crew, event, status, claimed_ns, fby_now_ns());
}

static void run_tokenize(fby_worker *worker, const fby_event *event, uint64_t claimed_ns)
{
    fby_status status = FBY_OK;
    for (uint32_t i = 0; i < event->texts && status == FBY_OK && !dropped(event); i++)
        status = fby_exchange_tokenize(event->exchange, event->text + i);
    complete(worker->crew, event, status, claimed_ns, fby_now_ns());
}

/* The `chosen` events, all of one model, as one batch. */
static void run_batch(fby_worker *worker, uint32_t chosen, uint64_t claimed_ns)
{
    fby_crew *crew = worker->crew;
    const fby_encoder *encoder = crew->served[worker->chosen[0]->served].encoder;

    worker->starts[0] = 0;
    for (uint32_t i = 0; i < chosen; i++) {
        const fby_event *event = worker->chosen[i];
        fby_assert(event->tokens <= worker->budget - worker->starts[i]);
        memcpy(worker->ids + worker->starts[i], event->ids, event->tokens * sizeof(uint32_t));
        worker->starts[i + 1] = worker->starts[i] + event->tokens;
        worker->vectors[i] = event->out;
    }
    const fby_event *first = worker->chosen[0];
    const fby_batch batch = {encoder, worker->ids, worker->starts, chosen, worker->scratch};
    const fby_team_run run = {
        .model = first->served,
        .tokens = worker->starts[chosen],
        .alone = first->lane == FBY_LANE_LONG,
        .vectors = worker->vectors,
        /* Between layers a batch of several texts stops for none of them. */
        .cancel = chosen == 1 ? &first->exchange->cancelled : NULL,
    };
    uint32_t members = 1;
    fby_status status = fby_teams_run(&crew->teams, &worker->gathering, &batch, &run, &members);
    uint64_t done_ns = fby_now_ns();
    count(worker->metrics, chosen, run.tokens, members, status);
    for (uint32_t i = 0; i < chosen; i++) {
        const fby_event *event = worker->chosen[i];
        if (event->lane == FBY_LANE_MAIN && status == FBY_OK)
            fby_teams_answered(&crew->teams, event->served, done_ns - event->exchange->admitted_ns);
        complete(crew, event, status, claimed_ns, done_ns);
    }
}

/* Texts of model `served` among the claimed `count`, one batch. */
static void run_model(fby_worker *worker, uint32_t served, uint32_t count, uint64_t claimed_ns)
{
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < count; i++) {
        const fby_event *event = event_at(worker, i);
        if (event->kind != FBY_EVENT_EMBED || event->served != served)
            continue;
        if (dropped(event)) {
            fby_counter_add(&worker->metrics->cancelled_texts, 1);
            complete(worker->crew, event, FBY_ECANCELED, claimed_ns, claimed_ns);
            continue;
        }
        worker->chosen[chosen++] = event;
    }
    if (chosen > 0)
        run_batch(worker, chosen, claimed_ns);
}

/* Wakes each agent that has an event of `kind` among the claimed `count`. */
static void tell_agents(fby_worker *worker, fby_event_kind kind, uint32_t count)
{
    uint64_t agents = 0; /* a bit an agent: settings.def allows 64 */
    for (uint32_t i = 0; i < count; i++)
        agents |= (uint64_t)(event_at(worker, i)->kind == kind) << event_at(worker, i)->agent;
    for (; agents != 0; agents &= agents - 1)
        fby_bell_ring(worker->crew->inboxes[__builtin_ctzll(agents)].bell);
}

/* ---- what was claimed ---- */

static void begin_work(fby_worker *worker)
{
    fby_counter_add(&worker->metrics->busy, 1);
}

static void end_work(fby_worker *worker, uint64_t began_ns)
{
    fby_counter_add(&worker->metrics->busy_ns, fby_now_ns() - began_ns);
    fby_counter_add(&worker->metrics->busy, (uint64_t)-1);
}

/* The first `count` events: batches by model, then what is computed one by one. */
static void run_claimed(fby_worker *worker, uint32_t count)
{
    fby_crew *crew = worker->crew;
    uint64_t claimed_ns = fby_now_ns();

    begin_work(worker);
    for (uint32_t i = 0; i < crew->served_count; i++)
        run_model(worker, i, count, claimed_ns);
    tell_agents(worker, FBY_EVENT_EMBED, count);
    for (uint32_t i = 0; i < count; i++) {
        const fby_event *event = event_at(worker, i);
        if (event->kind == FBY_EVENT_ROWS)
            run_rows(worker, event, claimed_ns);
        else if (event->kind == FBY_EVENT_TOKENIZE)
            run_tokenize(worker, event, claimed_ns);
    }
    tell_agents(worker, FBY_EVENT_ROWS, count);
    tell_agents(worker, FBY_EVENT_TOKENIZE, count);
    end_work(worker, claimed_ns);
    fby_teams_time(&crew->teams);
}

/* A part of another's batch. */
static void help(fby_worker *worker, const fby_seat *seat)
{
    uint64_t began_ns = fby_now_ns();
    begin_work(worker);
    fby_teams_help(&worker->crew->teams, seat, worker->scratch);
    fby_counter_add(&worker->metrics->helped, 1);
    end_work(worker, began_ns);
}

/* If one wants members. */
static bool serve_team(fby_worker *worker)
{
    fby_seat seat;
    bool joined = fby_teams_join(&worker->crew->teams, &seat);
    if (joined)
        help(worker, &seat);
    return joined;
}

/* ---- lanes ---- */

/* How many may be at long texts. */
static uint32_t long_most(const fby_crew *crew)
{
    uint32_t allowed = fby_teams_allowed(&crew->teams);
    return allowed > 1 ? allowed - 1 : 1;
}

static bool become_long(fby_crew *crew)
{
    uint32_t running = atomic_load_explicit(&crew->long_running, memory_order_relaxed);
    for (;;) {
        bool room = running < long_most(crew);
        /* L1, with L2 and L1 of others: where there is no room the same number is put back, so that
         * who gives the role up later knows of the text that brought this worker here. */
        if (atomic_compare_exchange_weak_explicit(&crew->long_running, &running, running + room,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return room;
    }
}

static bool long_waits(fby_crew *crew)
{
    return atomic_load_explicit(&crew->long_waiting, memory_order_relaxed) > 0;
}

static uint32_t claim(fby_worker *worker, fby_lane lane, uint64_t budget)
{
    return fby_group_claim(worker->crew->groups[lane], budget, worker->events, BATCH_EVENTS);
}

/* This worker's part of what waits in the main lane, so that one does not take all of it while
 * another becomes free. */
static uint64_t share_of_main(const fby_crew *crew)
{
    int64_t waiting = atomic_load_explicit(&crew->waiting_tokens, memory_order_relaxed);
    uint64_t workers = fby_teams_allowed(&crew->teams);
    uint64_t share = waiting > 0 ? ((uint64_t)waiting + workers - 1) / workers : 0;
    share = fby_max_size(share, SHARE_MIN);
    return fby_min_size(share, fby_teams_tokens(&crew->teams));
}

static uint64_t tokens_of(const fby_worker *worker, uint32_t count)
{
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < count; i++)
        tokens += event_at(worker, i)->tokens;
    return tokens;
}

/* What was claimed from the main lane, and after a sleep the rest of this worker's share. */
static void run_main(fby_worker *worker, uint32_t count)
{
    fby_crew *crew = worker->crew;
    uint64_t tokens = tokens_of(worker, count), share = share_of_main(crew);
    if (tokens < share && count < BATCH_EVENTS)
        count += fby_group_claim(crew->groups[FBY_LANE_MAIN], share - tokens,
                                 worker->events + (size_t)count * SLOT, BATCH_EVENTS - count);
    atomic_fetch_sub_explicit(&crew->waiting_tokens, (int64_t)tokens_of(worker, count),
                              memory_order_relaxed);
    run_claimed(worker, count);
}

static bool serve_main(fby_worker *worker)
{
    uint32_t count = claim(worker, FBY_LANE_MAIN, share_of_main(worker->crew));
    if (count > 0)
        run_main(worker, count);
    return count > 0;
}

/* Half a batch: as soon as it is done a text in the main lane has its turn, and half the rows read
 * the weights nearly as seldom. */
static bool serve_bulk(fby_worker *worker)
{
    const fby_teams *teams = &worker->crew->teams;
    uint32_t count = claim(worker, FBY_LANE_BULK, fby_teams_tokens(teams) / 2);
    if (count > 0)
        run_claimed(worker, count);
    return count > 0;
}

/* A long worker has done a text: whether it stays one. */
static bool stays_long(fby_worker *worker)
{
    fby_crew *crew = worker->crew;
    if (crew->threads == 1) {
        serve_main(worker);
        serve_bulk(worker);
    }
    return atomic_load_explicit(&crew->long_running, memory_order_relaxed) <= long_most(crew);
}

/* See worker.h. The events of the main lane that brought this worker here have been run. */
static bool serve_long(fby_worker *worker)
{
    fby_crew *crew = worker->crew;
    bool worked = false;

    while (long_waits(crew) && become_long(crew)) {
        bool stays = true;
        fby_teams_apart(&crew->teams, true);
        while (stays && fby_group_claim(crew->groups[FBY_LANE_LONG], 1, worker->events, 1) == 1) {
            atomic_fetch_sub_explicit(&crew->long_waiting, 1, memory_order_relaxed);
            run_claimed(worker, 1);
            worked = true;
            stays = stays_long(worker);
        }
        fby_teams_apart(&crew->teams, false);
        /* L2, with L1. */
        atomic_fetch_sub_explicit(&crew->long_running, 1, memory_order_acq_rel);
    }
    return worked;
}

/* A full batch of each model, in texts as long as it takes them, so that no request is the first to
 * touch weights and scratch. */
static void warm(fby_worker *worker)
{
    fby_crew *crew = worker->crew;

    for (uint32_t i = 0; i < crew->served_count; i++) {
        const fby_served *served = &crew->served[i];
        uint32_t budget = worker->budget, texts = 0, used = 0;
        memset(worker->ids, 0, budget * sizeof *worker->ids);
        for (; used < budget && texts < BATCH_EVENTS; texts++) {
            worker->starts[texts] = used;
            worker->vectors[texts] = worker->warm;
            used += fby_min_u32(budget - used, served->info.max_tokens);
        }
        worker->starts[texts] = used;
        fby_status status = fby_encoder_run(served->encoder, worker->ids, worker->starts, texts,
                                            worker->scratch, worker->vectors, NULL);
        fby_counter_add(&worker->metrics->failures, status != FBY_OK);
    }
    /* Nothing is read through the count. */
    atomic_fetch_add_explicit(&crew->warm, 1, memory_order_relaxed);
}

/* Until there is something in the main lane or to look at elsewhere; false at the end. */
static bool wait_for_work(fby_worker *worker)
{
    fby_crew *crew = worker->crew;

    fby_teams_idle(&crew->teams, true);
    uint32_t count = fby_group_wait(crew->groups[FBY_LANE_MAIN], SHARE_MIN, worker->events,
                                    BATCH_EVENTS, UINT64_MAX);
    fby_seat seat;
    bool joined = count == 0 && fby_teams_join(&crew->teams, &seat);
    fby_teams_idle(&crew->teams, false);
    if (joined)
        help(worker, &seat);
    if (count > 0)
        run_main(worker, count);
    return count > 0 || joined || !fby_disruptor_is_alerted(crew->lanes[FBY_LANE_MAIN]);
}

/* A look into every lane; whether there was anything. */
static bool serve_all(fby_worker *worker)
{
    bool worked = serve_main(worker);
    worked |= serve_bulk(worker);
    worked |= serve_long(worker);
    return worked | serve_team(worker);
}

static void *work(void *arg)
{
    fby_worker *worker = arg;
    fby_crew *crew = worker->crew;
    const uint32_t index = (uint32_t)(worker - crew->workers);

    warm(worker);
    for (bool more = true; more;) {
        bool worked = serve_all(worker);
        if (fby_teams_is_above(&crew->teams, index) && fby_teams_park(&crew->teams, index))
            continue;
        if (!worked)
            more = wait_for_work(worker);
    }
    while (serve_all(worker)) /* what a last nudge was for */
        continue;
    return NULL;
}

/* ---- start and end ---- */

static fby_status make_lane(const fby_crew *crew, uint32_t slots, fby_disruptor **lane,
                            fby_group **group)
{
    fby_disruptor_options options = FBY_DISRUPTOR_OPTIONS_INIT;
    options.slot_bytes = SLOT;
    options.capacity = slots;
    options.producers = crew->many_agents ? FBY_DISRUPTOR_MULTI : FBY_DISRUPTOR_SINGLE;
    options.wait = crew->wait;
    fby_status status = fby_disruptor_create(&options, lane);
    return status == FBY_OK ? fby_disruptor_add_group(*lane, group) : status;
}

static fby_status start_worker(fby_crew *crew, fby_worker *worker, fby_worker_metrics *metrics)
{
    worker->crew = crew;
    worker->metrics = metrics;
    worker->budget = budget_of(crew);
    fby_gather_init(&worker->gathering);
    fby_heap_place place;
    fby_status status = fby_heap_acquire(crew->heap_pool, lay_out(worker, NULL), FBY_HEAP_ALIGN_MAX,
                                         "worker", &worker->memory, &place);
    if (status != FBY_OK)
        return status;
    lay_out(worker, place.address);
    int failed = pthread_create(&worker->thread, NULL, work, worker);
    if (failed != 0) {
        fby_heap_release(crew->heap_pool, worker->memory);
        return fby_error_errno(FBY_ENOMEM, failed, "starting worker %u", crew->started + 1);
    }
    return FBY_OK;
}

fby_status fby_crew_start(fby_crew *crew)
{
    atomic_init(&crew->long_running, 0);
    atomic_init(&crew->long_waiting, 0);
    atomic_init(&crew->waiting_tokens, 0);
    atomic_init(&crew->warm, 0);
    crew->workers = aligned_alloc(FBY_CACHELINE, crew->threads * sizeof *crew->workers);
    crew->metrics = aligned_alloc(FBY_CACHELINE, crew->threads * sizeof *crew->metrics);
    if (crew->workers == NULL || crew->metrics == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u workers", crew->threads);
    memset(crew->workers, 0, crew->threads * sizeof *crew->workers);
    memset(crew->metrics, 0, crew->threads * sizeof *crew->metrics);

    const uint32_t slots[FBY_LANES] = {crew->lane_slots, crew->lane_slots, crew->long_slots};
    fby_status status = FBY_OK;
    for (int i = 0; status == FBY_OK && i < FBY_LANES; i++)
        status = make_lane(crew, slots[i], &crew->lanes[i], &crew->groups[i]);
    if (status == FBY_OK)
        status = fby_teams_init(&crew->teams, &crew->tuner, crew->costs, crew->served_count,
                                crew->threads, crew->batch_tokens);
    crew->teams.waiting = crew->groups[FBY_LANE_MAIN];
    for (; status == FBY_OK && crew->started < crew->threads; crew->started += status == FBY_OK)
        status = start_worker(crew, &crew->workers[crew->started], &crew->metrics[crew->started]);
    return status;
}

void fby_crew_stop(fby_crew *crew)
{
    if (crew->lanes[FBY_LANE_MAIN] != NULL)
        fby_disruptor_alert(crew->lanes[FBY_LANE_MAIN]);
    if (crew->started > 0)
        fby_teams_end(&crew->teams);
    for (uint32_t i = 0; i < crew->started; i++) {
        pthread_join(crew->workers[i].thread, NULL);
        fby_heap_release(crew->heap_pool, crew->workers[i].memory);
    }
    for (int i = 0; i < FBY_LANES; i++) {
        fby_disruptor_destroy(crew->lanes[i]);
        crew->lanes[i] = NULL;
    }
    fby_teams_destroy(&crew->teams);
    free(crew->workers);
    free(crew->metrics);
    crew->workers = NULL;
    crew->metrics = NULL;
    crew->started = 0;
}
