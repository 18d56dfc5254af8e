/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Int8 products with sdot, and, compiled again with FBY_NEON_MM, with smmla. The
 * format, and the sums that a product is made of: compute/int8.h. Both sides are
 * signed here: a row's codes, and that of 0, are less by 128.
 *
 * Tile: h rows of x, 1 … 6, by one panel of 16 columns; 24 accumulators at h = 6.
 *
 * sdot: an accumulator is 4 columns of a row. A step over four inputs is 4 loads and 4 h
 * sdot, of 16 products each; a vector of x holds four steps. 24 sdot: 12 cycles
 * where a core starts two a cycle (Cortex-A76, Neoverse N1), 6 where four (V1).
 *
 * smmla: an accumulator is 2 rows by 2 columns. A step over eight inputs is 8 loads of
 * the panel, h of x and 4 h smmla, of 32 products each: half as many as of sdot. An odd
 * last row is its own pair, and costs as much as two.
 *
 * Before, 16-bit products of the apart inputs, and of zero and sum: 32 h smlal. These are
 * counts of instructions, as gcc 12 makes them; nothing was measured on a core.
 *
 * Loops, splits of rows and prefetching: compute/tiles.h.
 */
#include <arm_neon.h>
#include <string.h>

#include "base/bits.h"
#include "compute/int8.h"
#include "compute/narrow.h"
#include "compute/neon/neon.h"
#include "compute/neon/tile.h"
#include "compute/tables.h"

#if !defined(FBY_NEON_MM)
#define FBY_NEON_MM 0
#endif

enum {
    PANEL = FBY_NEON_PANEL,
    TILE = FBY_NEON_ROWS,
    VECTORS = FBY_NEON_VECTORS,
    GROUP = FBY_NEON_MM ? 8 : 4,
    OFFSET = 128 /* of a row's codes */
};

static const fby_int8_shape shape = {PANEL, GROUP, OFFSET};

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

/* acc += the two 16-bit numbers from `x` on, of each row, by those of each column. */
FBY_INLINE void add_pairs(const char *x, size_t ldx, const char *panel,
                          int32x4_t acc[TILE][VECTORS], const int rows)
{
    FBY_UNROLL
    for (int half = 0; half < 2; half++) {
        const int16x8x2_t u = vld2q_s16((const int16_t *)(const void *)(panel + 32 * half));
        FBY_UNROLL
        for (int row = 0; row < rows; row++) {
            const int16_t *v = (const int16_t *)(const void *)(x + (size_t)row * ldx);
            int32x4_t *to = acc[row] + 2 * half;
            to[0] = vmlal_n_s16(to[0], vget_low_s16(u.val[0]), v[0]);
            to[1] = vmlal_n_s16(to[1], vget_high_s16(u.val[0]), v[0]);
            to[0] = vmlal_n_s16(to[0], vget_low_s16(u.val[1]), v[1]);
            to[1] = vmlal_n_s16(to[1], vget_high_s16(u.val[1]), v[1]);
        }
    }
}

/* What the 16-bit products give; returns where the codes begin. */
FBY_INLINE const char *begin(const fby_tile *t, int32x4_t acc[TILE][VECTORS], const int rows)
{
    const char *x = (const char *)t->x + offsetof(fby_int8_row, apart), *panel = t->panel;
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = vdupq_n_s32(FBY_INT8_HALF);
    FBY_NO_UNROLL
    for (int i = 0; i < FBY_INT8_APART / 2; i++, x += 4, panel += 4 * PANEL)
        add_pairs(x, t->ldx, panel, acc, rows);
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = vshrq_n_s32(acc[row][i], FBY_INT8_SHIFT);
    add_pairs(x, t->ldx, panel, acc, rows); /* zero and sum */
    return (const char *)t->panel + fby_int8_lay_out(shape, 1).codes;
}

FBY_INLINE int8x16_t load_codes(const char *from)
{
    return vld1q_s8((const int8_t *)(const void *)from);
}

#if FBY_NEON_MM
FBY_INLINE int8x8_t load_group(const char *from)
{
    return vld1_s8((const int8_t *)(const void *)from);
}

