/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The products of all-MiniLM-L6-v2's layers beside oneDNN's, OpenBLAS's and BLIS's, in turns, on
 * one thread, and beside the peak of the instructions.
 *
 *     kernel_peers [--json] [--repetitions N] [f32] [bf16] [int8]
 *
 * Everyone goes round the weights of six layers, each in its own packed form (BLAS has none), and
 * writes f32. Ours adds the bias, and at int8 each row's scale and zero and the apart inputs;
 * oneDNN adds the bias and, at int8, the columns' scales; BLAS adds nothing. Left sides are there
 * already, rounded or quantised. Time is the thread's own. A ratio is the median of ratios turn by
 * turn, above 1 where ours is faster.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <oneapi/dnnl/dnnl.h>

#include "base/bits.h"
#include "compute/bf16.h"
#include "compute/narrow.h"

enum { LAYERS = 6, MOST_ROWS = 512, MOST_N = 1536, MOST_K = 1536, MOST_REPETITIONS = 101 };
enum { TURN_NS = 4000000 };
enum peer { OURS, ONEDNN, OPENBLAS, BLIS, PEERS };
static const char *const peer_names[PEERS] = {"forebay", "onednn", "openblas", "blis"};
static const uint32_t shapes[][2] = {{1152, 384}, {384, 384}, {1536, 384}, {384, 1536}};
static const uint32_t heights[] = {8, 32, 126, 512};

/* cblas_sgemm: row-major 101, plain 111, transposed 112. */
typedef void (*sgemm)(int, int, int, int, int, int, float, const float *, int, const float *, int,
                      float, float *, int);

typedef struct bench {
    fby_isa isa;
    bool json;
    uint32_t repetitions;
    fby_precision precision;
    sgemm blas[PEERS];
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    /* (LAYERS, n, k) weights, as the peers' own types too; rows; results. */
    float *w, *x, *out, *bias;
    uint16_t *w16, *x16;
    int8_t *w8;
    uint8_t *x8;
} bench;

/* One product: ours packed, oneDNN's primitive with its weights. */
typedef struct product {
    uint32_t rows, n, k;
    fby_linear linear[LAYERS];
    char *packed;
    void *operand;
    dnnl_primitive_t primitive;
    dnnl_memory_t src, dst, bias, weights[LAYERS];
} product;

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *memory(size_t bytes)
{
    void *p = aligned_alloc(64, fby_align_up(bytes, 64));
    if (p == NULL) {
        perror("kernel_peers");
        exit(1);
    }
    memset(p, 0, fby_align_up(bytes, 64));
    return p;
}

static void check(dnnl_status_t status)
{
    if (status != dnnl_success) {
        fprintf(stderr, "kernel_peers: oneDNN status %d\n", (int)status);
        exit(1);
    }
}

static sgemm find_sgemm(const char *library)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    void *symbol = handle != NULL ? dlsym(handle, "cblas_sgemm") : NULL;
    sgemm found = NULL;
    memcpy(&found, &symbol, sizeof found);
    if (found == NULL)
        fprintf(stderr, "kernel_peers: without %s\n", library);
    return found;
}

/* Of OpenMP, whose library has read its variable by now; of the others before they are loaded. */
static void one_thread(void)
{
    void (*set)(int) = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&set, &symbol, sizeof set);
    if (set != NULL)
        set(1);
    setenv("OMP_NUM_THREADS", "1", 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    setenv("BLIS_NUM_THREADS", "1", 1);
}

static void fill(bench *b)
{
    const size_t weights = (size_t)LAYERS * MOST_N * 384, rows = (size_t)MOST_ROWS * MOST_K;
    uint64_t random = 1;
    b->w = memory(weights * sizeof(float));
    b->w16 = memory(weights * sizeof(uint16_t));
    b->w8 = memory(weights);
    b->x = memory(rows * sizeof(float));
    b->x16 = memory(rows * sizeof(uint16_t));
    b->x8 = memory(rows);
    b->out = memory(rows * sizeof(float));
    b->bias = memory(MOST_N * sizeof(float));
    for (size_t i = 0; i < weights; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u; /* Knuth's */
        b->w[i] = (float)(int32_t)(random >> 32) * 0x1p-36f;
        b->w16[i] = fby_bf16_of(b->w[i]);
        b->w8[i] = (int8_t)(random >> 56);
    }
    for (size_t i = 0; i < rows; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        b->x[i] = (float)(int32_t)(random >> 32) * 0x1p-31f;
        b->x16[i] = fby_bf16_of(b->x[i]);
        b->x8[i] = (uint8_t)(random >> 56);
    }
}

