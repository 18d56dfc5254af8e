/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/memory/ring_room.c and ring_shared.c: one thread allocates from a region of
 * five granules in slices of one or two, another ends their use in any order and
 * returns them through a queue of one cell, or by their marks when it is full.
 *
 * Checked: no granule is handed out while another slice that covers it is in use
 * (`in_use` is set by the allocating thread, and cleared by the other as its last
 * look at the slice), no slice is returned that was not out, and the stretches do
 * not overlap. How an address travels to the other thread is the caller's: here it
 * may be released as soon as it is allocated, and at any time after.
 *
 * The window is any: where the source prefers one hole to another, or stops before
 * it must, the model takes each in turn. What it keeps of the source is that
 * the write cursor moves only to the region's start or behind a stretch, and only
 * up to where the next stretch begins. Marks are not guessed.
 *
 * Loads and stores are single steps; what must not be reordered carries a release
 * and an acquire in the source. Steps of the allocating thread that touch nothing
 * of the other's are one.
 *
 * BROKEN 1: the naive window. At its end the write cursor goes back to the region's
 * start as soon as something was released there, without a look at the stretches.
 * BROKEN 2: a slice is returned before the last look at it, as a relaxed store
 * would allow.
 */
#ifndef BROKEN
#define BROKEN 0
#endif

#define GRANULES  5
#define STRETCHES 3
#define RELEASED  4 /* in a mark, with the size */

/* The naive window is to be caught for what it hands out, not for what follows from that. */
#if BROKEN == 1
#define CHECK(x) skip
#else
#define CHECK(x) assert(x)
#endif

byte mark[GRANULES]; /* 0, or at a slice's first granule its size */
bool in_use[GRANULES];
byte held[GRANULES]; /* sizes of slices that are out and not about to be returned */

byte queue;           /* its one cell */
byte returned, taken; /* modulo 2 */

/* The allocating thread's. */
byte start[STRETCHES], end[STRETCHES], count; /* the oldest first */
byte head, limit, tail;

#define LAST (count - 1)

/* The lowest stretch that begins at or above `at`. */
inline bound_above(at, bound)
{
    bound = GRANULES;
    i = 0;
    do
    :: i < count && start[i] != end[i] && start[i] >= at && start[i] < bound -> bound = start[i]; i++
    :: i < count && !(start[i] != end[i] && start[i] >= at && start[i] < bound) -> i++
    :: i == count -> break
    od
}

/* The oldest stretch has been passed. */
inline drop_oldest()
{
    i = 1;
    do
    :: i < count -> start[i - 1] = start[i]; end[i - 1] = end[i]; i++
    :: else -> break
    od;
    count--;
    start[count] = 0;
    end[count] = 0;
    tail = start[0]
}

inline take_back()
{
    if
    :: taken != returned -> /* A1 */
       atomic {
           CHECK(mark[queue] != 0 && mark[queue] < RELEASED);
           mark[queue] = mark[queue] + RELEASED;
       }
       taken = 1 - taken /* A2 */
    :: else
    fi
}

inline pass_released()
{
    end[LAST] = head;
    do
    :: tail == end[0] && count > 1 -> d_step { drop_oldest(); i = 0 }
    :: tail == end[0] && count == 1 -> break
    :: tail != end[0] ->
       if
       :: atomic {
              mark[tail] > RELEASED && tail + mark[tail] - RELEASED <= end[0] -> /* A3 */
              i = mark[tail] - RELEASED; mark[tail] = 0; tail = tail + i; start[0] = tail; i = 0
          }
       :: else -> break
       fi
    od
}

/* Any place with room for `size`, any limit up to the next stretch. */
inline find_room(size)
{
    d_step {
        if
        :: tail == head && count == 1 ->
           head = 0; tail = 0; start[0] = 0; end[0] = 0
        :: else
        fi
    }
    /* `at`: here, the region's start, or behind a stretch, directly or after a granule. */
    atomic {
        if
        :: at = head
        :: count < STRETCHES && head != start[LAST] -> at = 0
        :: count < STRETCHES && head != start[LAST] && end[0] < GRANULES -> at = end[0]
        :: count == 2 && head != start[LAST] && end[1] < GRANULES -> at = end[1]
        fi;
        bound_above(at, bound);
        if
        :: skip
        :: at != head && at != 0 && at + 1 < bound -> at = at + 1
        fi;
#if BROKEN == 1
        if
        :: at == 0 && tail > 0 -> bound = GRANULES
        :: else
        fi;
#endif
        if
        :: at != head && bound >= at + size ->
           start[count] = at; end[count] = at; count++;
           head = at
        :: else
        fi;
        if
        :: at == head && bound >= at + size ->
           if
           :: limit = bound
           :: limit = at + size
           fi
        :: else -> limit = head /* no room there */
        fi;
        i = 0; bound = 0; at = 0
    }
}

/* Stretches share no granule. */
inline check_stretches()
{
    d_step {
        CHECK(count < 2 || end[0] <= start[1] || end[1] <= start[0]);
        CHECK(count < 3 || end[0] <= start[2] || end[2] <= start[0]);
        CHECK(count < 3 || end[1] <= start[2] || end[2] <= start[1])
    }
}

active proctype allocates()
{
    byte size, i, bound, at;

    count = 1;
    do
    :: atomic {
           if
           :: size = 1
           :: size = 2
           fi
       }
       if
       :: head + size > limit ->
          take_back();
          pass_released();
          find_room(size);
          check_stretches()
       :: else
       fi;
       if
       :: head + size <= limit ->
          atomic {
              mark[head] = size;
              assert(!in_use[head]);
              in_use[head] = true;
              if
              :: size == 2 ->
                 assert(!in_use[head + 1]);
                 in_use[head + 1] = true
              :: else
              fi;
              held[head] = size;
              head = head + size;
              end[LAST] = head
          }
       :: else /* no room: FBY_EAGAIN */
       fi
    od
}

active proctype releases()
{
    byte slice, size, seen;

    do
    :: atomic {
           if
           :: held[0] -> slice = 0
           :: held[1] -> slice = 1
           :: held[2] -> slice = 2
           :: held[3] -> slice = 3
           :: held[4] -> slice = 4
           fi;
           size = held[slice];
           held[slice] = 0;
#if BROKEN != 2
           in_use[slice] = false; in_use[slice + size - 1] = false
#endif
       }
       if
       :: returned == seen -> /* room in the queue, as far as it has seen */
          queue = slice;
          returned = 1 - returned /* R1 */
       :: else ->
          seen = taken; /* R2 */
          if
          :: returned == seen -> queue = slice; returned = 1 - returned /* R1 */
          :: else ->
             atomic {
                 CHECK(mark[slice] != 0 && mark[slice] < RELEASED);
                 mark[slice] = mark[slice] + RELEASED /* R3 */
             }
          fi
       fi;
#if BROKEN == 2
       d_step { in_use[slice] = false; in_use[slice + size - 1] = false };
#endif
       slice = 0; size = 0
    od
}