FBY_INLINE void multiply(const fby_tile *t, int32x4_t sum[TILE][VECTORS], const int rows)
{
    enum { PAIRS = TILE / 2 };
    const int pairs = (rows + 1) / 2;
    const char *x = (const char *)t->x + sizeof(fby_int8_row);
    uintptr_t prefetch = t->prefetch;
    const char *codes = begin(t, sum, rows);
    int32x4_t acc[PAIRS][2 * VECTORS];

    FBY_UNROLL
    for (int pair = 0; pair < pairs; pair++)
        FBY_UNROLL
    for (int i = 0; i < 2 * VECTORS; i++)
        acc[pair][i] = vdupq_n_s32(0);
    FBY_NO_UNROLL
    for (size_t step = t->steps; step != 0; step--) {
        int8x16_t a[PAIRS];
        FBY_UNROLL
        for (int pair = 0; pair < pairs; pair++) {
            const int second = 2 * pair + 1 < rows ? 2 * pair + 1 : 2 * pair;
            a[pair] = vcombine_s8(load_group(x + (size_t)(2 * pair) * t->ldx),
                                  load_group(x + (size_t)second * t->ldx));
        }
        __builtin_prefetch((const void *)prefetch);
        prefetch += t->prefetch_step;
        FBY_UNROLL
        for (int i = 0; i < 2 * VECTORS; i++) {
            int8x16_t b = load_codes(codes + 16 * i);
            FBY_UNROLL
            for (int pair = 0; pair < pairs; pair++)
                acc[pair][i] = vmmlaq_s32(acc[pair][i], a[pair], b);
        }
        x += GROUP;
        codes += GROUP * PANEL;
    }
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++) {
        int64x2_t left = vreinterpretq_s64_s32(acc[row / 2][2 * i]);
        int64x2_t right = vreinterpretq_s64_s32(acc[row / 2][2 * i + 1]);
        int64x2_t four = row % 2 == 0 ? vzip1q_s64(left, right) : vzip2q_s64(left, right);
        sum[row][i] = vaddq_s32(sum[row][i], vreinterpretq_s32_s64(four));
    }
}
#else
/* acc + b's groups by a's group `lane`; a constant once inlined. */
FBY_INLINE int32x4_t add_group(int32x4_t acc, int8x16_t b, int8x16_t a, const int lane)
{
    switch (lane) {
    case 0:
        return vdotq_laneq_s32(acc, b, a, 0);
    case 1:
        return vdotq_laneq_s32(acc, b, a, 1);
    case 2:
        return vdotq_laneq_s32(acc, b, a, 2);
    default:
        return vdotq_laneq_s32(acc, b, a, 3);
    }
}

/* `lanes` steps: 4, or fewer at the end. Rows may be read beyond their codes, to the line's end. */
FBY_INLINE void add_steps(const char *x, size_t ldx, const char *codes,
                          int32x4_t acc[TILE][VECTORS], const int rows, const int lanes)
{
    int8x16_t a[TILE];
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        a[row] = load_codes(x + (size_t)row * ldx);
    FBY_UNROLL
    for (int lane = 0; lane < lanes; lane++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++) {
        int8x16_t b = load_codes(codes + GROUP * PANEL * lane + 16 * i);
        FBY_UNROLL
        for (int row = 0; row < rows; row++)
            acc[row][i] = add_group(acc[row][i], b, a[row], lane);
    }
}

FBY_INLINE void multiply(const fby_tile *t, int32x4_t acc[TILE][VECTORS], const int rows)
{
    const char *x = (const char *)t->x + sizeof(fby_int8_row);
    uintptr_t prefetch = t->prefetch;
    const char *codes = begin(t, acc, rows);
    size_t steps = t->steps;
    FBY_NO_UNROLL
    for (; steps >= 4; steps -= 4) {
        FBY_UNROLL
        for (int i = 0; i < 4; i++, prefetch += t->prefetch_step)
            __builtin_prefetch((const void *)prefetch);
        add_steps(x, t->ldx, codes, acc, rows, 4);
        x += 4 * GROUP;
        codes += 4 * GROUP * PANEL;
    }
    if (steps == 3)
        add_steps(x, t->ldx, codes, acc, rows, 3);
    else if (steps == 2)
        add_steps(x, t->ldx, codes, acc, rows, 2);
    else if (steps == 1)
        add_steps(x, t->ldx, codes, acc, rows, 1);
}
#endif

FBY_INLINE void run_tile(const fby_tile *t, const int rows)
{
    const float *scale = fby_int8_scales(shape, t->panel, t->steps), *bias = scale + PANEL;
    int32x4_t acc[TILE][VECTORS];
    float32x4_t y[TILE][VECTORS];
    multiply(t, acc, rows);
    FBY_UNROLL
    for (int row = 0; row < rows; row++) {
        const fby_int8_row *head = (const void *)((const char *)t->x + (size_t)row * t->ldx);
        FBY_UNROLL
        for (int i = 0; i < VECTORS; i++) {
            float32x4_t codes = vmulq_n_f32(vcvtq_f32_s32(acc[row][i]), head->scale);
            y[row][i] = vfmaq_f32(vld1q_f32(bias + 4 * i), codes, vld1q_f32(scale + 4 * i));
        }
    }
    fby_neon_store_tile(t, y, rows);
}

