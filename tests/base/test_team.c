/* SPDX-License-Identifier: Apache-2.0 */
#include "base/team.h"

#include <pthread.h>
#include <unistd.h>

#include "test.h"

enum { MEMBERS = 4, MEETINGS = 3000 };

static fby_team team;
static uint64_t written[MEMBERS]; /* each by its member, read by all after a meeting */
static _Atomic uint64_t sum_of_returns;

/* Between two meetings everybody has written the same number. */
static void *meet_often(void *argument)
{
    const size_t index = (size_t)(uintptr_t)argument;
    fby_rng rng = {index};
    for (uint64_t i = 1; i <= MEETINGS; i++) {
        written[index] = i;
        if (fby_rng_below(&rng, 500) == 0)
            usleep(200); /* the others sleep */
        if (!fby_team_meet(&team))
            return (void *)1;
        for (int other = 0; other < MEMBERS; other++)
            if (written[other] != i)
                return (void *)2;
        if (!fby_team_meet(&team))
            return (void *)3;
    }
    return NULL;
}

static void members_see_what_all_wrote_before_a_meeting(void **state)
{
    (void)state;
    pthread_t threads[MEMBERS];
    fby_team_init(&team);
    fby_team_form(&team, MEMBERS);
    for (uintptr_t i = 0; i < MEMBERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, meet_often, (void *)i), 0);
    for (int i = 0; i < MEMBERS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

static void *meet_until_broken(void *argument)
{
    (void)argument;
    uint64_t meetings = 0;
    while (fby_team_meet(&team))
        meetings++;
    atomic_fetch_add(&sum_of_returns, 1);
    return NULL;
}

static void a_break_lets_everybody_go(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        pthread_t threads[MEMBERS - 1];
        fby_team_mend(&team);
        fby_team_form(&team, round % 2 ? MEMBERS : MEMBERS - 1); /* one never comes, or all do */
        atomic_store(&sum_of_returns, 0);
        for (int i = 0; i < MEMBERS - 1; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, meet_until_broken, NULL), 0);
        if (round % 4 == 1)
            usleep(2000); /* they sleep */
        fby_team_break(&team);
        for (int i = 0; i < MEMBERS - 1; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&sum_of_returns), MEMBERS - 1);
        assert_true(fby_team_broken(&team));
        assert_false(fby_team_meet(&team));
    }
}

static void one_member_waits_for_nobody(void **state)
{
    (void)state;
    fby_team_init(&team);
    fby_team_form(&team, 1);
    for (int i = 0; i < 3; i++)
        assert_true(fby_team_meet(&team));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_see_what_all_wrote_before_a_meeting),
        cmocka_unit_test(a_break_lets_everybody_go),
        cmocka_unit_test(one_member_waits_for_nobody),
    };
    return cmocka_run_group_tests_name("team", tests, NULL, NULL);
}
