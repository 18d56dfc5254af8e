/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A topology from hwloc 2, if the system has it: by dlopen, absent without harm.
 * What /sys says of Linux is the same; hwloc knows other systems, and machines
 * that are descriptions.
 */
#ifndef FBY_ENGINE_HWLOC_H
#define FBY_ENGINE_HWLOC_H

#include "engine/topology.h"

/* The machine's, or that which `synthetic` describes unless it is NULL. False where there is no
 * hwloc, or it does not answer. */
bool fby_hwloc_read(const char *synthetic, fby_topology *topology);

#endif
