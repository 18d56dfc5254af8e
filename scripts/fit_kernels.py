#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fits the polynomials of src/compute/coefficients.h: python3 scripts/fit_kernels.py > that file.

Needs mpmath (Debian: python3-mpmath). Remez's exchange algorithm in 40 digits; the errors printed
are those of the polynomial before its coefficients are rounded to f32.
"""
import struct

from mpmath import cos, erfc, lu_solve, matrix, mp, mpf, nstr, pi, sqrt

mp.dps = 40
# x Phi(-x) is 5.2e-7 at the end, or 8.5e-5, and taken as 0 beyond; intervals, and one of zeros
GELU_FINE = mpf("5.2"), 31, 3
GELU_COARSE = mpf("4.1"), 15, 2
GELU_POWER = 16


def remez(f, weight, a, b, powers, rounds=10, grid=800):
    """Coefficients of x**p, p in `powers`, least in max |weight (f - polynomial)| on [a, b]."""
    n = len(powers)
    nodes = [(a + b) / 2 - (b - a) / 2 * cos(pi * (k + mpf(1) / 2) / (n + 1)) for k in range(n + 1)]
    points = [a + (b - a) * mpf(i) / grid for i in range(grid + 1)]
    values = [(f(x), weight(x)) for x in points]
    for _ in range(rounds):
        left, right = matrix(n + 1, n + 1), matrix(n + 1, 1)
        for i, x in enumerate(nodes):
            for j, p in enumerate(powers):
                left[i, j] = x**p
            left[i, n] = (-1) ** i / weight(x)
            right[i] = f(x)
        solution = lu_solve(left, right)
        c = [solution[j] for j in range(n)]
        errors = [w * (v - sum(cj * x**p for cj, p in zip(c, powers)))
                  for x, (v, w) in zip(points, values)]
        extrema = []
        for x, e in zip(points, errors):
            if extrema and (e > 0) == (extrema[-1][1] > 0):
                if abs(e) > abs(extrema[-1][1]):
                    extrema[-1] = (x, e)
            else:
                extrema.append((x, e))
        while len(extrema) > n + 1:
            extrema.pop(0 if abs(extrema[0][1]) < abs(extrema[-1][1]) else -1)
        if len(extrema) < n + 1:
            break
        nodes = [x for x, _ in extrema]
    return c, max(abs(e) for e in errors)


def one(_):
    return mpf(1)


def tail(x):
    """x Phi(-x): what GELU falls short of max(x, 0), an even function of x."""
    return x * erfc(x / sqrt(mpf(2))) / 2


def table_of(end, intervals, degree):
    """tail by polynomials in x - i step; the step, the table, the error."""
    step = mpf(f32(end / (intervals - mpf(1) / 2)))
    table, error = [], mpf(0)
    for i in range(intervals):
        if i == 0:  # its left half is never used; GELU(0) is 0
            c, e = remez(tail, one, mpf(0), step / 2, list(range(1, degree + 1)))
            c = [mpf(0)] + c
        else:
            c, e = remez(lambda r: tail(r + i * step), one, -step / 2, step / 2,
                         list(range(degree + 1)))
        table.append(c)
        error = max(error, e)
    table.append([mpf(0)] * (degree + 1))
    return step, table, error


def print_table(name, step, table):
    print(f"static const float fby_gelu_{name}_step = {literal(step)};")
    print(f"static const float fby_gelu_{name}[{len(table[0])}][{len(table)}] = {{")
    for power in range(len(table[0])):
        print("    {" + lines([c[power] for c in table]) + "},")
    print("};")


def f32(x):
    return struct.unpack("f", struct.pack("f", float(x)))[0]


def literal(x):
    text = f32(x).hex()
    mantissa, exponent = text.split("p")
    mantissa = mantissa.rstrip("0")
    return ("0.0" if f32(x) == 0 else (mantissa + "0" if mantissa.endswith(".") else mantissa)
            + "p" + exponent) + "f"


def lines(coefficients):
    return "    " + ", ".join(literal(c) for c in coefficients)


def main():
    exp2, exp2_error = remez(lambda x: mpf(2) ** x - 1, lambda x: mpf(2) ** -x, -mpf(1) / 2,
                             mpf(1) / 2, list(range(1, 7)))
    # x / P(x)^16 = tail(x): a linear fit of P, weighted by what its error does to the quotient.
    root = lambda x: (2 / erfc(x / sqrt(mpf(2)))) ** (mpf(1) / GELU_POWER)
    gelu, gelu_error = remez(root, lambda x: GELU_POWER * tail(x) / root(x) + mpf("1e-7"), mpf(0),
                             mpf(6), list(range(7)))
    fine, coarse = table_of(*GELU_FINE), table_of(*GELU_COARSE)

    print(f"""/* SPDX-License-Identifier: Apache-2.0 */
/* Written by scripts/fit_kernels.py: minimax polynomials by Remez's exchange algorithm. */
#ifndef FBY_COMPUTE_COEFFICIENTS_H
#define FBY_COMPUTE_COEFFICIENTS_H

/* 2^r on [-1/2, 1/2], c[0] + c[1] r + …: relative error {nstr(exp2_error, 2)}, none at 0. */
static const float fby_exp2_coefficients[7] = {{
{lines([mpf(1)] + exp2)},
}};

/* x Phi(-x), Phi the normal distribution's, is x / P(x)^{GELU_POWER} for x >= 0, an idea of Hastings 1955
 * (Abramowitz and Stegun 7.1.28), fitted to this function: error {nstr(gelu_error, 2)}. */
static const float fby_gelu_coefficients[7] = {{
{lines(gelu)},
}};

/* The same by {GELU_FINE[1]} cubics in x - i step, i the integer nearest to x / step, and one of zeros from
 * {nstr(GELU_FINE[0], 2)} on; power by power: error {nstr(fine[2], 2)}. */""")
    print_table("fine", *fine[:2])
    print(f"""
/* By {GELU_COARSE[1]} quadratics, zeros from {nstr(GELU_COARSE[0], 2)} on: error {nstr(coarse[2], 2)}. For what becomes codes of 8 bits. */""")
    print_table("coarse", *coarse[:2])
    print("\n#endif")


if __name__ == "__main__":
    main()
