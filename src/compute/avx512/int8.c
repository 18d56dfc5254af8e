/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Int8 products with AVX512-VNNI. The format, and the sums that a product is made
 * of: compute/int8.h. Codes of a row are 0 … 255. Compiled again with
 * FBY_AVX512_BF16, what attention reads is bf16, and attention attention_bf16.c.
 *
 * Tile: h rows of x, 1 … 14, by one panel of 32 columns. Registers: 2 h
 * accumulators, two vectors of the panel, four codes of x in all lanes; 31 of 32
 * at h = 14. A step over four inputs is h broadcasts, 2 loads and 2 h vpdpbusd:
 * 28 cycles at h = 14 where a core starts one 512-bit vpdpbusd a cycle (Zen 4), 14
 * where it starts two. The apart inputs are 3 steps of vpdpwssd before, and a
 * shift; what zero and sum give is one more. 384 inputs: 100 steps; then 3 instructions
 * a vector turn sums into floats.
 *
 * Measured on Zen 4, from level 1: a tile of 384 inputs takes 2,907 cycles, of which
 * 2,688 are the inputs'; of 1,536 inputs 10,979 (97.9 %).
 *
 * Loops, splits of rows and prefetching: compute/tiles.h.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "base/bits.h"
#include "compute/avx512/attention_bf16.h"
#include "compute/avx512/avx512.h"
#include "compute/avx512/vector.h"
#include "compute/int8.h"
#include "compute/narrow.h"
#include "compute/tables.h"
#include "compute/tiles.h"

#if !defined(FBY_AVX512_BF16)
#define FBY_AVX512_BF16 0
#endif

enum { PANEL = FBY_AVX512_PANEL, TILE = FBY_AVX512_ROWS, HALF = TILE / 2, GROUP = 4 };

/* Bytes from a row's last pair to its codes. */
enum { AFTER_PAIRS = sizeof(fby_int8_row) - offsetof(fby_int8_row, zero) };

static const fby_int8_shape shape = {PANEL, GROUP, 0};

/* Of ints: gcc 12 copies and spills __m512i accumulators, 40 instead of 95 % of the peak. */
typedef int ints __attribute__((vector_size(64)));

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
    return sizeof(fby_int8_row) + fby_align_up(k, FBY_INT8_LINE);
}

/* ---- products ---- */

FBY_INLINE const char *row_at(const char *low, const char *high, size_t ldx, size_t row)
{
    return row < HALF ? low + row * ldx : high + (row - HALF) * ldx;
}

FBY_INLINE __m512i four_bytes(const char *x)
{
    return _mm512_set1_epi32(*(const int *)(const void *)x);
}

/* acc += two 16-bit numbers of each row by those of each column. */
FBY_INLINE void add_pairs(const char *low, const char *high, size_t ldx, const char *panel,
                          ints acc[TILE][2], const size_t rows)
{
    __m512i b0 = _mm512_load_si512(panel), b1 = _mm512_load_si512(panel + 64);
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++) {
        __m512i a = four_bytes(row_at(low, high, ldx, row));
        acc[row][0] = (ints)_mm512_dpwssd_epi32((__m512i)acc[row][0], a, b0);
        acc[row][1] = (ints)_mm512_dpwssd_epi32((__m512i)acc[row][1], a, b1);
    }
}

/* Sums in integers. */
FBY_INLINE void multiply(const fby_tile *t, ints acc[TILE][2], const size_t rows)
{
    const size_t ldx = t->ldx, prefetch_step = t->prefetch_step;
    const char *low = t->x, *high = low + (rows > HALF ? HALF * ldx : 0); /* as in linear.c */
    const char *panel = t->panel;
    __asm__("" : "+r"(high));
    uintptr_t prefetch = t->prefetch;

    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        acc[row][0] = acc[row][1] = (ints)_mm512_set1_epi32(FBY_INT8_HALF);
    low += offsetof(fby_int8_row, apart);
    high += offsetof(fby_int8_row, apart);
    FBY_NO_UNROLL
    for (size_t i = 0; i < FBY_INT8_APART / 2; i++, panel += 128, low += 4, high += 4)
        add_pairs(low, high, ldx, panel, acc, rows);
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++) {
        acc[row][0] >>= FBY_INT8_SHIFT;
        acc[row][1] >>= FBY_INT8_SHIFT;
    }
    add_pairs(low, high, ldx, panel, acc, rows); /* zero and sum */
    panel += 128;

    low += AFTER_PAIRS;
    high += AFTER_PAIRS;
    FBY_NO_UNROLL
    for (size_t i = t->steps; i != 0; i--) {
        __m512i b0 = _mm512_load_si512(panel), b1 = _mm512_load_si512(panel + 64);
        __asm__("" : "+v"(b0), "+v"(b1)); /* as in linear.c */
        _mm_prefetch((const char *)prefetch, _MM_HINT_T0);
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++) {
            __m512i a = four_bytes(row_at(low, high, ldx, row));
            acc[row][0] = (ints)_mm512_dpbusd_epi32((__m512i)acc[row][0], a, b0);
            acc[row][1] = (ints)_mm512_dpbusd_epi32((__m512i)acc[row][1], a, b1);
        }
        low += GROUP;
        high += GROUP;
        panel += 128;
        prefetch += prefetch_step;
    }
}

