/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One safetensors file, as its bytes.
 *
 *     u64 header size | JSON header | data
 *
 * after the specification in the README of huggingface/safetensors. Everything
 * that the header says is checked before anything is believed: each tensor's
 * size is what its shape and type make, and the tensors cover the data from its
 * first byte to its last, without a gap and without an overlap.
 *
 * Tensors of types that are not read here (I64 position ids) are checked and
 * otherwise left alone. Constant after opening: any thread may read it.
 */
#ifndef FBY_MODEL_SAFETENSORS_H
#define FBY_MODEL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define FBY_TENSOR_RANK_MAX 8
/* Bytes of the largest header; 30,000 tensors fit. */
#define FBY_SAFETENSORS_HEADER_MAX (4u << 20)

typedef enum fby_dtype { FBY_DTYPE_F32, FBY_DTYPE_F16, FBY_DTYPE_BF16, FBY_DTYPE_OTHER } fby_dtype;

typedef struct fby_tensor {
    const char *name;
    const char *dtype_name; /* "F32" */
    fby_dtype dtype;
    uint32_t rank;
    uint64_t shape[FBY_TENSOR_RANK_MAX];
    const unsigned char *data; /* any alignment, little-endian */
    size_t offset;             /* of `data` in the data part */
    size_t size;               /* bytes */
} fby_tensor;

typedef struct fby_safetensors fby_safetensors;

/* `bytes` stay the caller's and must outlive the result; `name` is for messages. FBY_EFORMAT names
 * the tensor at fault where there is one. */
fby_status fby_safetensors_open(const char *name, const void *bytes, size_t size,
                                fby_safetensors **file);
void fby_safetensors_close(fby_safetensors *file);

size_t fby_safetensors_count(const fby_safetensors *file);
/* In the order of their names. */
const fby_tensor *fby_safetensors_at(const fby_safetensors *file, size_t index);
/* NULL if there is none. */
const fby_tensor *fby_safetensors_find(const fby_safetensors *file, const char *name);

/* Elements `first` … `first` + `count` - 1 in row-major order as f32; the type is not OTHER. */
void fby_tensor_read(const fby_tensor *tensor, size_t first, size_t count, float *out);

/* "[30522, 384]" for messages. */
#define FBY_SHAPE_TEXT_SIZE 192
const char *fby_shape_text(char out[static FBY_SHAPE_TEXT_SIZE], uint32_t rank,
                           const uint64_t *shape);

#endif
