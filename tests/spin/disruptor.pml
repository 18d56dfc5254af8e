/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/pipeline/disruptor.c: two producers, a group of two members and a consumer
 * that sees every event, over a ring of two slots, which wraps.
 *
 * Checked: a slot is written only when the consumer and the members have let go
 * of it; each event is seen once by the consumer, in order, and by one member;
 * nobody reads a slot that is half written. `number` of a slot is the sequence
 * whose event it holds, `writing` says that it is not whole.
 *
 * Loads and stores are single steps; what must not be reordered carries a release
 * and an acquire in the source.
 *
 * BROKEN: a member marks an event as copied before it copies.
 */
#define SLOTS  2
#define EVENTS 3
#define NONE   255

byte claimed;            /* producers' */
byte round[SLOTS];       /* as published: sequence / SLOTS + 1 */
byte number[SLOTS];
bool writing[SLOTS];

byte released;           /* the consumer's */
byte group_claimed;
byte copied[SLOTS];      /* rounds */
byte passed;             /* producers': all below are copied */
byte taken[EVENTS];      /* how often a member took each */
byte ended;              /* producers that are done */

#define SLOT(s)  ((s) % SLOTS)
#define ROUND(s) ((s) / SLOTS + 1)

proctype producer()
{
    byte first, lowest, p;

    do
    :: first = claimed;
       if
       :: first >= EVENTS -> break
       :: else
       fi;
       /* group_passed() and gate(). In one step: marks and `released` only grow, so what a slower
        * look would have found is no more than what this one finds later. */
       d_step {
           p = passed;
           do
           :: p < passed + SLOTS && copied[SLOT(p)] == ROUND(p) -> p++
           :: else -> break
           od;
           passed = p;
           lowest = (p < released -> p : released);
           p = 0
       };
       if
       :: first + 1 > lowest + SLOTS -> skip /* no room: FBY_EAGAIN, try again */
       :: else ->
          atomic {
              if
              :: claimed == first -> claimed = first + 1
              :: else -> goto again
              fi
          };
          assert(!writing[SLOT(first)]);
          writing[SLOT(first)] = true;
          number[SLOT(first)] = first;
          writing[SLOT(first)] = false;
          round[SLOT(first)] = ROUND(first)
       fi;
again: skip;
    d_step { first = 0; lowest = 0 }
    od;
    first = 0;
    ended++
}

proctype consumer()
{
    byte next;
    do
    :: next == EVENTS -> break
    :: next < EVENTS && round[SLOT(next)] == ROUND(next) ->
       assert(!writing[SLOT(next)]);
       assert(number[SLOT(next)] == next);
       next++;
       released = next
    od
}

proctype member()
{
    byte first, copy;
    do
    :: first = group_claimed;
       if
       :: first >= EVENTS -> break
       :: first < EVENTS && round[SLOT(first)] == ROUND(first) ->
          atomic {
              if
              :: group_claimed == first -> group_claimed = first + 1
              :: else -> goto again
              fi
          };
#ifdef BROKEN
          copied[SLOT(first)] = ROUND(first);
#endif
          assert(!writing[SLOT(first)]);
          copy = number[SLOT(first)];
          assert(copy == first);
          taken[first]++;
          assert(taken[first] == 1);
#ifndef BROKEN
          copied[SLOT(first)] = ROUND(first)
#else
          skip
#endif
       :: else -> skip
       fi;
again: skip;
    d_step { first = 0; copy = 0 }
    od
}

init
{
    atomic {
        run producer();
        run producer();
        run consumer();
        run member();
        run member()
    };
    ended == 2 && released == EVENTS && group_claimed == EVENTS
}
