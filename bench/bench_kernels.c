/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How near the kernels come to the peak of the instruction set, at the shapes of
 * all-MiniLM-L6-v2, on one thread.
 *
 *     bench_kernels [--json] [--isa NAME] [--precision P] [--rows M] [--repetitions N]
 *         [product] [attention] [norm] [encoder]
 *
 * product: each product of a layer for several numbers of rows, going round the
 *     weights of six layers; "up" is "up+gelu" without GELU.
 * attention: one text, by its number of tokens.
 * norm: LayerNorm over 128 rows.
 * encoder: six layers over packed texts whose lengths are drawn like those of the
 *     mixed texts (median 26, mean about 42, at most 256), and where the time
 *     goes. Random weights; no embedding, pooling or tokenizer.
 *
 * The peak is measured beside each point; time is the thread's own. A share counts 2 rows n k
 * operations a product and, for the encoder, those of attention.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "compute/narrow.h"

enum {
    HIDDEN = 384,
    HEADS = 12,
    HEAD = HIDDEN / HEADS,
    INNER = 1536,
    LAYERS = 6,
    LONGEST = 256,
    MOST_ROWS = 1024,
    MOST_REPETITIONS = 101
};

typedef enum step { QKV, ATTENTION, OUTPUT, UP, DOWN, STEPS, UP_ALONE = STEPS } step;
static const char *const step_names[STEPS + 1] = {"qkv",     "attention", "output+norm",
                                                  "up+gelu", "down+norm", "up"};
/* n and k of each step's product. */
static const uint32_t shapes[STEPS + 1][2] = {{3 * HIDDEN, HIDDEN}, {0, 0},
                                              {HIDDEN, HIDDEN},     {INNER, HIDDEN},
                                              {HIDDEN, INNER},      {INNER, HIDDEN}};

typedef struct bench_options {
    bool json, product, attention, norm, encoder;
    fby_isa isa;
    fby_precision precision;
    uint32_t rows; /* 0: several */
    uint32_t repetitions;
} bench_options;

typedef struct bench {
    bench_options options;
    const fby_kernels *kernels;
    const fby_narrow *narrow; /* NULL at f32 */
    void *x_operand, *mixed_operand, *inner_operand;
    fby_linear linear[LAYERS][STEPS];
    fby_layer_norm norm;
    char *packed;
    float *gamma, *beta, *x, *qkv, *mixed, *inner, *out;
    void *scratch;
    uint64_t random;
} bench;

