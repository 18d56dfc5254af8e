/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How workers of src/engine wait and how teams come together (work.c, members.c, gather.c):
 * a worker looks at `posts` for a while before it sleeps; who posts counts those
 * who look as called, and signals sleepers for the rest; a leader opens a team,
 * closes it under the lock when its patience is over, and calls. Then the end.
 *
 * An atomic block is what happens under the engine's lock. A run that ends with
 * a job not done, a member that was never called, a leader that waits for one
 * who is not there, or a worker that sleeps through the end is an invalid end
 * state.
 *
 * BROKEN: a worker whose look is over sleeps without comparing `posts` again.
 */
#define WORKERS 2

byte looking, sleeping, signals, posts;
byte jobs, jobs_done;          /* queued, finished */
byte idle = WORKERS;           /* free contexts; the leader's own is not among them */
bool open;                     /* the leader's team */
byte seats, joined, called, ran, size;
bool stopping;

inline post(n)
{
    posts++;
    wanted = (n > looking -> n - looking : 0);
    looking = 0;
    signals = (signals + wanted > sleeping -> sleeping : signals + wanted);
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
        idle++;
        goto again
    :: atomic { !stopping && !(open && idle > 0) && jobs > 0 && idle > 0 -> jobs--; idle-- }
        atomic { jobs_done++; idle++ }
        goto again
    :: atomic {
            !stopping && !(open && idle > 0) && !(jobs > 0 && idle > 0) ->
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

/* A caller whose job somebody is to take. */
active proctype submits()
{
    byte wanted;
    atomic { jobs++; post(1) };
    jobs_done > 0
}

active proctype leads()
{
    byte wanted;
    atomic {
        seats = idle;
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
    jobs_done > 0;
    atomic { stopping = true; signals = sleeping }
}
