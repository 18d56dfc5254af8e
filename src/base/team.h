/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that work through the same steps together and meet between them.
 *
 *     init --> form --> { a member's part of a step --> meet } ... --> last meet --> form ...
 *                                                        |
 *              mend, when all have left <-- break (anyone): false for all, at this meeting or
 *                                           the next
 *
 * Who arrives early spins for some tens of microseconds and then sleeps; the
 * last to arrive wakes the sleepers. What a member wrote before a meeting, every
 * member sees after it.
 *
 * Why no wake-up is lost: a sleeper counts itself before the kernel compares
 * `step`, the last to arrive changes `step` before it reads the count (both as
 * atomic read-modify-writes, so one of the two sees the other).
 * tests/spin/team.pml is this as a model.
 *
 * Threads: form by one thread, when all members have come to the last meeting
 * (they may still be on their way out of it); meet by the members; break by any
 * thread, any number of times; init and mend while nobody else uses the team.
 */
#ifndef FBY_BASE_TEAM_H
#define FBY_BASE_TEAM_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/platform.h"

typedef struct fby_team {
    uint32_t size; /* members, at least 1 */
    /* Each on a line of its own: arrivals are written by all, `step` is what the early spin on. */
    alignas(FBY_CACHELINE) _Atomic uint32_t arrived;
    alignas(FBY_CACHELINE) _Atomic uint32_t step; /* meetings held, and whether broken */
    _Atomic uint32_t sleepers;
} fby_team;

void fby_team_init(fby_team *team);
void fby_team_form(fby_team *team, uint32_t size);

/* Returns when all members have come; false if the team is broken. */
bool fby_team_meet(fby_team *team);

/* Nobody waits for anybody any more. */
void fby_team_break(fby_team *team);
bool fby_team_broken(fby_team *team);
void fby_team_mend(fby_team *team);

#endif