/* Whole stores can be forwarded to the activation's loads. */
FBY_INLINE void store(float *out, __m512 y, __mmask16 lanes, const bool whole)
{
    if (whole)
        _mm512_storeu_ps(out, y);
    else
        _mm512_mask_storeu_ps(out, lanes, y);
}

/* Sums become numbers. */
FBY_INLINE void finish(const fby_tile *t, ints acc[TILE][2], const size_t rows, const bool whole)
{
    const float *scale = fby_int8_scales(shape, t->panel, t->steps), *bias = scale + PANEL;
    FBY_UNROLL
    for (size_t i = 0; i < 2; i++) {
        const __m512 scales = _mm512_load_ps(scale + 16 * i);
        const __m512 biases = _mm512_load_ps(bias + 16 * i);
        const __mmask16 lanes = fby_avx512_lanes(t->columns, (uint32_t)i);
        const char *x = t->x;
        float *out = t->out != NULL ? t->out + 16 * i : NULL;
#if FBY_AVX512_BF16
        uint16_t *narrow = t->narrow != NULL ? t->narrow + 16 * i : NULL;
#endif
        const float *residual = t->residual != NULL ? t->residual + 16 * i : NULL;
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++, x += t->ldx) {
            const fby_int8_row *head = (const fby_int8_row *)(const void *)x;
            __m512 codes = _mm512_cvtepi32_ps((__m512i)acc[row][i]);
            codes = _mm512_mul_ps(codes, _mm512_set1_ps(head->scale));
            __m512 y = _mm512_fmadd_ps(codes, scales, biases);
            if (residual != NULL) {
                y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, residual));
                residual += t->ldr;
            }
#if FBY_AVX512_BF16
            if (narrow != NULL) {
                const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(y);
                if (whole)
                    _mm256_storeu_si256((__m256i *)(void *)narrow, rounded);
                else
                    _mm256_mask_storeu_epi16(narrow, lanes, rounded);
                narrow += t->ldo;
                continue;
            }
#endif
            store(out, y, lanes, whole);
            out += t->ldo;
        }
    }
}

FBY_INLINE void run_tile(const fby_tile *t, const size_t rows)
{
    ints acc[TILE][2];
    multiply(t, acc, rows);
    if (t->columns == PANEL)
        finish(t, acc, rows, true);
    else
        finish(t, acc, rows, false);
}

static void run_tile_of(const fby_tile *t, fby_activation activation)
{
#define RUN_TILE(height) run_tile(t, height)
    FBY_HEIGHTS(t->rows, 14, RUN_TILE)
#undef RUN_TILE
    if (activation != FBY_ACTIVATION_NONE)
        fby_avx512_activate_coarse(activation, t->out, t->ldo, t->rows, t->columns);
}

static void product(const fby_linear *linear, fby_activation activation, const void *x,
                    const float *residual, size_t ldr, uint32_t rows, float *out, uint16_t *narrow,
                    size_t ldo)
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
        .narrow = narrow,
        .ldo = ldo,
    };
    fby_product_run(&p, TILE, PANEL, run_tile_of);
}

/* ---- rows to codes ---- */

/* The smallest and largest of x's inputs that are not apart, and 0. */
FBY_INLINE void range_of(const float *x, const uint16_t *rest, uint32_t k, float *low, float *high)
{
    __m512i most[4], least[4], value[4];
    uint64_t counts;
    FBY_UNROLL
    for (uint32_t i = 0; i < 4; i++)
        most[i] = least[i] = _mm512_setzero_si512();
    uint32_t j = 0;
    for (; j + 64 <= k; j += 64) {
        memcpy(&counts, rest + j / 16, sizeof counts);
        const bool all = counts == UINT64_MAX; /* nearly always, and masks are slow to load */
        FBY_UNROLL
        for (uint32_t i = 0; i < 4; i++) {
            const float *from = x + j + 16 * i;
            const __mmask16 lanes = (__mmask16)(counts >> 16 * i);
            value[i] = all ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi32(lanes, from);
            most[i] = _mm512_max_epi32(most[i], value[i]);
            least[i] = _mm512_max_epu32(least[i], value[i]);
        }
    }
    for (; j < k; j += 16) {
        value[0] = _mm512_maskz_loadu_epi32(rest[j / 16], x + j);
        most[0] = _mm512_max_epi32(most[0], value[0]);
        least[0] = _mm512_max_epu32(least[0], value[0]);
    }
    most[0] =
        _mm512_max_epi32(_mm512_max_epi32(most[0], most[1]), _mm512_max_epi32(most[2], most[3]));
    least[0] = _mm512_max_epu32(_mm512_max_epu32(least[0], least[1]),
                                _mm512_max_epu32(least[2], least[3]));
    fby_int8_range((uint32_t)_mm512_reduce_max_epi32(most[0]), _mm512_reduce_max_epu32(least[0]),
                   low, high);
}

