/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/memory/allocator/depot.c: threads pop magazines from a stack and push them
 * back, each with one compare-and-exchange of a head that holds the number of the
 * top magazine and a count of changes. No magazine is ever in two hands and none is
 * lost.
 *
 * BROKEN: the head is the number alone, so that a magazine that went and came back
 * is taken for one that stayed.
 */
#define MAGAZINES 3 /* 1 .. MAGAZINES; 0: none */
#define THREADS 2
#define TURNS 2 /* of each thread: up to two pops, then pushes in either order */

byte number;  /* the head */
byte changes;
byte next[MAGAZINES + 1];
byte holder[MAGAZINES + 1]; /* 0: the depot's */
byte finished;

#ifdef BROKEN
#define SAME(n, c) (number == n)
#else
#define SAME(n, c) (number == n && changes == c)
#endif

inline pop(got)
{
    do
    :: d_step { seen = number; seen_changes = changes };
       if
       :: seen == 0 -> got = 0; break
       :: else
       fi;
       below = next[seen]; /* may be another's by now */
       atomic {
           if
           :: SAME(seen, seen_changes) ->
               number = below;
               changes++;
               assert(holder[seen] == 0);
               holder[seen] = self;
               got = seen;
               break
           :: else
           fi
       }
    od
}

inline push(what)
{
    do
    :: d_step { seen = number; seen_changes = changes };
       next[what] = seen;
       atomic {
           if
           :: SAME(seen, seen_changes) ->
               holder[what] = 0;
               number = what;
               changes++;
               break
           :: else
           fi
       }
    od
}

proctype user(byte self)
{
    byte turn, first, second, seen, seen_changes, below;

    for (turn : 1 .. TURNS) {
        first = 0;
        second = 0;
        pop(first);
        if
        :: true -> pop(second)
        :: true -> skip
        fi;
        if
        :: first != 0 -> push(first)
        :: else
        fi;
        if
        :: second != 0 -> push(second)
        :: else
        fi
    }
    finished++
}

/* All are back, each once. */
active proctype inspector()
{
    byte at, count;

    finished == THREADS;
    at = number;
    do
    :: at != 0 && count <= MAGAZINES ->
        assert(holder[at] == 0);
        count++;
        at = next[at]
    :: else -> break
    od;
    assert(count == MAGAZINES)
}

init
{
    d_step {
        number = 1;
        next[1] = 2;
        next[2] = 3
    };
    atomic {
        run user(1);
        run user(2)
    }
}
