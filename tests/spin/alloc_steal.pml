/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/memory/allocator/cache.h: a thief empties the stack of a thread that goes on
 * popping and pushing without a lock or a fence. No block is ever in two hands and
 * none is lost.
 *
 * The owner's stores pass through a buffer, first in, first out, that reaches
 * memory at any time (total store order): what makes its store of `top` late for
 * its load of a slot. The thief's membarrier empties that buffer; its exchanges act
 * on memory. slot[0] is the NULL below the stack; an empty stack has top == 1.
 *
 * BROKEN: no membarrier.
 */
#define SLOTS 3  /* 1 .. SLOTS */
#define BLOCKS 3 /* 1 .. BLOCKS; 0 is NULL */
#define STEPS 5  /* of the owner */
#define ROUNDS 2 /* of the thief */
#define BUFFER 3
#define TOP 0 /* addresses: TOP, and slot i at i + 1 */

byte memory[SLOTS + 2];
byte pending_at[BUFFER], pending_value[BUFFER], pending;
byte hand[BLOCKS + 1]; /* 0: in the stack, 1: the owner's, 2: the thief's */
bool locked;
bool ready, owner_done, thief_done;

#define TAKE_LOCK atomic { !locked -> locked = true }
#define DRAIN                                                   \
    do                                                          \
    :: pending > 0 ->                                           \
        memory[pending_at[0]] = pending_value[0];               \
        pending_at[0] = pending_at[1];                          \
        pending_value[0] = pending_value[1];                    \
        pending_at[1] = pending_at[2];                          \
        pending_value[1] = pending_value[2];                    \
        pending--                                               \
    :: else -> break                                            \
    od

/* The processor: any store may become visible at any time. */
active proctype store_buffer()
{
end:
    do
    :: d_step {
        pending > 0 ->
            memory[pending_at[0]] = pending_value[0];
            pending_at[0] = pending_at[1];
            pending_value[0] = pending_value[1];
            pending_at[1] = pending_at[2];
            pending_value[1] = pending_value[2];
            pending--
    }
    od
}

#define STORE(address, value) \
    d_step { pending < BUFFER -> pending_at[pending] = address; pending_value[pending] = value; pending++ }

/* The newest pending store to the address, else memory. */
#define LOAD(address, into)                                                        \
    d_step {                                                                       \
        into = memory[address];                                                    \
        if :: pending > 0 && pending_at[0] == address -> into = pending_value[0] :: else fi; \
        if :: pending > 1 && pending_at[1] == address -> into = pending_value[1] :: else fi; \
        if :: pending > 2 && pending_at[2] == address -> into = pending_value[2] :: else fi  \
    }

#define OWNER_GETS(b)          \
    d_step {                   \
        assert(hand[b] == 0);  \
        hand[b] = 1            \
    }

active proctype owner()
{
    byte step, top, block, from, to;

    ready;
    for (step : 1 .. STEPS) {
        if
        :: true -> /* pop */
            LOAD(TOP, top);
            top--;
            STORE(TOP, top);
            LOAD(top + 1, block);
            if
            :: block != 0 -> OWNER_GETS(block)
            :: else -> /* the slow path */
                TAKE_LOCK;
                d_step {
                    DRAIN;
                    block = memory[top + 1];
                    if
                    :: top > 0 && block != 0 -> skip /* put back by the thief */
                    :: else ->
                        to = 1;
                        from = 1;
                        do
                        :: from < top ->
                            if
                            :: memory[from + 1] != 0 ->
                                memory[to + 1] = memory[from + 1];
                                to++
                            :: else
                            fi;
                            from++
                        :: else -> break
                        od;
                        block = 0;
                        if
                        :: to > 1 ->
                            block = memory[to];
                            memory[TOP] = to - 1
                        :: else -> memory[TOP] = 1 /* nothing there: more would be fetched */
                        fi
                    fi;
                    if
                    :: block != 0 ->
                        assert(hand[block] == 0);
                        hand[block] = 1
                    :: else
                    fi
                };
                locked = false
            fi
        :: true -> /* push a block that the owner has */
            block = 0;
            if
            :: hand[1] == 1 -> block = 1
            :: hand[2] == 1 -> block = 2
            :: hand[3] == 1 -> block = 3
            :: hand[1] != 1 && hand[2] != 1 && hand[3] != 1 -> skip
            fi;
            LOAD(TOP, top);
            if
            :: block != 0 && top <= SLOTS ->
                hand[block] = 0;
                STORE(top + 1, block);
                STORE(TOP, top + 1)
            :: else
            fi
        fi
    }
    owner_done = true
}

active proctype thief()
{
    byte round, slot, before, now;
    byte loot[SLOTS + 1];

    ready;
    for (round : 1 .. ROUNDS) {
        TAKE_LOCK;
        before = memory[TOP];
        slot = 1;
        do
        :: slot < before ->
            d_step { loot[slot] = memory[slot + 1]; memory[slot + 1] = 0 };
            slot++
        :: else -> break
        od;
#ifndef BROKEN
        atomic { DRAIN };
#endif
        now = memory[TOP];
        slot = 1;
        do
        :: slot < before && slot <= now ->
            d_step {
                if
                :: loot[slot] == 0 -> skip
                :: loot[slot] != 0 && slot == now ->
                    if
                    :: memory[slot + 1] == 0 -> memory[slot + 1] = loot[slot]
                    :: else
                    fi
                :: loot[slot] != 0 && slot < now ->
                    if
                    :: memory[slot + 1] == 0 ->
                        assert(hand[loot[slot]] == 0);
                        hand[loot[slot]] = 2
                    :: else
                    fi
                fi;
                loot[slot] = 0
            };
            slot++
        :: else -> break
        od;
        slot = 1;
        do
        :: slot <= SLOTS -> loot[slot] = 0; slot++
        :: else -> break
        od;
        locked = false
    }
    thief_done = true
}

/* When both have ended, what is in nobody's hands is in the stack, once. */
active proctype inspector()
{
    byte block, slot, seen;

    owner_done && thief_done && pending == 0;
    for (block : 1 .. BLOCKS) {
        seen = 0;
        for (slot : 1 .. SLOTS) {
            if
            :: slot < memory[TOP] && memory[slot + 1] == block -> seen++
            :: else
            fi
        }
        assert(hand[block] == 0 && seen == 1 || hand[block] != 0 && seen == 0)
    }
}

init
{
    d_step {
        memory[TOP] = 3;
        memory[2] = 1;
        memory[3] = 2;
        hand[3] = 1;
        ready = true
    }
}