/* The lanes of four vectors as bytes, 0 … 255. */
FBY_INLINE __m512i bytes_of(const __m512i part[4])
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i left = _mm512_packs_epi32(part[0], part[1]);
    __m512i right = _mm512_packs_epi32(part[2], part[3]);
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(left, right));
}

FBY_INLINE __m512i codes_of(__m512 x, __m512 inverse, __m512 zero)
{
    return _mm512_cvtps_epi32(_mm512_fmadd_ps(x, inverse, zero));
}

/* k inputs to codes, zeros for apart ones and up to the row's end; returns the codes' sum. */
FBY_INLINE uint64_t write_codes(const float *x, const uint16_t *rest, uint32_t k, __m512 inverse,
                                __m512 zero, uint8_t *codes)
{
    __m512i part[4], sum = _mm512_setzero_si512();
    uint64_t counts;
    uint32_t j = 0;
    for (; j + 64 <= k; j += 64) {
        FBY_UNROLL
        for (uint32_t i = 0; i < 4; i++)
            part[i] = codes_of(_mm512_loadu_ps(x + j + 16 * i), inverse, zero);
        memcpy(&counts, rest + j / 16, sizeof counts);
        __m512i all = _mm512_maskz_mov_epi8(counts, bytes_of(part));
        sum = _mm512_add_epi64(sum, _mm512_sad_epu8(all, _mm512_setzero_si512()));
        _mm512_store_si512(codes + j, all);
    }
    if (j < k) {
        counts = 0;
        FBY_UNROLL
        for (uint32_t i = 0; i < 4; i++) {
            __mmask16 lanes = fby_avx512_lanes(k - j, i);
            __m512 value =
                lanes != 0 ? _mm512_maskz_loadu_ps(lanes, x + j + 16 * i) : _mm512_setzero_ps();
            part[i] = codes_of(value, inverse, zero);
            counts |= lanes != 0 ? (uint64_t)rest[j / 16 + i] << 16 * i : 0;
        }
        __m512i all = _mm512_maskz_mov_epi8(counts, bytes_of(part));
        sum = _mm512_add_epi64(sum, _mm512_sad_epu8(all, _mm512_setzero_si512()));
        _mm512_store_si512(codes + j, all);
    }
    return (uint64_t)_mm512_reduce_add_epi64(sum);
}

/* What the rows of a layer's left side have in common. */
typedef struct left {
    uint32_t k, sum_shift;
    const uint16_t *rest;
    __m256i apart; /* indices … */
    __m256i exist; /* … of those that there are: all bits of a lane */
} left;

static left left_of(const fby_linear *next)
{
    left l = {
        .k = next->k, .sum_shift = fby_int8_sum_shift(next->k), .rest = fby_int8_rest(shape, next)};
    const __mmask8 lanes = (__mmask8)((1 << FBY_INT8_APART) - 1);
    l.apart = _mm256_mask_loadu_epi32(_mm256_set1_epi32((int)next->k), lanes,
                                      fby_int8_indices(shape, next));
    l.exist = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)next->k), l.apart);
    return l;
}

/* As fby_int8_apart_code(), all of them, and what has no input: 0. */
FBY_INLINE __m128i apart_codes(__m256 value, float inverse)
{
    const __m256 most = _mm256_set1_ps((float)FBY_INT8_X_MAX);
    __m256 code = _mm256_mul_ps(value, _mm256_set1_ps(inverse * (float)FBY_INT8_X_FINER));
    __m256 number = _mm256_and_ps(code, _mm256_cmp_ps(code, code, _CMP_ORD_Q)); /* 0 for NaN */
    number = _mm256_max_ps(_mm256_min_ps(number, most), _mm256_sub_ps(_mm256_setzero_ps(), most));
    return _mm256_cvtepi32_epi16(_mm256_cvtps_epi32(number));
}

/* What becomes of a row, found before its codes are. */
typedef struct scales {
    float scale, by, zero;
    __m256 apart; /* the inputs */
} scales;

