/* SPDX-License-Identifier: Apache-2.0 */
/* A batch by a team: the bits of one thread, for every table; how all members end together. */
#include <pthread.h>

#include "model/packed_model.h"

enum { MEMBERS = 5, TEXTS = 9, POSITIONS = 70, HIDDEN = 48 };

/* What the members of one run share, and one member's part of it. */
typedef struct shared {
    packed *p;
    fby_team team;
    _Atomic uint64_t stopped;
    atomic_bool cancel;
    const uint32_t *ids, *starts;
    uint32_t texts;
    int absent; /* the member that never comes; -1: none */
} shared;

typedef struct member {
    shared *run;
    uint32_t index;
    void *own;
    pthread_t thread;
    fby_status status;
    const float *hidden;
} member;

static void *take_part(void *argument)
{
    member *m = argument;
    shared *run = m->run;
    const fby_bert_member part = {&run->team, m->index, m->own, &run->stopped, 1};
    if ((int)m->index == run->absent)
        return NULL;
    m->status = fby_bert_run_team(&run->p->bert, run->ids, run->starts, run->texts, run->p->scratch,
                                  &part, &run->cancel, &m->hidden);
    return NULL;
}

static void begin(shared *run, member *members, uint32_t size)
{
    fby_team_init(&run->team);
    fby_team_form(&run->team, size);
    atomic_init(&run->stopped, 0);
    for (uint32_t i = 0; i < size; i++) {
        members[i].run = run;
        members[i].index = i;
        members[i].own =
            i == 0 ? run->p->scratch : aligned_alloc(FBY_CACHELINE, run->p->scratch_size);
        assert_non_null(members[i].own);
        memset(members[i].own, 0xff, run->p->scratch_size); /* NaN: nothing is read unwritten */
    }
    for (uint32_t i = 0; i < size; i++)
        assert_int_equal(pthread_create(&members[i].thread, NULL, take_part, &members[i]), 0);
}

static void end(member *members, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        pthread_join(members[i].thread, NULL);
        if (i != 0)
            free(members[i].own);
    }
}

static tiny_model made(fby_rng *rng)
{
    tiny_model model = {.vocabulary = 300,
                        .hidden = HIDDEN,
                        .layers = 3,
                        .heads = 4,
                        .intermediate = 200,
                        .positions = POSITIONS,
                        .activation = "gelu"};
    tiny_fill(&model, rng);
    return model;
}

static void random_batch(fby_rng *rng, uint32_t longest, uint32_t *starts, uint32_t *texts)
{
    *texts = 1 + (uint32_t)fby_rng_below(rng, TEXTS);
    starts[0] = 0;
    for (uint32_t i = 0; i < *texts; i++)
        starts[i + 1] = starts[i] + 1 + (uint32_t)fby_rng_below(rng, longest);
}

static void a_team_gives_the_bits_of_one_thread(void **state)
{
    (void)state;
    enum { ROUNDS = 8 };
    fby_rng rng = fby_rng_from_env();
    static uint32_t ids[TEXTS * POSITIONS];
    static float alone[TEXTS * POSITIONS * HIDDEN];
    tiny_model model = made(&rng);
    fill_ids(&rng, &model, ids, TEXTS * POSITIONS);
    for (int each = 0; each < (FBY_PRECISION_INT8 + 1) * FBY_ISA_COUNT; each++) {
        fby_precision precision = (fby_precision)(each / FBY_ISA_COUNT);
        fby_isa isa = (fby_isa)(each % FBY_ISA_COUNT);
        if (!is_own(precision, isa))
            continue;
        packed p;
        pack_at(&p, &model, isa, precision, TEXTS * POSITIONS);
        for (int round = 0; round < ROUNDS; round++) {
            uint32_t starts[TEXTS + 1], texts, size = 2 + (uint32_t)fby_rng_below(&rng, 4);
            random_batch(&rng, round % 2 ? POSITIONS : 3, starts, &texts); /* rows, columns */
            const float *hidden;
            assert_int_equal(fby_bert_run(&p.bert, ids, starts, texts, p.scratch, NULL, &hidden),
                             FBY_OK);
            for (uint32_t row = 0; row < starts[texts]; row++)
                memcpy(alone + row * HIDDEN, hidden + row * p.weights.ld_hidden,
                       HIDDEN * sizeof(float));

            shared run = {.p = &p, .ids = ids, .starts = starts, .texts = texts, .absent = -1};
            atomic_init(&run.cancel, false);
            member members[MEMBERS];
            begin(&run, members, size);
            end(members, size);
            for (uint32_t i = 0; i < size; i++)
                assert_int_equal(members[i].status, FBY_OK);
            for (uint32_t row = 0; row < starts[texts]; row++)
                if (memcmp(members[0].hidden + row * p.weights.ld_hidden, alone + row * HIDDEN,
                           HIDDEN * sizeof(float)) != 0)
                    fail_msg("%s, %s, %u members, row %u of %u differs", fby_isa_name(isa),
                             fby_precision_name(precision), size, row, starts[texts]);
        }
        unpack(&p);
    }
    tiny_free(&model);
}

/* A run of 3 members on plain C, which a test then disturbs. */
typedef struct disturbed {
    tiny_model model;
    packed p;
    uint32_t ids[2 * POSITIONS], starts[3];
    shared run;
    member members[3];
} disturbed;

static void prepare(disturbed *d, int absent)
{
    fby_rng rng = fby_rng_from_env();
    d->model = made(&rng);
    fill_ids(&rng, &d->model, d->ids, 2 * POSITIONS);
    pack_at(&d->p, &d->model, FBY_ISA_C, FBY_PRECISION_F32, 2 * POSITIONS);
    d->starts[0] = 0;
    d->starts[1] = POSITIONS;
    d->starts[2] = 2 * POSITIONS;
    d->run = (shared){.p = &d->p, .ids = d->ids, .starts = d->starts, .texts = 2, .absent = absent};
    atomic_init(&d->run.cancel, false);
}

static void check_all_ended_with(disturbed *d, fby_status status)
{
    end(d->members, 3);
    for (int i = 0; i < 3; i++)
        if (i != d->run.absent)
            assert_int_equal(d->members[i].status, status);
    unpack(&d->p);
    tiny_free(&d->model);
}

static void a_request_to_stop_stops_every_member(void **state)
{
    (void)state;
    static disturbed d;
    prepare(&d, -1);
    atomic_store(&d.run.cancel, true);
    begin(&d.run, d.members, 3);
    check_all_ended_with(&d, FBY_ECANCELED);
}

static void who_waits_for_a_member_that_never_comes_is_let_go_by_a_break(void **state)
{
    (void)state;
    static disturbed d;
    prepare(&d, 1);
    begin(&d.run, d.members, 3);
    while (atomic_load(&d.run.team.arrived) != 2)
        sched_yield();
    fby_team_break(&d.run.team);
    check_all_ended_with(&d, FBY_ECANCELED);
}

static void an_id_outside_the_vocabulary_is_refused_by_all(void **state)
{
    (void)state;
    static disturbed d;
    prepare(&d, -1);
    d.ids[2 * POSITIONS - 1] = d.model.vocabulary;
    begin(&d.run, d.members, 3);
    check_all_ended_with(&d, FBY_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_team_gives_the_bits_of_one_thread),
        cmocka_unit_test(a_request_to_stop_stops_every_member),
        cmocka_unit_test(who_waits_for_a_member_that_never_comes_is_let_go_by_a_break),
        cmocka_unit_test(an_id_outside_the_vocabulary_is_refused_by_all),
    };
    return cmocka_run_group_tests_name("bert_team", tests, NULL, NULL);
}
