/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/pool_model.h"
#include "cli/pool_source.h"
#include "memory/heap_pool/series.h"

enum { SOURCE_MAX = 16 << 20 };

struct options {
    fby_cli_list parts;
};

static const fby_cli_option options_table[] = {
    {.kind = FBY_CLI_LIST,
     .name = "part",
     .argument = "WHAT",
     .help = "something that shall be in the pool together with the other parts: a size such as "
             "400M, or a model's directory, each file of weights a part; several times for several",
     .offset = offsetof(struct options, parts)},
    {.kind = FBY_CLI_END},
};

static void print_advice(const fby_heap_advice *advice, uint32_t count)
{
    static const char *const marks[] = {"ok  ", "look", "act "};
    bool changes = false;
    for (uint32_t i = 0; i < count; i++) {
        printf("%s  %s\n", marks[advice[i].grade], advice[i].what);
        if (advice[i].why[0] != '\0')
            printf("      %s\n", advice[i].why);
        changes = changes || advice[i].yaml[0] != '\0';
    }
    if (!changes)
        return;
    /* Of two proposals for one key the later is the more particular. */
    printf("\nmemory_pool:\n");
    for (uint32_t i = 0; i < count; i++) {
        size_t key = strcspn(advice[i].yaml, ":");
        bool again = false;
        for (uint32_t later = i + 1; later < count; later++)
            again = again || (strcspn(advice[later].yaml, ":") == key &&
                              memcmp(advice[later].yaml, advice[i].yaml, key) == 0);
        if (advice[i].yaml[0] != '\0' && !again)
            printf("  %s\n", advice[i].yaml);
    }
}

static fby_status advise(const char *source, const struct options *options)
{
    static uint64_t parts[FBY_POOL_PARTS_MAX];
    static fby_heap_pool_stats stats;
    fby_heap_advice advice[FBY_HEAP_ADVICE_MAX];
    size_t part_count = 0, size;
    char *text;

    for (uint32_t i = 0; i < options->parts.count; i++) {
        fby_status status = fby_pool_parts(options->parts.items[i], parts, &part_count);
        if (status != FBY_OK)
            return fby_error_prefix(status, "--part");
    }
    fby_status status = strncmp(source, "http://", 7) == 0
                            ? fby_pool_fetch(source, SOURCE_MAX, &text, &size)
                            : fby_pool_read_file(source, SOURCE_MAX, &text, &size);
    if (status != FBY_OK)
        return status;
    status = fby_heap_series_read(text, size, &stats);
    free(text);
    if (status != FBY_OK)
        return fby_error_prefix(status, "%.200s", source);
    print_advice(advice, fby_heap_pool_advise(&stats, parts, part_count, advice));
    return FBY_OK;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {0};
    int exit_code;

    if (!fby_cli_parse_exactly(self, argc, argv, &options, 1, "one FILE or URL is wanted",
                               &exit_code))
        return exit_code;
    return fby_cli_end(advise(argv[1], &options));
}

const fby_cli_command fby_pool_advise = {
    .name = "forebay pool advise",
    .summary = "what a heap pool's statistics mean, and what to change",
    .operands = "FILE|URL",
    .options = options_table,
    .details = "Reads what `forebay pool run --stats` wrote, or a server's /metrics. Hit rate:\n"
               "above 95 % excellent, 90 good, 80 fair. Utilisation: below 50 % over-\n"
               "provisioned, to 80 optimal, to 95 under-provisioned, above critical. Fallback\n"
               "rate: 0 perfect, below 5 % acceptable, to 10 increase soon.\n"
               "\n"
               "Examples:\n"
               "  forebay pool advise pool.stats\n"
               "  forebay pool advise http://localhost:8080\n"
               "  forebay pool advise --part models/all-MiniLM-L6-v2 pool.stats\n",
    .run = run,
};
