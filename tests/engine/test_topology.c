/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of workers on machines that are descriptions, as hwloc's synthetic topologies. */
#include "engine/topology.h"

#include "engine/hwloc.h"

#include "model/temporary.h"

static const uint64_t WEIGHTS = 90000000, FREE = 64000000000;
static fby_topology machine;
static fby_placement placed;

static void describe(const char *text)
{
    assert_int_equal(fby_topology_parse(text, &machine), FBY_OK);
}

static void place(uint32_t wanted)
{
    fby_placement_make(&machine, wanted, WEIGHTS, FREE, &placed);
}

static uint32_t on_node(uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < placed.workers; i++)
        count += placed.node[i] == node;
    return count;
}

static void two_sockets_of_64_cores_get_a_worker_a_core_and_weights_each(void **state)
{
    (void)state;
    describe("package:2 numa:1 core:64 pu:2");
    assert_int_equal(machine.count, 256);
    place(0);
    assert_int_equal(placed.workers, 128); /* not two on a core */
    assert_int_equal(on_node(0), 64);
    assert_int_equal(on_node(1), 64);
    assert_int_equal(placed.weights, FBY_WEIGHTS_REPLICATED);
    assert_true(placed.pinned);
    for (uint32_t i = 1; i < placed.workers; i++)
        assert_int_equal(placed.cpu[i], placed.cpu[i - 1] + 2);
    place(10);
    assert_int_equal(on_node(0), 5);
    assert_int_equal(on_node(1), 5);
    fby_placement_make(&machine, 0, FREE / 4, FREE, &placed);
    assert_int_equal(placed.weights, FBY_WEIGHTS_INTERLEAVED);
}

static void one_node_is_left_to_the_system(void **state)
{
    (void)state;
    describe("core:8 pu:2");
    place(0);
    assert_int_equal(placed.workers, 8);
    assert_false(placed.pinned);
    assert_int_equal(placed.weights, FBY_WEIGHTS_ONCE);
    place(3);
    assert_int_equal(placed.workers, 3);
}

static void uneven_nodes_get_workers_by_their_cores(void **state)
{
    (void)state;
    describe("node:3 core:8 pu:1");
    for (uint32_t i = 0; i < 24; i++) /* 8, 4 and 0 cores that may be used */
        machine.cpus[i].allowed = i < 12;
    place(0);
    assert_int_equal(placed.workers, 12);
    assert_int_equal(on_node(0), 8);
    assert_int_equal(on_node(1), 4);
    assert_int_equal(on_node(2), 0);
    assert_int_equal(placed.nodes_used, 2);
    assert_true(placed.pinned);
    place(1); /* all on one node */
    assert_int_equal(placed.nodes_used, 1);
    assert_false(placed.pinned);
    place(6);
    assert_int_equal(on_node(0), 4);
    assert_int_equal(on_node(1), 2);
}

static void a_quota_and_a_cpuset_are_kept_to(void **state)
{
    (void)state;
    describe("node:2 core:16 pu:2");
    machine.quota = 5;
    place(0);
    assert_int_equal(placed.workers, 5);
    for (uint32_t i = 0; i < machine.count; i++)
        machine.cpus[i].allowed = i == 40 || i == 41; /* one core's two threads */
    place(0);
    assert_int_equal(placed.workers, 1);
    assert_int_equal(placed.cpu[0], 40);
    assert_int_equal(placed.weights, FBY_WEIGHTS_ONCE);
    for (uint32_t i = 0; i < machine.count; i++)
        machine.cpus[i].allowed = false;
    place(0);
    assert_int_equal(placed.workers, 0);
}

/* Where hwloc is installed, its descriptions and ours are the same machines. */
static void hwlocs_synthetic_topologies_are_the_ones_described(void **state)
{
    (void)state;
    static const char *const texts[] = {"package:2 numa:1 core:64 pu:2", "numa:1 core:3 pu:1",
                                        "numa:4 core:4 pu:4"};
    static fby_topology theirs;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!fby_hwloc_read(texts[i], &theirs))
            skip();
        describe(texts[i]);
        assert_int_equal(theirs.count, machine.count);
        assert_int_equal(theirs.nodes, machine.nodes);
        for (uint32_t j = 0; j < machine.count; j++) {
            assert_int_equal(theirs.cpus[j].cpu, machine.cpus[j].cpu);
            assert_int_equal(theirs.cpus[j].core, machine.cpus[j].core);
            assert_int_equal(theirs.cpus[j].node, machine.cpus[j].node);
            assert_true(theirs.cpus[j].allowed);
        }
    }
    assert_true(fby_hwloc_read(NULL, &theirs)); /* this machine */
    assert_true(theirs.count >= 1);
    assert_false(fby_hwloc_read("no topology", &theirs));
}

