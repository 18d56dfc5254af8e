/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/memory/heap_pool/compact.c: a block of two cells is moved over the hole before
 * it, the lock free while its cells are copied, as a worker pins, writes and releases
 * it and another takes what is free.
 *
 *     cells: 0 hole | 1, 2 the block | 3 free         afterwards 0, 1 the block
 *
 * What holds: who has pinned the block finds in it what he wrote last; who took a cell
 * finds it unchanged; no cell is freed twice. A worker that waits for the move to end
 * is woken, or the run ends in an invalid state.
 *
 * BROKEN: a pin does not wait for the move.
 * HOLE_BROKEN: the hole is not held: it can be taken while bytes are copied there.
 * DYING_BROKEN: a release during the move frees the cells at once.
 */
#define CELLS 4
#define FREE 0
#define HELD 1
#define BLOCK 2
#define TAKEN 3

mtype = { USED, MOVING, DYING, GONE };

byte owner[CELLS], content[CELLS];
mtype state = USED;
byte place = 1, pins;
bit lock;

#define TAKE_LOCK atomic { lock == 0 -> lock = 1 }
#define GIVE_LOCK lock = 0

inline free_block()
{
    assert(owner[place] == BLOCK && owner[place + 1] == BLOCK);
    owner[place] = FREE;
    owner[place + 1] = FREE;
    state = GONE
}

proctype compactor()
{
    TAKE_LOCK;
    if
    :: state == USED && pins == 0 && owner[0] == FREE ->
        state = MOVING;
#ifndef HOLE_BROKEN
        owner[0] = HELD;
#endif
        GIVE_LOCK; /* M1 */
        content[0] = content[1];
        content[1] = content[2];
        TAKE_LOCK; /* M2 */
        owner[0] = BLOCK; /* settled: the cell that it left is free */
        place = 0;
#ifndef DYING_BROKEN
        owner[2] = FREE;
#else
        if
        :: state == MOVING -> owner[2] = FREE
        :: else
        fi;
#endif
        if
        :: state == DYING -> free_block()
        :: else -> state = USED
        fi
    :: else
    fi;
    GIVE_LOCK
}

proctype worker()
{
    byte turn, at, value = 10;

    for (turn : 1 .. 2) {
        TAKE_LOCK;
#ifndef BROKEN
        do
        :: state == MOVING -> GIVE_LOCK; state != MOVING; TAKE_LOCK
        :: else -> break
        od;
#endif
        pins++;
        at = place;
        GIVE_LOCK;
        assert(content[at] == value && content[at + 1] == value);
        value++;
        content[at] = value;
        content[at + 1] = value;
        TAKE_LOCK;
        pins--;
        GIVE_LOCK
    }
    TAKE_LOCK;
#ifndef DYING_BROKEN
    if
    :: state == MOVING -> state = DYING
    :: else -> free_block()
    fi;
#else
    free_block();
#endif
    GIVE_LOCK
}

proctype taker()
{
    byte turn, at;

    for (turn : 1 .. 2) {
        TAKE_LOCK;
        if
        :: owner[0] == FREE -> at = 0
        :: owner[1] == FREE -> at = 1
        :: owner[2] == FREE -> at = 2
        :: owner[3] == FREE -> at = 3
        fi;
        owner[at] = TAKEN;
        GIVE_LOCK;
        content[at] = 1;
        assert(content[at] == 1 && owner[at] == TAKEN);
        TAKE_LOCK;
        assert(owner[at] == TAKEN && content[at] == 1);
        owner[at] = FREE;
        GIVE_LOCK
    }
}

init
{
    atomic {
        owner[1] = BLOCK;
        owner[2] = BLOCK;
        content[1] = 10;
        content[2] = 10;
        run compactor();
        run worker();
        run taker()
    }
}
