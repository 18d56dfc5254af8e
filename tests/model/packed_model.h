/* SPDX-License-Identifier: Apache-2.0 */
/* A tiny model packed for one instruction set and precision, without a file in between. */
#ifndef FBY_TEST_PACKED_MODEL_H
#define FBY_TEST_PACKED_MODEL_H

#include "base/pages.h"
#include "compute/narrow.h"
#include "model/bert.h"
#include "model/tiny_model.h"

typedef struct packed {
    fby_config config;
    fby_kernels kernels;
    fby_sample sample;
    fby_checkpoint *checkpoint;
    void *image, *scratch;
    size_t image_size, scratch_size;
    uint32_t tokens; /* that the scratch has room for */
    fby_weights weights;
    fby_bert bert;
} packed;

static inline void pack_at(packed *p, const tiny_model *model, fby_isa isa, fby_precision precision,
                           uint32_t tokens)
{
    char *dir = temporary_dir();
    const fby_kernels *kernels = &p->kernels;
    p->kernels = *fby_kernels_for(isa);
    p->kernels.narrow = fby_narrow_for(precision, isa);
    tiny_write(model, dir);
    assert_int_equal(fby_config_load(dir, &p->config), FBY_OK);
    assert_int_equal(fby_checkpoint_find(dir, &p->checkpoint), FBY_OK);
    assert_int_equal(fby_checkpoint_map(p->checkpoint), FBY_OK);
    temporary_remove(dir);
    free(dir);

    fby_sample_make(p->config.bert.vocabulary, p->config.max_tokens, NULL, 0, &p->sample);
    fby_sources sources = {.transformer = p->checkpoint, .sample = &p->sample};
    p->image_size = fby_weights_bytes(&p->config, kernels);
    assert_int_equal(fby_pages_map(p->image_size, &p->image), FBY_OK);
    assert_int_equal(fby_weights_check(&p->config, &sources), FBY_OK);
    assert_int_equal(fby_weights_pack(&p->config, kernels, &sources, p->image), FBY_OK);
    assert_int_equal(fby_weights_bind(&p->config, kernels, p->image, &p->weights), FBY_OK);
    p->bert = (fby_bert){&p->config, kernels, &p->weights};
    p->tokens = tokens;
    p->scratch_size = fby_bert_scratch(&p->bert, tokens);
    /* Of exactly that size, so that ASan sees a row too many. */
    p->scratch = aligned_alloc(64, p->scratch_size);
    assert_non_null(p->scratch);
}

static inline void unpack(packed *p)
{
    free(p->scratch);
    fby_weights_unbind(&p->weights);
    fby_pages_unmap(p->image, p->image_size);
    fby_checkpoint_close(p->checkpoint);
    fby_config_clear(&p->config);
}

static inline void fill_ids(fby_rng *rng, const tiny_model *model, uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        ids[i] = (uint32_t)fby_rng_below(rng, model->vocabulary);
}

/* Whether `isa` has products of its own at this precision. */
static inline bool is_own(fby_precision precision, fby_isa isa)
{
    const fby_narrow *narrow = fby_narrow_for(precision, isa);
    const char *name = narrow != NULL ? narrow->name : fby_kernels_for(isa)->name;
    return fby_isa_available(isa) && strcmp(name, fby_isa_name(isa)) == 0;
}

#endif
