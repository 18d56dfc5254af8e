#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records the traces that bench-alloc's workload `recorded` replays.

    alloc_traces.py build [--again] [--python FILE] [--exported DIR] [--model DIR]

Each program runs under libforebay-malloc.so with FBY_MALLOC_TRACE set:

    python_onnxruntime  bench/peers/worker.py embeds the lines of docs/*.md, which
                        needs what `make bench-peers` installs and exports
    redis               redis-server while redis-benchmark sends nine commands

Traces go to build/traces/NAME.trc; one that is there already is kept. What cannot
be recorded is left out with a word.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINES = 600  # of documentation, embedded twice


def environment(args, folder):
    shim = args.build / "src/memory/allocator/libforebay-malloc.so"
    return {**os.environ, "LD_PRELOAD": str(shim), "FBY_MALLOC_TRACE": str(folder / "trace")}


def lines_of_docs():
    texts = "\n".join(p.read_text(encoding="utf-8") for p in sorted(ROOT.glob("docs/*.md")))
    return [line for line in texts.splitlines() if len(line) > 40][:LINES]


def record_python(args, folder):
    if not (args.python.exists() and (args.exported / "model-ort.onnx").exists()):
        return "left out: make bench-peers has not run"
    run = {"do": "run", "batch": 16}
    orders = [{"do": "open", "threads": 1, "streams": 1},
              {"do": "texts", "texts": lines_of_docs()}, run, run]
    done = subprocess.run(
        [args.python, "-B", ROOT / "bench/peers/worker.py", "onnxruntime-f32", "--model",
         args.model, "--exported", args.exported, "--library", args.build / "libforebay.so"],
        input="".join(json.dumps(order) + "\n" for order in orders), text=True,
        capture_output=True, env=environment(args, folder), timeout=600)
    if done.returncode != 0 or '"error"' in done.stdout:
        return f"left out: {(done.stdout + done.stderr).strip()[-300:]}"
    return None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def ask_redis(port, *words):
    return subprocess.run(["redis-cli", "-p", port, *words], capture_output=True).stdout


def record_redis(args, folder):
    if not (shutil.which("redis-server") and shutil.which("redis-benchmark")):
        return "left out: redis-server and redis-tools are not installed"
    port = free_port()
    server = subprocess.Popen(["redis-server", "--port", port, "--dir", folder, "--save", ""],
                              env=environment(args, folder), stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if ask_redis(port, "ping") == b"PONG\n":
                break
            time.sleep(0.1)
        subprocess.run(["redis-benchmark", "-p", port, "-q", "-n", "20000", "-r", "5000", "-c", "20",
                        "-d", "300", "-t", "set,get,lpush,rpop,sadd,hset,zadd,lrange_100,mset"],
                       check=True, stdout=subprocess.DEVNULL, timeout=300)
        ask_redis(port, "shutdown", "nosave")
        server.wait(30)
    finally:
        server.kill()
    return None


def record(args, name, program):
    kept = args.build / "traces" / f"{name}.trc"
    if kept.exists() and not args.again:
        return f"{kept}: kept"
    with tempfile.TemporaryDirectory() as folder:
        refused = program(args, pathlib.Path(folder))
        if refused:
            return f"{name}: {refused}"
        # A launcher that starts the program proper leaves a short one of its own.
        traces = sorted(pathlib.Path(folder).glob("trace.*"), key=lambda p: p.stat().st_size)
        if not traces:
            return f"{name}: left out: nothing was recorded"
        kept.parent.mkdir(exist_ok=True)
        shutil.move(traces[-1], kept)
    return f"{kept}: {kept.stat().st_size // 16:,} records"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--again", action="store_true", help="record what is there already too")
    parser.add_argument("--python", type=pathlib.Path, default=ROOT / ".venv-peers/bin/python")
    parser.add_argument("--exported", type=pathlib.Path, help="what make bench-peers exported")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/all-MiniLM-L6-v2")
    args = parser.parse_args()
    args.build = args.build.resolve()
    args.exported = args.exported or args.build / "peers"
    for name, program in (("python_onnxruntime", record_python), ("redis", record_redis)):
        print(record(args, name, program), file=sys.stderr)


if __name__ == "__main__":
    main()
