/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch by a team. Each step is a loop over rows, heads or panels of columns,
 * of which a member takes an even part; whoever reads what others wrote meets
 * them first.
 *
 * Columns: a product leaves y = x Wᵀ + bias + residual in the rows of qkv, which
 * attention has read by then; LayerNorm follows row by row. The single-threaded
 * kernels add and normalise in the same order, so the bits are theirs.
 */
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "compute/narrow.h"
#include "model/bert_layout.h"

typedef struct part {
    uint32_t first, end;
} part;

typedef struct pass {
    const fby_bert *bert;
    const fby_bert_member *member;
    fby_bert_layout l;
    const uint32_t *starts;
    uint32_t texts, rows;
    float *memory, *own;
} pass;

static part share_of(const pass *p, uint32_t n)
{
    uint64_t index = p->member->index, size = p->member->team->size;
    return (part){(uint32_t)(n * index / size), (uint32_t)(n * (index + 1) / size)};
}

static bool meet(const pass *p)
{
    return fby_team_meet(p->member->team);
}

/* ---- steps of both ways ---- */

/* Heads, weighed by their text's length squared; a head begins where the weights before it end. */
static void mix(const pass *p)
{
    const uint32_t heads = p->bert->config->bert.heads;
    uint64_t all = 0, before = 0;
    for (uint32_t text = 0; text < p->texts; text++) {
        uint64_t tokens = p->starts[text + 1] - p->starts[text];
        all += tokens * tokens * heads;
    }
    const uint64_t index = p->member->index, size = p->member->team->size;
    const uint64_t from = all * index / size, to = all * (index + 1) / size;
    for (uint32_t text = 0; text < p->texts; text++) {
        uint64_t tokens = p->starts[text + 1] - p->starts[text], weight = tokens * tokens;
        uint64_t first = from > before ? (from - before + weight - 1) / weight : 0;
        uint64_t end = to > before ? (to - before + weight - 1) / weight : 0;
        first = fby_min_size(first, heads);
        end = fby_min_size(end, heads);
        if (first < end)
            fby_bert_mix(p->bert, &p->l, p->starts[text], p->starts[text + 1], (uint32_t)first,
                         (uint32_t)end, p->memory, p->own + p->l.attention);
        before += weight * heads;
    }
}

/* Member 0 says before a meeting whether to stop and all obey after it; before 0 says it again
 * there is another meeting, so nobody reads a later word than the others. */
static void look(const pass *p, const atomic_bool *cancel)
{
    if (p->member->index == 0 && cancel != NULL &&
        atomic_load_explicit(cancel, memory_order_relaxed))
        atomic_store_explicit(p->member->stopped, p->member->run, memory_order_relaxed);
}

static bool stopped(const pass *p)
{
    return atomic_load_explicit(p->member->stopped, memory_order_relaxed) >= p->member->run;
}

/* ---- rows ---- */

static bool run_layer_by_rows(const pass *p, const fby_layer_weights *layer, const fby_linear *next,
                              const atomic_bool *cancel)
{
    const part rows = share_of(p, p->rows);
    look(p, cancel);
    fby_bert_project(p->bert, &p->l, layer, rows.first, rows.end, p->memory);
    if (!meet(p) || stopped(p))
        return false;
    mix(p);
    if (!meet(p))
        return false;
    fby_bert_finish_rows(p->bert, &p->l, layer, next, rows.first, rows.end, p->memory, p->own);
    return true;
}

/* ---- columns ---- */

/* This member's columns of `linear`; their first column to `*column`. */
static fby_linear columns_of(const pass *p, const fby_linear *linear, uint32_t *column)
{
    const fby_kernels *kernels = p->bert->kernels;
    const fby_narrow *narrow = kernels->narrow;
    const uint32_t width = narrow != NULL ? narrow->panel_width : kernels->panel_width;
    const size_t bytes = (narrow != NULL ? narrow->packed_bytes(64 * width, linear->k)
                                         : kernels->packed_bytes(64 * width, linear->k)) /
                         64; /* compute/kernels.h: where a panel begins */
    const part panels = share_of(p, fby_div_up_u32(linear->n, width));
    *column = panels.first * width;
    return (fby_linear){(const char *)linear->packed + panels.first * bytes,
                        fby_min_u32(linear->n, panels.end * width) - panels.first * width,
                        linear->k};
}

