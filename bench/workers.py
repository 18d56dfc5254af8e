#!/usr/bin/env python3
"""Workers apart and in teams, every choice and ours: what `make bench-workers` measures.

    workers.py build/forebay [ARGUMENTS of forebay bench workers ...]

Calibrates (forebay tune), runs the grid, writes bench/results/workers.csv and, with
gnuplot, bench/plots/workers-*.svg: texts/s over batch by strategy for each length, and
throughput over latency. Prints what it comes to in words. Standard library only.
"""
import csv
import json
import math
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def measure(command, arguments):
    subprocess.run([command, "tune"], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([command, "bench", "workers", "--json", *arguments], check=True,
                          stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def write_csv(rows):
    out = ROOT / "bench" / "results" / "workers.csv"
    out.parent.mkdir(exist_ok=True)
    with open(out, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"  {out.relative_to(ROOT)}")


def label(row):
    return f"{row['strategy']}, {row['workers']}"


def plot(name, title, settings, series):
    out = ROOT / "bench" / "plots" / f"workers-{name}.svg"
    out.parent.mkdir(exist_ok=True)
    blocks = "".join("$d%d << E\n%s\nE\n" % (i, "\n".join(f"{x} {y}" for x, y in points))
                     for i, (_, points) in enumerate(series))
    plots = ", ".join(f"$d{i} using 1:2 with linespoints title '{what}'"
                      for i, (what, _) in enumerate(series))
    script = (f"set terminal svg size 900,500\nset output '{out}'\nset title '{title}'\n"
              f"set key outside\n{settings}\n{blocks}plot {plots}\n")
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    print(f"  {out.relative_to(ROOT)}")


def series_of(rows, x, y):
    names = list(dict.fromkeys(label(row) for row in rows))
    return [(name, [(row[x], row[y]) for row in rows if label(row) == name]) for name in names]


def draw(rows):
    if shutil.which("gnuplot") is None:
        print("gnuplot is not installed: no pictures", file=sys.stderr)
        return
    for length in dict.fromkeys(row["length"] for row in rows):
        here = [row for row in rows if row["length"] == length]
        name = f"length-{length}" if length else "mixed"
        what = f"texts of {length} tokens" if length else "mixed texts"
        plot(name, what, "set logscale x 2\nset xlabel 'texts a call'\nset ylabel 'texts/s'",
             series_of(here, "batch", "texts_per_s"))
        plot(f"{name}-latency", f"{what}: throughput over latency",
             "set logscale x\nset xlabel 'p99 of a call, ms'\nset ylabel 'texts/s'",
             series_of(here, "p99_ms", "texts_per_s"))


def say(rows):
    points = {}
    for row in rows:
        points.setdefault((row["batch"], row["length"]), {})[label(row)] = row
    ratios = {}
    for point, by_name in points.items():
        rate = {name.rsplit(",", 1)[0]: row["texts_per_s"] for name, row in by_name.items()}
        ratios[point] = (rate["auto"] / rate["oracle"], rate["auto"] / rate["table"])
    worst = min(ratios, key=lambda point: ratios[point][0])
    mean = math.exp(sum(math.log(r) for r, _ in ratios.values()) / len(ratios))
    best = max(ratios, key=lambda point: ratios[point][1])
    print(f"What is chosen by itself gives {mean:.3f} of the best fixed choice over"
          f" {len(ratios)} points, at the worst {ratios[worst][0]:.3f} ({worst[0]} texts of"
          f" {worst[1] or 'mixed'} tokens), and up to {ratios[best][1]:.2f} times the table"
          f" ({best[0]} texts of {best[1] or 'mixed'} tokens).")


def main():
    command, *arguments = sys.argv[1:]
    rows = measure(str(pathlib.Path(command).resolve()), arguments)
    write_csv(rows)
    draw(rows)
    say(rows)


if __name__ == "__main__":
    main()
