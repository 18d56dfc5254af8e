#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a BERT-type sentence-transformers model as ONNX, without torch.

    export_onnx.py MODEL_DIR OUT_DIR

OUT_DIR/model.onnx       standard operators only, what OpenVINO reads
OUT_DIR/model-ort.onnx   the same with onnxruntime's own fused operators in place: what its
                         transformer optimiser makes of an exported BERT at its best
OUT_DIR/model-int8.onnx  model-ort.onnx under onnxruntime's dynamic quantisation

Inputs: input_ids, attention_mask, int64 (batch, tokens). Output: embeddings, f32 (batch, hidden),
mean-pooled over the mask and normalised, so that pooling is the engine's work too.
"""
import argparse
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from weights import Weights

OPSET = 17
LOWEST = np.finfo(np.float32).min


class Graph:
    """Nodes and initialisers in the order of their making; a name for each output."""

    def __init__(self):
        self.nodes, self.initialisers, self.count = [], [], 0

    def constant(self, name, array):
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op, inputs, domain="", outputs=1, **attributes):
        self.count += 1
        names = [f"{op}_{self.count}" + (f"_{i}" if i else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=names[0], domain=domain,
                                           **attributes))
        return names[0]


class Encoder:
    """One layer after the other; `fused` takes onnxruntime's operators (domain com.microsoft)."""

    def __init__(self, weights, fused):
        self.w, self.fused, self.g = weights, fused, Graph()
        g = self.g
        self.head_size = weights.hidden // weights.heads
        self.split = g.constant("split_shape",
                                np.array([0, 0, weights.heads, self.head_size], np.int64))
        self.join = g.constant("join_shape", np.array([0, 0, weights.hidden], np.int64))
        self.scale = g.constant("scale", np.float32(1 / np.sqrt(self.head_size)))

    def linear(self, x, name, bias=True):
        g = self.g
        product = g.node("MatMul", [x, g.constant(name + ".w", self.w[name + ".weight"].T)])
        if not bias:
            return product
        return g.node("Add", [product, g.constant(name + ".b", self.w[name + ".bias"])])

    def norm(self, x, name):
        g = self.g
        return g.node("LayerNormalization",
                      [x, g.constant(name + ".g", self.w[name + ".weight"]),
                       g.constant(name + ".b", self.w[name + ".bias"])],
                      axis=-1, epsilon=self.w.eps)

    def residual_norm(self, x, residual, dense, norm):
        g = self.g
        if not self.fused:
            return self.norm(g.node("Add", [self.linear(x, dense), residual]), norm)
        return g.node("SkipLayerNormalization",
                      [self.linear(x, dense, bias=False), residual,
                       g.constant(norm + ".g", self.w[norm + ".weight"]),
                       g.constant(norm + ".b", self.w[norm + ".bias"]),
                       g.constant(dense + ".b", self.w[dense + ".bias"])],
                      domain="com.microsoft", epsilon=self.w.eps)

    def embed(self):
        g, w = self.g, self.w
        words = g.node("Gather", [g.constant("words", w["embeddings.word_embeddings.weight"]),
                                  "input_ids"])
        places = (w["embeddings.position_embeddings.weight"] +
                  w["embeddings.token_type_embeddings.weight"][0])
        zero, one, two = (g.constant(f"at{i}", np.array([i], np.int64)) for i in (0, 1, 2))
        tokens = g.node("Slice", [g.node("Shape", ["input_ids"]), one, two])
        place = g.node("Slice", [g.constant("places", places), zero, tokens])
        return self.norm(g.node("Add", [words, place]), "embeddings.LayerNorm")

    def mask_bias(self):
        """(batch, 1, 1, tokens): 0 where there is a token, the lowest float where there is none."""
        g = self.g
        mask = g.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
        mask = g.node("Unsqueeze", [mask, g.constant("axes", np.array([1, 2], np.int64))])
        inverted = g.node("Sub", [g.constant("one", np.float32(1)), mask])
        return g.node("Mul", [inverted, g.constant("lowest", np.float32(LOWEST))])

    def heads(self, x, name, order):
        g = self.g
        return g.node("Transpose", [g.node("Reshape", [self.linear(x, name), self.split])],
                      perm=order)

    def attention(self, x, mask, base):
        g = self.g
        q = self.heads(x, base + "query", [0, 2, 1, 3])
        k = self.heads(x, base + "key", [0, 2, 3, 1])
        v = self.heads(x, base + "value", [0, 2, 1, 3])
        scores = g.node("Mul", [g.node("MatMul", [q, k]), self.scale])
        shares = g.node("Softmax", [g.node("Add", [scores, mask])], axis=-1)
        mixed = g.node("Transpose", [g.node("MatMul", [shares, v])], perm=[0, 2, 1, 3])
        return g.node("Reshape", [mixed, self.join])

    def attention_fused(self, x, mask, base):
        g, w = self.g, self.w
        parts = [base + part for part in ("query", "key", "value")]
        weight = np.concatenate([w[part + ".weight"].T for part in parts], axis=1)
        bias = np.concatenate([w[part + ".bias"] for part in parts])
        return g.node("Attention", [x, g.constant(base + "qkv.w", weight),
                                    g.constant(base + "qkv.b", bias), mask],
                      domain="com.microsoft", num_heads=w.heads)

    def gelu(self, x, dense):
        g = self.g
        if self.fused:
            return g.node("BiasGelu", [self.linear(x, dense, bias=False),
                                       g.constant(dense + ".b", self.w[dense + ".bias"])],
                          domain="com.microsoft")
        x = self.linear(x, dense)
        ratio = g.node("Div", [x, self.root])
        cumulative = g.node("Add", [g.node("Erf", [ratio]), "one"])
        return g.node("Mul", [g.node("Mul", [x, cumulative]), self.half])

    def layer(self, x, mask, i):
        base = f"encoder.layer.{i}."
        attend = self.attention_fused if self.fused else self.attention
        mixed = attend(x, mask, base + "attention.self.")
        x = self.residual_norm(mixed, x, base + "attention.output.dense",
                               base + "attention.output.LayerNorm")
        wide = self.gelu(x, base + "intermediate.dense")
        return self.residual_norm(wide, x, base + "output.dense", base + "output.LayerNorm")

    def pool(self, x):
        """The mean of the rows that the mask holds, to length 1."""
        g = self.g
        mask = g.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
        row = g.node("Unsqueeze", [mask, "at1"])
        total = g.node("Squeeze", [g.node("MatMul", [row, x]), "at1"])
        return g.node("LpNormalization", [total], axis=-1, p=2)

    def build(self):
        g = self.g
        bias = self.mask_bias()
        self.root = g.constant("root", np.float32(np.sqrt(2)))
        self.half = g.constant("half", np.float32(0.5))
        # onnxruntime's Attention takes the plain mask: 1 a token, 0 none, int32 (batch, tokens).
        mask = g.node("Cast", ["attention_mask"], to=TensorProto.INT32) if self.fused else bias
        x = self.embed()
        for i in range(self.w.layers):
            x = self.layer(x, mask, i)
        g.nodes.append(helper.make_node("Identity", [self.pool(x)], ["embeddings"], name="end"))
        ids, attention = (helper.make_tensor_value_info(name, TensorProto.INT64,
                                                        ["batch", "tokens"])
                          for name in ("input_ids", "attention_mask"))
        out = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT,
                                            ["batch", self.w.hidden])
        graph = helper.make_graph(g.nodes, "bert", [ids, attention], [out], g.initialisers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def quantise(source, target):
    from onnxruntime.quantization import QuantType, quantize_dynamic
    # Signed weights a column: what onnxruntime's own guide and optimum choose where there is VNNI.
    quantize_dynamic(str(source), str(target), per_channel=True, weight_type=QuantType.QInt8,
                     op_types_to_quantize=["MatMul", "Attention"],
                     extra_options={"MatMulConstBOnly": True,
                                    "DefaultTensorType": TensorProto.FLOAT})


def export(model_dir, out_dir):
    out = pathlib.Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    weights = Weights(model_dir)
    for name, fused in (("model", False), ("model-ort", True)):
        model = Encoder(weights, fused).build()
        if not fused:
            onnx.checker.check_model(model)
        onnx.save(model, out / f"{name}.onnx")
    quantise(out / "model-ort.onnx", out / "model-int8.onnx")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir")
    parser.add_argument("out_dir")
    args = parser.parse_args()
    export(args.model_dir, args.out_dir)


if __name__ == "__main__":
    main()