/* ---- ours ---- */

static void make_ours(const bench *b, product *p)
{
    const fby_kernels *kernels = fby_kernels_for(b->isa);
    const fby_narrow *narrow = fby_narrow_for(b->precision, b->isa);
    size_t bytes =
        narrow != NULL ? narrow->packed_bytes(p->n, p->k) : kernels->packed_bytes(p->n, p->k);
    p->packed = memory(LAYERS * bytes);
    for (uint32_t i = 0; i < LAYERS; i++) {
        const float *w = b->w + (size_t)i * p->n * p->k;
        p->linear[i] = (fby_linear){p->packed + i * bytes, p->n, p->k};
        if (narrow != NULL)
            narrow->pack(w, b->bias, b->x, p->n, p->k, p->packed + i * bytes);
        else
            kernels->pack(w, b->bias, p->n, p->k, p->packed + i * bytes);
    }
    if (narrow == NULL)
        return;
    p->operand = memory(p->rows * narrow->operand_bytes(p->k));
    narrow->operand(&p->linear[0], b->x, p->k, p->rows, p->operand);
}

static void run_ours(const bench *b, const product *p)
{
    const fby_narrow *narrow = fby_narrow_for(b->precision, b->isa);
    for (uint32_t i = 0; i < LAYERS; i++)
        if (narrow != NULL)
            narrow->linear(&p->linear[i], FBY_ACTIVATION_NONE, p->operand, p->rows, b->out, p->n);
        else
            fby_kernels_for(b->isa)->linear(&p->linear[i], FBY_ACTIVATION_NONE, b->x, p->k, p->rows,
                                            b->out, p->n);
}

/* ---- oneDNN ---- */

static dnnl_memory_desc_t describe(uint32_t rows, uint32_t columns, dnnl_data_type_t type,
                                   dnnl_format_tag_t tag)
{
    const dnnl_dims_t dims = {rows, columns};
    dnnl_memory_desc_t d;
    check(dnnl_memory_desc_init_by_tag(&d, 2, dims, type, tag));
    return d;
}

/* Its weights in the form that the primitive asks for. */
static dnnl_memory_t reorder(const bench *b, const dnnl_memory_desc_t *from, void *data,
                             const dnnl_memory_desc_t *to)
{
    dnnl_memory_t source, target;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    check(dnnl_memory_create(&source, from, b->engine, data));
    check(dnnl_memory_create(&target, to, b->engine, DNNL_MEMORY_ALLOCATE));
    check(dnnl_reorder_primitive_desc_create(&description, from, b->engine, to, b->engine, NULL));
    check(dnnl_primitive_create(&primitive, description));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}};
    check(dnnl_primitive_execute(primitive, b->stream, 2, args));
    check(dnnl_stream_wait(b->stream));
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(description);
    dnnl_memory_destroy(source);
    return target;
}

