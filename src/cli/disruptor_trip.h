/* SPDX-License-Identifier: Apache-2.0 */
/*
 * There and back between two threads, one thing in flight: what a hop costs, and
 * what it would cost without a queue.
 */
#ifndef FBY_CLI_DISRUPTOR_TRIP_H
#define FBY_CLI_DISRUPTOR_TRIP_H

typedef enum fby_trip {
    FBY_TRIP_LINE = 0, /* one word, written by both sides in turn: its line comes writable */
    FBY_TRIP_PAIR,     /* a word each way, in a line that one side alone writes, as in any queue */
    FBY_TRIP_LINES,    /* whole lines, written and summed, each way through as many as a disruptor
                        * has slots: the same memory without a queue */
    FBY_TRIP_EVENTS,   /* two disruptors, events written and summed */
    FBY_TRIPS
} fby_trip;

/* Nanoseconds a round trip, the mean of 20,000; on processors of their own where there are two. */
double fby_trip_ns(fby_trip trip);

#endif
