/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Int8 products with AVX2, and, compiled again with FBY_AVX2_VNNI, with AVX-VNNI.
 * The format, and the sums that a product is made of: compute/int8.h.
 *
 * Tile: h rows of x, 1 … 6, by one panel of 16 columns. Registers: 2 h
 * accumulators, two vectors of the panel, some codes of x in all lanes, one product.
 *
 * AVX2: codes of x are 0 … 255 in 16 bits; weights are widened on load. A step over two
 * inputs is 2 vpmovsxbw, h broadcasts, 2 h vpmaddwd and 2 h vpaddd, all exact. Of the last
 * two in turns Zen 4 starts 3.2 a cycle: 24 at h = 6 take 7.5 cycles. vpmaddubsw would take
 * three instructions for four, but saturates unless a side has 7 bits, which costs the
 * accuracy (docs/kernels.md).
 *
 * AVX-VNNI: codes of x are 0 … 255. A step over four inputs is 2 loads, h
 * broadcasts and 2 h vpdpbusd.
 *
 * The apart inputs are 3 steps of 16-bit products before, and a shift; what zero and sum give is
 * one more. Loops, splits of rows and prefetching: compute/tiles.h.
 */
#include <immintrin.h>
#include <string.h>

#include "base/bits.h"
#include "compute/avx2/avx2.h"
#include "compute/avx2/vector.h"
#include "compute/int8.h"
#include "compute/narrow.h"
#include "compute/tables.h"
#include "compute/tiles.h"

#if !defined(FBY_AVX2_VNNI)
#define FBY_AVX2_VNNI 0
#endif

enum { PANEL = 16, VECTORS = 2, TILE = 6, GROUP = FBY_AVX2_VNNI ? 4 : 2 };

static const fby_int8_shape shape = {PANEL, GROUP, 0};

#if FBY_AVX2_VNNI
typedef uint8_t code;
#else
typedef int16_t code;
#endif

static size_t packed_bytes(uint32_t n, uint32_t k)
{
    return fby_int8_packed_bytes(shape, n, k);
}

static void pack(const float *w, const float *bias, const float *sizes, uint32_t n, uint32_t k,
                 void *packed)
{
    fby_int8_pack(shape, w, bias, sizes, n, k, packed);
}

static size_t operand_bytes(uint32_t k)
{
    return sizeof(fby_int8_row) + fby_align_up(k * sizeof(code), FBY_INT8_LINE);
}

/* ---- products ---- */

/* acc + the two products of 16 bits in each lane. As one piece: gcc 12 would put all products
 * before all sums, which do not fit into registers then. */
FBY_INLINE __m256i add_pairs(__m256i acc, __m256i a, __m256i b)
{
    __m256i products;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
            : "+x"(acc), "=&x"(products)
            : "x"(a), "x"(b));
    return acc;
}

/* One group of weights of 8 columns, as add_group() takes it. */
FBY_INLINE __m256i load_group(const char *panel, int vector)
{
#if FBY_AVX2_VNNI
    return _mm256_load_si256((const __m256i *)(const void *)(panel + 32 * vector));
#else
    return _mm256_cvtepi8_epi16(
        _mm_load_si128((const __m128i *)(const void *)(panel + 16 * vector)));
#endif
}

FBY_INLINE __m256i add_group(__m256i acc, __m256i a, __m256i b)
{
#if FBY_AVX2_VNNI == 2 /* the same instruction as AVX-512 encodes it, for tests */
    return _mm256_dpbusd_epi32(acc, a, b);
#elif FBY_AVX2_VNNI
    return _mm256_dpbusd_avx_epi32(acc, a, b);
#else
    return add_pairs(acc, a, b);
#endif
}

FBY_INLINE __m256i four_bytes(const char *x)
{
    return _mm256_set1_epi32(*(const int *)(const void *)x);
}

