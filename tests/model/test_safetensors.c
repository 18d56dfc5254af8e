/* SPDX-License-Identifier: Apache-2.0 */
#include "model/safetensors.h"
#include "test.h"

#include <math.h>

/* A file of `header` and `data_size` bytes counting up; static memory for one. */
static unsigned char file_bytes[1 << 16];
static size_t file_size;

static void build(const char *header, size_t data_size)
{
    size_t size = strlen(header);
    assert_true(8 + size + data_size <= sizeof file_bytes);
    for (unsigned i = 0; i < 8; i++)
        file_bytes[i] = (unsigned char)((uint64_t)size >> (8 * i));
    memcpy(file_bytes + 8, header, size);
    for (size_t i = 0; i < data_size; i++)
        file_bytes[8 + size + i] = (unsigned char)i;
    file_size = 8 + size + data_size;
}

static fby_status opened(fby_safetensors **file)
{
    return fby_safetensors_open("m.safetensors", file_bytes, file_size, file);
}

#define TWO                                                                                        \
    "{\"__metadata__\": {\"format\": \"pt\"},"                                                     \
    " \"b\": {\"dtype\": \"F32\", \"shape\": [2, 3], \"data_offsets\": [8, 32]},"                  \
    " \"a\": {\"dtype\": \"I64\", \"shape\": [1], \"data_offsets\": [0, 8]}}   "

static void reads_tensors_by_name(void **state)
{
    (void)state;
    fby_safetensors *file;
    build(TWO, 32);
    assert_int_equal(opened(&file), FBY_OK);
    assert_int_equal(fby_safetensors_count(file), 2);
    assert_string_equal(fby_safetensors_at(file, 0)->name, "a");
    assert_int_equal(fby_safetensors_find(file, "a")->dtype, FBY_DTYPE_OTHER);
    const fby_tensor *b = fby_safetensors_find(file, "b");
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->shape[0], 2);
    assert_int_equal(b->shape[1], 3);
    assert_int_equal(b->size, 24);
    assert_ptr_equal(b->data, file_bytes + file_size - 24);
    float values[2];
    fby_tensor_read(b, 4, 2, values);
    assert_memory_equal(values, b->data + 16, 8);
    assert_null(fby_safetensors_find(file, "c"));
    assert_null(fby_safetensors_find(file, "__metadata__"));
    fby_safetensors_close(file);
}

static void a_tensor_may_hold_nothing_or_be_one_number(void **state)
{
    (void)state;
    fby_safetensors *file;
    build("{\"none\": {\"dtype\": \"F32\", \"shape\": [0, 4], \"data_offsets\": [0, 0]},"
          " \"one\": {\"dtype\": \"F16\", \"shape\": [], \"data_offsets\": [0, 2]}}",
          2);
    assert_int_equal(opened(&file), FBY_OK);
    assert_int_equal(fby_safetensors_find(file, "none")->size, 0);
    assert_int_equal(fby_safetensors_find(file, "one")->rank, 0);
    fby_safetensors_close(file);
    build("{}", 0);
    assert_int_equal(opened(&file), FBY_OK);
    assert_int_equal(fby_safetensors_count(file), 0);
    fby_safetensors_close(file);
}

