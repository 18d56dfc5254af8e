/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/serve/worker.c: no batch is left behind in the bulk lane. An agent puts
 * three there, a LOOK into the main lane after each; two workers take what is in
 * the main lane, then a batch from the bulk lane, and sleep in the main lane when
 * they found neither. A LOOK may bring a worker that finds nothing, for another
 * one looked before it slept. When nothing moves any more the lane is empty.
 *
 * BROKEN: the LOOK goes out before the batch.
 */
#define BATCHES 3
#define WORKERS 2

byte bulk, looks;

active proctype agent()
{
    byte i;
    for (i : 1 .. BATCHES) {
#ifdef BROKEN
        looks++;
        bulk++
#else
        bulk++;
        looks++
#endif
    }
}

active [WORKERS] proctype worker()
{
    bool worked;

    do
    :: worked = false;
       atomic { if :: looks > 0 -> looks--; worked = true :: else fi };
       atomic { if :: bulk > 0 -> bulk--; worked = true :: else fi };
       if
       :: worked
       :: else ->
end:        atomic { looks > 0 -> looks-- } /* asleep until then */
       fi
    od
}

active proctype end_of_all()
{
    timeout;
    assert(bulk == 0)
}