/* Time that this thread ran: on a busy machine, what others took does not count. */
static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t next_random(bench *b)
{
    uint64_t z = b->random += 0x9e3779b97f4a7c15u; /* splitmix64 (Steele, Lea, Flood 2014) */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static float random_float(bench *b)
{
    return (float)(int32_t)(next_random(b) >> 32) * 0x1p-31f;
}

static void *memory(size_t bytes)
{
    void *p = aligned_alloc(64, fby_align_up(bytes, 64));
    if (p == NULL) {
        perror("bench_kernels");
        exit(1);
    }
    memset(p, 0, fby_align_up(bytes, 64));
    return p;
}

static float *random_floats(bench *b, size_t count, float size)
{
    float *x = memory(count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = random_float(b) * size;
    return x;
}

static size_t packed_bytes(const bench *b, uint32_t n, uint32_t k)
{
    return b->narrow != NULL ? b->narrow->packed_bytes(n, k) : b->kernels->packed_bytes(n, k);
}

static void pack(const bench *b, const float *w, uint32_t n, uint32_t k, void *packed)
{
    if (b->narrow != NULL)
        b->narrow->pack(w, w, w, n, k, packed);
    else
        b->kernels->pack(w, w, n, k, packed);
}

/* All layers' weights one after another, in the order of use. */
static void make_weights(bench *b)
{
    float *w = random_floats(b, (size_t)INNER * HIDDEN, 0.05f);
    size_t layer = 0;
    for (int s = 0; s < STEPS; s++)
        if (shapes[s][0] != 0)
            layer += packed_bytes(b, shapes[s][0], shapes[s][1]);
    b->packed = memory(layer * LAYERS);
    char *at = b->packed;
    for (int l = 0; l < LAYERS; l++)
        for (int s = 0; s < STEPS; s++) {
            uint32_t n = shapes[s][0], k = shapes[s][1];
            if (n == 0)
                continue;
            pack(b, w, n, k, at);
            b->linear[l][s] = (fby_linear){at, n, k};
            at += packed_bytes(b, n, k);
        }
    free(w);
}

/* What the first layer's products read; the others' operands differ only in what is apart. */
static void make_operands(bench *b)
{
    const fby_narrow *narrow = b->narrow;
    if (narrow == NULL)
        return;
    b->x_operand = memory(MOST_ROWS * narrow->operand_bytes(HIDDEN));
    b->mixed_operand = memory(MOST_ROWS * narrow->operand_bytes(HIDDEN));
    b->inner_operand = memory(MOST_ROWS * narrow->operand_bytes(INNER));
    narrow->operand(&b->linear[0][QKV], b->x, HIDDEN, MOST_ROWS, b->x_operand);
    narrow->operand(&b->linear[0][OUTPUT], b->mixed, HIDDEN, MOST_ROWS, b->mixed_operand);
    narrow->operand(&b->linear[0][DOWN], b->inner, INNER, MOST_ROWS, b->inner_operand);
}

static bench bench_new(const bench_options *options)
{
    bench b = {.options = *options, .kernels = fby_kernels_for(options->isa), .random = 1};
    b.narrow = fby_narrow_for(options->precision, options->isa);
    make_weights(&b);
    b.gamma = random_floats(&b, HIDDEN, 1.0f);
    b.beta = random_floats(&b, HIDDEN, 1.0f);
    b.norm = (fby_layer_norm){b.gamma, b.beta, 1e-12f, HIDDEN};
    b.x = random_floats(&b, (size_t)MOST_ROWS * HIDDEN, 1.0f);
    b.qkv = random_floats(&b, (size_t)MOST_ROWS * 3 * HIDDEN, 1.0f);
    b.mixed = random_floats(&b, (size_t)MOST_ROWS * HIDDEN, 1.0f);
    b.inner = random_floats(&b, (size_t)MOST_ROWS * INNER, 1.0f);
    b.out = memory((size_t)MOST_ROWS * INNER * sizeof(float));
    size_t scratch = b.kernels->attention_scratch(MOST_ROWS, HEAD);
    if (b.narrow != NULL && b.narrow->attention != NULL)
        scratch = fby_max_size(scratch, b.narrow->attention_scratch(MOST_ROWS, HEAD));
    b.scratch = memory(scratch);
    make_operands(&b);
    return b;
}

static void bench_free(bench *b)
{
    void *all[] = {b->packed,  b->gamma,     b->beta,          b->x,
                   b->qkv,     b->mixed,     b->inner,         b->out,
                   b->scratch, b->x_operand, b->mixed_operand, b->inner_operand};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct spread {
    double low, median, high; /* quartiles */
} spread;

static spread spread_of(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, compare);
    return (spread){values[count / 4], values[count / 2], values[count * 3 / 4]};
}

static void run_narrow(bench *b, int layer, step s, uint32_t rows)
{
    const fby_linear *linear = b->linear[layer];
    switch (s) {
    case QKV:
        b->narrow->linear(&linear[QKV], FBY_ACTIVATION_NONE, b->x_operand, rows, b->out,
                          3 * HIDDEN);
        return;
    case UP_ALONE:
        b->narrow->linear(&linear[UP], FBY_ACTIVATION_NONE, b->x_operand, rows, b->out, INNER);
        return;
    case UP:
        b->narrow->linear_operand(&linear[UP], FBY_ACTIVATION_GELU_ERF, b->x_operand, rows,
                                  &linear[DOWN], b->out, INNER, b->inner_operand);
        return;
    case OUTPUT:
        b->narrow->linear_residual_norm(&linear[OUTPUT], &b->norm, b->mixed_operand, b->x, HIDDEN,
                                        rows, b->out, HIDDEN, &linear[UP], b->x_operand);
        return;
    case DOWN:
        b->narrow->linear_residual_norm(&linear[DOWN], &b->norm, b->inner_operand, b->x, HIDDEN,
                                        rows, b->out, HIDDEN, &linear[QKV], b->x_operand);
        return;
    default:
        return;
    }
}

/* The product of one layer's step, `rows` rows. */
static void run_product(bench *b, int layer, step s, uint32_t rows)
{
    const fby_linear *linear = &b->linear[layer][s == UP_ALONE ? UP : s];
    if (b->narrow != NULL) {
        run_narrow(b, layer, s, rows);
        return;
    }
    switch (s) {
    case QKV:
        b->kernels->linear(linear, FBY_ACTIVATION_NONE, b->x, HIDDEN, rows, b->out, 3 * HIDDEN);
        return;
    case UP_ALONE:
        b->kernels->linear(linear, FBY_ACTIVATION_NONE, b->x, HIDDEN, rows, b->out, INNER);
        return;
    case UP:
        b->kernels->linear(linear, FBY_ACTIVATION_GELU_ERF, b->x, HIDDEN, rows, b->out, INNER);
        return;
    case OUTPUT:
        b->kernels->linear_residual_norm(linear, &b->norm, b->mixed, HIDDEN, b->x, HIDDEN, rows,
                                         b->out, HIDDEN);
        return;
    case DOWN:
        b->kernels->linear_residual_norm(linear, &b->norm, b->inner, INNER, b->x, HIDDEN, rows,
                                         b->out, HIDDEN);
        return;
    default:
        return;
    }
}

static void print_head(const bench *b, const char *what)
{
    printf("{\"bench\": \"%s\", \"cpu\": \"%s\", \"isa\": \"%s\", \"precision\": \"%s\", "
           "\"kernels\": \"%s\", "
           "\"repetitions\": %u",
           what, fby_cpu_model(), fby_isa_name(b->options.isa),
           fby_precision_name(b->options.precision),
           b->narrow != NULL ? b->narrow->name : b->kernels->name, b->options.repetitions);
}

static void print_rate(const bench *b, spread rate, double peak)
{
    if (b->options.json)
        printf(", \"gflops\": %.2f, \"gflops_low\": %.2f, \"gflops_high\": %.2f, "
               "\"peak_gflops\": %.2f, \"share_of_peak\": %.4f}\n",
               rate.median, rate.low, rate.high, peak, rate.median / peak);
    else
        printf(" %8.1f GFLOP/s  (%.1f - %.1f)  %5.1f %%\n", rate.median, rate.low, rate.high,
               100.0 * rate.median / peak);
}

/* Of the text whose first row is `first`. */
static void run_attention(bench *b, uint32_t first, uint32_t tokens)
{
    const float scale = 0.17677669f;
    float *out = b->mixed + (size_t)first * HIDDEN;
    size_t at = (size_t)first * 3 * HIDDEN;
    if (b->narrow != NULL && b->narrow->attention != NULL) {
        const uint16_t *narrow = (const uint16_t *)b->qkv + at;
        b->narrow->attention(narrow, narrow + HIDDEN, narrow + 2 * HIDDEN, 3 * HIDDEN, tokens,
                             HEADS, HEAD, scale, b->scratch, out, HIDDEN);
        return;
    }
    const float *qkv = b->qkv + at;
    b->kernels->attention(qkv, qkv + HIDDEN, qkv + 2 * HIDDEN, 3 * HIDDEN, tokens, HEADS, HEAD,
                          scale, b->scratch, out, HIDDEN);
}

/* `size` is rows or tokens. */
static void run_step(bench *b, step s, uint32_t size)
{
    if (s == ATTENTION)
        run_attention(b, 0, size);
    else
        for (int layer = 0; layer < LAYERS; layer++)
            run_product(b, layer, s, size);
}

static spread measure(bench *b, step s, uint32_t size, double operations)
{
    double rates[MOST_REPETITIONS];
    for (uint32_t i = 0; i < b->options.repetitions; i++) {
        uint64_t start = cpu_ns(), took = 0;
        int rounds = 0;
        do {
            run_step(b, s, size);
            rounds++;
            took = cpu_ns() - start;
        } while (took < 5000000);
        rates[i] = operations * rounds / (double)took;
    }
    return spread_of(rates, b->options.repetitions);
}

static void bench_product(bench *b, step s, uint32_t rows)
{
    double peak = fby_narrow_peak(b->options.precision, b->options.isa) / 1e9;
    spread rate = measure(b, s, rows, 2.0 * rows * shapes[s][0] * shapes[s][1] * LAYERS);
    if (b->options.json) {
        print_head(b, "product");
        printf(", \"step\": \"%s\", \"n\": %u, \"k\": %u, \"rows\": %u", step_names[s],
               shapes[s][0], shapes[s][1], rows);
    } else {
        printf("%-12s %5u x %-5u %5u rows", step_names[s], shapes[s][0], shapes[s][1], rows);
    }
    print_rate(b, rate, peak);
}

static void bench_attention(bench *b)
{
    static const uint32_t several[] = {8, 16, 26, 42, 64, 86, 128, 256, 512, 1024};
    for (size_t i = 0; i < sizeof several / sizeof several[0]; i++) {
        uint32_t tokens = several[i];
        double peak = fby_narrow_peak(b->options.precision, b->options.isa) / 1e9;
        spread rate = measure(b, ATTENTION, tokens, 4.0 * tokens * tokens * HIDDEN);
        if (b->options.json) {
            print_head(b, "attention");
            printf(", \"tokens\": %u", tokens);
        } else {
            printf("attention                  %5u tokens", tokens);
        }
        print_rate(b, rate, peak);
    }
}

static void bench_norm(bench *b)
{
    enum { ROWS = 128, ROUNDS = 200 };
    double ns[MOST_REPETITIONS];
    for (uint32_t i = 0; i < b->options.repetitions; i++) {
        uint64_t start = cpu_ns();
        for (int round = 0; round < ROUNDS; round++)
            b->kernels->layer_norm(&b->norm, b->x, HIDDEN, ROWS);
        ns[i] = (double)(cpu_ns() - start) / ROUNDS / ROWS;
    }
    spread row = spread_of(ns, b->options.repetitions);
    if (b->options.json) {
        print_head(b, "norm");
        printf(", \"n\": %u, \"rows\": %u, \"ns_per_row\": %.2f, \"ns_per_row_low\": %.2f, "
               "\"ns_per_row_high\": %.2f}\n",
               HIDDEN, ROWS, row.median, row.low, row.high);
    } else {
        printf("norm         %5u         %5u rows %8.1f ns a row  (%.1f - %.1f)\n", HIDDEN, ROWS,
               row.median, row.low, row.high);
    }
}

static void bench_products(bench *b)
{
    static const uint32_t several[] = {8, 16, 32, 42, 64, 84, 126, 128, 256, 512};
    for (int s = 0; s <= UP_ALONE; s++)
        for (size_t i = 0; i < sizeof several / sizeof several[0] && shapes[s][0] != 0; i++)
            if (b->options.rows == 0 || i == 0)
                bench_product(b, (step)s, b->options.rows != 0 ? b->options.rows : several[i]);
}

/* Lengths of a log-normal distribution with median 26 and 86 at 90 %, from 3 to 256. */
static uint32_t random_length(bench *b)
{
    double u = ((double)(next_random(b) >> 11) + 0.5) * 0x1p-53;
    double v = ((double)(next_random(b) >> 11) + 0.5) * 0x1p-53;
    double normal = sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v); /* Box and Muller 1958 */
    double length = exp(log(26.0) + 0.93 * normal);
    return length < 3.0 ? 3 : length > LONGEST ? LONGEST : (uint32_t)length;
}

typedef struct text_batch {
    uint32_t rows, texts, starts[MOST_ROWS + 1];
} text_batch;

static text_batch make_batch(bench *b, uint32_t most)
{
    text_batch made = {0};
    for (;;) {
        uint32_t length = random_length(b);
        if (made.rows + length > most && made.texts != 0)
            return made;
        made.rows += length;
        made.starts[++made.texts] = made.rows;
    }
}

static double batch_operations(const text_batch *batch)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < batch->texts; i++) {
        double tokens = batch->starts[i + 1] - batch->starts[i];
        sum += tokens * tokens * 4.0 * HIDDEN;
    }
    for (int s = 0; s < STEPS; s++)
        sum += 2.0 * batch->rows * shapes[s][0] * shapes[s][1];
    return sum * LAYERS;
}

