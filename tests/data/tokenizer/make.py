#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what the PyPI package `tokenizers` answers, for the tests of the tokenizer.

    pip install tokenizers
    python3 tests/data/tokenizer/make.py models/all-MiniLM-L6-v2/tokenizer.json tests/data/tokenizer

code_points.txt: digests of every code point under several settings of the normalizer.
texts.bin: texts of every script and kind with their ids. places.bin: digests of where in those
texts their tokens stand, and of what the ids decode to. They are described in their first lines or
below; the same package and seed write the same bytes.
"""
import json
import random
import struct
import sys
import unicodedata

import tokenizers
from tokenizers import Tokenizer, normalizers

# clean_text, handle_chinese_chars, strip_accents, lowercase
SETTINGS = ["1111", "1110", "1100", "1101", "0111", "1011", "0000"]


def settings_of(word):
    names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    return {name: flag == "1" for name, flag in zip(names, word)}


def digest(numbers):
    """FNV-1a over 32-bit numbers instead of bytes."""
    h = 0xCBF29CE484222325
    for n in numbers:
        h = (h ^ n) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def characters(block, size):
    return [chr(c) for c in range(block * size, (block + 1) * size) if not 0xD800 <= c <= 0xDFFF]


def ids_of_block(reference, block, size):
    """The ids of each character alone and between a and b, their number before them."""
    texts = [t for c in characters(block, size) for t in (c, f"a{c}b")]
    for encoding in reference.encode_batch(texts, add_special_tokens=False):
        yield len(encoding.ids)
        yield from encoding.ids


def normal_of_block(normalizer, block, size):
    """What each character is normalized to, as distances from it, their number before them."""
    for c in characters(block, size):
        normal = normalizer.normalize_str(c)
        yield len(normal)
        yield from ((ord(d) - ord(c)) & 0xFFFFFFFF for d in normal)


def code_points(reference):
    """Lines of: settings, what, characters in a block, first block, last block, their digest."""
    yield f"# Made by tests/data/tokenizer/make.py with tokenizers {tokenizers.__version__}"
    for word in SETTINGS:
        normalizer = normalizers.BertNormalizer(**settings_of(word))
        reference.normalizer = normalizer
        for what, size in (("ids", 256 if word == "1111" else 4096), ("normal", 256)):
            runs = []
            for block in range(0x110000 // size):
                value = digest(ids_of_block(reference, block, size) if what == "ids"
                               else normal_of_block(normalizer, block, size))
                if runs and runs[-1][2] == value:
                    runs[-1][1] = block
                else:
                    runs.append([block, block, value])
            for first, last, value in runs:
                yield f"{word} {what} {size} {first:x} {last:x} {value:016x}"


SENTENCES = """
All human beings are born free and equal in dignity and rights.
Tous les êtres humains naissent libres et égaux en dignité et en droits.
Alle Menschen sind frei und gleich an Würde und Rechten geboren; Straße, GROẞ, Öl.
Todos los seres humanos nacen libres e iguales en dignidad y derechos. ¿Qué? ¡Sí!
Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.
Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.
Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İstanbul, ISPARTA, ığdır.
Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.
Все люди рождаются свободными и равными в своём достоинстве и правах. Ёлка, Й.
Всі люди народжуються вільними і рівними у своїй гідності та правах. Її ґанок.
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια. ΣΊΣΥΦΟΣ ς;
Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ ու իրավունքներով։
ყველა ადამიანი იბადება თავისუფალი და თანასწორი. ᲧᲕᲔᲚᲐ
כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. בְּרֵאשִׁית
يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. بِسْمِ ٱللَّهِ
تمام افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند.
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।
সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।
பிறப்பில் சகல மனிதர்களும் சமமானவர்கள்; அவர்கள் மதிப்பிலும் உரிமைகளிலும் சமமானவர்கள்.
ಎಲ್ಲಾ ಮಾನವರೂ ಸ್ವತಂತ್ರರಾಗಿಯೇ ಜನಿಸಿದ್ದಾರೆ. മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടെ.
มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ
མི་རིགས་ཀུན་ལ་སྐྱེས་ཙམ་ཉིད་ནས་ཆེ་མཐོངས་དང༌། ཐོབ་ཐངགི་རང་དབང་འདྲ་མཉམ་དུ་ཡོད།
人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。
すべての人間は、生まれながらにして自由であり、尊厳と権利とについて平等である。ガギグ ｶﾞｷﾞ
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
Mixed: 3.14e-10, user@example.com, https://example.org/a?b=c&d=%20#x, C++, v1.2.3-rc4, $5,000.00
I'm, you're, we've, don't; "quoted" 'single' “curly” ‘marks’ — dash – en… ellipsis • bullet™ ©2024
def f(x): return {"a": [x ** 2 for x in range(10)]}  # code\tand\ttabs
""".strip().splitlines()

EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "☎", "🦀", "🫠", "1️⃣", "©️", "👩🏿‍🚀", "🧑‍🤝‍🧑", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "㊗️", "♠", "⏩", "🀄", "🅰️", "🈚"]
SPECIAL = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[cls]", "[ MASK]", "[MASK", "MASK]",
           "[[MASK]]", "[unused1]", "##ing", "[MASK][MASK]", "[CLS", "]", "["]


def scripts():
    """{first word of the names of its letters: letters, marks and digits}"""
    found = {}
    for c in range(0x110000):
        name = unicodedata.name(chr(c), "")
        if name and unicodedata.category(chr(c))[0] in "LMN":
            found.setdefault(name.split()[0].split("-")[0], []).append(chr(c))
    return {name: chars for name, chars in found.items() if len(chars) >= 8}


def texts_of(rng, vocabulary):
    """Yields texts in a fixed order for a seed."""
    yield from ["", " ", "\t\n", "\0", "\ufffd", "a", "A", "\u0301", "[MASK]", "  a  b  "]
    yield from SENTENCES
    yield from (s.upper() for s in SENTENCES)
    yield from (unicodedata.normalize("NFD", s) for s in SENTENCES)

    def some(pool, low, high):
        return "".join(rng.choice(pool) for _ in range(rng.randint(low, high)))

    def joined(word, low, high, between=(" ", " ", " ", ", ", ". ", "-", "\u3000", "")):
        out = ""
        for _ in range(rng.randint(low, high)):
            out += word() + rng.choice(between)
        return out

    for _, chars in sorted(scripts().items()):
        for _ in range(4):
            yield joined(lambda pool=chars: some(pool, 1, 6), 1, 5)

    marks = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c))[0] == "M"]
    kept = [m for m in marks if normalizers.BertNormalizer(strip_accents=True).normalize_str(m)]
    for pool in (marks, kept):
        for _ in range(60):
            yield joined(lambda p=pool: rng.choice("aeo\u0915\u1100") + some(p, 1, 5), 1, 4)

    anything = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    for pool in (anything, anything[:0x3000], anything[:0x600], anything[0x10000:0x20000]):
        for _ in range(100):
            yield some(pool, 1, 20)
    controls = [c for c in anything if unicodedata.category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp")]
    for _ in range(150):
        yield joined(lambda: some("abcdefgh", 1, 3) + some(controls, 0, 2), 1, 8, ("", " "))
    for _ in range(100):
        yield joined(lambda: rng.choice(EMOJI + ["ok", "A"]), 1, 6, ("", " "))
    words = [w for w in vocabulary if not w.startswith("[")]
    for _ in range(250):
        yield joined(lambda: rng.choice(words).replace("##", rng.choice(["", "##"])), 1, 9)
    for _ in range(150):
        yield joined(lambda: rng.choice([w.title(), w.upper(), w]) if (w := rng.choice(words))
                     else "", 1, 8, (" ", " ", "", "_", "'", "/", "\n"))
    for _ in range(150):
        yield joined(lambda: rng.choice(SPECIAL + ["x", "new", "é"]), 1, 6, ("", "", " ", "."))
    for length in (99, 100, 101, 102, 199, 200, 201, 1000):
        for char in ("x", "é", "e\u0301", "가", "\U0001d165", "я", "9"):
            text = (char * length)[:length]
            yield text
            yield f"a {text}.b"
    for tokens in (250, 253, 254, 255, 256, 257, 300, 1000):
        yield "fox " * tokens
        yield " ".join(rng.choice(words) for _ in range(tokens))
        yield "unaffable " * (tokens // 3) + "x"


def check_truncation(reference, texts, all_ids):
    """That truncated ids are what the tests make of the full ones."""
    for limit in (3, 8, 256):
        for side in ("left", "right"):
            reference.enable_truncation(limit, direction=side)
            for text, ids in zip(texts, all_ids):
                inner, room = ids[1:-1], limit - 2
                kept = inner[:room] if side == "right" else inner[max(len(inner) - room, 0):]
                assert reference.encode(text).ids == ids[:1] + kept + ids[-1:]
    reference.no_truncation()


def reorders(normalizer, text):
    """Whether marks that stay change places: `tokenizers` gives each the place of its neighbour."""
    return any(unicodedata.combining(c) != 0 and normalizer.normalize_str(c) != "" for c in text)


def places_of(reference, text):
    """Digests of the tokens' (id, start, stop) in bytes, 0 where those of `tokenizers` are not
    right, and of the decoded text's bytes."""
    encoding = reference.encode(text)
    starts = [0]
    for char in text:
        starts.append(starts[-1] + len(char.encode()))
    places = []
    for token, (start, stop) in zip(encoding.ids, encoding.offsets):
        places += [token, starts[start], starts[stop]]
    decoded = [reference.decode(encoding.ids, skip_special_tokens=skip) for skip in (True, False)]
    places = 0 if reorders(reference.normalizer, text) else digest(places)
    return [places] + [digest(d.encode()) for d in decoded]


def main():
    model, directory = sys.argv[1:]
    with open(model, encoding="utf-8") as file:
        vocabulary = list(json.load(file)["model"]["vocab"])
    reference = Tokenizer.from_file(model)
    reference.no_padding()
    reference.no_truncation()

    texts = list(texts_of(random.Random(20240229), vocabulary))
    ids = [reference.encode(text).ids for text in texts]
    check_truncation(reference, texts, ids)
    # Little-endian: a text's bytes and ids as two 32-bit counts, then its UTF-8, then 16-bit ids.
    with open(f"{directory}/texts.bin", "wb") as file:
        for text, row in zip(texts, ids):
            data = text.encode()
            file.write(struct.pack("<II", len(data), len(row)) + data)
            file.write(struct.pack(f"<{len(row)}H", *row))
    print(len(texts), "texts")

    # Three 64-bit digests a text.
    with open(f"{directory}/places.bin", "wb") as file:
        for text in texts:
            file.write(struct.pack("<3Q", *places_of(reference, text)))

    with open(f"{directory}/code_points.txt", "w", encoding="ascii") as file:
        for line in code_points(reference):
            file.write(line + "\n")


if __name__ == "__main__":
    main()
