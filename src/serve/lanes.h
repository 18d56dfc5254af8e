/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How events get to workers that may be asleep. Workers sleep in the main lane
 * only; what is put into another one is followed by an event of kind LOOK in the
 * main one, which says no more than that somebody should look.
 *
 *     agent: event into its lane ──► replace `looks` ──► LOOK into the main lane
 *     worker: LOOK out of it ──► replace `looks` ──► look into the other lanes
 *
 * At most a LOOK a worker is on its way, so that they never fill the main lane. Who finds
 * that many on their way puts the same number back: as both sides replace
 * `looks`, the worker that takes the next LOOK out sees what was put before. A LOOK
 * that finds no slot is owed, and tried again within a millisecond.
 * tests/spin/bulk.pml is this as a model.
 *
 * A ring has slots for more than all agents together may have under way; it may
 * still be without one for a moment, when a worker was kept from the processor
 * while it copied an event that others have overtaken.
 */
#ifndef FBY_SERVE_LANES_H
#define FBY_SERVE_LANES_H

#include <stdbool.h>

#include "serve/worker.h"

/* Into the event's lane. False: that has no slot now. An agent. */
bool fby_lanes_put(fby_crew *crew, const fby_event *event);

/* Sees to it that a worker looks into the other lanes. False: not now, the caller owes it. */
bool fby_lanes_look(fby_crew *crew, uint8_t agent);

/* A worker has taken `count` LOOKs out, and looks from here on. */
void fby_lanes_looked(fby_crew *crew, uint32_t count);

#endif