static void every_lie_of_a_header_is_refused_in_words(void **state)
{
    (void)state;
#define T(dtype, shape, offsets)                                                                   \
    "{\"w\": {\"dtype\": " dtype ", \"shape\": " shape ", \"data_offsets\": " offsets "}}"
#define W(dtype, shape, offsets)                                                                   \
    "{\"dtype\": \"" dtype "\", \"shape\": " shape ", \"data_offsets\": " offsets "}"
    static const struct {
        const char *header;
        size_t data;
        const char *words;
    } cases[] = {
        {"[]", 0, "does not begin with '{'"},
        {" {}", 0, "does not begin with '{'"},
        {"{", 0, "header"},
        {"{}x", 0, "m.safetensors:1:"},
        {"{\"w\": 1}", 0, "tensor 'w': expected an object"},
        {"{\"w\": {}}", 0, "tensor 'w': dtype is missing"},
        {"{\"__metadata__\": 1}", 0, "__metadata__: expected an object"},
        {"{\"__metadata__\": {\"a\": 1}}", 0, "__metadata__: expected strings"},
        {"{\"w\": {\"dtype\": \"F32\", \"data_offsets\": [0, 0]}}", 0, "shape is missing"},
        {"{\"w\": {\"dtype\": \"F32\", \"shape\": [0]}}", 0, "data_offsets is missing"},
        {"{\"a\\u001b[31m\\n\": 1}", 0, "tensor 'a?[31m?'"},
        {"{\"a\\u0000\": 1}", 0, "m.safetensors:1:"},
        {T("32", "[1]", "[0, 4]"), 4, "dtype is missing or not a string"},
        {T("\"F33\"", "[1]", "[0, 4]"), 4, "dtype 'F33' is unknown"},
        {T("\"F32\"", "1", "[0, 4]"), 4, "shape is missing or not an array"},
        {T("\"F32\"", "[-1]", "[0, 4]"), 4, "shape has an entry that is not"},
        {T("\"F32\"", "[1.0]", "[0, 4]"), 4, "shape has an entry that is not"},
        {T("\"F32\"", "[\"1\"]", "[0, 4]"), 4, "shape has an entry that is not"},
        {T("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0, 4]"), 4, "more than 8 dimensions"},
        {T("\"F32\"", "[4294967296, 4294967296]", "[0, 4]"), 4, "shape overflows"},
        {T("\"F32\"", "[4611686018427387904]", "[0, 0]"), 0, "shape overflows"},
        {T("\"F32\"", "[9223372036854775807, 4, 0]", "[0, 0]"), 0, "shape overflows"},
        {T("\"F32\"", "[99999999999999999999]", "[0, 4]"), 4, "too big integer"},
        {T("\"F4\"", "[3]", "[0, 1]"), 1, "does not fill whole bytes"},
        {T("\"F32\"", "[1]", "[0]"), 4, "not a pair"},
        {T("\"F32\"", "[1]", "[0, 4, 8]"), 4, "not a pair"},
        {T("\"F32\"", "[1]", "\"0-4\""), 4, "not a pair"},
        {T("\"F32\"", "[1]", "[-4, 0]"), 4, "not integers of 0 or more"},
        {T("\"F32\"", "[1]", "[0, 4.0]"), 4, "not integers of 0 or more"},
        {T("\"F32\"", "[1]", "[4, 0]"), 4, "[4, 0] run backwards"},
        {T("\"F32\"", "[1]", "[0, 8]"), 4, "end behind the file's 4 bytes"},
        {T("\"F32\"", "[2]", "[0, 8]"), 4, "end behind the file's 4 bytes"},
        {T("\"F32\"", "[1]", "[9223372036854775803, 9223372036854775807]"), 4, "end behind"},
        {T("\"F32\"", "[2, 1]", "[0, 4]"), 4, "hold 4 bytes, shape [2, 1] of F32 takes 8"},
        {T("\"BF16\"", "[2]", "[0, 8]"), 8, "hold 8 bytes, shape [2] of BF16 takes 4"},
        {T("\"F32\"", "[1]", "[4, 8]"), 8, "tensor 'w': data begins at 4, leaving a hole"},
        {T("\"F32\"", "[1]", "[0, 4]"), 8, "the tensors end at 4, 4 bytes before the data does"},
        {"{}", 1, "the tensors end at 0, 1 bytes before"},
        {"{\"w\": " W("F32", "[1]", "[0, 4]") ", \"w\": " W("F32", "[1]", "[4, 8]") "}", 8,
         "duplicate object key near '\"w\"'"},
        {"{\"a\": " W("F32", "[2]", "[0, 8]") ", \"b\": " W("F32", "[2]", "[4, 12]") "}", 12,
         "tensor 'b': data begins at 4, overlapping what ends at 8"},
        {"{\"a\": " W("F32", "[1]", "[0, 4]") ", \"b\": " W("F32", "[1]", "[0, 4]") "}", 4,
         "overlapping what ends at 4"},
        {"{\"a\": " W("F32", "[1]", "[0, 4]") ", \"b\": " W("F32", "[1]", "[8, 12]") "}", 12,
         "tensor 'b': data begins at 8, leaving a hole behind what ends at 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fby_safetensors *file = NULL;
        build(cases[i].header, cases[i].data);
        fby_status status = opened(&file);
        if (status != FBY_EFORMAT || strstr(fby_last_error(), cases[i].words) == NULL ||
            strstr(fby_last_error(), "m.safetensors") == NULL)
            fail_msg("%s: status %d, \"%s\", expected \"%s\"", cases[i].header, status,
                     fby_last_error(), cases[i].words);
        assert_null(file);
    }
}

static void a_header_size_beyond_the_file_or_the_bound_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t claimed;
        const char *words;
    } cases[] = {
        {0, "does not begin with '{'"},
        {1, "does not begin with '{'"},
        {3, "header of 3 bytes in a file of 10"},
        {FBY_SAFETENSORS_HEADER_MAX, "in a file of 10"},
        {FBY_SAFETENSORS_HEADER_MAX + 1, "at most 4194304 are accepted"},
        {UINT64_MAX, "at most 4194304 are accepted"},
        {UINT64_MAX - 7, "at most 4194304 are accepted"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fby_safetensors *file;
        build("{}", 0);
        for (unsigned byte = 0; byte < 8; byte++)
            file_bytes[byte] = (unsigned char)(cases[i].claimed >> (8 * byte));
        assert_int_equal(opened(&file), FBY_EFORMAT);
        assert_non_null(strstr(fby_last_error(), cases[i].words));
    }
}

