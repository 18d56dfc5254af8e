/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/serve/lanes.h: no batch is left behind in the bulk lane. Two agents put two
 * each there, and see to it that somebody looks: by a LOOK in the main lane, unless
 * as many are on their way as there may be, here one. A LOOK may find no slot,
 * here once; the agent then owes it. Two workers take what is in the main lane,
 * then a batch from the bulk lane, and sleep in the main lane when they found
 * neither. A LOOK may bring a worker that finds nothing, for another one looked
 * before it slept. When nothing moves any more the lane is empty.
 *
 * BROKEN: somebody is to look before the batch is there.
 */
#define BATCHES 2
#define AGENTS  2
#define WORKERS 2
#define MOST    1

byte bulk;
byte in_main; /* LOOKs that can be taken out */
byte looks;   /* LOOKs on their way, as the agents and workers count them */
byte faults = 1;

inline look()
{
    do
    :: atomic { needed = looks < MOST; looks = looks + needed };
       if
       :: !needed -> break
       :: needed -> in_main++; break
       :: needed && faults > 0 -> faults--; looks-- /* owed: once more */
       fi
    od
}

active [AGENTS] proctype agent()
{
    bool needed;
    byte i;
    for (i : 1 .. BATCHES) {
#ifdef BROKEN
        look();
        bulk++
#else
        bulk++;
        look()
#endif
    }
}

active [WORKERS] proctype worker()
{
    bool worked, took;

    do
    :: worked = false;
       atomic { if :: in_main > 0 -> in_main--; took = true :: else -> took = false fi };
       if
       :: took -> looks--; worked = true
       :: else
       fi;
       atomic { if :: bulk > 0 -> bulk--; worked = true :: else fi };
       if
       :: worked
       :: else ->
end:        atomic { in_main > 0 -> in_main-- }; /* asleep until then */
            looks--
       fi
    od
}

active proctype end_of_all()
{
    timeout;
    assert(bulk == 0)
}
