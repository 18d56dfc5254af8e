/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/base/team.h and how a team of src/model/bert_team.c stops: members meet,
 * the early sleep on `step`; member 0 reads a request to stop once a layer,
 * before the first of the layer's two meetings, and all obey after it. Somebody
 * asks at any time; the watch may break the team while it runs.
 *
 * Then the leader's next batch, with members of its own, while those of the first
 * may still be on their way out: whoever works, works on its own batch.
 *
 * A run that ends with a member asleep is an invalid end state; so is one in
 * which a member waits for others that have stopped.
 *
 * BROKEN 1: member 0 reads the request after the meeting, when the others may
 * have passed it.
 * BROKEN 2: the word to stop is taken back before the next batch, not numbered.
 */
#ifndef BROKEN
#define BROKEN 0
#endif

#define LAYERS 2
/* Three members and one batch, or two of each: team_again.pml. */
#ifndef BATCHES
#define MEMBERS 3
#define BATCHES 1
#endif

#if BROKEN == 2
#define STOPPED(mine) (stopped != 0)
#else
#define STOPPED(mine) (stopped >= mine)
#endif

byte arrived, step, sleepers;
byte wakes; /* futex wake calls so far: a sleeper sleeps until there is another */
bool broken, request, running;
byte batch, stopped;

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

inline look(me, mine)
{
    if
    :: me == 0 && request -> stopped = mine
    :: else
    fi
}

inline compute(me, mine)
{
    for (i : 1 .. LAYERS) {
#if BROKEN != 1
        look(me, mine);
#endif
        meet(ok);
#if BROKEN == 1
        look(me, mine);
#endif
        if
        :: !ok || STOPPED(mine) -> goto out
        :: else
        fi;
        assert(batch == mine);
        meet(ok);
        if
        :: !ok -> goto out
        :: else
        fi
    }
    meet(ok)
}

proctype member(byte me, mine)
{
    byte was, i, seen;
    bool last, gone, ok;

    compute(me, mine);
out:
    skip
}

proctype leader(byte mine)
{
    byte was, i, seen;
    bool last, gone, ok;

    atomic {
        batch = mine;
        running = true;
        request = false;
#if BROKEN == 2
        stopped = 0;
#endif
        run member(1, mine);
#if MEMBERS == 3
        run member(2, mine)
#endif
    }
    compute(0, mine);
out:
    atomic {
        running = false;
        if
        :: !broken && mine < BATCHES -> run leader(mine + 1)
        :: else
        fi
    }
}

active proctype asks()
{
    request = true
}

active proctype breaks()
{
    if
    :: atomic { running -> broken = true };
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
    run leader(1)
}
