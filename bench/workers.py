#!/usr/bin/env python3
"""Workers apart and in teams, every choice and ours: what `make bench-workers` measures.

    workers.py build/forebay [ARGUMENTS of forebay bench workers ...]

Calibrates (forebay tune) and measures every part: the grid, pairs, a load that changes,
latency targets, throughput over latency, cancellation, a simulation; with arguments only the
part that they name. Some 20 minutes on two processors. Writes bench/results/workers-PART.csv
and, with gnuplot, bench/plots/workers-*.svg; at the end says in words what it comes to.
Standard library only.
"""
import csv
import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = {"grid": [], "pairs": ["--pairs"], "load": ["--load"], "latency": ["--latency"],
         "curve": ["--curve"], "cancellation": ["--cancellation"], "simulate": ["--simulate", "64"]}

# texts/s that another engine published for its workers, by batch.
PUBLISHED = {8: {1: 52.5, 2: 96.4, 4: 165.8}, 32: {1: 40.1, 4: 140.3, 8: 245.7}}


def measure(command, arguments):
    """Rows, and what was said of them."""
    with tempfile.TemporaryFile("w+") as out, subprocess.Popen(
            [command, "bench", "workers", "--json", *arguments], text=True, stdout=out,
            stderr=subprocess.PIPE) as run:
        said = []
        for line in run.stderr:
            print(line, end="", file=sys.stderr)
            said.append(line.rstrip())
        run.wait()
        out.seek(0)
        rows = [json.loads(line) for line in out]
    if run.returncode != 0:
        sys.exit(run.returncode)
    prefix = "forebay bench workers: "
    return rows, [line.removeprefix(prefix) for line in said
                  if " more" not in line and not line.endswith(" calling")]


def write_csv(part, rows):
    """One file for each shape of rows."""
    shapes = list(dict.fromkeys(tuple(row) for row in rows))
    for i, keys in enumerate(shapes):
        name = f"workers-{part}" + (f"-{i + 1}" if i > 0 else "")
        out = ROOT / "bench" / "results" / f"{name}.csv"
        out.parent.mkdir(exist_ok=True)
        with open(out, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=keys)
            writer.writeheader()
            writer.writerows(row for row in rows if tuple(row) == keys)
        print(f"  {out.relative_to(ROOT)}")


def label(row):
    asked = row.get("asked", 0)
    of = f" of {asked}" if asked > row["workers"] else ""
    return f"{row['strategy']}, {row['workers']}{of}"


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


def draw_grid(rows):
    for length in dict.fromkeys(row["length"] for row in rows):
        here = [row for row in rows if row["length"] == length]
        name = f"length-{length}" if length else "mixed"
        what = f"texts of {length} tokens" if length else "mixed texts"
        plot(name, what, "set logscale x 2\nset xlabel 'texts a call'\nset ylabel 'texts/s'",
             series_of(here, "batch", "texts_per_s"))
        plot(f"{name}-latency", f"{what}: throughput over latency",
             "set logscale x\nset xlabel 'p99 of a call, ms'\nset ylabel 'texts/s'",
             series_of(here, "p99_ms", "texts_per_s"))


def draw_load(rows):
    turns = [row for row in rows if "turn" in row]
    for phase in dict.fromkeys(row["phase"] for row in turns):
        here = [row for row in turns if row["phase"] == phase]
        plot(f"load-{phase.replace(' ', '-')}", f"{here[0]['callers']} calling ({phase})",
             "set xlabel 'turn'\nset ylabel 'texts/s'\nset yrange [0:*]",
             series_of(here, "turn", "texts_per_s"))


def draw_curve(rows):
    plot("curve", "throughput over latency, 1 to 32 calling",
         "set logscale x\nset xlabel 'p99 of a call, ms'\nset ylabel 'texts/s'\nset yrange [0:*]",
         series_of(rows, "p99_ms", "texts_per_s"))
    plot("curve-p50", "throughput over latency, 1 to 32 calling",
         "set logscale x\nset xlabel 'p50 of a call, ms'\nset ylabel 'texts/s'\nset yrange [0:*]",
         series_of(rows, "p50_ms", "texts_per_s"))


def draw_simulation(rows):
    series = [(f"{batch} texts, simulated",
               [(row["workers"], row["speedup"]) for row in rows
                if row["batch"] == batch and row["length"] == 64])
              for batch in dict.fromkeys(row["batch"] for row in rows)]
    series += [(f"{batch} texts, published", [(n, rate / rates[1]) for n, rate in rates.items()])
               for batch, rates in PUBLISHED.items()]
    plot("simulated", "simulated from costs measured here: an upper bound",
         "set logscale xy 2\nset xlabel 'workers'\nset ylabel 'times one worker'", series)


DRAW = {"grid": draw_grid, "load": draw_load, "curve": draw_curve, "simulate": draw_simulation}


def words_of_grid(rows):
    points = {}
    for row in rows:
        points.setdefault((row["batch"], row["length"]), {})[row["strategy"]] = row["texts_per_s"]
    ratios = {point: (rate["auto"] / rate["oracle"], rate["auto"] / rate["table"])
              for point, rate in points.items()}
    worst = min(ratios, key=lambda point: ratios[point][0])
    mean = math.exp(sum(math.log(r) for r, _ in ratios.values()) / len(ratios))
    best = max(ratios, key=lambda point: ratios[point][1])
    return (f"What is chosen by itself gives {mean:.3f} of the best fixed choice over"
            f" {len(ratios)} points, at the worst {ratios[worst][0]:.3f} ({worst[0]} texts of"
            f" {worst[1] or 'mixed'} tokens), and up to {ratios[best][1]:.2f} times the table"
            f" ({best[0]} texts of {best[1] or 'mixed'} tokens).")


def words_of_simulation(rows):
    speedup = {(row["batch"], row["workers"]): row["speedup"] for row in rows if row["length"] == 64}
    words = []
    for batch, rates in PUBLISHED.items():
        pairs = ", ".join(f"{speedup[batch, n]:.2f} and {rate / rates[1]:.2f} x at {n}"
                          for n, rate in rates.items() if n > 1 and (batch, n) in speedup)
        if pairs:
            words.append(f"Simulated and published, {batch} texts: {pairs} workers.")
    return words


def run_part(part, command, arguments):
    rows, said = measure(command, arguments)
    write_csv(part, rows)
    if part in DRAW and shutil.which("gnuplot") is not None:
        DRAW[part](rows)
    if part == "grid":
        said.append(words_of_grid(rows))
    if part == "simulate":
        said += words_of_simulation(rows)
    if part == "cancellation":
        said.append(f"Being able to stop costs {rows[0]['with_to_without']:.3f} x; a stop takes"
                    f" {rows[0]['stop_ms']:.1f} ms, a layer {rows[0]['layer_ms']:.1f} ms.")
    return said


def main():
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print(__doc__.strip())
        return
    command = str(pathlib.Path(command).resolve())
    parts = PARTS
    if arguments:
        named = [part for part in PARTS if f"--{part}" in arguments]
        parts = {named[0] if named else "grid": arguments}
    subprocess.run([command, "tune"], check=True, stdout=subprocess.DEVNULL)
    if shutil.which("gnuplot") is None:
        print("gnuplot is not installed: no pictures", file=sys.stderr)
    said = {part: run_part(part, command, with_) for part, with_ in parts.items()}
    for part, lines in said.items():
        print(f"\n{part}")
        for line in lines:
            print(f"  {line}")


if __name__ == "__main__":
    main()
