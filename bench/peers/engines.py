# SPDX-License-Identifier: Apache-2.0
"""The engines that are compared, each behind the same two calls.

    engine = ENGINES[name].open(place, threads, streams)
    vectors = engine.embed(texts, batch)      # (texts, dim), f32; tokenising included

A peer's texts are tokenised by one call of the `tokenizers` library's fast path (Rust, on as many
threads as the peer has), cut into batches in the order given, padded to the longest of the batch.
With `streams` above 1 that many batches are computed at once, threads / streams threads each.
Nothing is imported before it is opened: start-up is each engine's own.
"""
import concurrent.futures
import ctypes
import pathlib
import re
import sys


class Place:
    """Where things lie: the model directory, what was exported from it, Forebay's library."""

    def __init__(self, model, exported, library):
        self.model, self.exported = pathlib.Path(model), pathlib.Path(exported)
        self.library = pathlib.Path(library)


def tokenizer(place, max_tokens=256):
    import json
    from tokenizers import Tokenizer
    limits = place.model / "sentence_bert_config.json"
    if limits.exists():
        said = json.loads(limits.read_text(encoding="utf-8"))
        max_tokens = said.get("max_seq_length", max_tokens)
    fast = Tokenizer.from_file(str(place.model / "tokenizer.json"))
    fast.no_padding()
    fast.enable_truncation(max_tokens)
    return fast


class Peer:
    """What the peers share: tokenising, batches, streams."""

    def __init__(self, place, threads, streams):
        self.tokenizer = tokenizer(place)
        self.threads, self.streams = threads, streams
        self.pool = concurrent.futures.ThreadPoolExecutor(streams) if streams > 1 else None
        self.load(place)

    @classmethod
    def open(cls, place, threads, streams):
        return cls(place, threads, streams)

    def embed(self, texts, batch):
        import numpy as np
        rows = [row.ids for row in self.tokenizer.encode_batch_fast(texts)]
        batches = [rows[i:i + batch] for i in range(0, len(rows), batch)]
        run = self.pool.map if self.pool else map
        return np.concatenate(list(run(self.compute, batches)))

    def close(self):
        if self.pool:
            self.pool.shutdown()


def pad(rows):
    """(rows, longest) int64: ids, and 1 where there is one."""
    import numpy as np
    longest = max(map(len, rows))
    ids = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = row
        mask[i, :len(row)] = 1
    return ids, mask


class OnnxRuntime(Peer):
    file = "model-ort.onnx"

    def load(self, place):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads // self.streams
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(place.exported / self.file), options,
                                                    providers=["CPUExecutionProvider"])

    def compute(self, rows):
        ids, mask = pad(rows)
        return self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


class OnnxRuntimeInt8(OnnxRuntime):
    file = "model-int8.onnx"


class OpenVino(Peer):
    precision = "f32"

    def load(self, place):
        import queue
        import openvino
        compiled = openvino.Core().compile_model(str(place.exported / "model.onnx"), "CPU", {
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.streams,
            "PERFORMANCE_HINT": "THROUGHPUT" if self.streams > 1 else "LATENCY",
        })
        self.requests = queue.SimpleQueue()
        for _ in range(self.streams):
            self.requests.put(compiled.create_infer_request())

    def compute(self, rows):
        ids, mask = pad(rows)
        request = self.requests.get()
        result = request.infer({"input_ids": ids, "attention_mask": mask}, share_inputs=True)
        vectors = result[0].copy()
        self.requests.put(request)
        return vectors


class OpenVinoBf16(OpenVino):
    precision = "bf16"


