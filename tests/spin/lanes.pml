/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/serve/worker.c: no text is left behind in the long lane. An agent puts
 * three texts there, an event into the main lane after each; three workers, of
 * which one at a time may be at the long lane, ignore an event when there is one
 * already. When nothing moves any more the lane is empty, and nobody has the role.
 *
 * Replacing `running` is one step, also where it stays as it is: that orders who
 * ignores an event and who gives the role up, so the lines' order is theirs.
 *
 * BROKEN: who gives the role up does not look once more.
 */
#define TEXTS   3
#define WORKERS 3
#define AT_ONCE 1

byte lane, events;
short waiting; /* below 0 between a text and its count */
byte running;

active proctype agent()
{
    byte i;
    for (i : 1 .. TEXTS) {
        lane++;
        waiting++;
        events++
    }
}

active [WORKERS] proctype worker()
{
    bool got;

end:
    do
    :: atomic { events > 0 -> events-- };
        do
        :: waiting <= 0 -> break
        :: else ->
            atomic { got = running < AT_ONCE; running = running + got };
            if
            :: !got -> break
            :: else
            fi;
            do
            :: atomic { lane > 0 -> lane-- };
                waiting--
            :: atomic { lane == 0 -> skip };
                break
            od;
            running--;
#ifdef BROKEN
            break
#endif
        od
    od
}

active proctype end_of_all()
{
    timeout;
    assert(lane == 0 && running == 0 && waiting == 0)
}
