#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Forebay beside other engines: the same model, the same texts, round by round in turns.

    compare.py [--peers onnxruntime,openvino] [--texts short,mixed] [--threads 1,2] [--rounds 9]

Each engine is a process of its own that waits between its turns. For every file of texts and
number of threads a peer first finds its best of batch 4, 8, 16, 32 (with two threads: also two
batches at once, a thread each), its texts ordered by token count; Forebay takes them in the file's
order. Then come the rounds: each engine embeds all texts once a round, and who begins moves on by
one. Tokenising is inside the clock for every engine. Tokens are counted without padding, special
ones included. Accuracy is the cosine with what sentence-transformers gives in f32. "By CPU" is the
ratio of processor seconds: what is left to compare on a machine that others use too.

Writes to --out: peers.csv (a line a point), peers-rounds.csv (every measurement), peers-start.csv;
pictures to --plots. What a run measures, a file of texts with a number of threads, takes the place
of what stood there for them; other lines stay, so that the whole can be measured in parts:

    compare.py --texts medium --threads 1 --measure speed      # minutes; as often as there are parts
    compare.py --measure single    # one text a call: the median, peers-single.csv
    compare.py --measure start
    compare.py --measure nothing                               # the tables and pictures of all parts

An engine that fails is reported as absent; the others go on. Forebay's own other precisions are
measured where this build has them, and compared with its f32 as the peers are.
"""
import argparse
import contextlib
import csv
import datetime
import fcntl
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from engines import ENGINES, PACKAGES, Place, tokenizer
from plot import plot_all
from single import single_all
from start import start_all

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = pathlib.Path(__file__).resolve().parent
BATCHES = [4, 8, 16, 32]
FILES = ["short", "medium", "long", "mixed"]
BASE = "forebay-f32"  # what the ratios are of
REFERENCES = ["sentence-transformers-f32", "onnxruntime-f32"]
PAUSE_S = 0.03  # lets the threads of the engine before go to sleep
FIELDS = ["date", "cpu", "engine", "version", "texts", "threads", "batch", "streams", "count",
          "tokens", "rounds", "texts_per_s", "tokens_per_s", "tokens_per_s_q1", "tokens_per_s_q3",
          "tokens_per_cpu_s", "forebay_ratio", "forebay_ratio_q1", "forebay_ratio_q3",
          "forebay_cpu_ratio", "cosine_min", "cosine_mean"]


class Absent(Exception):
    pass


class Worker:
    """A running worker.py."""

    def __init__(self, name, threads, args):
        self.name, self.threads, self.streams, self.batch = name, threads, 0, 1
        self.log = tempfile.TemporaryFile()
        env = {**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true",
               "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, HERE / "worker.py", name, "--model", args.model, "--exported",
             args.exported, "--library", args.library],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=env)

    def ask(self, **order):
        try:
            print(json.dumps(order), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.log.seek(0)
            last = self.log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise Absent(f"ended: {last[0] if last else 'without a word'}")
        answer = json.loads(line)
        if "error" in answer:
            raise Absent(answer["error"])
        return answer

    def open(self, streams):
        if streams != self.streams:
            self.ask(do="open", threads=self.threads, streams=streams)
            self.streams = streams

    def seconds(self, batch):
        return self.ask(do="run", batch=batch)["seconds"]

    def both_seconds(self):
        """Of the clock, and of the processors (all threads, waiting in a loop included)."""
        answer = self.ask(do="run", batch=self.batch)
        return answer["seconds"], answer["cpu_seconds"]

    def close(self):
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        self.process.kill()
        self.process.wait()
        self.log.close()


class Texts:
    """A part of a file that pads as little as the whole of it: all texts in the order of their
    token counts are cut into windows of the largest batch, of which evenly spaced ones are taken,
    as many as hold about `tokens`."""

    def __init__(self, name, path, fast, tokens):
        self.name = name
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
        counts = [len(row.ids) for row in fast.encode_batch(lines)]
        picked = sorted(self.pick(counts, tokens))
        self.lines = [lines[i] for i in picked]
        self.counts = [counts[i] for i in picked]
        self.tokens = sum(self.counts)
        self.order = sorted(range(len(picked)), key=self.counts.__getitem__)

    @staticmethod
    def pick(counts, tokens):
        order = sorted(range(len(counts)), key=counts.__getitem__)
        size = max(BATCHES)
        windows = [order[i:i + size] for i in range(0, len(order) - size + 1, size)] or [order]
        wanted = min(len(windows), max(1, round(tokens * len(windows) / sum(counts))))
        taken = [windows[(2 * i + 1) * len(windows) // (2 * wanted)] for i in range(wanted)]
        return [i for window in taken for i in window]

    def given(self, engine):
        return self.lines if is_forebay(engine) else [self.lines[i] for i in self.order]

    def in_file_order(self, engine, vectors):
        if is_forebay(engine):
            return vectors
        placed = np.empty_like(vectors)
        placed[self.order] = vectors
        return placed


def is_forebay(engine):
    return engine.startswith("forebay")


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def version(engine, args):
    if is_forebay(engine):
        done = subprocess.run([args.command, "--version"], capture_output=True, text=True,
                              check=True)
        return done.stdout.split()[-1]
    return importlib.metadata.version(PACKAGES[engine.rsplit("-", 1)[0]])


@contextlib.contextmanager
def turn(args):
    """With --lock: nobody else who takes the lock measures meanwhile."""
    if not args.lock:
        yield
        return
    with open(args.lock, "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tune(worker, texts, args):
    """Leaves the worker open at its best streams and batch."""
    worker.ask(do="texts", texts=texts.given(worker.name))
    if is_forebay(worker.name):
        worker.open(1)
        worker.batch = 0
        worker.seconds(0)
        return
    best = None
    for streams in sorted({1, worker.threads}):
        with turn(args):
            worker.open(streams)
            worker.seconds(max(BATCHES))
            for batch in BATCHES:
                found = min(worker.seconds(batch) for _ in range(args.tries))
                best = min(best or (found, streams, batch), (found, streams, batch))
    worker.open(best[1])
    worker.batch = best[2]


def vectors_of(worker, texts):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vectors.npy")
        worker.ask(do="save", batch=worker.batch, path=path)
        return texts.in_file_order(worker.name, np.load(path))


def cosines(vectors, reference):
    a, b = vectors.astype(np.float64), reference.astype(np.float64)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(cosine.min()), float(cosine.mean())


class Cell:
    """One file of texts, one number of threads: workers tuned, then timed in turns."""

    def __init__(self, args, workers, texts, threads):
        self.args, self.texts, self.threads = args, texts, threads
        self.workers, self.vectors = dict(workers), {}
        self.seconds, self.cpu_seconds = {}, {}

    def each(self, call):
        """Runs call(worker) for every engine; whoever fails is out from here on."""
        for name, worker in list(self.workers.items()):
            try:
                call(worker)
            except Absent as reason:
                absent(name, f"{self.texts.name}, {self.threads} threads: {reason}")
                del self.workers[name]

    def run(self):
        self.each(lambda worker: tune(worker, self.texts, self.args))
        self.each(self.keep_vectors)
        if not self.workers:
            return
        self.seconds = {name: [] for name in self.workers}
        self.cpu_seconds = {name: [] for name in self.workers}
        for _ in range(self.args.rounds):
            first, *rest = self.workers.items()
            self.workers = dict([*rest, first])
            with turn(self.args):
                self.each(self.time_once)
            if not self.workers:
                return

    def keep_vectors(self, worker):
        self.vectors[worker.name] = vectors_of(worker, self.texts)

    def time_once(self, worker):
        time.sleep(PAUSE_S)
        seconds, cpu_seconds = worker.both_seconds()
        self.seconds[worker.name].append(seconds)
        self.cpu_seconds[worker.name].append(cpu_seconds)

    def point(self, name, forebay, reference):
        """A line of peers.csv."""
        worker, seconds = self.workers[name], self.seconds[name]
        speeds = [self.texts.tokens / s for s in seconds]
        q1, median, q3 = quartiles(speeds)
        row = {"engine": name, "version": version(name, self.args), "texts": self.texts.name,
               "threads": self.threads, "batch": worker.batch or "", "streams": worker.streams,
               "count": len(self.texts.lines), "tokens": self.texts.tokens, "rounds": len(seconds),
               "texts_per_s": median * len(self.texts.lines) / self.texts.tokens,
               "tokens_per_s": median, "tokens_per_s_q1": q1, "tokens_per_s_q3": q3,
               "tokens_per_cpu_s": self.texts.tokens / statistics.median(self.cpu_seconds[name])}
        if forebay and name != forebay:
            row["forebay_ratio_q1"], row["forebay_ratio"], row["forebay_ratio_q3"] = \
                ratios(seconds, self.seconds[forebay])
            row["forebay_cpu_ratio"] = ratios(self.cpu_seconds[name],
                                              self.cpu_seconds[forebay])[1]
        if reference is not None:
            row["cosine_min"], row["cosine_mean"] = cosines(self.vectors[name], reference)
        return row


def ratios(theirs, ours):
    """Quartiles of theirs / ours, round by round."""
    return quartiles([a / b for a, b in zip(theirs, ours)])


def quartiles(samples):
    if len(samples) == 1:
        return samples * 3
    return statistics.quantiles(samples, n=4, method="inclusive")


ABSENT = {}


def absent(name, reason):
    if name not in ABSENT:
        print(f"{name} is absent: {reason}", file=sys.stderr, flush=True)
    ABSENT[name] = reason


def short(x):
    return f"{x:.4g}" if isinstance(x, float) and x < 1000 else f"{x:.0f}" \
        if isinstance(x, float) else x


def show(rows):
    first = rows[0]
    print(f"\n{first['texts']}: {first['count']} texts, {first['tokens']} tokens, "
          f"{first['threads']} thread{'s' if first['threads'] > 1 else ''}, "
          f"{first['rounds']} rounds" + (f", {first['date']}" if "date" in first else ""))
    print(f"  {'engine':<27}{'batch':>6}{'streams':>8}{'tokens/s':>10}{'quartiles':>17}"
          f"{'forebay is':>12}{'quartiles':>13}{'by CPU':>9}{'cosine min':>12}{'mean':>10}")
    for row in sorted(rows, key=lambda row: -row["tokens_per_s"]):
        spread = f"{row['tokens_per_s_q1']:,.0f}..{row['tokens_per_s_q3']:,.0f}"
        ratio = f"{row['forebay_ratio']:.2f} x" if "forebay_ratio" in row else ""
        around = f"{row['forebay_ratio_q1']:.2f}..{row['forebay_ratio_q3']:.2f}" if ratio else ""
        by_cpu = f"{row['forebay_cpu_ratio']:.2f} x" if ratio else ""
        accuracy = f"{row['cosine_min']:>12.6f}{row['cosine_mean']:>10.6f}" \
            if "cosine_min" in row else ""
        print(f"  {row['engine']:<27}{row.get('batch', ''):>6}{row['streams']:>8}"
              f"{row['tokens_per_s']:>10,.0f}{spread:>17}{ratio:>12}{around:>13}{by_cpu:>9}"
              f"{accuracy}", flush=True)


class Table:
    """A CSV file of which the lines of a file of texts and a number of threads are replaced
    together. It is whole at every moment."""

    def __init__(self, path, fields):
        self.path, self.fields, self.rows = path, fields, []
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                kept = csv.DictReader(file)
                if kept.fieldnames == fields:
                    self.rows = list(kept)

    def replace(self, texts, threads, rows):
        self.rows = [row for row in self.rows
                     if (row["texts"], row["threads"]) != (texts, str(threads))]
        self.rows += [{key: str(value) for key, value in row.items()} for row in rows]
        self.rows.sort(key=lambda row: (row["threads"],
                                        FILES.index(row["texts"]) if row["texts"] in FILES else 9))
        part = self.path.with_suffix(".part")
        with open(part, "w", newline="", encoding="utf-8") as file:
            out = csv.DictWriter(file, self.fields, restval="")
            out.writeheader()
            out.writerows(self.rows)
        part.rename(self.path)


class Results:
    """The CSV files, a part written as soon as it is known."""

    def __init__(self, out):
        self.points = Table(out / "peers.csv", FIELDS)
        self.rounds = Table(out / "peers-rounds.csv",
                            ["engine", "texts", "threads", "round", "seconds", "cpu_seconds"])
        self.common = {"date": datetime.date.today().isoformat(), "cpu": cpu_name()}

    def cell(self, cell, rows):
        place = {"texts": cell.texts.name, "threads": cell.threads}
        self.points.replace(**place, rows=[
            {**self.common, **{k: short(v) if "cosine" not in k else f"{v:.6f}"
                               for k, v in row.items()}} for row in rows])
        self.rounds.replace(**place, rows=[
            {"engine": name, **place, "round": i, "seconds": f"{s:.6f}", "cpu_seconds": f"{c:.6f}"}
            for name, seconds in cell.seconds.items()
            for i, (s, c) in enumerate(zip(seconds, cell.cpu_seconds[name]))])


def show_kept(path):
    """The tables of every part that has been measured."""
    if not path.exists():
        sys.exit(f"compare: {path}: nothing has been measured")
    with open(path, newline="", encoding="utf-8") as file:
        rows = [{key: number(value) for key, value in row.items() if value != ""}
                for row in csv.DictReader(file)]
    for part in dict.fromkeys((row["threads"], row["texts"]) for row in rows):
        show([row for row in rows if (row["threads"], row["texts"]) == part])


def number(text):
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def references(args, texts):
    """The vectors that others are compared with, a file of texts each; {} where there are none."""
    for name in REFERENCES:
        worker = Worker(name, os.cpu_count() or 1, args)
        try:
            worker.open(1)
            worker.batch = max(BATCHES)
            found = {}
            for part in texts:
                worker.ask(do="texts", texts=part.given(name))
                found[part.name] = vectors_of(worker, part)
            print(f"accuracy: cosine with {name}")
            return found
        except Absent as reason:
            print(f"{name} is no reference: {reason}", file=sys.stderr, flush=True)
        finally:
            worker.close()
    return {}


def measure(args, names, texts, threads, reference, results):
    workers = {name: Worker(name, threads, args) for name in names}
    try:
        for part in texts:
            cell = Cell(args, workers, part, threads)
            cell.run()
            forebay = BASE if BASE in cell.workers else None
            rows = [cell.point(name, forebay, reference.get(part.name))
                    for name in names if name in cell.workers]
            if rows:
                results.cell(cell, rows)
                show(rows)
    finally:
        for worker in workers.values():
            worker.close()


def opened(name, threads, args):
    worker = Worker(name, threads, args)
    try:
        worker.open(1)
    except Absent:
        worker.close()
        raise
    return worker


def has_precision(name, args):
    """Whether this build has a precision of Forebay's, by its own word."""
    precision = name.split("-", 1)[1]
    done = subprocess.run([args.command, "info", "--json", "--model", args.model, "--precision",
                           precision], capture_output=True, text=True, check=False)
    if done.returncode == 0 and json.loads(done.stdout)["precision"] == precision:
        return True
    absent(name, (done.stderr.strip().splitlines() or ["another precision in its place"])[-1])
    return False


