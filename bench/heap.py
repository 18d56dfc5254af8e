#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The heap pool beside the system: what `make bench-heap` measures.

    heap.py build/forebay [--rounds N] [--only TABLE ...] [--texts FILE] [--picture svg|png]

Tables: mixed (2,000 live blocks), calls (sizes, threads, strategies), raw (beside
mapping, and beside the device's allocation where Vulkan is), embed (texts a second
with the pool's memory and with the system's). A backend that this machine lacks is
left out with a word.

Writes bench/results/heap-TABLE.csv, which `forebay bench compare` reads, and, with
gnuplot, bench/plots/heap-*.svg. Standard library only.
"""
import argparse
import csv
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLOURS = ("#0b6fa4", "#d1662b", "#3a8a4d", "#8c8c8c", "#7a4fa3", "#b0a030")
TABLES = {
    "mixed": [["--mixed"]],
    "calls": [["--calls"], ["--calls", "--backend", "device"]],
    "raw": [["--raw"], ["--raw", "--backend", "device"], ["--raw", "--backend", "host-visible"]],
    "embed": [["--embed"]],
}


def run(args, words):
    """CSV lines, the heading first."""
    command = [args.command, "bench", "heap", *words, "--rounds", str(args.rounds), "--csv"]
    if "--embed" in words:
        command += ["--file", args.texts]
    print(f"  {' '.join(words)}", file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"  left out: {done.stderr.strip()}", file=sys.stderr)
        return []
    return done.stdout.splitlines()


def measure(args, table):
    lines = []
    for words in TABLES[table]:
        new = run(args, words)
        lines += new[1:] if lines and new and new[0] == lines[0] else new
    path = ROOT / f"bench/results/heap-{table}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines))
    return list(csv.DictReader(lines))


def report(table, rows):
    print(table)
    words = {"mixed": ("strategy", "statistics"), "raw": ("backend", "block_bytes", "fill"),
             "calls": ("backend", "strategy", "block_bytes", "threads"), "embed": ("memory",)}[table]
    for row in rows:
        label = ", ".join(f"{key} {row[key]}" if row[key] in ("true", "false") else row[key]
                          for key in words)
        measured = [key[:-3] for key in row if key.endswith("_q1")]
        print(f"  {label}")
        for key in measured:
            print(f"    {key:<26}{row[key]:>12}  ({row[key + '_q1']}..{row[key + '_q3']})")


def draw(args, name, title, ylabel, xlabel, series, more=""):
    """`series`: (label, [(x, median, q1, q3)])"""
    output = ROOT / "bench/plots" / f"heap-{name}.{args.picture}"
    output.parent.mkdir(parents=True, exist_ok=True)
    terminal = "pngcairo" if args.picture == "png" else "svg"
    script = (f'set terminal {terminal} size 800,440 font "sans,12"\nset output "{output}"\n'
              f'set title "{title}" noenhanced\nset key outside noenhanced\nset logscale y 10\n'
              f'set grid ytics lc rgb "#dddddd"\nset xlabel "{xlabel}"\nset ylabel "{ylabel}"\n{more}\n')
    plots = []
    for i, (label, dots) in enumerate(series):
        script += f"$data{i} << END\n" + "".join(f"{x} {m} {a} {b}\n" for x, m, a, b in dots) + "END\n"
        style = f'lc rgb "{COLOURS[i % len(COLOURS)]}" pt 7 ps 0.6'
        plots.append(f'$data{i} using 1:2:3:4 with yerrorlines {style} title "{label}"')
    subprocess.run(["gnuplot"], input=script + "plot " + ", ".join(plots), text=True, check=True)
    print(f"  {output.relative_to(ROOT)}")


def dots(rows, x, key, **wanted):
    return [(row[x], row[key], row[key + "_q1"], row[key + "_q3"]) for row in rows
            if all(row[k] == v for k, v in wanted.items())]


def draw_all(args, tables):
    if shutil.which("gnuplot") is None:
        print("gnuplot is not installed: no pictures", file=sys.stderr)
        return
    if tables.get("raw"):
        rows, series = tables["raw"], []
        for backend in dict.fromkeys(row["backend"] for row in rows):
            wanted = {"backend": backend, "fill": "false"}
            series.append((f"{backend}: pool", dots(rows, "block_bytes", "pool_ns_per_pair", **wanted)))
            series.append((f"{backend}: raw", dots(rows, "block_bytes", "raw_ns_per_pair", **wanted)))
        draw(args, "raw", "Acquire and release beside map, touch, unmap", "ns a pair", "bytes", series,
             "set logscale x 2\nset format x '%.0b %BB'\nset format y '10^{%L}'")
    if tables.get("calls"):
        rows = [row for row in tables["calls"] if row["backend"] == "host"]
        series = [(f"{strategy}, {what}", dots(rows, "threads", f"acquire_{what}_ns",
                                               strategy=strategy, block_bytes="65536"))
                  for strategy in ("round-robin", "best-fit", "least-used") for what in ("p50", "p99")]
        draw(args, "threads", "Acquiring 64 KiB, four heaps", "ns a call", "threads", series,
             "set xtics (1, 2, 4)\nset xrange [0.5:4.5]")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--texts", default=str(ROOT / "bench/texts/short.txt"))
    parser.add_argument("--only", nargs="*", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--picture", choices=["svg", "png"], default="svg")
    args = parser.parse_args()
    args.command = args.command.resolve()
    tables = {table: measure(args, table) for table in args.only}
    for table, rows in tables.items():
        report(table, rows)
    draw_all(args, tables)


if __name__ == "__main__":
    main()
