/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How workers of src/engine wait and how teams come together (work.c, gather.c):
 * a worker looks at `posts` for a while before it sleeps; who posts counts those
 * who look as called, and signals sleepers for the rest; a leader opens a team,
 * closes it under the lock when its patience is over, and calls. No more contexts
 * are in use than `most`, which the controller decides: who finds no room sleeps,
 * and is called when a context is given back or `most` grows. Then the end.
 *
 * An atomic block is what happens under the engine's lock; `most` alone changes
 * outside of it. Three loads, of which each run has one: all may work; one may;
 * one may at first and then all, while a call lasts that wants a second worker.
 *
 * A run that ends with a job not done, a member that was never called, a leader
 * that waits for one who is not there, a call that lasts whose second worker does
 * not come though it may, or a worker that sleeps through the end is an invalid
 * end state.
 *
 * BROKEN:      a worker whose look is over sleeps without comparing `posts` again.
 * BROKEN_GIVE: who gives a context back calls nobody for what is queued.
 * BROKEN_MORE: nobody is called when `most` grows.
 */
#define WORKERS 2
#define USED    (WORKERS - idle)
#define ROOM    (idle > 0 && USED < most)

byte looking, sleeping, signals, posts;
byte jobs, jobs_done;          /* queued, finished */
byte idle = WORKERS;           /* free contexts */
byte most = WORKERS;           /* to be in use */
bool grows, ready;             /* `most` does; the load has been chosen */
bool open;                     /* the leader's team */
byte seats, joined, called, ran, size;
bool stopping;
byte scratch;                  /* of post() */

inline post(n)
{
    posts++;
    scratch = (n > looking -> n - looking : 0);
    looking = 0;
    signals = (signals + scratch > sleeping -> sleeping : signals + scratch);
}

inline give_context()
{
    idle++;
#ifndef BROKEN_GIVE
    if
    :: jobs > 0 -> post(1)
    :: else
    fi
#endif
}

active [WORKERS] proctype worker()
{
    byte before;

again:
    if
    :: atomic { stopping -> goto out }
    :: atomic {
            !stopping && open && idle > 0 ->
            idle--; joined++; seats--;
            open = (seats > 0);
            before = called
        }
        called != before; /* the leader is awake */
        ran++;
        atomic { give_context() }
        goto again
    :: atomic { !stopping && !(open && idle > 0) && jobs > 0 && ROOM -> jobs--; idle-- }
        atomic { jobs_done++; give_context() }
        goto again
    :: atomic {
            !stopping && !(open && idle > 0) && !(jobs > 0 && ROOM) ->
            looking++;
            before = posts
        }
        if
        :: posts != before -> goto again /* seen while it looks: counted out by the post */
        :: true                          /* its time is over */
        fi;
        atomic {
#ifndef BROKEN
            if
            :: posts != before -> goto again
            :: else
            fi;
#endif
            if
            :: looking > 0 -> looking--
            :: else
            fi;
            if
            :: stopping -> goto out
            :: else
            fi;
            sleeping++
        }
        atomic { signals > 0 -> signals--; sleeping-- }
        goto again
    fi;
out:
    skip
}

/* Chooses the load; the controller. */
active proctype tunes()
{
    atomic {
        if
        :: most = WORKERS
        :: most = 1
        :: most = 1; grows = true
        fi;
        ready = true
    }
    if
    :: grows ->
        most = WORKERS;
#ifndef BROKEN_MORE
        atomic { post(WORKERS) }
#endif
    :: else
    fi
}

/* A caller whose job somebody is to take. */
active proctype submits()
{
    ready;
    atomic { jobs++; post(1) };
    jobs_done > 0
}

/* A caller that works itself, if there is room for it. */
active proctype leads()
{
    byte expected = 1;

    ready;
    if
    :: atomic { ROOM -> idle-- }
        atomic {
            seats = (ROOM -> 1 : 0);
            open = (seats > 0);
            if
            :: seats > 0 -> post(seats)
            :: else
            fi
        }
        if
        :: seats == 0
        :: true /* patience is over */
        fi;
        atomic { open = false; seats = 0; size = joined }
        called++;
        ran == size; /* they meet */
        if
        :: grows -> /* it lasts until somebody else has had a part of it */
            atomic { jobs++; post(1); expected++ }
            jobs_done == expected
        :: else
        fi;
        atomic { give_context() }
    :: atomic { !ROOM -> jobs++; expected++; post(1) }
    fi;
    jobs_done == expected;
    atomic { stopping = true; signals = sleeping }
}