def chosen(args):
    wanted = [name for name in ENGINES
              if (has_precision(name, args) if is_forebay(name) else args.peers is None
                  or any(name.startswith(peer) for peer in args.peers))]
    for peer in args.peers or []:
        if not any(name.startswith(peer) for name in ENGINES):
            sys.exit(f"compare: no peer {peer}: {', '.join(ENGINES)}")
    return wanted


def words(text):
    return text.split(",")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=words, help="beginnings of names; all without it")
    parser.add_argument("--texts", type=words, default=FILES, help="short,medium,long,mixed")
    parser.add_argument("--texts-dir", default=ROOT / "bench" / "texts", type=pathlib.Path)
    parser.add_argument("--threads", type=words,
                        default=[str(n) for n in sorted({1, min(2, os.cpu_count() or 1)})])
    parser.add_argument("--measure", type=words, default=["speed", "single", "start"],
                        help="speed,single,start; nothing: only show and draw what was "
                        "measured")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=8192, help="a round, about (8192)")
    parser.add_argument("--tries", type=int, default=1, help="of each batch, before the rounds")
    parser.add_argument("--starts", type=int, default=5, help="of each engine, for --measure start")
    parser.add_argument("--lock", help="a file to lock for each round, on a shared machine")
    parser.add_argument("--model", default=str(ROOT / "models" / "all-MiniLM-L6-v2"))
    parser.add_argument("--exported", default=str(ROOT / "build" / "peers"))
    parser.add_argument("--library", default=str(ROOT / "build" / "libforebay.so"))
    parser.add_argument("--command", default=str(ROOT / "build" / "forebay"))
    parser.add_argument("--out", default=ROOT / "bench" / "results", type=pathlib.Path)
    parser.add_argument("--plots", default=ROOT / "bench" / "plots", type=pathlib.Path)
    return parser.parse_args()


def draw(args):
    for picture in plot_all(args.out / "peers.csv", args.plots):
        print(f"picture: {picture}")


def main():
    args = arguments()
    if args.measure == ["nothing"]:
        show_kept(args.out / "peers.csv")
        draw(args)
        return
    names = chosen(args)
    place = Place(args.model, args.exported, args.library)
    texts = [Texts(name, args.texts_dir / f"{name}.txt", tokenizer(place), args.tokens)
             for name in args.texts]
    print(f"{cpu_name()}, {os.cpu_count()} cores, {datetime.date.today()}")
    if "speed" in args.measure:
        results = Results(args.out)
        reference = references(args, texts)
        for threads in map(int, args.threads):
            measure(args, names, texts, threads, reference, results)
        draw(args)
    if "single" in args.measure:
        single_all(args, [name for name in names if name not in ABSENT], texts, turn,
                   lambda name, threads: opened(name, threads, args))
    if "start" in args.measure:
        args.out.mkdir(parents=True, exist_ok=True)
        start_all(args, [name for name in names if name not in ABSENT], texts[-1], turn)
    for name, reason in ABSENT.items():
        print(f"absent: {name}: {reason}")


if __name__ == "__main__":
    main()
