/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How events get to workers that may be asleep. Workers wait in the main lane
 * only; what is put into another one is followed by a nudge there
 * (forebay/disruptor.h), which says no more than that somebody should look.
 *
 *     agent: event into its lane ──► nudge
 *     worker: a wait that ends with nothing ──► look into the other lanes
 *
 * Whether a worker waits or is about to, a nudge is there for it, and with it
 * what was put before; a worker that is busy looks into every lane before it
 * waits. tests/spin/bulk.pml is this as a model.
 *
 * A ring has slots for more than all agents together may have under way; it may
 * still be without one for a moment, when a worker was kept from the processor
 * while it copied an event that others have overtaken.
 */
#ifndef FBY_SERVE_LANES_H
#define FBY_SERVE_LANES_H

#include <stdbool.h>

#include "serve/worker.h"

/* Into the event's lane; somebody will look there. False: that has no slot now. An agent. */
bool fby_lanes_put(fby_crew *crew, const fby_event *event);

#endif
