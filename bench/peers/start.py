# SPDX-License-Identifier: Apache-2.0
"""Process start to first embedding, and peak memory, each engine in a fresh process.

A peer is a Python process: interpreter, imports, loading, one short text. Forebay is measured as
the command (`forebay embed`, one line in, one vector out) and as the library in such a process.
Memory is VmHWM after a file of texts at batch 32, all threads.
"""
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

from worker import peak_mb

HERE = pathlib.Path(__file__).resolve().parent
LINE = "A forebay is the pool of water that feeds a turbine."
COMMAND = "forebay command "


def one_worker(name, texts, threads, args):
    """(milliseconds to the first embedding, peak MB after all)"""
    env = {**os.environ, "RAYON_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    begin = time.perf_counter()
    with subprocess.Popen([sys.executable, HERE / "worker.py", name, "--model", args.model,
                           "--exported", args.exported, "--library", args.library], env=env,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        def ask(**order):
            print(json.dumps(order), file=process.stdin, flush=True)
            answer = json.loads(process.stdout.readline() or '{"error": "ended"}')
            if "error" in answer:
                raise RuntimeError(answer["error"])
            return answer
        ask(do="open", threads=threads, streams=1)
        ask(do="texts", texts=[LINE])
        ask(do="run", batch=1)
        ms = (time.perf_counter() - begin) * 1000
        ask(do="texts", texts=texts)
        ask(do="run", batch=32)
        return ms, ask(do="memory")["peak_mb"]


def read_all(stream, size):
    while size > 0:
        size -= len(stream.read1(size)) or size


def write_all(stream, texts):
    stream.write("".join(text + "\n" for text in texts).encode())
    stream.flush()


def one_command(precision, texts, threads, args):
    begin = time.perf_counter()
    words = [args.command, "embed", "--model", args.model, "--threads", str(threads),
             "--precision", precision, "--format", "f32"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        process.stdin.write(LINE.encode() + b"\n")
        process.stdin.flush()
        if not process.stdout.read1(4):
            raise RuntimeError("no vector came")
        ms = (time.perf_counter() - begin) * 1000
        writer = threading.Thread(target=write_all, args=(process.stdin, texts))
        writer.start()
        dim = json.loads((pathlib.Path(args.model) / "config.json").read_text())["hidden_size"]
        read_all(process.stdout, (len(texts) + 1) * dim * 4 - 4)
        writer.join()
        peak = peak_mb(process.pid)
        process.stdin.close()
        return ms, peak


def start_all(args, names, texts, turn):
    threads = max(map(int, args.threads))
    print(f"\nstart to first embedding, {args.starts} runs in turns; "
          f"peak memory after the {texts.name} texts, {threads} threads")
    print(f"  {'engine':<27}{'median ms':>10}{'least':>8}{'most':>8}{'peak MB':>10}")
    commands = [COMMAND + name.split("-", 1)[1] for name in names if name.startswith("forebay-")]
    found = {name: [] for name in [*commands, *names]}
    for _ in range(args.starts):
        for name in list(found):
            try:
                with turn(args):
                    found[name].append(one_command(name.removeprefix(COMMAND), texts.lines,
                                                   threads, args)
                                       if name.startswith(COMMAND)
                                       else one_worker(name, texts.given(name), threads, args))
            except (OSError, RuntimeError) as reason:
                print(f"{name}: start not measured: {reason}", file=sys.stderr)
                del found[name]
    with open(args.out / "peers-start.csv", "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["engine", "start_ms", "start_ms_min", "start_ms_max", "peak_mb", "runs"])
        for name, runs in found.items():
            ms, peaks = zip(*runs)
            row = [statistics.median(ms), min(ms), max(ms), statistics.median(peaks)]
            label = f"{name} (Python)" if name.startswith("forebay-") else name
            out.writerow([label, *(f"{x:.1f}" for x in row), len(runs)])
            print(f"  {label:<27}{row[0]:>10.0f}{row[1]:>8.0f}{row[2]:>8.0f}{row[3]:>10.0f}")
