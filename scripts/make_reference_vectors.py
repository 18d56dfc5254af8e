#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/reference_texts.jsonl and reference_vectors.npy.

Texts of many scripts, from none to about 2,000 tokens, and the vectors that
sentence-transformers gives for them in f32, one text at a time, on a CPU. The
texts are the same on every machine; run it again only to change them:

    python3 -m venv .venv && .venv/bin/pip install sentence-transformers
    .venv/bin/python scripts/make_reference_vectors.py models/all-MiniLM-L6-v2

A line of the first file is {"text": ..., "tokens": ...}: the tokens that the
model sees, special ones included, after truncation.
"""

import argparse
import json
import pathlib
import random

COUNT = 320

# Article 1 of the Universal Declaration of Human Rights, or its beginning.
SENTENCES = """\
All human beings are born free and equal in dignity and rights.
They are endowed with reason and conscience and should act towards one another in a spirit of brotherhood.
Tous les êtres humains naissent libres et égaux en dignité et en droits.
Alle Menschen sind frei und gleich an Würde und Rechten geboren.
Todos los seres humanos nacen libres e iguales en dignidad y derechos.
Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.
Todos os seres humanos nascem livres e iguais em dignidade e em direitos.
Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.
Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.
Minden emberi lény szabadon születik és egyenlő méltósága és joga van.
Alla människor är födda fria och lika i värde och rättigheter.
Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.
Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İSTANBUL ıŞIK
Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.
Все люди рождаются свободными и равными в своем достоинстве и правах.
Всі люди народжуються вільними і рівними у своїй гідності та правах. Їжак, ґанок
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.
כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.
يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.
تمام افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند.
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।
সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।
மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.
ప్రతిపత్తిస్వత్వముల విషయమున మానవులెల్లరును జన్మతః స్వతంత్రులును సమానులును నగుదురు.
มนุษย์ทั้งปวงเกิดมามีอิสระและเสมอภาคกันในศักดิ์ศรีและสิทธิ
ადამიანები იბადებიან თავისუფალნი და თანასწორნი თავიანთი ღირსებითა და უფლებებით.
Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ ու իրավունքներով։
人人生而自由，在尊严和权利上一律平等。
人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心
すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
ሰው፡ሁሉ፡ሲወለድ፡ነጻና፡በክብርና፡በመብትም፡እኩልነት፡ያለው፡ነው።
E kore e rereke ngā tāngata katoa i te wā e whānau mai ana.
Ọmọ ènìyàn gbogbo ni a bí ní òmìnira; iyì àti ẹ̀tọ́ kọ̀ọ̀kan sì dọ́gba.
""".splitlines()

PECULIAR = [
    "", " ", "\n", "\t\r\n  ", "\u3000\u00a0\u2003", "\u200b\u200d\ufeff", "\x00", "\x00\x01\x1f\x7f",
    "a", ".", "!?!?", "...", "…", "#", "##ing", "[CLS]", "[SEP] [PAD] [MASK]", "[unk]", "[UNK]",
    "hello[SEP]world", "I", "İ", "ß", "ẞ", "ﬁ ﬂ ﬃ", "①②③ ⅣⅧ ½", "Ångström Å Å", "naïve café façade",
    "e\u0301 e\u0301\u0302\u0303 \u0301", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!",
    "😀", "👩‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️ 🏴󠁧󠁢󠁳󠁣󠁴󠁿", "I ❤️ NY 🗽", "¯\\_(ツ)_/¯", "x²+y²=z²", "∮ E⋅da = Q, n → ∞, ∑ f(i) = ∏ g(i)",
    "α≤β≥γ ∀x∈ℝ: ⌈x⌉ = −⌊−x⌋", "\ue000\uf8ff private", "\ufffd\ufffe\uffff", "\U0001d400\U0001d401 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "a" * 99, "a" * 100, "a" * 101, "supercalifragilisticexpialidocious " * 3, "x" * 5000, "é" * 2000,
    "1234567890", "3.14159265358979", "1,000,000.00 €", "2026-11-21T08:42:00Z", "+49 (0)30 1234567",
    "https://example.org/a/b?c=d&e=f#g", "user@example.org", "C:\\Program Files\\x.exe", "/usr/share/doc/README.gz",
    "int main(void) { return 0; } /* C */", "SELECT * FROM t WHERE a <> 'b';", "<html><body>&amp;</body></html>",
    "def f(x):\n\treturn x ** 2  # square", "{\"key\": [1, 2.5, null, true]}", "don't won't it's rock'n'roll",
    "semi-detached, state-of-the-art -- and — more – dashes", "“quotes” ‘single’ «guillemets» „low“", "ALL CAPS SHOUTING",
    "MiXeD cAsE", "snake_case camelCase kebab-case", "tab\tseparated\tvalues", "line one\nline two\r\nline three",
    "A\u00adsoft\u00adhyphen", "zero\u200bwidth", "right\u202eleft\u202c", "中文English混合text", "日本語とEnglishと한국어",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
]  # fmt: skip

RANGES = [
    (0x20, 0x7E), (0xA0, 0x24F), (0x250, 0x36F), (0x370, 0x52F), (0x530, 0x6FF), (0x900, 0xDFF), (0xE00, 0x11FF),
    (0x1E00, 0x206F), (0x2070, 0x2BFF), (0x3000, 0x33FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFFEF),
    (0x10000, 0x10FFF), (0x1D000, 0x1F9FF), (0x20000, 0x2A6DF), (0, 0xD7FF),
]  # fmt: skip

WORDS = """the of and to in a is that for it as was with be by on not he his but at are this have from or had an they
which one you were all her she there would their we him been has when who will more no if out so said what up its about
into than them can only other new some could time these two may then do first any my now such like our over man me even
most made after also did many before must through back years where much your way well down should because each just
those people how too little state good very make world still own see men work long get here between both life being
under never day same another know while last might us great old year off come since against go came right used take
three water river turbine pool memory thread kernel cache latency throughput allocation vector embedding sentence
Berlin Paris Tokyo Nairobi Montréal São Paulo Zürich Kraków Reykjavík quantum biology economics theorem symphony
photosynthesis thermodynamics parliament violin earthquake vaccination cryptography archaeology""".split()


def sentence(rng, words):
    text = " ".join(rng.choice(WORDS) for _ in range(words))
    return text[:1].upper() + text[1:] + rng.choice([".", "?", "!", "", ";", " ..."])


def random_characters(rng, length):
    low, high = rng.choice(RANGES)
    return "".join(rng.choice([chr(rng.randint(low, high)), chr(rng.randint(low, high)), " "]) for _ in range(length))


def make_texts():
    rng = random.Random(20261121)
    texts = list(PECULIAR) + list(SENTENCES)
    # Every length near the model's limit of 256, and far beyond it.
    texts += [" ".join(["water"] * n) for n in (1, 2, 13, 14, 15, 253, 254, 255, 256, 400, 2000)]
    texts += [" ".join(rng.choices(SENTENCES, k=n)) for n in (2, 3, 5, 8, 12, 20)]
    texts += [sentence(rng, n) for n in (60, 100, 125, 180, 240, 300, 1200, 1900)]
    texts += [random_characters(rng, n) for n in (100, 200, 300, 1500)]
    while len(texts) < COUNT:
        make = rng.random()
        if make < 0.5:
            texts.append(sentence(rng, 1 + int(rng.expovariate(1 / 14))))
        elif make < 0.7:
            texts.append(random_characters(rng, rng.randint(1, 40)))
        elif make < 0.85:
            texts.append(" ".join(rng.sample(SENTENCES, 2))[: rng.randint(5, 160)])
        else:
            texts.append(sentence(rng, rng.randint(2, 9)) + random_characters(rng, rng.randint(1, 12)))
    assert len(texts) == COUNT
    return texts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "tests" / "data")
    args = parser.parse_args()

    import numpy
    import sentence_transformers

    model = sentence_transformers.SentenceTransformer(str(args.model), device="cpu")
    texts = make_texts()
    vectors = model.encode(texts, batch_size=1, convert_to_numpy=True).astype(numpy.float32)
    tokens = [int(model.preprocess([text])["attention_mask"].sum()) for text in texts]

    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.out / "reference_texts.jsonl", "w", encoding="ascii") as out:
        for text, count in zip(texts, tokens):
            out.write(json.dumps({"text": text, "tokens": count}) + "\n")
    numpy.save(args.out / "reference_vectors.npy", vectors)
    print(f"{len(texts)} texts, {sum(tokens)} tokens, {vectors.shape[1]} dimensions")


if __name__ == "__main__":
    main()