static void add_time(uint64_t *total, uint64_t *mark)
{
    uint64_t now = cpu_ns();
    *total += now - *mark;
    *mark = now;
}

static void run_narrow_layer(bench *b, int layer, const text_batch *batch, uint64_t ns[STEPS])
{
    const fby_narrow *narrow = b->narrow;
    const fby_linear *linear = b->linear[layer];
    uint64_t mark = cpu_ns();
    uint32_t rows = batch->rows, block = fby_narrow_block_rows(narrow, rows, INNER);
    size_t operand = narrow->operand_bytes(HIDDEN);

    if (narrow->attention != NULL)
        narrow->linear_bf16(&linear[QKV], b->x_operand, rows, (uint16_t *)b->qkv, 3 * HIDDEN);
    else
        narrow->linear(&linear[QKV], FBY_ACTIVATION_NONE, b->x_operand, rows, b->qkv, 3 * HIDDEN);
    add_time(&ns[QKV], &mark);
    for (uint32_t i = 0; i < batch->texts; i++) {
        uint32_t first = batch->starts[i];
        run_attention(b, first, batch->starts[i + 1] - first);
    }
    narrow->operand(&linear[OUTPUT], b->mixed, HIDDEN, rows, b->mixed_operand);
    add_time(&ns[ATTENTION], &mark);
    narrow->linear_residual_norm(&linear[OUTPUT], &b->norm, b->mixed_operand, b->x, HIDDEN, rows,
                                 b->x, HIDDEN, &linear[UP], b->x_operand);
    add_time(&ns[OUTPUT], &mark);
    for (uint32_t first = 0; first < rows; first += block) {
        uint32_t count = fby_min_u32(block, rows - first);
        float *x = b->x + (size_t)first * HIDDEN;
        char *x_operand = (char *)b->x_operand + first * operand;
        narrow->linear_operand(&linear[UP], FBY_ACTIVATION_GELU_ERF, x_operand, count,
                               &linear[DOWN], b->inner, INNER, b->inner_operand);
        add_time(&ns[UP], &mark);
        narrow->linear_residual_norm(&linear[DOWN], &b->norm, b->inner_operand, x, HIDDEN, count, x,
                                     HIDDEN, &linear[QKV], x_operand);
        add_time(&ns[DOWN], &mark);
    }
}