/* acc += two 16-bit numbers of each row by those of each column. */
FBY_INLINE void add_pairs_of(const char *x, size_t ldx, const char *panel,
                             __m256i acc[TILE][VECTORS], const int rows)
{
    FBY_UNROLL
    for (int i = 0; i < VECTORS; i++) {
        __m256i b = _mm256_load_si256((const __m256i *)(const void *)(panel + 32 * i));
        FBY_UNROLL
        for (int row = 0; row < rows; row++)
            acc[row][i] = add_pairs(acc[row][i], four_bytes(x + (size_t)row * ldx), b);
    }
}

FBY_INLINE void multiply(const fby_tile *t, __m256i acc[TILE][VECTORS], const int rows)
{
    const char *x = (const char *)t->x + offsetof(fby_int8_row, apart), *panel = t->panel;
    const size_t ldx = t->ldx, prefetch_step = t->prefetch_step;
    uintptr_t prefetch = t->prefetch;

    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = _mm256_set1_epi32(FBY_INT8_HALF);
    FBY_NO_UNROLL
    for (size_t step = FBY_INT8_APART / 2; step != 0; step--, x += 4, panel += 32 * VECTORS)
        add_pairs_of(x, ldx, panel, acc, rows);
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = _mm256_srai_epi32(acc[row][i], FBY_INT8_SHIFT);
    add_pairs_of(x, ldx, panel, acc, rows); /* zero and sum */
    panel += 32 * VECTORS;

    x = (const char *)t->x + sizeof(fby_int8_row);
    FBY_NO_UNROLL
    for (size_t step = t->steps; step != 0; step--) {
        __m256i b[VECTORS];
        FBY_UNROLL
        for (int i = 0; i < VECTORS; i++) {
            b[i] = load_group(panel, i);
            __asm__("" : "+x"(b[i])); /* as in linear.c */
        }
        _mm_prefetch((const char *)prefetch, _MM_HINT_T0);
        FBY_UNROLL
        for (int row = 0; row < rows; row++) {
            __m256i a = four_bytes(x + (size_t)row * ldx);
            FBY_UNROLL
            for (int i = 0; i < VECTORS; i++)
                acc[row][i] = add_group(acc[row][i], a, b[i]);
        }
        x += 4;
        panel += PANEL * GROUP;
        prefetch += prefetch_step;
    }
}

FBY_INLINE void run_tile(const fby_tile *t, const int rows)
{
    __m256i acc[TILE][VECTORS];
    multiply(t, acc, rows);

    const float *scale = fby_int8_scales(shape, t->panel, t->steps), *bias = scale + PANEL;
    FBY_UNROLL
    for (int i = 0; i < VECTORS; i++) {
        const __m256 scales = _mm256_load_ps(scale + 8 * i);
        const __m256 biases = _mm256_load_ps(bias + 8 * i);
        const uint32_t first = 8 * (uint32_t)i;
        const uint32_t columns = t->columns > first ? t->columns - first : 0;
        const char *x = t->x;
        float *out = t->out + first;
        const float *residual = t->residual != NULL ? t->residual + first : NULL;
        FBY_UNROLL
        for (int row = 0; row < rows; row++, x += t->ldx, out += t->ldo) {
            const fby_int8_row *head = (const fby_int8_row *)(const void *)x;
            __m256 codes = _mm256_cvtepi32_ps(acc[row][i]);
            codes = _mm256_mul_ps(codes, _mm256_set1_ps(head->scale));
            __m256 y = _mm256_fmadd_ps(codes, scales, biases);
            if (residual != NULL) {
                y = _mm256_add_ps(y, fby_avx2_load(residual, columns));
                residual += t->ldr;
            }
            fby_avx2_store(out, y, columns);
        }
    }
}

static void run_tile_of(const fby_tile *t, fby_activation activation)
{
#define RUN_TILE(height) run_tile(t, height)
    FBY_HEIGHTS(t->rows, 6, RUN_TILE)
#undef RUN_TILE
    if (activation != FBY_ACTIVATION_NONE)
        fby_avx2_activate(activation, t->out, t->ldo, t->rows, t->columns);
}