FBY_INLINE scales scales_of(const float *x, const left *l)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    scales s;
    float low, high;
    range_of(x, l->rest, l->k, &low, &high);
    s.apart = _mm256_mask_i32gather_ps(_mm256_setzero_ps(), x, l->apart,
                                       _mm256_castsi256_ps(l->exist), sizeof(float));
    /* As fby_int8_apart_size(). */
    __m256i size = _mm256_castps_si256(_mm256_andnot_ps(sign, s.apart));
    __m128i half = _mm_max_epu32(_mm256_castsi256_si128(size), _mm256_extracti128_si256(size, 1));
    half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0xb1));
    s.scale = fby_int8_row_scale(low, high, _mm_cvtss_f32(_mm_castsi128_ps(half)));
    s.by = 1.0f / s.scale;
    s.zero = fby_int8_zero(low, s.by);
    return s;
}

FBY_INLINE void quantize(const float *x, const left *l, const scales *s, fby_int8_row *row)
{
    uint64_t sum = write_codes(x, l->rest, l->k, _mm512_set1_ps(s->by), _mm512_set1_ps(s->zero),
                               (uint8_t *)(row + 1));
    _mm512_store_si512(row, _mm512_setzero_si512());
    row->scale = s->scale;
    _mm_store_si128((__m128i *)(void *)row->apart, apart_codes(s->apart, s->by));
    row->zero = (int16_t)-s->zero;
    row->sum = fby_int8_sum(shape, (int32_t)sum, 0, l->sum_shift);
}

/* Four rows' ranges first: what one waits for, the others hide. */
static void operand(const fby_linear *next, const float *x, size_t ldx, uint32_t rows, void *out)
{
    enum { TOGETHER = 4 };
    const size_t bytes = operand_bytes(next->k);
    const left l = left_of(next);
    scales s[TOGETHER];
    for (uint32_t first = 0; first < rows; first += TOGETHER) {
        uint32_t count = fby_min_u32(TOGETHER, rows - first);
        for (uint32_t i = 0; i < count; i++)
            s[i] = scales_of(x + (first + i) * ldx, &l);
        for (uint32_t i = 0; i < count; i++)
            quantize(x + (first + i) * ldx, &l, &s[i],
                     (fby_int8_row *)((char *)out + (first + i) * bytes));
    }
}

static void linear(const fby_linear *linear, fby_activation activation, const void *x,
                   uint32_t rows, float *out, size_t ldo)
{
    product(linear, activation, x, NULL, 0, rows, out, NULL, ldo);
}

#if FBY_AVX512_BF16
static void linear_bf16(const fby_linear *linear, const void *x, uint32_t rows, uint16_t *out,
                        size_t ldo)
{
    product(linear, FBY_ACTIVATION_NONE, x, NULL, 0, rows, NULL, out, ldo);
}
#endif

static void linear_operand(const fby_linear *linear, fby_activation activation, const void *x,
                           uint32_t rows, const fby_linear *next, float *wide, size_t ldw,
                           void *out)
{
    product(linear, activation, x, NULL, 0, rows, wide, NULL, ldw);
    operand(next, wide, ldw, rows, out);
}

static void linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                 const void *x, const float *residual, size_t ldr, uint32_t rows,
                                 float *out, size_t ldo, const fby_linear *next, void *out_operand)
{
    product(linear, FBY_ACTIVATION_NONE, x, residual, ldr, rows, out, NULL, ldo);
    for (uint32_t row = 0; row < rows; row += FBY_AVX512_NORM_ROWS) {
        uint32_t count = fby_min_u32(FBY_AVX512_NORM_ROWS, rows - row);
        fby_avx512_layer_norm(norm, out + row * ldo, ldo, count);
        if (next != NULL)
            operand(next, out + row * ldo, ldo, count,
                    (char *)out_operand + row * operand_bytes(next->k));
    }
}

/* As many vpdpbusd a cycle as the core starts, as in peak.c. */
static uint64_t peak_loop(uint64_t rounds, float *sink)
{
    enum { CHAINS = 24 };
    ints acc[CHAINS];
    const __m512i a = _mm512_loadu_si512(sink), b = _mm512_loadu_si512(sink + 16);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = (ints)_mm512_loadu_si512(sink + 16 * i);
    FBY_NO_UNROLL
    for (uint64_t round = 0; round < rounds; round++)
        FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = (ints)_mm512_dpbusd_epi32((__m512i)acc[i], a, b);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        _mm512_storeu_si512(sink + 16 * i, (__m512i)acc[i]);
    return rounds * CHAINS * 64 * 2;
}

#if FBY_AVX512_BF16
const fby_narrow fby_int8_avx512bf16 = {
    .name = "avx512bf16",
    .linear_bf16 = linear_bf16,
    .attention_scratch = fby_avx512_attention_bf16_scratch,
    .attention = fby_avx512_attention_bf16,
#else
const fby_narrow fby_int8_avx512vnni = {
    .name = "avx512vnni",
#endif
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