/* What a product reads: floats, or the same as its operand. */
typedef struct input {
    const float *x;
    size_t ldx;
    const void *operand;
} input;

/* out (rows, n) = activation(x Wᵀ + bias), this member's columns. */
static void product(const pass *p, const fby_linear *linear, fby_activation activation, input in,
                    float *out, size_t ldo)
{
    const fby_narrow *narrow = p->bert->kernels->narrow;
    uint32_t column;
    const fby_linear own = columns_of(p, linear, &column);
    if (own.n == 0)
        return;
    if (narrow != NULL)
        narrow->linear(&own, activation, in.operand, p->rows, out + column, ldo);
    else
        p->bert->kernels->linear(&own, activation, in.x, in.ldx, p->rows, out + column, ldo);
}

static void project(const pass *p, const fby_linear *linear)
{
    const fby_narrow *narrow = p->bert->kernels->narrow;
    const char *operand = (char *)p->memory + p->l.x_operand;
    if (!fby_bert_attends_bf16(p->bert)) {
        product(p, linear, FBY_ACTIVATION_NONE,
                (input){p->memory + p->l.x, p->l.ld_hidden, operand}, p->memory + p->l.qkv,
                p->l.ld_qkv);
        return;
    }
    uint32_t column;
    const fby_linear own = columns_of(p, linear, &column);
    if (own.n != 0)
        narrow->linear_bf16(&own, operand, p->rows, (uint16_t *)(p->memory + p->l.qkv) + column,
                            p->l.ld_qkv);
}

/* y = x Wᵀ + bias + residual, this member's columns; the residual is the layer's input. */
static void product_residual(const pass *p, const fby_linear *linear, input in)
{
    float *y = p->memory + p->l.qkv;
    uint32_t column;
    const fby_linear own = columns_of(p, linear, &column);
    product(p, linear, FBY_ACTIVATION_NONE, in, y, p->l.ld_qkv);
    for (uint32_t row = 0; row < p->rows && own.n != 0; row++)
        p->bert->kernels->add(y + row * p->l.ld_qkv + column,
                              p->memory + p->l.x + row * p->l.ld_hidden + column, own.n);
}

/* x = LayerNorm(y), this member's rows, and unless `next` is NULL the same as its operand. */
static void normalise(const pass *p, const fby_layer_norm *norm, const fby_linear *next)
{
    const fby_narrow *narrow = p->bert->kernels->narrow;
    const part rows = share_of(p, p->rows);
    float *x = p->memory + p->l.x + rows.first * p->l.ld_hidden;
    for (uint32_t row = rows.first; row < rows.end; row++)
        memcpy(p->memory + p->l.x + row * p->l.ld_hidden, p->memory + p->l.qkv + row * p->l.ld_qkv,
               norm->n * sizeof(float));
    if (rows.first == rows.end)
        return;
    p->bert->kernels->layer_norm(norm, x, p->l.ld_hidden, rows.end - rows.first);
    if (narrow != NULL && next != NULL)
        narrow->operand(next, x, p->l.ld_hidden, rows.end - rows.first,
                        (char *)p->memory + p->l.x_operand +
                            rows.first * narrow->operand_bytes(next->k));
}

/* Rows of floats become `next`'s operand: a step of narrow products alone. */
static bool narrow_down(const pass *p, const fby_linear *next, const float *from, size_t ld,
                        char *operand)
{
    const fby_narrow *narrow = p->bert->kernels->narrow;
    if (narrow == NULL)
        return true;
    const part rows = share_of(p, p->rows);
    if (rows.first < rows.end)
        narrow->operand(next, from + rows.first * ld, ld, rows.end - rows.first,
                        operand + rows.first * narrow->operand_bytes(next->k));
    return meet(p);
}

