/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/pages.h"
#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/say.h"
#include "search/rank.h"

enum { ROUNDS_MAX = 1000, TOP_MAX = 10000 };

struct fields {
    uint64_t passages, dim, top, threads, rounds;
    int format;
};

static const fby_cli_option options[] = {
    {.kind = FBY_CLI_UINT,
     .name = "passages",
     .argument = "N",
     .help = "made-up passages to search (1000000)",
     .offset = offsetof(struct fields, passages),
     .min = 1,
     .max = 50000000},
    {.kind = FBY_CLI_UINT,
     .name = "dim",
     .argument = "N",
     .help = "dimensions of a vector (384)",
     .offset = offsetof(struct fields, dim),
     .min = 1,
     .max = FBY_DIM_MAX},
    {.kind = FBY_CLI_UINT,
     .name = "top",
     .argument = "N",
     .help = "results of a question (10)",
     .offset = offsetof(struct fields, top),
     .min = 1,
     .max = TOP_MAX},
    {.kind = FBY_CLI_UINT,
     .letter = 't',
     .name = "threads",
     .argument = "N",
     .help = "threads of a question (the processors there are)",
     .offset = offsetof(struct fields, threads),
     .min = 1,
     .max = 64},
    {.kind = FBY_CLI_UINT,
     .name = "rounds",
     .argument = "N",
     .help = "questions, each asked both ways (15)",
     .offset = offsetof(struct fields, rounds),
     .min = 1,
     .max = ROUNDS_MAX},
    FBY_REPORT_OPTIONS(struct fields, format),
    {.kind = FBY_CLI_END},
};

/* The vectors and their codes, each in pages of its own, all touched. */
struct made {
    fby_search_rows rows;
    fby_search_row *row;
    int8_t *codes;
    float *vectors;
    size_t row_bytes, code_bytes, vector_bytes;
};

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A direction at random: the sum of four uniform numbers is near enough to a normal one. */
static void make_vector(uint64_t *state, float *x, uint32_t dim)
{
    double sum = 0.0;
    for (uint32_t j = 0; j < dim; j++) {
        uint64_t bits = next_random(state);
        int32_t four = (int32_t)(bits & 0xffff) + (int32_t)(bits >> 16 & 0xffff) +
                       (int32_t)(bits >> 32 & 0xffff) + (int32_t)(bits >> 48);
        x[j] = (float)(four - 2 * 0xffff);
        sum += (double)x[j] * (double)x[j];
    }
    float factor = sum > 0.0 ? (float)(1.0 / sqrt(sum)) : 0.0f;
    for (uint32_t j = 0; j < dim; j++)
        x[j] *= factor;
}

static void drop(struct made *made)
{
    fby_pages_unmap(made->row, made->row_bytes);
    fby_pages_unmap(made->codes, made->code_bytes);
    fby_pages_unmap(made->vectors, made->vector_bytes);
}

static fby_status make(size_t count, uint32_t dim, struct made *made)
{
    size_t code_stride = fby_code_stride(dim), stride = fby_vector_stride(dim);
    uint64_t state = 1;

    *made = (struct made){.row_bytes = count * sizeof(fby_search_row),
                          .code_bytes = count * code_stride,
                          .vector_bytes = count * stride * sizeof(float)};
    fby_status status = fby_pages_map(made->row_bytes, (void **)&made->row);
    if (status == FBY_OK)
        status = fby_pages_map(made->code_bytes, (void **)&made->codes);
    if (status == FBY_OK)
        status = fby_pages_map(made->vector_bytes, (void **)&made->vectors);
    if (status != FBY_OK) {
        drop(made);
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        float *vector = made->vectors + i * stride;
        make_vector(&state, vector, dim);
        fby_search_row_make(vector, dim, made->codes + i * code_stride, &made->row[i]);
    }
    made->rows = (fby_search_rows){dim, count, made->row, made->codes, made->vectors, NULL};
    return FBY_OK;
}

/* What one question cost each way. */
struct answer {
    double fast_ms, plain_ms, fast_cpu_ms, scored;
    bool equal;
};

