/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/pipeline/waiting.c: a thread that sleeps is woken. Two sleepers take three
 * events from one waker; a run that ends with an event there and its sleeper
 * asleep is an invalid end state.
 *
 * Every access is one step in one order. That is what the additions to `sleepers`
 * give: they have an order, and what was stored before one is seen after the next.
 *
 * BROKEN: the last check comes before the sleeper counts itself.
 */
#define EVENTS 3

byte stored, taken;
byte sleepers, epoch;

/* The kernel's part: sleeps only if `epoch` is as expected; a wake lets all go on. */
#define SLEEP_UNLESS_CHANGED(expected) \
    if \
    :: epoch != expected -> skip \
    :: atomic { epoch == expected -> asleep[self] = true; } \
       !asleep[self] \
    fi

bool asleep[2];

#define TRY_TAKE(got) atomic { got = (taken < stored); if :: got -> taken++ :: else fi }

proctype sleeper(byte self)
{
    byte expected;
    bool got;

    do
    :: taken == EVENTS -> break
    :: else ->
        TRY_TAKE(got);
        if
        :: got -> goto next
        :: else
        fi;
        expected = epoch;
#ifdef BROKEN
        TRY_TAKE(got);
        sleepers++;
#else
        sleepers++;
        TRY_TAKE(got);
#endif
        do
        :: got || taken == EVENTS -> break
        :: else ->
            SLEEP_UNLESS_CHANGED(expected);
            expected = epoch;
            TRY_TAKE(got)
        od;
        sleepers--;
next:   skip
    od
}

proctype waker()
{
    byte i;
    for (i : 1 .. EVENTS + 1) {
        /* The last turn is the alert that ends a wait. */
        if
        :: i <= EVENTS -> stored++
        :: else -> taken == EVENTS
        fi;
        if
        :: sleepers == 0 -> skip
        :: else ->
            epoch++;
            d_step { asleep[0] = false; asleep[1] = false }
        fi
    }
}

init
{
    atomic { run sleeper(0); run sleeper(1); run waker() }
}
