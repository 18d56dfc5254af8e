/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/serve/worker.c: no text is left behind in the long lane. An agent puts
 * three texts there, a nudge after each; three workers, of which one at a time,
 * for a while two, may be at the long lane, ignore a nudge when there are as many
 * already, and give the role up between two texts when there are more. When
 * nothing moves any more the lane is empty, and nobody has the role.
 *
 * Replacing `running` is one step, also where it stays as it is: that orders who
 * ignores a nudge and who gives the role up, so the lines' order is theirs.
 *
 * BROKEN: who gives the role up does not look once more.
 */
#define TEXTS   3
#define WORKERS 3

byte lane, nudges;
byte most = 1; /* at once */
short waiting; /* below 0 between a text and its count */
byte running;

active proctype agent()
{
    byte i;
    for (i : 1 .. TEXTS) {
        lane++;
        waiting++;
        nudges++
    }
}

active proctype controller()
{
    most = 2;
    most = 1
}

active [WORKERS] proctype worker()
{
    bool got;

end:
    do
    :: atomic { nudges > 0 -> nudges-- };
        do
        :: waiting <= 0 -> break
        :: else ->
            atomic { got = running < most; running = running + got };
            if
            :: !got -> break
            :: else
            fi;
            do
            :: atomic { lane > 0 -> lane-- };
                waiting--;
                if
                :: running > most -> break
                :: else
                fi
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
