#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes bench/texts/{short,medium,long,mixed}.txt, the texts of every measurement.

    bench/make_texts.py build/forebay [--seed N] [--out DIR]

English of Debian's packages fortunes and fortunes-min (/usr/share/games/fortunes) and base-files
(/usr/share/common-licenses), one text a line. Token counts are those of `forebay tokenize`, the
special tokens included:

    short    2,000 sentences of 6 to 10
    medium   2,000 cut at 64
    long       800 cut at 256
    mixed    2,000 whole paragraphs cut at 256: mean about 42, p10 12, p50 26, p90 86

Texts are drawn in the order of SHA-256(seed, text), so that the same packages give the same files
everywhere. All paragraphs together have mean 40, p10 12, p50 26, p90 80; the seed is one whose draw
comes near the figures above. A cut text is cut as truncation would cut it, inside a word where need be.
"""
import argparse
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

FORTUNES = pathlib.Path("/usr/share/games/fortunes")
LICENSES = pathlib.Path("/usr/share/common-licenses")
SPECIAL = 2  # [CLS] and [SEP]
SEED = 107


def count_tokens(forebay, texts):
    """Tokens of each text, without the special ones."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="\n", suffix=".txt") as file:
        file.write("".join(text + "\n" for text in texts))
        file.flush()
        command = [forebay, "tokenize", "--no-special", "--no-truncate", file.name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    counts = [len(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(counts) == len(texts), "forebay tokenize: a line is missing"
    return counts


def is_prose(text):
    letters = sum(c.isalpha() or c == " " for c in text)
    return len(text.split()) >= 2 and letters >= 0.75 * len(text)


def read_paragraphs():
    """Every paragraph of both places, on one line, once, in the order of the files."""
    found = {}
    sources = [(path, r"(?m)^%\s*$|\n\s*\n") for path in sorted(FORTUNES.glob("*"))]
    sources += [(path, r"\n\s*\n") for path in sorted(LICENSES.glob("*"))]
    for path, parting in sources:
        if "." in path.name and path.parent == FORTUNES or path.is_symlink() or path.is_dir():
            continue  # indices, and the other names of a file
        content = path.read_bytes().decode("utf-8", "replace")
        for paragraph in re.split(parting, content):
            text = " ".join(paragraph.split())
            if is_prose(text) and text.isprintable():
                found[text] = None
    return list(found)


def draw(texts, seed):
    return sorted(texts, key=lambda text: hashlib.sha256(f"{seed} {text}".encode()).digest())


class Cutter:
    """Cuts texts at a number of tokens. Words do not share tokens, so counts of words add up."""

    def __init__(self, forebay, texts):
        self.forebay = forebay
        words = sorted({word for text in texts for word in text.split()})
        self.count = dict(zip(words, count_tokens(forebay, words)))

    def tokens(self, text):
        return SPECIAL + sum(self.count[word] for word in text.split())

    def cut(self, texts, limit):
        """The texts, those over `limit` cut to just as many tokens where a word allows it."""
        heads = []  # (whole words, the word cut, tokens it may have)
        for text in texts:
            left, kept, rest = limit - SPECIAL, [], ""
            for word in text.split():
                if self.count[word] > left:
                    rest = word
                    break
                left -= self.count[word]
                kept.append(word)
            heads.append((kept, rest, left))
        parts = [rest[:i] for _, rest, left in heads if left > 0 for i in range(1, len(rest))]
        known = dict(zip(parts, count_tokens(self.forebay, parts)))
        cut = []
        for kept, rest, left in heads:
            fits = [rest[:i] for i in range(1, len(rest)) if known.get(rest[:i]) == left]
            cut.append(" ".join(kept + fits[-1:]))
        return cut


def sentences_of(paragraphs):
    for paragraph in paragraphs:
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z\"'])", paragraph):
            if re.fullmatch(r"[A-Z].*[.!?]", sentence) and is_prose(sentence):
                yield sentence


def windows(paragraphs, cutter, tokens, count):
    """Paragraphs joined until they have `tokens` at least, none of them used twice."""
    found, text = [], ""
    for paragraph in paragraphs:
        text = f"{text} {paragraph}".strip()
        if cutter.tokens(text) >= tokens:
            found.append(text)
            text = ""
        if len(found) == count:
            break
    return found


def make(forebay, seed):
    paragraphs = draw(read_paragraphs(), seed)
    cutter = Cutter(forebay, paragraphs)
    sentences = [s for s in draw(set(sentences_of(paragraphs)), seed) if 6 <= cutter.tokens(s) <= 10]
    return {
        "short": (2000, sentences[:2000]),
        "medium": (2000, cutter.cut(windows(paragraphs, cutter, 64, 2000), 64)),
        "long": (800, cutter.cut(windows(paragraphs, cutter, 256, 800), 256)),
        "mixed": (2000, cutter.cut(paragraphs[:2000], 256)),
    }


def percentile(counts, p):
    return sorted(counts)[round(p / 100 * (len(counts) - 1))]


def describe(name, counts):
    mean = sum(counts) / len(counts)
    p10, p50, p90 = (percentile(counts, p) for p in (10, 50, 90))
    print(f"{name:6}  {len(counts):5} texts  {sum(counts):7} tokens  mean {mean:5.1f}  "
          f"p10 {p10:3}  p50 {p50:3}  p90 {p90:3}  min {min(counts):3}  max {max(counts):3}")
    return mean, p10, p50, p90


def check(name, counts):
    """What the measurements take for granted; says the first thing that is not so."""
    mean, p10, p50, p90 = describe(name, counts)
    holds = {
        "short": min(counts) >= 6 and max(counts) <= 10,
        "medium": max(counts) == 64 and mean > 63,
        "long": max(counts) == 256 and mean > 255,
        "mixed": (abs(mean - 42) <= 2 and abs(p10 - 12) <= 1 and abs(p50 - 26) <= 1
                  and abs(p90 - 86) <= 4 and max(counts) <= 256),
    }
    if not holds[name]:
        sys.exit(f"{name}: token counts are not those that the measurements mean")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("forebay", help="the command, built: build/forebay")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "texts")
    arguments = parser.parse_args()
    if not (FORTUNES / "computers").exists():
        sys.exit(f"{FORTUNES} is missing: apt-get install fortunes fortunes-min")

    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, (wanted, texts) in make(arguments.forebay, arguments.seed).items():
        if len(texts) != wanted:
            sys.exit(f"{name}: {len(texts)} texts, not {wanted}")
        check(name, [SPECIAL + n for n in count_tokens(arguments.forebay, texts)])
        content = "".join(text + "\n" for text in texts)
        (arguments.out / f"{name}.txt").write_text(content, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
