/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two ways through a BERT share: alone (bert.c) and by a team
 * (bert_team.c). Where things lie in the scratch, and the steps that are the
 * same whoever takes them.
 */
#ifndef FBY_MODEL_BERT_LAYOUT_H
#define FBY_MODEL_BERT_LAYOUT_H

#include <stdbool.h>

#include "model/bert.h"

/* The scratch block, in floats; `attention` is not floats to us. */
typedef struct fby_bert_layout {
    size_t ld_hidden, ld_qkv, ld_wide;
    size_t x;         /* (tokens, hidden): the layer's input, then its output */
    size_t context;   /* (tokens, hidden): what attention gives */
    size_t qkv;       /* (tokens, 3 hidden) */
    size_t wide;      /* (block, intermediate): between the two products of the FFN */
    size_t attention; /* scratch of the kernel */
    /* Narrow products read these instead of x, context and wide. In bytes. */
    size_t x_operand, context_operand; /* (tokens, hidden) */
    size_t wide_operand;               /* (block, intermediate) */
    size_t bytes;                      /* of all of it */
} fby_bert_layout;

fby_bert_layout fby_bert_lay_out(const fby_bert *bert, uint32_t tokens);

/* Rows of an FFN sub-block where there are `rows`, and the most that there may be. */
uint32_t fby_bert_block_rows(const fby_bert *bert, uint32_t rows);
uint32_t fby_bert_block_rows_max(const fby_bert *bert);

/* Whether attention is the narrow table's. */
bool fby_bert_attends_bf16(const fby_bert *bert);

/* FBY_EINVAL for an id outside the vocabulary. */
fby_status fby_bert_check_ids(const fby_bert *bert, const uint32_t *ids, const uint32_t *starts,
                              uint32_t texts);

/* Rows first … end - 1 of x: word, position, LayerNorm. */
void fby_bert_embed(const fby_bert *bert, const uint32_t *ids, const uint32_t *starts,
                    uint32_t texts, uint32_t first, uint32_t end, float *x);

/* Heads first … end - 1 of the text that has rows from … to - 1. `memory` is where qkv and context
 * lie, `scratch` where the kernel's is. */
void fby_bert_mix(const fby_bert *bert, const fby_bert_layout *l, uint32_t from, uint32_t to,
                  uint32_t first, uint32_t end, float *memory, float *scratch);

/* From the residual behind attention to the layer's output, rows first … end - 1. `next` is the
 * product after this layer, or NULL. `own` is where wide and its operand lie. */
void fby_bert_finish_rows(const fby_bert *bert, const fby_bert_layout *l,
                          const fby_layer_weights *layer, const fby_linear *next, uint32_t first,
                          uint32_t end, float *memory, float *own);

/* qkv of rows first … end - 1. */
void fby_bert_project(const fby_bert *bert, const fby_bert_layout *l,
                      const fby_layer_weights *layer, uint32_t first, uint32_t end, float *memory);

#endif
