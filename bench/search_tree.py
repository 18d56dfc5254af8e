#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `forebay search` costs as a process, on a made-up tree: the first question, further ones,
and one after a share of the files has changed.

    python3 bench/search_tree.py build/forebay [--files 2000] [--words 40] [--changed 5] [--rounds 15]

Prints JSON lines: wall time and processor time of user and system, median and quartiles. The first
question is asked once, for it is long; those after a change are asked with other files changed
each time.
"""
import argparse
import json
import os
import pathlib
import random
import resource
import statistics
import subprocess
import tempfile
import time


def text_of(words, number, seed, count):
    rng = random.Random(f"{number} {seed}")
    body = " ".join(rng.choice(words) for _ in range(count))
    return f"# {' '.join(rng.sample(words, 3))}\n\n{body}.\n"


def write(tree, words, numbers, seed, count):
    for number in numbers:
        path = tree / str(number % 50) / f"{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(words, number, seed, count))
    time.sleep(0.2)  # beyond the clock's tick, within which a file's date is not trusted


def ask(command, tree, index):
    """Seconds of wall and processor time of one question."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([command, "search", "-v", "--index", index, "river water", tree],
                          check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, done.stderr


def report(what, files, samples, **more):
    row = {"bench": "search_tree", "what": what, "files": files, "repetitions": len(samples)}
    for name, values in (("wall_ms", [s[0] * 1e3 for s in samples]),
                         ("cpu_ms", [s[1] * 1e3 for s in samples])):
        q1, q2, q3 = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        row.update({name: round(q2, 2), name + "_q1": round(q1, 2), name + "_q3": round(q3, 2)})
    print(json.dumps(row | more), flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("forebay")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--words", type=int, default=40, help="in a file")
    parser.add_argument("--changed", type=int, default=5, help="per cent of the files")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--model", default=os.environ.get("FBY_MODEL", "models/all-MiniLM-L6-v2"))
    given = parser.parse_args()
    os.environ["FBY_MODEL"] = str(pathlib.Path(given.model).resolve())
    command = str(pathlib.Path(given.forebay).resolve())
    words = [word for word in (pathlib.Path(given.model) / "vocab.txt").read_text().split("\n")
             if word.isalpha() and len(word) > 3]

    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as scratch:
        tree, index = pathlib.Path(scratch) / "tree", str(pathlib.Path(scratch) / "index")
        write(tree, words, range(given.files), 0, given.words)
        first = report("first question", given.files, [ask(command, tree, index)])
        report("unchanged", given.files,
               [ask(command, tree, index) for _ in range(given.rounds)])
        samples, step = [], max(100 // given.changed, 1)
        for seed in range(1, 4):
            write(tree, words, range(seed, given.files, step), seed, given.words)
            samples.append(ask(command, tree, index))
        cpu = statistics.median(sample[1] for sample in samples)
        report(f"{given.changed} % changed", given.files, samples,
               share_of_first_cpu=round(cpu * 1e3 / first["cpu_ms"], 4))


if __name__ == "__main__":
    main()
