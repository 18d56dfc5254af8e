/* SPDX-License-Identifier: Apache-2.0 */
/* How the system shares processors among threads. */
#ifndef FBY_BASE_SCHEDULING_H
#define FBY_BASE_SCHEDULING_H

#include <sched.h>
#include <stdbool.h>

/*
 * Asks for short turns of the calling thread: one that mostly sleeps then goes before those that
 * compute as soon as it wakes, and takes no more of the processor than before. Linux 6.12 and later
 * (EEVDF's slice, sched(7)); elsewhere false, and nothing has changed.
 */
bool fby_sched_short_turns(void);

/*
 * Moves the calling thread to a processor that it may use and that is not one of `busy`; it may use
 * the same ones as before. False, and nothing has changed, where there is no such processor. Three
 * system calls; an affinity that another thread gives this one meanwhile is lost.
 */
bool fby_sched_leave(const cpu_set_t *busy);

#endif
