/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/base/team.h and how a team of src/model/bert_team.c stops: members meet,
 * the early sleep on `step`; member 0 reads a request to stop once a layer,
 * before the first of the layer's two meetings, and all obey after it. Somebody
 * asks at any time; somebody may break the team at any time.
 *
 * A run that ends with a member asleep is an invalid end state; so is one in
 * which a member waits for others that have stopped.
 *
 * BROKEN: member 0 reads the request after the meeting, when the others may
 * have passed it.
 */
#define MEMBERS 3
#define LAYERS  2

byte arrived, step, sleepers;
byte wakes; /* futex wake calls so far: a sleeper sleeps until there is another */
bool broken, request, stop;

inline meet(ok)
{
    atomic { was = step; gone = broken };
    if
    :: gone -> ok = false
    :: else ->
        atomic { arrived++; last = (arrived == MEMBERS) };
        if
        :: last ->
            arrived = 0;
            atomic { step++; ok = !broken };
            atomic { /* reading the count and waking whom it counts that sleeps */
                if
                :: sleepers > 0 -> wakes++
                :: else
                fi
            }
        :: else ->
            if
            :: (step != was || broken) /* while spinning */
            :: sleepers++;
                do
                :: atomic { (step == was && !broken) -> seen = wakes }; wakes != seen
                :: (step != was || broken) -> break
                od;
                sleepers--
            fi;
            ok = !broken
        fi
    fi
}

proctype member(byte me)
{
    byte was, i, seen;
    bool last, gone, ok;

    for (i : 1 .. LAYERS) {
#ifndef BROKEN
        if
        :: me == 0 && request -> stop = true
        :: else
        fi;
#endif
        meet(ok);
#ifdef BROKEN
        if
        :: me == 0 && request -> stop = true
        :: else
        fi;
#endif
        if
        :: !ok || stop -> goto out
        :: else
        fi;
        meet(ok);
        if
        :: !ok -> goto out
        :: else
        fi
    }
    meet(ok);
out:
    skip
}

active proctype asks()
{
    request = true
}

active proctype breaks()
{
    if
    :: atomic { broken = true };
        atomic {
            if
            :: sleepers > 0 -> wakes++
            :: else
            fi
        }
    :: skip
    fi
}

init
{
    atomic {
        run member(0);
        run member(1);
        run member(2)
    }
}
