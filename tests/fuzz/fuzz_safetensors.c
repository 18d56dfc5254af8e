/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a safetensors file: refused, or every tensor can be read. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/assert.h"
#include "model/safetensors.h"

static void read_whole(const fby_tensor *tensor)
{
    size_t count = tensor->size / (tensor->dtype == FBY_DTYPE_F32 ? 4 : 2);
    float *values = malloc(count * sizeof *values + 1);
    if (values != NULL)
        fby_tensor_read(tensor, 0, count, values);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fby_safetensors *file;
    if (fby_safetensors_open("input", data, size, &file) != FBY_OK)
        return 0;
    size_t covered = 0;
    for (size_t i = 0; i < fby_safetensors_count(file); i++) {
        const fby_tensor *tensor = fby_safetensors_at(file, i);
        char shape[FBY_SHAPE_TEXT_SIZE];
        fby_assert(fby_safetensors_find(file, tensor->name) == tensor);
        fby_assert(tensor->data >= data + 8 && tensor->data <= data + size &&
                   tensor->size <= (size_t)(data + size - tensor->data));
        fby_shape_text(shape, tensor->rank, tensor->shape);
        if (tensor->dtype != FBY_DTYPE_OTHER)
            read_whole(tensor);
        covered += tensor->size;
    }
    fby_assert(covered < size);
    fby_safetensors_close(file);
    return 0;
}
