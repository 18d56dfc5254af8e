# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face directory with a BERT of one small layer and random weights.

Its vectors mean nothing; it opens and runs in no time, so that tests of the command can push
hundreds of megabytes through it.
"""
import json
import random
import shutil
import string
import struct

HIDDEN, HEADS, INTERMEDIATE, POSITIONS = 32, 4, 64, 64
LETTERS = string.ascii_lowercase + string.digits
VOCABULARY = (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(LETTERS)
              + ["##" + letter for letter in LETTERS] + list(string.punctuation))


def shapes():
    layer = "encoder.layer.0."
    found = {
        "embeddings.word_embeddings.weight": [len(VOCABULARY), HIDDEN],
        "embeddings.position_embeddings.weight": [POSITIONS, HIDDEN],
        "embeddings.token_type_embeddings.weight": [2, HIDDEN],
    }
    linears = {
        layer + "attention.self.query": (HIDDEN, HIDDEN),
        layer + "attention.self.key": (HIDDEN, HIDDEN),
        layer + "attention.self.value": (HIDDEN, HIDDEN),
        layer + "attention.output.dense": (HIDDEN, HIDDEN),
        layer + "intermediate.dense": (INTERMEDIATE, HIDDEN),
        layer + "output.dense": (HIDDEN, INTERMEDIATE),
    }
    for name, (rows, columns) in linears.items():
        found[name + ".weight"] = [rows, columns]
        found[name + ".bias"] = [rows]
    for name in ("embeddings", layer + "attention.output", layer + "output"):
        found[name + ".LayerNorm.weight"] = [HIDDEN]
        found[name + ".LayerNorm.bias"] = [HIDDEN]
    return found


def write_weights(path):
    rng = random.Random(3)
    header, data = {}, b""
    for name, shape in shapes().items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        floats = [rng.gauss(1 if "LayerNorm.weight" in name else 0, 0.2) for _ in range(count)]
        packed = struct.pack(f"<{count}f", *floats)
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def tokenizer():
    ids = {word: i for i, word in enumerate(VOCABULARY)}

    def special(word):
        return {"id": word, "ids": [ids[word]], "tokens": [word]}

    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": ids[word], "content": word, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}
                         for word in VOCABULARY[:5]],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [], "special_tokens": {word: special(word) for word in ("[CLS]", "[SEP]")}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids},
    }


def make_not_finite(model, directory, letter):
    """A copy of `model` in which the embedding of `letter` holds a NaN."""
    shutil.copytree(model, directory)
    path = directory / "model.safetensors"
    content = bytearray(path.read_bytes())
    begin = 8 + struct.unpack_from("<Q", content)[0]
    # The first tensor; dictionaries keep their order.
    struct.pack_into("<f", content, begin + 4 * HIDDEN * VOCABULARY.index(letter), float("nan"))
    path.write_bytes(content)


def make(directory):
    """Writes the model's files; `directory` is a pathlib.Path that exists."""
    config = {
        "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu",
        "hidden_size": HIDDEN, "num_attention_heads": HEADS, "num_hidden_layers": 1,
        "intermediate_size": INTERMEDIATE, "layer_norm_eps": 1e-12,
        "max_position_embeddings": POSITIONS, "type_vocab_size": 2,
        "vocab_size": len(VOCABULARY), "position_embedding_type": "absolute", "pad_token_id": 0,
    }
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling",
         "type": "sentence_transformers.models.Pooling"},
    ]
    pooling = {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True}
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": None}
    write_weights(directory / "model.safetensors")
    (directory / "1_Pooling").mkdir()
    for name, content in {
        "config.json": config, "modules.json": modules, "1_Pooling/config.json": pooling,
        "config_sentence_transformers.json": prompts,
        "sentence_bert_config.json": {"max_seq_length": POSITIONS, "do_lower_case": False},
        "tokenizer.json": tokenizer(),
    }.items():
        (directory / name).write_text(json.dumps(content))