static void make_onednn(const bench *b, product *p)
{
    static const dnnl_data_type_t left[] = {dnnl_f32, dnnl_bf16, dnnl_u8};
    static const dnnl_data_type_t right[] = {dnnl_f32, dnnl_bf16, dnnl_s8};
    void *const rows[] = {b->x, b->x16, b->x8};
    char *const weights[] = {(char *)b->w, (char *)b->w16, (char *)b->w8};
    static const size_t size[] = {sizeof(float), sizeof(uint16_t), 1};
    const int at = (int)b->precision;

    dnnl_memory_desc_t src = describe(p->rows, p->k, left[at], dnnl_ab);
    dnnl_memory_desc_t plain = describe(p->k, p->n, right[at], dnnl_ba);
    dnnl_memory_desc_t any = describe(p->k, p->n, right[at], dnnl_format_tag_any);
    dnnl_memory_desc_t bias = describe(1, p->n, dnnl_f32, dnnl_ab);
    dnnl_memory_desc_t dst = describe(p->rows, p->n, dnnl_f32, dnnl_ab);
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t description;
    check(dnnl_matmul_desc_init(&matmul, &src, &any, &bias, &dst));
    check(dnnl_primitive_attr_create(&attr));
    if (b->precision == FBY_PRECISION_INT8)
        check(dnnl_primitive_attr_set_output_scales(attr, (dnnl_dim_t)p->n, 2, b->x));
    check(dnnl_primitive_desc_create(&description, &matmul, attr, b->engine, NULL));
    check(dnnl_primitive_create(&p->primitive, description));
    const dnnl_memory_desc_t *wanted =
        dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
    for (size_t i = 0; i < LAYERS; i++)
        p->weights[i] = reorder(b, &plain, weights[at] + i * p->n * p->k * size[at], wanted);
    check(dnnl_memory_create(&p->src, &src, b->engine, rows[at]));
    check(dnnl_memory_create(&p->bias, &bias, b->engine, b->bias));
    check(dnnl_memory_create(&p->dst, &dst, b->engine, b->out));
    dnnl_primitive_desc_destroy(description);
    dnnl_primitive_attr_destroy(attr);
}

static void run_onednn(const bench *b, const product *p)
{
    for (uint32_t i = 0; i < LAYERS; i++) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, p->src},
                                        {DNNL_ARG_WEIGHTS, p->weights[i]},
                                        {DNNL_ARG_BIAS, p->bias},
                                        {DNNL_ARG_DST, p->dst}};
        check(dnnl_primitive_execute(p->primitive, b->stream, 4, args));
    }
    check(dnnl_stream_wait(b->stream));
}

static void free_product(product *p)
{
    free(p->packed);
    free(p->operand);
    dnnl_primitive_destroy(p->primitive);
    for (uint32_t i = 0; i < LAYERS; i++)
        dnnl_memory_destroy(p->weights[i]);
    dnnl_memory_destroy(p->src);
    dnnl_memory_destroy(p->bias);
    dnnl_memory_destroy(p->dst);
}

/* ---- turns ---- */

static void run_blas(const bench *b, const product *p, sgemm multiply)
{
    int rows = (int)p->rows, n = (int)p->n, k = (int)p->k;
    for (size_t i = 0; i < LAYERS; i++)
        multiply(101, 111, 112, rows, n, k, 1.0f, b->x, k, b->w + i * p->n * p->k, k, 0.0f, b->out,
                 n);
}