static void run_layer(bench *b, int layer, const text_batch *batch, uint64_t ns[STEPS])
{
    const fby_kernels *kernels = b->kernels;
    const fby_linear *linear = b->linear[layer];
    uint64_t mark = cpu_ns();
    uint32_t rows = batch->rows, block = fby_kernels_block_rows(kernels, rows, INNER);

    kernels->linear(&linear[QKV], FBY_ACTIVATION_NONE, b->x, HIDDEN, rows, b->qkv, 3 * HIDDEN);
    add_time(&ns[QKV], &mark);
    for (uint32_t i = 0; i < batch->texts; i++) {
        uint32_t first = batch->starts[i];
        const float *qkv = b->qkv + (size_t)first * 3 * HIDDEN;
        kernels->attention(qkv, qkv + HIDDEN, qkv + 2 * HIDDEN, 3 * HIDDEN,
                           batch->starts[i + 1] - first, HEADS, HEAD, 0.17677669f, b->scratch,
                           b->mixed + (size_t)first * HIDDEN, HIDDEN);
    }
    add_time(&ns[ATTENTION], &mark);
    kernels->linear_residual_norm(&linear[OUTPUT], &b->norm, b->mixed, HIDDEN, b->x, HIDDEN, rows,
                                  b->x, HIDDEN);
    add_time(&ns[OUTPUT], &mark);

    for (uint32_t first = 0; first < rows; first += block) {
        uint32_t count = fby_min_u32(block, rows - first);
        float *x = b->x + (size_t)first * HIDDEN;
        kernels->linear(&linear[UP], FBY_ACTIVATION_GELU_ERF, x, HIDDEN, count, b->inner, INNER);
        add_time(&ns[UP], &mark);
        kernels->linear_residual_norm(&linear[DOWN], &b->norm, b->inner, INNER, x, HIDDEN, count, x,
                                      HIDDEN);
        add_time(&ns[DOWN], &mark);
    }
}