static void product(const fby_linear *linear, fby_activation activation, const void *x,
                    const float *residual, size_t ldr, uint32_t rows, float *out, size_t ldo)
{
    const fby_product p = {
        .linear = linear,
        .activation = activation,
        .panel_bytes = fby_int8_lay_out(shape, linear->k).bytes,
        .steps = fby_div_up_u32(linear->k, GROUP),
        .x = x,
        .ldx = operand_bytes(linear->k),
        .residual = residual,
        .ldr = ldr,
        .rows = rows,
        .out = out,
        .ldo = ldo,
    };
    fby_product_run(&p, TILE, PANEL, run_tile_of);
}

/* ---- rows to codes ---- */

/* 8 of x's inputs; those that are apart are 0, and those beyond k. */
FBY_INLINE __m256 rest_of(const float *x, uint32_t rest)
{
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i set = _mm256_and_si256(_mm256_set1_epi32((int)rest), bit);
    return _mm256_maskload_ps(x, _mm256_cmpeq_epi32(set, bit));
}

/* The smallest and largest of x's inputs that are not apart, and 0. */
FBY_INLINE void range_of(const float *x, const uint16_t *rest, uint32_t k, float *low, float *high)
{
    __m256i most = _mm256_setzero_si256(), least = _mm256_setzero_si256();
    for (uint32_t j = 0; j < k; j += 8) {
        __m256i value = _mm256_castps_si256(rest_of(x + j, (uint32_t)rest[j / 16] >> j % 16));
        most = _mm256_max_epi32(most, value);
        least = _mm256_max_epu32(least, value);
    }
    uint32_t lanes[2][8];
    _mm256_storeu_si256((__m256i *)(void *)lanes[0], most);
    _mm256_storeu_si256((__m256i *)(void *)lanes[1], least);
    uint32_t above = 0, below = 0;
    for (int i = 0; i < 8; i++) {
        above = lanes[0][i] > above ? lanes[0][i] : above;
        below = lanes[1][i] > below ? lanes[1][i] : below;
    }
    fby_int8_range(above, below, low, high);
}

/* The codes of the 16 inputs from x on, of which `count` exist, as 16-bit numbers. Those of apart
 * inputs meet weights of 0. */
FBY_INLINE __m256i codes_of(const float *x, uint32_t count, __m256 inverse, __m256 zero)
{
    const uint32_t second = count > 8 ? count - 8 : 0;
    __m256 left = _mm256_fmadd_ps(fby_avx2_load(x, count), inverse, zero);
    __m256 right = _mm256_fmadd_ps(second != 0 ? fby_avx2_load(x + 8, second) : _mm256_setzero_ps(),
                                   inverse, zero);
    __m256i both = _mm256_packs_epi32(_mm256_cvtps_epi32(left), _mm256_cvtps_epi32(right));
    both = _mm256_permute4x64_epi64(both, 0xd8);
    return _mm256_min_epi16(_mm256_max_epi16(both, _mm256_setzero_si256()), _mm256_set1_epi16(255));
}

