/* SPDX-License-Identifier: Apache-2.0 */
#include "model/safetensors.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/bits.h"
#include "model/file.h"
#include "model/json.h"

struct fby_safetensors {
    json_t *header; /* owns the names */
    size_t count;
    fby_tensor tensors[]; /* by name */
};

/* Where the reader is, for its messages. */
typedef struct reader {
    const char *file;
    const unsigned char *data;
    size_t data_size;
} reader;

static const struct {
    const char *name;
    uint32_t bits;
    fby_dtype dtype;
} dtypes[] = {
    {"F32", 32, FBY_DTYPE_F32},      {"F16", 16, FBY_DTYPE_F16},
    {"BF16", 16, FBY_DTYPE_BF16},    {"BOOL", 8, FBY_DTYPE_OTHER},
    {"U8", 8, FBY_DTYPE_OTHER},      {"I8", 8, FBY_DTYPE_OTHER},
    {"F8_E4M3", 8, FBY_DTYPE_OTHER}, {"F8_E5M2", 8, FBY_DTYPE_OTHER},
    {"F8_E8M0", 8, FBY_DTYPE_OTHER}, {"U16", 16, FBY_DTYPE_OTHER},
    {"I16", 16, FBY_DTYPE_OTHER},    {"U32", 32, FBY_DTYPE_OTHER},
    {"I32", 32, FBY_DTYPE_OTHER},    {"U64", 64, FBY_DTYPE_OTHER},
    {"I64", 64, FBY_DTYPE_OTHER},    {"F64", 64, FBY_DTYPE_OTHER},
    {"C64", 64, FBY_DTYPE_OTHER},    {"F4", 4, FBY_DTYPE_OTHER},
    {"F6_E2M3", 6, FBY_DTYPE_OTHER}, {"F6_E3M2", 6, FBY_DTYPE_OTHER},
};

const char *fby_shape_text(char out[static FBY_SHAPE_TEXT_SIZE], uint32_t rank,
                           const uint64_t *shape)
{
    size_t used = 0;
    out[used++] = '[';
    for (uint32_t i = 0; i < rank; i++)
        used += (size_t)snprintf(out + used, FBY_SHAPE_TEXT_SIZE - used, "%s%" PRIu64,
                                 i == 0 ? "" : ", ", shape[i]);
    memcpy(out + used, "]", 2); /* 8 numbers of at most 20 digits, and commas, leave room */
    return out;
}

static fby_status bad(const reader *r, const char *tensor, const char *what)
{
    char quoted[FBY_QUOTE_SIZE];
    return fby_error(FBY_EFORMAT, "%s: tensor '%s': %s", r->file, fby_quote(quoted, tensor), what);
}

static bool to_u64(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static fby_status read_dtype(const reader *r, const json_t *entry, fby_tensor *tensor,
                             uint32_t *bits)
{
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    if (name == NULL)
        return bad(r, tensor->name, "dtype is missing or not a string");
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            tensor->dtype_name = dtypes[i].name;
            tensor->dtype = dtypes[i].dtype;
            *bits = dtypes[i].bits;
            return FBY_OK;
        }
    char quoted[FBY_QUOTE_SIZE], tensor_quoted[FBY_QUOTE_SIZE];
    return fby_error(FBY_EFORMAT, "%s: tensor '%s': dtype '%s' is unknown", r->file,
                     fby_quote(tensor_quoted, tensor->name), fby_quote(quoted, name));
}

/* The shape and the bytes that it makes. */
static fby_status read_shape(const reader *r, const json_t *entry, uint32_t bits,
                             fby_tensor *tensor, size_t *bytes)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return bad(r, tensor->name, "shape is missing or not an array");
    if (json_array_size(shape) > FBY_TENSOR_RANK_MAX)
        return bad(r, tensor->name, "shape has more than 8 dimensions");

    tensor->rank = (uint32_t)json_array_size(shape);
    size_t elements = 1, total_bits;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (!to_u64(json_array_get(shape, i), &tensor->shape[i]))
            return bad(r, tensor->name, "shape has an entry that is not an integer of 0 or more");
        if (!fby_mul_size(elements, tensor->shape[i], &elements))
            return bad(r, tensor->name, "shape overflows");
    }
    if (!fby_mul_size(elements, bits, &total_bits))
        return bad(r, tensor->name, "shape overflows");
    if (total_bits % 8 != 0)
        return bad(r, tensor->name, "shape does not fill whole bytes");
    *bytes = total_bits / 8;
    return FBY_OK;
}