static void run_tile_of(const fby_tile *t, fby_activation activation)
{
#define RUN_TILE(height) run_tile(t, height)
    FBY_HEIGHTS(t->rows, 6, RUN_TILE)
#undef RUN_TILE
    if (activation != FBY_ACTIVATION_NONE)
        fby_neon_activate(activation, t->out, t->ldo, t->rows, t->columns);
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

/* The smallest and largest of x's inputs that are not apart, and 0. */
FBY_INLINE void range_of(const float *x, const uint16_t *rest, uint32_t k, float *low, float *high)
{
    static const uint32_t bit[4] = {1, 2, 4, 8};
    uint32x4_t least = vdupq_n_u32(0);
    int32x4_t most = vdupq_n_s32(0);
    for (uint32_t j = 0; j < k; j += 4) {
        uint32x4_t counts =
            vtstq_u32(vdupq_n_u32((uint32_t)rest[j / 16] >> j % 16), vld1q_u32(bit));
        uint32x4_t bits = vreinterpretq_u32_f32(fby_neon_load(x + j, k - j));
        uint32x4_t value = vandq_u32(bits, counts);
        least = vmaxq_u32(least, value);
        most = vmaxq_s32(most, vreinterpretq_s32_u32(value));
    }
    fby_int8_range((uint32_t)vmaxvq_s32(most), vmaxvq_u32(least), low, high);
}

/* Four inputs' codes, 0 … 255 but for what saturates later. */
FBY_INLINE int16x4_t four_codes(const float *x, float32x4_t inverse, float32x4_t zero)
{
    return vqmovn_s32(vcvtnq_s32_f32(vfmaq_f32(zero, vld1q_f32(x), inverse)));
}

/* The codes of 16 inputs, less OFFSET; 0 for those that `rest` has no bit for. */
FBY_INLINE int8x16_t codes_of(const float *x, uint32_t rest, float32x4_t inverse, float32x4_t zero)
{
    static const uint8_t bit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    int16x8_t left = vcombine_s16(four_codes(x, inverse, zero), four_codes(x + 4, inverse, zero));
    int16x8_t right =
        vcombine_s16(four_codes(x + 8, inverse, zero), four_codes(x + 12, inverse, zero));
    uint8x16_t codes = vcombine_u8(vqmovun_s16(left), vqmovun_s16(right));
    uint8x16_t both = vcombine_u8(vdup_n_u8((uint8_t)rest), vdup_n_u8((uint8_t)(rest >> 8)));
    uint8x16_t counts = vtstq_u8(both, vld1q_u8(bit));
    return vreinterpretq_s8_u8(vandq_u8(veorq_u8(codes, vdupq_n_u8(OFFSET)), counts));
}

static void quantize(const float *x, uint32_t k, const uint32_t *apart, const uint16_t *rest,
                     fby_int8_row *row)
{
    int8_t *codes = (int8_t *)(row + 1);
    float low, high;
    int32_t sum = 0;
    range_of(x, rest, k, &low, &high);
    const float scale = fby_int8_row_scale(low, high, fby_int8_apart_size(x, k, apart));
    const float by = 1.0f / scale;
    const float zero = fby_int8_zero(low, by);
    const float32x4_t inverse = vdupq_n_f32(by), zeros = vdupq_n_f32(zero);

    memset(row, 0, operand_bytes(k));
    for (uint32_t j = 0; j < k; j += 16) {
        float some[16] = {0};
        const float *from = x + j;
        if (k - j < 16) {
            memcpy(some, from, (k - j) * sizeof *from);
            from = some;
        }
        int8x16_t sixteen = codes_of(from, rest[j / 16], inverse, zeros);
        sum += vaddlvq_s8(sixteen);
        vst1q_s8(codes + j, sixteen);
    }
    uint32_t counted = k;
    for (uint32_t i = 0; i < FBY_INT8_APART; i++)
        if (apart[i] < k) {
            row->apart[i] = fby_int8_apart_code(x[apart[i]], by);
            counted--;
        }
    row->scale = scale;
    row->zero = (int16_t)(OFFSET - (int)zero);
    row->sum = fby_int8_sum(shape, sum + (int32_t)counted * OFFSET, counted, fby_int8_sum_shift(k));
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
    fby_neon_layer_norm(norm, out, ldo, rows);
    if (next != NULL)
        operand(next, out, ldo, rows, out_operand);
}

FBY_INLINE int32x4_t load_sink(const float *sink)
{
    return vreinterpretq_s32_f32(vld1q_f32(sink));
}

/* As many products a cycle as the core starts, as in peak.c. */
static uint64_t peak_loop(uint64_t rounds, float *sink)
{
    enum { CHAINS = 24 };
    int32x4_t acc[CHAINS];
    const int8x16_t a = load_codes((const char *)sink), b = load_codes((const char *)(sink + 16));
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = load_sink(sink + 4 * i);
    FBY_NO_UNROLL
    for (uint64_t round = 0; round < rounds; round++)
        FBY_UNROLL
    for (int i = 0; i < CHAINS; i++) {
#if FBY_NEON_MM
        acc[i] = vmmlaq_s32(acc[i], a, b);
#else
        acc[i] = vdotq_s32(acc[i], a, b);
#endif
    }
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        vst1q_f32(sink + 4 * i, vreinterpretq_f32_s32(acc[i]));
    return rounds * CHAINS * (FBY_NEON_MM ? 32 : 16) * 2;
}

#if FBY_NEON_MM
const fby_narrow fby_int8_neonmm = {
#else
const fby_narrow fby_int8_neondot = {
#endif
    .name = FBY_NEON_MM ? "neonmm" : "neondot",
    .precision = "int8",
    .version = 3,
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