/* About 0.3 s of batches; returns operations a nanosecond, adds each step's time to `ns`. */
static double run_batches(bench *b, uint32_t most, uint64_t ns[STEPS], uint64_t *tokens)
{
    double operations = 0.0;
    uint64_t took = 0;
    while (took < 300000000) {
        text_batch batch = make_batch(b, most);
        uint64_t start = cpu_ns();
        for (int layer = 0; layer < LAYERS; layer++)
            if (b->narrow != NULL)
                run_narrow_layer(b, layer, &batch, ns);
            else
                run_layer(b, layer, &batch, ns);
        took += cpu_ns() - start;
        operations += batch_operations(&batch);
        *tokens += batch.rows;
    }
    return operations / (double)took;
}

static void bench_encoder(bench *b, uint32_t most)
{
    double shares[MOST_REPETITIONS], rates[MOST_REPETITIONS];
    uint64_t ns[STEPS] = {0}, all = 0, tokens = 0;
    for (uint32_t i = 0; i < b->options.repetitions; i++) {
        double peak = fby_narrow_peak(b->options.precision, b->options.isa) / 1e9;
        rates[i] = run_batches(b, most, ns, &tokens);
        shares[i] = rates[i] / peak;
    }
    for (int s = 0; s < STEPS; s++)
        all += ns[s];
    spread share = spread_of(shares, b->options.repetitions);
    double rate = spread_of(rates, b->options.repetitions).median;
    double tokens_per_s = (double)tokens * 1e9 / (double)all;
    if (b->options.json) {
        print_head(b, "encoder");
        printf(", \"rows\": %u, \"tokens_per_s\": %.0f, \"gflops\": %.2f, \"share_of_peak\": %.4f, "
               "\"share_of_peak_low\": %.4f, \"share_of_peak_high\": %.4f",
               most, tokens_per_s, rate, share.median, share.low, share.high);
        for (int s = 0; s < STEPS; s++)
            printf(", \"%s_share_of_time\": %.4f", step_names[s], (double)ns[s] / (double)all);
        printf("}\n");
        return;
    }
    printf("six layers   %5u rows %8.0f tokens/s %8.1f GFLOP/s  %5.1f %% of peak (%.1f - %.1f)\n ",
           most, tokens_per_s, rate, 100 * share.median, 100 * share.low, 100 * share.high);
    for (int s = 0; s < STEPS; s++) {
        printf(" %s %.1f %%", step_names[s], 100.0 * (double)ns[s] / (double)all);
        if (shapes[s][0] != 0)
            printf(" (%.1f GFLOP/s)",
                   2.0 * (double)tokens * shapes[s][0] * shapes[s][1] * LAYERS / (double)ns[s]);
        printf(s + 1 < STEPS ? "," : "\n");
    }
}

