/* SPDX-License-Identifier: Apache-2.0 */
#include "base/float_text.h"

#include <stdbool.h>
#include <string.h>

#include "base/platform.h"

/*
 * Schubfach (Raffaello Giulietti, "The Schubfach way to render doubles", 2020),
 * for binary32: the interval of decimals that round to x holds a multiple of
 * 10^(k+1), or else of 10^k; one 64 × 32-bit product for each end of the
 * interval, rounded to odd, decides exactly. Names are the paper's.
 */
struct decimal {
    uint32_t digits;
    int exponent; /* x = digits 10^exponent */
};

enum { FRACTION_BITS = 23, EXPONENT_BIAS = 127 + FRACTION_BITS, K_MIN = -31, K_MAX = 45 };

/* g(k) = ⌈10^k 2^(63 - ⌊log2 10^k⌋)⌉ for k from K_MIN on. */
static const uint64_t powers[K_MAX - K_MIN + 1] = {
    0x81ceb32c4b43fcf5, 0xa2425ff75e14fc32, 0xcad2f7f5359a3b3f, 0xfd87b5f28300ca0e,
    0x9e74d1b791e07e49, 0xc612062576589ddb, 0xf79687aed3eec552, 0x9abe14cd44753b53,
    0xc16d9a0095928a28, 0xf1c90080baf72cb2, 0x971da05074da7bef, 0xbce5086492111aeb,
    0xec1e4a7db69561a6, 0x9392ee8e921d5d08, 0xb877aa3236a4b44a, 0xe69594bec44de15c,
    0x901d7cf73ab0acda, 0xb424dc35095cd810, 0xe12e13424bb40e14, 0x8cbccc096f5088cc,
    0xafebff0bcb24aaff, 0xdbe6fecebdedd5bf, 0x89705f4136b4a598, 0xabcc77118461cefd,
    0xd6bf94d5e57a42bd, 0x8637bd05af6c69b6, 0xa7c5ac471b478424, 0xd1b71758e219652c,
    0x83126e978d4fdf3c, 0xa3d70a3d70a3d70b, 0xcccccccccccccccd, 0x8000000000000000,
    0xa000000000000000, 0xc800000000000000, 0xfa00000000000000, 0x9c40000000000000,
    0xc350000000000000, 0xf424000000000000, 0x9896800000000000, 0xbebc200000000000,
    0xee6b280000000000, 0x9502f90000000000, 0xba43b74000000000, 0xe8d4a51000000000,
    0x9184e72a00000000, 0xb5e620f480000000, 0xe35fa931a0000000, 0x8e1bc9bf04000000,
    0xb1a2bc2ec5000000, 0xde0b6b3a76400000, 0x8ac7230489e80000, 0xad78ebc5ac620000,
    0xd8d726b7177a8000, 0x878678326eac9000, 0xa968163f0a57b400, 0xd3c21bcecceda100,
    0x84595161401484a0, 0xa56fa5b99019a5c8, 0xcecb8f27f4200f3a, 0x813f3978f8940985,
    0xa18f07d736b90be6, 0xc9f2c9cd04674edf, 0xfc6f7c4045812297, 0x9dc5ada82b70b59e,
    0xc5371912364ce306, 0xf684df56c3e01bc7, 0x9a130b963a6c115d, 0xc097ce7bc90715b4,
    0xf0bdc21abb48db21, 0x96769950b50d88f5, 0xbc143fa4e250eb32, 0xeb194f8e1ae525fe,
    0x92efd1b8d0cf37bf, 0xb7abc627050305ae, 0xe596b7b0c643c71a, 0x8f7e32ce7bea5c70,
    0xb35dbf821ae4f38c,
};

static int floor_log2_pow10(int e)
{
    return (e * 1741647) >> 19; /* exact for |e| ≤ 1233 */
}

/* ⌊g cp / 2^64⌋, its lowest bit set when anything was cut off that g's own rounding does not
 * explain. */
static inline uint32_t round_to_odd(uint64_t g, uint32_t cp)
{
    uint64_t low = (g & 0xffffffffu) * cp;
    uint64_t high = (g >> 32) * cp + (low >> 32);
    return (uint32_t)(high >> 32) | ((uint32_t)high > 1);
}

/* Digits of c 2^q, c > 0; `closer`: the float below is half as far as the one above. */
static struct decimal shortest(uint32_t c, int q, bool closer)
{
    uint32_t odd = c & 1; /* the interval's ends belong to it when c is even */
    int k = (q * 1262611 - (closer ? 524031 : 0)) >> 22;
    int h = q + floor_log2_pow10(-k) + 1;
    uint64_t g = powers[-k - K_MIN];

    uint32_t lower = round_to_odd(g, (4 * c - 2 + closer) << h) + odd;
    uint32_t middle = round_to_odd(g, (4 * c) << h);
    uint32_t upper = round_to_odd(g, (4 * c + 2) << h) - odd;

    /* Which of these it will be cannot be foretold: all are computed, none is jumped to. */
    uint32_t s = middle / 4, tens = s / 10;
    uint32_t tens_below = lower <= 40 * tens, tens_above = 40 * tens + 40 <= upper;
    uint32_t shorter = (s >= 10) & (tens_below ^ tens_above);
    uint32_t below = lower <= 4 * s, above = 4 * s + 4 <= upper;
    uint32_t up = (middle > 4 * s + 2) | ((middle == 4 * s + 2) & s & 1);
    uint32_t longer_digits = s + up + ((above - up) & -(below ^ above));
    uint32_t digits = longer_digits + ((tens + tens_above - longer_digits) & -shorter);
    return (struct decimal){digits, k + (int)shorter};
}