static fby_status read_offsets(const reader *r, const json_t *entry, size_t bytes,
                               fby_tensor *tensor)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    uint64_t begin, end;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2)
        return bad(r, tensor->name, "data_offsets is missing or not a pair");
    if (!to_u64(json_array_get(offsets, 0), &begin) || !to_u64(json_array_get(offsets, 1), &end))
        return bad(r, tensor->name, "data_offsets are not integers of 0 or more");

    char quoted[FBY_QUOTE_SIZE], shape[FBY_SHAPE_TEXT_SIZE];
    fby_quote(quoted, tensor->name);
    if (begin > end)
        return fby_error(FBY_EFORMAT,
                         "%s: tensor '%s': data_offsets [%" PRIu64 ", %" PRIu64 "] run backwards",
                         r->file, quoted, begin, end);
    if (end > r->data_size)
        return fby_error(FBY_EFORMAT,
                         "%s: tensor '%s': data_offsets [%" PRIu64 ", %" PRIu64
                         "] end behind the file's %zu bytes of data",
                         r->file, quoted, begin, end, r->data_size);
    if (end - begin != bytes)
        return fby_error(FBY_EFORMAT,
                         "%s: tensor '%s': data_offsets [%" PRIu64 ", %" PRIu64 "] hold %" PRIu64
                         " bytes, shape %s of %s takes %zu",
                         r->file, quoted, begin, end, end - begin,
                         fby_shape_text(shape, tensor->rank, tensor->shape), tensor->dtype_name,
                         bytes);
    tensor->offset = begin;
    tensor->size = bytes;
    tensor->data = r->data + begin;
    return FBY_OK;
}

static fby_status read_tensor(const reader *r, const char *name, const json_t *entry,
                              fby_tensor *tensor)
{
    uint32_t bits = 0;
    size_t bytes = 0;
    *tensor = (fby_tensor){.name = name};
    if (!json_is_object(entry))
        return bad(r, name, "expected an object");
    fby_status status = read_dtype(r, entry, tensor, &bits);
    if (status == FBY_OK)
        status = read_shape(r, entry, bits, tensor, &bytes);
    if (status == FBY_OK)
        status = read_offsets(r, entry, bytes, tensor);
    return status;
}

/* String to string. */
static fby_status check_metadata(const reader *r, json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return fby_error(FBY_EFORMAT, "%s: __metadata__: expected an object", r->file);
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return fby_error(FBY_EFORMAT, "%s: __metadata__: expected strings only", r->file);
    }
    return FBY_OK;
}

static int by_offset(const void *a, const void *b)
{
    const fby_tensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->size < y->size ? -1 : x->size > y->size;
}