static void bench_encoders(bench *b)
{
    static const uint32_t several[] = {64, 126, 168, 252, 512};
    for (size_t i = 0; i < sizeof several / sizeof several[0]; i++)
        if (b->options.rows == 0 || i == 0)
            bench_encoder(b, b->options.rows != 0 ? b->options.rows : several[i]);
}

static bool parse_isa(const char *word, fby_isa *isa)
{
    for (int i = 0; i < FBY_ISA_COUNT; i++)
        if (strcmp(word, fby_isa_name((fby_isa)i)) == 0 && fby_isa_available((fby_isa)i)) {
            *isa = (fby_isa)i;
            return true;
        }
    fprintf(stderr, "bench_kernels: %s: not an instruction set of this machine\n", word);
    return false;
}

static bool parse_precision(const char *word, fby_precision *precision)
{
    for (int i = 0; i <= FBY_PRECISION_INT8; i++)
        if (strcmp(word, fby_precision_name((fby_precision)i)) == 0) {
            *precision = (fby_precision)i;
            return true;
        }
    fprintf(stderr, "bench_kernels: %s: expected f32, bf16 or int8\n", word);
    return false;
}

static bool parse(int count, char **words, bench_options *options)
{
    *options = (bench_options){.repetitions = 9};
    if (fby_isa_select(&options->isa) != FBY_OK) {
        fprintf(stderr, "bench_kernels: %s\n", fby_last_error());
        return false;
    }
    for (int i = 1; i < count; i++) {
        const char *word = words[i], *value = i + 1 < count ? words[i + 1] : "";
        if (strcmp(word, "--json") == 0)
            options->json = true;
        else if (strcmp(word, "product") == 0)
            options->product = true;
        else if (strcmp(word, "attention") == 0)
            options->attention = true;
        else if (strcmp(word, "norm") == 0)
            options->norm = true;
        else if (strcmp(word, "encoder") == 0)
            options->encoder = true;
        else if (strcmp(word, "--rows") == 0 && ++i < count)
            options->rows = fby_min_u32((uint32_t)strtoul(value, NULL, 10), MOST_ROWS);
        else if (strcmp(word, "--repetitions") == 0 && ++i < count)
            options->repetitions =
                fby_min_u32((uint32_t)strtoul(value, NULL, 10), MOST_REPETITIONS);
        else if (strcmp(word, "--precision") == 0 && ++i < count) {
            if (!parse_precision(value, &options->precision))
                return false;
        } else if (strcmp(word, "--isa") != 0 || ++i >= count || !parse_isa(value, &options->isa))
            return false;
    }
    if (!options->product && !options->attention && !options->norm && !options->encoder)
        options->product = options->attention = options->norm = options->encoder = true;
    return options->repetitions != 0;
}

int main(int count, char **words)
{
    bench_options options;
    if (!parse(count, words, &options)) {
        fprintf(stderr, "usage: bench_kernels [--json] [--isa NAME] [--precision P] [--rows M] "
                        "[--repetitions N] [product] [attention] [norm] [encoder]\n");
        return 2;
    }
    bench b = bench_new(&options);
    if (!options.json)
        printf("%s, %s, %s kernels, peak %.1f GFLOP/s, %u repetitions\n", fby_cpu_model(),
               fby_precision_name(options.precision),
               b.narrow != NULL ? b.narrow->name : b.kernels->name,
               fby_narrow_peak(options.precision, options.isa) / 1e9, options.repetitions);
    if (options.product)
        bench_products(&b);
    if (options.attention)
        bench_attention(&b);
    if (options.norm)
        bench_norm(&b);
    if (options.encoder)
        bench_encoders(&b);
    bench_free(&b);
    return 0;
}
