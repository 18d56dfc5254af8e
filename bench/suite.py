#!/usr/bin/env python3
"""What `make bench` measures: speed on the four text files, start-up, memory.

    suite.py build/forebay [--seconds S] [--isa NAME ...]

Speed is `forebay bench embed` for each file, instruction set and thread count.
Start-up is the wall time of a whole process that embeds one line: warm (packed
weights and page cache there) and the first ever run (no packed weights). Rows
also go to bench/results/embed.jsonl. Standard library only.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = ["short", "medium", "long", "mixed"]
LINE = "A forebay is the pool of water that feeds a turbine.\n"


def run(command, isa=None, env=None, **kwargs):
    env = {**os.environ, **({"FBY_ISA": isa} if isa else {}), **(env or {})}
    return subprocess.run(command, check=True, capture_output=True, env=env, **kwargs)


def speed(args, results):
    print(f"{'isa':<12}{'texts':<8}{'threads':>8}{'texts/s':>10}{'tokens/s':>10}"
          f"{'p50 ms':>9}{'p99 ms':>9}{'of peak':>9}{'RSS MB':>8}")
    for isa in args.isa:
        for name in FILES:
            for threads in sorted({1, os.cpu_count() or 1}):
                done = run([args.command, "bench", "embed", "--json",
                            "--file", ROOT / "bench" / "texts" / f"{name}.txt",
                            "--threads", str(threads), "--seconds", str(args.seconds)], isa)
                point = json.loads(done.stdout.splitlines()[-1])
                point["texts"] = name
                results.write(json.dumps(point) + "\n")
                print(f"{point['isa']:<12}{name:<8}{threads:>8}{point['texts_per_s']:>10,.0f}"
                      f"{point['tokens_per_s']:>10,.0f}{point['p50_ms']:>9.2f}"
                      f"{point['p99_ms']:>9.2f}{point['share_of_peak']:>9.3f}"
                      f"{point['peak_rss_mb']:>8.0f}", flush=True)


def start_ms(args, env):
    begin = time.perf_counter()
    run([args.command, "embed", "--format", "f32"], env=env, input=LINE.encode())
    return (time.perf_counter() - begin) * 1000


def start(args, results):
    with tempfile.TemporaryDirectory() as cache:
        env = {"XDG_CACHE_HOME": cache}
        first = start_ms(args, env)
        warm = [start_ms(args, env) for _ in range(21)]
    q1, median, q3 = statistics.quantiles(warm, n=4)
    results.write(json.dumps({"bench": "start", "warm_ms": median, "warm_q1_ms": q1,
                              "warm_q3_ms": q3, "first_ms": first}) + "\n")
    print(f"\nprocess start to first embedding, whole process: {median:.1f} ms warm"
          f" (quartiles {q1:.1f}..{q3:.1f}, 21 runs), {first:.0f} ms the first time")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--isa", nargs="*", default=["", "avx2"],
                        help="values of FBY_ISA; '' is the widest")
    args = parser.parse_args()
    args.command = str(pathlib.Path(args.command).resolve())
    out = ROOT / "bench" / "results"
    out.mkdir(exist_ok=True)
    with open(out / "embed.jsonl", "w", encoding="utf-8") as results:
        speed(args, results)
        start(args, results)


if __name__ == "__main__":
    main()