static bool run_layer_by_columns(const pass *p, const fby_layer_weights *layer,
                                 const fby_linear *next, const atomic_bool *cancel)
{
    const fby_bert_layout *l = &p->l;
    char *bytes = (char *)p->memory;
    float *x = p->memory + l->x, *context = p->memory + l->context, *wide = p->memory + l->wide;

    look(p, cancel);
    project(p, &layer->qkv);
    if (!meet(p) || stopped(p))
        return false;
    mix(p);
    if (!meet(p) ||
        !narrow_down(p, &layer->output, context, l->ld_hidden, bytes + l->context_operand))
        return false;
    product_residual(p, &layer->output, (input){context, l->ld_hidden, bytes + l->context_operand});
    if (!meet(p))
        return false;
    normalise(p, &layer->attention_norm, &layer->up);
    if (!meet(p))
        return false;
    product(p, &layer->up, p->bert->config->bert.activation,
            (input){x, l->ld_hidden, bytes + l->x_operand}, wide, l->ld_wide);
    if (!meet(p) || !narrow_down(p, &layer->down, wide, l->ld_wide, bytes + l->wide_operand))
        return false;
    product_residual(p, &layer->down, (input){wide, l->ld_wide, bytes + l->wide_operand});
    if (!meet(p))
        return false;
    normalise(p, &layer->output_norm, next);
    return next == NULL || meet(p); /* behind the last layer the caller meets */
}

/* ---- both ---- */

/* Below two tiles of rows a member, splitting rows would leave tiles half empty and read all
 * weights as often as there are members. */
static bool splits_columns(const pass *p)
{
    const fby_narrow *narrow = p->bert->kernels->narrow;
    uint32_t tile = narrow != NULL ? narrow->row_tile : p->bert->kernels->row_tile;
    return p->rows <=
           fby_min_u32(2 * tile * p->member->team->size, fby_bert_block_rows_max(p->bert));
}

fby_status fby_bert_run_team(const fby_bert *bert, const uint32_t *ids, const uint32_t *starts,
                             uint32_t texts, void *scratch, const fby_bert_member *member,
                             const atomic_bool *cancel, const float **hidden)
{
    const uint32_t rows = starts[texts], layers = bert->config->bert.layers;
    const fby_layer_weights *layer = bert->weights->layers;
    pass p = {bert,    member,     fby_bert_lay_out(bert, rows), starts, texts, rows,
              scratch, member->own};
    fby_assert(texts > 0 && starts[0] == 0 && (uintptr_t)scratch % FBY_CACHELINE == 0);

    /* By each: so all know without a word. Nobody leaves while another still reads them. */
    fby_status status = fby_bert_check_ids(bert, ids, starts, texts);
    if (status != FBY_OK) {
        (void)meet(&p);
        return status;
    }
    const part own = share_of(&p, rows);
    fby_bert_embed(bert, ids, starts, texts, own.first, own.end, p.memory + p.l.x);
    if (bert->kernels->narrow != NULL && own.first < own.end)
        bert->kernels->narrow->operand(
            &layer->qkv, p.memory + p.l.x + own.first * p.l.ld_hidden, p.l.ld_hidden,
            own.end - own.first,
            (char *)p.memory + p.l.x_operand +
                own.first * bert->kernels->narrow->operand_bytes(bert->config->bert.hidden));
    bool columns = splits_columns(&p), going = meet(&p);
    for (uint32_t i = 0; i < layers && going; i++, layer++) {
        const fby_linear *next = i + 1 < layers ? &layer[1].qkv : NULL;
        going = columns ? run_layer_by_columns(&p, layer, next, cancel)
                        : run_layer_by_rows(&p, layer, next, cancel);
    }
    if (!going || !meet(&p))
        return fby_error(FBY_ECANCELED, "stopped between layers");
    *hidden = p.memory + p.l.x;
    return FBY_OK;
}
