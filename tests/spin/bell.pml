/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/serve/bell.h: an agent that sleeps in epoll_wait() is woken. Two workers
 * each make two things visible; a run that ends with one not taken, the agent
 * asleep, is an invalid end state.
 *
 * Replacing the flag is one step on both sides, which orders what stands before
 * and after it as the lines stand here.
 *
 * BROKEN: the agent looks for the last time before it says that it sleeps.
 */
#define WORKERS 2
#define EACH    2
#define ALL     (WORKERS * EACH)

byte visible, taken;
bool asleep, rung; /* rung: the eventfd is readable */

#define TAKE atomic { taken = visible }

active proctype agent()
{
    bool was, nothing;

    do
    :: taken == ALL -> break
    :: else ->
        TAKE;
#ifdef BROKEN
        nothing = taken == visible;
        asleep = true;
#else
        asleep = true;
        nothing = taken == visible;
#endif
        if
        :: nothing && taken < ALL -> rung /* epoll_wait */
        :: else
        fi;
        atomic { was = asleep; asleep = false };
        if
        :: !was -> rung = false
        :: else
        fi
    od
}

active [WORKERS] proctype worker()
{
    bool was;
    byte i;

    for (i : 1 .. EACH) {
        visible++;
        atomic { was = asleep; asleep = false };
        if
        :: was -> rung = true
        :: else
        fi
    }
}