static int by_name(const void *a, const void *b)
{
    const fby_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Every byte of the data belongs to exactly one tensor. Sorts by offset. */
static fby_status check_coverage(const reader *r, fby_tensor *tensors, size_t count)
{
    size_t end = 0;
    char quoted[FBY_QUOTE_SIZE];
    qsort(tensors, count, sizeof *tensors, by_offset);
    for (size_t i = 0; i < count; i++) {
        const fby_tensor *tensor = &tensors[i];
        if (tensor->offset != end)
            return fby_error(FBY_EFORMAT, "%s: tensor '%s': data begins at %zu, %s at %zu", r->file,
                             fby_quote(quoted, tensor->name), tensor->offset,
                             tensor->offset < end ? "overlapping what ends"
                                                  : "leaving a hole behind what ends",
                             end);
        end += tensor->size;
    }
    if (end != r->data_size)
        return fby_error(FBY_EFORMAT, "%s: the tensors end at %zu, %zu bytes before the data does",
                         r->file, end, r->data_size - end);
    return FBY_OK;
}

static fby_status read_tensors(const reader *r, json_t *header, fby_safetensors *file)
{
    const char *key;
    json_t *entry;
    json_object_foreach(header, key, entry)
    {
        bool metadata = strcmp(key, "__metadata__") == 0;
        fby_status status = metadata ? check_metadata(r, entry)
                                     : read_tensor(r, key, entry, &file->tensors[file->count++]);
        if (status != FBY_OK)
            return status;
    }
    fby_status status = check_coverage(r, file->tensors, file->count);
    if (status == FBY_OK)
        qsort(file->tensors, file->count, sizeof file->tensors[0], by_name);
    return status;
}

/* The size that the first eight bytes claim, within the file and our bound. */
static fby_status header_size(const char *name, const unsigned char *bytes, size_t size,
                              size_t *header)
{
    uint64_t claimed = 0;
    if (size < 8)
        return fby_error(FBY_EFORMAT, "%s: %zu bytes, too short for a safetensors file", name,
                         size);
    for (unsigned i = 0; i < 8; i++)
        claimed |= (uint64_t)bytes[i] << (8 * i);
    if (claimed > FBY_SAFETENSORS_HEADER_MAX)
        return fby_error(FBY_EFORMAT, "%s: header of %" PRIu64 " bytes, at most %u are accepted",
                         name, claimed, FBY_SAFETENSORS_HEADER_MAX);
    if (claimed > size - 8)
        return fby_error(FBY_EFORMAT, "%s: header of %" PRIu64 " bytes in a file of %zu", name,
                         claimed, size);
    if (claimed < 2 || bytes[8] != '{')
        return fby_error(FBY_EFORMAT, "%s: the header does not begin with '{'", name);
    *header = (size_t)claimed;
    return FBY_OK;
}

fby_status fby_safetensors_open(const char *name, const void *bytes, size_t size,
                                fby_safetensors **out)
{
    size_t header_bytes = 0;
    json_t *header;
    fby_status status = header_size(name, bytes, size, &header_bytes);
    if (status != FBY_OK)
        return status;
    const unsigned char *text = (const unsigned char *)bytes + 8;
    status = fby_json_parse(name, (const char *)text, header_bytes, 0, &header);
    if (status != FBY_OK)
        return fby_error_prefix(status, "safetensors header");

    /* It begins with '{', so it is an object. */
    size_t entries = json_object_size(header);
    fby_safetensors *file = malloc(sizeof *file + entries * sizeof file->tensors[0]);
    if (file == NULL) {
        status = fby_error(FBY_ENOMEM, "%s: no memory for %zu tensors", name, entries);
        goto free_header;
    }
    *file = (fby_safetensors){.header = header};
    reader r = {name, text + header_bytes, size - 8 - header_bytes};
    status = read_tensors(&r, header, file);
    if (status != FBY_OK)
        goto free_file;
    *out = file;
    return FBY_OK;
free_file:
    free(file);
free_header:
    json_decref(header);
    return status;
}

void fby_safetensors_close(fby_safetensors *file)
{
    if (file == NULL)
        return;
    json_decref(file->header);
    free(file);
}

size_t fby_safetensors_count(const fby_safetensors *file)
{
    return file->count;
}

const fby_tensor *fby_safetensors_at(const fby_safetensors *file, size_t index)
{
    fby_assert(index < file->count);
    return &file->tensors[index];
}

const fby_tensor *fby_safetensors_find(const fby_safetensors *file, const char *name)
{
    fby_tensor key = {.name = name};
    return bsearch(&key, file->tensors, file->count, sizeof key, by_name);
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16. A subnormal is its fraction times 2^-24, exact in f32. */
static float from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 0x1f, fraction = half & 0x3ff;
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    if (exponent == 31)
        return from_bits(sign | 0x7f800000u | fraction << 13);
    return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are copied as they lie");

void fby_tensor_read(const fby_tensor *tensor, size_t first, size_t count, float *out)
{
    size_t width = tensor->dtype == FBY_DTYPE_F32 ? 4 : 2;
    fby_assert(tensor->dtype != FBY_DTYPE_OTHER);
    fby_assert(first <= tensor->size / width && count <= tensor->size / width - first);

    const unsigned char *data = tensor->data + first * width;
    if (tensor->dtype == FBY_DTYPE_F32) {
        memcpy(out, data, count * width);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, data + 2 * i, sizeof half);
        out[i] = tensor->dtype == FBY_DTYPE_F16 ? from_f16(half) : from_bits((uint32_t)half << 16);
    }
}
