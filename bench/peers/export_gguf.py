#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a BERT-type sentence-transformers model as GGUF, for llama.cpp.

    export_gguf.py MODEL_DIR OUT_DIR

OUT_DIR/model-f32.gguf and OUT_DIR/model-q8_0.gguf: the layout of llama.cpp's own converter, which
wants torch. In q8_0 the matrices of products and the word embeddings are quantised, the rest f32.
"""
import argparse
import json
import pathlib

import gguf
import numpy as np

from weights import Weights

OUTSIDE = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
KEPT_F32 = {"position_embd.weight", "token_types.weight"}


def vocabulary(directory):
    """WordPiece as llama.cpp has it: a word's beginning is marked, its continuation is not."""
    tokenizer = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    ids = tokenizer["model"]["vocab"]
    special = {token["content"] for token in tokenizer["added_tokens"] if token["special"]}
    tokens, types = [], []
    for piece, _ in sorted(ids.items(), key=lambda item: item[1]):
        if piece in special:
            tokens.append(piece)
            types.append(gguf.TokenType.UNKNOWN if piece == "[UNK]" else gguf.TokenType.CONTROL)
        else:
            tokens.append(piece[2:] if piece.startswith("##") else "\u2581" + piece)
            types.append(gguf.TokenType.NORMAL)
    return ids, [token.encode("utf-8") for token in tokens], types


def add_vocabulary(writer, weights):
    ids, tokens, types = vocabulary(weights.directory)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(weights.config["type_vocab_size"])
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_eos_token_id(ids["[SEP]"])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_mask_token_id(ids["[MASK]"])


def add_settings(writer, weights, file_type):
    writer.add_name(weights.directory.name)
    writer.add_vocab_size(weights.config["vocab_size"])
    writer.add_context_length(weights.config["max_position_embeddings"])
    writer.add_embedding_length(weights.hidden)
    writer.add_feed_forward_length(weights.intermediate)
    writer.add_block_count(weights.layers)
    writer.add_head_count(weights.heads)
    writer.add_layer_norm_eps(weights.eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(file_type)


def names(weights):
    yield from OUTSIDE.items()
    for i in range(weights.layers):
        for source, target in LAYER.items():
            for kind in ("weight", "bias"):
                yield f"encoder.layer.{i}.{source}.{kind}", f"blk.{i}.{target}.{kind}"


def write(weights, path, quantised):
    writer = gguf.GGUFWriter(str(path), "bert")
    file_type = gguf.LlamaFileType.MOSTLY_Q8_0 if quantised else gguf.LlamaFileType.ALL_F32
    add_settings(writer, weights, file_type)
    add_vocabulary(writer, weights)
    for source, target in names(weights):
        tensor = np.ascontiguousarray(weights[source], np.float32)
        if quantised and tensor.ndim == 2 and target not in KEPT_F32:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(target, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
        else:
            writer.add_tensor(target, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def export(model_dir, out_dir):
    out = pathlib.Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    weights = Weights(model_dir)
    write(weights, out / "model-f32.gguf", quantised=False)
    write(weights, out / "model-q8_0.gguf", quantised=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir")
    parser.add_argument("out_dir")
    args = parser.parse_args()
    export(args.model_dir, args.out_dir)


if __name__ == "__main__":
    main()
