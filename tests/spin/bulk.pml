/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/serve/lanes.h, src/serve/teams.h: no batch is left behind in the bulk lane.
 * Two agents put two each there, a nudge after each; of nudges no more than one
 * stands over. Two workers take a batch from the bulk lane and wait in the main
 * lane, for a nudge, when they found none. The number of workers that may work
 * falls to one and, perhaps, rises again: the second one then parks, which hands on what
 * it was woken for. When nothing moves any more the lane is empty.
 *
 * BROKEN: the nudge comes before the batch is there.
 * BROKEN_PARK: who parks does not hand on.
 */
#define BATCHES 2
#define AGENTS  2
#define WORKERS 2
#define MOST    1

byte bulk;
byte nudges;
byte allowed = WORKERS;

/* Replaced also where it stays as it is: who takes one out sees what was put before. */
#define NUDGE atomic { nudges = (nudges < MOST -> nudges + 1 : MOST) }

active [AGENTS] proctype agent()
{
    byte i;
    for (i : 1 .. BATCHES) {
#ifdef BROKEN
        NUDGE;
        bulk++
#else
        bulk++;
        NUDGE
#endif
    }
}

active proctype controller()
{
    allowed = 1;
    if
    :: allowed = WORKERS
    :: true
    fi
}

proctype worker(byte self)
{
    bool worked;

end:
    do
    :: atomic { if :: bulk > 0 -> bulk--; worked = true :: else -> worked = false fi };
       if
       :: self >= allowed ->
#ifndef BROKEN_PARK
          NUDGE;
#endif
endparked: self < allowed
       :: else ->
          if
          :: worked
          :: else ->
endasleep:   atomic { nudges > 0 -> nudges-- }
          fi
       fi
    od
}

init
{
    atomic { run worker(0); run worker(1) }
}

active proctype end_of_all()
{
    timeout;
    assert(bulk == 0)
}
