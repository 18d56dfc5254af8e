/* SPDX-License-Identifier: Apache-2.0 */
#include "model/trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { EDGE_BITS_MIN = 6 };

static fby_status edges_allocate(fby_trie *trie, uint32_t bits)
{
    fby_trie_edge *edges = calloc((size_t)1 << bits, sizeof *edges);
    if (edges == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %zu trie edges", (size_t)1 << bits);
    trie->edges = edges;
    trie->mask = (uint32_t)(((size_t)1 << bits) - 1);
    trie->shift = 32 - bits;
    return FBY_OK;
}

fby_status fby_trie_init(fby_trie *trie, uint32_t roots, uint32_t nodes)
{
    uint32_t bits = EDGE_BITS_MIN;
    while (bits < 25 && ((size_t)3 << bits) / 4 < nodes)
        bits++;
    *trie = (fby_trie){.node_count = roots, .node_capacity = nodes > roots ? nodes : roots};
    trie->values = calloc(trie->node_capacity, sizeof *trie->values);
    if (trie->values == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u trie nodes", trie->node_capacity);
    fby_status status = edges_allocate(trie, bits);
    if (status != FBY_OK)
        free(trie->values);
    return status;
}

void fby_trie_free(fby_trie *trie)
{
    free(trie->edges);
    free(trie->values);
}

static void edge_insert(fby_trie *trie, uint32_t key, uint32_t to)
{
    uint32_t i = fby_trie_place(key, trie->shift);
    while (trie->edges[i].to != 0)
        i = (i + 1) & trie->mask;
    trie->edges[i] = (fby_trie_edge){key, to};
}

static fby_status edges_double(fby_trie *trie)
{
    fby_trie_edge *old = trie->edges;
    size_t count = (size_t)trie->mask + 1;
    fby_status status = edges_allocate(trie, 32 - trie->shift + 1);
    if (status != FBY_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        if (old[i].to != 0)
            edge_insert(trie, old[i].key, old[i].to);
    }
    free(old);
    return FBY_OK;
}

static fby_status nodes_double(fby_trie *trie)
{
    uint32_t capacity = trie->node_capacity * 2;
    uint32_t *values = realloc(trie->values, capacity * sizeof *values);
    if (values == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u trie nodes", capacity);
    memset(values + trie->node_capacity, 0, trie->node_capacity * sizeof *values);
    trie->values = values;
    trie->node_capacity = capacity;
    return FBY_OK;
}

static fby_status child_add(fby_trie *trie, uint32_t node, unsigned char byte, uint32_t *child)
{
    fby_status status = FBY_OK;
    if (trie->node_count == FBY_TRIE_NODES_MAX)
        return fby_error(FBY_EUNSUPPORTED, "more than %u trie nodes", FBY_TRIE_NODES_MAX);
    if (trie->node_count == trie->node_capacity)
        status = nodes_double(trie);
    if (status == FBY_OK && trie->edge_count >= trie->mask / 4 * 3)
        status = edges_double(trie);
    if (status != FBY_OK)
        return status;
    *child = trie->node_count++;
    edge_insert(trie, node << 8 | byte, *child);
    trie->edge_count++;
    return FBY_OK;
}

fby_status fby_trie_add(fby_trie *trie, uint32_t root, const void *bytes, size_t size,
                        uint32_t value, uint32_t *existing)
{
    fby_assert(value != UINT32_MAX);
    const unsigned char *at = bytes, *end = at + size;
    uint32_t node = root, next;
    for (; at < end && (next = fby_trie_child(trie, node, *at)) != 0; at++)
        node = next;
    for (; at < end; at++) {
        fby_status status = child_add(trie, node, *at, &next);
        if (status != FBY_OK)
            return status;
        node = next;
    }
    if (trie->values[node] == 0)
        trie->values[node] = value + 1;
    *existing = trie->values[node] - 1;
    return FBY_OK;
}