class SentenceTransformers(Peer):
    """The modules of sentence-transformers, called with batches in token order."""

    def load(self, place):
        import torch
        from sentence_transformers import SentenceTransformer
        torch.set_num_threads(self.threads // self.streams)
        self.torch = torch
        self.model = SentenceTransformer(str(place.model), device="cpu", local_files_only=True)

    def compute(self, rows):
        torch = self.torch
        ids, mask = pad(rows)
        features = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        with torch.inference_mode():
            return self.model(features)["sentence_embedding"].numpy()


class LlamaCpp(Peer):
    """llama.cpp's own calls: a batch of sequences without padding, mean-pooled by it."""
    file = "model-f32.gguf"
    most_texts, most_tokens = 32, 8192

    def load(self, place):
        import queue
        import llama_cpp
        self.llama = llama_cpp
        llama_cpp.llama_log_set(quiet_log(llama_cpp), None)
        llama_cpp.llama_backend_init()
        options = llama_cpp.llama_model_default_params()
        options.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(
            str(place.exported / self.file).encode(), options)
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {self.file}")
        self.dim = llama_cpp.llama_model_n_embd(self.model)
        self.contexts = queue.SimpleQueue()
        for _ in range(self.streams):
            self.contexts.put(self.context())

    def context(self):
        llama = self.llama
        options = llama.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = self.most_tokens
        options.n_seq_max = self.most_texts
        options.n_threads = options.n_threads_batch = self.threads // self.streams
        options.embeddings = True
        options.pooling_type = llama.LLAMA_POOLING_TYPE_MEAN
        context = llama.llama_init_from_model(self.model, options)
        if not context:
            raise RuntimeError("llama.cpp makes no context")
        return context, llama.llama_batch_init(self.most_tokens, 0, 1)

    def fill(self, batch, rows):
        at = 0
        for sequence, row in enumerate(rows):
            for position, token in enumerate(row):
                batch.token[at] = token
                batch.pos[at] = position
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = sequence
                batch.logits[at] = 1
                at += 1
        batch.n_tokens = at

    def compute(self, rows):
        import numpy as np
        context, batch = pair = self.contexts.get()
        self.fill(batch, rows)
        if self.llama.llama_encode(context, batch) != 0:
            raise RuntimeError("llama_encode failed")
        vectors = np.empty((len(rows), self.dim), np.float32)
        for i in range(len(rows)):
            found = self.llama.llama_get_embeddings_seq(context, i)
            vectors[i] = np.ctypeslib.as_array(found, (self.dim,))
        self.contexts.put(pair)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class LlamaCppQ8(LlamaCpp):
    file = "model-q8_0.gguf"


KEPT_ALIVE = []


def quiet_log(llama_cpp):
    """llama.cpp's warnings and errors to stderr, the rest nowhere."""
    @llama_cpp.llama_log_callback
    def log(level, text, _):
        if level in (3, 4):
            sys.stderr.write(text.decode(errors="replace"))
    KEPT_ALIVE.append(log)
    return log


class FbyModelOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("precision", ctypes.c_int),
                ("threads", ctypes.c_uint32), ("cache_dir", ctypes.c_char_p),
                ("max_jobs", ctypes.c_uint32)]


class FbyText(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_char_p), ("size", ctypes.c_size_t)]


class Forebay:
    """libforebay in the same kind of process as the peers: one call for all texts, in any order."""
    precision = "F32"

    @classmethod
    def open(cls, place, threads, streams):
        return cls(place, threads)

    def __init__(self, place, threads):
        self.library = library = ctypes.CDLL(str(place.library))
        library.fby_last_error.restype = ctypes.c_char_p
        library.fby_model_dim.restype = ctypes.c_uint32
        self.model = ctypes.c_void_p()
        options = FbyModelOptions(ctypes.sizeof(FbyModelOptions), self.number(), threads, None, 0)
        self.check(library.fby_model_open(str(place.model).encode(), ctypes.byref(options),
                                          ctypes.byref(self.model)))
        self.dim = library.fby_model_dim(self.model)

    def number(self):
        """The precision's number, as the public header has it."""
        header = (pathlib.Path(__file__).resolve().parent.parent.parent /
                  "include/forebay/embed.h").read_text(encoding="utf-8")
        found = re.search(rf"FBY_PRECISION_{self.precision} = (\d+)", header)
        if not found:
            raise RuntimeError(f"this build has no {self.precision}")
        return int(found[1])

    def check(self, status):
        if status != 0:
            raise RuntimeError(self.library.fby_last_error().decode(errors="replace"))

    def embed(self, texts, _):
        import numpy as np
        encoded = [text.encode() for text in texts]
        array = (FbyText * len(encoded))(*[(text, len(text)) for text in encoded])
        vectors = np.empty((len(encoded), self.dim), np.float32)
        self.check(self.library.fby_embed(self.model, array, ctypes.c_size_t(len(encoded)), None,
                                          vectors.ctypes.data_as(ctypes.c_void_p), None))
        return vectors

    def close(self):
        self.library.fby_model_close(self.model)


class ForebayBf16(Forebay):
    precision = "BF16"


class ForebayInt8(Forebay):
    precision = "INT8"


ENGINES = {
    "forebay-f32": Forebay,
    "forebay-bf16": ForebayBf16,
    "forebay-int8": ForebayInt8,
    "onnxruntime-f32": OnnxRuntime,
    "onnxruntime-int8": OnnxRuntimeInt8,
    "openvino-f32": OpenVino,
    "openvino-bf16": OpenVinoBf16,
    "sentence-transformers-f32": SentenceTransformers,
    "llama.cpp-f32": LlamaCpp,
    "llama.cpp-q8_0": LlamaCppQ8,
}
PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino",
            "sentence-transformers": "sentence-transformers", "llama.cpp": "llama-cpp-python"}