static void whatever_the_machine_a_core_has_one_worker_at_most(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 500; round++) {
        char text[64];
        snprintf(text, sizeof text, "node:%u core:%u pu:%u", 1 + (unsigned)fby_rng_below(&rng, 8),
                 1 + (unsigned)fby_rng_below(&rng, 30), 1 + (unsigned)fby_rng_below(&rng, 4));
        describe(text);
        uint32_t cores = 0, wanted = (uint32_t)fby_rng_below(&rng, 200);
        bool used[FBY_CPUS_MAX] = {0}, counted[FBY_CPUS_MAX] = {0};
        for (uint32_t i = 0; i < machine.count; i++) {
            machine.cpus[i].allowed = fby_rng_below(&rng, 3) > 0;
            bool first = machine.cpus[i].allowed && !counted[machine.cpus[i].core];
            counted[machine.cpus[i].core] |= first;
            cores += first;
        }
        machine.quota = fby_rng_bool(&rng) ? 1 + (uint32_t)fby_rng_below(&rng, 50) : 0;
        place(wanted);
        uint32_t most = wanted != 0 && wanted < cores ? wanted : cores;
        most = machine.quota != 0 && machine.quota < most ? machine.quota : most;
        assert_int_equal(placed.workers, most);
        for (uint32_t i = 0; i < placed.workers; i++) {
            const fby_cpu_place *cpu = &machine.cpus[placed.cpu[i]];
            assert_true(cpu->allowed && !used[cpu->core]);
            assert_int_equal(cpu->node, placed.node[i]);
            used[cpu->core] = true;
        }
    }
}

static void what_is_no_topology_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"node",      "node:0 core:2", "core:2 node:2", "core:x",
                                        "core:5000", "node:2core:2",  "node:65 pu:1",  ":3"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(fby_topology_parse(wrong[i], &machine), FBY_EFORMAT);
}

static void the_systems_files_are_read(void **state)
{
    (void)state;
    char *dir = temporary_dir();
    static const char *const dirs[] = {"cpu",        "cpu/cpu0",          "cpu/cpu0/topology",
                                       "cpu/cpu1",   "cpu/cpu1/topology", "node",
                                       "node/node0", "node/node2"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        assert_int_equal(mkdir(temporary_path(dir, dirs[i]), 0700), 0);
    temporary_text(dir, "cpu/online", "0-3\n");
    temporary_text(dir, "cpu/cpu0/topology/thread_siblings_list", "0-1\n");
    temporary_text(dir, "cpu/cpu1/topology/thread_siblings_list", "0-1\n");
    temporary_text(dir, "node/online", "0,2\n");
    temporary_text(dir, "node/node0/cpulist", "0-1\n");
    temporary_text(dir, "node/node2/cpulist", "2-3\n");
    temporary_text(
        dir, "node/node0/meminfo",
        "Node 0 MemTotal:  8 kB\nNode 0 MemFree:        4096 kB\nNode 0 MemUsed: 4 kB\n");
    assert_int_equal(fby_topology_read_at(dir, "1-3", &machine), FBY_OK);
    assert_int_equal(machine.count, 4);
    assert_int_equal(machine.nodes, 2);
    assert_int_equal(machine.cpus[1].core, machine.cpus[0].core);
    assert_int_equal(machine.cpus[2].node, 1);
    assert_int_equal(machine.node_number[0], 0);
    assert_int_equal(machine.node_number[1], 2);
    assert_int_equal(machine.node_free[0], 4096 * 1024);
    assert_int_equal(machine.node_free[1], 0); /* not known */
    assert_int_equal(fby_topology_node_free(&machine), 0);
    assert_false(machine.cpus[0].allowed);
    place(0);
    assert_int_equal(placed.workers, 3);
    temporary_text(dir, "cpu/online", "0-x\n");
    assert_int_equal(fby_topology_read_at(dir, NULL, &machine), FBY_EFORMAT);
    temporary_remove(dir);
    free(dir);
    fby_topology_read(&machine); /* this machine's, whatever it is */
    place(0);
    assert_true(placed.workers >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_sockets_of_64_cores_get_a_worker_a_core_and_weights_each),
        cmocka_unit_test(one_node_is_left_to_the_system),
        cmocka_unit_test(uneven_nodes_get_workers_by_their_cores),
        cmocka_unit_test(a_quota_and_a_cpuset_are_kept_to),
        cmocka_unit_test(hwlocs_synthetic_topologies_are_the_ones_described),
        cmocka_unit_test(whatever_the_machine_a_core_has_one_worker_at_most),
        cmocka_unit_test(what_is_no_topology_is_refused),
        cmocka_unit_test(the_systems_files_are_read),
    };
    return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
