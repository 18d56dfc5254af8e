/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/heap_embed.h"

#include "base/bits.h"
#include "base/clock.h"
#include "base/platform.h"

/* A request's memory. */
typedef struct parts {
    uint32_t *ids;
    float *vector;
    void *scratch;
} parts;

static uint64_t lay_out(const fby_encoder *encoder, unsigned char *memory, parts *out)
{
    fby_encoder_info info;
    fby_encoder_get_info(encoder, &info);
    size_t ids = fby_align_up(info.max_tokens * sizeof(uint32_t), FBY_CACHELINE);
    size_t vector = fby_align_up(info.dim * sizeof(float), FBY_CACHELINE);
    if (memory != NULL)
        *out = (parts){(uint32_t *)(void *)memory, (float *)(void *)(memory + ids),
                       memory + ids + vector};
    return ids + vector + fby_encoder_scratch(encoder, info.max_tokens);
}

uint64_t fby_heap_embed_bytes(const fby_encoder *encoder)
{
    return lay_out(encoder, NULL, NULL);
}

static fby_status embed(const fby_heap_embed *self, const fby_text *text, unsigned char *memory)
{
    parts use = {0};
    fby_encoder_info info;
    fby_encoding encoding;
    lay_out(self->encoder, memory, &use);
    fby_encoder_get_info(self->encoder, &info);
    const fby_encode_options options = {.limit = info.max_tokens};
    fby_tokenizer_encode(fby_encoder_tokenizer(self->encoder), NULL, 0, text->bytes, text->size,
                         &options, use.ids, info.max_tokens, &encoding);
    if (encoding.count == 0)
        return FBY_OK;
    const uint32_t starts[] = {0, (uint32_t)encoding.count};
    return fby_encoder_run(self->encoder, use.ids, starts, 1, use.scratch, &use.vector, NULL);
}

fby_status fby_heap_embed_run(const fby_heap_embed *self, fby_heap_pool *pool, size_t first,
                              size_t count, fby_heap_embed_times *times)
{
    uint64_t begun = fby_now_ns(), alloc_ns = 0;
    for (size_t i = 0; i < count; i++) {
        fby_heap_block block;
        fby_heap_place place;
        uint64_t before = fby_now_ns();
        fby_status status =
            fby_heap_acquire(pool, self->bytes, FBY_HEAP_ALIGN_MAX, "request", &block, &place);
        if (status != FBY_OK)
            return status;
        uint64_t acquired = fby_now_ns();
        status = embed(self, &self->texts->texts[(first + i) % self->texts->count], place.address);
        uint64_t done = fby_now_ns();
        fby_heap_release(pool, block);
        alloc_ns += acquired - before + (fby_now_ns() - done);
        if (status != FBY_OK)
            return status;
    }
    times->texts_per_s = (double)count / ((double)(fby_now_ns() - begun) * 1e-9);
    times->alloc_us = (double)alloc_ns * 1e-3 / (double)count;
    return FBY_OK;
}
