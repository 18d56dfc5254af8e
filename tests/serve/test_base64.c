/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/base64.h"
#include "test.h"

static void encode(const void *bytes, size_t size, char *text)
{
    size_t length = fby_base64(bytes, size, text);
    assert_int_equal(length, fby_base64_size(size));
    text[length] = '\0';
}

/* RFC 4648, section 10. */
static void encodes_the_vectors_of_the_rfc(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char text[16];
        encode(pairs[i][0], strlen(pairs[i][0]), text);
        assert_string_equal(text, pairs[i][1]);
    }
}

static void each_six_bits_have_their_character(void **state)
{
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char bytes[48] = {0};
    char text[65];
    for (unsigned i = 0; i < 64; i++)
        for (unsigned bit = 0; bit < 6; bit++)
            if ((i >> (5 - bit) & 1) != 0)
                bytes[(6 * i + bit) / 8] |= (unsigned char)(0x80 >> (6 * i + bit) % 8);
    encode(bytes, sizeof bytes, text);
    assert_string_equal(text, alphabet);
}

static unsigned value_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? (unsigned)(c - 'A')
           : c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 26
           : c >= '0' && c <= '9' ? (unsigned)(c - '0') + 52
           : c == '+'             ? 62
                                  : 63;
}

/* A decoder that reads bit by bit. */
static size_t decode(const char *text, unsigned char *bytes)
{
    size_t bits = 0;
    unsigned held = 0;
    for (; *text != '\0' && *text != '='; text++) {
        held = (held << 6 | value_of(*text)) & 0xffff;
        bits += 6;
        if (bits / 8 > (bits - 6) / 8)
            bytes[bits / 8 - 1] = (unsigned char)(held >> bits % 8);
    }
    return bits / 8;
}

static void random_bytes_of_every_size_read_back(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (size_t size = 0; size < 200; size++) {
        /* On the heap, so that a byte read or written too far is seen. */
        unsigned char *bytes = malloc(size + 1), *back = malloc(size + 1);
        char *text = malloc(fby_base64_size(size) + 1);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (unsigned char)fby_rng_next(&rng);
        encode(bytes, size, text);
        assert_int_equal(decode(text, back), size);
        assert_memory_equal(bytes, back, size);
        assert_true(strlen(text) % 4 == 0);
        free(bytes);
        free(back);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_the_vectors_of_the_rfc),
        cmocka_unit_test(each_six_bits_have_their_character),
        cmocka_unit_test(random_bytes_of_every_size_read_back),
    };
    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