static struct decimal decimal_of(uint32_t fraction, uint32_t exponent)
{
    if (exponent == 0)
        return shortest(fraction, 1 - EXPONENT_BIAS, false);

    uint32_t c = fraction | 1u << FRACTION_BITS;
    int q = (int)exponent - EXPONENT_BIAS;
    if (q <= 0 && q > -(FRACTION_BITS + 1) && (c & ((1u << -q) - 1)) == 0)
        return (struct decimal){c >> -q, 0}; /* a whole number */
    return shortest(c, q, fraction == 0 && exponent > 1);
}

/* Two digits for each number below 100. */
static const char pairs[] = "00010203040506070809"
                            "10111213141516171819"
                            "20212223242526272829"
                            "30313233343536373839"
                            "40414243444546474849"
                            "50515253545556575859"
                            "60616263646566676869"
                            "70717273747576777879"
                            "80818283848586878889"
                            "90919293949596979899";

/* The digits of `x`, the last just before `end`; where they begin. */
static char *digits_before(char *end, uint64_t x)
{
    while (x >= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (x % 100), 2);
        x /= 100;
    }
    if (x < 10) {
        *--end = (char)('0' + x);
        return end;
    }
    end -= 2;
    memcpy(end, pairs + 2 * x, 2);
    return end;
}

size_t fby_uint_text(uint64_t x, char *text)
{
    char digits[FBY_UINT_TEXT];
    char *end = digits + sizeof digits, *begin = digits_before(end, x);

    memcpy(text, begin, (size_t)(end - begin));
    return (size_t)(end - begin);
}

static size_t put_exponent(int exponent, char *text)
{
    size_t size = 0;

    text[size++] = 'e';
    if (exponent < 0)
        text[size++] = '-';
    return size + fby_uint_text((uint64_t)(exponent < 0 ? -exponent : exponent), text + size);
}

enum { DIGITS = 9 }; /* of a float at most */

/* Eight digits of `x` < 10^8, a value each in a byte, the first in the lowest: halves of four, of
 * two, of one, each quotient by a multiplication that is exact in its range. */
static inline uint64_t eight_digits(uint32_t x)
{
    uint64_t fours = x / 10000 | (uint64_t)(x % 10000) << 32;
    uint64_t hundreds = (fours * 10486) >> 20 & 0x0000007f0000007fu;
    uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
    uint64_t tens = (twos * 103) >> 10 & 0x000f000f000f000fu;
    return tens | (twos - 10 * tens) << 8;
}

/* Nine digits at most, without zeros at either end, as characters: in registers, for a copy by way
 * of memory would wait for every store before it. */
struct digits {
    char first;            /* of nine; else NUL */
    uint64_t rest;         /* the next in the lowest byte */
    unsigned count, zeros; /* those left out at the end */
};

/* Of `x`, 0 < x < 10^9. */
static inline struct digits digits_of(uint32_t x)
{
    uint32_t first = x / 100000000;
    uint64_t eight = eight_digits(x % 100000000), text = eight + 0x3030303030303030u;
    unsigned zeros = eight == 0 ? 8 : (unsigned)__builtin_clzll(eight) / 8;
    if (FBY_UNLIKELY(first != 0))
        return (struct digits){(char)('0' + first), text, DIGITS - zeros, zeros};
    unsigned skipped = (unsigned)__builtin_ctzll(eight) / 8;
    return (struct digits){0, text >> 8 * skipped, DIGITS - 1 - zeros - skipped, zeros};
}

/* Writes them, and a few bytes more: to DIGITS. */
static inline void put_digits(const struct digits *digits, char *text)
{
    if (digits->first != 0)
        *text++ = digits->first;
    memcpy(text, &digits->rest, sizeof digits->rest);
}

/* `point`: of the digits, how many stand before the decimal point; may lie outside of them. */
static FBY_NOINLINE size_t lay_out_any(const struct digits *digits, int point, char *text)
{
    char plain[DIGITS];
    size_t size = 0, count = digits->count;

    put_digits(digits, plain);
    if (point > 0 && point <= 9) { /* ddd.ddd, ddd000 */
        size_t whole = (size_t)point;
        if (whole >= count) {
            memcpy(text, plain, count);
            memset(text + count, '0', whole - count);
            return whole;
        }
        memcpy(text, plain, whole);
        text[whole] = '.';
        memcpy(text + whole + 1, plain + whole, count - whole);
        return count + 1;
    }
    text[size++] = plain[0];
    if (count > 1) {
        text[size++] = '.';
        memcpy(text + size, plain + 1, count - 1);
        size += count - 1;
    }
    return size + put_exponent(point - 1, text + size);
}

static inline size_t lay_out(const struct digits *digits, int point, char *text)
{
    if (FBY_UNLIKELY(point <= -4 || point > 0))
        return lay_out_any(digits, point, text);
    memcpy(text, "0.000", 5);
    size_t size = 2 + (size_t)-point;
    put_digits(digits, text + size);
    return size + digits->count;
}

size_t fby_float_text(float x, char *text)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t fraction = bits & ((1u << FRACTION_BITS) - 1), exponent = bits >> FRACTION_BITS & 0xff;
    size_t sign = bits >> 31;

    text[0] = '-';
    if (exponent == 0xff) {
        memcpy(text + (fraction == 0 ? sign : 0), fraction == 0 ? "inf" : "nan", 3);
        return fraction == 0 ? sign + 3 : 3;
    }
    if (fraction == 0 && exponent == 0) {
        text[sign] = '0';
        return sign + 1;
    }
    struct decimal decimal = decimal_of(fraction, exponent);
    struct digits digits = digits_of(decimal.digits);
    int point = (int)(digits.count + digits.zeros) + decimal.exponent;
    return sign + lay_out(&digits, point, text + sign);
}