/* Cut anywhere, it is refused; heap memory of the exact size lets ASan see a read beyond it. */
static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    build(TWO, 32);
    for (size_t size = 0; size < file_size; size++) {
        fby_safetensors *file;
        unsigned char *cut = malloc(size == 0 ? 1 : size);
        assert_non_null(cut);
        memcpy(cut, file_bytes, size);
        assert_int_equal(fby_safetensors_open("m.safetensors", cut, size, &file), FBY_EFORMAT);
        assert_non_null(strstr(fby_last_error(), "m.safetensors"));
        free(cut);
    }
}

/* Against the definition: sign, 5 bits of exponent biased by 15, 10 bits of fraction. */
static double f16_value(unsigned half)
{
    int exponent = half >> 10 & 31;
    double fraction = half & 1023, sign = half & 0x8000 ? -1.0 : 1.0;
    if (exponent == 0)
        return sign * ldexp(fraction, -24);
    return sign * ldexp(1024 + fraction, exponent - 25);
}

static void every_half_float_becomes_its_value(void **state)
{
    (void)state;
    static uint16_t halves[65536];
    static float values[65536];
    for (unsigned i = 0; i < 65536; i++)
        halves[i] = (uint16_t)i;
    fby_tensor tensor = {.name = "t",
                         .dtype = FBY_DTYPE_F16,
                         .data = (const unsigned char *)halves,
                         .size = sizeof halves};
    fby_tensor_read(&tensor, 0, 65536, values);
    for (unsigned i = 0; i < 65536; i++) {
        if ((i >> 10 & 31) != 31) {
            assert_true((double)values[i] == f16_value(i));
            assert_int_equal(signbit(values[i]) != 0, i >> 15);
        } else if ((i & 1023) == 0) {
            assert_true(isinf(values[i]) && (values[i] < 0) == (i >> 15));
        } else {
            assert_true(isnan(values[i]));
        }
    }

    tensor.dtype = FBY_DTYPE_BF16;
    fby_tensor_read(&tensor, 0, 65536, values);
    for (unsigned i = 0; i < 65536; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], 4);
        assert_int_equal(bits, i << 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_tensors_by_name),
        cmocka_unit_test(a_tensor_may_hold_nothing_or_be_one_number),
        cmocka_unit_test(every_lie_of_a_header_is_refused_in_words),
        cmocka_unit_test(a_header_size_beyond_the_file_or_the_bound_is_refused),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(every_half_float_becomes_its_value),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
