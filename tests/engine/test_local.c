/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory on several NUMA nodes. The topology is made up, and mbind() and getcpu()
 * are the test's: what would be asked of the system is seen, whatever it has.
 */
#include "base/numa.h"
#include "engine/engine_internal.h"
#include "engine/model.h"
#include "test.h"

#include <linux/mempolicy.h>
#include <sched.h>

enum { DIM = 384, CALLS_MAX = 64, FAR = 5 /* the second node's number */, PAGE = 4096 };

static fby_topology made_up;
static atomic_uint here; /* the node of every thread */
static bool refuses, no_memory;

typedef struct placing {
    uintptr_t at;
    unsigned long size, nodes;
    int mode;
} placing;
static placing placed[CALLS_MAX];
static uint32_t calls;

void __wrap_fby_topology_read(fby_topology *topology);
void __wrap_fby_topology_read(fby_topology *topology)
{
    *topology = made_up;
}

int __wrap_getcpu(unsigned *cpu, unsigned *node);
int __wrap_getcpu(unsigned *cpu, unsigned *node)
{
    (void)cpu;
    *node = atomic_load(&here);
    return 0;
}

long __wrap_fby_mbind(void *at, unsigned long size, int mode, const unsigned long *nodes,
                      unsigned long node_count, unsigned flags);
long __wrap_fby_mbind(void *at, unsigned long size, int mode, const unsigned long *nodes,
                      unsigned long node_count, unsigned flags)
{
    assert_true(calls < CALLS_MAX);
    assert_int_equal((uintptr_t)at % PAGE, 0);
    assert_int_equal(size % PAGE, 0);
    assert_true(size > 0 && node_count > FBY_NUMA_NODES_MAX);
    assert_int_equal(flags, MPOL_MF_MOVE);
    placed[calls++] = (placing){(uintptr_t)at, size, nodes[0], mode};
    return refuses ? -1 : 0;
}

fby_status __real_fby_encoder_copy(const fby_encoder *encoder, const fby_encoder_place *place,
                                   fby_encoder **copy);
fby_status __wrap_fby_encoder_copy(const fby_encoder *encoder, const fby_encoder_place *place,
                                   fby_encoder **copy);
fby_status __wrap_fby_encoder_copy(const fby_encoder *encoder, const fby_encoder_place *place,
                                   fby_encoder **copy)
{
    return no_memory ? fby_error(FBY_ENOMEM, "asked to fail")
                     : __real_fby_encoder_copy(encoder, place, copy);
}

static fby_model *opened(const char *topology, uint64_t free_bytes)
{
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.precision = FBY_PRECISION_INT8;
    assert_int_equal(fby_topology_parse(topology, &made_up), FBY_OK);
    for (uint32_t node = 0; node < made_up.nodes; node++) {
        made_up.node_number[node] = (uint16_t)(node * FAR);
        made_up.node_free[node] = free_bytes;
    }
    calls = 0;
    fby_model *model = NULL;
    if (fby_model_open(getenv("FBY_TEST_MODEL"), &options, &model) != FBY_OK)
        fail_msg("%s", fby_last_error());
    return model;
}

static uint32_t count_calls(int mode, unsigned long nodes, unsigned long least)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < calls; i++)
        count += placed[i].mode == mode && placed[i].nodes == nodes && placed[i].size >= least;
    return count;
}

/* Of the one node's model, by every later one. */
static float expected[3][DIM];
static const fby_text texts[3] = {{"a pool", 6}, {"of water", 8}, {"that feeds a turbine", 20}};

static void check_vectors(fby_model *model)
{
    static float vectors[3][DIM];
    for (unsigned node = 0; node <= FAR; node += FAR) {
        atomic_store(&here, node);
        assert_int_equal(fby_embed(model, texts, 3, NULL, vectors[0], NULL), FBY_OK);
        assert_memory_equal(vectors, expected, sizeof vectors);
    }
}

enum { BY_NODE_0 = 1UL, BY_NODE_5 = 1UL << FAR, CONTEXT_LEAST = 1 << 20, WEIGHTS_LEAST = 10 << 20 };
static const uint64_t PLENTY = 1ULL << 40, LITTLE = 1 << 20;

static void on_one_node_nothing_is_placed(void **state)
{
    (void)state;
    fby_model *model = opened("node:1 core:4 pu:1", PLENTY);
    assert_int_equal(calls, 0);
    assert_int_equal(fby_embed(model, texts, 3, NULL, expected[0], NULL), FBY_OK);
    assert_int_equal(calls, 0);
    fby_model_close(model);
}