/* Operations a nanosecond, over about TURN_NS. */
static double turn(const bench *b, const product *p, enum peer peer)
{
    uint64_t start = cpu_ns(), took = 0;
    int rounds = 0;
    do {
        if (peer == OURS)
            run_ours(b, p);
        else if (peer == ONEDNN)
            run_onednn(b, p);
        else
            run_blas(b, p, b->blas[peer]);
        rounds++;
        took = cpu_ns() - start;
    } while (took < TURN_NS);
    return 2.0 * p->rows * p->n * p->k * LAYERS * rounds / (double)took;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quartile(double *values, uint32_t count, uint32_t quarters)
{
    qsort(values, count, sizeof *values, compare);
    return values[count * quarters / 4];
}

static bool takes_part(const bench *b, int peer)
{
    return peer <= ONEDNN || (b->precision == FBY_PRECISION_F32 && b->blas[peer] != NULL);
}

static void print(const bench *b, const product *p, double peak,
                  double rates[PEERS][MOST_REPETITIONS])
{
    const char *precision = fby_precision_name(b->precision);
    if (b->json)
        printf("{\"bench\": \"kernel_peers\", \"cpu\": \"%s\", \"isa\": \"%s\", \"precision\": "
               "\"%s\", \"n\": %u, \"k\": %u, \"rows\": %u, \"repetitions\": %u",
               fby_cpu_model(), fby_isa_name(b->isa), precision, p->n, p->k, p->rows,
               b->repetitions);
    else
        printf("%-5s %4u x %-4u %4u rows", precision, p->n, p->k, p->rows);
    for (int peer = 0; peer < PEERS; peer++) {
        double ratios[MOST_REPETITIONS], own[MOST_REPETITIONS];
        if (!takes_part(b, peer))
            continue;
        for (uint32_t i = 0; i < b->repetitions; i++)
            ratios[i] = rates[OURS][i] / rates[peer][i];
        memcpy(own, rates[peer], sizeof own);
        double rate = quartile(own, b->repetitions, 2), ratio = quartile(ratios, b->repetitions, 2);
        double low = quartile(ratios, b->repetitions, 1);
        double high = quartile(ratios, b->repetitions, 3);
        const char *name = peer_names[peer];
        if (b->json)
            printf(", \"%s_gflops\": %.1f, \"%s_ratio\": %.3f, \"%s_ratio_low\": %.3f, "
                   "\"%s_ratio_high\": %.3f",
                   name, rate, name, ratio, name, low, name, high);
        else if (peer == OURS)
            printf("  %s %5.1f (%2.0f %%)", name, rate, 100.0 * rate / peak);
        else
            printf("  %s %5.1f (%.2f x, %.2f - %.2f)", name, rate, ratio, low, high);
    }
    if (b->json)
        printf(", \"peak_gflops\": %.1f}", peak);
    printf("\n");
}

static void run_shape(bench *b, uint32_t rows, uint32_t n, uint32_t k)
{
    static double rates[PEERS][MOST_REPETITIONS];
    product p = {.rows = rows, .n = n, .k = k};
    double peak = fby_narrow_peak(b->precision, b->isa) / 1e9;
    make_ours(b, &p);
    make_onednn(b, &p);
    for (uint32_t i = 0; i < b->repetitions; i++)
        for (int j = 0; j < PEERS; j++) {
            int peer = (j + (int)i) % PEERS; /* who begins moves on */
            if (takes_part(b, peer))
                rates[peer][i] = turn(b, &p, (enum peer)peer);
        }
    print(b, &p, peak, rates);
    free_product(&p);
}

int main(int count, char **words)
{
    bench b = {.repetitions = 9};
    bool wanted[3] = {false, false, false};
    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "--json") == 0)
            b.json = true;
        else if (strcmp(words[i], "--repetitions") == 0 && i + 1 < count)
            b.repetitions = fby_min_u32((uint32_t)strtoul(words[++i], NULL, 10), MOST_REPETITIONS);
        else
            for (int p = 0; p < 3; p++)
                wanted[p] |= strcmp(words[i], fby_precision_name((fby_precision)p)) == 0;
    }
    one_thread();
    if (b.repetitions == 0 || fby_isa_select(&b.isa) != FBY_OK) {
        fprintf(stderr, "kernel_peers: %s\n", fby_last_error());
        return 2;
    }
    check(dnnl_engine_create(&b.engine, dnnl_cpu, 0));
    check(dnnl_stream_create(&b.stream, b.engine, dnnl_stream_default_flags));
    b.blas[OPENBLAS] = find_sgemm("libopenblas.so.0");
    b.blas[BLIS] = find_sgemm("libblis.so.4");
    fill(&b);
    bool all = !wanted[0] && !wanted[1] && !wanted[2];
    for (int p = 0; p < 3; p++) {
        b.precision = (fby_precision)p;
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0] && (all || wanted[p]); s++)
            for (size_t h = 0; h < sizeof heights / sizeof heights[0]; h++)
                run_shape(&b, heights[h], shapes[s][0], shapes[s][1]);
    }
    void *const arrays[] = {b.w, b.w16, b.w8, b.x, b.x16, b.x8, b.out, b.bias};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        free(arrays[i]);
    dnnl_stream_destroy(b.stream);
    dnnl_engine_destroy(b.engine);
    return 0;
}
