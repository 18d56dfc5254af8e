/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "base/bits.h"
#include "base/cgroup.h"
#include "cli/commands.h"
#include "cli/pool_model.h"
#include "forebay/heap_pool.h"

#define MIB ((uint64_t)1 << 20)

struct options {
    uint64_t ram;
};

static const fby_cli_option options_table[] = {
    {.kind = FBY_CLI_SIZE,
     .name = "ram",
     .argument = "SIZE",
     .help = "of the machine (this one's)",
     .min = 1 << 20,
     .max = (uint64_t)1 << 50,
     .offset = offsetof(struct options, ram)},
    {.kind = FBY_CLI_END},
};

static fby_status propose(const char *model, uint64_t ram)
{
    uint64_t parameters = 0;
    const char *note;
    fby_heap_proposal made;
    fby_status status = fby_pool_parameters(model, &parameters, &note);
    if (status == FBY_OK)
        status = fby_heap_pool_propose(parameters, ram, &made);
    if (status != FBY_OK)
        return status;
    printf("# %.4g million parameters: a %s model, %llu to %llu MB a heap\n",
           (double)parameters / 1e6, made.model, (unsigned long long)(made.heap_bytes_min / MIB),
           (unsigned long long)(made.heap_bytes_max / MIB));
    if (note[0] != '\0')
        printf("# %s; a number of parameters instead of a directory is exact\n", note);
    printf("# %.4g GB of memory: %u to %u heaps\n", (double)ram / 0x1p30, made.num_heaps_min,
           made.num_heaps_max);
    printf("memory_pool:\n  heap_size_mb: %llu\n  num_heaps: %u\n",
           (unsigned long long)(made.heap_bytes / MIB), made.num_heaps);
    return FBY_OK;
}

/* A machine's memory as it is sold: the kernel and firmware keep some of it back, so that 16 GB
 * would be less than 16 GB. Up to an eighth of the power of two above it. */
static uint64_t nominal(uint64_t bytes)
{
    uint64_t step = (uint64_t)1 << (61 - __builtin_clzll(bytes | 8));
    return fby_align_up(bytes, step);
}

/* This machine's, or what the control group lets be used of it. */
static uint64_t own_ram(void)
{
    uint64_t ram = nominal((uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    uint64_t limit = fby_cgroup_memory();
    return limit != 0 && limit < ram ? limit : ram;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {.ram = own_ram()};
    int exit_code;

    if (!fby_cli_parse_exactly(
            self, argc, argv, &options, 1,
            "one MODEL is wanted: a directory, or a number of parameters such as 7B", &exit_code))
        return exit_code;
    return fby_cli_end(propose(argv[1], options.ram));
}

const fby_cli_command fby_pool_size = {
    .name = "forebay pool size",
    .summary = "propose a heap pool for a model, before anything runs",
    .operands = "MODEL",
    .options = options_table,
    .details = "For a program that keeps a model's tensors in a pool. By parameters: below 7B\n"
               "128 to 256 MB a heap, below 13B 256 to 512, below 30B 512 to 1024, above 1024\n"
               "to 2048. By memory: 16 GB 2 to 3 heaps, 32 GB 4 to 6, 64 GB and more 6 to 8;\n"
               "all together at most a quarter of it, where the ranges allow that. The engine\n"
               "of `forebay embed` and `serve` sizes its own pool.\n"
               "\n"
               "Examples:\n"
               "  forebay pool size 7B --ram 32G\n"
               "  forebay pool size models/all-MiniLM-L6-v2\n",
    .run = run,
};
