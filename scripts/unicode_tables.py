#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/model/unicode_tables.c: what the PyPI package `tokenizers` makes of every code point.

    pip install tokenizers && python3 scripts/unicode_tables.py src/model/unicode_tables.c

Nothing is taken from Python's own Unicode database but a first guess at canonical combining
classes, and the guess is checked: the package is asked how it orders each mark against others.
"""
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

DROP, SPACE, PUNCT, CJK, MARK, ORDERED, STRIPS, LOWER, WORD = (1 << i for i in range(9))
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)
# Where the map of stripped forms is dense, so that its flag may cover whole ranges.
COMPATIBILITY = [range(0xF900, 0xFB00), range(0x2F800, 0x2FA20)]


def bert(**steps):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**off, **steps}).normalize_str


clean = bert(clean_text=True)
chinese = bert(handle_chinese_chars=True)
strip = bert(strip_accents=True)
lower = bert(lowercase=True)
nfd = normalizers.NFD().normalize_str


def combining_classes():
    """{code point: class} of those that the package's NFD moves behind a lower class."""

    def swaps(a, b):
        return a != b and nfd("a" + chr(a) + chr(b))[1] == chr(b)

    alone = [c for c in CODE_POINTS if nfd(chr(c)) == chr(c)]
    low, high = 0x0334, 0x0345  # classes 1 and 240, the extremes
    moved = [c for c in alone if c in (low, high) or swaps(c, low) or swaps(high, c)]
    reference = {}
    for c in moved:
        reference.setdefault(unicodedata.combining(chr(c)), c)
    classes = {}
    for c in moved:
        equal = [k for k, r in reference.items() if not swaps(c, r) and not swaps(r, c)]
        assert len(equal) == 1 and equal[0] > 0, hex(c)
        classes[c] = equal[0]
    return classes


def word_characters():
    """Those that keep a `single_word` added token from matching beside them."""
    tokenizer = Tokenizer(models.WordPiece({"?": 0}, unk_token="?"))
    tokenizer.add_special_tokens([AddedToken("<m>", single_word=True, normalized=False)])
    return {c for c in CODE_POINTS if len(tokenizer.encode(chr(c) + "<m>").ids) == 1}


def flags_of_all(classes):
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    word = word_characters()
    flags = [0] * 0x110000
    for c in CODE_POINTS:
        s = chr(c)
        pieces = len(split("a" + s + "b"))
        f = {1: 0, 2: SPACE, 3: PUNCT}[pieces]
        cleaned = clean(s)
        assert cleaned in ("", " ", s)
        f |= DROP if cleaned == "" else 0
        assert cleaned != " " or f & SPACE
        assert not f & SPACE or cleaned in ("", " ")
        f |= CJK if chinese(s) != s else 0
        assert chinese(s) in (s, f" {s} ")
        if strip(s) == "":
            f |= MARK | (ORDERED if all(ord(d) in classes for d in nfd(s)) else 0)
        elif c in classes:
            f |= ORDERED
        f |= WORD if c in word else 0
        assert not f & ORDERED or f & WORD and not f & (SPACE | PUNCT | CJK | DROP)
        flags[c] = f
    for span in COMPATIBILITY:
        for c in span:
            flags[c] |= STRIPS
    return flags


def stripped_forms(flags, classes):
    """{code point: its NFD without marks}, where that is neither itself nor nothing."""
    forms = {}
    for c in CODE_POINTS:
        s = chr(c)
        form = strip(s)
        if form in ("", s):
            continue
        if c in HANGUL:
            lead, rest = divmod(c - 0xAC00, 588)
            vowel, tail = divmod(rest, 28)
            jamo = [0x1100 + lead, 0x1161 + vowel] + ([0x11A7 + tail] if tail else [])
            assert form == "".join(map(chr, jamo))
            continue
        # A mark that is stripped but has class 0 ends a run to be ordered. Here it never matters:
        # the form begins with a character of class 0, and nothing to be ordered precedes a mark.
        assert ord(form[0]) not in classes and len(form) <= 3
        open_run = False
        for d in map(ord, nfd(s)):
            assert not (open_run and flags[d] & MARK and not flags[d] & ORDERED)
            open_run = bool(flags[d] & ORDERED and not flags[d] & MARK)
        forms[c] = form
    return forms