static void each_node_has_its_contexts_and_a_copy_of_the_weights(void **state)
{
    (void)state;
    fby_model *model = opened("node:2 core:2 pu:1", PLENTY);
    assert_int_equal(count_calls(MPOL_PREFERRED, BY_NODE_0, WEIGHTS_LEAST), 1);
    assert_int_equal(count_calls(MPOL_PREFERRED, BY_NODE_5, WEIGHTS_LEAST), 1);
    assert_int_equal(count_calls(MPOL_PREFERRED, BY_NODE_0, CONTEXT_LEAST), 1 + 2);
    assert_int_equal(count_calls(MPOL_PREFERRED, BY_NODE_5, CONTEXT_LEAST), 1 + 2);
    assert_int_equal(calls, 2 + 4);
    check_vectors(model);
    assert_int_equal(calls, 2 + 4); /* nothing more while it runs */
    fby_model_close(model);
}

static void where_copies_are_too_much_one_is_dealt_out(void **state)
{
    (void)state;
    fby_model *model = opened("node:2 core:2 pu:1", LITTLE);
    assert_int_equal(count_calls(MPOL_INTERLEAVE, BY_NODE_0 | BY_NODE_5, WEIGHTS_LEAST), 1);
    assert_int_equal(count_calls(MPOL_PREFERRED, BY_NODE_0, CONTEXT_LEAST), 2);
    assert_int_equal(count_calls(MPOL_PREFERRED, BY_NODE_5, CONTEXT_LEAST), 2);
    assert_int_equal(calls, 1 + 4);
    check_vectors(model);
    fby_model_close(model);
}

static void a_thread_takes_a_context_of_its_node_while_there_is_one(void **state)
{
    (void)state;
    fby_model *model = opened("node:2 core:2 pu:1", PLENTY);
    fby_engine *engine = model->engine;
    fby_context *taken[4];
    static const uint32_t from[4] = {FAR, FAR, 0, 0};
    atomic_store(&here, FAR);
    pthread_mutex_lock(&engine->lock);
    for (int i = 0; i < 4; i++) {
        taken[i] = fby_engine_take_context(engine);
        assert_non_null(taken[i]);
        assert_int_equal(taken[i]->node, from[i]);
        assert_ptr_equal(taken[i]->encoder, model->local.copies[from[i] == FAR]);
    }
    assert_null(fby_engine_take_context(engine));
    for (int i = 0; i < 4; i++)
        fby_engine_give_context(engine, taken[i]);
    pthread_mutex_unlock(&engine->lock);
    fby_model_close(model);
}

static void a_system_that_places_nothing_runs_all_the_same(void **state)
{
    (void)state;
    refuses = true;
    fby_model *model = opened("node:2 core:2 pu:1", PLENTY);
    refuses = false;
    check_vectors(model);
    fby_model_close(model);
    no_memory = true;
    model = opened("node:2 core:2 pu:1", PLENTY);
    no_memory = false;
    assert_int_equal(calls, 4); /* contexts alone */
    check_vectors(model);
    fby_model_close(model);
}

static void only_whole_pages_within_a_range_are_placed(void **state)
{
    (void)state;
    fby_numa_nodes nodes = {0};
    char *const base = (char *)((uintptr_t)64 * PAGE);
    assert_true(fby_numa_add(&nodes, FAR));
    assert_false(fby_numa_add(&nodes, FBY_NUMA_NODES_MAX));
    calls = 0;
    assert_true(fby_numa_prefer(base + 1, 3 * PAGE, &nodes));
    assert_true(placed[0].at == (uintptr_t)base + PAGE && placed[0].size == 2 * PAGE);
    assert_true(fby_numa_interleave(base, 3 * PAGE - 1, &nodes));
    assert_true(placed[1].at == (uintptr_t)base && placed[1].size == 2 * PAGE);
    assert_false(fby_numa_prefer(base + 1, 2 * PAGE - 2, &nodes));
    assert_false(fby_numa_prefer(base, 0, &nodes));
    assert_int_equal(calls, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_one_node_nothing_is_placed),
        cmocka_unit_test(each_node_has_its_contexts_and_a_copy_of_the_weights),
        cmocka_unit_test(where_copies_are_too_much_one_is_dealt_out),
        cmocka_unit_test(a_thread_takes_a_context_of_its_node_while_there_is_one),
        cmocka_unit_test(a_system_that_places_nothing_runs_all_the_same),
        cmocka_unit_test(only_whole_pages_within_a_range_are_placed),
    };
    return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