/* Of all threads: what is left to compare where others use the machine too. */
static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static fby_status ask(const struct made *made, const struct fields *fields, const float *query,
                      bool fast_first, struct answer *answer)
{
    static fby_hit fast[TOP_MAX], plain[TOP_MAX];
    size_t fast_found = 0, plain_found = 0;
    fby_rank_stats stats = {0};
    fby_status status = FBY_OK;

    for (int turn = 0; turn < 2 && status == FBY_OK; turn++) {
        bool codes = (turn == 0) == fast_first;
        double cpu = cpu_ms();
        uint64_t start = fby_now_ns();
        if (codes)
            status = fby_rank(&made->rows, query, fields->top, (uint32_t)fields->threads, fast,
                              &fast_found, &stats);
        else
            status = fby_rank_plain(&made->rows, query, fields->top, (uint32_t)fields->threads,
                                    plain, &plain_found);
        *(codes ? &answer->fast_ms : &answer->plain_ms) = (double)(fby_now_ns() - start) / 1e6;
        if (codes)
            answer->fast_cpu_ms = cpu_ms() - cpu;
    }
    answer->scored = (double)stats.scored;
    answer->equal = fast_found == plain_found;
    for (size_t i = 0; i < fast_found && answer->equal; i++)
        answer->equal = fast[i].row == plain[i].row && fast[i].score == plain[i].score;
    return status;
}

static fby_status measure(const struct made *made, const struct fields *fields, fby_report *report)
{
    static double fast_ms[ROUNDS_MAX], plain_ms[ROUNDS_MAX], ratio[ROUNDS_MAX], scored[ROUNDS_MAX];
    static double fast_cpu_ms[ROUNDS_MAX];
    static float query[FBY_DIM_MAX];
    uint64_t state = 2;
    bool equal = true;

    for (size_t i = 0; i < fields->rounds; i++) {
        struct answer answer = {0};
        make_vector(&state, query, (uint32_t)fields->dim);
        fby_status status = ask(made, fields, query, i % 2 == 0, &answer);
        if (status != FBY_OK)
            return status;
        fast_ms[i] = answer.fast_ms;
        plain_ms[i] = answer.plain_ms;
        fast_cpu_ms[i] = answer.fast_cpu_ms;
        ratio[i] = answer.plain_ms / answer.fast_ms;
        scored[i] = answer.scored;
        equal = equal && answer.equal;
    }
    size_t rounds = fields->rounds;
    fby_spread fast = fby_spread_of(fast_ms, rounds);
    fby_report_uint(report, "passages", fields->passages);
    fby_report_uint(report, "dim", fields->dim);
    fby_report_uint(report, "top", fields->top);
    fby_report_uint(report, "threads", fields->threads);
    fby_report_uint(report, "repetitions", rounds);
    FBY_REPORT_SPREAD(report, "search_ms", fast);
    FBY_REPORT_SPREAD(report, "search_cpu_ms", fby_spread_of(fast_cpu_ms, rounds));
    FBY_REPORT_SPREAD(report, "plain_ms", fby_spread_of(plain_ms, rounds));
    FBY_REPORT_SPREAD(report, "plain_to_search", fby_spread_of(ratio, rounds));
    FBY_REPORT_SPREAD(report, "scored", fby_spread_of(scored, rounds));
    fby_report_real(report, "codes_gb_per_s", (double)made->code_bytes / fast.median / 1e6);
    fby_report_bool(report, "equal", equal);
    fby_report_row(report);
    return fby_report_end(report);
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct fields fields = {
        .passages = 1000000, .dim = 384, .top = 10, .threads = fby_cpu_count(), .rounds = 15};
    struct made made;
    fby_report report;
    int exit_code;

    if (!fby_cli_parse(self, argc, argv, &fields, NULL, &exit_code))
        return exit_code;
    fby_status status = make(fields.passages, (uint32_t)fields.dim, &made);
    if (status == FBY_OK) {
        fby_report_begin(&report, stdout, (fby_report_format)fields.format, "search", NULL);
        status = measure(&made, &fields, &report);
        drop(&made);
    }
    if (status != FBY_OK)
        fby_say("%s", fby_last_error());
    return fby_cli_exit(status);
}

const fby_cli_command fby_bench_search = {
    .name = "forebay bench search",
    .summary = "exact search among made-up passages, against a plain one",
    .options = options,
    .details =
        "Each question is asked twice, in turns: as `forebay search` does (codes of 8 bits,\n"
        "then the floats of those that may matter), and of every passage's floats. `equal`\n"
        "says whether rows and scores came out the same. Needs about 2 KB a passage.\n"
        "\n"
        "Example:\n"
        "  forebay bench search --passages 1000000 --json\n",
    .run = run,
};