def lower_runs(flags):
    """(first, last, stride, delta) that cover every lower-case mapping but U+0130's."""
    runs = []
    for c in CODE_POINTS:
        s = lower(chr(c))
        if s == chr(c):
            continue
        if c == 0x130:
            assert s == "i\u0307"
            continue
        assert len(s) == 1
        d = ord(s)
        assert (flags[c] ^ flags[d]) & (SPACE | PUNCT) == 0
        if runs:
            first, last, stride, delta = runs[-1]
            step = c - last
            if delta == d - c and step in (1, 2) and stride in (0, step):
                runs[-1] = (first, c, step, delta)
                continue
        runs.append((c, c, 0, d - c))
    return [(a, b, stride or 1, delta) for a, b, stride, delta in runs]


def flag_runs(flags):
    first = 0
    for c in range(1, 0x110001):
        if c == 0x110000 or flags[c] != flags[first]:
            if flags[first]:
                yield first, c - 1, flags[first]
            first = c


def class_runs(flags, classes):
    runs = []
    for c, k in sorted(classes.items()):
        if flags[c] & MARK:
            continue
        if runs and runs[-1][1] == c - 1 and runs[-1][2] == k:
            runs[-1] = (runs[-1][0], c, k)
        else:
            runs.append((c, c, k))
    return runs


def table(declaration, items):
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            lines.append(line)
            line = "   "
        line += " " + item + ","
    return f"{declaration} = {{\n" + "\n".join(lines + [line]) + "\n};\n"


def number(n):
    return f"{n:#x}"


def main():
    classes = combining_classes()
    flags = flags_of_all(classes)
    forms = stripped_forms(flags, classes)
    lowers = lower_runs(flags)

    sequences, strips = [], []
    for c, form in sorted(forms.items()):
        if len(form) == 1:
            strips.append((c, ord(form)))
        else:
            strips.append((c, (len(form) << 24) | len(sequences)))
            sequences += map(ord, form)

    out = f"""/* SPDX-License-Identifier: Apache-2.0 */
/* Made by: python3 scripts/unicode_tables.py src/model/unicode_tables.c
 * with the PyPI package tokenizers {tokenizers.__version__}. Not edited by hand. */
/* clang-format off */
#include "model/unicode_tables.h"

"""
    runs = list(flag_runs(flags))
    out += table("const fby_unicode_run fby_unicode_runs[]",
                 [f"{{{a:#x},{b:#x},{f:#x}}}" for a, b, f in runs])
    out += f"const size_t fby_unicode_run_count = {len(runs)};\n\n"
    classes_kept = class_runs(flags, classes)
    out += table("const fby_unicode_run fby_unicode_classes[]",
                 [f"{{{a:#x},{b:#x},{k}}}" for a, b, k in classes_kept])
    out += f"const size_t fby_unicode_class_count = {len(classes_kept)};\n\n"
    out += table("const fby_unicode_lower_run fby_unicode_lowers[]",
                 [f"{{{a:#x},{b:#x},{s},{d}}}" for a, b, s, d in lowers])
    out += f"const size_t fby_unicode_lower_count = {len(lowers)};\n\n"
    out += table("const fby_unicode_strip fby_unicode_strips[]",
                 [f"{{{a:#x},{b:#x}}}" for a, b in strips])
    out += f"const size_t fby_unicode_strip_count = {len(strips)};\n\n"
    out += table("const uint32_t fby_unicode_sequences[]", map(number, sequences))
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write(out)


if __name__ == "__main__":
    main()
