#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One engine in a process of its own that does what it is told, a JSON object a line.

    worker.py ENGINE --model DIR --exported DIR --library FILE

    {"do": "open", "threads": 2, "streams": 1}      -> {}
    {"do": "texts", "texts": [...]}                 -> {}
    {"do": "run", "batch": 16}                      -> {"seconds": 0.41, "cpu_seconds": 0.8}
    {"do": "each"}                                  -> {"seconds": [0.0031, ...]}, a text alone
    {"do": "save", "batch": 16, "path": "x.npy"}    -> {}
    {"do": "memory"}                                -> {"peak_mb": 312.5}

A failure answers {"error": "..."}. peak_mb is VmHWM: getrusage would count the parent's.
"""
import argparse
import json
import os
import pathlib
import sys
import time

from engines import ENGINES, Place


def peak_mb(pid="self"):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


class Worker:
    def __init__(self, name, place):
        self.name, self.place, self.engine, self.texts = name, place, None, []

    def open(self, order):
        if self.engine:
            self.engine.close()
        self.engine = ENGINES[self.name].open(self.place, order["threads"], order["streams"])
        return {}

    def set_texts(self, order):
        self.texts = order["texts"]
        return {}

    def run(self, order):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        self.engine.embed(self.texts, order["batch"])
        return {"seconds": time.perf_counter() - begin,
                "cpu_seconds": time.process_time() - begin_cpu}

    def each(self, _):
        seconds = []
        for text in self.texts:
            begin = time.perf_counter()
            self.engine.embed([text], 1)
            seconds.append(time.perf_counter() - begin)
        return {"seconds": seconds}

    def save(self, order):
        import numpy as np
        np.save(order["path"], self.engine.embed(self.texts, order["batch"]))
        return {}

    def obey(self, order):
        calls = {"open": self.open, "texts": self.set_texts, "run": self.run, "each": self.each,
                 "save": self.save, "memory": lambda _: {"peak_mb": peak_mb()}}
        try:
            return calls[order["do"]](order)
        except Exception as error:  # the parent says which engine is absent, and why
            return {"error": f"{type(error).__name__}: {error}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=ENGINES)
    for name in ("model", "exported", "library"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    # Answers go where stdout was; what a library prints goes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(args.engine, Place(args.model, args.exported, args.library))
    for line in sys.stdin:
        print(json.dumps(worker.obey(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