static void quantize(const float *x, uint32_t k, const uint32_t *apart, const uint16_t *rest,
                     fby_int8_row *row)
{
    code *codes = (code *)(row + 1);
    float low, high;
    range_of(x, rest, k, &low, &high);
    const float scale = fby_int8_row_scale(low, high, fby_int8_apart_size(x, k, apart));
    const float by = 1.0f / scale;
    const float zero = fby_int8_zero(low, by);
    const __m256 inverse = _mm256_set1_ps(by), zeros = _mm256_set1_ps(zero);

    __m256i sums = _mm256_setzero_si256();
    memset(row, 0, operand_bytes(k));
    for (uint32_t j = 0; j < k; j += 16) {
        __m256i all = codes_of(x + j, k - j, inverse, zeros);
        if (k - j < 16) /* none beyond k */
            all = _mm256_and_si256(
                all, _mm256_cmpgt_epi16(
                         _mm256_set1_epi16((short)(k - j)),
                         _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
        sums = add_pairs(sums, all, _mm256_set1_epi16(1));
#if FBY_AVX2_VNNI
        _mm_store_si128(
            (__m128i *)(void *)(codes + j),
            _mm_packus_epi16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
#else
        _mm256_store_si256((__m256i *)(void *)(codes + j), all);
#endif
    }
    int32_t lanes[8], sum = 0;
    _mm256_storeu_si256((__m256i *)(void *)lanes, sums);
    for (int i = 0; i < 8; i++)
        sum += lanes[i];
    for (uint32_t i = 0; i < FBY_INT8_APART; i++)
        if (apart[i] < k) {
            sum -= codes[apart[i]];
            row->apart[i] = fby_int8_apart_code(x[apart[i]], by);
        }
    row->scale = scale;
    row->zero = (int16_t)-zero;
    row->sum = fby_int8_sum(shape, sum, 0, fby_int8_sum_shift(k));
}

static void operand(const fby_linear *next, const float *x, size_t ldx, uint32_t rows, void *out)
{
    const size_t bytes = operand_bytes(next->k);
    const uint32_t *apart = fby_int8_indices(shape, next);
    const uint16_t *rest = fby_int8_rest(shape, next);
    for (size_t row = 0; row < rows; row++)
        quantize(x + row * ldx, next->k, apart, rest, (fby_int8_row *)((char *)out + row * bytes));
}

static void linear(const fby_linear *linear, fby_activation activation, const void *x,
                   uint32_t rows, float *out, size_t ldo)
{
    product(linear, activation, x, NULL, 0, rows, out, ldo);
}

static void linear_operand(const fby_linear *linear, fby_activation activation, const void *x,
                           uint32_t rows, const fby_linear *next, float *wide, size_t ldw,
                           void *out)
{
    product(linear, activation, x, NULL, 0, rows, wide, ldw);
    operand(next, wide, ldw, rows, out);
}

static void linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                 const void *x, const float *residual, size_t ldr, uint32_t rows,
                                 float *out, size_t ldo, const fby_linear *next, void *out_operand)
{
    product(linear, FBY_ACTIVATION_NONE, x, residual, ldr, rows, out, ldo);
    fby_avx2_layer_norm(norm, out, ldo, rows);
    if (next != NULL)
        operand(next, out, ldo, rows, out_operand);
}

FBY_INLINE __m256i load_sink(const float *sink)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)sink);
}

/* As many groups a cycle as the core starts, as in peak.c. */
static uint64_t peak_loop(uint64_t rounds, float *sink)
{
    enum { CHAINS = 12 };
    __m256i acc[CHAINS];
    const __m256i a = load_sink(sink), b = load_sink(sink + 16);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = load_sink(sink + 8 * i);
    FBY_NO_UNROLL
    for (uint64_t round = 0; round < rounds; round++)
        FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = add_group(acc[i], a, b);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        _mm256_storeu_si256((__m256i *)(void *)(sink + 8 * i), acc[i]);
    return rounds * CHAINS * 8 * GROUP * 2;
}

#if FBY_AVX2_VNNI == 2
extern const fby_narrow fby_int8_avxvnni_for_tests;
const fby_narrow fby_int8_avxvnni_for_tests = {
#elif FBY_AVX2_VNNI
const fby_narrow fby_int8_avxvnni = {
#else
const fby_narrow fby_int8_avx2 = {
#endif
    .name = FBY_AVX2_VNNI ? "avxvnni" : "avx2",
    .precision = "int8",
    .version = 5,
    .panel_width = PANEL,
    .row_tile = TILE,
    .wants_sizes = true,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .operand_bytes = operand_bytes,
    .operand = operand,
    .linear = linear,
    .linear_operand = linear_operand,
    .linear_residual_norm = linear_residual_norm,
    .peak_loop = peak_loop,
};
