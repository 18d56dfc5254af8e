/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte strings as paths from one of a few roots, each with a value: finds the
 * longest that begins a text in a step a byte.
 *
 * The edges lie in one open hash table keyed by (node, byte), so that building
 * needs no sorting and a step is one probe, mostly one cache line.
 *
 * Constant after the last fby_trie_add(): any thread may walk it then.
 */
#ifndef FBY_MODEL_TRIE_H
#define FBY_MODEL_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Nodes, so that a key fits 32 bits. */
#define FBY_TRIE_NODES_MAX (1u << 24)

typedef struct fby_trie_edge {
    uint32_t key; /* node << 8 | byte */
    uint32_t to;  /* 0: a free place; no edge leads to the first root */
} fby_trie_edge;

typedef struct fby_trie {
    fby_trie_edge *edges; /* power of two, at most 3/4 in use */
    uint32_t mask;
    uint32_t shift; /* of a 32-bit hash, to an index */
    uint32_t edge_count;
    uint32_t *values; /* by node: value + 1, 0 for none */
    uint32_t node_count, node_capacity;
} fby_trie;

/* Nodes 0 to `roots` - 1 are the roots. `nodes` is a guess at how many there will be. */
fby_status fby_trie_init(fby_trie *trie, uint32_t roots, uint32_t nodes);
void fby_trie_free(fby_trie *trie);

/* Gives the string a value below UINT32_MAX, unless it has one; `*existing` is the value it has
 * then. FBY_ENOMEM, FBY_EUNSUPPORTED above FBY_TRIE_NODES_MAX. */
fby_status fby_trie_add(fby_trie *trie, uint32_t root, const void *bytes, size_t size,
                        uint32_t value, uint32_t *existing);

static inline uint32_t fby_trie_place(uint32_t key, uint32_t shift)
{
    return (key * 0x9E3779B1u) >> shift; /* Fibonacci hashing, Knuth 6.4 */
}

/* The node behind `node` and `byte`; 0 if there is none. */
static inline uint32_t fby_trie_child(const fby_trie *trie, uint32_t node, unsigned char byte)
{
    uint32_t key = node << 8 | byte;
    for (uint32_t i = fby_trie_place(key, trie->shift);; i = (i + 1) & trie->mask) {
        const fby_trie_edge *edge = &trie->edges[i];
        if (edge->to == 0 || edge->key == key)
            return edge->to;
    }
}

#endif
