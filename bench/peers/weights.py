# SPDX-License-Identifier: Apache-2.0
"""The weights of a BERT model directory as numpy arrays, by their names in the safetensors file."""
import json
import pathlib

from safetensors.numpy import load_file


class Weights:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.config = json.loads((self.directory / "config.json").read_text(encoding="utf-8"))
        sentence = self.directory / "sentence_bert_config.json"
        limits = json.loads(sentence.read_text(encoding="utf-8")) if sentence.exists() else {}
        self.max_tokens = limits.get("max_seq_length", self.config["max_position_embeddings"])
        self.tensors = load_file(self.directory / "model.safetensors")
        self.hidden = self.config["hidden_size"]
        self.layers = self.config["num_hidden_layers"]
        self.heads = self.config["num_attention_heads"]
        self.intermediate = self.config["intermediate_size"]
        self.eps = self.config["layer_norm_eps"]

    def __getitem__(self, name):
        return self.tensors[name]
